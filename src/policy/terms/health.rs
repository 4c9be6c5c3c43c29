//! How a running `serve` and its record are, as operators read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a running `serve` says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Who started it.
    pub started_by: StartedBy,
    /// How many connections are open on its sockets.
    pub connections: u64,
    /// How its record is; one that says nothing of it is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordHealth>,
}

/// How the record of a running `serve` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordHealth {
    /// What can be done with it.
    pub condition: Condition,
    /// What stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether a head anchor tells an older copy from the present.
    pub anchored: bool,
    /// How many acts that narrow a budget are in force in that process, and not recorded.
    pub in_memory: usize,
}

/// What can be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is read and written.
    Sound,
    /// There is little room left: nothing new is paid.
    Low,
    /// There is no room left: nothing is written.
    Full,
    /// A write or sync failed: nothing is written until the process starts anew.
    Unwritable,
    /// It was damaged or rolled back when it was opened: it is only read.
    Sealed,
}

/// Who started a `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartedBy {
    /// Somebody at a terminal or a service manager: it stays.
    Operator,
    /// A client that found none: it ends itself when idle.
    Client,
}
