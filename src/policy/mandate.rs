//! Mandates: what an operator lets an agent spend, for what, and until when.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::cap::{Bound, Cap, CapKey, Dimension};
use super::{
    downgrade::{OutputTokens, Percent},
    endpoint::Endpoint,
    hours::{ActiveDays, ActiveHours},
    money::Usd,
    names::{Category, GroupId, ModelName, Payee, RailName, ServiceId},
    pace::{Rate, Span},
    payee::{FirstPayee, MAX_PINNED},
    planted::{self, Bug},
    stop::{Burst, Streak},
    task::TasksBy,
    tier::Tier,
    window::{Hours, Period, Zone},
};

/// Where an agent's money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Funding {
    /// A balance that starts at zero and that the operator tops up.
    Prepaid,
    /// No balance: the caps alone bound it.
    Allowance,
}

impl FromStr for Funding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "prepaid" => Ok(Self::Prepaid),
            "allowance" => Ok(Self::Allowance),
            other => Err(format!("`{other}` is neither `prepaid` nor `allowance`")),
        }
    }
}

impl fmt::Display for Funding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepaid => "prepaid",
            Self::Allowance => "allowance",
        })
    }
}

/// Whether the processes of the operator's own user may use an agent by naming it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LocalUse {
    /// They may: `pettycash mcp --agent HANDLE` is enough.
    #[default]
    Allowed,
    /// For them there is no such agent: it takes one of its tokens.
    Barred,
}

impl LocalUse {
    /// Whether they may.
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

impl fmt::Display for LocalUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Barred => "barred",
        })
    }
}

/// The start of a text, for a message that repeats what somebody typed.
pub fn bounded(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

/// The operator's standing permission for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// Where the money comes from.
    pub funding: Funding,
    /// The most that one payment may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_call_limit: Option<Usd>,
    /// Bounds on sums and on how many, at most one of each kind.
    pub caps: Vec<Cap>,
    /// The zone whose hours, days, weeks and months the caps mean.
    pub zone: Zone,
    /// The services that may be paid; none named is the whole catalogue.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<ServiceId>,
    /// The services that may not be paid, even where `allow` names them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<ServiceId>,
    /// From this instant on nothing may be paid (µs since 1970 on disk).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub expires_at: Option<Timestamp>,
    /// Whether local clients may use it.
    #[serde(default, skip_serializing_if = "LocalUse::is_allowed")]
    pub local: LocalUse,
    /// Bounds on how many payments are let through in a sliding window, at most one for each span.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What is done about a burst of equal payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// What is done about denials in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<Streak>,
    /// The times of the day at which may be paid; none named is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<ActiveHours>,
    /// The days of the week on which may be paid; none named is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<ActiveDays>,
    /// How long after a payment that was let through the next one may be, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// The group whose caps bound it too, with all groups above that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Who may open its tasks.
    #[serde(default, skip_serializing_if = "TasksBy::is_operator")]
    pub tasks: TasksBy,
    /// The payees that may be paid through some services: where one pays another, nothing is paid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<ServiceId, Payee>,
    /// Whether a service may pay only who it paid first.
    #[serde(default, skip_serializing_if = "FirstPayee::is_free")]
    pub first_payee: FirstPayee,
    /// Higher limits per payment, for a track record without an incident.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Caps that are counted and deny nothing, at most one of each kind; the agent never hears of
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_caps: Vec<Cap>,
    /// The most tokens that a language model may put out in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<OutputTokens>,
    /// From which part of any cap on a cheaper model is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_at: Option<Percent>,
    /// The cheaper model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_to: Option<ModelName>,
}

/// The most services a mandate may name.
pub const MAX_SERVICES: usize = 64;
/// The most rolling caps of a mandate: each keeps some sixty sums in the book.
pub const MAX_ROLLING: usize = 2;
/// The most rates of a mandate: each keeps some fifty counts in the book.
pub const MAX_RATES: usize = 4;
/// The most caps of a mandate.
pub const MAX_CAPS: usize = 32;

/// What is wrong with a mandate that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MandateError {
    /// Nothing would bound what is spent.
    #[error(
        "an agent funded by allowance needs at least one cap that no run or task resets, \
         such as 5.00/day"
    )]
    AllowanceWithoutCap,
    /// Two caps of one kind: which one holds?
    #[error("the {} is given twice", .0.named())]
    CapTwice(CapKey),
    /// Two rates for one time: which one holds?
    #[error("the rate per {0} is given twice")]
    RateTwice(Span),
    /// A bound that refuses everything, which is what revoking is for.
    #[error("{0} must be above zero")]
    Zero(&'static str),
    /// More than a book can carry.
    #[error("a mandate names at most 64 services")]
    TooManyServices,
    /// More than a book can carry.
    #[error("there may be at most 2 rolling caps")]
    TooManyRolling,
    /// More than a book can carry.
    #[error("a mandate has at most 4 rates")]
    TooManyRates,
    /// More than anybody looks after.
    #[error("there may be at most 32 caps")]
    TooManyCaps,
    /// Runs are of one agent.
    #[error("a group has no runs: its caps are per hour, day, week, month, hours or in all")]
    RunOfGroup,
    /// A task has but one sum.
    #[error("a cap per task is on all that is paid in it: `{0}` is not")]
    CapOnPartOfTask(CapKey),
    /// Tasks are of one agent.
    #[error("a group has no tasks: a cap per task is of one agent")]
    TaskOfGroup,
    /// More than a book can carry.
    #[error("a mandate pins the payees of at most 64 services")]
    TooManyPinned,
    /// A tier that is none: what is before it is reached later, or gives as much.
    #[error(
        "the tier {0} must take more payments and no fewer days, and give a higher limit, than \
         what is before it"
    )]
    TierBelow(Tier),
    /// Without a limit there is nothing to raise.
    #[error("tiers raise the limit per payment, and there is none")]
    TierWithoutLimit,
    /// More than anybody looks after.
    #[error("a mandate has at most 4 tiers")]
    TooManyTiers,
    /// Two shadow caps of one kind: which one is told of?
    #[error("the shadow {} is given twice", .0.named())]
    ShadowTwice(CapKey),
    /// A shadow cap that everything passes.
    #[error("a shadow cap must be above zero")]
    ShadowZero,
    /// A task has but one sum.
    #[error("a shadow cap per task is on all that is paid in it: `{0}` is not")]
    ShadowOnPartOfTask(CapKey),
    /// When, but not which; or which, but not when.
    #[error("`{given}` is said without `{missing}`: say both, or neither")]
    DowngradeInHalf {
        /// What is said.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
}

impl Mandate {
    /// Whether `service` may be paid at all: denied beats allowed.
    pub fn allows(&self, service: &ServiceId) -> bool {
        let denied = self.deny.contains(service);
        if planted::is(Bug::AllowBeatsDeny) && self.allow.contains(service) {
            return true;
        }
        !denied && (self.allow.is_empty() || self.allow.contains(service))
    }

    /// The windows of the rolling caps, and what each is on: those that share both share sums.
    pub fn rolling(&self) -> BTreeSet<(Hours, &Dimension)> {
        rolling(self.counted())
    }

    /// Every cap that is counted, whether or not it denies.
    pub fn counted(&self) -> impl Iterator<Item = &Cap> {
        self.caps.iter().chain(&self.shadow_caps)
    }

    /// Whether a rolling cap is counted.
    pub fn rolls(&self) -> bool {
        self.counted().any(|cap| matches!(cap.period, Period::Rolling(_)))
    }

    /// Whether a cap per run is counted.
    pub fn caps_runs(&self) -> bool {
        self.counted().any(|cap| cap.period == Period::Run)
    }

    /// Whether there is a cap on each task or on a type of them, so that whatever is paid belongs
    /// to one.
    pub fn needs_tasks(&self) -> bool {
        need_tasks(&self.caps)
    }

    /// Checks what the types cannot.
    pub fn check(&self) -> Result<(), MandateError> {
        // Whoever begins a run names it, and tasks are opened one after the other, so a cap on
        // each of them alone bounds nothing; no more does one on some of the payments, or on how
        // many there are.
        let bounds = |cap: &Cap| {
            let each = matches!(cap.period, Period::Run | Period::Task);
            !each && cap.on.is_all() && cap.amount().is_some()
        };
        if self.funding == Funding::Allowance && !self.caps.iter().any(bounds) {
            return Err(MandateError::AllowanceWithoutCap);
        }
        if self.per_call_limit.is_some_and(Usd::is_zero) {
            return Err(MandateError::Zero("the limit per call"));
        }
        let whole = |on: &Dimension| on.is_all() || matches!(on, Dimension::TaskType(_));
        let part = |cap: &&Cap| cap.period == Period::Task && !whole(&cap.on);
        if let Some(cap) = self.caps.iter().find(part) {
            return Err(MandateError::CapOnPartOfTask(cap.key()));
        }
        if let Some(cap) = self.shadow_caps.iter().find(part) {
            return Err(MandateError::ShadowOnPartOfTask(cap.key()));
        }
        check_caps(&self.caps)?;
        self.check_shadows()?;
        for (position, rate) in self.rates.iter().enumerate() {
            if self.rates.iter().skip(position).skip(1).any(|other| other.span == rate.span) {
                return Err(MandateError::RateTwice(rate.span));
            }
        }
        if self.rates.len() > MAX_RATES {
            return Err(MandateError::TooManyRates);
        }
        if self.allow.len().saturating_add(self.deny.len()) > MAX_SERVICES {
            return Err(MandateError::TooManyServices);
        }
        if self.pinned.len() > MAX_PINNED {
            return Err(MandateError::TooManyPinned);
        }
        self.check_downgrade()?;
        self.check_tiers()
    }

    /// A book carries what is counted, whether or not it denies.
    fn check_shadows(&self) -> Result<(), MandateError> {
        if self.rolling().len() > MAX_ROLLING {
            return Err(MandateError::TooManyRolling);
        }
        if self.counted().count() > MAX_CAPS {
            return Err(MandateError::TooManyCaps);
        }
        if self.shadow_caps.iter().any(|cap| cap.bound.is_zero()) {
            return Err(MandateError::ShadowZero);
        }
        twice(&self.shadow_caps).map_or(Ok(()), |key| Err(MandateError::ShadowTwice(key)))
    }
}

/// Whether what counts under these caps must belong to a task: what belongs to none would pass all
/// that is on one type of them.
pub(super) fn need_tasks(caps: &[Cap]) -> bool {
    let of_type = |on: &Dimension| matches!(on, Dimension::TaskType(_));
    caps.iter().any(|cap| cap.period == Period::Task || of_type(&cap.on))
}

/// Checks the caps of an agent or a group.
pub(super) fn check_caps(caps: &[Cap]) -> Result<(), MandateError> {
    if rolling(caps).len() > MAX_ROLLING {
        return Err(MandateError::TooManyRolling);
    }
    if caps.len() > MAX_CAPS {
        return Err(MandateError::TooManyCaps);
    }
    if caps.iter().any(|cap| cap.bound.is_zero()) {
        return Err(MandateError::Zero("a cap"));
    }
    twice(caps).map_or(Ok(()), |key| Err(MandateError::CapTwice(key)))
}

/// The windows of those of `caps` that roll, and what each is on.
pub(super) fn rolling<'c>(
    caps: impl IntoIterator<Item = &'c Cap>,
) -> BTreeSet<(Hours, &'c Dimension)> {
    let rolls = caps.into_iter().filter_map(|cap| match cap.period {
        Period::Rolling(hours) => Some((hours, &cap.on)),
        Period::Hour
        | Period::Day
        | Period::Week
        | Period::Month
        | Period::Run
        | Period::Task
        | Period::Lifetime => None,
    });
    rolls.collect()
}

/// The first kind of cap of which there are two.
fn twice(caps: &[Cap]) -> Option<CapKey> {
    let mut seen = BTreeSet::new();
    caps.iter().map(Cap::key).find(|key| !seen.insert(key.clone()))
}

/// A catalogue entry: whom a payment reaches and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the catalogue.
    pub id: ServiceId,
    /// Who gets the money.
    pub payee: Payee,
    /// The fixed price of one call; without one, what the caller asks is the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Usd>,
    /// How the money reaches the payee.
    #[serde(default = "RailName::iou", skip_serializing_if = "RailName::is_iou")]
    pub rail: RailName,
    /// What kind of service it is, for caps on such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The API that is called, where the rail is `proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<Endpoint>>,
}
