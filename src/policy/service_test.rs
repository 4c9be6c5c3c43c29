//! The operator's own call of a service, to see that it works: nobody pays for it here, and it is
//! written down all the same, for the API's side may have charged it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    endpoint::OperationName,
    entry::Fact,
    money::Usd,
    names::{ServiceId, TokenId},
    operate::{Act, operator},
};

/// How such a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// An agent would have been charged.
    Charged,
    /// It was answered with what is not charged.
    Free,
    /// Nothing ever left.
    NotSent,
    /// Nobody knows whether it is charged.
    Unknown,
}

impl TestOutcome {
    /// The outcome in a few words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Charged => "an agent would have been charged",
            Self::Free => "an agent would not have been charged",
            Self::NotSent => "nothing was sent",
            Self::Unknown => "an agent's money would be in doubt",
        }
    }
}

/// A call that an operator made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTested {
    /// Of which service.
    pub service: ServiceId,
    /// Which of its operations.
    pub operation: OperationName,
    /// How it ended.
    pub outcome: TestOutcome,
    /// The HTTP status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What an agent would have been charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<Usd>,
    /// The operator's token that was shown; none where it was the passphrase, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// Writes down a call that an operator made.
pub fn tested(call: ServiceTested) -> Act {
    Act::Write(vec![operator(None, Fact::ServiceTested(Box::new(call)))])
}
