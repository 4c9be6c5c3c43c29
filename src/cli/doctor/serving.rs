//! The `serve` that answers, and the record it holds.

use super::Check;
use crate::policy::terms::{Condition, Health, RecordHealth, StartedBy};

pub(super) fn checks(health: &Health) -> Vec<Check> {
    let mut checks = vec![serve(health)];
    match &health.record {
        Some(record) => {
            checks.push(self::record(record));
            if record.in_memory > 0 {
                checks.push(in_memory(record));
            }
            // One that is sealed keeps no anchor: it was the anchor that told.
            if record.condition != Condition::Sealed {
                checks.push(anchor(record));
            }
        }
        None => checks.push(Check::warn(
            "record",
            "this `serve` says nothing of its record",
            restart(health.pid),
        )),
    }
    checks
}

fn restart(pid: u32) -> String {
    format!("end it with `kill {pid}`: the next command starts this version")
}

fn serve(health: &Health) -> Check {
    let Health { pid, version, started_by, .. } = health;
    let by = match started_by {
        StartedBy::Operator => "by hand",
        StartedBy::Client => "by a client",
    };
    let found = format!("pid {pid}, version {version}, started {by}");
    let ours = env!("CARGO_PKG_VERSION");
    if version == ours {
        Check::ok("serve", found)
    } else {
        Check::warn("serve", format!("{found}; this is {ours}"), restart(*pid))
    }
}

fn record(record: &RecordHealth) -> Check {
    let says = |what: &str| match &record.detail {
        Some(detail) => format!("{what}: {detail}"),
        None => what.to_owned(),
    };
    let fail = |what| {
        let fix = record.fix.clone().unwrap_or_else(|| "see `pettycash verify`".to_owned());
        Check::fail("record", says(what), fix)
    };
    match record.condition {
        Condition::Sound => {
            Check::ok("record", "sound: it can be written; `pettycash verify` checks all of it")
        }
        Condition::Low => fail("nothing new is paid"),
        Condition::Full | Condition::Unwritable => fail("nothing is paid or written down"),
        Condition::Sealed => fail("nothing is paid; it is only read"),
    }
}

fn in_memory(record: &RecordHealth) -> Check {
    let acts = match record.in_memory {
        1 => "1 freeze, revocation or tighter mandate".to_owned(),
        acts => format!("{acts} freezes, revocations or tighter mandates"),
    };
    let found = format!("{acts} would be forgotten if `serve` ended now");
    Check::fail("unwritten", found, "leave it running until its disk has room again")
}

fn anchor(record: &RecordHealth) -> Check {
    if record.anchored {
        return Check::ok("anchor", "kept: an older copy of the data would be noticed");
    }
    let fix = "see that XDG_STATE_HOME, or ~/.local/state, can be written";
    Check::warn("anchor", "not kept: an older copy of the data may go unnoticed", fix)
}
