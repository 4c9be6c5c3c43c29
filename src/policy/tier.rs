//! Tiers: a limit per payment that rises with an agent's track record, and falls back after an
//! incident.
//!
//! A track record is how many payments were captured since the last incident, and when the first
//! of them was. Only payments of at least a tenth of the limit without a track record count, as
//! that limit was when they were captured: a hundred payments of next to nothing say little of one
//! that is large. Money that comes back later was captured all the same.
//!
//! An incident is a freeze, whoever froze it; a stop of the mandate that took hold; a payment that
//! is in doubt; and that a part of the record was given up, for nobody knows what it told. A
//! refusal, a payment that failed and money that comes back are none.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    cap::Cap,
    change::Change,
    entry::Fact,
    incident::Incident,
    mandate::{Mandate, MandateError},
    money::{Usd, decimal},
    names::GroupId,
    pace::{plain, shorthand},
    planted::{self, Bug},
    state::State,
    stop::Action,
};

/// The most tiers of a mandate.
pub const MAX_TIERS: usize = 4;
/// A payment counts for tiers from this part of the limit without a track record on: a tenth.
const PART: i128 = 10;
/// The most days that a tier asks for: ten years.
const MAX_DAYS: u32 = 3_650;

/// A higher limit per payment, and what it takes: `50x/7d:0.50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tier {
    /// How many captured payments it takes, each of at least a tenth of the limit without tiers.
    pub after: u32,
    /// How many days since the first of them, of 24 hours each.
    pub days: u32,
    /// The most for one payment from then on.
    pub limit: Usd,
}

shorthand!(
    Tier,
    "so many captured payments, so many days and the limit per payment from then on: 50x/7d:0.50"
);

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x/{}d:{}", self.after, self.days, self.limit.decimal())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "a tier is PAYMENTSx/DAYSd:AMOUNT such as 50x/7d:0.50: from 50 captured payments over \
             7 days on, 0.50 a payment"
                .to_owned()
        };
        let (track, limit) = text.split_once(':').ok_or_else(wrong)?;
        let (after, days) = track.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str, unit| text.strip_suffix(unit).and_then(plain);
        let after = number(after, 'x').ok_or_else(wrong)?;
        let days = number(days, 'd').filter(|days| *days <= MAX_DAYS).ok_or_else(wrong)?;
        Ok(Self { after, days, limit: limit.parse().map_err(|_| wrong())? })
    }
}

impl Tier {
    /// One line for the operator.
    pub fn in_words(&self) -> String {
        let Self { after, days, limit } = self;
        format!("{limit} per payment after {after} payments over {days} days")
    }

    /// From when on it is reached by days alone.
    fn from(&self, first: Timestamp) -> Timestamp {
        let short = i64::from(planted::is(Bug::TierIsEarly));
        let hours = i64::from(self.days).saturating_mul(24).saturating_sub(short);
        first.checked_add(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX)
    }
}

/// What was captured since the last incident, and is large enough to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// How many payments.
    pub paid: u64,
    /// When the first of them was, later by as much as the clock was ever set forward since (µs
    /// since 1970 on disk).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub first: Option<Timestamp>,
}

/// The tier that comes next, and what it still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct NextTier {
    /// The most for one payment then.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub per_call_limit_usd: Usd,
    /// How many more payments it takes.
    #[schemars(with = "u32")]
    pub payments: u64,
    /// Not before then; without a payment since the last incident, so many days after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub not_before: Option<Timestamp>,
}

impl Mandate {
    /// The most that one payment may ever be: the limit of the last tier, or without tiers the
    /// limit.
    pub fn highest_limit(&self) -> Option<Usd> {
        let last = self.tiers.last().map(|tier| tier.limit);
        last.max(self.per_call_limit)
    }

    /// What no tiers may be.
    pub(super) fn check_tiers(&self) -> Result<(), MandateError> {
        if self.tiers.len() > MAX_TIERS {
            return Err(MandateError::TooManyTiers);
        }
        let Some(base) = self.per_call_limit else {
            return if self.tiers.is_empty() {
                Ok(())
            } else {
                Err(MandateError::TierWithoutLimit)
            };
        };
        let mut before = Tier { after: 0, days: 0, limit: base };
        for tier in &self.tiers {
            let rises =
                tier.after > before.after && tier.days >= before.days && tier.limit > before.limit;
            if !rises {
                return Err(MandateError::TierBelow(*tier));
            }
            before = *tier;
        }
        Ok(())
    }

    /// The limit of whoever has so many payments over so many days.
    fn limit_after(&self, after: u32, days: u32) -> Option<Usd> {
        let reached = self.tiers.iter().filter(|tier| tier.after <= after && tier.days <= days);
        self.per_call_limit.map(|base| reached.map(|tier| tier.limit).fold(base, Usd::max))
    }

    /// What differs in the tiers and in what counts for them.
    pub(super) fn changes_of_tiers(&self, to: &Self) -> impl Iterator<Item = Change> {
        self.change_of_tiers(to).into_iter().chain(self.change_of_track(to))
    }

    /// Tiers that stay are reached by less where the limit without them is lowered: that gives
    /// more, for else whoever may only tighten would pay next to nothing until the last is reached.
    fn change_of_track(&self, to: &Self) -> Option<Change> {
        let stay = !self.tiers.is_empty() && !to.tiers.is_empty();
        let from = self.per_call_limit.filter(|_| stay && !planted::is(Bug::TierIsLowered))?;
        let lower = to.per_call_limit.filter(|lower| *lower < from)?;
        let text = |limit: Usd| format!("payments from a tenth of {limit}");
        Change::of_text("what counts for tiers", text(from), text(lower), true)
    }

    /// What differs in the tiers: they give more where somebody's limit would be higher.
    fn change_of_tiers(&self, to: &Self) -> Option<Change> {
        let text = |tiers: &[Tier]| {
            let words: Vec<String> = tiers.iter().map(ToString::to_string).collect();
            (!words.is_empty()).then(|| words.join(", "))
        };
        let higher = |tier: &Tier| {
            self.limit_after(tier.after, tier.days).is_some_and(|limit| tier.limit > limit)
        };
        let loosens = to.tiers.iter().any(higher);
        let (from, what) = (text(&self.tiers), "tiers of the limit per payment".to_owned());
        (self.tiers != to.tiers).then(|| Change { what, from, to: text(&to.tiers), loosens })
    }
}

impl Book {
    /// The most for one payment at `now`: the limit of the mandate, or of the highest tier that the
    /// track record reaches. Whoever decides on or tells of a limit asks this.
    pub fn limit(&self, now: Timestamp) -> Option<Usd> {
        let base = self.mandate.per_call_limit?;
        let reached = self.mandate.tiers.iter().filter(|tier| self.reaches(tier, now));
        Some(reached.map(|tier| tier.limit).fold(base, Usd::max))
    }

    fn reaches(&self, tier: &Tier, now: Timestamp) -> bool {
        let Some(Track { paid, first: Some(first) }) = self.track else { return false };
        paid >= u64::from(tier.after) && now >= tier.from(first)
    }

    /// The first tier that is not reached at `now`, and what it takes.
    pub fn next_tier(&self, now: Timestamp) -> Option<NextTier> {
        let tier = self.mandate.tiers.iter().find(|tier| !self.reaches(tier, now))?;
        let Track { paid, first } = self.track.unwrap_or_default();
        Some(NextTier {
            per_call_limit_usd: tier.limit,
            payments: u64::from(tier.after).saturating_sub(paid),
            not_before: first.map(|first| tier.from(first)).filter(|from| *from > now),
        })
    }

    /// Folds in the tiers of another mandate: where there were none, a track record begins.
    pub(super) fn set_track(&mut self, to: &Mandate) {
        self.track = (!to.tiers.is_empty()).then(|| self.track.unwrap_or_default());
    }

    /// Folds in that `amount` of a payment was captured at `at`.
    pub(super) fn captured_at(&mut self, at: Timestamp, amount: Usd) {
        let base = self.mandate.per_call_limit.unwrap_or(Usd::ZERO);
        let whole = i128::from(amount.nanos()).saturating_mul(PART);
        if whole < i128::from(base.nanos()) && !planted::is(Bug::TierIsFarmed) {
            return;
        }
        if let Some(track) = &mut self.track {
            track.paid = track.paid.saturating_add(1);
            track.first.get_or_insert(at);
        }
    }

    /// Folds in what ends a track record, if `fact` does.
    pub(super) fn judge(&mut self, fact: &Fact) {
        let frozen = matches!(fact, Fact::Frozen { .. }) && !planted::is(Bug::FreezeKeepsTier);
        let doubted = matches!(fact, Fact::Doubted { .. }) && !planted::is(Bug::DoubtKeepsTier);
        if frozen || doubted || matches!(fact, Fact::Tripped { .. }) {
            self.track = self.track.map(|_| Track::default());
        }
    }

    /// Whether one more of many equal payments may end a track record that it has.
    pub(super) fn may_fall_back(&self) -> bool {
        let flags = self.mandate.burst.is_some_and(|burst| burst.action == Action::Flag);
        flags && self.track.is_some_and(|track| track != Track::default())
    }

    /// Has no day count that only the clock says went by.
    fn postpone(&mut self, by: SignedDuration) {
        if let Some(Track { first: Some(first), .. }) = &mut self.track {
            *first = first.checked_add(by).unwrap_or(Timestamp::MAX);
        }
    }
}

/// The lowest of these caps on the amount of all payments, each with the group it is of.
pub(super) fn tightest<'c>(
    caps: impl Iterator<Item = (Option<&'c GroupId>, &'c Cap)>,
) -> Option<(Usd, Option<&'c GroupId>, &'c Cap)> {
    let caps = caps.filter(|(_, cap)| cap.on.is_all());
    let caps = caps.filter_map(|(group, cap)| Some((cap.amount()?, group, cap)));
    caps.min_by_key(|(amount, ..)| *amount)
}

impl State {
    /// What an operator should know of tiers that a cap stands before, its own or a group's.
    pub(super) fn remark_on_tiers(&self, mandate: &Mandate) -> Option<String> {
        let own = mandate.caps.iter().map(|cap| (None, cap));
        let groups = self.chain(mandate.group.as_ref()).into_iter();
        let shared = groups
            .flat_map(|group| group.rules.caps.iter().map(move |cap| (Some(&group.name), cap)));
        let (most, group, cap) = tightest(own.chain(shared))?;
        let tier = mandate.tiers.iter().find(|tier| tier.limit > most)?;
        let of = group.map(|group| format!(" of `{group}`")).unwrap_or_default();
        let during = cap.period.during();
        Some(format!("the tier {tier} is above the cap of {most} {during}{of}: no payment is"))
    }

    /// Folds in what an incident of the record or the clock means for every track record.
    pub(super) fn judge_all(&mut self, incident: &Incident) {
        let jumped = match incident {
            Incident::ClockJumped { from, to } => {
                Some(to.duration_since(*from).max(SignedDuration::ZERO))
            }
            Incident::RollbackAccepted { .. } | Incident::DamageCut { .. } => None,
            Incident::TailCut { .. } | Incident::AnchorAdopted => return,
        };
        for book in self.books.values_mut().filter(|book| book.track.is_some()) {
            match jumped {
                Some(by) => book.postpone(by),
                None => book.track = Some(Track::default()),
            }
            self.touched.insert(super::documents::DocKey::Book(book.handle.clone()));
        }
    }
}
