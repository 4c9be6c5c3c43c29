//! What a payment is counted by, as its entries keep it.

use serde::{Deserialize, Serialize};

use super::Hold;
use crate::policy::{
    cap::Aim,
    group::InGroup,
    names::{Category, Payee, ServiceId, TaskType},
};

/// What a payment that came back had been counted by, as its hold said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedBy {
    /// What was paid for.
    pub service: ServiceId,
    /// Who got the money.
    pub payee: Payee,
    /// What kind of service it was when the money was set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The groups it was counted in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<InGroup>,
    /// What kind of work the task was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<TaskType>,
}

impl<'a> From<&'a Hold> for Aim<'a> {
    fn from(hold: &'a Hold) -> Self {
        let Hold { service, payee, category, task_type, .. } = hold;
        let (category, task_type) = (category.as_ref(), task_type.as_ref());
        Self { service, payee, category, task_type }
    }
}

impl<'a> From<&'a CountedBy> for Aim<'a> {
    fn from(by: &'a CountedBy) -> Self {
        let CountedBy { service, payee, category, task_type, .. } = by;
        let (category, task_type) = (category.as_ref(), task_type.as_ref());
        Self { service, payee, category, task_type }
    }
}
