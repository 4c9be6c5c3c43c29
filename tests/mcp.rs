//! The MCP server as clients meet it: a process that they start, and lines on its pipes.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::Duration,
};

use pettycash::clock::instant;
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::TokioChildProcess,
};
use serde_json::{Value, json};

use crate::support::{
    mcp_house::House,
    mcp_raw::{Raw, modern_meta},
};

const TOOLS: [&str; 4] = ["pay_for_api_call", "get_balance", "ledger", "list_services"];

/// The fields of an answer that a test looks at, in one line.
fn of(answer: &Value, fields: &str) -> String {
    let shown = |field| match &answer[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    fields.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_revision_of_the_protocol_is_spoken_by_one_server() {
    let house = House::furnished();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = Raw::start(&mut house.command("mcp --agent scout"));
        let opened = client.initialize(version);
        assert_eq!(opened["protocolVersion"], version);
        assert_eq!(opened["serverInfo"]["name"], "pettycash");
        assert!(opened["instructions"].as_str().unwrap().len() < 600);
        let names: Vec<Value> = client.tools().iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, TOOLS);
        assert_eq!(client.call("get_balance", json!({}))["handle"], "scout");
    }
    let mut client = Raw::start(&mut house.command("mcp --agent scout")).modern();
    let found = client.request("server/discover", json!({}));
    assert!(found["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{found}");
    let list = client.request("tools/list", json!({}));
    assert_eq!(list["result"]["cacheScope"], "private");
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), TOOLS.len());
    assert_eq!(client.call("get_balance", json!({}))["handle"], "scout");
    let odd = client.send("tools/call", json!({"name": "ledger", "arguments": "all"}));
    assert_eq!(client.answer(odd)["field"], "arguments");
}

async fn library_client(
    house: &House,
    lifecycle: ClientLifecycleMode,
) -> RunningService<RoleClient, ()> {
    let command = tokio::process::Command::from(house.command("mcp --agent scout"));
    let transport = TokioChildProcess::new(command).unwrap();
    ().serve_with_lifecycle(transport, lifecycle).await.unwrap()
}

async fn ask(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> Value {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let call = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = client.call_tool(call).await.unwrap();
    let answer = result.structured_content.unwrap();
    assert_eq!(result.content[0].as_text().unwrap().text, answer.to_string());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_pays_is_refused_adapts_and_reads_its_ledger_in_either_era() {
    let newest = vec![ProtocolVersion::V_2026_07_28];
    let modern = ClientLifecycleMode::Discover { preferred_versions: newest };
    for lifecycle in [ClientLifecycleMode::Initialize, modern] {
        let house = House::furnished();
        let client = library_client(&house, lifecycle).await;
        assert_eq!(client.list_all_tools().await.unwrap().len(), TOOLS.len());
        let services = ask(&client, "list_services", json!({})).await;
        assert_eq!(of(&services["services"][1], "service_id price_usd"), "search 0.02");

        let paid = ask(&client, "pay_for_api_call", json!({"service_id": "search"})).await;
        assert_eq!(of(&paid, "outcome charged_usd available_usd"), "paid 0.02 4.98");
        let dear = json!({"service_id": "report", "amount_usd": 0.4});
        let denied = ask(&client, "pay_for_api_call", dear).await;
        let wanted = "denied per_call_limit_exceeded shrink 0.25";
        assert_eq!(of(&denied, "outcome code advice max_affordable_usd"), wanted);
        let less = json!({"service_id": "report", "amount_usd": denied["max_affordable_usd"]});
        let adapted = ask(&client, "pay_for_api_call", less).await;
        assert_eq!(of(&adapted, "outcome charged_usd"), "paid 0.25");

        let fetch = json!({"payment_id": adapted["payment_id"]});
        let fetched = ask(&client, "pay_for_api_call", fetch).await;
        assert_eq!(of(&fetched, "outcome charged_usd replayed"), "paid 0.25 true");
        let ledger = ask(&client, "ledger", json!({"limit": 3})).await;
        assert_eq!(of(&ledger, "spent_today_usd available_usd"), "0.27 4.73");
        let lines = ledger["entries"].as_array().unwrap();
        let lines: Vec<String> =
            lines.iter().map(|line| of(line, "outcome service_id amount_usd code")).collect();
        let refused = "denied report 0.40 per_call_limit_exceeded";
        assert_eq!(lines, ["paid report 0.25 null", refused, "paid search 0.02 null"]);
        client.cancel().await.unwrap();
        assert_eq!(house.operator("verify"), "");
    }
}

#[test]
fn what_the_operator_does_in_another_terminal_holds_from_the_next_call_on() {
    let house = House::furnished();
    house.operator("agent create intern");
    let mut client = house.client("intern");
    let search = json!({"service_id": "search"});
    let broke = client.pay(search.clone());
    assert_eq!(of(&broke, "code advice"), "insufficient_balance ask_operator");
    house.operator("top-up intern 2.00");
    assert_eq!(of(&client.pay(search.clone()), "outcome available_usd"), "paid 1.98");
    house.operator("agent revoke intern --reason compromised");
    assert_eq!(of(&client.pay(search), "code advice"), "agent_revoked stop");
    assert_eq!(client.call("get_balance", json!({}))["standing"], "revoked");

    let mut stranger = house.client("nobody");
    for tool in TOOLS {
        assert_eq!(of(&stranger.call(tool, json!({})), "code advice"), "agent_unknown stop");
    }
}

#[test]
fn a_key_pays_once_and_stands_for_nothing_else() {
    let house = House::furnished();
    let mut client = house.client("scout");
    let keyed = json!({"service_id": "search", "idempotency_key": "once"});
    let first = client.pay(keyed.clone());
    let again = house.client("scout").pay(keyed);
    assert_eq!(again["payment_id"], first["payment_id"]);
    assert_eq!(of(&again, "outcome replayed available_usd"), "paid true 4.98");
    let other = json!({"service_id": "report", "amount_usd": "0.10", "idempotency_key": "once"});
    assert_eq!(of(&client.pay(other), "code advice"), "idempotency_key_reused fix_request");
    assert_eq!(client.call("ledger", json!({}))["spent_today_usd"], "0.02");
}

/// A mistake in the arguments of a payment, and the field that the answer must name.
fn mistakes() -> Vec<(Value, &'static str)> {
    let amount = |amount: Value| json!({"service_id": "report", "amount_usd": amount});
    let service = |service: Value| json!({"service_id": service});
    let key = |key: Value| json!({"service_id": "search", "idempotency_key": key});
    let mut table = vec![
        (json!({}), "service_id"),
        (json!({"amount_usd": "0.02"}), "service_id"),
        (json!({"service_id": "report"}), "amount_usd"),
        (json!({"service_id": "search", "note": "x"}), "note"),
        (json!({"service_id": "search", "agent": "intern"}), "agent"),
        (json!({"service_id": "search", "serviceId": "report"}), "service_id"),
        (json!({"service_id": "search", "payment_id": "pay_00000000000000ff"}), "payment_id"),
        (json!({"payment_id": "pay_zz"}), "payment_id"),
        (json!({"payment_id": "pay_00000000000000ff"}), "payment_id"),
        (key("k".repeat(10_240).into()), "idempotency_key"),
        (key("".into()), "idempotency_key"),
        (key("two\nlines".into()), "idempotency_key"),
        (key(7.into()), "idempotency_key"),
    ];
    for name in ["Search", "sea rch", "../search", "", "súche", "-search", "search;drop"] {
        table.push((service(name.into()), "service_id"));
    }
    table.push((service("s".repeat(64).into()), "service_id"));
    table.extend(
        [json!(1), json!(["search"]), json!({}), json!(true)]
            .map(|odd| (service(odd), "service_id")),
    );
    let texts = ["1e-3", "+1", " 1", "1 ", "-1", "NaN", "inf", "", ".5", "1.", "0x1", "1,50", "$1"];
    table.extend(texts.map(|text| (amount(text.into()), "amount_usd")));
    let texts = ["0", "0.00", "1abc", "0.0000000001", "9999999999", "0.25 USD", "１"];
    table.extend(texts.map(|text| (amount(text.into()), "amount_usd")));
    let odd = [json!(-1), json!(0), json!(1e300), json!(1e-12), json!([]), json!({}), json!(false)];
    table.extend(odd.map(|odd| (amount(odd), "amount_usd")));
    table
}

#[test]
fn every_mistake_in_the_arguments_is_named_with_what_would_be_right() {
    let house = House::furnished();
    let mut client = house.client("scout");
    for (arguments, field) in mistakes() {
        let answer = client.pay(arguments.clone());
        let shape = of(&answer, "outcome code advice field");
        assert_eq!(shape, format!("denied invalid_request fix_request {field}"), "{arguments}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.ends_with("Nothing was charged."), "{answer}");
        for told in ["got", "expected", "example"] {
            assert!(answer[told].is_string(), "{told} is missing for {arguments}: {answer}");
        }
        assert!(answer.to_string().len() < 700, "{answer}");
    }
    for (tool, arguments, field) in [
        ("get_balance", json!({"agent": "intern"}), "agent"),
        ("ledger", json!({"limit": 0}), "limit"),
        ("ledger", json!({"limit": 101}), "limit"),
        ("ledger", json!({"limit": "ten"}), "limit"),
        ("ledger", json!({"cursor": "nowhere"}), "cursor"),
        ("ledger", json!({"cursor": 7}), "cursor"),
        ("list_services", json!({"limit": -1}), "limit"),
        ("list_services", json!({"query": "maps"}), "query"),
    ] {
        let answer = client.call(tool, arguments);
        let shape = of(&answer, "outcome code field");
        assert_eq!(shape, format!("denied invalid_request {field}"), "{answer}");
    }
    let unknown = client.pay(json!({"service_id": "serch"}));
    assert_eq!(of(&unknown, "code advice nearest"), "service_unknown fix_request [\"search\"]");
    assert_eq!(client.call("ledger", json!({}))["spent_today_usd"], "0.00");

    for (amount, charged) in
        [(json!(1e-7), "0.0000001"), (json!(0.1), "0.10"), (json!("0.2"), "0.20")]
    {
        let paid = client.pay(json!({"service_id": "report", "amountUSD": amount}));
        assert_eq!(of(&paid, "outcome charged_usd"), format!("paid {charged}"));
    }
}

#[test]
fn a_call_that_no_tool_could_take_is_answered_and_so_is_one_that_is_far_too_long() {
    let house = House::furnished();
    let mut client = house.client("scout");
    for arguments in [json!("search"), json!([]), json!(7), json!(false)] {
        let id = client.send("tools/call", json!({"name": "ledger", "arguments": arguments}));
        assert_eq!(of(&client.answer(id), "code field"), "invalid_request arguments");
    }
    for params in [json!({"name": "withdraw", "arguments": {}}), json!({"name": 7}), json!({})] {
        let error = client.request("tools/call", params)["error"].take();
        assert_eq!(error["code"], -32602, "{error}");
        assert!(error["message"].as_str().unwrap().contains(&TOOLS.join(", ")), "{error}");
    }
    let resources = ["resources/subscribe", "resources/directory/read"];
    for method in ["prompts/list", "completion/complete", "tools/delete"].iter().chain(&resources) {
        let params = json!({"ref": {"type": "ref/prompt", "name": "x"},
            "argument": {"name": "a", "value": "b"}});
        assert_eq!(client.request(method, params)["error"]["code"], -32601, "{method}");
    }
    // A single text of that length is refused before it is known to be a call of a tool.
    let endless = |length: usize| {
        json!({"a": "k".repeat(length / 5), "b": "k".repeat(length / 5),
        "c": "k".repeat(length / 5), "d": "k".repeat(length / 5), "e": "k".repeat(length / 5)})
    };
    for length in [100_000, 260_000] {
        let answer = client.pay(endless(length));
        assert_eq!(of(&answer, "code advice field"), "invalid_request fix_request arguments");
    }
    for length in [300_000, 4_000_000] {
        let params = json!({"name": TOOLS[0], "arguments": endless(length)});
        let error = client.request("tools/call", params)["error"].take();
        assert_eq!(error["code"], -32600, "{error}");
    }
    assert_eq!(client.pay(json!({"service_id": "search"}))["outcome"], "paid");
    let (status, _) = client.end();
    assert!(status.success());
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_logged_is_answered_all_the_same() {
    let house = House::furnished();
    let mut command = Command::new("sh");
    let script = "PETTYCASH_LOG=trace exec \"$0\" mcp --agent scout 2>/dev/full";
    house.furnish(command.args(["-c", script]).arg(env!("CARGO_BIN_EXE_pettycash")));
    let mut client = Raw::start(&mut command);
    client.initialize("2025-11-25");
    assert_eq!(client.request("prompts/list", json!({}))["error"]["code"], -32601);
    assert_eq!(client.pay(json!({"service_id": "search"}))["outcome"], "paid");
    let (status, _) = client.end();
    assert!(status.success());
}

#[test]
fn a_flood_of_calls_is_answered_where_few_files_may_be_open() {
    const CALLS: usize = 300;
    let house = House::furnished();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" mcp --agent scout"]);
    house.furnish(command.arg(env!("CARGO_BIN_EXE_pettycash")));
    let mut client = Raw::start(&mut command);
    client.initialize("2025-11-25");
    for _ in 0..CALLS {
        client.send("tools/call", json!({"name": "get_balance", "arguments": {}}));
    }
    for _ in 0..CALLS {
        let message: Value = serde_json::from_str(&client.line()).unwrap();
        assert_eq!(message["result"]["structuredContent"]["handle"], "scout", "{message}");
    }
    let (status, said) = client.end();
    assert!(status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_call_in_flight_when_the_client_hangs_up_is_still_made_and_answered() {
    let house = House::furnished();
    let mut client = house.client("scout");
    let id =
        client.send("tools/call", json!({"name": TOOLS[0], "arguments": {"service_id": "search"}}));
    client.hang_up();
    assert_eq!(client.answer(id)["outcome"], "paid");
    let (status, said) = client.end();
    assert!(status.success());
    assert_eq!(said, "");
    let ledger = house.client("scout").call("ledger", json!({}));
    assert_eq!(ledger["spent_today_usd"], "0.02");
}

#[test]
fn a_client_that_leaves_before_it_says_anything_is_no_error() {
    let house = House::new();
    let (status, said) = Raw::start(&mut house.command("mcp --agent scout")).end();
    assert!(status.success(), "{said}");
    assert_eq!(said, "");

    let mut probing = Raw::start(&mut house.command("mcp --agent scout")).modern();
    probing.request("server/discover", json!({}));
    let (status, said) = probing.end();
    assert!(status.success(), "{said}");
    assert_eq!(said, "");
    assert!(!house.home().join("serve.json").exists(), "nobody paid, so nothing was started");
}

#[test]
fn a_client_that_gives_its_child_sockets_is_served_the_same() {
    let house = House::furnished();
    let pair = || UnixStream::pair().unwrap();
    let ((our_input, their_input), (our_output, their_output)) = (pair(), pair());
    let mut command = house.command("mcp --agent scout");
    command.stdin(Stdio::from(OwnedFd::from(their_input)));
    command.stdout(Stdio::from(OwnedFd::from(their_output))).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    let mut client = Raw::on(child, Box::new(our_input), Box::new(our_output));
    client.initialize("2025-11-25");
    for _ in 0..50 {
        assert_eq!(client.pay(json!({"service_id": "search"}))["outcome"], "paid");
    }
    let (status, said) = client.end();
    assert!(status.success(), "{said}");
}

#[test]
fn without_a_home_that_can_be_used_the_tools_list_and_every_call_says_what_is_wrong() {
    let house = House::new();
    std::fs::write(house.home(), "a file, not a directory").unwrap();
    let mut client = house.client("scout");
    assert_eq!(client.tools().len(), TOOLS.len());
    for tool in TOOLS {
        let began = instant();
        let answer = client.call(tool, json!({}));
        assert_eq!(of(&answer, "outcome code advice"), "denied engine_unavailable wait");
        assert!(!answer.to_string().contains(house.home().to_str().unwrap()), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    std::fs::remove_file(house.home()).unwrap();
    let answer = client.call("get_balance", json!({}));
    assert_eq!(of(&answer, "code"), "agent_unknown", "a home that is mended is found: {answer}");
    let (status, said) = client.end();
    assert!(status.success());
    assert!(said.contains("home"), "the log says what the model must not know: {said}");
}

#[test]
fn whoever_is_named_wrongly_or_not_at_all_is_told_how_to_name_an_agent() {
    let house = House::new();
    for words in ["mcp", "mcp --agent Scout!", "mcp --agent ../scout", "mcp --agent= --run 1"] {
        let output = house.command(words).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains("--agent"), "{words}: {said}");
        assert!(output.stdout.is_empty());
    }
    let mut command = house.command("mcp");
    let named = command.env("PETTYCASH_AGENT", "scout").stdin(Stdio::null()).output().unwrap();
    assert!(named.status.success(), "the environment may name the agent");
}

#[test]
fn the_example_configuration_starts_as_it_is_written() {
    let text = include_str!("../mcp.json.example");
    let mut config: Value = serde_json::from_str(text).unwrap();
    let server = config["mcpServers"]["pettycash"].take();
    let words: Vec<String> = serde_json::from_value(server["args"].clone()).unwrap();

    let house = House::furnished();
    // The agent that `init` makes.
    house.operator("agent create claude --cap 5.00/day --funding allowance");
    let ours = std::path::Path::new(env!("CARGO_BIN_EXE_pettycash")).parent().unwrap();
    let path = std::env::join_paths(
        [ours.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new(server["command"].as_str().unwrap());
    house.furnish(command.args(words).env("PATH", path.unwrap()));
    let mut client = Raw::start(&mut command);
    client.initialize("2025-11-25");
    assert_eq!(client.pay(json!({"service_id": "search"}))["outcome"], "paid");
}

#[test]
fn the_example_configuration_reaches_a_shared_server_without_holding_a_token() {
    let text = include_str!("../mcp.json.example");
    let config: Value = serde_json::from_str(text).unwrap();
    let servers = config["mcpServers"].as_object().unwrap();
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["pettycash", "pettycash-http"]);
    let shared = &servers["pettycash-http"];
    let wanted = json!({
        "type": "http",
        "url": "${PETTYCASH_URL:-http://127.0.0.1:7402/mcp}",
        "headers": {"Authorization": "Bearer ${PETTYCASH_TOKEN}"},
    });
    assert_eq!(*shared, wanted);
    for secret in ["agt_", "opr_"] {
        assert!(!text.contains(secret), "a committed file names a token and never holds one");
    }
}

#[test]
fn sixteen_clients_that_race_for_a_hundred_payments_get_a_hundred() {
    const CLIENTS: usize = 16;
    const TRIES: usize = 200;
    let house = House::new();
    house.operator("agent create scout --cap 1.00/lifetime --funding allowance");
    house.operator("service add search --payee Acme --price 0.01");
    let start = Barrier::new(CLIENTS);
    let race = |_| {
        let mut client = house.client("scout");
        start.wait();
        let mut outcomes = Vec::with_capacity(TRIES);
        for _ in 0..TRIES {
            outcomes.push(of(&client.pay(json!({"service_id": "search"})), "outcome code"));
        }
        let (status, said) = client.end();
        assert!(status.success() && said.is_empty(), "{said}");
        outcomes
    };
    let outcomes: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || race(n))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let count = |outcome: &str| outcomes.iter().filter(|seen| *seen == outcome).count();
    assert_eq!(count("paid null"), 100);
    let denied = count("denied cap_exceeded") + count("denied loop_detected");
    assert_eq!(denied, CLIENTS * TRIES - 100);

    let ledger = house.operator_json("ledger scout --limit 1000000");
    let times = |line: &Value| line["times"].as_u64().unwrap_or(1);
    let lines = ledger["entries"].as_array().unwrap();
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "paid").count(), 100);
    let denied = lines.iter().filter(|line| line["outcome"] == "denied");
    assert!(denied.map(times).sum::<u64>() >= 1, "refusals are on the record");
    assert_eq!(house.operator("verify"), "");
}

#[test]
fn a_request_of_the_newest_revision_may_come_after_a_handshake_of_an_older_one() {
    let house = House::furnished();
    let mut client = house.client("scout");
    let params = json!({"name": "get_balance", "arguments": {}, "_meta": modern_meta()});
    let id = client.send("tools/call", params);
    assert_eq!(client.answer(id)["handle"], "scout");
}

#[test]
fn the_demo_tells_its_story_in_words_and_as_one_document() {
    let house = House::new();
    let temporary = house.home().with_file_name("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let output = house.command("demo").env("TMPDIR", &temporary).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "it leaves something behind");
    for word in ["per_call_limit_exceeded", "\"advice\":\"shrink\"", "top-up", "agent_revoked"] {
        assert!(told.contains(word), "{word} is missing:\n{told}");
    }
    let document = house.operator_json("demo");
    let steps = document["steps"].as_array().unwrap();
    let outcomes: Vec<&str> =
        steps.iter().filter_map(|step| step["answer"]["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["paid", "denied", "paid", "denied", "paid", "denied"]);
    assert_eq!(document["verified"], true);
    assert_eq!(document["ledger"]["entries"].as_array().unwrap().len(), 10);
    assert!(!house.home().exists(), "the demo leaves this home alone");
}
