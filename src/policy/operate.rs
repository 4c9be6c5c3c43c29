//! The operator's acts: what each one needs, and what it writes down.

use jiff::Timestamp;

use super::{
    book::{Book, Standing},
    endpoint::EndpointError,
    entry::{By, Draft, Fact, VoidCause},
    mandate::{Funding, Mandate, MandateError, Service},
    money::Usd,
    names::{GroupId, Handle, Note, Reason, ServiceId, TokenId},
    planted::{self, Bug},
    prices::MAX_PRICES,
    settle,
    state::State,
    task::TaskId,
};

/// Why an act of the operator is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No agent has this handle.
    #[error("there is no agent `{0}`")]
    UnknownAgent(Handle),
    /// Handles are never given twice, not even after a revocation.
    #[error("the handle `{0}` is taken")]
    HandleTaken(Handle),
    /// The mandate contradicts itself.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// A revoked agent gets nothing more.
    #[error("`{0}` is revoked for good")]
    Revoked(Handle),
    /// An allowance has no balance to add to.
    #[error("`{0}` is funded by allowance: its caps bound it, it has no balance")]
    NoBalance(Handle),
    /// Adding nothing is a slip.
    #[error("an amount of zero changes nothing")]
    Zero,
    /// A balance and an allowance count differently: what was spent would be wrong under the other.
    #[error("the funding of `{0}` cannot be changed")]
    FundingFixed(Handle),
    /// The catalogue does not have it.
    #[error("there is no service `{0}`")]
    UnknownService(ServiceId),
    /// More than can be written down.
    #[error("the balance would be more than can be written down")]
    TooMuch,
    /// The catalogue has it with another payee, price or category.
    #[error("the service `{0}` is there already, with another payee, price or category")]
    ServiceTaken(ServiceId),
    /// The API that it calls is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No token of that id lets anybody in.
    #[error("there is no token `{0}`")]
    UnknownToken(TokenId),
    /// A token that is over before it begins.
    #[error("the token would be over before it begins")]
    TokenOver,
    /// Another token is called so.
    #[error("what the token would be called is taken")]
    TokenNameTaken,
    /// The passphrase that was to be replaced is another one by now.
    #[error("the operators' passphrase was set by somebody else meanwhile")]
    PassphraseSetMeanwhile,
    /// Other prices have been set since those that these were held against.
    #[error("other prices were set by somebody else meanwhile")]
    PricesSetMeanwhile,
    /// More prices than one record holds.
    #[error("all prices that are set would be longer than {MAX_PRICES} bytes")]
    TooManyPrices,
    /// No group is called so.
    #[error("there is no group `{0}`")]
    UnknownGroup(GroupId),
    /// Somebody is bounded by it.
    #[error("the group `{group}` is in use (agents: {agents}, groups: {groups})")]
    GroupInUse {
        /// The group.
        group: GroupId,
        /// How many agents are in it.
        agents: usize,
        /// How many groups are right below it.
        groups: usize,
    },
    /// More tokens of one owner than anybody looks after.
    #[error("there are {0} tokens already")]
    TooManyTokens(usize),
    /// No agent has it, or it is finished.
    #[error("there is no open or failed task `{0}`")]
    UnknownTask(TaskId),
    /// More tasks of one agent than a book can carry.
    #[error("{0} tasks of this agent are open or failed already")]
    TooManyTasks(usize),
    /// It ran out, and who asks is no operator.
    #[error("`{0}` ran out of budget: an operator resumes or finishes it")]
    FailedTask(TaskId),
    /// Its next payment would fail it again.
    #[error("{holds} leaves `{task}` nothing")]
    NothingLeft {
        /// Which task.
        task: TaskId,
        /// The cap that is used up, in words.
        holds: String,
    },
    /// Tools open too many in a day.
    #[error("tools opened {count} tasks of this agent within a day: wait until {until}")]
    OpensTooOften {
        /// How many.
        count: u32,
        /// When there may be one more.
        until: Timestamp,
    },
    /// Nobody is held to whom a service was paid first.
    #[error("the first payees of `{0}` are free: it may pay whoever the catalogue has")]
    FirstPayeeFree(Handle),
}

/// What an act comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Everything is already so.
    Nothing,
    /// It is to be written down.
    Write(Vec<Draft>),
}

pub(super) fn operator(agent: Option<&Handle>, fact: Fact) -> Draft {
    Draft { agent: agent.cloned(), by: By::Operator, fact }
}

pub(super) fn book<'s>(state: &'s State, agent: &Handle) -> Result<&'s Book, OperateError> {
    state.book(agent).ok_or_else(|| OperateError::UnknownAgent(agent.clone()))
}

/// Creates an agent.
///
/// # Errors
/// If the handle is taken or the mandate contradicts itself.
pub fn open(state: &State, agent: &Handle, mandate: Mandate) -> Result<Act, OperateError> {
    mandate.check()?;
    known_group(state, &mandate)?;
    if state.book(agent).is_some() {
        return Err(OperateError::HandleTaken(agent.clone()));
    }
    let fact = Fact::Opened { mandate: Box::new(mandate) };
    Ok(Act::Write(vec![operator(Some(agent), fact)]))
}

/// Adds to an agent's balance.
///
/// # Errors
/// If there is no such agent or balance, the agent is revoked, or the sum does not fit.
pub fn top_up(
    state: &State,
    agent: &Handle,
    amount: Usd,
    note: Option<Note>,
) -> Result<Act, OperateError> {
    let book = book(state, agent)?;
    if let Standing::Revoked { .. } = book.standing {
        return Err(OperateError::Revoked(agent.clone()));
    }
    if book.mandate.funding == Funding::Allowance {
        return Err(OperateError::NoBalance(agent.clone()));
    }
    if amount.is_zero() {
        return Err(OperateError::Zero);
    }
    book.credited.plus(amount).ok_or(OperateError::TooMuch)?;
    Ok(Act::Write(vec![operator(Some(agent), Fact::Credited { amount, note })]))
}

/// Ends an agent's right to pay, and releases what it holds and has not sent, as far as one
/// record can; [`settle::void_unsent`] has the rest.
///
/// # Errors
/// If there is no such agent.
pub fn revoke(
    state: &State,
    agent: &Handle,
    reason: Reason,
    note: Option<Note>,
) -> Result<Act, OperateError> {
    let book = book(state, agent)?;
    if let Standing::Revoked { .. } = book.standing {
        return Ok(Act::Nothing);
    }
    let mut drafts = vec![operator(Some(agent), Fact::Revoked { reason, note })];
    drafts.extend(settle::void_unsent(state, Some(agent), VoidCause::Revoked));
    Ok(Act::Write(drafts))
}

/// Stops an agent for now. What it holds stays held, and what was sent settles to the truth.
///
/// # Errors
/// If there is no such agent, or it is revoked.
pub fn freeze(
    state: &State,
    agent: &Handle,
    reason: Reason,
    note: Option<Note>,
) -> Result<Act, OperateError> {
    match book(state, agent)?.standing {
        Standing::Revoked { .. } => Err(OperateError::Revoked(agent.clone())),
        Standing::Frozen { .. } => Ok(Act::Nothing),
        Standing::Active => {
            Ok(Act::Write(vec![operator(Some(agent), Fact::Frozen { reason, note })]))
        }
    }
}

/// Lets a frozen agent pay again.
///
/// # Errors
/// If there is no such agent, or it is revoked.
pub fn unfreeze(state: &State, agent: &Handle, note: Option<Note>) -> Result<Act, OperateError> {
    match book(state, agent)?.standing {
        Standing::Revoked { .. } if planted::is(Bug::UnfreezeRevives) => {
            Ok(Act::Write(vec![operator(Some(agent), Fact::Unfrozen { note })]))
        }
        Standing::Revoked { .. } => Err(OperateError::Revoked(agent.clone())),
        Standing::Active => Ok(Act::Nothing),
        Standing::Frozen { .. } => {
            Ok(Act::Write(vec![operator(Some(agent), Fact::Unfrozen { note })]))
        }
    }
}

/// How many agents one record freezes or unfreezes: with the longest notes it still holds them.
pub const MAX_AT_ONCE: usize = 64;

/// Freezes every active agent: at most [`MAX_AT_ONCE`], ask again until there are none.
pub fn freeze_all(state: &State, reason: &Reason, note: Option<&Note>) -> Vec<Draft> {
    let fact = Fact::Frozen { reason: reason.clone(), note: note.cloned() };
    all(state, |standing| *standing == Standing::Active, &fact)
}

/// Lets every frozen agent pay again: at most [`MAX_AT_ONCE`], ask again until there are none.
pub fn unfreeze_all(state: &State, note: Option<&Note>) -> Vec<Draft> {
    let fact = Fact::Unfrozen { note: note.cloned() };
    all(state, |standing| matches!(standing, Standing::Frozen { .. }), &fact)
}

fn all(state: &State, which: impl Fn(&Standing) -> bool, fact: &Fact) -> Vec<Draft> {
    let books = state.books().filter(|book| which(&book.standing)).take(MAX_AT_ONCE);
    books.map(|book| operator(Some(&book.handle), fact.clone())).collect()
}

/// Gives an agent another mandate, from now on; what was spent stays spent.
///
/// # Errors
/// If there is no such agent, it is revoked, the mandate contradicts itself or changes the funding.
pub fn set_mandate(
    state: &State,
    agent: &Handle,
    mandate: Mandate,
    now: Timestamp,
) -> Result<Act, OperateError> {
    known_group(state, &mandate)?;
    change_mandate(state, agent, mandate, now)
}

fn known_group(state: &State, mandate: &Mandate) -> Result<(), OperateError> {
    let unknown = mandate.group.as_ref().filter(|group| state.group(group).is_none());
    unknown.map_or(Ok(()), |group| Err(OperateError::UnknownGroup(group.clone())))
}

/// The same where its group may be still to come.
pub(super) fn change_mandate(
    state: &State,
    agent: &Handle,
    mandate: Mandate,
    now: Timestamp,
) -> Result<Act, OperateError> {
    mandate.check()?;
    let book = book(state, agent)?;
    if let Standing::Revoked { .. } = book.standing {
        return Err(OperateError::Revoked(agent.clone()));
    }
    if mandate.funding != book.mandate.funding {
        return Err(OperateError::FundingFixed(agent.clone()));
    }
    if mandate == book.mandate {
        return Ok(Act::Nothing);
    }
    let moved = (mandate.zone != book.mandate.zone).then(|| book.moved_to(&mandate.zone, now));
    let tightens = book.mandate.changes(&mandate).iter().all(|change| !change.loosens);
    let fact = Fact::MandateSet { mandate: Box::new(mandate), moved, tightens };
    Ok(Act::Write(vec![operator(Some(agent), fact)]))
}

/// Whether a service that the catalogue has may be given a new payee or price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it as it is.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// Adds a service to the catalogue. Adding it again as it is changes nothing.
///
/// # Errors
/// If it is there with another payee or price and is to be kept, or its price is zero.
pub fn set_service(
    state: &State,
    service: Service,
    existing: Existing,
) -> Result<Act, OperateError> {
    if service.price.is_some_and(Usd::is_zero) {
        return Err(OperateError::Zero);
    }
    service.check_endpoint()?;
    match state.service(&service.id) {
        Some(present) if *present == service => Ok(Act::Nothing),
        Some(_) if existing == Existing::Keep => Err(OperateError::ServiceTaken(service.id)),
        Some(_) | None => Ok(Act::Write(vec![operator(None, Fact::ServiceSet(service))])),
    }
}

/// Takes a service out of the catalogue. Nobody can pay it any more; what was paid stays as it is.
///
/// # Errors
/// If it is not there.
pub fn remove_service(state: &State, service: &ServiceId) -> Result<Act, OperateError> {
    if state.service(service).is_none() {
        return Err(OperateError::UnknownService(service.clone()));
    }
    let fact = Fact::ServiceRemoved { service: service.clone() };
    Ok(Act::Write(vec![operator(None, fact)]))
}
