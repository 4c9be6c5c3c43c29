//! Tokens: what lets an agent in from elsewhere, or an operator. What is kept of one is a digest,
//! from which nobody can make it again; it is shown once, to whoever asked for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    book::Standing,
    documents::DocKey,
    entry::{By, Draft, Fact, Hash},
    names::{Handle, Label, RunId, TokenId},
    operate::{Act, OperateError, book, operator},
    planted::{self, Bug},
    state::State,
};

/// How many tokens one agent has at most, and how many the operators have.
pub const MAX_TOKENS: usize = 256;

/// What a token lets its agent do beyond what every caller in its name may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Open tasks of the agent's and finish them.
    OpenTasks,
}

impl std::str::FromStr for Power {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open-tasks" => Ok(Self::OpenTasks),
            other => Err(format!("`{other}` is nothing that a token may: there is `open-tasks`")),
        }
    }
}

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenTasks => "open-tasks",
        })
    }
}

/// A token that is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its public name.
    pub token: TokenId,
    /// The SHA-256 digest of its text.
    pub digest: Hash,
    /// The run that whatever it lets in belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What the operator calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// From when on it lets nobody in (µs since 1970); without one, never.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub expires_at: Option<Timestamp>,
    /// What it lets its agent do beyond the rest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may: BTreeSet<Power>,
}

/// What happened to a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFact {
    /// It was given out.
    Issued(Issued),
    /// It was given an end.
    Ends {
        /// Which.
        token: TokenId,
        /// From when on it lets nobody in (µs since 1970).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
    /// It lets nobody in any more.
    Revoked {
        /// Which.
        token: TokenId,
    },
    /// It let somebody in, for the first time in a day or more.
    Used {
        /// Which.
        token: TokenId,
        /// When (µs since 1970).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
}

/// A token that was not revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// The SHA-256 digest of its text.
    pub digest: Hash,
    /// Whom it lets in: an agent, or, where it names none, an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Handle>,
    /// The run that whatever it lets in belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What the operator calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When it was given out (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// From when on it lets nobody in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub expires_at: Option<Timestamp>,
    /// When it was last written down that it let somebody in, which is at most once a day.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub used_at: Option<Timestamp>,
    /// What it lets its agent do beyond the rest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may: BTreeSet<Power>,
}

impl Token {
    /// Whether it still lets somebody in at `now`.
    pub fn lives(&self, now: Timestamp) -> bool {
        let late = planted::is(Bug::TokenEndsLate);
        self.expires_at.is_none_or(|end| now < end || now == end && late)
    }
}

/// Every token, by its id and by whom it lets in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tokens {
    by_id: BTreeMap<TokenId, Token>,
    by_owner: BTreeMap<Option<Handle>, BTreeSet<TokenId>>,
}

impl Tokens {
    pub(super) fn insert(&mut self, token: Token) {
        self.by_owner.entry(token.agent.clone()).or_default().insert(token.id.clone());
        self.by_id.insert(token.id.clone(), token);
    }

    fn remove(&mut self, id: &TokenId) {
        let Some(token) = self.by_id.remove(id) else { return };
        if let Some(ids) = self.by_owner.get_mut(&token.agent) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_owner.remove(&token.agent);
            }
        }
    }

    fn of(&self, owner: Option<&Handle>) -> impl Iterator<Item = &Token> {
        let ids = self.by_owner.get(&owner.cloned()).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }
}

impl State {
    /// A token that was not revoked.
    pub fn token(&self, id: &TokenId) -> Option<&Token> {
        self.tokens.by_id.get(id)
    }

    /// Every token that was not revoked, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.by_id.values()
    }

    /// The tokens of an agent, or, of none, the operators'.
    pub fn tokens_of(&self, owner: Option<&Handle>) -> impl Iterator<Item = &Token> {
        self.tokens.of(owner)
    }

    /// What a fact means for tokens. Whoever is revoked has none; those that are over are
    /// forgotten when their owner is given another.
    pub(super) fn fold_tokens(&mut self, owner: Option<&Handle>, fact: &Fact, at: Timestamp) {
        if let (Fact::Revoked { .. }, Some(_)) = (fact, owner) {
            return self.forget_tokens(owner, |_| true);
        }
        let Fact::Token(fact) = fact else { return };
        match fact {
            TokenFact::Issued(issued) => {
                self.forget_tokens(owner, |token| !token.lives(at));
                let Issued { token, digest, run, label, expires_at, may } = issued.clone();
                self.touched.insert(DocKey::Token(token.clone()));
                self.tokens.insert(Token {
                    id: token,
                    digest,
                    agent: owner.cloned(),
                    run,
                    label,
                    created_at: at,
                    expires_at,
                    used_at: None,
                    may,
                });
            }
            TokenFact::Ends { token, at } => {
                self.change_token(token, |token| token.expires_at = Some(*at));
            }
            TokenFact::Used { token, at } => {
                self.change_token(token, |token| token.used_at = Some(*at));
            }
            TokenFact::Revoked { token } => self.forget_token(token.clone()),
        }
    }

    fn change_token(&mut self, id: &TokenId, change: impl FnOnce(&mut Token)) {
        if let Some(token) = self.tokens.by_id.get_mut(id) {
            change(token);
            self.touched.insert(DocKey::Token(id.clone()));
        }
    }

    fn forget_tokens(&mut self, owner: Option<&Handle>, which: impl Fn(&Token) -> bool) {
        let some = self.tokens.of(owner).filter(|token| which(token));
        let ids: Vec<TokenId> = some.map(|token| token.id.clone()).collect();
        for id in ids {
            self.forget_token(id);
        }
    }

    fn forget_token(&mut self, id: TokenId) {
        self.tokens.remove(&id);
        self.touched.insert(DocKey::Token(id));
    }
}

fn draft(owner: Option<&Handle>, fact: TokenFact) -> Draft {
    operator(owner, Fact::Token(fact))
}

/// The first of these names that no token has: they are short enough to be drawn twice.
///
/// # Errors
/// If each of them is taken.
pub fn unused(state: &State, names: &[TokenId]) -> Result<TokenId, OperateError> {
    let free = names.iter().find(|name| state.token(name).is_none());
    free.cloned().ok_or(OperateError::TokenNameTaken)
}

/// Gives an agent a token, or, of none, an operator.
///
/// # Errors
/// If there is no such agent, it is revoked, it has too many, the token would be over already, or
/// its name is another's, which would be lost by it.
pub fn issue(
    state: &State,
    owner: Option<&Handle>,
    issued: Issued,
    now: Timestamp,
) -> Result<Act, OperateError> {
    if let Some(agent) = owner
        && let Standing::Revoked { .. } = book(state, agent)?.standing
    {
        return Err(OperateError::Revoked(agent.clone()));
    }
    if issued.expires_at.is_some_and(|end| end <= now) {
        return Err(OperateError::TokenOver);
    }
    if state.token(&issued.token).is_some() {
        return Err(OperateError::TokenNameTaken);
    }
    let alive = state.tokens_of(owner).filter(|token| token.lives(now)).count();
    if alive >= MAX_TOKENS {
        return Err(OperateError::TooManyTokens(alive));
    }
    Ok(Act::Write(vec![draft(owner, TokenFact::Issued(issued))]))
}

/// Gives out a token in place of one that lives, which ends at `ends` at the latest.
///
/// # Errors
/// As [`issue`], or if there is no such token, or it is over.
pub fn rotate(
    state: &State,
    old: &TokenId,
    issued: Issued,
    ends: Timestamp,
    now: Timestamp,
) -> Result<Act, OperateError> {
    let known = state.token(old).filter(|token| token.lives(now));
    let known = known.ok_or_else(|| OperateError::UnknownToken(old.clone()))?;
    let owner = known.agent.as_ref();
    let Act::Write(mut drafts) = issue(state, owner, issued, now)? else {
        return Ok(Act::Nothing);
    };
    let token = old.clone();
    if ends <= now {
        drafts.push(draft(owner, TokenFact::Revoked { token }));
    } else if known.expires_at.is_none_or(|end| ends < end) {
        drafts.push(draft(owner, TokenFact::Ends { token, at: ends }));
    }
    Ok(Act::Write(drafts))
}

/// Has a token let nobody in any more.
///
/// # Errors
/// If there is no such token.
pub fn revoke(state: &State, id: &TokenId) -> Result<Act, OperateError> {
    let known = state.token(id).ok_or_else(|| OperateError::UnknownToken(id.clone()))?;
    let token = id.clone();
    Ok(Act::Write(vec![draft(known.agent.as_ref(), TokenFact::Revoked { token })]))
}

/// What is written down of a use, if the token is still there.
pub fn used(state: &State, id: &TokenId, at: Timestamp) -> Option<Draft> {
    let known = state.token(id)?;
    let agent = known.agent.clone();
    let by = if agent.is_some() { By::Agent } else { By::Operator };
    let fact = Fact::Token(TokenFact::Used { token: id.clone(), at });
    Some(Draft { agent, by, fact })
}
