//! Why a payment was made or refused: its agent's ledger folded anew up to that moment.

use super::{
    Engine, EngineError,
    detail::in_words,
    gates::{Asker, Gate},
    refund::RefundError,
};
use crate::{
    policy::{
        book::Book,
        entry::{Entry, Fact},
        explain::Decided,
        names::{Handle, PaymentId},
        state::State,
        terms::Explained,
    },
    store::{Record, StoreError},
};

/// The fold of everything, up to one payment, and how often that was refused again.
struct Past {
    agent: Handle,
    payment: PaymentId,
    state: State,
    reached: bool,
    again: u64,
    /// Whether the first record there is was read, and is the first there ever was.
    begun: Option<bool>,
}

impl Past {
    /// Folds in what stands before the payment: groups and the catalogue are everybody's matter.
    fn read(&mut self, record: &Record) {
        self.begun.get_or_insert(record.seq == 1);
        for line in &record.lines {
            let Entry { agent, fact, .. } = &line.entry;
            let theirs = agent.as_ref() == Some(&self.agent);
            self.reached |= theirs && fact.begins() == Some(self.payment);
            if !self.reached {
                self.state.relive(&line.entry, record.position);
            } else if let Fact::DeniedAgain { payment, times, .. } = fact
                && *payment == self.payment
            {
                self.again = self.again.saturating_add(*times);
            }
        }
    }

    /// The book as it was, where the whole ledger is still here.
    fn book(&self) -> Option<&Book> {
        self.state.book(&self.agent).filter(|_| self.begun == Some(true))
    }
}

impl Engine {
    /// Which rule decided on a payment or refusal, with the numbers of that moment.
    ///
    /// # Errors
    /// If there is none of that id, or the record cannot be read.
    pub async fn explain(&self, payment: PaymentId) -> Result<Explained, EngineError> {
        let first = self.entry_of(&Asker::Operator, payment, |entry| entry.agent.is_some()).await?;
        let Some(Entry { at, agent: Some(agent), fact, .. }) = first else {
            return Err(RefundError::Unknown(payment).into());
        };
        let decided = Decided::of(&fact, payment).ok_or(RefundError::Unknown(payment))?;
        let (outcome, upto) = match fact {
            Fact::Paid(_) => ("paid", None),
            Fact::Held(_) => ("held", None),
            // How often it was given again stands behind it.
            _ => ("denied", self.store.read(|_, head| head).await?.position),
        };
        let explained = Explained::recorded(payment, agent.clone(), at, &decided, outcome);
        let (state, reached, again) = (State::default(), false, 0);
        let past = Past { agent, payment, state, reached, again, begun: None };
        let upto = upto.unwrap_or(payment.position());
        let past = self.replayed(upto, past, Past::read).await?;
        let explained = Explained { repeated: past.again, ..explained };
        Ok(match past.book() {
            Some(book) => {
                let granted = Some(in_words(&book.mandate));
                Explained { granted, ..explained.by(&past.state, book, &decided) }
            }
            None => explained,
        })
    }

    /// Hands every record up to the one at `position` to `read`, oldest first, away from whoever
    /// pays. Nothing is kept but what `read` keeps; one operator at a time has it done.
    pub(super) async fn replayed<T: Send + 'static>(
        &self,
        position: u64,
        into: T,
        read: impl Fn(&mut T, &Record) + Send + 'static,
    ) -> Result<T, EngineError> {
        let store = self.store.clone();
        let replay = move || {
            let upto = store.record(position)?.seq;
            let mut into = into;
            store.replay(upto, |record| read(&mut into, record))?;
            Ok::<_, StoreError>(into)
        };
        Ok(self.gates.pass(&Asker::Operator, Gate::Replaying, replay).await??)
    }
}
