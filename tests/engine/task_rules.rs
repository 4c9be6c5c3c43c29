//! Tasks beside everything else that tells what may be paid, or was.

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::came::Came,
    rails::Rails,
    store::{Options, Recording, Store},
};
use serde_json::{Value, json};

use crate::support::{house::House, private_dir, sim_disk::SimDisk};

/// A house whose scout has $0.50 for each task, and opens them itself; with one that is open.
async fn house() -> (House, String) {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "tasks": "agent", "caps":
            [{"period": "day", "cap_usd": "5.00"}, {"period": "task", "cap_usd": "0.50"}]}))
        .await;
    let task = opened(&house).await;
    (house, task)
}

async fn opened(house: &House) -> String {
    let answer = house.call("open_task", "scout", json!({"task_type": "research"})).await;
    answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn payment(task: &str, amount: &str) -> Value {
    json!({"service_id": "report", "amount_usd": amount, "task_id": task})
}

/// What `ledger` answers with these arguments: the outcomes, newest first.
async fn sought(house: &House, arguments: Value) -> Vec<String> {
    let answer = house.call("ledger", "scout", arguments).await;
    let lines = answer["entries"].as_array().unwrap_or_else(|| panic!("{answer}"));
    lines.iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_ledger_finds_what_belongs_to_one_task() {
    let (house, task) = house().await;
    let other = opened(&house).await;
    house.pay("scout", payment(&other, "0.10")).await;
    house.pay("scout", payment(&task, "0.50")).await;
    for _ in 0..2 {
        assert_eq!(house.pay("scout", payment(&task, "0.01")).await["code"], "task_failed");
    }
    let found = sought(&house, json!({"task_id": task})).await;
    assert_eq!(found, ["task_failed", "denied", "paid", "task_opened"]);
    assert_eq!(sought(&house, json!({"taskId": other})).await, ["paid", "task_opened"]);
    let failed = json!({"task_id": task, "outcome": "task_failed"});
    assert_eq!(sought(&house, failed).await, ["task_failed"]);
    assert_eq!(sought(&house, json!({"outcome": "task_opened"})).await.len(), 2);
    let unknown = json!({"task_id": "task_00000000000000ff"});
    assert!(sought(&house, unknown).await.is_empty());
    let wrong = house.call("ledger", "scout", json!({"task_id": "mine"})).await;
    assert_eq!((&wrong["code"], &wrong["field"]), (&json!("invalid_request"), &json!("task_id")));
    let arguments = json!({"format": "columns", "task_id": task});
    let columns = house.call("ledger", "scout", arguments).await;
    let named = columns["columns"].as_array().unwrap();
    let place = named.iter().position(|name| name == "task_id").expect("a column");
    assert!(columns["rows"].as_array().unwrap().iter().all(|row| row[place] == task.as_str()));
}

#[tokio::test]
async fn a_dry_run_fails_no_task_and_resumes_none() {
    let (house, task) = house().await;
    house.pay("scout", payment(&task, "0.50")).await;
    let lines = house.outcomes("scout").await.len();
    let dry = |task: &str| {
        let mut dry = payment(task, "0.01");
        dry["dry_run"] = json!(true);
        dry
    };
    let told = house.pay("scout", dry(&task)).await;
    assert_eq!((&told["code"], &told["dry_run"]), (&json!("task_failed"), &json!(true)));
    let listed = house.engine.tasks(&"scout".parse().unwrap(), false).await.unwrap();
    assert_eq!(json!(listed.tasks[0].state), "open", "nothing was asked of it");
    assert_eq!(house.outcomes("scout").await.len(), lines);
    let first = house.pay("scout", payment(&task, "0.01")).await;
    let lines = house.outcomes("scout").await.len();
    for _ in 0..4 {
        let told = house.pay("scout", dry(&task)).await;
        for what in ["outcome", "code", "advice", "message"] {
            assert_eq!(told[what], first[what], "{what}");
        }
    }
    assert_eq!(house.outcomes("scout").await.len(), lines);
}

#[tokio::test]
async fn a_balance_a_quote_and_the_last_fifth_are_told_of_a_task() {
    let (house, task) = house().await;
    let ask = async |arguments: Value| house.call("get_balance", "scout", arguments).await;
    let quoted = |task: Option<&str>| {
        let mut asked = json!({"service_id": "report", "amount_usd": "0.10"});
        task.inspect(|task| asked["task_id"] = json!(task));
        asked
    };
    assert_eq!(ask(quoted(Some(&task))).await["quote"]["fits"], 5);
    let without = ask(quoted(None)).await;
    assert_eq!(without["quote"]["fits"], 0);
    assert_eq!(without["quote"]["limit"]["code"], "task_unknown", "{without}");
    let paid = house.pay("scout", payment(&task, "0.40")).await;
    let note = paid["note"].as_str().unwrap_or_else(|| panic!("{paid}"));
    assert!(note.contains("this task's cap of $0.50"), "{note}");
    assert_eq!(ask(json!({"task_id": task})).await["available_usd"], "0.10");
    let told = ask(quoted(Some(&task))).await;
    assert_eq!(told["quote"]["fits"], 1);
    assert_eq!(told["quote"]["limit"]["code"], "cap_exceeded", "{told}");
    for unknown in ["task_00000000000000ff", &opened(&house).await.replace("task_", "task_f")] {
        let told = ask(json!({"task_id": unknown})).await;
        assert!(["task_unknown", "invalid_request"].contains(&told["code"].as_str().unwrap()));
    }
    let arguments = json!({"task_id": task, "outcome": "success"});
    house.call("finish_task", "scout", arguments).await;
    assert_eq!(ask(json!({"task_id": task})).await["code"], "task_unknown");
}

#[tokio::test]
async fn a_failed_task_is_no_loop_and_keeps_its_code() {
    let (house, task) = house().await;
    house.pay("scout", payment(&task, "0.50")).await;
    for _ in 0..5 {
        let told = house.pay("scout", payment(&task, "0.10")).await;
        let code = (&told["code"], &told["advice"]);
        assert_eq!(code, (&json!("task_failed"), &json!("stop")));
    }
}

#[tokio::test]
async fn the_same_opening_again_is_not_kept_back_by_too_many() {
    let (house, _) = house().await;
    let open = async |call: &str| {
        let (agent, came) = ("scout".parse().unwrap(), Came::Local);
        let (arguments, call_id) = (json!({"task_type": "a"}), call.parse().ok());
        let call = Call { agent, run: None, call_id, arguments, came, via: None };
        house.engine.call("open_task", call).await.unwrap()
    };
    let finish = async |task: &Value| {
        let arguments = json!({"task_id": task, "outcome": "success"});
        house.call("finish_task", "scout", arguments).await
    };
    for nth in 1..999 {
        finish(&open(&format!("call-{nth}")).await["task_id"]).await;
    }
    let last = open("the-last").await;
    assert!(last["task_id"].is_string(), "{last}");
    let more = open("one-more").await;
    let told = (&more["code"], &more["advice"]);
    assert_eq!(told, (&json!("rate_limited"), &json!("wait")), "{more}");
    assert!(more["retry_after_s"].as_i64().is_some_and(|wait| wait > 80_000), "{more}");
    assert_eq!(open("the-last").await, last);
    house.clock.advance(SignedDuration::from_hours(25));
    assert!(open("one-more").await["task_id"].is_string());
}

#[tokio::test]
async fn that_a_task_ran_out_is_named_by_the_anchor_when_it_is_answered() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let bare = Options::bare(clock.clone());
    let options = Options { anchor: Some(anchors.port()), ..bare.clone() };
    let store = Store::open(disk.port(), options).unwrap();
    let engine = Engine::open(store, Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir: private_dir(), clock, engine };
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.20"})).await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "tasks": "agent", "caps":
            [{"period": "day", "cap_usd": "5.00"}, {"period": "task", "cap_usd": "0.30"}]}))
        .await;
    let asked = json!({"service_id": "search", "task_id": opened(&house).await});
    assert_eq!(house.pay("scout", asked.clone()).await["outcome"], "paid");
    let older = disk.copy();
    assert_eq!(house.pay("scout", asked).await["code"], "task_failed");
    let known = Options { anchor: Some(anchors.copy().port()), ..bare };
    let store = Store::open(older.port(), known).unwrap();
    let recording = store.condition().recording;
    assert!(matches!(recording, Recording::Sealed(_)), "{recording:?}");
    store.close().await;
    house.engine.close().await;
}
