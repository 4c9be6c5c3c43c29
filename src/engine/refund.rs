//! Money that comes back: from a payment's id to its hold, what was taken, and what is left.

use super::{Engine, EngineError, gates::Asker};
use crate::{
    policy::{
        answer::ServiceName,
        entry::{Entry, Fact, Hold},
        money::Usd,
        names::{Handle, PaymentId},
        operate::Act,
        settle::{self, SettleError},
        state::State,
        terms::{AgentView, Refund, Refunded},
    },
    store::Purpose,
};

/// Why nothing comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// Nothing is known by this id.
    #[error("there is no payment {0}")]
    Unknown(PaymentId),
    /// It was refused before anything was taken.
    #[error("{0} was denied: nothing was taken")]
    Denied(PaymentId),
    /// It is not known yet what was taken.
    #[error("{0} has not ended yet: nothing is known to be taken")]
    Open(PaymentId),
    /// It ended without a charge.
    #[error("{0} ended without a charge: nothing was taken")]
    NotTaken(PaymentId),
    /// There is nothing left to come back.
    #[error("all that {0} took came back before")]
    AllBack(PaymentId),
    /// Policy says no to the amount.
    #[error(transparent)]
    Settle(#[from] SettleError),
}

/// A payment that was made.
struct Taken {
    agent: Handle,
    hold: Hold,
    captured: Usd,
}

impl Engine {
    /// Gives back what a payment took, or a part of it.
    ///
    /// # Errors
    /// If there is no such payment, so much was not taken, or the store fails.
    pub async fn refund(
        &self,
        payment: PaymentId,
        refund: Refund,
    ) -> Result<Refunded, EngineError> {
        let Taken { agent, hold, captured } = self.taken(payment).await?;
        let Refund { amount_usd, note } = refund;
        let service_id = ServiceName(hold.service.clone());
        let reading = agent.clone();
        let decide = move |state: &State, _| {
            let left = captured.less(state.refunded(payment));
            if left.is_zero() {
                return Err(RefundError::AllBack(payment));
            }
            let amount = amount_usd.unwrap_or(left);
            let draft = settle::refund(state, &agent, (&hold, captured), amount, note)?;
            Ok((Act::Write(vec![draft]), amount))
        };
        let read = move |state: &State, now, refunded_usd| {
            let left_usd = captured.less(state.refunded(payment));
            let agent = state.spender(&reading).map(|spender| AgentView::of(&spender, now));
            agent.map(|agent| Refunded {
                payment_id: payment,
                service_id,
                refunded_usd,
                left_usd,
                agent,
            })
        };
        let refunded = self.act(Purpose::Record, decide, read).await?;
        let refunded = refunded.ok_or(RefundError::Unknown(payment))?;
        tracing::info!(%payment, amount = %refunded.refunded_usd, "refunded");
        Ok(refunded)
    }

    /// Whose payment it is, and what it took.
    async fn taken(&self, payment: PaymentId) -> Result<Taken, EngineError> {
        let who = Asker::Operator;
        let first = self.entry_of(&who, payment, |_| true).await?;
        let Some(Entry { agent: Some(agent), fact, .. }) = first else {
            return Err(RefundError::Unknown(payment).into());
        };
        match fact {
            Fact::Paid(hold) => Ok(Taken { agent, captured: hold.amount, hold }),
            Fact::Held(hold) => {
                if self.look(move |state, _| state.open(payment).is_some()).await? {
                    return Err(RefundError::Open(payment).into());
                }
                match self.settlement(&who, &agent, payment).await? {
                    Fact::Captured { amount, .. } => Ok(Taken { agent, hold, captured: amount }),
                    _ => Err(RefundError::NotTaken(payment).into()),
                }
            }
            _ => Err(RefundError::Denied(payment).into()),
        }
    }
}

/// The status, code and hint that an operator gets for a refused refund.
pub(super) fn problem(error: RefundError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        RefundError::Unknown(_) => {
            (404, "payment_unknown", Some("`pettycash ledger` shows the ids of all payments"))
        }
        RefundError::Denied(_) | RefundError::NotTaken(_) => (
            409,
            "payment_not_captured",
            Some("only what `pettycash ledger` shows as paid or captured can come back"),
        ),
        RefundError::Open(_) => (
            409,
            "payment_not_captured",
            Some("once `pettycash ledger` shows it as captured, it can come back"),
        ),
        RefundError::AllBack(_) => (409, "refund_too_large", None),
        RefundError::Settle(SettleError::MoreThanCaptured { .. }) => {
            (422, "refund_too_large", Some("without an amount all that can still come back does"))
        }
        RefundError::Settle(SettleError::Zero) => (422, "amount_zero", None),
        RefundError::Settle(_) => (409, "payment_not_captured", None),
    }
}
