//! What the same call, the same key and the wrong hand come to, where there are tasks.

use pettycash::policy::{
    names::Handle,
    task::{MAX_TASKS, TaskOutcome},
    terms::{FinishTask, NewTask, ResumeTask},
};
use serde_json::{Value, json};

use crate::support::house::House;

fn scout() -> Handle {
    "scout".parse().unwrap()
}

/// A house whose scout has these caps beside $5.00 a day, and opens its tasks itself.
async fn house(caps: Value) -> House {
    let house = House::new().await;
    let mut all = vec![json!({"period": "day", "cap_usd": "5.00"})];
    all.extend(caps.as_array().unwrap().iter().cloned());
    let new = json!({"handle": "scout", "funding": "allowance", "tasks": "agent", "caps": all});
    house.agent(new).await;
    house
}

async fn capped() -> House {
    house(json!([{"period": "task", "cap_usd": "0.50"}])).await
}

async fn opened(house: &House) -> String {
    let answer = house.call("open_task", "scout", json!({"task_type": "research"})).await;
    answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn payment(task: &str, amount: &str) -> Value {
    json!({"service_id": "report", "amount_usd": amount, "task_id": task})
}

#[tokio::test]
async fn the_same_call_opens_another_task_for_other_work_or_after_the_first() {
    let house = capped().await;
    let open = async |arguments: Value| {
        let answer = house.call_as("open_task", "scout", Some("call-1"), arguments).await;
        answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let first = open(json!({"task_type": "a"})).await;
    assert_eq!(open(json!({"task_type": "a"})).await, first);
    let other = open(json!({"task_type": "b"})).await;
    let capped = open(json!({"task_type": "a", "cap_usd": "0.20"})).await;
    assert!(other != first && capped != first && capped != other);
    assert_eq!(open(json!({"task_type": "a", "cap_usd": "0.20"})).await, capped);
    let call_id = "call-1".parse().ok();
    let new = NewTask { task_type: "a".parse().unwrap(), cap_usd: None, call_id };
    let by_operator = house.engine.open_task_of(&scout(), new.clone()).await.unwrap();
    assert!(by_operator.changed, "it was somebody else who asked");
    let again = house.engine.open_task_of(&scout(), new).await.unwrap();
    assert_eq!((again.changed, again.task.task_id), (false, by_operator.task.task_id));
    house.call("finish_task", "scout", json!({"task_id": first, "outcome": "success"})).await;
    assert_ne!(open(json!({"task_type": "a"})).await, first, "what is over cannot be charged");
}

#[tokio::test]
async fn a_key_or_a_call_stands_for_its_task_too() {
    let house = capped().await;
    let (first, second) = (opened(&house).await, opened(&house).await);
    let keyed = |task: &str| {
        let mut keyed = payment(task, "0.10");
        keyed["idempotency_key"] = json!("report-1");
        keyed
    };
    assert_eq!(house.pay("scout", keyed(&first)).await["outcome"], "paid");
    assert_eq!(house.pay("scout", keyed(&first)).await["replayed"], true);
    let other = house.pay("scout", keyed(&second)).await;
    assert_eq!(other["code"], "idempotency_key_reused", "{other}");
    let call = async |task: &str| {
        let arguments = payment(task, "0.20");
        house.call_as("pay_for_api_call", "scout", Some("call-9"), arguments).await
    };
    let paid = call(&first).await;
    assert_eq!(paid["outcome"], "paid");
    assert_eq!(call(&first).await["payment_id"], paid["payment_id"]);
    assert_eq!(call(&second).await["code"], "idempotency_key_reused");
    let reopened = house.reopened().await;
    assert_eq!(reopened.pay("scout", keyed(&first)).await["replayed"], true);
    assert_eq!(reopened.pay("scout", keyed(&second)).await["code"], "idempotency_key_reused");
}

#[tokio::test]
async fn what_ran_out_is_finished_by_an_operator_alone_and_is_known_to_have_failed() {
    let house = capped().await;
    let task = opened(&house).await;
    house.pay("scout", payment(&task, "0.50")).await;
    let denied = house.pay("scout", payment(&task, "0.10")).await;
    assert_eq!(denied["code"], "task_failed");
    let finish = json!({"task_id": task, "outcome": "success"});
    let told = house.call("finish_task", "scout", finish).await;
    assert_eq!((&told["code"], &told["advice"]), (&json!("task_failed"), &json!("stop")), "{told}");
    let finish = FinishTask { outcome: TaskOutcome::Abandoned };
    let id = task.parse().unwrap();
    assert!(house.engine.finish_task_of(id, finish).await.unwrap().changed);
    let reopened = house.reopened().await;
    let view = json!(reopened.engine.task(id).await.unwrap());
    assert_eq!((&view["state"], &view["payment_id"]), (&json!("finished"), &denied["payment_id"]));
}

#[tokio::test]
async fn what_is_finished_is_told_however_many_were_just_before() {
    let house = capped().await;
    let new = |_| NewTask { task_type: "a".parse().unwrap(), cap_usd: None, call_id: None };
    let oldest = house.engine.open_task_of(&scout(), new(0)).await.unwrap().task.task_id;
    let finish = FinishTask { outcome: TaskOutcome::Success };
    for n in 0..MAX_TASKS {
        let task = house.engine.open_task_of(&scout(), new(n)).await.unwrap().task.task_id;
        house.engine.finish_task_of(task, finish).await.unwrap();
    }
    house.clock.advance(jiff::SignedDuration::from_secs(1));
    let arguments = json!({"task_id": oldest.to_string(), "outcome": "success"});
    for _ in 0..2 {
        let told = house.call("finish_task", "scout", arguments.clone()).await;
        assert_eq!(told["finished"], "success", "{told}");
    }
}

#[tokio::test]
async fn a_dry_run_in_a_task_says_what_can_be_spent_in_it() {
    let house = capped().await;
    let mut dry = payment(&opened(&house).await, "0.10");
    let paid = dry.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(house.pay("scout", paid).await["available_usd"], "0.40");
    assert_eq!(house.pay("scout", dry).await["available_usd"], "0.40");
}

#[tokio::test]
async fn whose_cap_holds_is_told_where_a_task_is_given_one() {
    let house = capped().await;
    let own = |cap: &str| NewTask {
        task_type: "a".parse().unwrap(),
        cap_usd: Some(cap.parse().unwrap()),
        call_id: None,
    };
    let below = house.engine.open_task_of(&scout(), own("0.20")).await.unwrap();
    assert!(below.remarks.is_empty(), "{:?}", below.remarks);
    let above = house.engine.open_task_of(&scout(), own("1.00")).await.unwrap();
    assert_eq!(above.remarks, ["the mandate's cap of $0.50 on each task holds beside it"]);
    let id = above.task.task_id;
    house.pay("scout", payment(&id.to_string(), "0.50")).await;
    let more = ResumeTask { cap_usd: Some("2.00".parse().unwrap()), note: None };
    let refused = house.engine.resume_task(id, more).await.unwrap_err().problem();
    assert_eq!(refused.code, "task_has_nothing_left");
    assert!(refused.detail.contains("the mandate's cap of $0.50"), "{}", refused.detail);
    let free = self::house(json!([])).await;
    let told = free.engine.open_task_of(&scout(), own("1.00")).await.unwrap().remarks;
    assert!(told.len() == 1 && told[0].contains("is not bounded by this cap"), "{told:?}");
}

#[tokio::test]
async fn a_cap_on_a_type_says_that_payments_belong_to_tasks_and_who_chooses() {
    let house = house(json!([])).await;
    let patch = json!({"caps": [{"period": "day", "cap_usd": "1.00", "task_type": "a"}]});
    let patch = serde_json::from_value(patch).unwrap();
    let told = house.engine.change_mandate(&scout(), patch, None).await.unwrap().remarks;
    let says = |what: &str| told.iter().any(|remark| remark.contains(what));
    assert!(says("belongs to an open task"), "{told:?}");
    assert!(says("its model chooses their type"), "{told:?}");
    let beside = json!({"service_id": "report", "amount_usd": "0.10"});
    assert_eq!(house.pay("scout", beside).await["code"], "task_unknown");
}
