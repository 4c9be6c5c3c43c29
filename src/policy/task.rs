//! Tasks: units of work with a type, an outcome and sums of their own.
//!
//! A task is opened before it is charged, and what is paid in it counts from then on. When it runs
//! out it is failed, and stays so until an operator resumes it. One that is finished takes nothing
//! more; what it holds settles to the truth, and then it is forgotten: the ledger has it.

mod act;
mod fold;
mod id;
mod types;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    cap::{Cap, Dimension},
    denial::Denial,
    entry::By,
    mandate::need_tasks,
    money::Usd,
    names::{IdempotencyKey, Note, PaymentId, TaskType, TokenId},
    pace::{Rate, Span},
    planted::{self, Bug},
    rooms::{Room, Spender},
    tally::Sums,
    window::Period,
};

pub use act::{Opening, Tasking, failing, finish, open, refuses, remarks, resume};
pub use id::TaskId;
pub use types::Types;

/// How many tasks of one agent that tools opened are open or failed at most, and how many that its
/// operators did: what a model leaves open takes no place from them.
pub const MAX_TASKS: usize = 1_000;
/// How many tasks the tools of one agent open in any day at most: a model that loops must not fill
/// the disk, nor get around caps per task.
pub const MAX_OPENS: Rate = Rate { count: 1_000, span: Span::DAY };
/// How long the call that opened a task stands for it, and a finished one is known.
const CALL_KEPT: SignedDuration = SignedDuration::from_mins(15);

/// Who may open the tasks of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TasksBy {
    /// The operator, and whoever has a token that may.
    #[default]
    Operator,
    /// The agent too, by itself.
    Agent,
}

impl TasksBy {
    /// Whether it is the operator alone, and whom he lets.
    pub fn is_operator(&self) -> bool {
        *self == Self::Operator
    }
}

impl std::fmt::Display for TasksBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
        })
    }
}

impl std::str::FromStr for TasksBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "operator" => Ok(Self::Operator),
            "agent" => Ok(Self::Agent),
            other => Err(format!("`{other}` is neither `operator` nor `agent`")),
        }
    }
}

/// How a task came out, as whoever finished it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TaskOutcome {
    /// It did what it was for.
    Success,
    /// It did not.
    Failed,
    /// It was given up.
    Abandoned,
}

impl TaskOutcome {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl std::str::FromStr for TaskOutcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Success, Self::Failed, Self::Abandoned];
        let known = all.into_iter().find(|outcome| outcome.word() == text);
        known.ok_or_else(|| "an outcome is success, failed or abandoned".to_owned())
    }
}

/// Whether a task may be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It may.
    Open,
    /// It is over.
    Finished {
        /// How it came out.
        outcome: TaskOutcome,
        /// When (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
        /// The refusal by which it had run out, where it was failed then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ran_out: Option<PaymentId>,
    },
    /// It ran out, and may not be charged until an operator resumes it.
    Failed {
        /// The refusal by which it ran out.
        payment: PaymentId,
        /// When (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFact {
    /// It was opened.
    Opened(TaskOpened),
    /// It was finished.
    Finished {
        /// Which.
        task: TaskId,
        /// How it came out.
        outcome: TaskOutcome,
        /// What had been captured in it by then.
        used: Usd,
        /// The agent's token that was shown, where one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
    },
    /// It ran out.
    Failed {
        /// Which.
        task: TaskId,
        /// The refusal by which it did.
        payment: PaymentId,
    },
    /// An operator lets a failed one be charged again.
    Resumed {
        /// Which.
        task: TaskId,
        /// Its own cap from now on, where that is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap: Option<Usd>,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
}

impl TaskFact {
    /// Which task.
    pub fn task(&self) -> TaskId {
        match self {
            Self::Opened(opened) => opened.task,
            Self::Finished { task, .. }
            | Self::Failed { task, .. }
            | Self::Resumed { task, .. } => *task,
        }
    }
}

/// A task that is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOpened {
    /// Its id.
    pub task: TaskId,
    /// What kind of work it is.
    pub task_type: TaskType,
    /// Its own cap, beside those that the mandate has on each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Usd>,
    /// The call by which it was: the same call again opens no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<IdempotencyKey>,
    /// The agent's token that was shown, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// A task that is not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What it was opened as; of its own cap, what it is now.
    #[serde(flatten)]
    pub opened: TaskOpened,
    /// Who opened it.
    pub by: By,
    /// When (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Whether it may be charged.
    pub state: TaskState,
    /// What was paid in it.
    pub sums: Sums,
}

/// Room in one task at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRoom {
    /// The tightest of its caps, if there is one.
    pub cap: Option<Usd>,
    /// Captured in it.
    pub used: Usd,
    /// Held in it.
    pub held: Usd,
    /// What is left under all of them; nothing bounds it where there is none.
    pub left: Option<Usd>,
}

/// A cap that is on one task.
struct CapOnTask {
    cap: Cap,
    /// Whether it is the task's own, and not the mandate's.
    is_own: bool,
}

impl CapOnTask {
    /// Which it is, and whose.
    fn in_words(&self) -> String {
        let Cap { bound, on, .. } = &self.cap;
        if self.is_own {
            return format!("its own cap of {bound}");
        }
        let of_type = if let Dimension::TaskType(task_type) = on {
            format!(" of the type `{task_type}`")
        } else {
            String::new()
        };
        format!("the mandate's cap of {bound} on each task{of_type}")
    }
}

impl Task {
    /// Its id.
    pub fn id(&self) -> TaskId {
        self.opened.task
    }

    /// Whether it takes one of the places there are: a finished one does not.
    pub fn is_kept(&self) -> bool {
        match self.state {
            TaskState::Open | TaskState::Failed { .. } => true,
            TaskState::Finished { .. } => false,
        }
    }

    /// Whether it may be charged.
    pub fn is_open(&self) -> bool {
        self.state == TaskState::Open
    }

    /// When it was finished.
    fn ended(&self) -> Option<Timestamp> {
        if let TaskState::Finished { at, .. } = self.state { Some(at) } else { None }
    }

    /// What is left under `cap` in it. No time gives any more.
    pub(super) fn room(&self, cap: &Cap) -> Room {
        let forgets = planted::is(Bug::TaskForgetsHeld);
        let held = if forgets { Usd::ZERO } else { self.sums.held };
        Room::under(cap, Sums { held, ..self.sums }, None)
    }

    /// Whether it may be forgotten at `at`: it is finished for a while, and holds nothing.
    fn is_over(&self, at: Timestamp) -> bool {
        match self.state {
            TaskState::Open | TaskState::Failed { .. } => false,
            TaskState::Finished { at: finished, .. } => {
                self.sums.held.is_zero() && at.duration_since(finished) >= CALL_KEPT
            }
        }
    }
}

impl Book {
    /// The task that a payment which names it belongs to, open or failed.
    pub(super) fn task(&self, id: Option<TaskId>) -> Option<&Task> {
        let finished = planted::is(Bug::FinishedTaskPays);
        self.tasks.get(&id?).filter(|task| task.is_kept() || finished)
    }

    /// The caps on one task: those that the mandate has on each, and its own.
    fn caps_on(&self, task: &Task) -> impl Iterator<Item = CapOnTask> {
        let of_it = |on: &Dimension| on.is_all() || on.is_on_tasks_of(&task.opened.task_type);
        let each = self.mandate.caps.iter();
        let each = each.filter(move |cap| cap.period == Period::Task && of_it(&cap.on)).cloned();
        let each = each.map(|cap| CapOnTask { cap, is_own: false });
        each.chain(own_cap(task).map(|cap| CapOnTask { cap, is_own: true }))
    }

    /// How many tasks are open, and how many ran out.
    pub fn count_tasks(&self) -> (u32, u32) {
        self.tasks.values().fold((0, 0), |(open, failed): (u32, u32), task| match task.state {
            TaskState::Open => (open.saturating_add(1), failed),
            TaskState::Failed { .. } => (open, failed.saturating_add(1)),
            TaskState::Finished { .. } => (open, failed),
        })
    }

    /// What is used, held and left in one of the agent's tasks.
    pub fn task_room(&self, task: &Task) -> TaskRoom {
        let Sums { used, held, .. } = task.sums;
        let cap = self.caps_on(task).filter_map(|on_it| on_it.cap.amount()).min();
        let left = self.caps_on(task).map(|on_it| task.room(&on_it.cap).left).min();
        TaskRoom { cap, used, held, left }
    }
}

impl Spender<'_> {
    /// Whether whatever is paid belongs to a task: a cap of the agent's own, or of a group above
    /// it, is on each task or on a type of them.
    pub(super) fn needs_task(&self) -> bool {
        let above = self.groups.iter().any(|group| need_tasks(&group.rules.caps));
        let above = above && !planted::is(Bug::GroupsTypeNeedsNoTask);
        (self.book.mandate.needs_tasks() || above) && !planted::is(Bug::TaskNotNeeded)
    }

    /// What the task that a payment names says against it.
    pub(super) fn against_task(&self, id: Option<TaskId>) -> Option<Denial> {
        match (id, self.book.task(id).map(|task| task.state)) {
            (None, _) => self.needs_task().then_some(Denial::TaskUnknown { task: None }),
            (Some(task), None) => Some(Denial::TaskUnknown { task: Some(task) }),
            (Some(_), Some(TaskState::Failed { .. })) if planted::is(Bug::FailedTaskPays) => None,
            (Some(task), Some(TaskState::Failed { .. })) => Some(Denial::TaskFailed { task }),
            (Some(_), Some(TaskState::Open | TaskState::Finished { .. })) => None,
        }
    }
}

/// A task's own cap, in the manner of a mandate's.
pub(super) fn own_cap(task: &Task) -> Option<Cap> {
    let own = task.opened.cap.filter(|_| !planted::is(Bug::OwnCapIgnored));
    own.map(|amount| Cap::of(Period::Task, amount))
}

/// That a refusal leaves nothing of the task to go on with: it is only about money, a cap on the
/// task is among it, and nothing is left in the task at all, or the price is fixed and a task of
/// the kind that is begun anew would pay it. What else would refuse in such a task too, a limit,
/// another cap, the balance or a price above all that it may ever spend, has run nothing out.
pub(super) fn runs_out(
    spender: &Spender<'_>,
    asked: Usd,
    denials: &[Denial],
    fixed_price: bool,
) -> Option<Denial> {
    let task = spender.task.as_ref().map(|within| within.task).filter(|task| task.is_open())?;
    let passes = |denial: &Denial| {
        let cap = if let Denial::CapExceeded { cap, .. } = denial { Some(cap) } else { None };
        cap.is_some_and(|cap| cap.period == Period::Task)
    };
    let TaskRoom { cap, left, .. } = spender.book.task_room(task);
    let fits_anew = cap.is_none_or(|cap| asked <= cap) || planted::is(Bug::DearPriceFails);
    let alone = denials.iter().all(passes) || planted::is(Bug::LimitFailsTask);
    let stuck = fixed_price && fits_anew && alone || planted::is(Bug::TaskFailsAtOnce);
    let spent = left.is_some_and(Usd::is_zero);
    let spent = spent && (fits_anew || !planted::is(Bug::DearPriceGoesOn));
    let money = denials.iter().all(Denial::is_about_money) && denials.iter().any(passes);
    (money && (spent || stuck)).then_some(Denial::TaskRanOut { task: task.id() })
}
