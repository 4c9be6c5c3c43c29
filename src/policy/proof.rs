//! The operators' passphrase, of which a slow hash is kept: people choose what can be guessed.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    entry::Fact,
    names::TokenId,
    operate::{Act, OperateError, operator},
    state::State,
    token::TokenFact,
};

/// The longest hash that is taken.
const MAX_PHC: usize = 256;

/// A passphrase as Argon2 keeps it, a PHC string: nobody reads it back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Phc(String);

impl Phc {
    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Phc {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let known = text.starts_with("$argon2id$") && text.len() <= MAX_PHC && text.is_ascii();
        if known { Ok(Self(text)) } else { Err("a passphrase is kept as an Argon2id hash") }
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// By what somebody was taken for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// There was no passphrase, so nobody was asked.
    Unasked,
    /// This token of the operators'.
    Token(TokenId),
    /// The passphrase that this is the hash of.
    Passphrase(Phc),
}

impl State {
    /// The hash of the operators' passphrase, once there is one.
    pub fn passphrase(&self) -> Option<&Phc> {
        self.passphrase.as_ref()
    }

    /// Whether what was proven some time ago still makes an operator of somebody at `now`.
    pub fn upholds(&self, proven: &Proven, now: Timestamp) -> bool {
        match proven {
            Proven::Unasked => self.passphrase.is_none(),
            Proven::Token(id) => {
                self.token(id).is_some_and(|token| token.agent.is_none() && token.lives(now))
            }
            Proven::Passphrase(hash) => self.passphrase.as_ref() == Some(hash),
        }
    }
}

/// Gives the operators a passphrase in the place of `before`, which whoever asks has proven, or a
/// first one.
///
/// Until there is a first one, tokens of the operators' are given to anybody: with it they all end,
/// but for the one that is `shown` by whoever sets it. From then on each is given to somebody who
/// proved that he is an operator, so another passphrase leaves them as they are.
///
/// # Errors
/// If another passphrase has taken the place of `before` meanwhile.
pub fn set_passphrase(
    state: &State,
    before: Option<&Phc>,
    shown: Option<&TokenId>,
    hash: Phc,
) -> Result<Act, OperateError> {
    if state.passphrase() != before {
        return Err(OperateError::PassphraseSetMeanwhile);
    }
    let others = state.tokens_of(None).filter(|token| Some(&token.id) != shown);
    let end = |token: TokenId| operator(None, Fact::Token(TokenFact::Revoked { token }));
    let ended = others.filter(|_| before.is_none()).map(|token| end(token.id.clone()));
    let set = operator(None, Fact::PassphraseSet { hash });
    Ok(Act::Write(ended.chain([set]).collect()))
}
