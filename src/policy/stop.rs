//! Stops: what a mandate does about bursts of equal payments and about denials in a row.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    authorize::Payment,
    book::{Book, Standing},
    denial::{Denial, Refusal},
    entry::{By, Draft, Fact, Hold},
    money::Usd,
    names::{Reason, ServiceId},
    pace::{MAX_COUNT, Rate, Span, plain, shorthand},
    planted::{self, Bug},
};

/// How long an agent that is refused again and again is made to wait, in seconds; each time in one
/// row twice as long as before.
const THROTTLED_FOR: i64 = 60;
/// How long at the most.
const THROTTLED_AT_MOST: i64 = 3_600;

/// What a stop does. The order is the strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// An entry tells the operator; the agent goes on.
    Flag,
    /// The agent is told to wait, and until when.
    Throttle,
    /// The agent is frozen, until the operator unfreezes it.
    Freeze,
}

impl Action {
    const ALL: [(Self, &str); 3] =
        [(Self::Flag, "flag"), (Self::Throttle, "throttle"), (Self::Freeze, "freeze")];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(action, _)| action == self);
        f.write_str(word.map_or("", |(_, word)| word))
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|(_, word)| *word == text);
        named.map(|(action, _)| *action).ok_or_else(|| {
            "what is done about it is `flag`, `throttle` or `freeze`, such as 5/min:freeze"
                .to_owned()
        })
    }
}

/// More equal payments in a short time than look right: `5/min:freeze`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Burst {
    /// How many payments of one amount to one service are right; the next is one too many.
    pub rate: Rate,
    /// What is done then.
    pub action: Action,
}

shorthand!(Burst, "a rate of equal payments and flag, throttle or freeze, such as 5/min:freeze");

impl Burst {
    /// Whether `rate` lets through so few payments that there is never one too many.
    pub(super) fn is_beyond(self, rate: Rate) -> bool {
        let (own, other) = (u64::from(self.rate.span.seconds()), u64::from(rate.span.seconds()));
        // What it looks at is up to a fiftieth longer than it says, where the two differ.
        let (looked_at, bounded) = (own.saturating_mul(51), other.saturating_mul(50));
        let times = if own == other { 1 } else { looked_at.div_ceil(bounded.max(1)) };
        u64::from(rate.count).saturating_mul(times) <= u64::from(self.rate.count)
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rate, self.action)
    }
}

impl FromStr for Burst {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a burst is NUMBER/TIME:ACTION such as 5/min:freeze".to_owned();
        let (rate, action) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self { rate: rate.parse()?, action: action.parse()? })
    }
}

/// So many denials in a row, whatever they are: `10:freeze`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Streak {
    /// The denial at which it is too many; at least two.
    pub count: u32,
    /// What is done then.
    pub action: Action,
}

shorthand!(Streak, "a number of denials in a row and flag, throttle or freeze: 10:freeze");

impl fmt::Display for Streak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.action)
    }
}

impl FromStr for Streak {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("denials in a row are NUMBER:ACTION, 2 to {MAX_COUNT}, such as 10:freeze");
        let (count, action) = text.split_once(':').ok_or_else(wrong)?;
        let count = plain(count).filter(|count| *count >= 2).ok_or_else(wrong)?;
        Ok(Self { count, action: action.parse()? })
    }
}

/// Which stop of a mandate it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Too many equal payments.
    IdenticalBurst,
    /// Too many denials in a row.
    DenialStreak,
}

impl Stop {
    /// The word for it, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::IdenticalBurst => "identical-burst",
            Self::DenialStreak => "denial-streak",
        }
    }

    fn frozen(self) -> Denial {
        Denial::AgentFrozen { reason: Reason::plain(self.word()) }
    }
}

/// What a pace bounds, for a denial that tells to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// All payments.
    Payments(Rate),
    /// Payments of one amount to one service.
    EqualPayments(Rate),
    /// So many denials in a row.
    Denials(u32),
    /// The time between two payments.
    Cooldown(Span),
    /// Tasks that tools open.
    TasksOpened(Rate),
}

impl Bound {
    /// What tells it from another, for what makes denials the same.
    pub(super) fn word(self) -> String {
        match self {
            Self::Payments(rate) => format!(" {rate}"),
            Self::EqualPayments(rate) => format!(" equal {rate}"),
            Self::Denials(count) => format!(" denials {count}"),
            Self::Cooldown(span) => format!(" cooldown {span}"),
            Self::TasksOpened(rate) => format!(" tasks {rate}"),
        }
    }
}

/// What the paces of the mandate say against one more payment at `now`. Only what would be paid
/// otherwise is a burst that freezes.
pub(super) fn velocity(book: &Book, payment: &Payment, now: Timestamp, denials: &mut Vec<Denial>) {
    let mandate = &book.mandate;
    let limited = |bound, (count, frees): (u32, Timestamp)| {
        let resets_at = mandate.opens(frees);
        Denial::RateLimited { bound, count, resets_at }
    };
    for rate in &mandate.rates {
        let full = book.paced(*rate, now);
        denials.extend(full.map(|full| limited(Bound::Payments(*rate), full)));
    }
    if let Some(cooldown) = mandate.cooldown {
        let until = book.cools_until(cooldown, now);
        denials.extend(until.map(|until| limited(Bound::Cooldown(cooldown), (1, until))));
    }
    // It was told until when to wait: no other action, were it stricter, lets it pay before.
    let lifted =
        |streak: Streak| planted::is(Bug::FreezeLiftsThrottle) && streak.action != Action::Throttle;
    if let (Some(streak), Some(until)) = (mandate.denials, book.throttled)
        && now < until
        && !lifted(streak)
    {
        denials.push(limited(Bound::Denials(streak.count), (streak.count, until)));
    }
    let equal = (payment.service(), payment.cost());
    let Some(burst) = mandate.burst else { return };
    let Some(full) = book.burst(burst.rate, equal, now) else { return };
    match burst.action {
        Action::Throttle => denials.push(limited(Bound::EqualPayments(burst.rate), full)),
        Action::Freeze if denials.is_empty() => denials.push(Stop::IdenticalBurst.frozen()),
        Action::Freeze | Action::Flag => {}
    }
}

/// What tells the operator of a payment that is one too many, if it is the first that is: until
/// there is none like it for as long as the burst looks back, the others are not told again.
pub fn flag(book: &Book, hold: &Hold, now: Timestamp) -> Option<Draft> {
    let burst = book.mandate.burst.filter(|burst| burst.action == Action::Flag)?;
    let equal = (&hold.service, hold.amount);
    book.burst(burst.rate, equal, now).filter(|_| !book.is_flagged(equal))?;
    let (service, amount) = (Some(hold.service.clone()), Some(hold.amount));
    let fact = Fact::Tripped { stop: Stop::IdenticalBurst, until: None, service, amount };
    Some(Draft { agent: Some(book.handle.clone()), by: By::Engine, fact })
}

/// What one more denial sets off, the `nth` of its row; a denial that freezes is added to it. Who
/// may not pay anyway sets nothing off.
pub(super) fn trip(book: &Book, refusal: &mut Refusal, nth: u64, now: Timestamp) -> Option<Fact> {
    if book.standing != Standing::Active {
        return None;
    }
    if let Some(reason) = refusal.denials.iter().find_map(Denial::frozen_for) {
        let rate = book.mandate.burst.map(|burst| burst.rate);
        let words = rate.map(|Rate { count, span }| {
            format!("more than {count} equal payments in {}", span.any())
        });
        let reason = reason.clone();
        return Some(Fact::Frozen { reason, note: words.and_then(|words| words.parse().ok()) });
    }
    let Streak { count, action } = book.mandate.denials?;
    let (told, throttles) = book.row.as_ref().map_or((0, 0), |row| (row.tripped, row.throttles));
    let late = u64::from(planted::is(Bug::StreakIsLate));
    if nth.saturating_sub(told) < u64::from(count).saturating_add(late) {
        return None;
    }
    let stop = Stop::DenialStreak;
    let waits = book.throttled.is_some_and(|until| now < until);
    let waits = waits && !planted::is(Bug::ThrottleGrows);
    let tripped = |until| Fact::Tripped { stop, until, service: None, amount: None };
    match action {
        Action::Flag => (told == 0).then(|| tripped(None)),
        Action::Throttle if waits => None,
        Action::Throttle => {
            let until = now.checked_add(throttle(throttles)).unwrap_or(Timestamp::MAX);
            Some(tripped(Some(until)))
        }
        Action::Freeze => {
            refusal.denials.insert(0, stop.frozen());
            let note = format!("{count} denials in a row").parse().ok();
            Some(Fact::Frozen { reason: Reason::plain(stop.word()), note })
        }
    }
}

/// How long an agent waits that had to wait so often in this row.
pub(super) fn throttle(before: u64) -> SignedDuration {
    let before = if planted::is(Bug::ThrottleStays) { 0 } else { before };
    let doubled = u32::try_from(before).map_or(i64::MAX, |before| 2_i64.saturating_pow(before));
    SignedDuration::from_secs(THROTTLED_FOR.saturating_mul(doubled).min(THROTTLED_AT_MOST))
}

impl Book {
    /// Folds in that a stop took hold; of a burst of `equal` payments, or of the denials in a row.
    pub(super) fn trip(
        &mut self,
        stop: Stop,
        until: Option<Timestamp>,
        equal: Option<(&ServiceId, Usd)>,
    ) {
        match (stop, equal, &mut self.row) {
            (Stop::DenialStreak, _, Some(row)) => {
                row.tripped = row.all.unwrap_or_default();
                row.throttles = row.throttles.saturating_add(u64::from(until.is_some()));
            }
            (Stop::IdenticalBurst, Some(equal), _) => self.set_flagged(equal),
            (Stop::DenialStreak, _, None) | (Stop::IdenticalBurst, None, _) => {}
        }
        self.throttled = until.or(self.throttled);
    }
}

/// How a sentence tells of a pace that is full, and whether there is any room before the mandate
/// ends.
pub(super) fn sentence(bound: Bound, asked: Usd, (count, frees): (u32, bool)) -> String {
    let payments = |most| if most == 1 { "payment" } else { "payments" };
    let full = match bound {
        Bound::Payments(Rate { count: most, span }) => {
            let what = payments(most);
            format!("This agent may make {most} {what} in {} and made {count}", span.any())
        }
        Bound::EqualPayments(Rate { count: most, span }) => {
            let what = payments(most);
            format!("This agent may make {most} {what} of {asked} to one service in {}", span.any())
        }
        Bound::Denials(_) => format!("This agent was refused {count} times in a row"),
        Bound::Cooldown(span) => {
            format!("This agent must let {} pass between two payments", span.long())
        }
        Bound::TasksOpened(Rate { count: most, span }) => {
            format!(
                "Tools may open {most} tasks of this agent in {}, counted in steps of half an \
                 hour, and opened {count}",
                span.any()
            )
        }
    };
    if frees {
        format!("{full}: wait before you call again.")
    } else {
        format!("{full}, and its mandate ends before it may again.")
    }
}
