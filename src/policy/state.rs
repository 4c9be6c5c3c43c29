//! The state that decisions start from: the fold of every entry, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::{Book, Counted, Link, Standing},
    cap::Aim,
    counter::Place,
    documents::DocKey,
    entry::{Draft, Entry, Fact, Hash, Hold},
    group::Group,
    keys::{Bound, Keys, Outcome},
    mandate::{Mandate, Service},
    money::Usd,
    names::{GroupId, Handle, IdempotencyKey, PaymentId, ServiceId},
    pace::Pace,
    planted::{self, Bug},
    prices::Overlay,
    proof::Phc,
    row::Repeats,
    task::TaskFact,
    token::Tokens,
};

/// A payment that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPayment {
    /// Who pays.
    pub agent: Handle,
    /// What is set aside.
    pub hold: Hold,
    /// How far it came.
    pub stage: Stage,
}

/// How far a payment came that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The money is set aside, and nothing was sent.
    Held,
    /// It was handed to its rail.
    Sent,
    /// The rail answered neither yes nor no.
    InDoubt,
}

/// Everything that decisions start from.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) books: BTreeMap<Handle, Book>,
    pub(super) services: BTreeMap<ServiceId, Service>,
    pub(super) open: BTreeMap<PaymentId, OpenPayment>,
    pub(super) keys: Keys,
    pub(super) refunded: BTreeMap<PaymentId, Usd>,
    pub(super) tokens: Tokens,
    pub(super) passphrase: Option<Phc>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) repeats: BTreeMap<Handle, Repeats>,
    pub(super) prices: Arc<Overlay>,
    pub(super) now: Timestamp,
    pub(super) touched: BTreeSet<DocKey>,
    /// How often a mandate, who there is, or the catalogue changed since this was begun.
    edition: u64,
}

/// States are equal that decide alike: what the desk has of them, and whether keys whose time is up
/// are forgotten yet, makes no difference.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let Self { books, services, open, keys, refunded, repeats, now, .. } = self;
        let Self { tokens, passphrase, groups, prices, touched: _, .. } = self;
        (books, services, open) == (&other.books, &other.services, &other.open)
            && (refunded, repeats, now) == (&other.refunded, &other.repeats, &other.now)
            && (tokens, passphrase, groups) == (&other.tokens, &other.passphrase, &other.groups)
            && *prices == other.prices
            && keys.differing(&other.keys, *now) == 0
    }
}

impl State {
    /// An agent's book.
    pub fn book(&self, handle: &Handle) -> Option<&Book> {
        self.books.get(handle)
    }

    /// Every book, by handle.
    pub fn books(&self) -> impl Iterator<Item = &Book> {
        self.books.values()
    }

    /// A catalogue entry.
    pub fn service(&self, id: &ServiceId) -> Option<&Service> {
        self.services.get(id)
    }

    /// The catalogue, by id.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// A payment that is not settled.
    pub fn open(&self, payment: PaymentId) -> Option<&OpenPayment> {
        self.open.get(&payment)
    }

    /// Every payment that is not settled, oldest first.
    pub fn all_open(&self) -> impl Iterator<Item = &OpenPayment> {
        self.open.values()
    }

    /// The payment that a key of `agent` stands for at `now`.
    ///
    /// A key outlives its time while its payment is open.
    pub fn bound(&self, agent: &Handle, key: &IdempotencyKey, now: Timestamp) -> Option<&Bound> {
        self.keys.get(agent, key, now)
    }

    /// How many keys are kept; some of them may be past their time.
    pub fn count_keys(&self) -> usize {
        self.keys.len()
    }

    /// How many keys do not stand for the same at `now` in the two states.
    pub fn differing_keys(&self, other: &Self, now: Timestamp) -> usize {
        self.keys.differing(&other.keys, now)
    }

    /// How much of a payment has come back.
    pub fn refunded(&self, payment: PaymentId) -> Usd {
        self.refunded.get(&payment).copied().unwrap_or(Usd::ZERO)
    }

    /// The latest time that any entry carries.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Where the agent's next entry links to.
    pub fn link(&self, agent: &Handle) -> Option<Link> {
        self.book(agent).map(|book| book.link)
    }

    /// Folds in one entry whose record stands at `position` of the journal.
    pub fn apply(&mut self, entry: &Entry, position: u64, hash: Hash) {
        self.turn_edition(&entry.fact);
        if !planted::is(Bug::TimeGoesBack) || !matches!(entry.fact, Fact::Denied(_)) {
            self.now = self.now.max(entry.at);
        }
        self.fold_tokens(entry.agent.as_ref(), &entry.fact, entry.at);
        match &entry.agent {
            Some(agent) => self.apply_to(agent, entry, position, hash),
            None => self.apply_to_catalogue(&entry.fact, entry.at, position),
        }
    }

    /// A number that another takes the place of whenever a mandate, who there is, a group, or the
    /// catalogue changes. It is this process's own, and means nothing to another.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    fn turn_edition(&mut self, fact: &Fact) {
        let turns = matches!(
            fact,
            Fact::Opened { .. }
                | Fact::MandateSet { .. }
                | Fact::Revoked { .. }
                | Fact::Group(_)
                | Fact::ServiceSet(_)
                | Fact::ServiceRemoved { .. }
        );
        self.edition = self.edition.saturating_add(u64::from(turns));
    }

    fn apply_to_catalogue(&mut self, fact: &Fact, at: Timestamp, position: u64) {
        if let Fact::PricesSet(set) = fact {
            self.fold_prices(set, at);
        }
        if let Fact::Group(fact) = fact {
            self.fold_group(fact, position);
        }
        if let Fact::ServiceSet(service) = fact {
            self.touched.insert(DocKey::Service(service.id.clone()));
            self.services.insert(service.id.clone(), service.clone());
        }
        if let Fact::PassphraseSet { hash } = fact {
            self.touched.insert(DocKey::Passphrase);
            self.passphrase = Some(hash.clone());
        }
        if let Fact::Incident(incident) = fact {
            self.judge_all(incident);
        }
        if let Fact::ServiceRemoved { service } = fact {
            self.touched.insert(DocKey::Service(service.clone()));
            if !planted::is(Bug::RemovedIsPaid) {
                self.services.remove(service);
            }
        }
    }

    fn apply_to(&mut self, agent: &Handle, entry: &Entry, position: u64, hash: Hash) {
        let n = entry.chain.map_or(1, |chain| chain.n);
        let link = Link { n, position, hash };
        if let Fact::Opened { mandate } = &entry.fact {
            self.books.insert(agent.clone(), opened(agent, entry.at, mandate, link));
        }
        self.touch_runs(agent, &entry.fact, entry.at);
        self.touch_task(agent, &entry.fact);
        self.touched.insert(DocKey::Book(agent.clone()));
        if let Some(book) = self.books.get_mut(agent) {
            book.link = link;
            fold(book, &entry.fact, entry.at, position);
        }
        self.count_in_groups(&entry.fact);
        if let Fact::Task(fact) = &entry.fact {
            self.fold_task(agent, entry.by, fact, entry.at);
        }
        self.count_failures(agent, entry);
        self.settle(agent, &entry.fact);
    }

    /// Notes which runs a fact is about to change. The first payment of a run may end others.
    fn touch_runs(&mut self, agent: &Handle, fact: &Fact, at: Timestamp) {
        let Some(book) = self.books.get(agent).filter(|book| book.counts_runs()) else { return };
        let paid = if let Fact::Held(hold) | Fact::Paid(hold) = fact {
            Some(Counted::from(hold).in_run())
        } else if let Some(counted) = returned(fact) {
            Some(counted.in_run())
        } else {
            let hold = fact.ends().and_then(|payment| self.open.get(&payment));
            hold.map(|open| Counted::from(&open.hold).in_run())
        };
        let all = matches!(fact, Fact::MandateSet { .. })
            || paid.as_ref().is_some_and(|run| book.begins_run(run, at));
        let others = book.runs.keys().filter(|_| all).cloned();
        let changed = others.chain(paid).map(|run| DocKey::Run(agent.clone(), run));
        self.touched.extend(changed);
    }

    /// What a fact means for open payments, keys and refunds.
    fn settle(&mut self, agent: &Handle, fact: &Fact) {
        match fact {
            Fact::Held(hold) => {
                self.keys.bind(agent, hold, Outcome::Open);
                let (agent, hold, stage) = (agent.clone(), hold.clone(), Stage::Held);
                let open = OpenPayment { agent, hold, stage };
                self.touched.insert(DocKey::Open(open.hold.payment));
                self.open.insert(open.hold.payment, open);
            }
            Fact::Paid(hold) => self.keys.bind(agent, hold, Outcome::Captured(hold.amount)),
            Fact::Sent { payment } => self.advance(*payment, Stage::Sent),
            Fact::Doubted { payment } => self.advance(*payment, Stage::InDoubt),
            Fact::Captured { payment, amount, .. } => {
                self.close(*payment, Some(*amount), Outcome::of(fact));
            }
            Fact::Voided { payment, .. }
            | Fact::Expired { payment }
            | Fact::Failed { payment, .. } => self.close(*payment, None, Outcome::of(fact)),
            Fact::Refunded { payment, amount, .. } => {
                let before = self.refunded(*payment);
                let before = if planted::is(Bug::RefundsNotSummed) { Usd::ZERO } else { before };
                let sum = before.saturating_plus(*amount);
                self.touched.insert(DocKey::Refunded(*payment));
                self.refunded.insert(*payment, sum);
            }
            Fact::Opened { .. }
            | Fact::Credited { .. }
            | Fact::Denied(_)
            | Fact::DeniedAgain { .. }
            | Fact::Tripped { .. }
            | Fact::MandateSet { .. }
            | Fact::Frozen { .. }
            | Fact::Unfrozen { .. }
            | Fact::Revoked { .. }
            | Fact::ServiceSet(_)
            | Fact::ServiceRemoved { .. }
            | Fact::Token(_)
            | Fact::PassphraseSet { .. }
            | Fact::PolicyApplied(_)
            | Fact::Group(_)
            | Fact::Task(_)
            | Fact::Repinned(_)
            | Fact::PricesSet(_)
            | Fact::ServiceTested(_)
            | Fact::Incident(_) => {}
        }
    }

    fn advance(&mut self, payment: PaymentId, stage: Stage) {
        if let Some(open) = self.open.get_mut(&payment) {
            open.stage = stage;
            self.touched.insert(DocKey::Open(payment));
        }
    }

    /// Ends an open payment. A voided one frees its key, for nothing was ever sent and the
    /// caller's retry must be able to pay.
    fn close(&mut self, payment: PaymentId, taken: Option<Usd>, outcome: Option<Outcome>) {
        let Some(open) = self.open.remove(&payment) else { return };
        if planted::is(Bug::VoidedTwice) && outcome.is_none() {
            self.open.insert(payment, open.clone());
        }
        let OpenPayment { agent, mut hold, .. } = open;
        self.touched.insert(DocKey::Open(payment));
        let failed = matches!(outcome, Some(Outcome::Failed(_)));
        let keeps = failed && planted::is(Bug::FailureKeepsHold);
        if let Some(book) = self.books.get_mut(&agent).filter(|_| !keeps) {
            if planted::is(Bug::WindowOfCapture) {
                hold.windows = book.windows(self.now);
            }
            if planted::is(Bug::CategoryOfNow) {
                hold.category =
                    self.services.get(&hold.service).and_then(|service| service.category.clone());
            }
            book.settle(hold.amount, taken, &Counted::from(&hold));
            if let Some(taken) = taken {
                book.captured_at(self.now, taken);
            }
        }
        self.settle_task(&agent, hold.task);
        match (outcome, &hold.binding) {
            (Some(Outcome::Captured(_)), Some(binding)) if planted::is(Bug::KeyFreedAtCapture) => {
                self.keys.free(&agent, &binding.key);
            }
            (None, Some(_)) if planted::is(Bug::KeyKeptAfterVoid) => {
                self.keys.bind(&agent, &hold, Outcome::Expired);
            }
            (Some(outcome), _) => self.keys.bind(&agent, &hold, outcome),
            (None, Some(binding)) => self.keys.free(&agent, &binding.key),
            (None, None) => {}
        }
    }

    /// Forgets the keys whose time was up when the minute of `now` began, and says how many.
    ///
    /// A key that still guards an open payment is kept.
    pub fn forget_expired_keys(&mut self, now: Timestamp) -> usize {
        self.keys.forget(now)
    }

    /// Does in memory what could not be written down, where that takes power from an agent: no
    /// entry says it, and the agent's chain is as it was.
    pub fn lower_in_memory(&mut self, draft: &Draft, at: Timestamp) {
        self.turn_edition(&draft.fact);
        self.fold_tokens(draft.agent.as_ref(), &draft.fact, at);
        let Some(book) = draft.agent.as_ref().and_then(|agent| self.books.get_mut(agent)) else {
            return;
        };
        if let Fact::Frozen { .. } | Fact::Revoked { .. } = &draft.fact {
            stand(book, &draft.fact, at);
        } else if let Fact::MandateSet { mandate, moved, .. } = &draft.fact {
            // What a cap counts from is the entry that is still to come.
            book.mandate = (**mandate).clone();
            book.moved = moved.or(book.moved);
        }
    }

    /// Has the next entry of `agent`, and the pages of its ledger, start from `link`: what it was
    /// before entries that could not be written.
    pub fn relink(&mut self, agent: &Handle, link: Link) {
        if let Some(book) = self.books.get_mut(agent) {
            book.link = link;
        }
    }
}

fn opened(agent: &Handle, at: Timestamp, mandate: &Mandate, link: Link) -> Book {
    let mut book = Book {
        handle: agent.clone(),
        opened_at: at,
        mandate: mandate.clone(),
        standing: Standing::Active,
        credited: Usd::ZERO,
        captured: Usd::ZERO,
        refunded: Usd::ZERO,
        held: Usd::ZERO,
        tallies: BTreeMap::new(),
        rolling: BTreeMap::new(),
        runs: BTreeMap::new(),
        runs_since: None,
        moved: None,
        paces: BTreeMap::new(),
        bursts: BTreeMap::new(),
        throttled: None,
        last_paid: None,
        link,
        row: None,
        parts: BTreeMap::new(),
        tasks: BTreeMap::new(),
        opens: Pace::default(),
        first_payees: BTreeMap::new(),
        track: None,
        would_deny: BTreeMap::new(),
        failures: None,
    };
    book.set_mandate(mandate, None, link.position);
    book
}

/// What a payment that came back was counted in.
fn returned(fact: &Fact) -> Option<Counted<'_>> {
    let Fact::Refunded { payment, windows, run, by, task, .. } = fact else { return None };
    let aim = by.as_deref().map(Aim::from);
    let place = Place { payment: *payment, windows, aim };
    Some(Counted { place, run: run.as_ref(), task: *task })
}

/// What a fact means for the book itself.
fn fold(book: &mut Book, fact: &Fact, at: Timestamp, position: u64) {
    book.judge(fact);
    match fact {
        Fact::Denied(denied) => return book.deny(denied),
        Fact::DeniedAgain { payment, times, others, alike, call } => {
            return book.deny_again(*payment, (*times, *others), alike.as_ref(), call.as_ref());
        }
        Fact::Tripped { stop, until, service, amount } => {
            return book.trip(*stop, *until, service.as_ref().zip(*amount));
        }
        Fact::Held(hold) => {
            book.hold(hold.amount, &Counted::from(hold), at);
            book.pace(hold, at);
            book.passed(hold);
            book.keep_payee(hold);
        }
        Fact::Paid(hold) => {
            book.hold(hold.amount, &Counted::from(hold), at);
            book.settle(hold.amount, Some(hold.amount), &Counted::from(hold));
            book.captured_at(at, hold.amount);
            book.pace(hold, at);
            book.passed(hold);
            book.keep_payee(hold);
        }
        Fact::Credited { amount, .. } => book.credited = book.credited.saturating_plus(*amount),
        Fact::Refunded { amount, .. } => {
            if let Some(counted) = returned(fact) {
                book.refund(*amount, &counted);
            }
        }
        // What an operator changes begins another row; what comes of calls of tools does not.
        Fact::Task(TaskFact::Resumed { .. }) => {}
        Fact::MandateSet { mandate, moved, tightens } => {
            book.set_mandate(mandate, *moved, position);
            // Whoever may not loosen it must not end a loop by tightening it.
            if *tightens && !planted::is(Bug::TightenedForgets) {
                return;
            }
        }
        Fact::Unfrozen { .. } => {
            // The operator has looked: what was too much is not so at once again.
            book.bursts.clear();
            stand(book, fact, at);
        }
        Fact::Frozen { .. } | Fact::Revoked { .. } => stand(book, fact, at),
        Fact::Repinned(repinned) => book.repin(repinned),
        // A hold's end is folded where the hold is known: in `State::close`.
        Fact::Sent { .. }
        | Fact::Captured { .. }
        | Fact::Voided { .. }
        | Fact::Expired { .. }
        | Fact::Failed { .. }
        | Fact::Doubted { .. }
        | Fact::Opened { .. }
        | Fact::ServiceSet(_)
        | Fact::ServiceRemoved { .. }
        | Fact::Token(_)
        | Fact::PassphraseSet { .. }
        | Fact::PolicyApplied(_)
        | Fact::PricesSet(_)
        | Fact::ServiceTested(_)
        | Fact::Group(_)
        | Fact::Task(_)
        | Fact::Incident(_) => return,
    }
    book.row = None;
}

/// What a fact means for whether the agent may pay.
fn stand(book: &mut Book, fact: &Fact, at: Timestamp) {
    let (frozen, revoked) = match &book.standing {
        Standing::Active => (false, false),
        Standing::Frozen { .. } => (true, false),
        Standing::Revoked { .. } => (false, true),
    };
    if let Fact::Revoked { reason, note } = fact {
        book.standing = Standing::Revoked { reason: reason.clone(), note: note.clone(), at };
    } else if let Fact::Frozen { reason, note } = fact {
        if !revoked {
            book.standing = Standing::Frozen { reason: reason.clone(), note: note.clone(), at };
        }
    } else if frozen || planted::is(Bug::UnfreezeRevives) {
        book.standing = Standing::Active;
    }
}
