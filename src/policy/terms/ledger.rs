//! What is asked of a ledger over `/v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    moment::Moment,
    names::{Handle, RunId, ServiceId},
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
}
