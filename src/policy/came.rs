//! How somebody came who asks in an agent's name: a part of what is decided, for between the door
//! and the decision the operator may have shut it.

use jiff::Timestamp;

use super::{
    book::{Book, Standing},
    denial::Denial,
    entry::By,
    names::{Handle, TokenId},
    planted::{self, Bug},
    proof::Proven,
    state::State,
};

/// How somebody came who asks in an agent's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// By this machine's own socket, where naming the agent is enough.
    Local,
    /// By this token of the agent's.
    By(TokenId),
    /// As an operator, by what he proved, where that was asked for.
    Operator(Option<Proven>),
}

impl Came {
    /// Who brings about what comes of it.
    pub fn who(&self) -> By {
        match self {
            Self::Local | Self::By(_) => By::Agent,
            Self::Operator(_) => By::Operator,
        }
    }
}

impl State {
    /// The book of `agent`, for somebody who came so and may ask in its name at `now`.
    ///
    /// # Errors
    /// If there is no such agent, or none for him: to local clients one that is not for them is
    /// one that there is not.
    pub fn admit(&self, agent: &Handle, came: &Came, now: Timestamp) -> Result<&Book, Denial> {
        let unknown = || Denial::AgentUnknown { handle: agent.clone() };
        let book = self.book(agent).ok_or_else(unknown)?;
        match came {
            Came::Local => {
                let local = book.mandate.local.is_allowed() || planted::is(Bug::BarredPays);
                if local { Ok(book) } else { Err(unknown()) }
            }
            Came::By(id) => {
                let token = self.token(id).filter(|token| token.lives(now));
                let theirs = token.is_some_and(|token| token.agent.as_ref() == Some(agent));
                let stands = theirs || planted::is(Bug::EndedTokenPays);
                if stands { Ok(book) } else { Err(Denial::TokenEnded) }
            }
            Came::Operator(proven) => {
                let stands = proven.as_ref().is_none_or(|proven| self.upholds(proven, now));
                if stands { Ok(book) } else { Err(Denial::TokenEnded) }
            }
        }
    }

    /// The same for somebody who would pay. An agent that is revoked has no tokens left, and who
    /// came by one of them is let through all the same: he is told that, and why.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_payer(
        &self,
        agent: &Handle,
        came: &Came,
        now: Timestamp,
    ) -> Result<&Book, Denial> {
        let revoked = |book: &&Book| matches!(book.standing, Standing::Revoked { .. });
        match (self.admit(agent, came, now), self.book(agent).filter(revoked)) {
            (Err(Denial::TokenEnded), Some(book)) => Ok(book),
            (admitted, _) => admitted,
        }
    }
}
