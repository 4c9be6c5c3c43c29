//! Dry runs: what a payment would come to, decided as it would be, with nothing done.

use jiff::Timestamp;

use super::{Engine, EngineError, pay::Decided};
use crate::{
    policy::{
        answer::PayAnswer,
        entry::{Draft, Fact, Hold},
        names::{Handle, PaymentId},
        state::State,
    },
    store::{Decision, Recording, StoreError},
};

impl Engine {
    /// Decides on the state as it is, and answers what would be answered. What would be written
    /// down is not: no hold, no denial, no key.
    pub(super) async fn rehearse(
        &self,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> Decision<Decided> + Send + 'static,
    ) -> Result<PayAnswer, EngineError> {
        // Where nothing can be recorded, nothing would be paid.
        match self.store.condition().recording {
            Recording::Sound => {}
            Recording::Low { free, needed } => return Err(StoreError::Low { free, needed }.into()),
            Recording::Full => return Err(StoreError::Full.into()),
            Recording::Poisoned { cause } => return Err(StoreError::Poisoned { cause }.into()),
            Recording::Sealed(error) => return Err(error.into()),
        }
        let decided = move |state: &State, now| {
            let decision = decide(state, PaymentId::new(0, 0), now);
            answer(decision, state, now)
        };
        let answer = self.look(decided).await?;
        Ok(PayAnswer { dry_run: Some(true), ..answer })
    }
}

/// What a decision says that is not carried out.
fn answer(decision: Decision<Decided>, state: &State, now: Timestamp) -> PayAnswer {
    // A refusal that is not recorded has no id by which it could be fetched.
    let without_id = |answer| PayAnswer { payment_id: None, ..answer };
    match decision {
        // What a key stands for is as it was.
        Decision::Answer(Decided { answer, .. }) => answer,
        Decision::Repeat { answer: Decided { answer, .. }, .. } => without_id(answer),
        Decision::Commit { drafts, answer, .. } => match drafts.iter().find_map(held) {
            Some((agent, hold)) => {
                let spender = state.spender(agent);
                let available =
                    spender.map(|from| from.in_task(hold.task).available(hold.run.as_ref(), now));
                let available = available.unwrap_or_default();
                PayAnswer::allowed(hold, available)
            }
            None => without_id(answer(state).answer),
        },
    }
}

/// The money that a draft sets aside or takes, and whose it is.
fn held(draft: &Draft) -> Option<(&Handle, &Hold)> {
    match &draft.fact {
        Fact::Held(hold) | Fact::Paid(hold) => Some((draft.agent.as_ref()?, hold)),
        _ => None,
    }
}
