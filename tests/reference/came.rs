//! The second opinion on how whoever asks came.

use super::{Model, Standing};

/// How whoever asks came: tokens are numbered as they were given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Local,
    Token(usize),
    Operator,
}

/// What lets its agent in from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) agent: u8,
    pub(crate) ends: Option<i64>,
    /// Whether nothing is left of it: revoked, alone or with its agent, or ended and forgotten.
    pub(super) gone: bool,
    /// Whether it opens tasks.
    pub(crate) may: bool,
}

impl Model {
    /// Why somebody is not even heard. Who comes by a token of a revoked agent is, to be told so.
    pub(crate) fn turns_away(&self, agent: u8, came: Came) -> Option<&'static str> {
        let Some(book) = self.agents.get(&agent) else { return Some("agent_unknown") };
        let let_in = match came {
            Came::Local if !book.terms.local => return Some("agent_unknown"),
            Came::Local | Came::Operator => true,
            Came::Token(number) => {
                let token = &self.tokens[number];
                let lives = token.ends.is_none_or(|end| self.now() < end) && !token.gone;
                lives && token.agent == agent || book.standing == Standing::Revoked
            }
        };
        (!let_in).then_some("agent_revoked")
    }
}
