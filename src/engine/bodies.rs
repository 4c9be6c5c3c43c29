//! The bodies that wait to be read: those of answers that are neither JSON nor text.

use base64ct::{Base64, Encoding};

use super::{Engine, EngineError, spool::Told};
use crate::policy::{
    answer::{ApiBody, Waiting, WaitingBodies, WaitingBody},
    came::Came,
    names::{Handle, PaymentId},
};

/// How many are listed at once.
const PAGE: usize = 100;

impl Engine {
    /// The bodies that wait for `agent`, those of its newest payments first: a page of them, of
    /// payments before `before` if that is said. Whoever may read its ledger may read them.
    pub async fn bodies(
        &self,
        agent: &Handle,
        came: Came,
        before: Option<PaymentId>,
    ) -> Waiting<WaitingBodies> {
        let listed = || {
            let mut all = self.spool.all_of(agent, before);
            all.sort_unstable_by_key(|(payment, _)| std::cmp::Reverse(*payment));
            let mut all = all.into_iter().filter(|(_, told)| told.is_resource());
            let bodies: Vec<_> =
                all.by_ref().take(PAGE).map(|(payment, told)| listed(payment, &told)).collect();
            let last = bodies.last().map(|body| body.payment_id);
            WaitingBodies { bodies, next: all.next().and(last) }
        };
        match self.let_in(agent, came).await {
            Waiting::Here(()) => Waiting::Here(listed()),
            Waiting::Gone => Waiting::Gone,
            Waiting::Refused(refused) => Waiting::Refused(refused),
        }
    }

    /// The body that was answered to a payment of `agent`, for whoever may read its ledger.
    pub async fn body(&self, agent: &Handle, came: Came, payment: PaymentId) -> Waiting<ApiBody> {
        match self.let_in(agent, came).await {
            Waiting::Here(()) => {
                let told = self.spool.get(agent, payment).filter(|told| told.is_resource());
                told.map_or(Waiting::Gone, |told| Waiting::Here(whole(payment, &told)))
            }
            Waiting::Gone => Waiting::Gone,
            Waiting::Refused(refused) => Waiting::Refused(refused),
        }
    }

    /// What was answered to a payment, for an operator: whatever it is, and as far as it is kept.
    ///
    /// # Errors
    /// If nothing of it is.
    pub fn response(&self, payment: PaymentId) -> Result<ApiBody, EngineError> {
        let told = self.spool.of_anybody(payment).ok_or(EngineError::NoResponse(payment))?;
        Ok(whole(payment, &told))
    }

    /// Whether somebody who came so may read what is an agent's.
    async fn let_in(&self, agent: &Handle, came: Came) -> Waiting<()> {
        let who = agent.clone();
        let admitted = self.look(move |state, now| state.admit(&who, &came, now).map(drop)).await;
        let refused = match admitted {
            Ok(Ok(())) => return Waiting::Here(()),
            Ok(Err(denial)) => self.not_let_in(denial),
            Err(error) => Err(error),
        };
        Waiting::Refused(refused.unwrap_or_else(|error| error.refused()))
    }
}

fn listed(payment_id: PaymentId, told: &Told) -> WaitingBody {
    let content_type = told.response().content_type;
    WaitingBody { payment_id, content_type, bytes: told.size }
}

fn whole(payment_id: PaymentId, told: &Told) -> ApiBody {
    ApiBody {
        payment_id,
        content_type: told.response().content_type,
        bytes: told.size,
        truncated: (!told.is_whole()).then_some(true),
        base64: Base64::encode_string(&told.body),
    }
}
