//! Tasks through the engine: what the tools answer, and what remains of it.

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{
        came::Came,
        names::Handle,
        task::{MAX_TASKS, TaskOutcome},
        terms::{FinishTask, MandatePatch, NewTask, NewToken, ResumeTask, TaskStanding},
    },
    rails::Rails,
    store::{Options, Store},
};
use serde_json::{Value, json};

use crate::support::{house::House, private_dir, sim_disk::SimDisk};

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn research() -> NewTask {
    NewTask { task_type: "research".parse().unwrap(), cap_usd: None, call_id: None }
}

/// A house whose scout has $0.50 for each task, and opens them itself.
async fn house() -> House {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "tasks": "agent", "caps":
            [{"period": "day", "cap_usd": "5.00"}, {"period": "task", "cap_usd": "0.50"}]}))
        .await;
    house
}

async fn opened(house: &House) -> String {
    let answer = house.call("open_task", "scout", json!({"task_type": "research"})).await;
    answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn pay(house: &House, task: &str, amount: &str) -> Value {
    let arguments = json!({"service_id": "report", "amount_usd": amount, "task_id": task});
    house.pay("scout", arguments).await
}

async fn count(house: &House, what: &str) -> usize {
    house.outcomes("scout").await.iter().filter(|outcome| *outcome == what).count()
}

#[tokio::test]
async fn a_task_is_opened_charged_and_finished_with_its_sums() {
    let house = house().await;
    let arguments = json!({"task_type": "research", "cap_usd": "0.30"});
    let task = house.call("open_task", "scout", arguments).await;
    assert_eq!((&task["cap_usd"], &task["available_usd"]), (&json!("0.30"), &json!("0.30")));
    let id = task["task_id"].as_str().unwrap();
    let paid = pay(&house, id, "0.20").await;
    assert_eq!((&paid["outcome"], &paid["available_usd"]), (&json!("paid"), &json!("0.10")));
    let arguments = json!({"task_id": id, "outcome": "success"});
    let finished = house.call("finish_task", "scout", arguments.clone()).await;
    let expected =
        json!({"task_id": id, "finished": "success", "used_usd": "0.20", "held_usd": "0.00"});
    assert_eq!(finished, expected);
    assert_eq!(house.call("finish_task", "scout", arguments).await, expected, "once more");
    assert_eq!(pay(&house, id, "0.01").await["code"], "task_unknown");
    let lines = house.lines("scout").await;
    let of = |line: &Value| {
        let word = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        (word("outcome"), word("task_id"), word("amount_usd"))
    };
    let line = |word: &str, amount: &str| (word.to_owned(), id.to_owned(), amount.to_owned());
    let told: Vec<_> = lines[..4].iter().map(of).collect();
    let expected = [
        line("denied", "0.01"),
        line("task_finished", "0.20"),
        line("paid", "0.20"),
        line("task_opened", "0.30"),
    ];
    assert_eq!(told, expected);
    assert_eq!(count(&house, "task_finished").await, 1, "the same outcome is told once");
}

#[tokio::test]
async fn the_same_call_again_opens_no_other_task() {
    let house = house().await;
    let asked = json!({"task_type": "research"});
    let first = house.call_as("open_task", "scout", Some("call-1"), asked.clone()).await;
    let again = house.call_as("open_task", "scout", Some("call-1"), asked.clone()).await;
    assert_eq!(first, again);
    let other = house.call_as("open_task", "scout", Some("call-2"), asked.clone()).await;
    assert_ne!(first["task_id"], other["task_id"]);
    assert_eq!(count(&house, "task_opened").await, 2);
    // Long after, whatever is called so is another call.
    house.pass(SignedDuration::from_mins(15));
    let late = house.call_as("open_task", "scout", Some("call-1"), asked).await;
    assert_ne!(first["task_id"], late["task_id"]);
}

#[tokio::test]
async fn every_mistake_about_tasks_is_told_and_writes_nothing() {
    let house = house().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    let id = opened(&house).await;
    let entries = house.lines("scout").await.len();
    for (tool, agent, arguments, code) in [
        ("open_task", "scout", json!({}), "invalid_request"),
        ("open_task", "scout", json!({"task_type": "No Name"}), "invalid_request"),
        ("open_task", "scout", json!({"task_type": "a", "cap_usd": "0"}), "invalid_request"),
        ("open_task", "scout", json!({"task_type": "a", "agent": "intern"}), "invalid_request"),
        ("open_task", "intern", json!({"task_type": "a"}), "task_not_allowed"),
        ("open_task", "nobody", json!({"task_type": "a"}), "agent_unknown"),
        ("finish_task", "scout", json!({"task_id": id}), "invalid_request"),
        ("finish_task", "scout", json!({"task_id": id, "outcome": "fine"}), "invalid_request"),
        ("finish_task", "intern", json!({"task_id": id, "outcome": "failed"}), "task_not_allowed"),
        (
            "finish_task",
            "scout",
            json!({"task_id": "task_00000000000000ff", "outcome": "failed"}),
            "task_unknown",
        ),
    ] {
        let answer = house.call(tool, agent, arguments.clone()).await;
        assert_eq!(answer["code"], code, "{tool} {arguments}: {answer}");
        assert_eq!(answer["outcome"], "denied");
        assert!(answer["message"].is_string() && answer["advice"].is_string());
    }
    assert_eq!(house.lines("scout").await.len(), entries);
}

#[tokio::test]
async fn the_run_id_that_resets_the_budget() {
    let house = house().await;
    // A new name of whatever kind is a new budget in no way: of a run, of a task, of a session.
    for argument in ["run", "run_id", "session_id", "task"] {
        let arguments = json!({"service_id": "search", argument: "fresh"});
        assert_eq!(house.pay("scout", arguments).await["code"], "invalid_request");
    }
    for invented in ["task_0000000000000001", "task_ffffffffffffffff"] {
        assert_eq!(pay(&house, invented, "0.10").await["code"], "task_unknown");
    }
    let mut spent = 0;
    for _ in 0..20 {
        let task = opened(&house).await;
        let paid = pay(&house, &task, "0.50").await;
        spent += usize::from(paid["outcome"] == "paid");
        house.call("finish_task", "scout", json!({"task_id": task, "outcome": "success"})).await;
    }
    assert_eq!(spent, 10, "ten times $0.50 are the $5.00 of the day");
    let balance = house.call("get_balance", "scout", json!({})).await;
    assert_eq!(balance["caps"][0]["used_usd"], "5.00");
    // And no mandate rests on such names alone.
    let only = json!({"handle": "odd", "funding": "allowance", "caps":
        [{"period": "task", "cap_usd": "0.50"}, {"period": "run", "cap_usd": "0.50"}]});
    let refused = house.engine.create_agent(serde_json::from_value(only).unwrap()).await;
    assert_eq!(refused.unwrap_err().problem().code, "mandate_invalid");
}

#[tokio::test]
async fn a_token_that_may_opens_tasks_for_an_agent_that_may_not() {
    let house = house().await;
    let patch: MandatePatch = serde_json::from_value(json!({"tasks": "operator"})).unwrap();
    let changed = house.engine.change_mandate(&scout(), patch, None).await.unwrap();
    assert!(!changed.changes[0].loosens, "it takes away");
    let refused = house.call("open_task", "scout", json!({"task_type": "a"})).await;
    assert_eq!(
        (&refused["code"], &refused["advice"]),
        (&json!("task_not_allowed"), &json!("ask_operator"))
    );
    let call = async |may: Value| {
        let new: NewToken = serde_json::from_value(json!({"may": may})).unwrap();
        let given = house.engine.issue_token(&scout(), new).await.unwrap();
        let principal = house.engine.principal(given.token.expose()).unwrap();
        let (came, arguments) = (Came::By(principal.token), json!({"task_type": "a"}));
        let agent = principal.agent;
        let call = Call { agent, run: None, call_id: None, arguments, came, via: None };
        (house.engine.call("open_task", call).await.unwrap(), given.view.token_id)
    };
    let (plain, _) = call(json!([])).await;
    assert_eq!(plain["code"], "task_not_allowed");
    let (opened, token) = call(json!(["open-tasks"])).await;
    let id = opened["task_id"].as_str().unwrap_or_else(|| panic!("{opened}"));
    let view = house.engine.task(id.parse().unwrap()).await.unwrap();
    assert_eq!(view.token_id, Some(token), "by whom");
    assert_eq!(pay(&house, id, "0.10").await["outcome"], "paid", "who is given it spends in it");
}

#[tokio::test]
async fn an_operator_opens_lists_finishes_and_resumes() {
    let house = house().await;
    let engine = &house.engine;
    let own = NewTask { cap_usd: Some("0.20".parse().unwrap()), ..research() };
    let task = engine.open_task_of(&scout(), own).await.unwrap().task;
    let id = task.task_id.to_string();
    assert_eq!(pay(&house, &id, "0.20").await["outcome"], "paid");
    let denied = pay(&house, &id, "0.10").await;
    assert_eq!((&denied["code"], &denied["advice"]), (&json!("task_failed"), &json!("stop")));
    assert_eq!(denied["breached"][1]["cap_usd"], "0.20");
    let again = pay(&house, &id, "0.10").await;
    assert_eq!((&again["code"], &again["advice"]), (&json!("task_failed"), &json!("stop")));
    assert_eq!(again["payment_id"], denied["payment_id"], "it is the same denial, and counted");
    let failed = engine.task(task.task_id).await.unwrap();
    assert_eq!(failed.state, TaskStanding::Failed);
    assert_eq!(
        failed.payment_id.map(|id| id.to_string()).as_deref(),
        denied["payment_id"].as_str()
    );
    let agent = engine.agent(&scout()).await.unwrap();
    assert_eq!((agent.open_tasks, agent.failed_tasks), (0, 1));
    let more = |cap: &str| ResumeTask { cap_usd: Some(cap.parse().unwrap()), note: None };
    let refused = engine.resume_task(task.task_id, more("0.20")).await;
    assert_eq!(refused.unwrap_err().problem().code, "task_has_nothing_left");
    assert!(engine.resume_task(task.task_id, more("0.40")).await.unwrap().changed);
    assert!(!engine.resume_task(task.task_id, more("0.40")).await.unwrap().changed);
    assert_eq!(pay(&house, &id, "0.10").await["outcome"], "paid");
    let done = FinishTask { outcome: TaskOutcome::Success };
    assert!(engine.finish_task_of(task.task_id, done).await.unwrap().changed);
    assert!(!engine.finish_task_of(task.task_id, done).await.unwrap().changed);
    assert_eq!(engine.tasks(&scout(), false).await.unwrap().tasks.len(), 0);
    assert_eq!(engine.tasks(&scout(), true).await.unwrap().tasks.len(), 1);
    assert_eq!(count(&house, "task_failed").await, 1);
    let unknown = engine.task("task_00000000000000ff".parse().unwrap()).await;
    assert_eq!(unknown.unwrap_err().problem().code, "task_unknown");
}

#[tokio::test]
async fn an_agent_has_so_many_tasks_and_no_more() {
    let house = house().await;
    for _ in 0..MAX_TASKS {
        house.engine.open_task_of(&scout(), research()).await.unwrap();
    }
    let refused = house.engine.open_task_of(&scout(), research()).await.unwrap_err().problem();
    assert_eq!((refused.status, refused.code.as_str()), (409, "too_many_tasks"));
    // Neither takes a place from the other.
    for _ in 0..MAX_TASKS {
        opened(&house).await;
    }
    let asked = house.call("open_task", "scout", json!({"task_type": "a"})).await;
    let told = (&asked["code"], &asked["advice"]);
    assert_eq!(told, (&json!("too_many_tasks"), &json!("fix_request")));
    let first = house.engine.tasks(&scout(), false).await.unwrap().tasks[0].task_id;
    house.engine.finish_task_of(first, FinishTask { outcome: TaskOutcome::Failed }).await.unwrap();
    house.engine.open_task_of(&scout(), research()).await.unwrap();
    let reopened = house.reopened().await;
    let kept = reopened.engine.tasks(&scout(), true).await.unwrap().tasks;
    assert_eq!(kept.len(), 2 * MAX_TASKS + 1, "the desk has each of them");
}

#[tokio::test]
async fn that_a_task_ran_out_outlives_a_power_cut() {
    let (disk, beside, clock) = (SimDisk::default(), private_dir(), Clock::System);
    let open = async |disk: &SimDisk| {
        let kept = Some(beside.path().join("desk"));
        let options = Options { desk: kept, ..Options::bare(clock.clone()) };
        let store = Store::open(disk.port(), options).unwrap();
        Engine::open(store, Rails::default(), clock.clone()).await.unwrap()
    };
    let engine = open(&disk).await;
    let new = json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "5.00"}]});
    engine.create_agent(serde_json::from_value(new).unwrap()).await.unwrap();
    let service = json!({"id": "search", "payee": "Acme", "price_usd": "0.20"});
    engine.add_service(serde_json::from_value(service).unwrap()).await.unwrap();
    let own = NewTask { cap_usd: Some("0.30".parse().unwrap()), ..research() };
    let task = engine.open_task_of(&scout(), own).await.unwrap().task.task_id;
    let pay = async |engine: &Engine| {
        let (agent, came) = (scout(), Came::Local);
        let arguments = json!({"service_id": "search", "task_id": task});
        let call = Call { agent, run: None, call_id: None, arguments, came, via: None };
        engine.call("pay_for_api_call", call).await.unwrap()
    };
    assert_eq!(pay(&engine).await["outcome"], "paid");
    assert_eq!(pay(&engine).await["code"], "task_failed");
    // Whatever was answered is there, whatever else is lost.
    disk.power_off_at(disk.boundaries() + 1);
    engine.close().await;
    let engine = open(&disk.after_power_cut(|_| false)).await;
    assert_eq!(engine.task(task).await.unwrap().state, TaskStanding::Failed);
    assert_eq!(pay(&engine).await["code"], "task_failed");
    engine.close().await;
}
