//! The second opinion on what no amount would change.

use super::{Agent, Asked, Breach, Model, Standing, plain};

impl Model {
    /// What speaks against a payment whatever it costs, with the advice for each.
    pub(super) fn outright(&self, agent: u8, asked: &Asked) -> Vec<(Breach, &'static str)> {
        let Agent { terms, standing, .. } = &self.agents[&agent];
        let mut against = Vec::new();
        match standing {
            Standing::Active => {}
            Standing::Frozen => against.push((plain("agent_frozen"), "ask_operator")),
            Standing::Revoked => against.push((plain("agent_revoked"), "stop")),
        }
        let price = self.services.get(&asked.service).map(|service| service.price);
        if price == Some(None) && asked.amount.is_none() {
            against.push((plain("invalid_request"), "fix_request"));
            return against;
        }
        if terms.expires.is_some_and(|at| self.now() >= at) {
            against.push((plain("mandate_expired"), "ask_operator"));
        }
        if self.is_shut(agent) {
            let opens = self.next_opening(agent).is_some();
            let advice = if opens { "wait" } else { "ask_operator" };
            against.push((plain("outside_active_hours"), advice));
        }
        against.extend(self.against_task(agent, asked.task));
        let named = terms.allow.is_empty() || terms.allow.contains(&asked.service);
        if price.is_none() {
            against.push((plain("service_unknown"), "fix_request"));
        } else if !named || terms.deny.contains(&asked.service) {
            against.push((plain("service_not_allowed"), "ask_operator"));
        }
        if self.pays_another(agent, asked.service) {
            against.push((plain("payee_changed"), "ask_operator"));
        }
        if let (Some(Some(price)), Some(most)) = (price, asked.amount)
            && price > most
        {
            let numbers = vec![price, most];
            against.push((Breach { numbers, ..plain("price_above_maximum") }, "fix_request"));
        }
        against
    }
}
