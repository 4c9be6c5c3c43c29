//! Tasks on the operators' plane.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Answer, asked, raised};
use crate::{
    engine::Engine,
    http::{
        App,
        problem::{Asked, Named, Sent},
        proof::Shown,
        route::{Route, get, post},
    },
    policy::{
        names::Handle,
        task::TaskId,
        terms::{FinishTask, NewTask, ResumeTask, TaskActed, TaskList, TaskView},
    },
};

/// The paths of tasks.
// A table, not prose: each row on as few lines as it takes.
#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/agents/{handle}/tasks", list, "list_tasks", "An agent's tasks"),
        post("/v1/agents/{handle}/tasks", open, "open_task", "Opens a task of an agent's"),
        get("/v1/tasks/{task_id}", show, "show_task", "One task that is not forgotten"),
        post("/v1/tasks/{task_id}/finish", finish, "finish_task", "Ends a task"),
        post("/v1/tasks/{task_id}/resume", resume, "resume_task",
            "Lets a task that ran out be charged again"),
    ]
}

/// Which of an agent's tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TasksAsked {
    /// Also those that are finished, as long as they are not forgotten.
    all: Option<bool>,
}

async fn list(
    app: App,
    Named(agent): Named<Handle>,
    Asked(which): Asked<TasksAsked>,
) -> Answer<TaskList> {
    let all = which.all.unwrap_or(false);
    asked(&app, async move |engine: Engine| engine.tasks(&agent, all).await).await
}

async fn open(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(new): Sent<NewTask>,
) -> Answer<TaskActed> {
    raised(&app, shown, async move |engine: Engine| engine.open_task_of(&agent, new).await).await
}

async fn show(app: App, Named(task): Named<TaskId>) -> Answer<TaskView> {
    asked(&app, async move |engine: Engine| engine.task(task).await).await
}

async fn finish(
    app: App,
    Named(task): Named<TaskId>,
    Sent(finish): Sent<FinishTask>,
) -> Answer<TaskActed> {
    asked(&app, async move |engine: Engine| engine.finish_task_of(task, finish).await).await
}

async fn resume(
    app: App,
    Named(task): Named<TaskId>,
    shown: Shown,
    Sent(resume): Sent<ResumeTask>,
) -> Answer<TaskActed> {
    raised(&app, shown, async move |engine: Engine| engine.resume_task(task, resume).await).await
}
