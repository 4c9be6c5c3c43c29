//! What is written down of a policy that was applied.

use serde::{Deserialize, Serialize};

use super::Hash;
use crate::policy::names::{Note, TokenId};

/// A policy that was applied: how much it changed, by whom, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How many services it added or changed.
    pub services: u32,
    /// How many agents it created.
    pub created: u32,
    /// How many agents it gave another mandate.
    pub changed: u32,
    /// The digest of all that it changed, as it was shown before.
    pub plan: Hash,
    /// The operator's token that was shown; none where it was the passphrase, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// How many groups it made or changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub groups: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
