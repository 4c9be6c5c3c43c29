//! Mandates as operators read them, and what they ask to be changed in one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AgentView, CapTerms, NewAgent, once::once};
use crate::policy::{
    cap::Aim,
    change::Change,
    downgrade::{OutputTokens, Percent},
    hours::{ActiveDays, ActiveHours},
    mandate::{Cap, CapKey, Dimension, Funding, LocalUse, Mandate, MandateError},
    money::{Usd, decimal},
    names::{GroupId, Handle, ModelName, Payee, ServiceId},
    pace::{Rate, Span},
    payee::FirstPayee,
    state::State,
    stop::{Burst, Streak},
    task::TasksBy,
    tier::Tier,
    window::Zone,
};

/// A mandate as operators read it; with it another agent can be created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MandateView {
    /// Whose it is.
    pub handle: Handle,
    /// Where its money comes from.
    pub funding: Funding,
    /// The most for one payment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub per_call_limit_usd: Option<Usd>,
    /// Its caps.
    pub caps: Vec<CapTerms>,
    /// The zone whose days the caps mean.
    pub timezone: Zone,
    /// The services it may pay; none is all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<ServiceId>,
    /// The services it may not pay.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<ServiceId>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether local clients may use the agent.
    #[serde(default, skip_serializing_if = "LocalUse::is_allowed")]
    pub local: LocalUse,
    /// The most payments in so long a time, such as `20/min`, one for each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What is done about a burst of equal payments, such as `5/min:freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// What is done about denials in a row, such as `10:freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<Streak>,
    /// The times of the day at which it may pay, such as `09:00-18:00`; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<ActiveHours>,
    /// The days of the week on which it may pay; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<ActiveDays>,
    /// How long it must wait after a payment, such as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// The group whose caps bound it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Who may open its tasks.
    #[serde(default, skip_serializing_if = "TasksBy::is_operator")]
    pub tasks: TasksBy,
    /// The payees that may be paid through some services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<ServiceId, Payee>,
    /// Whether a service may pay only who it paid first.
    #[serde(default, skip_serializing_if = "FirstPayee::is_free")]
    pub first_payee: FirstPayee,
    /// Higher limits per payment for a track record, such as `50x/7d:0.50`, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Caps that deny nothing, and of which it is told what they would have denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_caps: Vec<CapTerms>,
    /// The most tokens that a language model may put out in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<OutputTokens>,
    /// From so many percent of any cap on the model of `downgrade_to` is used, where it is cheaper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_at: Option<Percent>,
    /// The cheaper model, such as `claude-haiku-4-5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_to: Option<ModelName>,
}

impl MandateView {
    /// The mandate of `handle`.
    pub fn of(handle: &Handle, mandate: &Mandate) -> Self {
        let caps = mandate.caps.iter().cloned().map(CapTerms);
        Self {
            handle: handle.clone(),
            funding: mandate.funding,
            per_call_limit_usd: mandate.per_call_limit,
            caps: caps.collect(),
            timezone: mandate.zone.clone(),
            allow: mandate.allow.clone(),
            deny: mandate.deny.clone(),
            expires_at: mandate.expires_at,
            local: mandate.local,
            rates: mandate.rates.clone(),
            burst: mandate.burst,
            denials: mandate.denials,
            hours: mandate.hours.clone(),
            days: mandate.days,
            cooldown: mandate.cooldown,
            group: mandate.group.clone(),
            tasks: mandate.tasks,
            pinned: mandate.pinned.clone(),
            first_payee: mandate.first_payee,
            tiers: mandate.tiers.clone(),
            shadow_caps: mandate.shadow_caps.iter().cloned().map(CapTerms).collect(),
            max_output_tokens: mandate.max_output_tokens,
            downgrade_at: mandate.downgrade_at,
            downgrade_to: mandate.downgrade_to.clone(),
        }
    }
}

impl NewAgent {
    /// The terms that ask for this mandate.
    pub fn of(handle: Handle, mandate: Mandate) -> Self {
        Self {
            handle,
            funding: mandate.funding,
            per_call_limit_usd: mandate.per_call_limit,
            caps: mandate.caps.into_iter().map(CapTerms).collect(),
            timezone: mandate.zone,
            allow: mandate.allow,
            deny: mandate.deny,
            expires_at: mandate.expires_at,
            local: mandate.local,
            rates: mandate.rates,
            burst: mandate.burst,
            denials: mandate.denials,
            hours: mandate.hours,
            days: mandate.days,
            cooldown: mandate.cooldown,
            group: mandate.group,
            tasks: mandate.tasks,
            pinned: mandate.pinned,
            first_payee: mandate.first_payee,
            tiers: mandate.tiers,
            shadow_caps: mandate.shadow_caps.into_iter().map(CapTerms).collect(),
            max_output_tokens: mandate.max_output_tokens,
            downgrade_at: mandate.downgrade_at,
            downgrade_to: mandate.downgrade_to,
        }
    }
}

/// What is asked of something that may be there or not. On the wire: left out, null, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// Leave it as it is.
    #[default]
    Keep,
    /// There shall be none.
    Clear,
    /// It shall be this.
    Set(T),
}

impl<T> Edit<T> {
    /// Whether nothing is asked.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep)
    }

    fn of(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Keep => present,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Edit<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => to.serialize_none(),
            Self::Set(value) => value.serialize(to),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edit<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Clear, Self::Set))
    }
}

/// An amount as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Amount(
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub Usd,
);

/// The body that changes a mandate: what it does not name stays as it is.
///
/// It says what to change, not what to have, so that what two operators change at once does not
/// undo each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MandatePatch {
    /// The most for one payment; null takes it away.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Amount>")]
    pub per_call_limit_usd: Edit<Amount>,
    /// Caps to set, each in place of the one of its period that counts the same payments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapTerms>,
    /// Caps that shall not be, by their period and what they count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_caps: Vec<CapKey>,
    /// The zone whose days the caps mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Zone>,
    /// Whether the list of services it may pay is emptied first: it may pay all, or else those of
    /// `allow` and no others.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_all: bool,
    /// Services to add to those it may pay.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<ServiceId>,
    /// Services to take from those it may pay.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub no_allow: BTreeSet<ServiceId>,
    /// Services to add to those it may not pay.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<ServiceId>,
    /// Services to take from those it may not pay.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub no_deny: BTreeSet<ServiceId>,
    /// When it ends; null is never.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Timestamp>")]
    pub expires_at: Edit<Timestamp>,
    /// Whether local clients may use the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalUse>,
    /// Rates to set, each in place of the one of its time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// Times that shall have no rate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_rates: Vec<Span>,
    /// What is done about a burst of equal payments; null is nothing.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Burst>")]
    pub burst: Edit<Burst>,
    /// What is done about denials in a row; null is nothing.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Streak>")]
    pub denials: Edit<Streak>,
    /// The times of the day at which it may pay; null is all.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<ActiveHours>")]
    pub hours: Edit<ActiveHours>,
    /// The days of the week on which it may pay; null is all.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<ActiveDays>")]
    pub days: Edit<ActiveDays>,
    /// How long it must wait after a payment; null is not at all.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Span>")]
    pub cooldown: Edit<Span>,
    /// Whether it is only said what would change.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// The group whose caps bound it too; null takes it out of its group.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<GroupId>")]
    pub group: Edit<GroupId>,
    /// Who may open its tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TasksBy>,
    /// Payees to pin, each in place of the one of its service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub pinned: BTreeMap<ServiceId, Payee>,
    /// Services that shall have no payee pinned.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub no_pinned: BTreeSet<ServiceId>,
    /// Whether a service may pay only who it paid first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_payee: Option<FirstPayee>,
    /// All the higher limits for a track record; an empty list is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<Tier>>,
    /// The most tokens that a language model may put out in one call; null is no bound.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<OutputTokens>")]
    pub max_output_tokens: Edit<OutputTokens>,
    /// From so many percent of any cap on a cheaper model is used; null, with the model, is never.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<Percent>")]
    pub downgrade_at: Edit<Percent>,
    /// The cheaper model; null, with the percentage, is none.
    #[serde(skip_serializing_if = "Edit::keeps")]
    #[schemars(with = "Option<ModelName>")]
    pub downgrade_to: Edit<ModelName>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a change of a mandate cannot be made of what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Both: which one holds?
    #[error("the {} is set and taken away at once", .0.named())]
    CapBothWays(CapKey),
    /// Both: which one holds?
    #[error("the rate per {0} is set and taken away at once")]
    RateBothWays(Span),
    /// Both: which one holds?
    #[error("`{0}` is named both ways at once")]
    ServiceBothWays(ServiceId),
    /// No list means all: to take the last one out would allow everything.
    #[error("`{0}` is the last service that is allowed: without it every service would be")]
    LastAllowed(ServiceId),
    /// The mandate that comes of it contradicts itself.
    #[error(transparent)]
    Mandate(#[from] MandateError),
}

impl MandatePatch {
    /// Whether it asks for nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self { dry_run: self.dry_run, ..Self::default() }
    }

    /// The mandate that comes of `present`.
    ///
    /// # Errors
    /// If what is asked contradicts itself, or the mandate that comes of it does.
    pub fn apply(&self, present: &Mandate) -> Result<Mandate, PatchError> {
        let Self { allow, no_allow, deny, no_deny, .. } = self;
        let both = |one: &BTreeSet<_>, other: &BTreeSet<_>| one.intersection(other).next().cloned();
        let torn = both(allow, no_allow).or(both(deny, no_deny)).or(both(allow, deny));
        if let Some(service) = torn {
            return Err(PatchError::ServiceBothWays(service));
        }
        let kept = if self.allow_all { BTreeSet::new() } else { present.allow.clone() };
        let allowed: BTreeSet<_> = kept.union(allow).cloned().collect();
        let left: BTreeSet<_> = allowed.difference(no_allow).cloned().collect();
        if let Some(last) = allowed.last().filter(|_| left.is_empty()) {
            return Err(PatchError::LastAllowed(last.clone()));
        }
        let denied: BTreeSet<_> = present.deny.union(deny).cloned().collect();
        let limit = match self.per_call_limit_usd {
            Edit::Keep => Edit::Keep,
            Edit::Clear => Edit::Clear,
            Edit::Set(Amount(amount)) => Edit::Set(amount),
        };
        let mandate = Mandate {
            funding: present.funding,
            per_call_limit: limit.of(present.per_call_limit),
            caps: self.caps_of(&present.caps)?,
            zone: self.timezone.clone().unwrap_or_else(|| present.zone.clone()),
            allow: left,
            deny: denied.difference(no_deny).cloned().collect(),
            expires_at: self.expires_at.of(present.expires_at),
            local: self.local.unwrap_or(present.local),
            rates: self.rates_of(&present.rates)?,
            burst: self.burst.of(present.burst),
            denials: self.denials.of(present.denials),
            hours: self.hours.clone().of(present.hours.clone()),
            days: self.days.of(present.days),
            cooldown: self.cooldown.of(present.cooldown),
            group: self.group.clone().of(present.group.clone()),
            tasks: self.tasks.unwrap_or(present.tasks),
            pinned: self.pins_of(&present.pinned)?,
            first_payee: self.first_payee.unwrap_or(present.first_payee),
            tiers: self.tiers.clone().unwrap_or_else(|| present.tiers.clone()),
            shadow_caps: present.shadow_caps.clone(),
            max_output_tokens: self.max_output_tokens.of(present.max_output_tokens),
            downgrade_at: self.downgrade_at.of(present.downgrade_at),
            downgrade_to: self.downgrade_to.clone().of(present.downgrade_to.clone()),
        };
        mandate.check()?;
        Ok(mandate)
    }

    fn caps_of(&self, present: &[Cap]) -> Result<Vec<Cap>, PatchError> {
        let mut caps: Vec<Cap> = present.to_vec();
        for (position, CapTerms(cap)) in self.caps.iter().enumerate() {
            let key = cap.key();
            if self.no_caps.contains(&key) {
                return Err(PatchError::CapBothWays(key));
            }
            if self.caps.iter().skip(position).skip(1).any(|CapTerms(other)| other.key() == key) {
                return Err(MandateError::CapTwice(key).into());
            }
            match caps.iter_mut().find(|cap| cap.key() == key) {
                Some(present) => *present = cap.clone(),
                None => caps.push(cap.clone()),
            }
        }
        caps.retain(|cap| !self.no_caps.contains(&cap.key()));
        Ok(caps)
    }

    fn pins_of(
        &self,
        present: &BTreeMap<ServiceId, Payee>,
    ) -> Result<BTreeMap<ServiceId, Payee>, PatchError> {
        if let Some(both) = self.no_pinned.iter().find(|id| self.pinned.contains_key(*id)) {
            return Err(PatchError::ServiceBothWays(both.clone()));
        }
        let mut pins = present.clone();
        pins.extend(self.pinned.clone());
        pins.retain(|id, _| !self.no_pinned.contains(id));
        Ok(pins)
    }

    fn rates_of(&self, present: &[Rate]) -> Result<Vec<Rate>, PatchError> {
        let mut rates: Vec<Rate> = present.to_vec();
        for (position, rate) in self.rates.iter().enumerate() {
            if self.no_rates.contains(&rate.span) {
                return Err(PatchError::RateBothWays(rate.span));
            }
            if self.rates.iter().skip(position).skip(1).any(|other| other.span == rate.span) {
                return Err(MandateError::RateTwice(rate.span).into());
            }
            match rates.iter_mut().find(|present| present.span == rate.span) {
                Some(present) => *present = *rate,
                None => rates.push(*rate),
            }
        }
        rates.retain(|rate| !self.no_rates.contains(&rate.span));
        Ok(rates)
    }

    /// What an operator should know of the services that were named.
    pub fn remarks(&self, to: &Mandate, state: &State) -> Vec<String> {
        let still_denied = self.allow.iter().filter(|id| to.deny.contains(*id));
        let still_denied =
            still_denied.map(|id| format!("`{id}` is denied too, and what is denied stays unpaid"));
        let named = self.allow.union(&self.deny);
        let unknown = named.filter(|id| state.service(id).is_none());
        let unknown = unknown.map(|id| format!("the catalogue has no service `{id}`"));
        let nowhere = |on: &Dimension| !state.services().any(|one| on.covers(&Aim::from(one)));
        let set = self.caps.iter().map(|CapTerms(cap)| &cap.on).collect::<BTreeSet<_>>();
        // A type is what tasks have, whatever is paid in them.
        let of_services = |on: &&Dimension| !on.is_all() && !matches!(on, Dimension::TaskType(_));
        let idle = set.into_iter().filter(of_services).filter(|on| nowhere(on));
        let idle = idle.map(|on| format!("the catalogue has nothing that is `{on}`"));
        let pinned = self.pinned.iter().filter_map(|(id, payee)| {
            let found = state.service(id).map(|service| &service.payee);
            match found {
                None => Some(format!("the catalogue has no service `{id}`")),
                Some(found) if found != payee => {
                    Some(format!("`{id}` pays {found}: nothing is paid for it as it is"))
                }
                Some(_) => None,
            }
        });
        let bounds = self.tiers.is_some() || !self.caps.is_empty() || !self.group.keeps();
        let tiers = bounds.then(|| state.remark_on_tiers(to)).flatten();
        let capped = !self.caps.is_empty() || !self.no_caps.is_empty() || !self.group.keeps();
        let cheaper = capped || !self.downgrade_at.keeps();
        let cheaper = cheaper.then(|| state.remark_on_downgrade(to)).flatten();
        let bounds = tiers.into_iter().chain(cheaper);
        still_denied.chain(unknown).chain(idle).chain(pinned).chain(bounds).collect()
    }
}

/// What changing a mandate came to, or would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MandateChanged {
    /// Whether it is set; false where nothing changes, or only that was asked.
    pub applied: bool,
    /// What differs.
    pub changes: Vec<Change>,
    /// What an operator should know of it.
    pub remarks: Vec<String>,
    /// The agent as it is now.
    pub agent: AgentView,
}
