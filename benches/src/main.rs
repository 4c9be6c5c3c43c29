//! What pettycash claims about speed and size, each beside the floor it is compared to, measured
//! in the same run. `benches/run` says how.

mod apply;
mod chain;
mod client;
mod decision;
mod denials;
mod felt;
mod fill;
mod flood;
mod gateway;
mod group;
mod house;
mod http;
mod loops;
mod opening;
mod payments;
mod place;
mod quote;
mod raw;
mod rivals;
mod served;
mod stats;
mod stdio;
mod table;

use std::{env, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use table::Table;

/// How much is done of everything.
struct Scale {
    /// How often everything is measured, in turn with what it is compared to.
    rounds: usize,
    /// How long each engine is paid through at a time.
    stretch: Duration,
    /// How many calls over stdio make a round.
    calls: usize,
    /// How many sessions over HTTP are left idle.
    idle: usize,
    /// How many connections say nothing whole.
    slow: usize,
    /// How many processes are started in a round.
    starts: usize,
    /// How many entries the ledgers have that are opened.
    ledgers: Vec<u64>,
    /// How many calls are denied.
    denials: u64,
    /// How many agents a policy names.
    policed: usize,
    /// How many events the longest stream has.
    events: u32,
}

impl Scale {
    fn whole() -> Self {
        Self {
            rounds: 5,
            stretch: Duration::from_millis(1_500),
            calls: 2_000,
            idle: 1_000,
            slow: 5_000,
            starts: 20,
            ledgers: vec![0, 100_000, 1_000_000],
            denials: 1_000_000,
            policed: 10_000,
            events: 1_000_000,
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 1,
            stretch: Duration::from_millis(150),
            calls: 100,
            idle: 40,
            slow: 500,
            starts: 3,
            ledgers: vec![0, 5_000],
            denials: 5_000,
            policed: 500,
            events: 20_000,
        }
    }
}

const PARTS: [&str; 12] = [
    "payments", "chain", "stdio", "http", "flood", "opening", "apply", "decision", "denials",
    "loop", "quote", "gateway",
];

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // What this program starts itself as, to have something to kill and something to weigh.
    match words.as_slice() {
        ["fill", dir, entries, keys] => {
            return fill::fill(Path::new(dir), entries.parse()?, keys.parse()?).await;
        }
        ["open", dir] => return opening::open(Path::new(dir)).await,
        _ => {}
    }
    let quick = words.contains(&"quick");
    ensure!(
        quick || !cfg!(debug_assertions),
        "only what is built as it is released is measured: cargo run --release, or add `quick`"
    );
    let mut scale = if quick { Scale::quick() } else { Scale::whole() };
    if words.contains(&"ten-million") {
        scale.ledgers.push(10_000_000);
    }
    let chosen: Vec<&str> =
        words.into_iter().filter(|word| !["quick", "ten-million"].contains(word)).collect();
    if let Some(unknown) = chosen.iter().find(|word| !PARTS.contains(word)) {
        bail!("there is no `{unknown}`; there are quick, ten-million, {}", PARTS.join(", "));
    }
    let mut table = Table::default();
    let before = load()?;
    for part in PARTS.into_iter().filter(|part| chosen.is_empty() || chosen.contains(part)) {
        eprintln!("{part}");
        match part {
            "payments" => payments::run(&scale, &mut table).await,
            "chain" => chain::run(&scale, &mut table).await,
            "stdio" => stdio::run(&scale, &mut table).await,
            "http" => http::run(&scale, &mut table).await,
            "flood" => flood::run(&scale, &mut table).await,
            "opening" => opening::run(&scale, &mut table),
            "apply" => apply::run(&scale, &mut table).await,
            "decision" => decision::run(&scale, &mut table),
            "denials" => denials::run(&scale, &mut table).await,
            "gateway" => gateway::run(&scale, &mut table).await,
            "quote" => quote::run(&scale, &mut table).await,
            _ => loops::run(&scale, &mut table).await,
        }
        .context(part)?;
    }
    let (text, missed) = table.end();
    println!("{}\n{text}", machine(&before)?);
    if missed.is_empty() {
        println!("Every target was kept.");
    } else {
        println!("Missed:\n- {}", missed.join("\n- "));
    }
    Ok(())
}

fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// What it was measured on, and how busy that was before and is now.
fn machine(before: &str) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy();
    Ok(format!(
        "Measured on {cores} cores, Linux {kernel}; load average {before} before and {} after.",
        load()?
    ))
}
