//! What is wrong with a policy, with the places that have to do with it.
//!
//! What an agent has already is never refused: then it is only said. So whatever is exported can
//! be applied.

mod caps;
mod endpoints;
mod groups;
mod models;
mod numbers;
mod payees;
mod services;
mod shadows;
mod tiers;

use std::collections::BTreeSet;

use caps::Holder;
pub(super) use numbers::may_bound_less;

use jiff::Timestamp;

use super::{Around, after::After, settled};
use crate::policy::{
    book::Book,
    mandate::{Cap, CapKey, MAX_CAPS, MAX_RATES, MAX_ROLLING, MAX_SERVICES, Mandate, MandateError},
    names::{Handle, ServiceId},
    pace::Rate,
    payee::MAX_PINNED,
    state::State,
    terms::{AgentTerms, CapText, Fault, FaultCode, Place, PolicyTerms, ServiceTerms, Severity},
    tier::tightest,
};

/// How many errors, and how many warnings, are told.
const TOLD: usize = 20;
/// How many names are compared with one that is not known.
const SEARCHED: usize = 1_000;
/// How far a name may be from another that is meant.
const NEAR: usize = 2;

/// How much more was found than is told.
#[derive(Clone, Copy, Default)]
pub(super) struct Untold {
    pub(super) errors: u32,
    pub(super) warnings: u32,
}

/// The review of one document.
pub(super) struct Review<'a> {
    state: &'a State,
    policy: &'a PolicyTerms,
    around: &'a Around,
    now: Timestamp,
    errors: Vec<Fault>,
    warnings: Vec<Fault>,
    untold: Untold,
    /// The first place and code of all that was found.
    seen: BTreeSet<(String, FaultCode, Severity)>,
}

/// One agent of it.
struct Agent<'a> {
    handle: &'a Handle,
    own: &'a AgentTerms,
    defaults: &'a AgentTerms,
    mandate: &'a Mandate,
    /// Whether it has all of this already.
    so_already: bool,
    present: Option<&'a Mandate>,
}

impl<'a> Review<'a> {
    pub(super) fn new(
        state: &'a State,
        policy: &'a PolicyTerms,
        around: &'a Around,
        now: Timestamp,
    ) -> Self {
        let (errors, warnings) = (Vec::new(), Vec::new());
        Self {
            state,
            policy,
            around,
            now,
            errors,
            warnings,
            untold: Untold::default(),
            seen: BTreeSet::new(),
        }
    }

    /// What there is once the policy is applied.
    fn after(&self) -> After<'a> {
        After { state: self.state, policy: self.policy }
    }

    /// What was found, errors first, and how much more there is.
    pub(super) fn faults(self) -> (Vec<Fault>, Untold) {
        let faults = self.errors.into_iter().chain(self.warnings).collect();
        (faults, self.untold)
    }

    /// Tells a fault once for each first place, with words that are made only if they are read.
    fn tell<H: Into<String>>(
        &mut self,
        severity: Severity,
        code: FaultCode,
        at: Vec<Place>,
        words: impl FnOnce(&Self) -> (String, H),
    ) {
        // What stands in the defaults is told once, not for every agent.
        let first = at.first().map(|place| place.pointer.clone()).unwrap_or_default();
        if !self.seen.insert((first, code, severity)) {
            return;
        }
        let told = |review: &Self| match severity {
            Severity::Error => review.errors.len(),
            Severity::Warning => review.warnings.len(),
        };
        if told(self) >= TOLD {
            let untold = match severity {
                Severity::Error => &mut self.untold.errors,
                Severity::Warning => &mut self.untold.warnings,
            };
            *untold = untold.saturating_add(1);
            return;
        }
        let (message, hint) = words(self);
        let fault = Fault { severity, code, message, hint: Some(hint.into()), at };
        match severity {
            Severity::Error => self.errors.push(fault),
            Severity::Warning => self.warnings.push(fault),
        }
    }

    pub(super) fn service(&mut self, id: &ServiceId, terms: &ServiceTerms) {
        let at = |key: &str| vec![place(format!("/services/{id}/{key}"), None)];
        if terms.price.is_some_and(|price| price.0.is_zero()) {
            self.tell(Severity::Error, FaultCode::Zero, at("price"), |_| {
                let hint = "leave `price` out, and what the caller asks is the price";
                (format!("the price of `{id}` must be above zero"), hint)
            });
        }
        self.endpoint(id, terms);
        if !self.around.rails.contains(&terms.rail) {
            self.tell(Severity::Error, FaultCode::RailUnknown, at("rail"), |review| {
                let known = review.around.rails.iter().map(|rail| format!("`{rail}`"));
                let hint = format!("there is {}", known.collect::<Vec<_>>().join(", "));
                (format!("there is no rail `{}`", terms.rail), hint)
            });
        }
    }

    /// An empty `allow` reads as none and would mean all.
    pub(super) fn allow(&mut self, pointer: &str, terms: &AgentTerms) {
        if terms.allow.as_ref().is_some_and(Vec::is_empty) {
            let at = vec![place(format!("{pointer}/allow"), None)];
            self.tell(Severity::Error, FaultCode::AllowEmpty, at, |_| {
                let hint = "leave `allow` out, here and in [defaults], for every service; to \
                            stop an agent: `pettycash agent freeze`";
                ("`allow` names no service".to_owned(), hint)
            });
        }
    }

    pub(super) fn agent(&mut self, handle: &Handle, own: &AgentTerms, mandate: &Mandate) {
        self.allow(&format!("/agents/{handle}"), own);
        let book = self.state.book(handle);
        if book.is_some_and(Book::is_revoked) {
            let at = vec![place(format!("/agents/{handle}"), None)];
            return self.tell(Severity::Error, FaultCode::AgentRevoked, at, |_| {
                let hint = "take it out of the file; handles are never given twice";
                (format!("`{handle}` was revoked, which is for good"), hint)
            });
        }
        let present = book.map(|book| &book.mandate);
        let so_already = present.is_some_and(|present| settled(present.clone()) == *mandate);
        let defaults = &self.policy.defaults;
        let agent = Agent { handle, own, defaults, mandate, so_already, present };
        if let Some(present) = present.filter(|present| present.funding != mandate.funding) {
            let (at, funding) = (vec![agent.place("funding", None)], present.funding);
            self.tell(Severity::Error, FaultCode::FundingFixed, at, |_| {
                let hint = format!("write `funding = \"{funding}\"`, or name another agent");
                (format!("`{handle}` is funded by {funding}, for good"), hint)
            });
        }
        if let Err(wrong) = mandate.check() {
            let (code, hint, at) = agent.contradicts(wrong.clone());
            let words = |_: &Self| (format!("`{handle}`: {wrong}"), hint);
            self.tell(Severity::Error, code, at, words);
        }
        self.limits(&agent);
        self.tiers(&agent);
        self.models(&agent);
        self.shadows(&agent);
        self.burst(&agent);
        let (name, caps) = (handle.as_str(), mandate.caps.iter().collect());
        self.caps(&Holder { name, caps, place: &|cap, label| agent.cap(cap, label) });
        self.caps_on_what_is_not_paid(&agent);
        self.hours(&agent);
        self.group_of(&agent);
        self.services(&agent);
        self.payees(&agent);
        if mandate.expires_at.is_some_and(|at| at <= self.now) {
            let at = vec![agent.place("expires", None)];
            self.tell(Severity::Warning, FaultCode::Expired, at, |_| {
                let message = format!("the mandate of `{handle}` is over: nothing is paid");
                (message, "give a time to come")
            });
        }
    }

    /// A limit that no payment gets to, for a cap stands before it, its own or a group's.
    fn limits(&mut self, agent: &Agent<'_>) {
        let Some(limit) = agent.mandate.per_call_limit else { return };
        let after = self.after();
        let shared = after.caps_of(&after.chain(agent.mandate.group.as_ref()));
        let own = agent.mandate.caps.iter().map(|cap| (None, cap));
        let caps = own.chain(shared.into_iter().map(|(group, cap)| (Some(group), cap)));
        let Some((most, group, cap)) = tightest(caps).filter(|(amount, ..)| *amount < limit) else {
            return;
        };
        let least = format!("no payment above {most} is ever made");
        let first = match group {
            None => agent.cap(cap, "the cap"),
            Some(group) => self.shared_cap(agent, group, cap, "the cap"),
        };
        let at = vec![agent.place("per_call", Some(least)), first];
        self.tell(Severity::Warning, FaultCode::LimitAboveCap, at, |_| {
            let (handle, during) = (agent.handle, cap.period.during());
            let whose = match group {
                None => format!("its cap of {most} {during}"),
                Some(group) => format!("the cap of {most} {during} of `{group}`"),
            };
            let message =
                format!("the limit of {limit} for one payment of `{handle}` is above {whose}");
            (message, format!("lower `per_call` to \"{}\", or raise the cap", most.decimal()))
        });
    }

    /// A burst that no payments come to, for a rate stands before it.
    fn burst(&mut self, agent: &Agent<'_>) {
        let Some(burst) = agent.mandate.burst else { return };
        let Some(rate) = agent.mandate.rates.iter().find(|rate| burst.is_beyond(**rate)) else {
            return;
        };
        let index = agent.rates().find(|(_, one)| *one == rate).map(|(index, _)| index);
        let at = vec![
            agent.place("burst", Some("never reached".to_owned())),
            agent.item("rates", index, "the rate"),
        ];
        self.tell(Severity::Warning, FaultCode::BurstUnreachable, at, |_| {
            let (handle, most, any) = (agent.handle, rate.count, rate.span.any());
            let told = format!("it makes at most {most} payments in {any}");
            let message = format!("the burst of `{handle}` is never reached: {told}");
            (message, "name fewer equal payments in `burst`, or take it out")
        });
    }

    /// Hours that do not open any more.
    fn hours(&mut self, agent: &Agent<'_>) {
        let mandate = agent.mandate;
        let over = mandate.expires_at.is_some_and(|at| at <= self.now);
        if over || mandate.opens(self.now).is_some() {
            return;
        }
        let key = if mandate.hours.is_some() { "hours" } else { "days" };
        let at = vec![agent.place(key, None), agent.place("expires", Some("the end".to_owned()))];
        let severity = if agent.so_already { Severity::Warning } else { Severity::Error };
        self.tell(severity, FaultCode::NeverOpen, at, |_| {
            let hours = mandate.active_words().unwrap_or_default();
            let message =
                format!("the hours of `{}`, {hours}, never open before it ends", agent.handle);
            (message, "let it end later, or open on another day")
        });
    }
}

impl Agent<'_> {
    /// Where a key stands that this agent has: with it, with the defaults, or nowhere.
    fn place(&self, key: &str, label: Option<String>) -> Place {
        let says = |terms: &AgentTerms| match key {
            "funding" => terms.funding.is_some(),
            "per_call" => terms.per_call.is_some(),
            "caps" => terms.caps.is_some(),
            "allow" => terms.allow.is_some(),
            "deny" => terms.deny.is_some(),
            "expires" => terms.expires.is_some(),
            "rates" => terms.rates.is_some(),
            "burst" => terms.burst.is_some(),
            "hours" => terms.hours.is_some(),
            "days" => terms.days.is_some(),
            "group" => terms.group.is_some(),
            "pinned" => terms.pinned.is_some(),
            "tiers" => terms.tiers.is_some(),
            "shadow_caps" => terms.shadow_caps.is_some(),
            "downgrade_at" => terms.downgrade_at.is_some(),
            "downgrade_to" => terms.downgrade_to.is_some(),
            _ => false,
        };
        let handle = self.handle;
        let pointer = match (says(self.own), says(self.defaults)) {
            (true, _) => format!("/agents/{handle}/{key}"),
            (false, true) => format!("/defaults/{key}"),
            (false, false) => format!("/agents/{handle}"),
        };
        place(pointer, label)
    }

    fn item(&self, key: &str, index: Option<usize>, label: &str) -> Place {
        let Place { pointer, .. } = self.place(key, None);
        let item = index.map(|index| format!("{pointer}/{index}"));
        place(item.unwrap_or(pointer), Some(label.to_owned()))
    }

    fn caps(&self) -> &[CapText] {
        self.own.caps.as_ref().or(self.defaults.caps.as_ref()).map_or(&[], Vec::as_slice)
    }

    fn rates(&self) -> impl Iterator<Item = (usize, &Rate)> {
        let rates = self.own.rates.as_ref().or(self.defaults.rates.as_ref());
        rates.into_iter().flatten().enumerate()
    }

    fn cap(&self, cap: &Cap, label: &str) -> Place {
        self.item("caps", self.caps().iter().position(|CapText(one)| one == cap), label)
    }

    fn service(&self, key: &str, id: &ServiceId, label: &str) -> Place {
        let (own, defaults) = (self.own, self.defaults);
        let list = match key {
            "allow" => own.allow.as_ref().or(defaults.allow.as_ref()),
            _ => own.deny.as_ref().or(defaults.deny.as_ref()),
        };
        self.item(key, list.and_then(|list| list.iter().position(|one| one == id)), label)
    }

    /// What a contradiction is, what to do about it, and where it is.
    fn contradicts(&self, wrong: MandateError) -> (FaultCode, String, Vec<Place>) {
        let caps = || self.caps().iter().enumerate();
        let of = |key: &CapKey| {
            let those = caps().filter(|(_, cap)| cap.0.key() == *key);
            those.map(|(index, _)| self.item("caps", Some(index), "given here")).collect()
        };
        match wrong {
            MandateError::AllowanceWithoutCap => (
                FaultCode::AllowanceWithoutCap,
                "give it one: `caps = [\"5.00/day\"]`".to_owned(),
                vec![self.place("funding", None)],
            ),
            MandateError::CapTwice(key) => {
                (FaultCode::CapTwice, "keep one of the two".to_owned(), of(&key))
            }
            MandateError::Zero(_) => {
                let zero = caps().find(|(_, cap)| cap.0.bound.is_zero());
                let at = match zero {
                    Some((index, _)) => self.item("caps", Some(index), "nothing could be paid"),
                    None => self.place("per_call", Some("nothing could be paid".to_owned())),
                };
                let hint = "to stop an agent: `pettycash agent freeze`, or `agent revoke`";
                (FaultCode::Zero, hint.to_owned(), vec![at])
            }
            MandateError::TooManyServices => {
                let key = if self.mandate.allow.is_empty() { "deny" } else { "allow" };
                let hint = format!("`allow` and `deny` name at most {MAX_SERVICES} together");
                (FaultCode::TooManyServices, hint, vec![self.place(key, None)])
            }
            MandateError::RateTwice(span) => {
                let those = self.rates().filter(|(_, rate)| rate.span == span);
                let at = those.map(|(index, _)| self.item("rates", Some(index), "given here"));
                (FaultCode::RateTwice, "keep one of the two".to_owned(), at.collect())
            }
            MandateError::TooManyRates => (
                FaultCode::TooManyRates,
                format!("keep {MAX_RATES} of them"),
                vec![self.place("rates", None)],
            ),
            MandateError::TooManyRolling => (
                FaultCode::TooManyRolling,
                format!(
                    "keep {MAX_ROLLING} of those that count any hours in a row{}",
                    self.with_shadows()
                ),
                self.all_caps(),
            ),
            MandateError::CapOnPartOfTask(key) => {
                let hint = "leave out what it is on, or cap that over another period".to_owned();
                (FaultCode::CapOnPartOfTask, hint, of(&key))
            }
            MandateError::TierBelow(_)
            | MandateError::TierWithoutLimit
            | MandateError::TooManyTiers => self.contradicts_by_tiers(&wrong),
            MandateError::DowngradeInHalf { given, missing } => {
                self.contradicts_by_models(given, missing)
            }
            MandateError::ShadowTwice(_)
            | MandateError::ShadowZero
            | MandateError::ShadowOnPartOfTask(_) => self.contradicts_by_shadows(&wrong),
            MandateError::TooManyPinned => (
                FaultCode::TooManyPinned,
                format!("keep {MAX_PINNED} of them"),
                vec![self.place("pinned", None)],
            ),
            MandateError::TooManyCaps | MandateError::RunOfGroup | MandateError::TaskOfGroup => (
                FaultCode::TooManyCaps,
                format!("keep {MAX_CAPS} of them{}", self.with_shadows()),
                self.all_caps(),
            ),
        }
    }
}

/// What an agent has already is only said.
fn severity_of(so_already: bool) -> Severity {
    if so_already { Severity::Warning } else { Severity::Error }
}

fn place(pointer: String, label: Option<String>) -> Place {
    Place { pointer, label }
}
