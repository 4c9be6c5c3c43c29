//! Who is an operator: a token of theirs, or the passphrase, shown with what gives an agent more.
//!
//! Before there is a passphrase nobody is asked. Whatever takes power away never asks: it must
//! work at once, for anybody who is let in at all. What was proven is looked at once more when the
//! act is decided, for much may have ended in between.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{Mutex, Semaphore},
    time::sleep,
};

use super::{Engine, EngineError, doors::Doors, secret};
use crate::{
    policy::{
        names::{Handle, TokenId},
        operate::OperateError,
        proof::{self, Phc, Proven},
        state::State,
        terms::{AgentTokens, OperatorDoor, PassphraseGiven, TokenView},
        token::Token,
    },
    store::{Purpose, StoreError},
};

/// The shortest passphrase, in characters.
const MIN_PASSPHRASE: usize = 8;
/// The longest, in bytes: all of it is hashed.
const MAX_PASSPHRASE: usize = 1_024;
/// How many may wait for a passphrase to be looked at, or set; more are sent away.
const MAX_WAITING: usize = 4;
/// How long the answer to a wrong one takes, and twice as long after each more of them.
const PAUSE: Duration = Duration::from_millis(200);
/// But no longer than this, so that an operator who errs is not shut out.
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// What somebody shows to prove that he is an operator.
#[derive(Clone, Debug)]
pub enum Proof {
    /// An operator's token.
    Token(SecretString),
    /// The operators' passphrase.
    Passphrase(SecretString),
}

/// Why nobody is taken for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Nothing was shown.
    #[error("this gives an agent more, and that takes an operator's proof")]
    Required,
    /// The passphrase is another.
    #[error("that is not the operators' passphrase")]
    WrongPassphrase,
    /// No such token lives.
    #[error("that operator's token is not known, was revoked or has ended")]
    UnknownToken,
    /// It is no token at all.
    #[error(transparent)]
    NoToken(#[from] secret::TokenError),
    /// Others are trying.
    #[error("too many passphrases are being looked at")]
    Busy,
    /// Too short to keep anybody out, or too long.
    #[error(
        "a passphrase has {MIN_PASSPHRASE} characters at least, and {MAX_PASSPHRASE} bytes at most"
    )]
    Unfit,
}

/// Whose passphrase is being looked at.
#[derive(Debug)]
pub(super) struct Turns {
    waiting: Semaphore,
    /// How many wrong ones there were in a row. It is held while one is looked at, so that many
    /// at once are no faster than one after the other.
    wrong: Mutex<u32>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { waiting: Semaphore::new(MAX_WAITING), wrong: Mutex::new(0) }
    }
}

impl Engine {
    /// What the operators' door is like. It waits for nothing.
    pub fn operator_door(&self) -> OperatorDoor {
        OperatorDoor { initialised: self.doors.passphrase().is_some() }
    }

    /// Sees that an operator asks, once there is a passphrase. What is asked of the engine that
    /// this gives is done only if that is still so when it is decided.
    ///
    /// # Errors
    /// If nothing was shown that proves it.
    pub async fn prove(&self, proof: Option<Proof>) -> Result<Self, EngineError> {
        // Whoever was let in by a token is who he was then, whatever has become of it since.
        let unasked = || self.proven.clone().unwrap_or(Proven::Unasked);
        let proven = match (proof, self.doors.passphrase()) {
            // Nobody is asked, but by a token that is revoked meanwhile nothing is done either.
            (Some(Proof::Token(token)), None) => {
                self.operators_token(&token).map_or_else(|_| unasked(), Proven::Token)
            }
            (None | Some(Proof::Passphrase(_)), None) => unasked(),
            (None, Some(_)) => return Err(ProofError::Required.into()),
            (Some(Proof::Token(token)), Some(_)) => Proven::Token(self.operators_token(&token)?),
            (Some(Proof::Passphrase(passphrase)), Some(hash)) => {
                self.look_at(passphrase, hash.clone()).await?;
                Proven::Passphrase(hash)
            }
        };
        Ok(Self { proven: Some(proven), ..self.clone() })
    }

    /// Which token of the operators' it is, if it lives.
    fn operators_token(&self, token: &SecretString) -> Result<TokenId, ProofError> {
        let token = token.expose_secret();
        secret::digest(secret::Kind::Operator, token)?;
        let door = self.opened_by(secret::Kind::Operator, token);
        let door = door.filter(|door| door.owner.is_none()).ok_or(ProofError::UnknownToken)?;
        Ok(door.id.clone())
    }

    async fn look_at(&self, passphrase: SecretString, hash: Phc) -> Result<(), EngineError> {
        let _waiting = self.turns.waiting.try_acquire().map_err(|_| ProofError::Busy)?;
        let mut wrong = self.turns.wrong.lock().await;
        let right = move || {
            let hash = PasswordHash::new(hash.as_str()).ok();
            let tried = passphrase.expose_secret().as_bytes();
            let fits = tried.len() <= MAX_PASSPHRASE;
            hash.is_some_and(|hash| fits && Argon2::default().verify_password(tried, &hash).is_ok())
        };
        // It takes a core and 19 MiB for a while, which no payment shall wait for.
        let right = tokio::task::spawn_blocking(right).await.unwrap_or(false);
        if right {
            *wrong = 0;
            return Ok(());
        }
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(*wrong).unwrap_or(u32::MAX));
        *wrong = wrong.saturating_add(1);
        tracing::warn!(in_a_row = *wrong, "a wrong passphrase");
        sleep(pause.min(MAX_PAUSE)).await;
        Err(ProofError::WrongPassphrase.into())
    }

    /// Gives the operators a passphrase, or, to whoever proves that he is one, another one. A first
    /// one ends every token of the operators' but the one that is shown with it.
    ///
    /// # Errors
    /// If it is unfit, is not proven, others are at it, another one was set meanwhile, or the store
    /// refuses; and also where nobody is asked, if a token is shown that is none.
    pub async fn set_passphrase(
        &self,
        passphrase: SecretString,
        proof: Option<Proof>,
    ) -> Result<PassphraseGiven, EngineError> {
        let before = self.doors.passphrase();
        let shown = match &proof {
            Some(Proof::Token(token)) => Some(self.operators_token(token)?),
            Some(Proof::Passphrase(_)) | None => None,
        };
        let proven = self.prove(proof).await?;
        // Whether the passphrase is another by now is told better than by the proof.
        let asks = if shown.is_some() { &proven } else { self };
        let text = passphrase.expose_secret();
        let unfit = text.len() > MAX_PASSPHRASE || text.chars().count() < MIN_PASSPHRASE;
        if unfit || text.chars().any(char::is_control) {
            return Err(ProofError::Unfit.into());
        }
        // Before there is a passphrase anybody may ask, and be given a token. From then on whoever
        // has one never waits, as for no other act.
        let waits = before.is_none() || shown.is_none();
        let waiting = waits.then(|| self.turns.waiting.try_acquire()).transpose();
        let waiting = waiting.map_err(|_| ProofError::Busy)?;
        let hash = tokio::task::spawn_blocking(move || hashed(&passphrase)).await;
        drop(waiting);
        let hash = hash.unwrap_or(None).ok_or(StoreError::Panicked)?;
        let first = before.is_none();
        let (doors, view) = (Arc::clone(&self.doors), Arc::clone(&self.doors));
        let decide = move |state: &State, now| {
            let act = proof::set_passphrase(state, before.as_ref(), shown.as_ref(), hash)?;
            let ending = |token: &Token| first && Some(&token.id) != shown.as_ref();
            Ok::<_, OperateError>((act, views(&doors, state, now, ending)))
        };
        let read = move |state: &State, now, ended| PassphraseGiven {
            initialised: true,
            ended,
            kept: views(&view, state, now, |_| true),
            agents: if first { agents_with_tokens(state, now) } else { Vec::new() },
        };
        let given = asks.act(Purpose::Record, decide, read).await?;
        tracing::info!(first, ended = given.ended.len(), "the operators' passphrase was set");
        Ok(given)
    }

    /// The operator's token that was shown, where it was one.
    pub(super) fn shown_token(&self) -> Option<TokenId> {
        match &self.proven {
            Some(Proven::Token(token)) => Some(token.clone()),
            Some(Proven::Unasked | Proven::Passphrase(_)) | None => None,
        }
    }
}

/// The operators' tokens that live and are meant, oldest first.
fn views(
    doors: &Doors,
    state: &State,
    now: Timestamp,
    meant: impl Fn(&Token) -> bool,
) -> Vec<TokenView> {
    let seen = doors.seen(&None);
    let living = state.tokens_of(None).filter(|token| token.lives(now) && meant(token));
    let view = |token: &Token| TokenView::of(token, seen.get(&token.id).copied(), now);
    let mut views: Vec<_> = living.map(view).collect();
    views.sort_by_key(|view| view.created_at);
    views
}

fn agents_with_tokens(state: &State, now: Timestamp) -> Vec<AgentTokens> {
    let mut tokens: BTreeMap<&Handle, u32> = BTreeMap::new();
    for agent in state.tokens().filter(|t| t.lives(now)).filter_map(|t| t.agent.as_ref()) {
        let count = tokens.entry(agent).or_default();
        *count = count.saturating_add(1);
    }
    let told = |(agent, tokens): (&Handle, u32)| AgentTokens { agent: agent.clone(), tokens };
    tokens.into_iter().map(told).collect()
}

/// Why what was proven does no more.
pub(super) fn over(proven: &Proven) -> ProofError {
    match proven {
        Proven::Unasked => ProofError::Required,
        Proven::Token(_) => ProofError::UnknownToken,
        Proven::Passphrase(_) => ProofError::WrongPassphrase,
    }
}

fn hashed(passphrase: &SecretString) -> Option<Phc> {
    let hash: PasswordHash =
        Argon2::default().hash_password(passphrase.expose_secret().as_bytes()).ok()?;
    Phc::try_from(hash.to_string()).ok()
}

/// The status, code and hint that whoever is not taken for an operator gets.
pub(super) fn problem(error: ProofError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        ProofError::Required => (
            401,
            "operator_proof_required",
            Some(
                "type the passphrase at a terminal, or have an operator's token in \
                 PETTYCASH_OPERATOR_TOKEN or a file for `--operator-token-file`",
            ),
        ),
        ProofError::WrongPassphrase | ProofError::UnknownToken | ProofError::NoToken(_) => {
            (403, "operator_proof_wrong", Some("nothing was done"))
        }
        // Whoever tries passphrases can keep all others waiting, but nobody who has a token.
        ProofError::Busy => (
            429,
            "operator_proof_busy",
            Some(
                "try again in a few seconds; an operator's token never waits: have one in \
                 PETTYCASH_OPERATOR_TOKEN or a file for `--operator-token-file`",
            ),
        ),
        ProofError::Unfit => (422, "passphrase_unfit", None),
    }
}
