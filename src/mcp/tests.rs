//! What a client gets when the engine breaks, is gone, or keeps silent.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResult, ClientRequest, CustomRequest,
        ReadResourceRequestParams, ServerResult,
    },
    service::RunningService,
};
use serde_json::{Value, json};

use super::{Reach, Server};
use crate::{
    client::{Call, Called},
    policy::{
        answer::{ApiBody, Waiting, WaitingBodies},
        names::PaymentId,
    },
};

/// More than any call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the engine does with a call.
#[derive(Clone, Copy)]
enum Fate {
    Answers,
    AnswersNonsense,
    Panics,
    IsGone,
    MayHaveIt,
    KeepsSilent,
}

/// An engine with one fate, and the calls that reached it: tool, call id, arguments.
#[derive(Clone)]
struct Fake(Fate, Arc<Mutex<Vec<(String, String, Value)>>>);

impl Reach for Fake {
    async fn call(&self, call: Call<'_>) -> Called {
        let Call { tool, call_id, arguments, .. } = call;
        self.1.lock().unwrap().push((tool.to_owned(), call_id.to_owned(), arguments));
        match self.0 {
            Fate::Answers => Called::Answered(json!({"outcome": "paid", "b": "€\n", "a": 1})),
            Fate::AnswersNonsense => Called::Answered(json!("fine")),
            Fate::Panics => panic!("as the test wants it"),
            Fate::IsGone => Called::NeverSent,
            Fate::MayHaveIt => Called::MaybeSent,
            Fate::KeepsSilent => std::future::pending().await,
        }
    }

    async fn opens_tasks(&self, _: &str) -> Option<bool> {
        Some(false)
    }

    async fn bodies(&self, _: &str, _: Option<PaymentId>) -> Option<Waiting<WaitingBodies>> {
        self.meets(Waiting::Here(WaitingBodies::default())).await
    }

    async fn body(&self, _: &str, _: PaymentId) -> Option<Waiting<ApiBody>> {
        self.meets(Waiting::Gone).await
    }
}

impl Fake {
    /// What comes of a question to this engine.
    async fn meets<T>(&self, answer: T) -> Option<T> {
        match self.0 {
            Fate::Answers => Some(answer),
            Fate::Panics => panic!("as the test wants it"),
            Fate::AnswersNonsense | Fate::IsGone | Fate::MayHaveIt => None,
            Fate::KeepsSilent => std::future::pending().await,
        }
    }
}

struct Session {
    client: RunningService<RoleClient, ()>,
    calls: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl Session {
    async fn with(fate: Fate) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let calls = Arc::default();
        let server = Server::new(Fake(fate, Arc::clone(&calls)), "scout".parse().unwrap(), None);
        tokio::spawn(async move { server.serve(theirs).await.unwrap().waiting().await });
        Self { client: ().serve(ours).await.unwrap(), calls }
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let answered = tokio::time::timeout(PATIENCE, self.client.call_tool(call)).await;
        answered.expect("an answer, not silence").unwrap()
    }

    async fn answer(&self, tool: &'static str, arguments: Value) -> Value {
        self.call(tool, arguments).await.structured_content.unwrap()
    }

    /// Sends a request that the library's own types could not express.
    async fn odd(&self, params: Value) -> Result<Value, rmcp::ServiceError> {
        let request = CustomRequest::new("tools/call", Some(params));
        let sent = self.client.send_request(ClientRequest::CustomRequest(request));
        match sent.await? {
            ServerResult::CallToolResult(result) => Ok(result.structured_content.unwrap()),
            other => panic!("no tool result: {other:?}"),
        }
    }

    fn call_ids(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(_, id, _)| id.clone()).collect()
    }
}

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn the_text_is_the_structure_byte_for_byte_in_the_engines_order() {
    let result = Session::with(Fate::Answers).await.call("pay_for_api_call", json!({})).await;
    assert_eq!(result.is_error, Some(false));
    let text = &result.content[0].as_text().unwrap().text;
    assert_eq!(text, r#"{"outcome":"paid","b":"€\n","a":1}"#);
    assert_eq!(*text, result.structured_content.unwrap().to_string());
}

#[tokio::test]
async fn a_panic_is_answered_as_an_internal_error_and_the_session_goes_on() {
    let session = Session::with(Fate::Panics).await;
    for tool in ["pay_for_api_call", "get_balance", "ledger", "list_services"] {
        let result = session.call(tool, json!({})).await;
        assert_eq!(result.is_error, Some(true));
        assert_eq!(code(&result.structured_content.unwrap()), "internal_error");
    }
    let nonsense = Session::with(Fate::AnswersNonsense).await;
    assert_eq!(code(&nonsense.answer("ledger", json!({})).await), "internal_error");
}

#[tokio::test]
async fn without_an_engine_every_call_says_so_and_that_nothing_was_charged() {
    let session = Session::with(Fate::IsGone).await;
    assert_eq!(session.client.list_all_tools().await.unwrap().len(), 4);
    for tool in ["pay_for_api_call", "get_balance", "ledger", "list_services"] {
        let answer = session.answer(tool, json!({})).await;
        assert_eq!((code(&answer), &answer["advice"]), ("engine_unavailable", &json!("wait")));
        assert!(answer["message"].as_str().unwrap().contains("Nothing was charged"));
    }
}

#[tokio::test]
async fn a_payment_that_may_have_been_made_is_in_progress_under_a_key_that_finds_it() {
    let session = Session::with(Fate::MayHaveIt).await;
    let result = session.call("pay_for_api_call", json!({"service_id": "search"})).await;
    assert_eq!(result.is_error, Some(false), "in_progress is no error");
    let answer = result.structured_content.unwrap();
    assert_eq!(answer["outcome"], "in_progress");
    assert_eq!(answer["idempotency_key"], session.call_ids()[0].as_str());

    let own = json!({"service_id": "search", "idempotency_key": "mine"});
    assert_eq!(session.answer("pay_for_api_call", own).await["idempotency_key"], "mine");
    let useless = json!({"service_id": "search", "idempotency_key": "k".repeat(10_000)});
    let answer = session.answer("pay_for_api_call", useless).await;
    assert_eq!(answer["idempotency_key"], session.call_ids()[2].as_str());

    for tool in ["get_balance", "ledger", "list_services"] {
        assert_eq!(code(&session.answer(tool, json!({})).await), "engine_unavailable");
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_fetched_is_not_said_to_be_uncharged() {
    for fate in [Fate::IsGone, Fate::MayHaveIt] {
        let fetch = json!({"payment_id": "pay_00000000000000ff"});
        let answer = Session::with(fate).await.answer("pay_for_api_call", fetch).await;
        assert_eq!(answer["outcome"], "in_progress");
        assert_eq!(answer["payment_id"], "pay_00000000000000ff");
        assert!(!answer["message"].as_str().unwrap().contains("Nothing was charged"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_keeps_silent_does_not_keep_the_model_waiting() {
    let session = Session::with(Fate::KeepsSilent).await;
    let answer = session.answer("pay_for_api_call", json!({"service_id": "search"}));
    let answer = tokio::time::timeout(Duration::from_secs(26), answer).await;
    assert_eq!(answer.expect("an answer")["outcome"], "in_progress");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_calls_reaches_the_engine_a_few_at_a_time() {
    let session = Session::with(Fate::KeepsSilent).await;
    let flood = (0..100).map(|_| session.answer("pay_for_api_call", json!({})));
    let mut flood = std::pin::pin!(futures_util::future::join_all(flood));
    assert!(tokio::time::timeout(Duration::from_secs(20), &mut flood).await.is_err());
    let answers = flood.await;
    let in_doubt = answers.iter().filter(|answer| answer["outcome"] == "in_progress").count();
    let unsent = answers.iter().filter(|answer| code(answer) == "engine_unavailable").count();
    assert_eq!(session.call_ids().len(), 16);
    assert_eq!((in_doubt, unsent), (16, 84), "what was not sent is not in doubt");
}

#[tokio::test]
async fn a_client_that_names_its_call_keeps_the_name_and_others_get_one_each() {
    let session = Session::with(Fate::Answers).await;
    let long = "x".repeat(129);
    for id in ["toolu_01AbC", "", "two words", "new\nline", long.as_str()] {
        let params =
            json!({"name": "ledger", "arguments": {}, "_meta": {"claudecode/toolUseId": id}});
        session.odd(params).await.unwrap();
    }
    let ids = session.call_ids();
    assert_eq!(ids[0], "toolu_01AbC");
    for minted in &ids[1..] {
        let hex = minted.strip_prefix("call_").unwrap();
        assert!(hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{minted}");
        assert_eq!(ids.iter().filter(|id| *id == minted).count(), 1, "{minted} came twice");
    }
}

#[tokio::test]
async fn arguments_reach_the_engine_as_they_came_even_where_they_are_no_object() {
    let session = Session::with(Fate::Answers).await;
    for arguments in [json!("search"), json!(["search"]), json!(7), json!({"limit": {"a": null}})] {
        let params = json!({"name": "ledger", "arguments": arguments});
        session.odd(params).await.unwrap();
        assert_eq!(session.calls.lock().unwrap().last().unwrap().2, arguments);
    }
    session.odd(json!({"name": "ledger"})).await.unwrap();
    session.odd(json!({"name": "ledger", "arguments": null})).await.unwrap();
    assert_eq!(session.calls.lock().unwrap().last().unwrap().2, json!({}));
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_a_protocol_error_that_names_those_that_are() {
    let session = Session::with(Fate::Answers).await;
    for params in [json!({"name": "withdraw", "arguments": {}}), json!({"name": 7}), json!({})] {
        let error = session.odd(params).await.unwrap_err().to_string();
        assert!(error.contains("-32602"), "{error}");
        assert!(error.contains("pay_for_api_call, get_balance, ledger, list_services"), "{error}");
    }
    assert!(session.calls.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_read_is_asked_for_whatever_becomes_of_the_engine() {
    let uri = "pettycash://responses/pay_00000000000000ff";
    for fate in [Fate::IsGone, Fate::Panics, Fate::KeepsSilent] {
        let session = Session::with(fate).await;
        let read = session.client.read_resource(ReadResourceRequestParams::new(uri));
        let list = session.client.list_resources(None);
        let both = Box::pin(async { tokio::join!(read, list) });
        let (read, list) = tokio::time::timeout(PATIENCE, both).await.expect("no silence");
        for error in [read.unwrap_err().to_string(), list.unwrap_err().to_string()] {
            assert!(error.contains("-32603") && error.contains("Nothing is lost"), "{error}");
        }
    }
    let session = Session::with(Fate::Answers).await;
    assert_eq!(session.client.list_all_resources().await.unwrap(), []);
    let read = session.client.read_resource(ReadResourceRequestParams::new(uri)).await;
    assert!(read.unwrap_err().to_string().contains("-32002"));
}
