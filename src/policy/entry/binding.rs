//! The key that a payment answers to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::{money::Usd, names::IdempotencyKey};

/// A caller's name for a payment, and what it was asked to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The idempotency key, or the id of the call where the caller gave none.
    pub key: IdempotencyKey,
    /// The id of the call that first used it: the same call again is no replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<IdempotencyKey>,
    /// The amount that was named, if any: part of what makes two requests the same payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Usd>,
    /// When the key may be forgotten, unless the payment is still open (µs since 1970).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub until: Timestamp,
}
