//! What of a policy gives somebody more, asked in one place: what is told so takes a proof.

use super::{AgentChange, GroupChange, PolicyPlan, ServiceChange};
use crate::policy::{change::Change, mandate::Funding};

impl PolicyPlan {
    /// Whether any of it gives somebody more: what takes an operator's proof, and is told so.
    pub fn gives_more(&self) -> bool {
        let groups = self.groups.iter().any(GroupChange::loosens);
        !self.services.is_empty() || groups || self.agents.iter().any(AgentChange::gives_more)
    }

    /// Whether more can be spent at once: an agent that is new and starts at zero spends nothing
    /// until somebody gives it something.
    pub fn lets_spend_more(&self) -> bool {
        let spends = |agent: &AgentChange| agent.gives_more() && !agent.starts_at_zero();
        let groups = self.groups.iter().any(GroupChange::loosens);
        !self.services.is_empty() || groups || self.agents.iter().any(spends)
    }
}

impl ServiceChange {
    /// Whether it differs in what a call costs, and in nothing else: each pays more or less then,
    /// and no cap moves.
    pub fn is_of_price(&self) -> bool {
        self.from.as_ref().is_some_and(|from| from.is_priced_otherwise(&self.to))
    }
}

impl AgentChange {
    /// Whether it may do more than before.
    pub fn loosens(&self) -> bool {
        self.changes.iter().any(|change| change.loosens)
    }

    /// Whether it may do what nobody could before: it is new, or may do more.
    pub fn gives_more(&self) -> bool {
        self.created || self.loosens()
    }

    /// Whether it is new, and has nothing to spend.
    pub fn starts_at_zero(&self) -> bool {
        let prepaid = Funding::Prepaid.to_string();
        let begins =
            |change: &Change| change.what == "funding" && change.to.as_ref() == Some(&prepaid);
        self.created && self.changes.iter().any(begins)
    }
}
