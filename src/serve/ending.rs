//! The reasons to end.

use std::{fs, io, os::unix::fs::MetadataExt, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Options, lock::ServeLock};
use crate::{
    http::{App, End},
    policy::terms::StartedBy,
};

/// How often the home is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The least time between two looks, however short the time it may idle.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// How many times within the time it may idle it is looked whether anybody came.
const LOOKS_WHILE_IDLE: u32 = 4;

/// Waits for a reason to end.
pub(super) async fn wait(
    options: &Options,
    lock: &ServeLock,
    app: &App,
    signals: &mut Signals,
) -> End {
    let mut asked = app.end.subscribe();
    tokio::select! {
        asked = asked.wait_for(Option::is_some) => {
            asked.ok().and_then(|end| *end).unwrap_or(End::Asked)
        }
        name = signals.next() => End::Signal(name),
        end = look(options, lock, app) => end,
    }
}

/// Lives on where a file may not get longer: the write fails, and is told as any other that fails.
/// That signal is listened to for good, and nobody waits for it.
pub(crate) fn outlive_limits() -> io::Result<()> {
    let too_long = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(too_long).map(drop)
}

/// The signals that ask us to end, kept from the moment they are listened to.
///
/// A hang-up is not among them: listening to it would undo `nohup`.
pub(super) struct Signals([(Signal, &'static str); 2]);

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        outlive_limits()?;
        Ok(Self([
            (signal(SignalKind::terminate())?, "SIGTERM"),
            (signal(SignalKind::interrupt())?, "SIGINT"),
        ]))
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> &'static str {
        let [one, two] = &mut self.0;
        tokio::select! {
            _ = one.0.recv() => one.1,
            _ = two.0.recv() => two.1,
        }
    }
}

/// Looks again and again whether the home is still there and whether anybody needs us.
async fn look(options: &Options, lock: &ServeLock, app: &App) -> End {
    let home = &options.home;
    let may_idle = (options.started_by == StartedBy::Client).then_some(options.idle_exit);
    let every = may_idle
        .map_or(LOOK_EVERY, |idle| (idle / LOOKS_WHILE_IDLE).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let there = fs::metadata(home.dir()).ok().map(|found| (found.dev(), found.ino()));
    let mut needed = Instant::now();
    loop {
        ticks.tick().await;
        let here = fs::metadata(home.dir()).ok().map(|found| (found.dev(), found.ino()));
        if here.is_none() || here != there || !lock.is_in_place() {
            return End::HomeGone;
        }
        // Nobody new could reach us, and nobody else could serve.
        if !home.expected_sockets().is_ok_and(|sockets| sockets.are_there()) {
            return End::SocketsGone;
        }
        let in_use = app.connections.now() > 0 || app.work.now() > 0;
        if in_use || !app.engine.is_idle().await {
            needed = Instant::now();
        } else if may_idle.is_some_and(|idle| needed.elapsed() >= idle) {
            return End::Idle;
        }
    }
}
