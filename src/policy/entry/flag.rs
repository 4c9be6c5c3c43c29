//! What is said of a capture beyond its amount.

use serde::{Deserialize, Serialize};

/// What an operator should know of money that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureFlag {
    /// It was more than was held: what is metered is counted at the end.
    Overrun,
    /// Nobody knows whether the payee charged it. Its service says that it counts then.
    OutcomeUnknown,
    /// The payee's side did not say all that was used: it is what was held, and if it said more
    /// than that, that too.
    UsageIncomplete,
    /// The payee's side said more than it may ever cost: it is that most.
    AboveCeiling,
}

impl CaptureFlag {
    /// Whether more may be taken than was held.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Overrun | Self::UsageIncomplete => true,
            Self::OutcomeUnknown | Self::AboveCeiling => false,
        }
    }
}
