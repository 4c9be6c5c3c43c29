//! How a sentence tells of a cap that would be passed.

use super::Payments;
use crate::policy::{cap::Cap, money::Usd, names::GroupId};

/// One sentence: what was asked, whose cap it is, and what of it is used and held.
pub(super) fn exceeded(
    asked: Usd,
    cap: &Cap,
    (used, held): (Usd, Usd),
    count: Option<Payments>,
    group: Option<&GroupId>,
) -> String {
    let cap = cap.in_sentence(group);
    match count {
        Some(Payments { used, held: 0 }) => {
            format!("One more payment would pass {cap}: {used} made.")
        }
        Some(Payments { used, held }) => {
            format!("One more payment would pass {cap}: {used} made and {held} held.")
        }
        None if held.is_zero() => format!("{asked} would pass {cap}: {used} is used."),
        None => format!("{asked} would pass {cap}: {used} is used and {held} is held."),
    }
}
