//! Shadow caps as operators read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Sum;
use crate::policy::{
    answer::CapView,
    book::Book,
    cap::Bound,
    money::{Usd, decimal},
    rooms::Bearing,
};

/// A shadow cap with what counts under it, and what it would have denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowView {
    /// The cap, and what is used and held under it.
    #[serde(flatten)]
    pub cap: CapView,
    /// What is left under it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub left_usd: Option<Usd>,
    /// How many payments are left, where it is a cap on how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub left_count: Option<u64>,
    /// What was let through that it would have denied, since it is as it is.
    pub would_deny: Sum,
}

impl ShadowView {
    /// One of `book`'s.
    pub fn of(bearing: &Bearing<'_>, book: &Book) -> Self {
        let told = book.would_deny.get(&bearing.cap.key()).copied().unwrap_or_default();
        let (left_usd, left_count) = match bearing.cap.bound {
            Bound::Amount(_) => (Some(bearing.room.left), None),
            Bound::Count(_) => (None, Some(bearing.calls(Usd::ZERO))),
        };
        let would_deny = Sum { count: told.count, sum_usd: told.sum };
        Self { cap: CapView::of(bearing), left_usd, left_count, would_deny }
    }
}
