//! What it takes to open a ledger of many entries, to hold it and to page through it.

use std::{path::Path, process, process::Command};

use anyhow::{Result, ensure};
use pettycash::{clock::instant, policy::terms::LedgerAsked};
use serde::{Deserialize, Serialize};

use crate::{
    Scale,
    fill::{AGENTS, End, filled, parts},
    house::{House, handle},
    place::{Place, disk_bytes, forget_pages, memory, program},
    stats::{bytes, count, micros, percentile},
    table::{Table, Target},
};

/// The longest that opening may take, in ms.
const OPEN_MS: f64 = 1_000.0;
/// How many entries a page has.
const PAGE: u32 = 50;
/// How many pages are read with nothing of the files in memory, and how many with all of it.
const COLD: usize = 40;
const WARM: usize = 400;
/// How many payments have keys that still stand, in the row that is about them.
const KEYS: u64 = 100_000;
/// How far the pages of two sizes may lie apart and still be the same; the issue names no number.
const SAME: f64 = 1.5;

/// What one opening came to.
#[derive(Debug, Serialize, Deserialize)]
struct Came {
    open_ms: f64,
    replayed: u64,
    resident: u64,
    cold_us: f64,
    warm_us: f64,
}

/// The process that opens the store in `dir`, and says what that came to.
pub(crate) async fn open(dir: &Path) -> Result<()> {
    let began = instant();
    let house = House::open(dir).await?;
    let open_ms = micros(began.elapsed()) / 1e3;
    let resident = memory(process::id())?.resident;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..COLD + WARM {
        // The whole of a cold agent's chain is elsewhere than the one's before.
        let agent = handle(number % COLD * (AGENTS / COLD))?;
        if number < COLD {
            forget_pages(&dir.join("journal"))?;
        }
        let began = instant();
        let page = house.engine.ledger(LedgerAsked::page(Some(agent), None, Some(PAGE))).await?;
        let took = micros(began.elapsed());
        ensure!(!page.entries.is_empty(), "an empty page");
        if number < COLD { cold.push(took) } else { warm.push(took) }
    }
    let (cold_us, warm_us) = (percentile(&mut cold, 0.5), percentile(&mut warm, 0.5));
    let replayed = house.opened().replayed;
    let came = Came { open_ms, replayed, resident, cold_us, warm_us };
    println!("{}", serde_json::to_string(&came)?);
    house.engine.close().await;
    Ok(())
}

fn opened(dir: &Path) -> Result<Came> {
    // As after a boot: nothing of it is in memory.
    forget_pages(dir)?;
    let output = Command::new(program("pettycash-benches")?).arg("open").arg(dir).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it was not opened: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub(crate) fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = format!(
        "An engine of its own process on a ledger of payments among {AGENTS} agents, after it \
         ended in order and after it was killed while {} paid, both times with nothing of its \
         files in memory. A page is the newest {PAGE} of one agent. The floor of a page is the \
         page of the smallest ledger that fills one.",
        "512 callers"
    );
    let columns = [
        "payments",
        "ended by",
        "open ms",
        "of it replayed",
        "memory MB",
        "page cold µs",
        "page warm µs",
        "warm, of the smallest",
        "disk bytes a payment",
        "target",
    ];
    table.part("Opening", &floor, &columns);
    let mut smallest = None;
    for &entries in &scale.ledgers {
        let place = Place::new()?;
        filled(place.path(), entries, 0, End::Stopped)?;
        let disk = disk_bytes(place.path())?;
        let each = disk.checked_div(entries).map_or_else(|| bytes(disk), |each| each.to_string());
        let stopped = opened(place.path())?;
        let of_page = enough(entries).then(|| *smallest.get_or_insert(stopped.warm_us));
        row(table, &entries.to_string(), "a stop", &stopped, of_page, &each);
        // On the same store, so that it is killed with all of that behind it.
        filled(place.path(), 0, 0, End::Killed)?;
        let killed = opened(place.path())?;
        let of_page = of_page.filter(|_| enough(entries));
        row(table, &format!("{entries} and more"), "`kill -9`", &killed, of_page, "");
    }
    let place = Place::new()?;
    let keys = KEYS.min(scale.ledgers.last().copied().unwrap_or(KEYS));
    filled(place.path(), 0, keys, End::Stopped)?;
    let each = disk_bytes(place.path())? / keys;
    let came = opened(place.path())?;
    row(table, &format!("{keys}, all keys stand"), "a stop", &came, None, &each.to_string());
    let [journal, desk] = parts(place.path());
    eprintln!("journal {} desk {}", bytes(disk_bytes(&journal)?), bytes(disk_bytes(&desk)?));
    Ok(())
}

/// Whether every agent has a full page.
fn enough(entries: u64) -> bool {
    entries >= u64::from(PAGE) * AGENTS as u64
}

fn row(table: &mut Table, what: &str, end: &str, came: &Came, page: Option<f64>, disk: &str) {
    eprintln!("{what}, {end}: {came:?}");
    let Came { open_ms, replayed, resident, cold_us, warm_us } = came;
    let what_opened = format!("open ms of {what}, after {end}");
    let mut target = table.judge(&what_opened, *open_ms, Target::AtMost(OPEN_MS));
    let ratio = page.map(|smallest| warm_us / smallest);
    if let Some(ratio) = ratio {
        let judged = table.judge(&format!("page of {what}"), ratio, Target::AtMost(SAME));
        target = format!("{target}; page {judged}");
    }
    table.row(&[
        what.to_owned(),
        end.to_owned(),
        format!("{open_ms:.0}"),
        count(*replayed as f64),
        format!("{:.1}", *resident as f64 / 1e6),
        format!("{cold_us:.0}"),
        format!("{warm_us:.0}"),
        ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        disk.to_owned(),
        target,
    ]);
}
