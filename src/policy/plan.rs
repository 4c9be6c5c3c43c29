//! What applying a policy would change, worked out on the state as it is.
//!
//! The document says what each agent that it names shall have, all of it: what it leaves out is
//! what a new agent has. Agents and services that it does not name are left alone.

mod after;
mod ground;
mod review;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    cap::Cap,
    change::{Change, remarks, remarks_of_group},
    endless::{endless, remark},
    entry::{Draft, Fact},
    group::{GroupRules, set_group},
    mandate::{Mandate, Service},
    names::{GroupId, Handle, Payee, RailName, ServiceId},
    operate::{Act, change_mandate, operator},
    payee::Pins,
    state::State,
    terms::{
        AgentChange, AgentTerms, CapText, GroupChange, PolicyPlan, PolicyTerms, ServiceChange,
        ServiceTerms,
    },
    window::Zone,
};
use after::After;
pub use ground::{Ground, retimed};
use review::Review;

/// The most agents, and the most services, that one policy names.
pub const MAX_NAMED: usize = 10_000;
/// The most bytes that all that a policy says may come to, counted by [`weight`]: about what one
/// record holds.
pub const MAX_WEIGHT: usize = 8 * 1024 * 1024;
/// What an agent or a service comes to at least, beside the names it has.
const BASE: usize = 128;
/// What a name in a list comes to beside its letters.
const QUOTES: usize = 3;
/// What a cap comes to.
const CAP: usize = 32;

/// At least how many bytes it takes to write down all that `policy` says, with what each agent has
/// from the defaults; looked at before anything is made of it.
pub fn weight(policy: &PolicyTerms) -> usize {
    let names = |list: &Option<Vec<ServiceId>>| {
        let bytes = list.iter().flatten().map(|id| id.as_str().len().saturating_add(QUOTES));
        bytes.fold(0, usize::saturating_add)
    };
    let cap = |CapText(cap): &CapText| CAP.saturating_add(cap.to_string().len());
    let caps = |list: &Option<Vec<CapText>>| {
        list.as_ref().map(|caps| caps.iter().map(cap).fold(0, usize::saturating_add))
    };
    let pin = |(id, payee): (&ServiceId, &Payee)| {
        let names = id.as_str().len().saturating_add(payee.as_str().len());
        names.saturating_add(QUOTES).saturating_add(QUOTES)
    };
    let pins = |pins: &Pins| pins.0.iter().map(pin).fold(0, usize::saturating_add);
    let terms = |own: &AgentTerms| (names(&own.allow), names(&own.deny), caps(&own.caps));
    let shadows = |own: &AgentTerms| caps(&own.shadow_caps);
    let defaults = terms(&policy.defaults);
    let agents = policy.agents.values().map(|own| {
        let (allow, deny, caps) = terms(own);
        let allow = if own.allow.is_some() { allow } else { defaults.0 };
        let deny = if own.deny.is_some() { deny } else { defaults.1 };
        let caps = caps.or(defaults.2).unwrap_or(0);
        let shadows = shadows(own).or_else(|| shadows(&policy.defaults)).unwrap_or(0);
        let caps = caps.saturating_add(shadows);
        let pinned = own.pinned.as_ref().or(policy.defaults.pinned.as_ref()).map_or(0, pins);
        let services = allow.saturating_add(deny).saturating_add(pinned);
        BASE.saturating_add(services).saturating_add(caps)
    });
    let service = |terms: &ServiceTerms| BASE.saturating_add(terms.endpoint.weight());
    let services = policy.services.values().map(service).fold(0, usize::saturating_add);
    let groups = policy.groups.values().flat_map(|group| &group.caps).map(cap);
    let groups = groups.fold(policy.groups.len().saturating_mul(BASE), usize::saturating_add);
    agents.fold(services.saturating_add(groups), usize::saturating_add)
}

/// What a policy is seen in the light of, beside the state.
#[derive(Clone, Debug)]
pub struct Around {
    /// The ways in which money can reach a payee.
    pub rails: Vec<RailName>,
    /// How far two names are from each other, to find the one that was meant.
    pub distance: fn(&str, &str) -> usize,
}

/// What a policy comes to.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What an operator is told; the digest is still to come.
    pub plan: PolicyPlan,
    /// What is to be written down.
    pub drafts: Vec<Draft>,
    /// All that changes, from what and to what: what the digest is of.
    pub basis: Basis,
}

/// All that a policy changes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Basis {
    services: Vec<(Option<Service>, Service)>,
    agents: Vec<(Handle, Option<Mandate>, Mandate)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<(GroupId, Option<GroupRules>, GroupRules)>,
}

/// What `policy` would change at `now`.
pub fn plan(state: &State, policy: &PolicyTerms, around: &Around, now: Timestamp) -> Planned {
    let mut review = Review::new(state, policy, around, now);
    let left = |there: usize, named: usize| count(there.saturating_sub(named));
    let known = policy.services.keys().filter(|id| state.service(id).is_some());
    let standing = |handle: &Handle| state.book(handle).is_some_and(|book| !book.is_revoked());
    let named = policy.agents.keys().filter(|handle| standing(handle));
    let agents = state.books().filter(|book| !book.is_revoked());
    let plan = PolicyPlan {
        services_left: left(state.services().count(), known.count()),
        agents_left: left(agents.count(), named.count()),
        groups_left: left(
            state.groups().count(),
            policy.groups.keys().filter(|name| state.group(name).is_some()).count(),
        ),
        ..PolicyPlan::default()
    };
    let mut planned = Planned { plan, drafts: Vec::new(), basis: Basis::default() };
    for (id, terms) in &policy.services {
        review.service(id, terms);
        planned.service(state, terms.service(id));
    }
    for (name, terms) in &policy.groups {
        let rules = sorted(terms.rules(&policy.defaults));
        review.group(name, terms, &rules);
        planned.group(state, name, rules, now);
    }
    planned.put_in_between(state, policy);
    review.depths();
    review.lowered();
    review.allow("/defaults", &policy.defaults);
    for (handle, own) in &policy.agents {
        let mandate = settled(own.mandate(&policy.defaults));
        review.agent(handle, own, &mandate);
        planned.agent(state, handle, mandate, now);
    }
    planned.remark_on_groups(After { state, policy }, now);
    review.numbers(&planned.basis);
    let (faults, untold) = review.faults();
    planned.plan.faults = faults;
    planned.plan.faults_untold = untold.errors;
    planned.plan.warnings_untold = untold.warnings;
    planned.plan.gives_more = planned.plan.gives_more();
    planned
}

impl Planned {
    fn service(&mut self, state: &State, to: Service) {
        let from = state.service(&to.id);
        if from == Some(&to) {
            self.plan.unchanged = self.plan.unchanged.saturating_add(1);
            return;
        }
        self.plan.services.push(ServiceChange {
            service_id: to.id.clone(),
            from: from.map(ServiceTerms::of),
            to: ServiceTerms::of(&to),
        });
        self.drafts.push(operator(None, Fact::ServiceSet(to.clone())));
        self.basis.services.push((from.cloned(), to));
    }

    fn group(&mut self, state: &State, name: &GroupId, to: GroupRules, now: Timestamp) {
        let present = state.group(name);
        let from = present.map(|group| sorted(group.rules.clone()));
        if from.as_ref() == Some(&to) {
            self.plan.unchanged = self.plan.unchanged.saturating_add(1);
            return;
        }
        let blank = GroupRules { caps: Vec::new(), parent: None, zone: Zone::utc() };
        let mut changes = from.as_ref().unwrap_or(&blank).changes(&to);
        let zone = "time zone";
        if from.is_none() && changes.iter().all(|change| change.what != zone) {
            changes.push(said(zone, to.zone.name().to_owned()));
        }
        let remarks = present.map(|group| remarks_of_group(group, &to, now)).unwrap_or_default();
        let (group, created) = (name.clone(), from.is_none());
        let change = GroupChange { group, created, changes, remarks };
        self.plan.groups.push(change);
        self.drafts.extend(set_group(state, name, &to, now));
        self.basis.groups.push((name.clone(), from, to));
    }

    /// A group that goes below another which is, in the end, below the one it was below stays bound
    /// by all that bound it.
    fn put_in_between(&mut self, state: &State, policy: &PolicyTerms) {
        let after = After { state, policy };
        for change in &mut self.plan.groups {
            let was = state.group(&change.group).and_then(|group| group.rules.parent.as_ref());
            let now = policy.groups.get(&change.group).and_then(|terms| terms.parent.as_ref());
            let still = was.is_some_and(|was| after.chain(now).contains(&was));
            for parent in change.changes.iter_mut().filter(|one| one.what == "parent" && still) {
                parent.loosens = false;
            }
        }
    }

    fn agent(&mut self, state: &State, handle: &Handle, to: Mandate, now: Timestamp) {
        let Some(book) = state.book(handle) else { return self.create(handle, to) };
        if settled(book.mandate.clone()) == to {
            self.plan.unchanged = self.plan.unchanged.saturating_add(1);
            return;
        }
        let (from, told) = (book.mandate.clone(), remarks(book, &to, now));
        let change = AgentChange {
            handle: handle.clone(),
            created: false,
            changes: from.changes(&to),
            remarks: told,
        };
        self.plan.agents.push(change);
        // What cannot be set is among the faults, and then nothing is.
        if let Ok(Act::Write(drafts)) = change_mandate(state, handle, to.clone(), now) {
            self.drafts.extend(drafts);
        }
        self.basis.agents.push((handle.clone(), Some(from), to));
    }

    /// Says of the agents that change what depends on the groups too: who chooses the types of
    /// their tasks, and which may pay next to nothing as often as they like.
    fn remark_on_groups(&mut self, after: After<'_>, now: Timestamp) {
        let unpriced = after.unpriced();
        for (change, (_, from, mandate)) in self.plan.agents.iter_mut().zip(&self.basis.agents) {
            let shared = after.caps_of(&after.chain(mandate.group.as_ref()));
            let shared: Vec<&Cap> = shared.into_iter().map(|(_, cap)| cap).collect();
            let types = after.state.types(&change.handle, (mandate, &shared), now);
            let before = from.as_ref().map(|from| {
                let groups = after.state.chain(from.group.as_ref());
                let shared: Vec<&Cap> = groups.iter().flat_map(|group| &group.rules.caps).collect();
                after.state.types(&change.handle, (from, &shared), now)
            });
            change.remarks.extend(types.remarks(before.unwrap_or_default()));
            if from.as_ref().is_none_or(|from| mandate.paces_otherwise(from)) {
                change.remarks.extend(endless(mandate, &shared, &unpriced).map(remark));
            }
        }
    }

    fn create(&mut self, handle: &Handle, to: Mandate) {
        self.plan.agents.push(AgentChange {
            handle: handle.clone(),
            created: true,
            changes: granted(&to),
            remarks: Vec::new(),
        });
        let fact = Fact::Opened { mandate: Box::new(to.clone()) };
        self.drafts.push(operator(Some(handle), fact));
        self.basis.agents.push((handle.clone(), None, to));
    }
}

/// A mandate as its equals are: caps in the order of their keys, times as they are kept.
fn settled(mut mandate: Mandate) -> Mandate {
    mandate.caps.sort_by_key(Cap::key);
    mandate.shadow_caps.sort_by_key(Cap::key);
    mandate.rates.sort_by_key(|rate| rate.span);
    let kept = |at: Timestamp| Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
    mandate.expires_at = mandate.expires_at.map(kept);
    mandate
}

fn sorted(mut rules: GroupRules) -> GroupRules {
    rules.caps.sort_by_key(Cap::key);
    rules
}

fn said(what: &str, to: String) -> Change {
    Change { what: what.to_owned(), from: None, to: Some(to), loosens: false }
}

/// What a new agent gets, and always for what and by whom.
fn granted(to: &Mandate) -> Vec<Change> {
    let blank = AgentTerms { funding: Some(to.funding), ..AgentTerms::default() };
    let anew = |change: Change| Change { from: None, loosens: false, ..change };
    let funding = said("funding", to.funding.to_string());
    let changes = blank.mandate(&AgentTerms::default()).changes(to).into_iter().map(anew);
    let mut all: Vec<Change> = std::iter::once(funding).chain(changes).collect();
    for always in [said("services", to.services()), said("local clients", to.local.to_string())] {
        if !all.iter().any(|change| change.what == always.what) {
            all.push(always);
        }
    }
    all
}

/// How much is created, changed and set, in words.
pub fn sum(created: usize, changed: usize, services: usize, groups: usize) -> String {
    let parts = [
        (created, "agent created", "agents created"),
        (changed, "agent changed", "agents changed"),
        (services, "service set", "services set"),
        (groups, "group set", "groups set"),
    ];
    let parts = parts.iter().filter(|(count, ..)| *count > 0);
    let parts =
        parts.map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }));
    parts.collect::<Vec<_>>().join(", ")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
