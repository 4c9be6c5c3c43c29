//! Tasks, for operators.

use super::{Again, Answer, Method, Operator};
use crate::policy::{
    names::Handle,
    task::TaskId,
    terms::{FinishTask, NewTask, ResumeTask, TaskActed, TaskList, TaskView},
};

impl Operator {
    /// An agent's tasks that are open or failed, or all that are not forgotten.
    pub async fn tasks(&self, agent: &Handle, all: bool) -> Answer<TaskList> {
        self.get(&format!("/v1/agents/{agent}/tasks?all={all}")).await
    }

    /// One task that is not forgotten.
    pub async fn task(&self, task: TaskId) -> Answer<TaskView> {
        self.get(&format!("/v1/tasks/{task}")).await
    }

    /// Opens a task. With a call id, one whose connection breaks is asked for again.
    pub async fn open_task(&self, agent: &Handle, new: &NewTask) -> Answer<TaskActed> {
        let again = if new.call_id.is_some() { Again::Always } else { Again::UnlessSent };
        self.send(Method::POST, &format!("/v1/agents/{agent}/tasks"), new, again).await
    }

    /// Finishes a task.
    pub async fn finish_task(&self, task: TaskId, finish: &FinishTask) -> Answer<TaskActed> {
        self.post(&format!("/v1/tasks/{task}/finish"), finish).await
    }

    /// Lets a task that ran out be charged again.
    pub async fn resume_task(&self, task: TaskId, resume: &ResumeTask) -> Answer<TaskActed> {
        self.post(&format!("/v1/tasks/{task}/resume"), resume).await
    }
}
