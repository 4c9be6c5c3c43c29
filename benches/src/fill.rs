//! A process that fills a store, and then stops in order or pays until it is killed.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pettycash::policy::names::Handle;
use tokio::task::JoinSet;

use crate::{
    house::{House, call_id, handle},
    place::program,
};

/// Among how many agents the entries are.
pub(crate) const AGENTS: usize = 1_000;
/// How many pay at once.
const CALLERS: u64 = 512;
/// How long payments go on before the kill.
const UNDER_FIRE: Duration = Duration::from_millis(700);

/// How a process that filled a store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    Killed,
}

/// Fills the store in `dir` in a process of its own, which then ends as it is told.
pub(crate) fn filled(dir: &Path, entries: u64, keys: u64, end: End) -> Result<()> {
    let mut command = Command::new(program("pettycash-benches")?);
    command.arg("fill").arg(dir).args([entries.to_string(), keys.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let ended = finish(&mut child, end);
    // Whatever went wrong, it goes.
    let _ = child.kill();
    let _ = child.wait();
    ended
}

fn finish(child: &mut Child, end: End) -> Result<()> {
    let mut said = io::BufReader::new(child.stdout.take().context("no pipe")?);
    let mut line = String::new();
    io::BufRead::read_line(&mut said, &mut line)?;
    ensure!(line == "filled\n", "the store was not filled: {line}");
    let mut input = child.stdin.take().context("no pipe")?;
    match end {
        End::Stopped => {
            input.write_all(b"stop\n")?;
            let status = child.wait()?;
            ensure!(status.success(), "the store was not closed: {status}");
        }
        End::Killed => {
            input.write_all(b"go on\n")?;
            thread::sleep(UNDER_FIRE);
            ensure!(child.try_wait()?.is_none(), "it was dead before it was killed");
            child.kill()?;
            child.wait()?;
        }
    }
    Ok(())
}

/// The process: fills, says so, and then does as the next line on its standard input says.
pub(crate) async fn fill(dir: &Path, entries: u64, keys: u64) -> Result<()> {
    let is_new = !dir.join("journal").exists();
    let house = Arc::new(House::open(dir).await?);
    if is_new {
        house.furnish(AGENTS).await?;
    }
    let agents: Arc<[Handle]> = (0..AGENTS).map(handle).collect::<Result<_>>()?;
    pay(&house, &agents, entries, false).await?;
    pay(&house, &agents, keys, true).await?;
    println!("filled");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line == "stop\n" {
        house.engine.close().await;
        return Ok(());
    }
    pay(&house, &agents, u64::MAX, false).await
}

async fn pay(house: &Arc<House>, agents: &Arc<[Handle]>, times: u64, keys: bool) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let (house, agents, next) = (Arc::clone(house), Arc::clone(agents), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= times {
                    return anyhow::Ok(());
                }
                let agent = &agents[usize::try_from(number)? % agents.len()];
                let key = keys.then(|| call_id(0, number)).transpose()?;
                house.pay(agent, key).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// The files of the store in `dir`: its journal and its desk.
pub(crate) fn parts(dir: &Path) -> [PathBuf; 2] {
    [dir.join("journal"), dir.join("desk")]
}
