//! The state that decisions start from: the fold of every entry, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::{Book, DenialRow, Link, Standing},
    entry::{Binding, By, Denied, Draft, Entry, Fact, Hash, Hold},
    mandate::{Mandate, Service},
    money::Usd,
    names::{Handle, IdempotencyKey, PaymentId, ServiceId},
};

/// A payment that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPayment {
    /// Who pays.
    pub agent: Handle,
    /// What is set aside.
    pub hold: Hold,
    /// Whether it was handed to its rail.
    pub sent: bool,
}

/// What became of the payment that a key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money is set aside.
    Open,
    /// So much was taken.
    Captured(Usd),
    /// The time was up and nothing was taken.
    Expired,
}

/// The payment that a caller's key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The payment.
    pub payment: PaymentId,
    /// What it was for.
    pub service: ServiceId,
    /// What the caller asked, and until when the key is kept.
    pub binding: Binding,
    /// What became of it.
    pub outcome: Outcome,
}

/// The name of one document of the state, as the desk keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocKey {
    /// An agent's book.
    Book(Handle),
    /// A catalogue entry.
    Service(ServiceId),
    /// A payment that is not settled.
    Open(PaymentId),
    /// A caller's key.
    Key(Handle, IdempotencyKey),
    /// The sum refunded of a payment.
    Refunded(PaymentId),
}

/// Everything that decisions start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    books: BTreeMap<Handle, Book>,
    services: BTreeMap<ServiceId, Service>,
    open: BTreeMap<PaymentId, OpenPayment>,
    keys: HashMap<Handle, HashMap<IdempotencyKey, Bound>>,
    expiries: BTreeSet<(Timestamp, Handle, IdempotencyKey)>,
    refunded: BTreeMap<PaymentId, Usd>,
    repeats: BTreeMap<Handle, (PaymentId, u64)>,
    now: Timestamp,
    touched: BTreeSet<DocKey>,
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
        let bound = self.keys.get(agent)?.get(key)?;
        (bound.binding.until > now || bound.outcome == Outcome::Open).then_some(bound)
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

    /// Counts one more of the denials that `agent` was given last; written down later.
    pub fn repeat(&mut self, agent: &Handle) {
        if let Some(row) = self.book(agent).and_then(|book| book.row.as_ref()) {
            let first = (row.payment, 0);
            let (_, times) = self.repeats.entry(agent.clone()).or_insert(first);
            *times = times.saturating_add(1);
        }
    }

    /// The counted denials of one agent, or of all, as facts to be written down now.
    pub fn take_repeats(&mut self, agent: Option<&Handle>) -> Vec<Draft> {
        let draft = |agent: Handle, (payment, times)| Draft {
            agent: Some(agent),
            by: By::Agent,
            fact: Fact::DeniedAgain { payment, times },
        };
        match agent {
            Some(agent) => {
                let repeats = self.repeats.remove(agent);
                repeats.map(|repeats| draft(agent.clone(), repeats)).into_iter().collect()
            }
            None => std::mem::take(&mut self.repeats)
                .into_iter()
                .map(|(agent, repeats)| draft(agent, repeats))
                .collect(),
        }
    }

    /// Folds in one entry whose record stands at `position` of the journal.
    pub fn apply(&mut self, entry: &Entry, position: u64, hash: Hash) {
        self.now = self.now.max(entry.at);
        match &entry.agent {
            Some(agent) => self.apply_to(agent, entry, position, hash),
            None => self.apply_to_catalogue(&entry.fact),
        }
    }

    fn apply_to_catalogue(&mut self, fact: &Fact) {
        if let Fact::ServiceSet(service) = fact {
            self.touched.insert(DocKey::Service(service.id.clone()));
            self.services.insert(service.id.clone(), service.clone());
        }
    }

    fn apply_to(&mut self, agent: &Handle, entry: &Entry, position: u64, hash: Hash) {
        let n = entry.chain.map_or(1, |chain| chain.n);
        let link = Link { n, position, hash };
        if let Fact::Opened { mandate } = &entry.fact {
            self.books.insert(agent.clone(), opened(agent, entry.at, mandate, link));
        }
        self.touched.insert(DocKey::Book(agent.clone()));
        if let Some(book) = self.books.get_mut(agent) {
            book.link = link;
            fold(book, &entry.fact, entry.at);
        }
        self.settle(agent, &entry.fact);
    }

    /// What a fact means for open payments, keys and refunds.
    fn settle(&mut self, agent: &Handle, fact: &Fact) {
        match fact {
            Fact::Held(hold) => {
                self.bind(agent, hold, Outcome::Open);
                let open = OpenPayment { agent: agent.clone(), hold: hold.clone(), sent: false };
                self.touched.insert(DocKey::Open(hold.payment));
                self.open.insert(hold.payment, open);
            }
            Fact::Paid(hold) => self.bind(agent, hold, Outcome::Captured(hold.amount)),
            Fact::Sent { payment } => {
                if let Some(open) = self.open.get_mut(payment) {
                    open.sent = true;
                    self.touched.insert(DocKey::Open(*payment));
                }
            }
            Fact::Captured { payment, amount } => {
                self.close(*payment, *amount, Some(Outcome::Captured(*amount)));
            }
            Fact::Voided { payment, .. } => self.close(*payment, Usd::ZERO, None),
            Fact::Expired { payment } => {
                self.close(*payment, Usd::ZERO, Some(Outcome::Expired));
            }
            Fact::Refunded { payment, amount, .. } => {
                let sum = self.refunded(*payment).saturating_plus(*amount);
                self.touched.insert(DocKey::Refunded(*payment));
                self.refunded.insert(*payment, sum);
            }
            Fact::Opened { .. }
            | Fact::Credited { .. }
            | Fact::Denied(_)
            | Fact::DeniedAgain { .. }
            | Fact::Revoked { .. }
            | Fact::ServiceSet(_) => {}
        }
    }

    fn bind(&mut self, agent: &Handle, hold: &Hold, outcome: Outcome) {
        let Some(binding) = &hold.binding else { return };
        let bound = Bound {
            payment: hold.payment,
            service: hold.service.clone(),
            binding: binding.clone(),
            outcome,
        };
        self.put_key(agent, bound);
    }

    fn put_key(&mut self, agent: &Handle, bound: Bound) {
        let key = bound.binding.key.clone();
        self.forget_key(agent, &key);
        self.touched.insert(DocKey::Key(agent.clone(), key.clone()));
        self.expiries.insert((bound.binding.until, agent.clone(), key.clone()));
        self.keys.entry(agent.clone()).or_default().insert(key, bound);
    }

    fn forget_key(&mut self, agent: &Handle, key: &IdempotencyKey) {
        let Some(keys) = self.keys.get_mut(agent) else { return };
        if let Some(bound) = keys.remove(key) {
            self.touched.insert(DocKey::Key(agent.clone(), key.clone()));
            self.expiries.remove(&(bound.binding.until, agent.clone(), key.clone()));
        }
        if keys.is_empty() {
            self.keys.remove(agent);
        }
    }

    /// Ends an open payment. A voided one frees its key, for nothing was ever sent and the
    /// caller's retry must be able to pay.
    fn close(&mut self, payment: PaymentId, taken: Usd, outcome: Option<Outcome>) {
        let Some(OpenPayment { agent, hold, .. }) = self.open.remove(&payment) else { return };
        self.touched.insert(DocKey::Open(payment));
        if let Some(book) = self.books.get_mut(&agent) {
            book.settle(hold.amount, taken, &hold.windows);
        }
        let Some(binding) = &hold.binding else { return };
        match outcome {
            Some(outcome) => self.bind(&agent, &hold, outcome),
            None => self.forget_key(&agent, &binding.key),
        }
    }

    /// Drops keys whose time is up at `now`, at most `most` of them; says how many it dropped.
    ///
    /// A key that still guards an open payment is kept.
    pub fn forget_expired_keys(&mut self, now: Timestamp, most: usize) -> usize {
        let due = self.expiries.iter().take_while(|(until, ..)| *until <= now);
        let due = due.filter(|(_, agent, key)| {
            let bound = self.keys.get(agent).and_then(|keys| keys.get(key));
            bound.is_some_and(|bound| bound.outcome != Outcome::Open)
        });
        let due: Vec<_> = due.take(most).cloned().collect();
        for (_, agent, key) in &due {
            self.forget_key(agent, key);
        }
        due.len()
    }

    /// The names of the documents that changed since this was last asked.
    pub fn drain_touched(&mut self) -> BTreeSet<DocKey> {
        std::mem::take(&mut self.touched)
    }

    /// Every document's name.
    pub fn doc_keys(&self) -> impl Iterator<Item = DocKey> {
        let keys = self.keys.iter().flat_map(|(agent, keys)| {
            keys.keys().map(|key| DocKey::Key(agent.clone(), key.clone()))
        });
        let books = self.books.keys().cloned().map(DocKey::Book);
        let services = self.services.keys().cloned().map(DocKey::Service);
        let open = self.open.keys().copied().map(DocKey::Open);
        let refunded = self.refunded.keys().copied().map(DocKey::Refunded);
        books.chain(services).chain(open).chain(keys).chain(refunded)
    }

    /// One document, or nothing where it is gone.
    pub fn document(&self, key: &DocKey) -> Option<Document> {
        match key {
            DocKey::Book(handle) => self.books.get(handle).cloned().map(Document::Book),
            DocKey::Service(id) => self.services.get(id).cloned().map(Document::Service),
            DocKey::Open(id) => self.open.get(id).cloned().map(Document::Open),
            DocKey::Key(agent, key) => {
                let bound = self.keys.get(agent).and_then(|keys| keys.get(key)).cloned();
                bound.map(|bound| Document::Key { agent: agent.clone(), bound })
            }
            DocKey::Refunded(payment) => {
                let sum = self.refunded.get(payment).copied();
                sum.map(|sum| Document::Refunded { payment: *payment, sum })
            }
        }
    }

    /// Puts back a document that the desk kept.
    pub fn restore(&mut self, document: Document) {
        match document {
            Document::Book(book) => {
                self.books.insert(book.handle.clone(), book);
            }
            Document::Service(service) => {
                self.services.insert(service.id.clone(), service);
            }
            Document::Open(open) => {
                self.open.insert(open.hold.payment, open);
            }
            Document::Key { agent, bound } => self.put_key(&agent, bound),
            Document::Refunded { payment, sum } => {
                self.refunded.insert(payment, sum);
            }
        }
        self.touched.clear();
    }

    /// Puts back the latest time, which no document carries.
    pub fn restore_now(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }
}

/// One document of the state, as the desk keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// An agent's book.
    Book(Book),
    /// A catalogue entry.
    Service(Service),
    /// A payment that is not settled.
    Open(OpenPayment),
    /// A caller's key.
    Key {
        /// Whose.
        agent: Handle,
        /// What it stands for.
        bound: Bound,
    },
    /// The sum refunded of a payment.
    Refunded {
        /// The payment.
        payment: PaymentId,
        /// The sum.
        sum: Usd,
    },
}

fn opened(agent: &Handle, at: Timestamp, mandate: &Mandate, link: Link) -> Book {
    Book {
        handle: agent.clone(),
        opened_at: at,
        mandate: mandate.clone(),
        standing: Standing::Active,
        credited: Usd::ZERO,
        captured: Usd::ZERO,
        refunded: Usd::ZERO,
        held: Usd::ZERO,
        tallies: BTreeMap::new(),
        link,
        row: None,
    }
}

/// What a fact means for the book itself.
fn fold(book: &mut Book, fact: &Fact, at: Timestamp) {
    match fact {
        Fact::Denied(denied) => book.row = Some(row(denied)),
        Fact::DeniedAgain { payment, times } => {
            if let Some(row) = book.row.as_mut().filter(|row| row.payment == *payment) {
                row.times = row.times.saturating_add(*times);
            }
        }
        Fact::Held(hold) => {
            book.row = None;
            book.hold(hold.amount, &hold.windows);
        }
        Fact::Paid(hold) => {
            book.row = None;
            book.hold(hold.amount, &hold.windows);
            book.settle(hold.amount, hold.amount, &hold.windows);
        }
        Fact::Credited { amount, .. } => {
            book.row = None;
            book.credited = book.credited.saturating_plus(*amount);
        }
        Fact::Refunded { amount, windows, .. } => {
            book.row = None;
            book.refund(*amount, windows);
        }
        Fact::Revoked { reason, note } => {
            book.row = None;
            book.standing = Standing::Revoked { reason: reason.clone(), note: note.clone(), at };
        }
        // A hold's end is folded where the hold is known: in `State::close`.
        Fact::Sent { .. }
        | Fact::Captured { .. }
        | Fact::Voided { .. }
        | Fact::Expired { .. }
        | Fact::Opened { .. }
        | Fact::ServiceSet(_) => {}
    }
}

fn row(denied: &Denied) -> DenialRow {
    DenialRow { fingerprint: denied.fingerprint(), payment: denied.payment, times: 1 }
}
