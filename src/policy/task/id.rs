//! What a task is called.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::policy::names::{NameError, PaymentId};

const RULE: &str = "a task id is `task_` and 16 hexadecimal digits";

/// The id of a task: where its first entry stands in the record, and a salt, as of a payment.
///
/// Shown as `task_` and 16 hexadecimal digits. Whoever opens a task does not choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(PaymentId);

impl TaskId {
    /// The id of the task whose opening is recorded where a payment of that id would be.
    pub fn new(id: PaymentId) -> Self {
        Self(id)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task_{:016x}", self.0.number())
    }
}

impl FromStr for TaskId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.strip_prefix("task_").map(|digits| format!("pay_{digits}"));
        let id = digits.and_then(|payment| payment.parse().ok());
        id.map(Self).ok_or(NameError::new(RULE))
    }
}

impl TryFrom<String> for TaskId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.to_string()
    }
}

impl JsonSchema for TaskId {
    fn schema_name() -> Cow<'static, str> {
        "TaskId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": RULE})
    }
}
