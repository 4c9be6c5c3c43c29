//! `task finish --all`, and what is told of who chooses the types of tasks.

use std::process::Stdio;

use pettycash::policy::{
    task::{TaskId, TaskOutcome},
    terms::{FinishTask, NewTask, TaskStanding, TaskView},
};
use serde_json::{Value, json};

use super::Desk;

const TASKS: usize = 200;

fn desk() -> Desk {
    let desk = Desk::new();
    for agent in ["scout", "intern"] {
        desk.ok(&format!("agent create {agent} --cap 5.00/day --funding allowance"));
    }
    desk
}

fn open(desk: &Desk, agent: &str) -> String {
    let (task, said) = super::tokens::both(desk, &format!("task open {agent} --type research"));
    assert_eq!(said, "");
    task.trim().to_owned()
}

#[test]
fn all_tasks_of_one_agent_are_finished_and_those_of_no_other() {
    let desk = desk();
    assert_eq!(
        desk.ok("task finish --all scout"),
        "scout has no open task: nothing to do.\n",
        "where there is none"
    );
    assert_eq!(
        desk.json("task finish --all scout --json"),
        json!({"tasks": [], "already_finished": []})
    );
    let theirs = open(&desk, "intern");
    let tasks = [open(&desk, "scout"), open(&desk, "scout"), open(&desk, "scout")];
    let told = desk.json("task finish --all scout --outcome failed --json");
    let done = told["tasks"].as_array().unwrap();
    let ids: Vec<&str> = done.iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(ids, tasks);
    let how = |task: &Value| task["changed"] == true && task["outcome"] == "failed";
    assert!(done.iter().all(how), "{told}");
    assert_eq!(told["already_finished"], json!([]));
    open(&desk, "scout");
    assert_eq!(desk.ok("task finish --all scout"), "1 task of scout is finished (abandoned).\n");
    open(&desk, "scout");
    open(&desk, "scout");
    assert_eq!(
        desk.ok("task finish --all scout --outcome success"),
        "2 tasks of scout are finished (success).\n"
    );
    assert!(desk.ok("task list scout").contains("no open task"));
    assert_eq!(desk.json(&format!("task show {theirs} --json"))["state"], "open");
    let unknown = desk.fails("task finish --all nobody", 1);
    assert!(unknown.contains("there is no agent `nobody`"), "{unknown}");
}

/// Somebody else begins with the last of them as soon as the first is over, until the two meet.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_finishes_meanwhile_is_told_and_stops_nothing() {
    let desk = desk();
    let operator = desk.operator();
    let scout = "scout".parse().unwrap();
    let mut tasks: Vec<TaskId> = Vec::new();
    for _ in 0..TASKS {
        let new = NewTask { task_type: "research".parse().unwrap(), cap_usd: None, call_id: None };
        tasks.push(operator.open_task(&scout, &new).await.unwrap().task.task_id);
    }
    let mut finishing = desk.command("task finish --all scout --json");
    let finishing = finishing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while operator.task(tasks[0]).await.unwrap().state == TaskStanding::Open {}
    let (mut theirs, success) = (Vec::new(), FinishTask { outcome: TaskOutcome::Success });
    for task in tasks.iter().rev() {
        match operator.finish_task(*task, &success).await {
            Ok(acted) if acted.changed => theirs.push(*task),
            _ => break,
        }
    }
    let output = finishing.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    theirs.reverse();
    assert_eq!(told["already_finished"], json!(theirs));
    assert!(!theirs.is_empty(), "nobody came in between");
    assert_eq!(told["tasks"].as_array().unwrap().len(), TASKS - theirs.len());
    let left = operator.tasks(&scout, false).await.unwrap().tasks;
    assert_eq!(left, [] as [TaskView; 0]);
}

#[test]
fn whoever_gives_out_a_token_is_told_what_it_lets_choose() {
    let desk = desk();
    let give = |words: &str| super::tokens::both(&desk, &format!("agent token scout {words}")).1;
    let chooses =
        "note: a token of this agent may open tasks, so whoever shows it chooses their type";
    assert!(!give("--may open-tasks").contains("note:"), "no cap is on a type");
    let set = "mandate set scout --cap \"1.00/day type=research\"";
    let (set, _) = super::tokens::both(&desk, set);
    assert!(set.contains(chooses), "{set}");
    desk.ok("agent create runner --cap 5.00/day --funding allowance \
             --cap \"1.00/day type=research\"");
    let (_, said) = super::tokens::both(&desk, "agent token runner --may open-tasks");
    assert!(said.contains(chooses), "{said}");
    let (_, said) = super::tokens::both(&desk, "agent token runner");
    assert!(!said.contains("note:"), "{said}");
    let given = desk.json("agent token runner --may open-tasks --json");
    assert_eq!(given.get("remarks"), None, "it was told before: {given}");
    // The same where a file gives the agent its first cap on a type.
    desk.ok("agent create miner --cap 5.00/day --funding allowance");
    let (_, said) = super::tokens::both(&desk, "agent token miner --may open-tasks");
    assert!(!said.contains("note:"), "{said}");
    let miner = "caps = [\"5.00/day\", \"0.50/day type=research\"]\n";
    let miner = format!("schema = 1\n[agents.miner]\nfunding = \"allowance\"\n{miner}");
    let told = desk.apply(&miner);
    assert!(told.contains(&chooses["note: ".len()..]), "{told}");
}
