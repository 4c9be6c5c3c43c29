//! Documents: the state in pieces, as the desk keeps it.

use std::{mem, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    group::Group,
    keys::{Changed, Chunk},
    mandate::Service,
    money::Usd,
    names::{GroupId, Handle, PaymentId, ServiceId, TokenId},
    prices::Overlay,
    proof::Phc,
    state::{OpenPayment, State},
    tally::{Run, RunTally},
    task::{Task, TaskId},
    token::Token,
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
    /// Callers' keys of one minute, and the number of their chunk.
    Keys(u32, u64),
    /// What was spent in a run that has a cap.
    Run(Handle, Run),
    /// The sum refunded of a payment.
    Refunded(PaymentId),
    /// What a token lets in.
    Token(TokenId),
    /// The hash of the operators' passphrase.
    Passphrase,
    /// A group of agents.
    Group(GroupId),
    /// A task that is not forgotten.
    Task(Handle, TaskId),
    /// The prices that operators set.
    Prices,
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
    Open(Box<OpenPayment>),
    /// Some callers' keys.
    Keys(Chunk),
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
    /// What a token lets in.
    Token(Token),
    /// The hash of the operators' passphrase.
    Passphrase(Phc),
    /// A group of agents.
    Group(Box<Group>),
    /// A task that is not forgotten.
    Task {
        /// Whose.
        agent: Handle,
        /// What is known of it.
        task: Task,
    },
    /// The prices that operators set.
    Prices(Overlay),
}

impl State {
    /// Every document's name, but for callers' keys.
    pub fn doc_keys(&self) -> impl Iterator<Item = DocKey> {
        let books = self.books.keys().cloned().map(DocKey::Book);
        let runs = self.books.values().flat_map(|book| {
            book.runs.keys().map(|run| DocKey::Run(book.handle.clone(), run.clone()))
        });
        let tasks = self.books.values().flat_map(|book| {
            book.tasks.keys().map(|task| DocKey::Task(book.handle.clone(), *task))
        });
        let services = self.services.keys().cloned().map(DocKey::Service);
        let open = self.open.keys().copied().map(DocKey::Open);
        let refunded = self.refunded.keys().copied().map(DocKey::Refunded);
        let tokens = self.tokens().map(|token| DocKey::Token(token.id.clone()));
        let prices = (!self.prices.tables.is_empty()).then_some(DocKey::Prices);
        let passphrase = self.passphrase.iter().map(|_| DocKey::Passphrase);
        books
            .chain(runs)
            .chain(tasks)
            .chain(services)
            .chain(open)
            .chain(refunded)
            .chain(tokens)
            .chain(passphrase)
            .chain(prices)
            .chain(self.groups.keys().cloned().map(DocKey::Group))
    }

    /// One document, or nothing where it is gone.
    pub fn document(&self, key: &DocKey) -> Option<Document> {
        match key {
            DocKey::Book(handle) => {
                let book = self.books.get(handle)?;
                Some(Document::Book(Box::new(book.without_parts())))
            }
            DocKey::Run(agent, run) => {
                let tally = self.books.get(agent)?.runs.get(run)?.clone();
                Some(Document::Run { agent: agent.clone(), run: run.clone(), tally })
            }
            DocKey::Service(id) => self.services.get(id).cloned().map(Document::Service),
            DocKey::Open(id) => self.open.get(id).cloned().map(Box::new).map(Document::Open),
            // A chunk is made when it is drained, and never again.
            DocKey::Keys(..) => None,
            DocKey::Refunded(payment) => {
                let sum = self.refunded.get(payment).copied();
                sum.map(|sum| Document::Refunded { payment: *payment, sum })
            }
            DocKey::Token(id) => self.token(id).cloned().map(Document::Token),
            DocKey::Passphrase => self.passphrase.clone().map(Document::Passphrase),
            DocKey::Group(name) => {
                let group = self.groups.get(name).cloned();
                group.map(|group| Document::Group(Box::new(group)))
            }
            DocKey::Task(agent, task) => {
                let task = self.books.get(agent)?.tasks.get(task)?.clone();
                Some(Document::Task { agent: agent.clone(), task })
            }
            DocKey::Prices => Some(Document::Prices((*self.prices).clone())),
        }
    }

    /// What the desk is to be told: every document that changed since this was last asked, or, for
    /// a desk that knows nothing, every one there is. One that is gone has only a name.
    pub fn drain(&mut self, all: bool) -> Vec<(DocKey, Option<Document>)> {
        let touched = mem::take(&mut self.touched);
        let Changed { new, gone } = self.keys.drain(all);
        let document = |key: DocKey| {
            let document = self.document(&key);
            (key, document)
        };
        let mut drained: Vec<_> = if all {
            self.doc_keys().map(document).collect()
        } else {
            touched.into_iter().map(document).collect()
        };
        let chunk =
            |chunk: Chunk| (DocKey::Keys(chunk.minute, chunk.n), Some(Document::Keys(chunk)));
        drained.extend(new.into_iter().map(chunk));
        drained.extend(gone.into_iter().map(|(minute, n)| (DocKey::Keys(minute, n), None)));
        drained
    }

    /// The state as of `now` that these documents of the desk make; a book comes before its runs
    /// and tasks.
    pub fn restored(documents: impl IntoIterator<Item = Document>, now: Timestamp) -> Self {
        let mut state = Self::default();
        state.now = state.now.max(now);
        let mut chunks = Vec::new();
        for document in documents {
            match document {
                Document::Book(book) => {
                    state.books.insert(book.handle.clone(), *book);
                }
                Document::Run { agent, run, tally } => {
                    if let Some(book) = state.books.get_mut(&agent) {
                        book.runs.insert(run, tally);
                    }
                }
                Document::Service(service) => {
                    state.services.insert(service.id.clone(), service);
                }
                Document::Open(open) => {
                    state.open.insert(open.hold.payment, *open);
                }
                Document::Keys(chunk) => chunks.push(chunk),
                Document::Refunded { payment, sum } => {
                    state.refunded.insert(payment, sum);
                }
                Document::Token(token) => state.tokens.insert(token),
                Document::Passphrase(hash) => state.passphrase = Some(hash),
                Document::Prices(prices) => state.prices = Arc::new(prices),
                Document::Group(group) => {
                    state.groups.insert(group.name.clone(), *group);
                }
                Document::Task { agent, task } => {
                    if let Some(book) = state.books.get_mut(&agent) {
                        book.tasks.insert(task.id(), task);
                    }
                }
            }
        }
        state.keys.restore(chunks);
        state
    }
}
