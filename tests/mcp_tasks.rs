//! Tasks as MCP clients meet them: who has the tools, and what comes of calling them.

use pettycash::policy::names::Handle;
use rmcp::{ServiceExt, model::CallToolRequestParams, transport::TokioChildProcess};
use serde_json::{Value, json};

use crate::support::{
    mcp_house::House,
    web::{Web, Wire},
};

const COMMON: [&str; 4] = ["pay_for_api_call", "get_balance", "ledger", "list_services"];
const ALL: [&str; 6] =
    ["pay_for_api_call", "get_balance", "ledger", "list_services", "open_task", "finish_task"];

/// A house where `helper` has $0.50 for each task and opens them itself, and `scout` does not.
fn house() -> House {
    let house = House::furnished();
    let caps = "--cap 0.50/task --cap 5.00/day --funding allowance";
    house.operator(&format!("agent create helper {caps} --tasks agent"));
    house.operator(&format!("agent create worker {caps}"));
    house
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_opens_a_task_pays_in_it_runs_out_and_finishes_another() {
    let house = house();
    let command = tokio::process::Command::from(house.command("mcp --agent helper"));
    let client = ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ALL);
    let ask = async |tool: &'static str, arguments: Value| {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = client.call_tool(call).await.unwrap();
        let answer = result.structured_content.unwrap();
        assert_eq!(result.content[0].as_text().unwrap().text, answer.to_string());
        (answer, result.is_error.unwrap())
    };
    let (task, failed) = ask("open_task", json!({"task_type": "research"})).await;
    assert!(!failed, "{task}");
    assert_eq!((&task["cap_usd"], &task["available_usd"]), (&json!("0.50"), &json!("0.50")));
    let id = &task["task_id"];
    let pay = |amount| json!({"service_id": "report", "amount_usd": amount, "task_id": id});
    let (beside, _) = ask("pay_for_api_call", json!({"service_id": "search"})).await;
    assert_eq!(beside["code"], "task_unknown");
    assert_eq!(ask("pay_for_api_call", pay("0.50")).await.0["available_usd"], "0.00");
    let (out, failed) = ask("pay_for_api_call", pay("0.10")).await;
    assert_eq!((&out["code"], &out["advice"]), (&json!("task_failed"), &json!("stop")));
    assert_eq!(out["breached"][1]["used_usd"], "0.50");
    assert!(failed);
    let (over, _) = ask("pay_for_api_call", pay("0.10")).await;
    assert_eq!((&over["code"], &over["advice"]), (&json!("task_failed"), &json!("stop")));
    let finish = |task: &Value| json!({"task_id": task["task_id"], "outcome": "failed"});
    let (left, _) = ask("finish_task", finish(&task)).await;
    assert_eq!(left["code"], "task_failed", "what ran out waits for an operator");
    let (other, _) = ask("open_task", json!({"task_type": "research"})).await;
    let (done, failed) = ask("finish_task", finish(&other)).await;
    assert_eq!((&done["finished"], &done["used_usd"]), (&json!("failed"), &json!("0.00")));
    assert!(!failed);
    client.cancel().await.unwrap();
    assert_eq!(house.operator("verify"), "");
}

#[test]
fn on_this_machine_the_mandate_says_who_has_the_tools() {
    let house = house();
    for (agent, tools) in [("helper", &ALL[..]), ("worker", &COMMON), ("nobody", &COMMON)] {
        let mut client = house.client(agent);
        assert_eq!(names(&client.tools()), tools, "{agent}");
        // The list is no authority: what counts is decided when it is called.
        let answer = client.call("open_task", json!({"task_type": "research"}));
        let code = match agent {
            "helper" => Value::Null,
            "worker" => json!("task_not_allowed"),
            _ => json!("agent_unknown"),
        };
        assert_eq!(answer["code"], code, "{answer}");
    }
}

fn token(house: &House, words: &str) -> String {
    house.operator(&format!("agent token {words}")).trim().to_owned()
}

fn called(wire: &mut Wire, token: &str, tool: &str, arguments: Value) -> Value {
    let session = wire.initialize(token);
    wire.call(token, &session, tool, arguments).answer()
}

#[test]
fn over_http_a_token_that_may_has_the_tools_and_another_of_the_same_agent_has_not() {
    let web = Web::open(house(), &[]);
    let orchestrator = token(&web.house, "worker --may open-tasks --label boss");
    let worker = token(&web.house, "worker");
    for (token, tools) in [(&orchestrator, &ALL[..]), (&worker, &COMMON)] {
        let mut wire = web.connect();
        let session = wire.initialize(token);
        let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}});
        let listed = wire.post(token, Some(&session), list.to_string().as_bytes()).json();
        let listed = listed["result"]["tools"].as_array().unwrap().clone();
        assert_eq!(names(&listed), tools);
    }
    let mut wire = web.connect();
    let asked = json!({"task_type": "research", "cap_usd": "0.10"});
    let refused = called(&mut wire, &worker, "open_task", asked.clone());
    assert_eq!(refused["code"], "task_not_allowed");
    let task = called(&mut wire, &orchestrator, "open_task", asked);
    assert_eq!(task["cap_usd"], "0.10", "{task}");
    let pay = json!({"service_id": "search", "task_id": task["task_id"]});
    let paid = called(&mut wire, &worker, "pay_for_api_call", pay.clone());
    assert_eq!((&paid["outcome"], &paid["available_usd"]), (&json!("paid"), &json!("0.08")));
    let outcome = json!({"task_id": task["task_id"], "outcome": "success"});
    let refused = called(&mut wire, &worker, "finish_task", outcome.clone());
    assert_eq!(refused["code"], "task_not_allowed");
    let done = called(&mut wire, &orchestrator, "finish_task", outcome);
    assert_eq!((&done["finished"], &done["used_usd"]), (&json!("success"), &json!("0.02")));
    assert_eq!(called(&mut wire, &worker, "pay_for_api_call", pay)["code"], "task_unknown");
    // What is made in the place of a token may what that one might.
    let listed = web.house.operator_json("agent tokens worker");
    let boss = listed["tokens"].as_array().unwrap().iter().find(|token| token["label"] == "boss");
    let id = boss.unwrap()["token_id"].as_str().unwrap();
    let rotated = web.house.operator_json(&format!("agent token-rotate {id}"));
    assert_eq!(rotated["may"], json!(["open-tasks"]));
    let worker: Handle = "worker".parse().unwrap();
    assert_eq!(rotated["agent"], worker.as_str());
}

#[test]
fn an_operator_has_a_command_for_each_thing() {
    let house = house();
    let id = house.operator("task open worker --type research --cap 0.03").trim().to_owned();
    let listed = house.operator("task list worker");
    for told in [&*id, "research", "open", "$0.03"] {
        assert!(listed.contains(told), "{told}: {listed}");
    }
    assert!(house.operator("agent show worker").contains("1 open"));
    let pay = |code: i32| {
        let mut pay = house.command(&format!("pay worker search --task {id}"));
        assert_eq!(pay.output().unwrap().status.code(), Some(code));
    };
    pay(0);
    pay(3);
    let view = house.operator_json(&format!("task show {id}"));
    assert_eq!((&view["state"], &view["used_usd"]), (&json!("failed"), &json!("0.02")));
    assert!(house.operator("agent show worker").contains("1 failed"));
    let mut refused = house.command(&format!("task resume {id} --cap 0.02"));
    let refused = refused.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: "));
    let resumed = house.operator(&format!("task resume {id} --cap 0.06 --note more"));
    assert!(resumed.contains("is open: $0.02 of $0.06 is spent"), "{resumed}");
    pay(0);
    let finished = house.operator(&format!("task finish {id} --outcome success"));
    assert!(finished.contains("finished (success): $0.04 spent"), "{finished}");
    assert!(house.operator("task list worker").contains("no open task"));
    assert!(house.operator("task list worker --all").contains("finished (success)"));
    let ledger = house.operator("ledger worker");
    for word in ["task_opened", "task_failed", "task_resumed", "task_finished", &*id] {
        assert!(ledger.contains(word), "{word}: {ledger}");
    }
    assert_eq!(house.operator("verify"), "");
    house.end_serve();
    assert_eq!(house.operator("verify"), "", "and what is kept of it");
}
