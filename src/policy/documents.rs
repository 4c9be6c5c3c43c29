//! Documents: the state in pieces, as the desk keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    mandate::Service,
    money::Usd,
    names::{Handle, IdempotencyKey, PaymentId, ServiceId},
    state::{Bound, OpenPayment, State},
    tally::{Run, RunTally},
};

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
    /// What was spent in a run that has a cap.
    Run(Handle, Run),
    /// The sum refunded of a payment.
    Refunded(PaymentId),
}

/// One document of the state, as the desk keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// An agent's book.
    Book(Box<Book>),
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
    /// What was spent in a run that has a cap.
    Run {
        /// Whose.
        agent: Handle,
        /// Which.
        run: Run,
        /// The sums.
        tally: RunTally,
    },
    /// The sum refunded of a payment.
    Refunded {
        /// The payment.
        payment: PaymentId,
        /// The sum.
        sum: Usd,
    },
}

impl State {
    /// Every document's name.
    pub fn doc_keys(&self) -> impl Iterator<Item = DocKey> {
        let keys = self.keys.iter().flat_map(|(agent, keys)| {
            keys.keys().map(|key| DocKey::Key(agent.clone(), key.clone()))
        });
        let books = self.books.keys().cloned().map(DocKey::Book);
        let runs = self.books.values().flat_map(|book| {
            book.runs.keys().map(|run| DocKey::Run(book.handle.clone(), run.clone()))
        });
        let services = self.services.keys().cloned().map(DocKey::Service);
        let open = self.open.keys().copied().map(DocKey::Open);
        let refunded = self.refunded.keys().copied().map(DocKey::Refunded);
        books.chain(runs).chain(services).chain(open).chain(keys).chain(refunded)
    }

    /// One document, or nothing where it is gone.
    pub fn document(&self, key: &DocKey) -> Option<Document> {
        match key {
            DocKey::Book(handle) => {
                let book = self.books.get(handle)?;
                let book = Book { runs: BTreeMap::new(), ..book.clone() };
                Some(Document::Book(Box::new(book)))
            }
            DocKey::Run(agent, run) => {
                let tally = *self.books.get(agent)?.runs.get(run)?;
                Some(Document::Run { agent: agent.clone(), run: run.clone(), tally })
            }
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

    /// Puts back a document that the desk kept; a book comes before its runs.
    pub fn restore(&mut self, document: Document) {
        match document {
            Document::Book(book) => {
                self.books.insert(book.handle.clone(), *book);
            }
            Document::Run { agent, run, tally } => {
                if let Some(book) = self.books.get_mut(&agent) {
                    book.runs.insert(run, tally);
                }
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
}
