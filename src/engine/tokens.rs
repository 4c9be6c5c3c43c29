//! Tokens: who is let in, and what operators do with them.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    Engine, EngineError,
    doors::{Door, Owner},
    secret::{self, Kind, Minted},
};
use crate::{
    policy::{
        names::{Handle, RunId, TokenId},
        operate::OperateError,
        proof::Proven,
        state::State,
        terms::{NewToken, Replaced, Rotation, Secret, TokenGiven, TokenList, TokenView},
        token::{self, Issued, Power, Token},
    },
    store::{Decision, Purpose, StoreError},
};

/// How many uses one record tells of.
const USES_AT_ONCE: usize = 64;

/// Whom a token let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The public name of the token.
    pub token: TokenId,
    /// The agent that it speaks for.
    pub agent: Handle,
    /// The run that everything it does belongs to, where the token was made for one.
    pub run: Option<RunId>,
    /// What it may do beyond the rest.
    pub may: BTreeSet<Power>,
}

impl Engine {
    /// The agent that a token lets in. It waits for nothing, and once a revocation was answered
    /// it lets nobody in by what was revoked.
    pub fn principal(&self, token: &str) -> Option<Principal> {
        let door = self.opened_by(Kind::Agent, token)?;
        let (token, run, may) = (door.id.clone(), door.run.clone(), door.may.clone());
        door.owner.clone().map(|agent| Principal { token, agent, run, may })
    }

    /// The engine for whoever shows this operators' token, if it is one; an agent's never is.
    ///
    /// What is asked of it, to give more or to take it away, is done only if the token still
    /// stands when that is decided.
    pub fn operator(&self, token: &str) -> Option<Self> {
        let door = self.opened_by(Kind::Operator, token).filter(|door| door.owner.is_none())?;
        Some(Self { proven: Some(Proven::Token(door.id.clone())), ..self.clone() })
    }

    /// Whether the token of a principal still lets it in. To look is no use of the token.
    pub fn stands(&self, principal: &Principal) -> bool {
        self.doors.stands(&principal.agent, &principal.token, self.clock.now())
    }

    pub(super) fn opened_by(&self, kind: Kind, token: &str) -> Option<Arc<Door>> {
        let digest = secret::digest(kind, token).ok()?;
        let (door, begin) = self.doors.opened_by(&digest, self.clock.now())?;
        if begin {
            self.write_uses();
        }
        Some(door)
    }

    /// Has uses written down, on a task of its own that nobody waits for.
    fn write_uses(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Nothing of ours runs outside of one; it is told again by the next use.
            self.doors.take_due(0);
            return;
        };
        let (doors, store) = (Arc::clone(&self.doors), self.store.clone());
        let counted = self.noting.count();
        runtime.spawn(async move {
            loop {
                let uses = doors.take_due(USES_AT_ONCE);
                if uses.is_empty() {
                    break;
                }
                let decide = move |state: &State, _, _| {
                    let drafts = uses.iter().filter_map(|(id, at)| token::used(state, id, *at));
                    let (drafts, answer) = (drafts.collect(), Box::new(|_: &State| ()));
                    Decision::Commit { drafts, durable: false, answer }
                };
                if let Err(error) = store.commit(Purpose::Record, decide).await {
                    tracing::debug!(%error, "uses of tokens were not written down");
                }
            }
            // The lock on the record goes before whoever waits for us goes on.
            drop(store);
            drop(counted);
        });
    }

    /// Gives an agent a token. The answer is the only one that tells it.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn issue_token(
        &self,
        agent: &Handle,
        new: NewToken,
    ) -> Result<TokenGiven, EngineError> {
        self.issue(Some(agent.clone()), Kind::Agent, new).await
    }

    /// Gives an operator a token. The answer is the only one that tells it.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn issue_operator_token(&self, new: NewToken) -> Result<TokenGiven, EngineError> {
        let new = NewToken { run: None, may: BTreeSet::new(), ..new };
        self.issue(None, Kind::Operator, new).await
    }

    async fn issue(
        &self,
        owner: Owner,
        kind: Kind,
        new: NewToken,
    ) -> Result<TokenGiven, EngineError> {
        let Minted { text, digest, names } = secret::mint(kind)?;
        let NewToken { run, label, expires_at, may } = new;
        let decide = move |state: &State, now| {
            let token = token::unused(state, &names)?;
            let opener = owner.as_ref().filter(|_| may.contains(&Power::OpenTasks));
            let remarks = opener.map(|agent| state.remarks_on_opener(agent, now));
            let issued = Issued { token: token.clone(), digest, run, label, expires_at, may };
            let act = token::issue(state, owner.as_ref(), issued, now)?;
            Ok::<_, OperateError>((act, (token, remarks.unwrap_or_default())))
        };
        let view = self.view();
        let read = move |state: &State, now, (id, remarks): (TokenId, Vec<String>)| {
            (state.token(&id).map(|token| view(token, now)), remarks)
        };
        let (view, remarks) = self.act(Purpose::Record, decide, read).await?;
        Ok(TokenGiven { remarks, ..given(text, view, None)? })
    }

    /// Gives out a token in place of another, for the same owner and run, under the same label.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn rotate_token(
        &self,
        old: &TokenId,
        rotation: Rotation,
    ) -> Result<TokenGiven, EngineError> {
        let known = self.token(old).await?;
        let kind = if known.agent.is_some() { Kind::Agent } else { Kind::Operator };
        let Minted { text, digest, names } = secret::mint(kind)?;
        let Rotation { overlap_s, expires_at } = rotation;
        let old = old.clone();
        let decide = move |state: &State, now: Timestamp| {
            let unknown = || OperateError::UnknownToken(old.clone());
            let known = state.token(&old).ok_or_else(unknown)?;
            let (run, label, may) = (known.run.clone(), known.label.clone(), known.may.clone());
            let expires_at = expires_at.or_else(|| as_long(known, now));
            let new = token::unused(state, &names)?;
            let issued = Issued { token: new.clone(), digest, run, label, expires_at, may };
            let overlap = SignedDuration::from_secs(i64::from(overlap_s));
            let ends = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
            let ends_at = known.expires_at.map_or(ends, |end| end.min(ends));
            let act = token::rotate(state, &old, issued, ends, now)?;
            Ok::<_, OperateError>((act, (new, Replaced { token_id: old.clone(), ends_at })))
        };
        let view = self.view();
        let read = move |state: &State, now, (new, replaced): (TokenId, Replaced)| {
            (state.token(&new).map(|token| view(token, now)), replaced)
        };
        let (view, replaced) = self.act(Purpose::Record, decide, read).await?;
        given(text, view, Some(replaced))
    }

    /// Has a token let nobody in any more, and says what it was.
    ///
    /// # Errors
    /// If there is no such token, or the store refuses.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<TokenView, EngineError> {
        let (revoking, view) = (id.clone(), self.view());
        tracing::info!(token = %id, "revoking a token");
        let decide = move |state: &State, now| {
            let view = state.token(&revoking).map(|token| view(token, now));
            token::revoke(state, &revoking).map(|act| (act, view))
        };
        let view = self.act(Purpose::Lower, decide, |_, _, view| view).await?;
        Ok(view.ok_or_else(|| OperateError::UnknownToken(id.clone()))?)
    }

    /// The tokens of an agent that were not revoked, oldest first.
    ///
    /// # Errors
    /// If there is no such agent, or the store fails.
    pub async fn tokens(&self, agent: &Handle) -> Result<TokenList, EngineError> {
        self.agent(agent).await?;
        self.list(Some(agent.clone())).await
    }

    /// The operators' tokens that were not revoked, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn operator_tokens(&self) -> Result<TokenList, EngineError> {
        self.list(None).await
    }

    async fn list(&self, owner: Owner) -> Result<TokenList, EngineError> {
        let seen = self.doors.seen(&owner);
        let look = move |state: &State, now| {
            let tokens = state.tokens_of(owner.as_ref());
            let view = |token: &Token| TokenView::of(token, seen.get(&token.id).copied(), now);
            tokens.map(view).collect::<Vec<_>>()
        };
        let mut tokens = self.look(look).await?;
        tokens.sort_by_key(|token| token.created_at);
        Ok(TokenList { tokens })
    }

    async fn token(&self, id: &TokenId) -> Result<Token, EngineError> {
        let reading = id.clone();
        let token = self.look(move |state, _| state.token(&reading).cloned()).await?;
        Ok(token.ok_or_else(|| OperateError::UnknownToken(id.clone()))?)
    }

    /// What is told of a token.
    fn view(&self) -> impl FnOnce(&Token, Timestamp) -> TokenView + Send + use<> {
        let doors = Arc::clone(&self.doors);
        move |token, now| TokenView::of(token, doors.seen(&token.agent).remove(&token.id), now)
    }
}

fn given(
    token: SecretString,
    view: Option<TokenView>,
    replaces: Option<Replaced>,
) -> Result<TokenGiven, EngineError> {
    // It was folded in just before.
    let view = view.ok_or(StoreError::Panicked)?;
    let owner = view.agent.as_ref().map_or("the operators", Handle::as_str);
    tracing::info!(token = %view.token_id, owner, "a token was given out");
    Ok(TokenGiven { token: Secret(token), view, replaces, remarks: Vec::new() })
}

/// When a token ends that is given out now and lives as long as another one was to live.
fn as_long(other: &Token, now: Timestamp) -> Option<Timestamp> {
    let life = other.expires_at?.duration_since(other.created_at);
    now.checked_add(life).ok()
}
