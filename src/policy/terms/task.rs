//! Tasks as operators open them and read of them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    book::Book,
    entry::By,
    money::{Usd, decimal},
    names::{Handle, IdempotencyKey, Note, PaymentId, TaskType, TokenId},
    task::{Task, TaskId, TaskOutcome, TaskState},
};

/// The body that opens a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What kind of work it is.
    pub task_type: TaskType,
    /// The most that may be spent in it; the mandate's caps on each task hold beside it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub cap_usd: Option<Usd>,
    /// The id of the call, the same when it is sent again: it opens one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<IdempotencyKey>,
}

/// The body that finishes a task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishTask {
    /// How it came out.
    pub outcome: TaskOutcome,
}

/// The body that lets a failed task be charged again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeTask {
    /// The most that may be spent in it from its opening on; left out, what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub cap_usd: Option<Usd>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Whether a task may be charged, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStanding {
    /// It may.
    Open,
    /// It ran out: not until an operator resumes it.
    Failed,
    /// It is over.
    Finished,
}

/// A task as operators read of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// Its id.
    pub task_id: TaskId,
    /// Whose it is.
    pub agent: Handle,
    /// What kind of work it is.
    pub task_type: TaskType,
    /// Whether it may be charged.
    pub state: TaskStanding,
    /// How it came out, once it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<TaskOutcome>,
    /// Its own cap.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub own_cap_usd: Option<Usd>,
    /// The tightest of its caps: its own, and the mandate's on each task.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub cap_usd: Option<Usd>,
    /// Captured in it, less what came back.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub used_usd: Usd,
    /// Set aside in it and not settled.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub held_usd: Usd,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// By whom.
    #[schemars(with = "String")]
    pub opened_by: By,
    /// The agent's token that was shown for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<TokenId>,
    /// When it ran out or was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The refusal by which it ran out, also where an operator finished it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
}

impl TaskView {
    /// What `book` says of one of its tasks.
    pub fn of(book: &Book, task: &Task) -> Self {
        let room = book.task_room(task);
        let (state, outcome, ended_at, payment_id) = match task.state {
            TaskState::Open => (TaskStanding::Open, None, None, None),
            TaskState::Failed { payment, at } => {
                (TaskStanding::Failed, None, Some(at), Some(payment))
            }
            TaskState::Finished { outcome, at, ran_out } => {
                (TaskStanding::Finished, Some(outcome), Some(at), ran_out)
            }
        };
        Self {
            task_id: task.id(),
            agent: book.handle.clone(),
            task_type: task.opened.task_type.clone(),
            state,
            outcome,
            own_cap_usd: task.opened.cap,
            cap_usd: room.cap,
            used_usd: room.used,
            held_usd: room.held,
            opened_at: task.at,
            opened_by: task.by,
            token_id: task.opened.token.clone(),
            ended_at,
            payment_id,
        }
    }
}

/// What an act on one task came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskActed {
    /// Whether it changed anything; false where everything was so already.
    pub changed: bool,
    /// What an operator should know of it, such as whose cap holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// How the task is now.
    #[serde(flatten)]
    pub task: TaskView,
}

/// Tasks of one agent, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<TaskView>,
}
