//! What a client over HTTP feels while thousands of others hold connections and say nothing whole.

use std::{
    collections::VecDeque,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::{
    Scale,
    client::http::{Peer, Session},
    house::SERVICE,
    served::Served,
    stats::{Rounds, micros, percentile},
    table::Table,
};

/// Between two new ones once there are enough: the server closes each after ten seconds, so that
/// this keeps five thousand.
const PACE: Duration = Duration::from_millis(2);
/// How long the server may take to see that they are gone.
const CALM: Duration = Duration::from_millis(500);
/// What is open beside them, at most.
const OTHER_FILES: u64 = 500;

/// Connections that each began a request and never end it, until it is ended.
struct Flood {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Flood {
    /// Returns once there are as many as there are to be.
    fn rise(address: SocketAddr, most: usize) -> Result<Self> {
        let (over, up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (end, risen) = (over.clone(), up.clone());
        let thread = thread::spawn(move || {
            let mut open = VecDeque::new();
            while !end.load(SeqCst) {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(b"POST /mcp HTTP/1.1\r\nhost: 127")?;
                open.push_back(stream);
                risen.store(open.len(), SeqCst);
                if open.len() >= most {
                    open.pop_front();
                    thread::sleep(PACE);
                }
            }
            Ok(())
        });
        while up.load(SeqCst) < most {
            ensure!(!thread.is_finished(), "there is no connecting any more");
            thread::sleep(PACE);
        }
        Ok(Self { over, thread })
    }

    fn end(self) -> Result<()> {
        self.over.store(true, SeqCst);
        self.thread.join().map_err(|_| anyhow!("the flood broke"))?
    }
}

/// The p50 and the p99 of so many payments.
async fn payments(session: &mut Session, peer: &Peer, times: usize) -> Result<(f64, f64)> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        took.push(micros(session.call(peer).await?));
    }
    Ok((percentile(&mut took, 0.5), percentile(&mut took, 0.99)))
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = scale.slow as u64 + OTHER_FILES;
    ensure!(limit.maximum.is_none_or(|most| most >= needed), "{needed} files must be allowed");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("files")?;
    let served = Served::listening()?;
    served.furnish(1).await?;
    let (address, bearer) = (served.address()?, served.bearer(0).await?);
    let (tool, arguments) = ("pay_for_api_call", json!({"service_id": SERVICE}));
    let peer = Peer { address, bearer, tool, arguments, holds: "\"paid\"" };
    let mut session = Session::open(&peer).await?;
    let mut felt: [Rounds; 4] = Default::default();
    // The first round is for everything to be where it is needed.
    for round in 0..=scale.rounds {
        let calm = payments(&mut session, &peer, scale.calls).await?;
        let flood = Flood::rise(address, scale.slow)?;
        let flooded = payments(&mut session, &peer, scale.calls).await?;
        flood.end()?;
        tokio::time::sleep(CALM).await;
        eprintln!("p50 and p99 of a payment: {calm:.0?} µs, flooded {flooded:.0?} µs");
        if round > 0 {
            let round = [calm.0, flooded.0, calm.1, flooded.1];
            felt.iter_mut().zip(round).for_each(|(rounds, value)| rounds.push(value));
        }
    }
    let floor = format!(
        "A client pays over its own connection while {} others began a request and never end it; \
         each that is closed is followed by another. {} calls in each of {} rounds. The floor: the \
         same client without them, in turn.",
        scale.slow, scale.calls, scale.rounds
    );
    table.part("Under slow connections", &floor, &["", "flooded", "floor", "ratio"]);
    let [calm_p50, flooded_p50, calm_p99, flooded_p99] = felt;
    let rows = [("p50", flooded_p50, calm_p50), ("p99", flooded_p99, calm_p99)];
    for (part, flooded, calm) in rows {
        let ratio = flooded.over(&calm).spread(2);
        table.row(&[format!("a payment, {part}, µs"), flooded.spread(1), calm.spread(1), ratio]);
    }
    served.stop()
}
