//! Who chooses the types of an agent's tasks, and so under which caps on types it pays.

use jiff::Timestamp;

use crate::policy::{
    cap::{Cap, Dimension},
    mandate::Mandate,
    names::Handle,
    state::State,
    token::{Power, Token},
};

/// Who opens an agent's tasks beside its operators, and whose caps are on types of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// Whether a cap of the agent's own is.
    own: bool,
    /// Whether one of a group above it is.
    above: bool,
    opener: Option<Opener>,
}

/// Who opens tasks, and names their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opener {
    /// The agent itself, by its mandate; and so its tokens, too.
    Agent,
    /// Whoever has a token that may.
    Token,
}

impl Types {
    /// What an operator should know of that, as far as it was not so `before`.
    pub fn remarks(self, before: Self) -> Vec<String> {
        let needed = (self.above && !before.above).then(|| {
            "a group above caps a type of task: whatever is paid belongs to an open task".to_owned()
        });
        let otherwise = self.opener != before.opener;
        let opener = self.opener.map(|opener| match opener {
            Opener::Agent => "the agent opens its tasks, so its model chooses",
            Opener::Token => "a token of this agent may open tasks, so whoever shows it chooses",
        });
        let own = opener.filter(|_| self.own && (otherwise || !before.own));
        let own = own.map(|chooses| format!("{chooses} their type: a cap on one bounds no other"));
        let above = opener.filter(|_| self.above && (otherwise || !before.above));
        let above = above
            .map(|chooses| format!("{chooses} which of the group's caps on types it is under"));
        needed.into_iter().chain(own).chain(above).collect()
    }

    /// The same once a token of the agent may open tasks.
    fn let_in(self) -> Self {
        Self { opener: self.opener.or(Some(Opener::Token)), ..self }
    }
}

impl State {
    /// The same of an agent with `mandate` below groups with the caps `shared`, and with the tokens
    /// that it has at `now`.
    pub fn types(
        &self,
        agent: &Handle,
        (mandate, shared): (&Mandate, &[&Cap]),
        now: Timestamp,
    ) -> Types {
        let on_type = |cap: &Cap| matches!(cap.on, Dimension::TaskType(_));
        let may = |token: &Token| token.lives(now) && token.may.contains(&Power::OpenTasks);
        let token = || self.tokens_of(Some(agent)).any(may).then_some(Opener::Token);
        let itself = (!mandate.tasks.is_operator()).then_some(Opener::Agent);
        Types {
            own: mandate.caps.iter().any(on_type),
            above: shared.iter().copied().any(on_type),
            opener: itself.or_else(token),
        }
    }

    /// The same where the groups are as they are.
    fn types_below(&self, agent: &Handle, mandate: &Mandate, now: Timestamp) -> Types {
        let groups = self.chain(mandate.group.as_ref());
        let shared: Vec<&Cap> = groups.iter().flat_map(|group| &group.rules.caps).collect();
        self.types(agent, (mandate, &shared), now)
    }

    /// What an operator should know of who chooses types of tasks, where `agent` gets the mandate
    /// `to`.
    pub fn remarks_on_types(&self, agent: &Handle, to: &Mandate, now: Timestamp) -> Vec<String> {
        let before = self.book(agent).map(|book| self.types_below(agent, &book.mandate, now));
        self.types_below(agent, to, now).remarks(before.unwrap_or_default())
    }

    /// The same where `agent` is given a token that may open tasks.
    pub fn remarks_on_opener(&self, agent: &Handle, now: Timestamp) -> Vec<String> {
        let Some(book) = self.book(agent) else { return Vec::new() };
        let before = self.types_below(agent, &book.mandate, now);
        before.let_in().remarks(before)
    }
}
