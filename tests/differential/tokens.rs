//! Tokens given out and taken back, on both sides.

use pettycash::policy::{
    entry::Hash,
    state::State,
    token::{self, Issued, Power},
};

use super::{
    run::Pair,
    words::{self, handle},
};

impl Pair {
    /// Gives an agent a token; says whose book is to be compared.
    pub(super) fn give(&mut self, agent: u8, lasts: Option<i64>, may: bool) -> Result<u8, String> {
        let ends = lasts.map(|lasts| self.model.now() + lasts);
        let (token, digest) = (words::token(self.model.tokens.len()), Hash::default());
        let expires_at = ends.map(words::second);
        let powers = may.then_some(Power::OpenTasks).into_iter().collect();
        let issued = Issued { token, digest, run: None, label: None, expires_at, may: powers };
        let (told, expected) = (format!("{issued:?}"), self.model.give(agent, ends, may));
        let act = move |state: &State, now| token::issue(state, Some(&handle(agent)), issued, now);
        self.act("token", &told, &expected, act).map(|()| agent)
    }

    /// Revokes the `nth` newest token, if there is one; says whose it was.
    pub(super) fn take(&mut self, nth: usize) -> Result<Option<u8>, String> {
        let newest = self.model.tokens.iter().enumerate().rev().nth(nth);
        let Some((number, agent)) = newest.map(|(number, token)| (number, token.agent)) else {
            return Ok(None);
        };
        let (told, expected) = (format!("token {number} revoked"), self.model.take(number));
        let act = move |state: &State, _| token::revoke(state, &words::token(number));
        self.act("token revoked", &told, &expected, act).map(|()| Some(agent))
    }
}
