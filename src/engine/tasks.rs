//! Tasks: what the tools and the operators do to them.

use jiff::Timestamp;

use super::{Call, Engine, EngineError, request};
use crate::{
    policy::{
        answer::{FinishTaskAnswer, OpenTaskAnswer, Refused},
        book::Book,
        came::Came,
        denial::{Denial, Refusal},
        names::{Handle, PaymentId},
        operate::{Act, OperateError},
        state::State,
        stop::Bound,
        task::{self, MAX_OPENS, Opening, Task, TaskId, Tasking},
        terms::{FinishTask, NewTask, ResumeTask, TaskActed, TaskList, TaskView},
    },
    store::Purpose,
};

/// What a call of a tool comes to, as far as policy says no.
type Asked<T> = Result<T, Denial>;

/// Finds one of an agent's tasks.
fn found<'s>(state: &'s State, agent: &Handle, task: TaskId) -> Option<(&'s Book, &'s Task)> {
    let book = state.book(agent)?;
    Some((book, book.tasks.get(&task)?))
}

impl Engine {
    /// Answers `open_task`.
    pub(super) async fn open_task(&self, call: Call) -> Result<OpenTaskAnswer, EngineError> {
        let refused = |refused| OpenTaskAnswer { refused, ..OpenTaskAnswer::default() };
        let Call { agent, run, call_id, arguments, came, .. } = call;
        let (task_type, cap) = match request::read_task(&arguments) {
            Ok(read) => read,
            Err(bad) => return self.no(Denial::InvalidRequest(bad)).map(refused),
        };
        let opening = Opening { task_type, cap, call: call_id };
        let reading = agent.clone();
        let decide = move |state: &State, id: PaymentId, now| {
            let act = may(state, &agent, &came, Tasking::Opens, now)
                .and_then(|()| opened(state, &agent, opening, (&came, TaskId::new(id)), now));
            Ok::<_, EngineError>(told(act))
        };
        let read = move |state: &State, now, opened: Asked<TaskId>| {
            let id = opened?;
            let answer = found(state, &reading, id).map(|(book, task)| {
                let from = state.spender_of(book).in_task(Some(id));
                let available = from.available(run.as_ref(), now);
                OpenTaskAnswer::of(book, task, available)
            });
            answer.ok_or(Denial::TaskUnknown { task: Some(id) })
        };
        match self.act_with_id(Purpose::Spend, decide, read).await? {
            Ok(answer) => Ok(answer),
            Err(why) => self.no(why).map(refused),
        }
    }

    /// Answers `finish_task`.
    pub(super) async fn finish_task(&self, call: Call) -> Result<FinishTaskAnswer, EngineError> {
        let refused = |refused| FinishTaskAnswer { refused, ..FinishTaskAnswer::default() };
        let Call { agent, arguments, came, .. } = call;
        let (id, outcome) = match request::read_finish(&arguments) {
            Ok(read) => read,
            Err(bad) => return self.no(Denial::InvalidRequest(bad)).map(refused),
        };
        let reading = agent.clone();
        let decide = move |state: &State, _: PaymentId, now| {
            let act = may(state, &agent, &came, Tasking::Finishes, now).and_then(|()| {
                let why = |error| match error {
                    OperateError::FailedTask(task) => Denial::TaskFailed { task },
                    _ => Denial::TaskUnknown { task: Some(id) },
                };
                task::finish(state, &agent, id, outcome, (&came, now)).map_err(why)
            });
            Ok::<_, EngineError>(told(act.map(|act| (act, ()))))
        };
        let read = move |state: &State, _, finished: Asked<()>| {
            let task = finished.map(|()| found(state, &reading, id))?;
            let answer = task.map(|(_, task)| FinishTaskAnswer::of(task, outcome));
            answer.ok_or(Denial::TaskUnknown { task: Some(id) })
        };
        match self.act_with_id(Purpose::Record, decide, read).await? {
            Ok(answer) => Ok(answer),
            Err(why) => self.no(why).map(refused),
        }
    }

    /// What a model is told that is refused something which no ledger tells.
    fn no(&self, why: Denial) -> Result<Refused, EngineError> {
        self.turned_away(why).map(|refusal: Refusal| Refused::by(&refusal, self.clock.now()))
    }

    /// Whether somebody who came so has `open_task` and `finish_task`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn may_open_tasks(&self, agent: &Handle, came: Came) -> Result<bool, EngineError> {
        let agent = agent.clone();
        let look = move |state: &State, now| {
            state.admit(&agent, &came, now).is_ok() && state.may_open_tasks(&agent, &came)
        };
        self.look(look).await
    }

    /// Opens a task of an agent's.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn open_task_of(
        &self,
        agent: &Handle,
        new: NewTask,
    ) -> Result<TaskActed, EngineError> {
        let NewTask { task_type, cap_usd, call_id } = new;
        let opening = Opening { task_type, cap: cap_usd, call: call_id };
        let opening_for = agent.clone();
        let came = Came::Operator(self.proven.clone());
        let decide = move |state: &State, id, now| {
            task::open(state, &opening_for, opening, (&came, TaskId::new(id)), now)
                .map(|(act, task)| (act.clone(), (act != Act::Nothing, task)))
        };
        let read = move |state: &State, _, (changed, id): (bool, TaskId)| {
            told_of(state, id).map(|(task, remarks)| TaskActed { changed, remarks, task }).ok_or(id)
        };
        let acted = self.act_with_id(Purpose::Spend, decide, read).await?;
        let acted = acted.map_err(OperateError::UnknownTask)?;
        tracing::info!(%agent, task = %acted.task.task_id, "task opened");
        Ok(acted)
    }

    /// Finishes a task, whosever it is.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn finish_task_of(
        &self,
        id: TaskId,
        finish: FinishTask,
    ) -> Result<TaskActed, EngineError> {
        let came = Came::Operator(self.proven.clone());
        let act = move |state: &State, now| {
            let agent = state.task(id).map(|(agent, _)| agent.clone());
            let agent = agent.ok_or(OperateError::UnknownTask(id))?;
            task::finish(state, &agent, id, finish.outcome, (&came, now))
        };
        self.act_on_task(id, act).await
    }

    /// Lets a failed task be charged again.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn resume_task(
        &self,
        id: TaskId,
        resume: ResumeTask,
    ) -> Result<TaskActed, EngineError> {
        let ResumeTask { cap_usd, note } = resume;
        self.act_on_task(id, move |state, _| task::resume(state, id, cap_usd, note)).await
    }

    async fn act_on_task(
        &self,
        id: TaskId,
        act: impl FnOnce(&State, Timestamp) -> Result<Act, OperateError> + Send + 'static,
    ) -> Result<TaskActed, EngineError> {
        let decide = move |state: &State, now| {
            let act = act(state, now)?;
            let changed = act != Act::Nothing;
            Ok::<_, OperateError>((act, changed))
        };
        let read = move |state: &State, _, changed| told_of(state, id).map(|told| (changed, told));
        let acted = self.act(Purpose::Record, decide, read).await?;
        let (changed, (task, remarks)) = acted.ok_or(OperateError::UnknownTask(id))?;
        tracing::info!(agent = %task.agent, task = %id, state = ?task.state, changed, "task");
        Ok(TaskActed { changed, remarks, task })
    }

    /// The tasks of an agent that are open or failed; with `all`, also those that are finished and
    /// not yet forgotten.
    ///
    /// # Errors
    /// If there is no such agent, or the store fails.
    pub async fn tasks(&self, agent: &Handle, all: bool) -> Result<TaskList, EngineError> {
        let handle = agent.clone();
        let look = move |state: &State, _| {
            let book = state.book(&handle)?;
            let tasks = book.tasks.values().filter(|task| all || task.is_kept());
            Some(tasks.map(|task| TaskView::of(book, task)).collect())
        };
        let tasks = self.look(look).await?;
        let tasks = tasks.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?;
        Ok(TaskList { tasks })
    }

    /// A task that is not forgotten.
    ///
    /// # Errors
    /// If there is none of that id, or the store fails.
    pub async fn task(&self, id: TaskId) -> Result<TaskView, EngineError> {
        let view = self.look(move |state, _| view(state, id)).await?;
        Ok(view.ok_or(OperateError::UnknownTask(id))?)
    }
}

fn view(state: &State, id: TaskId) -> Option<TaskView> {
    let (agent, task) = state.task(id)?;
    state.book(agent).map(|book| TaskView::of(book, task))
}

/// A task, and what an operator should know of it as long as it is charged.
fn told_of(state: &State, id: TaskId) -> Option<(TaskView, Vec<String>)> {
    let (agent, task) = state.task(id)?;
    let spender = state.spender(agent)?;
    let remarks = if task.is_open() { task::remarks(&spender, task) } else { Vec::new() };
    Some((TaskView::of(spender.book, task), remarks))
}

/// Whether somebody who came so may do that now.
fn may(state: &State, agent: &Handle, came: &Came, what: Tasking, now: Timestamp) -> Asked<()> {
    let book = state.admit_payer(agent, came, now)?;
    task::refuses(state, book, came, what, now).map_or(Ok(()), Err)
}

fn opened(
    state: &State,
    agent: &Handle,
    opening: Opening,
    by: (&Came, TaskId),
    now: Timestamp,
) -> Asked<(Act, TaskId)> {
    let too_many = |error| match error {
        OperateError::TooManyTasks(tasks) => Denial::TooManyTasks { tasks },
        OperateError::OpensTooOften { count, until } => {
            let resets_at = Some(until);
            Denial::RateLimited { bound: Bound::TasksOpened(MAX_OPENS), count, resets_at }
        }
        // The agent is there and the cap is above zero: that was seen before.
        _ => Denial::AgentUnknown { handle: agent.clone() },
    };
    task::open(state, agent, opening, by, now).map_err(too_many)
}

/// What is refused writes nothing.
fn told<T>(act: Asked<(Act, T)>) -> (Act, Asked<T>) {
    match act {
        Ok((act, found)) => (act, Ok(found)),
        Err(why) => (Act::Nothing, Err(why)),
    }
}

/// The status, code and hint that an operator gets for a refused act on a task.
pub(super) fn problem(error: &OperateError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        OperateError::TooManyTasks(_) => {
            (409, "too_many_tasks", Some("finish some: `pettycash task finish TASK`"))
        }
        OperateError::OpensTooOften { .. } => (429, "rate_limited", None),
        OperateError::FailedTask(_) => (409, "task_failed", None),
        OperateError::NothingLeft { .. } => (
            409,
            "task_has_nothing_left",
            Some(
                "raise the cap that holds: `mandate set HANDLE --cap 1.00/task`, `--cap 9x/task`, \
                 or its own with `task resume TASK --cap 1.00`",
            ),
        ),
        _ => (
            404,
            "task_unknown",
            Some("`pettycash task list HANDLE` shows them; those that are over are in the ledger"),
        ),
    }
}
