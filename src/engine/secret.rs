//! The text of a token: made, read, and turned into the digest that is all that is kept of it.
//!
//! `agt_` or `opr_`, then 32 random bytes and a checksum of all that stands before it, in the
//! base32 of RFC 4648, in lower case and without padding. The prefix tells whoever finds one what
//! it is, and the checksum tells a token that was cut or mistyped from one that is not known. So
//! many random bits need no slow hash: nobody tries them.

use std::fmt;

use base32ct::{Base32Unpadded, Encoding};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    policy::{entry::Hash, names::TokenId},
    store::StoreError,
};

/// How many names are drawn for a token, of which the first that is free is taken.
const NAMES: usize = 4;
/// How many random bytes a token has.
const RANDOM: usize = 32;
/// How many bytes are written down: those and the checksum.
const BYTES: usize = RANDOM + 4;
/// How many digits that takes, 5 bits each.
const DIGITS: usize = (BYTES * 8).div_ceil(5);

/// Whom a token lets in, as its first letters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An agent: `agt_`.
    Agent,
    /// An operator: `opr_`.
    Operator,
}

impl Kind {
    /// The first letters.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Agent => "agt_",
            Self::Operator => "opr_",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "an agent's token",
            Self::Operator => "an operator's token",
        })
    }
}

/// Why a text is no token. What the text was is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is something else.
    #[error("that is not {0}, which begins with `{prefix}`", prefix = .0.prefix())]
    Other(Kind),
    /// It was one.
    #[error("that is {0} which was cut or mistyped")]
    Damaged(Kind),
}

/// The digest of a token of that kind.
///
/// # Errors
/// If the text is none, or was cut or mistyped.
pub fn digest(kind: Kind, text: &str) -> Result<Hash, TokenError> {
    let digits = text.strip_prefix(kind.prefix()).ok_or(TokenError::Other(kind))?;
    let bytes = decoded(digits).ok_or(TokenError::Damaged(kind))?;
    let (random, sum) = bytes.split_at(RANDOM);
    if sum != checksum(kind, random) {
        return Err(TokenError::Damaged(kind));
    }
    Ok(Hash(Sha256::digest(text.as_bytes()).into()))
}

/// A new token.
pub(super) struct Minted {
    pub(super) text: SecretString,
    pub(super) digest: Hash,
    /// What it may be called in public: they are short, so one may be taken.
    pub(super) names: [TokenId; NAMES],
}

/// Makes a token.
pub(super) fn mint(kind: Kind) -> Result<Minted, StoreError> {
    let (mut random, mut names) = ([0; RANDOM], [[0; 8]; NAMES]);
    let drawn = getrandom::fill(&mut random);
    let drawn = drawn.and_then(|()| getrandom::fill(names.as_flattened_mut()));
    drawn.map_err(|error| StoreError::Io {
        doing: "draw",
        file: "a token".to_owned(),
        cause: error.to_string(),
    })?;
    let text = written(kind, &random);
    let digest = Hash(Sha256::digest(text.expose_secret().as_bytes()).into());
    let names = names.map(|name| TokenId::new(u64::from_le_bytes(name)));
    Ok(Minted { text, digest, names })
}

fn written(kind: Kind, random: &[u8; RANDOM]) -> SecretString {
    let mut bytes = [0; BYTES];
    let (start, sum) = bytes.split_at_mut(RANDOM);
    start.copy_from_slice(random);
    sum.copy_from_slice(&checksum(kind, random));
    format!("{}{}", kind.prefix(), Base32Unpadded::encode_string(&bytes)).into()
}

/// The bytes that so many digits stand for, if there is no other way to write them.
fn decoded(digits: &str) -> Option<[u8; BYTES]> {
    if digits.len() != DIGITS {
        return None;
    }
    let mut bytes = [0; BYTES];
    Base32Unpadded::decode(digits, &mut bytes).ok()?;
    // The last digit has two bits more than there are, which the library lets be anything.
    (Base32Unpadded::encode_string(&bytes) == digits).then_some(bytes)
}

fn checksum(kind: Kind, random: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(kind.prefix().as_bytes()), random).to_be_bytes()
}

#[cfg(test)]
mod tests;
