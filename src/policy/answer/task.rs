//! The answers of `open_task` and `finish_task`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refused;
use crate::policy::{
    book::Book,
    money::{Usd, decimal},
    task::{Task, TaskOutcome},
};

/// The answer of `open_task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenTaskAnswer {
    /// Why none was opened.
    #[serde(flatten)]
    pub refused: Refused,
    /// What it is called from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_id: Option<String>,
    /// What kind of work it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_type: Option<String>,
    /// The most that may be spent in it, where something bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub cap_usd: Option<Usd>,
    /// What can be spent in it now.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub available_usd: Option<Usd>,
}

impl OpenTaskAnswer {
    /// A task that is open, of which so much can be spent now.
    pub fn of(book: &Book, task: &Task, available: Usd) -> Self {
        Self {
            refused: Refused::default(),
            task_id: Some(task.id().to_string()),
            task_type: Some(task.opened.task_type.to_string()),
            cap_usd: book.task_room(task).cap,
            available_usd: Some(available),
        }
    }
}

/// The answer of `finish_task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FinishTaskAnswer {
    /// Why it was not finished.
    #[serde(flatten)]
    pub refused: Refused,
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_id: Option<String>,
    /// How it came out, as was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TaskOutcome")]
    pub finished: Option<TaskOutcome>,
    /// What was spent in it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub used_usd: Option<Usd>,
    /// What is set aside in it and not settled.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub held_usd: Option<Usd>,
}

impl FinishTaskAnswer {
    /// A task that is finished.
    pub fn of(task: &Task, outcome: TaskOutcome) -> Self {
        Self {
            refused: Refused::default(),
            task_id: Some(task.id().to_string()),
            finished: Some(outcome),
            used_usd: Some(task.sums.used),
            held_usd: Some(task.sums.held),
        }
    }
}
