//! The operators' passphrase, of which a slow hash is kept: people choose what can be guessed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    entry::Fact,
    operate::{Act, OperateError, operator},
    state::State,
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

impl State {
    /// The hash of the operators' passphrase, once there is one.
    pub fn passphrase(&self) -> Option<&Phc> {
        self.passphrase.as_ref()
    }
}

/// Gives the operators a passphrase in the place of `before`, which whoever asks has proven, or a
/// first one. It is refused where another has taken that place meanwhile.
pub fn set_passphrase(state: &State, before: Option<&Phc>, hash: Phc) -> Result<Act, OperateError> {
    if state.passphrase() != before {
        return Err(OperateError::PassphraseSetMeanwhile);
    }
    Ok(Act::Write(vec![operator(None, Fact::PassphraseSet { hash })]))
}
