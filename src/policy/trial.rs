//! What another policy would have said to what happened: the ledgers of the agents that it names,
//! and of those below a group that it names, lived through once more under its rules.
//!
//! What it refuses is not spent there, and what it allows is, also where it was denied; so no cap
//! of it is ever passed. Amounts and times are as they were. Stops take hold as they would have:
//! whoever is frozen by one stays so until an operator unfroze the agent. That a call was made
//! again which was denied then, and would not be, counts for nothing: nobody knows whether it
//! would have been.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    authorize::{Payment, Wanted, authorize},
    denial::{Denial, Denied, Refusal},
    entry::{By, CountedBy, Draft, Entry, Fact, Hold, Windows},
    explain::{Decided, is_no_matter_of_books},
    group::{GroupRules, set_group},
    mandate::{Mandate, Service},
    money::Usd,
    names::{GroupId, Handle, PaymentId, ServiceId},
    operate::{Act, operator, set_mandate},
    planted::{self, Bug},
    row::{Told, tell},
    state::State,
    stop::trip,
    task::TaskFact,
    terms::{AgentTrial, PolicyTerms, PolicyTrial},
};

/// One trial of one policy, entry after entry.
#[derive(Debug)]
pub struct Trial {
    mandates: BTreeMap<Handle, Mandate>,
    groups: BTreeMap<GroupId, GroupRules>,
    services: BTreeMap<ServiceId, Service>,
    /// From when on the policy holds; before, what happened stays as it was.
    since: Option<Timestamp>,
    begun: bool,
    /// What would be, had it held.
    world: State,
    /// What was paid and would not have been.
    refused: BTreeSet<PaymentId>,
    /// What is counted elsewhere than is on record, for what comes back of it.
    elsewhere: BTreeMap<PaymentId, (Windows, Box<CountedBy>)>,
    /// The last of each agent's payments, where that is refused there, by its id on record.
    last: BTreeMap<Handle, PaymentId>,
    told: BTreeMap<Handle, AgentTrial>,
    /// The agents and groups that it names and nothing was read of yet.
    unknown: (BTreeSet<Handle>, BTreeSet<GroupId>),
}

impl Trial {
    /// A trial of `policy` from `since` on, or from the beginning.
    pub fn new(policy: &PolicyTerms, since: Option<Timestamp>) -> Self {
        let mandates = policy.agents.iter();
        let mandates = mandates.map(|(id, own)| (id.clone(), own.mandate(&policy.defaults)));
        let groups = policy.groups.iter();
        let groups = groups.map(|(name, own)| (name.clone(), own.rules(&policy.defaults)));
        let services = policy.services.iter().map(|(id, terms)| (id.clone(), terms.service(id)));
        let unknown = (policy.agents.keys().cloned(), policy.groups.keys().cloned());
        Self {
            unknown: (unknown.0.collect(), unknown.1.collect()),
            mandates: mandates.collect(),
            groups: groups.collect(),
            services: services.collect(),
            since,
            begun: false,
            world: State::default(),
            refused: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            last: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Lives through one entry, whose record stands at `position`.
    pub fn live(&mut self, entry: &Entry, position: u64) {
        if !self.begun && self.since.is_none_or(|since| entry.at >= since) {
            self.begun = true;
            self.begin(entry.at, position.saturating_sub(1));
        }
        if let Some(agent) = &entry.agent {
            self.unknown.0.remove(agent);
        }
        if let Fact::Group(fact) = &entry.fact {
            self.unknown.1.remove(fact.group());
        }
        let ours = match &entry.agent {
            Some(agent) => self.is_tried(agent),
            None => self.is_named(&entry.fact),
        };
        match &entry.agent {
            Some(agent) if self.begun && ours => self.act(agent, entry, position),
            // What the policy says of a group or a service stays so.
            None if self.begun && ours => {}
            Some(_) | None => self.world.relive(entry, position),
        }
    }

    /// What came of it.
    pub fn told(self) -> PolicyTrial {
        let (agents, groups) = self.unknown;
        PolicyTrial {
            unknown_agents: agents.into_iter().collect(),
            unknown_groups: groups.into_iter().collect(),
            ..PolicyTrial::of(self.since, self.told.into_values().collect())
        }
    }

    /// Whether the policy bears on what an agent pays: it names the agent, or a group above.
    fn is_tried(&self, agent: &Handle) -> bool {
        let named = |spender: super::rooms::Spender<'_>| {
            spender.groups.iter().any(|group| self.groups.contains_key(&group.name))
        };
        self.mandates.contains_key(agent) || self.world.spender(agent).is_some_and(named)
    }

    fn is_named(&self, fact: &Fact) -> bool {
        if let Fact::Group(fact) = fact {
            return self.groups.contains_key(fact.group());
        }
        if let Fact::ServiceSet(Service { id: service, .. }) | Fact::ServiceRemoved { service } =
            fact
        {
            return self.services.contains_key(service);
        }
        false
    }

    /// Puts the policy in force: the groups first, for agents are in them.
    fn begin(&mut self, at: Timestamp, position: u64) {
        for service in self.services.clone().into_values() {
            self.fold(vec![operator(None, Fact::ServiceSet(service))], at, position);
        }
        for (name, rules) in self.groups.clone() {
            let draft = set_group(&self.world, &name, &rules, at);
            self.fold(draft.into_iter().collect(), at, position);
        }
        for (handle, mandate) in self.mandates.clone() {
            // Who was revoked by then stays so; who was not there yet comes with it.
            if let Ok(Act::Write(drafts)) = set_mandate(&self.world, &handle, mandate, at) {
                self.fold(drafts, at, position);
            }
        }
    }

    /// What an agent did, or what was done to it.
    fn act(&mut self, agent: &Handle, entry: &Entry, position: u64) {
        let named = self.mandates.get(agent);
        match &entry.fact {
            Fact::Opened { .. } => {
                let mandate = named.cloned().map(Box::new);
                let fact = mandate.map_or(entry.fact.clone(), |mandate| Fact::Opened { mandate });
                self.world.relive(&Entry { fact, ..entry.clone() }, position);
            }
            Fact::Held(hold) | Fact::Paid(hold) => self.paid(agent, entry, hold, position),
            Fact::Denied(denied) => self.denied(agent, entry, denied, position),
            Fact::DeniedAgain { .. } => self.denied_again(agent, entry, position),
            Fact::Refunded { payment, .. } => self.refunded(entry, *payment, position),
            Fact::MandateSet { .. } if named.is_some() => {}
            // What stops did then; what they would do is seen to where they would.
            Fact::Frozen { .. } if entry.by == By::Engine => {}
            Fact::Task(TaskFact::Failed { .. })
            | Fact::Tripped { .. }
            | Fact::ServiceSet(_)
            | Fact::ServiceRemoved { .. }
            | Fact::Token(_)
            | Fact::PassphraseSet { .. }
            | Fact::PolicyApplied(_)
            | Fact::PricesSet(_)
            | Fact::ServiceTested(_)
            | Fact::Group(_)
            | Fact::Incident(_) => {}
            Fact::Credited { .. }
            | Fact::Sent { .. }
            | Fact::Captured { .. }
            | Fact::Voided { .. }
            | Fact::Expired { .. }
            | Fact::Failed { .. }
            | Fact::Doubted { .. }
            | Fact::MandateSet { .. }
            | Fact::Frozen { .. }
            | Fact::Unfrozen { .. }
            | Fact::Task(_)
            | Fact::Repinned(_)
            | Fact::Revoked { .. } => self.world.relive(entry, position),
        }
    }

    fn fold(&mut self, drafts: Vec<Draft>, at: Timestamp, position: u64) {
        for Draft { agent, by, fact } in drafts {
            self.world.relive(&Entry { at, agent, chain: None, by, fact }, position);
        }
    }

    /// What was paid: is it still?
    fn paid(&mut self, agent: &Handle, entry: &Entry, hold: &Hold, position: u64) {
        let decided = Decided::Allowed(Box::new(hold.clone()));
        let Some(payment) = decided.payment(&self.world) else { return };
        let payment = self.known(payment);
        let Some(spender) = self.world.spender(agent) else { return };
        let told = page(&mut self.told, agent);
        told.was_paid(hold.amount);
        match authorize(&spender, &payment, entry.at) {
            Ok(again) => {
                let counted = |hold: &Hold| (hold.windows, CountedBy::of(hold));
                if counted(&again) != counted(hold) {
                    let (windows, by) = counted(&again);
                    self.elsewhere.insert(hold.payment, (windows, Box::new(by)));
                }
                self.last.remove(agent);
                let hold = Hold { via: hold.via.clone(), ..again };
                let in_steps = matches!(entry.fact, Fact::Held(_));
                let fact = if in_steps { Fact::Held(hold) } else { Fact::Paid(hold) };
                self.world.relive(&Entry { fact, ..entry.clone() }, position);
            }
            Err(refusal) => {
                told.would_deny(hold, &refusal, entry.at);
                self.refused.insert(hold.payment);
                if planted::is(Bug::TrialSpendsDenied) {
                    self.refused.remove(&hold.payment);
                    return self.world.relive(entry, position);
                }
                let (service, asked) = (Some(hold.service.clone()), Some(hold.amount));
                let (payment, run, via) = (hold.payment, hold.run.clone(), None);
                let task = hold.task;
                let denied =
                    Denied { payment, service, asked, refusal, run, via, call: None, task };
                self.refuse(agent, entry, denied, position);
            }
        }
    }

    /// What was denied: is it still? Of a loop only the first is asked whether it would be paid.
    fn denied(&mut self, agent: &Handle, entry: &Entry, denied: &Denied, position: u64) {
        let loops = denied.refusal.denials.contains(&Denial::LoopDetected);
        // What its API answers is what it was, whatever the mandate.
        if denied.refusal.is_of_failures() || loops && !self.last.contains_key(agent) {
            return;
        }
        if !loops {
            page(&mut self.told, agent).was_denied();
        }
        let decided = Decided::Denied(Box::new(denied.clone()));
        let payment = decided.payment(&self.world).map(|payment| self.known(payment));
        let Some(spender) = self.world.spender(agent) else { return };
        let refusal = match payment.map(|payment| authorize(&spender, &payment, entry.at)) {
            Some(Ok(_)) if loops => return,
            Some(Ok(hold)) => {
                page(&mut self.told, agent).would_pay(&hold, entry.at);
                self.last.remove(agent);
                let fact = Fact::Paid(hold);
                return self.world.relive(&Entry { fact, ..entry.clone() }, position);
            }
            Some(Err(refusal)) => refusal,
            None => {
                let mut refusal = denied.refusal.clone();
                refusal.denials.retain(is_no_matter_of_books);
                refusal
            }
        };
        self.refuse(agent, entry, Denied { refusal, ..denied.clone() }, position);
    }

    /// Folds in a refusal, and what stops make of it.
    fn refuse(&mut self, agent: &Handle, entry: &Entry, denied: Denied, position: u64) {
        let Some(book) = self.world.book(agent) else { return };
        self.last.insert(agent.clone(), denied.payment);
        let drafts = match tell(&self.world, book, entry.by, denied, entry.at) {
            Told::Again(_) => Vec::new(),
            Told::Counted(_, repeat) => {
                self.world.repeat(agent, repeat);
                self.world.take_repeats(Some(agent))
            }
            Told::Written(_, drafts) => drafts,
        };
        self.fold(drafts, entry.at, position);
    }

    /// What was denied again, right after what is denied here too.
    fn denied_again(&mut self, agent: &Handle, entry: &Entry, position: u64) {
        let Fact::DeniedAgain { payment, times, others, alike, .. } = &entry.fact else { return };
        let row = self.world.book(agent).and_then(|book| book.row.as_ref());
        let Some(row) = row.filter(|_| self.last.get(agent) == Some(payment)) else { return };
        let (payment, times, others) = (row.payment, *times, *others);
        let alike = alike.clone().filter(|_| others > 0);
        let fact = Fact::DeniedAgain { payment, times, others, alike, call: None };
        self.world.relive(&Entry { fact, ..entry.clone() }, position);
        let Some(book) = self.world.book(agent) else { return };
        let nth = book.row.as_ref().and_then(|row| row.all).unwrap_or_default();
        let (asked, affordable) = (Usd::ZERO, Usd::ZERO);
        let mut last =
            Refusal { denials: Vec::new(), asked, affordable, fixed_price: true, estimate: false };
        let tripped = trip(book, &mut last, nth, entry.at);
        let done = |fact| Draft { agent: Some(agent.clone()), by: By::Engine, fact };
        self.fold(tripped.map(done).into_iter().collect(), entry.at, position);
    }

    /// What came back of what is paid here too, from where it is counted here.
    fn refunded(&mut self, entry: &Entry, payment: PaymentId, position: u64) {
        if self.refused.contains(&payment) {
            return;
        }
        let mut fact = entry.fact.clone();
        if let (Some((there, counted)), Fact::Refunded { windows, by, .. }) =
            (self.elsewhere.get(&payment), &mut fact)
        {
            *windows = *there;
            *by = Some(counted.clone());
        }
        self.world.relive(&Entry { fact, ..entry.clone() }, position);
    }

    /// What nobody knew then, or knew otherwise, the policy may bring.
    fn known(&self, payment: Payment) -> Payment {
        let wanted = match payment.wanted {
            Wanted::Unknown { service, nearest } => match self.world.service(&service) {
                Some(service) => Wanted::Known(service.clone()),
                None => Wanted::Unknown { service, nearest },
            },
            Wanted::Known(service) => Wanted::Known(match self.services.get(&service.id) {
                Some(named) => Service { price: service.price, ..named.clone() },
                None => service,
            }),
        };
        Payment { wanted, ..payment }
    }
}

impl CountedBy {
    fn of(hold: &Hold) -> Self {
        let Hold { service, payee, category, groups, task_type, .. } = hold.clone();
        Self { service, payee, category, groups, task_type }
    }
}

/// What is told of one agent.
fn page<'t>(all: &'t mut BTreeMap<Handle, AgentTrial>, agent: &Handle) -> &'t mut AgentTrial {
    all.entry(agent.clone()).or_insert_with(|| AgentTrial::of(agent))
}
