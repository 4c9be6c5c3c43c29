//! What is done to tasks, by whom it may be, and what is written down of it.

use jiff::Timestamp;

use super::{
    CALL_KEPT, MAX_OPENS, MAX_TASKS, Task, TaskFact, TaskId, TaskOpened, TaskOutcome, TaskState,
};
use crate::policy::{
    book::{Book, Standing},
    came::Came,
    denial::{Denial, Denied},
    entry::{By, Draft, Fact},
    money::Usd,
    names::{Handle, IdempotencyKey, Note, TaskType, TokenId},
    operate::{Act, OperateError, book, operator},
    planted::{self, Bug},
    rooms::Spender,
    state::State,
    token::Power,
};

/// A task as somebody would have it opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What kind of work it is.
    pub task_type: TaskType,
    /// Its own cap.
    pub cap: Option<Usd>,
    /// The call that asks, the same when it is sent again.
    pub call: Option<IdempotencyKey>,
}

/// What a call of a tool would do to tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasking {
    /// Open one.
    Opens,
    /// Finish one.
    Finishes,
}

impl Came {
    /// By whom what comes of it is, and which of the agent's tokens was shown.
    fn by(&self) -> (By, Option<TokenId>) {
        match self {
            Self::By(token) => (By::Agent, Some(token.clone())),
            Self::Local => (By::Agent, None),
            Self::Operator(_) => (By::Operator, None),
        }
    }
}

impl State {
    /// Whether somebody who came so may open and finish the tasks of `agent`.
    pub fn may_open_tasks(&self, agent: &Handle, came: &Came) -> bool {
        let itself = self.book(agent).is_some_and(|book| !book.mandate.tasks.is_operator());
        match came {
            Came::Local => itself,
            Came::By(token) => {
                let may = |may: &std::collections::BTreeSet<Power>| may.contains(&Power::OpenTasks);
                itself || self.token(token).is_some_and(|token| may(&token.may))
            }
            Came::Operator(_) => true,
        }
    }
}

/// What speaks against somebody who came so and would open a task of `agent`, or finish one.
pub fn refuses(
    state: &State,
    book: &Book,
    came: &Came,
    what: Tasking,
    now: Timestamp,
) -> Option<Denial> {
    let over = book.mandate.expires_at.filter(|at| now >= *at);
    let opens = what == Tasking::Opens;
    match &book.standing {
        Standing::Revoked { reason, .. } => Some(Denial::AgentRevoked { reason: reason.clone() }),
        Standing::Frozen { reason, .. } if opens => {
            Some(Denial::AgentFrozen { reason: reason.clone() })
        }
        Standing::Active | Standing::Frozen { .. } if !state.may_open_tasks(&book.handle, came) => {
            Some(Denial::TaskNotAllowed)
        }
        Standing::Active | Standing::Frozen { .. } => {
            over.filter(|_| opens).map(|at| Denial::MandateExpired { at })
        }
    }
}

/// Opens a task of `agent`, of this id if it is a new one; says which it is. The same call again,
/// for the same and by the same, opens no other while that one is open.
///
/// # Errors
/// If there is no such agent, it is revoked, has too many or opens them too often, or the cap is
/// zero.
pub fn open(
    state: &State,
    agent: &Handle,
    opening: Opening,
    (came, id): (&Came, TaskId),
    now: Timestamp,
) -> Result<(Act, TaskId), OperateError> {
    let book = book(state, agent)?;
    if book.is_revoked() {
        return Err(OperateError::Revoked(agent.clone()));
    }
    let Opening { task_type, cap, call } = opening;
    let (by, token) = came.by();
    let opened = TaskOpened { task: id, task_type, cap, call, token };
    let fresh = |task: &&Task| now.duration_since(task.at) < CALL_KEPT;
    let same = |task: &&Task| {
        let known = TaskOpened { task: id, ..task.opened.clone() };
        opened.call.is_some() && task.is_open() && task.by == by && known == opened
    };
    if let Some(known) = book.tasks.values().filter(fresh).find(same) {
        return Ok((Act::Nothing, known.id()));
    }
    if cap.is_some_and(Usd::is_zero) {
        return Err(OperateError::Zero);
    }
    let kept = book.tasks.values().filter(|task| task.is_kept() && task.by == by).count();
    if kept >= MAX_TASKS {
        return Err(OperateError::TooManyTasks(kept));
    }
    // An operator is not kept from opening one by those that tools open.
    let tool = by == By::Agent;
    if let Some((count, until)) = book.opens.full(MAX_OPENS, now).filter(|_| tool) {
        return Err(OperateError::OpensTooOften { count, until });
    }
    let fact = Fact::Task(TaskFact::Opened(opened));
    Ok((Act::Write(vec![Draft { agent: Some(agent.clone()), by, fact }]), id))
}

/// Finishes a task of `agent`. What it holds settles to the truth. To say the same once more, as
/// long as it is not forgotten, changes nothing. One that ran out is an operator's to finish.
///
/// # Errors
/// If the agent has no such task, it is finished in another way, or it ran out and it is no
/// operator who asks.
pub fn finish(
    state: &State,
    agent: &Handle,
    task: TaskId,
    outcome: TaskOutcome,
    (came, now): (&Came, Timestamp),
) -> Result<Act, OperateError> {
    let unknown = || OperateError::UnknownTask(task);
    let known = book(state, agent)?.tasks.get(&task).filter(|task| !task.is_over(now));
    let known = known.ok_or_else(unknown)?;
    let by_operator = matches!(came, Came::Operator(_));
    match known.state {
        TaskState::Finished { outcome: before, .. } if before == outcome => Ok(Act::Nothing),
        TaskState::Finished { .. } => Err(unknown()),
        TaskState::Failed { .. } if !by_operator && !planted::is(Bug::ToolsFinishFailed) => {
            Err(OperateError::FailedTask(task))
        }
        TaskState::Open | TaskState::Failed { .. } => {
            let (by, token) = came.by();
            let used = known.sums.used;
            let fact = Fact::Task(TaskFact::Finished { task, outcome, used, token });
            Ok(Act::Write(vec![Draft { agent: Some(agent.clone()), by, fact }]))
        }
    }
}

/// Lets a failed task be charged again, with this cap of its own if one is given. One that is open
/// takes the cap.
///
/// # Errors
/// If there is no such task, it is finished, its agent is revoked, the cap is zero, or nothing
/// would be left in it.
pub fn resume(
    state: &State,
    task: TaskId,
    cap: Option<Usd>,
    note: Option<Note>,
) -> Result<Act, OperateError> {
    let unknown = || OperateError::UnknownTask(task);
    let (agent, known) = state.task(task).filter(|(_, task)| task.is_kept()).ok_or_else(unknown)?;
    let book = book(state, agent)?;
    if book.is_revoked() {
        return Err(OperateError::Revoked(agent.clone()));
    }
    if cap.is_some_and(Usd::is_zero) {
        return Err(OperateError::Zero);
    }
    let same = cap.is_none() || cap == known.opened.cap;
    if known.state == TaskState::Open && same {
        return Ok(Act::Nothing);
    }
    let opened = TaskOpened { cap: cap.or(known.opened.cap), ..known.opened.clone() };
    let resumed = Task { opened, ..known.clone() };
    if let Some(full) = book.caps_on(&resumed).find(|on_it| resumed.room(&on_it.cap).left.is_zero())
    {
        return Err(OperateError::NothingLeft { task, holds: full.in_words() });
    }
    let fact = Fact::Task(TaskFact::Resumed { task, cap, note });
    Ok(Act::Write(vec![operator(Some(agent), fact)]))
}

/// What an operator should know of a task's own cap.
pub fn remarks(spender: &Spender<'_>, task: &Task) -> Vec<String> {
    let Some(own) = task.opened.cap else { return Vec::new() };
    let beside = "what is paid in no task is not bounded by this cap: with a cap per task on the \
                  agent each payment names one";
    let beside = (!spender.needs_task()).then(|| beside.to_owned());
    let each = spender.book.caps_on(task).filter(|on_it| !on_it.is_own);
    let amounts = each.filter_map(|on_it| on_it.cap.amount().map(|amount| (amount, on_it)));
    let least = amounts.min_by_key(|(amount, _)| *amount).filter(|(amount, _)| *amount < own);
    let least = least.map(|(_, on_it)| format!("{} holds beside it", on_it.in_words()));
    beside.into_iter().chain(least).collect()
}

/// What is written down beside a refusal by which a task runs out.
pub fn failing(agent: &Handle, denied: &Denied) -> Option<Draft> {
    let ran_out =
        |denial: &Denial| if let Denial::TaskRanOut { task } = denial { Some(*task) } else { None };
    let out = denied.refusal.denials.iter().find_map(ran_out)?;
    let fact = Fact::Task(TaskFact::Failed { task: out, payment: denied.payment });
    Some(Draft { agent: Some(agent.clone()), by: By::Engine, fact })
}
