//! What a call used, as its vendor counted it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::Unit;

/// The most of one unit that is believed. More is no count.
pub(super) const MAX_COUNT: u64 = 1_000_000_000_000;

/// What a call used, as its vendor counted it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many of each unit. No unit is counted in another one.
    pub counts: BTreeMap<Unit, u64>,
    /// How it was served, in the words of the table (`flex`, `fast`); nothing where nobody says,
    /// which is `standard`.
    pub tier: Option<String>,
    /// Where it was served, in the words of the table (`us`); nothing where that has no price of
    /// its own. OpenAI says it by the host that was asked, so whoever asked it fills it in.
    pub region: Option<String>,
    /// The model that the vendor says it was.
    pub model: Option<String>,
    /// Whether the vendor's last word on it was seen, and all of it made sense. If not, the counts
    /// are what was known by then, and more may be due.
    pub complete: bool,
    /// What was odd.
    pub flags: BTreeSet<Flag>,
}

impl Usage {
    /// How many tokens the whole input had, cached or not.
    pub fn input_size(&self) -> u64 {
        let parts = self.counts.iter().filter(|(unit, _)| unit.is_input());
        parts.fold(0, |size, (_, count)| size.saturating_add(*count))
    }
}

/// What was odd about a usage, a charge or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// A count was negative, broken, beyond belief, or fell where counts only grow.
    OddCount,
    /// Parts of the input were more than the whole of it.
    OddParts,
    /// An event of the stream was too long to be looked at.
    EventTooLong,
    /// An event, or the answer, could not be read.
    Unreadable,
    /// The table has no such tier or region: the dearest that it has was taken.
    UnknownRate,
    /// The model has no price for this: the dearest of its kind was taken, or nothing.
    NoPrice(Unit),
    /// Another model did a part of it, and its prices may be others.
    OtherModel,
    /// The vendor's own tools ran, of which the table has no price.
    UnpricedTool,
    /// More than an amount of money can be: the most that it can was taken.
    TooLarge,
    /// Something in the request brings in what the request does not hold, such as an image by
    /// its address or a conversation by its id.
    InputNotBounded,
    /// Searches of the web may be made, and the request does not say how many.
    SearchesNotBounded,
    /// There is a field in the request that nothing is known of.
    UnknownField,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self {
            Self::OddCount => "a count makes no sense",
            Self::OddParts => "parts of the input are more than the whole",
            Self::EventTooLong => "an event was too long to be read",
            Self::Unreadable => "something could not be read",
            Self::UnknownRate => "no price for this tier or region: taken at the dearest",
            Self::NoPrice(unit) => {
                return write!(f, "the model has no price for `{}`", unit.name());
            }
            Self::OtherModel => "another model did a part of it",
            Self::UnpricedTool => "the vendor's tools ran, which have no price",
            Self::TooLarge => "more than an amount can be",
            Self::InputNotBounded => "the request brings in what it does not hold",
            Self::SearchesNotBounded => "the request does not say how many searches there may be",
            Self::UnknownField => "the request has a field that is not known",
        };
        f.write_str(told)
    }
}
