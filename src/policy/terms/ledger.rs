//! What is asked of a ledger over `/v1`, and its lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    answer::LedgerLine,
    moment::Moment,
    names::{Handle, Note, RunId, ServiceId},
    task::TaskId,
    via::Via,
};

/// Which page of which ledger, and which of its lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerAsked {
    /// Whose; left out, everybody's.
    pub agent: Option<Handle>,
    /// The `next_cursor` of the page before, with the same other words; left out, the newest page.
    pub cursor: Option<String>,
    /// The most lines, 1 to 1000. A page looks at 5,000 entries at the most, so where others are
    /// asked for it may have fewer, and a `next_cursor`.
    pub limit: Option<u32>,
    /// Only from here on: a time, a day of the agent's zone (everybody's: UTC), or how long ago.
    pub since: Option<Moment>,
    /// Only before this.
    pub until: Option<Moment>,
    /// Only of this service.
    pub service_id: Option<ServiceId>,
    /// Only with this outcome; `paid` finds what was captured too, `denied` what was counted.
    pub outcome: Option<String>,
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only of this task.
    pub task_id: Option<TaskId>,
}

impl LedgerAsked {
    /// A page with every line.
    pub fn page(agent: Option<Handle>, cursor: Option<String>, limit: Option<u32>) -> Self {
        Self { agent, cursor, limit, ..Self::default() }
    }
}

/// One line of any ledger, as operators read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorLine {
    /// Whose ledger; the catalogue is nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Handle>,
    /// The line, as the agent reads it too.
    #[serde(flatten)]
    pub line: LedgerLine,
    /// What there is to say beyond it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the operator noted, which is not for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// What the client said of where a payment came from; nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// One page of the ledger, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerPage {
    /// The lines.
    pub entries: Vec<OperatorLine>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
