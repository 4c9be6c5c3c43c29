//! By which of its own things a client says that a payment came: kept with it, shown to operators.
//!
//! It is attribution, not authority. A client may say what it likes, so no decision looks at it,
//! and two payments are the same whatever is said here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::Mark;

/// What a client said of where a payment came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Via {
    /// The client's own id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<Mark>,
    /// The session it came by: the first digits of a digest of its id, which lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Mark>,
    /// Where it belongs in a trace (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Mark>,
}

impl Via {
    /// What was said, if anything was.
    pub fn said(self) -> Option<Self> {
        Some(self).filter(|via| *via != Self::default())
    }
}
