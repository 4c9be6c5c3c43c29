//! Calls whose arguments make no payment: they are refused, recorded and counted like any other.

use jiff::Timestamp;

use super::{
    Engine, EngineError,
    pay::{Decided, deny, turned_away},
    request::Misread,
};
use crate::{
    policy::{
        answer::PayAnswer,
        authorize::refuse,
        came::Came,
        denial::{Denial, Denied},
        names::{Handle, IdempotencyKey, PaymentId, RunId},
        state::State,
        via::Via,
    },
    store::{Decision, Purpose},
};

/// A call whose arguments make no payment.
pub(super) struct Malformed {
    pub(super) agent: Handle,
    pub(super) run: Option<RunId>,
    pub(super) came: Came,
    pub(super) bad: Box<Misread>,
    pub(super) via: Option<Via>,
    pub(super) call: Option<IdempotencyKey>,
}

impl Malformed {
    fn decide(self, state: &State, payment: PaymentId, now: Timestamp) -> Decision<Decided> {
        let Self { agent, run, came, bad, via, call } = self;
        let Misread { bad, service, amount: asked } = *bad;
        let book = match state.admit_payer(&agent, &came, now) {
            Ok(book) => book,
            Err(why) => return turned_away(why, now),
        };
        let refusal = refuse(book, Denial::InvalidRequest(bad));
        let denied = Denied { payment, service, asked, refusal, run, via, call, task: None };
        deny(state, book, came.who(), denied, now)
    }
}

impl Engine {
    /// Refuses such a call.
    pub(super) async fn refuse(
        &self,
        asked: Malformed,
        dry_run: bool,
    ) -> Result<PayAnswer, EngineError> {
        let decide = move |state: &State, id, now| asked.decide(state, id, now);
        if dry_run {
            return self.rehearse(decide).await;
        }
        Ok(self.store.commit(Purpose::Record, decide).await?.answer)
    }
}
