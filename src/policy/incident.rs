//! Incidents: what happens to the record itself, or to the clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::Note;

/// What happened to the record itself, or to the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incident {
    /// Bytes at the end that were never synced were cut at open.
    TailCut {
        /// The segment.
        file: String,
        /// Where in it they started.
        offset: u64,
        /// How many there were.
        bytes: u64,
    },
    /// There was no head anchor to hold the record against, and one was made.
    AnchorAdopted,
    /// The operator accepted a record that is older than its anchor or its desk.
    RollbackAccepted {
        /// The last record that was known.
        known: u64,
        /// The last record that is there.
        reached: u64,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The operator gave up what was damaged and all that came after it.
    DamageCut {
        /// The segment.
        file: String,
        /// Where in it the damage started.
        offset: u64,
        /// How many bytes were put aside.
        bytes: u64,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The wall clock went ahead without the time having passed (µs since 1970).
    ClockJumped {
        /// What it was.
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        from: Timestamp,
        /// What it was then.
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        to: Timestamp,
    },
}
