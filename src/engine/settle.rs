//! What an operator found out of payments that are in doubt.

use super::{Engine, EngineError};
use crate::{
    policy::{
        answer::ServiceName,
        entry::Fact,
        money::Usd,
        names::PaymentId,
        operate::Act,
        settle::{self, SettleError},
        state::State,
        terms::{AgentView, Settled, Settlement},
    },
    store::Purpose,
};

impl Engine {
    /// Ends a payment that is in doubt, as it really ended.
    ///
    /// # Errors
    /// If it is not in doubt, more is to be charged than is held and it is not metered, or the
    /// store fails.
    pub async fn settle(
        &self,
        payment: PaymentId,
        settlement: Settlement,
    ) -> Result<Settled, EngineError> {
        let Settlement { charged_usd } = settlement;
        let decide = move |state: &State, _| {
            let draft = settle::found_out(state, payment, charged_usd)?;
            let open = state.open(payment).ok_or(SettleError::NotOpen(payment))?;
            let charged = match draft.fact {
                Fact::Captured { amount, .. } => amount,
                _ => Usd::ZERO,
            };
            let told = (open.agent.clone(), open.hold.service.clone(), charged, open.hold.amount);
            Ok::<_, SettleError>((Act::Write(vec![draft]), told))
        };
        let read = move |state: &State, now, (agent, service, charged_usd, held)| {
            let agent = state.spender(&agent).map(|spender| AgentView::of(&spender, now))?;
            let (service_id, released_usd) = (ServiceName(service), Usd::less(held, charged_usd));
            Some(Settled { payment_id: payment, service_id, charged_usd, released_usd, agent })
        };
        let settled = self.act(Purpose::Record, decide, read).await?;
        let settled = settled.ok_or(SettleError::NotOpen(payment))?;
        tracing::info!(%payment, charged = %settled.charged_usd, "settled by an operator");
        Ok(settled)
    }
}

/// The status, code and hint that an operator gets where nothing is settled.
pub(super) fn problem(error: SettleError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        SettleError::MoreThanHeld { .. } => {
            (422, "settlement_too_large", Some("without an amount all that is held is taken"))
        }
        _ => (
            409,
            "payment_not_in_doubt",
            Some("`pettycash ledger --outcome in_doubt` shows what was, with its id"),
        ),
    }
}
