//! Payments without end: what lets a loop pay next to nothing, as often as it likes.
//!
//! A cap on money bounds how much is spent, and not how many payments that is; each takes room in
//! the record.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    answer::CapView,
    cap::Cap,
    mandate::{Mandate, Service},
    names::ServiceId,
    state::State,
    terms::AgentView,
    window::Period,
};

/// What bounds how many payments an agent makes, and for what it pays.
struct Bounds<'a> {
    /// Whether time has to pass between them.
    paced: bool,
    caps: Vec<&'a Cap>,
    allow: &'a BTreeSet<ServiceId>,
    deny: &'a BTreeSet<ServiceId>,
}

impl Bounds<'_> {
    /// The first service without a price that may be paid without a bound on how often.
    fn leave<'s>(&self, services: &'s BTreeMap<ServiceId, Service>) -> Option<&'s Service> {
        // Whoever begins a run names it, and another task is opened when one is full.
        let lasts = |cap: &Cap| !matches!(cap.period, Period::Run | Period::Task);
        let counts = |cap: &&&Cap| cap.amount().is_none() && lasts(cap);
        let counts: Vec<&Cap> = self.caps.iter().filter(counts).copied().collect();
        if self.paced || counts.iter().any(|cap| cap.on.is_all()) {
            return None;
        }
        let endless = |service: &&Service| {
            let counted = counts.iter().any(|cap| cap.covers(service));
            service.least_price().is_none() && !self.deny.contains(&service.id) && !counted
        };
        if self.allow.is_empty() {
            return services.values().find(endless);
        }
        self.allow.iter().filter_map(|id| services.get(id)).find(endless)
    }
}

/// The first of `services` that an agent with `mandate`, below groups with these caps, may pay next
/// to nothing for without a bound on how often.
pub fn endless<'s>(
    mandate: &Mandate,
    shared: &[&Cap],
    services: &'s BTreeMap<ServiceId, Service>,
) -> Option<&'s Service> {
    let Mandate { rates, cooldown, allow, deny, caps, .. } = mandate;
    let paced = !rates.is_empty() || cooldown.is_some();
    let caps = caps.iter().chain(shared.iter().copied()).collect();
    Bounds { paced, caps, allow, deny }.leave(services)
}

/// What an operator should know of it.
pub(super) fn remark(service: &Service) -> String {
    format!(
        "nothing bounds how many payments it makes: `{}` has no price, so a loop may pay next to \
         nothing each time and fill the disk; a rate such as 20/min, or a cap such as 1000x/day, \
         bounds it",
        service.id
    )
}

impl Mandate {
    /// Whether this says otherwise than `other` how often, or for what, is paid.
    pub fn paces_otherwise(&self, other: &Self) -> bool {
        let said = |one: &Self| {
            let lists = (one.allow.clone(), one.deny.clone());
            (one.rates.clone(), one.cooldown, one.caps.clone(), one.group.clone(), lists)
        };
        said(self) != said(other)
    }
}

impl State {
    /// What an operator should know of how often an agent with `mandate` may pay.
    pub fn remark_on_number(&self, mandate: &Mandate) -> Option<String> {
        let groups = self.chain(mandate.group.as_ref());
        let shared: Vec<&Cap> = groups.iter().flat_map(|group| &group.rules.caps).collect();
        endless(mandate, &shared, &self.services).map(remark)
    }
}

impl AgentView {
    /// The first of `services` that it may pay next to nothing for without a bound on how often.
    pub fn endless<'s>(&self, services: &'s BTreeMap<ServiceId, Service>) -> Option<&'s Service> {
        let caps: Vec<Cap> = self.balance.caps.iter().flatten().filter_map(CapView::cap).collect();
        let paced = !self.rates.is_empty() || self.cooldown.is_some();
        let (allow, deny) = (&self.allow, &self.deny);
        Bounds { paced, caps: caps.iter().collect(), allow, deny }.leave(services)
    }
}
