//! The operators' paths: the document tells all of them, each works over HTTP with an operator's
//! token, and an agent's opens none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use pettycash::home::Home;
use serde_json::{Map, Value, json};

use crate::support::{
    mcp_house::House,
    web::{Reply, Web, Wire},
};

/// Every operation once, in an order in which each can be done, with what is sent. Words in braces
/// stand for what an earlier answer told.
fn story() -> Vec<(&'static str, Value)> {
    let none = Value::Null;
    let why = json!({"reason": "odd", "note": "to be safe"});
    vec![
        ("openapi", none.clone()),
        ("operator_door", none.clone()),
        // From here on whatever gives an agent more takes a proof, which the token is.
        ("set_passphrase", json!({"passphrase": "correct horse"})),
        ("prove", none.clone()),
        (
            "create_agent",
            json!({"handle": "temp", "funding": "prepaid", "caps": [
            {"period": "day", "cap_usd": "5.00"}, {"period": "rolling_24h", "cap_usd": "6"}],
            "first_payee": "locked", "pinned": {"report": "Acme Reports"}}),
        ),
        ("list_agents", none.clone()),
        ("top_up", json!({"amount_usd": "1.00", "note": "to begin with"})),
        ("show_agent", none.clone()),
        ("show_mandate", none.clone()),
        ("change_mandate", json!({"per_call_limit_usd": "0.50", "expires_at": null})),
        ("add_service", json!({"id": "maps", "payee": "Acme Maps", "price_usd": "0.05"})),
        ("list_services", none.clone()),
        ("show_service", none.clone()),
        ("test_service", json!({"request": "{}"})),
        ("repin", json!({"service_id": "maps", "payee": "Acme Maps"})),
        ("export_policy", none.clone()),
        (
            "apply_policy",
            json!({"policy": {"schema": 1, "agents": {"temp": {
            "caps": ["5.00/day"], "per_call": "0.40"}}, "groups": {"team": {
            "caps": ["9.00/day", "20x/hour category=llm"]}}}, "note": "tighter"}),
        ),
        ("list_groups", none.clone()),
        ("show_group", none.clone()),
        ("remove_group", none.clone()),
        ("test_policy", json!({"policy": {"schema": 1, "agents": {"temp": {}}}})),
        ("pay", json!({"service_id": "maps", "idempotency_key": "k"})),
        ("explain_payment", none.clone()),
        ("show_response", none.clone()),
        ("refund", json!({"amount_usd": "0.01"})),
        ("settle", json!({"charged_usd": "0.00"})),
        ("open_task", json!({"task_type": "research", "cap_usd": "0.50"})),
        ("list_tasks", none.clone()),
        ("show_task", none.clone()),
        ("resume_task", json!({"cap_usd": "0.60", "note": "more of it"})),
        ("finish_task", json!({"outcome": "success"})),
        ("issue_token", json!({"label": "laptop", "run": "nightly", "may": ["open-tasks"]})),
        ("rotate_token", json!({"overlap_s": 60})),
        ("list_tokens", none.clone()),
        ("revoke_token", none.clone()),
        ("issue_operator_token", json!({})),
        ("list_operator_tokens", none.clone()),
        ("freeze_agent", why.clone()),
        ("unfreeze_agent", json!({"note": null})),
        ("freeze_all", why.clone()),
        ("unfreeze_all", json!({})),
        ("revoke_agent", why),
        ("remove_service", none.clone()),
        (
            "set_prices",
            json!({"table": "{\"models\": {\"ours\": {\"rates\": {\"standard\": \
                {\"input\": \"0.000001\", \"output\": \"0.000002\"}}}}}", "note": "a contract"}),
        ),
        ("show_prices", none.clone()),
        ("exposure", none.clone()),
        ("shadow_caps", none.clone()),
        ("ledger", none.clone()),
        ("books", none.clone()),
        ("health", none.clone()),
        ("stop", none),
    ]
}

/// The document, and what one can do with it.
struct Document(Value);

impl Document {
    fn published() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/openapi.json");
        Self(serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap())
    }

    /// Each operation with its method and path, by its id.
    fn operations(&self) -> BTreeMap<String, (String, String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(move |(method, told)| {
                let id = told["operationId"].as_str().unwrap().to_owned();
                (id, (method.to_uppercase(), path.clone(), told))
            })
        });
        all.collect()
    }

    /// Why a value is not what a schema says: as far as our own schemas go, and more strictly than
    /// they do, for what they do not tell nobody was told of.
    fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        if let Some(named) = schema["$ref"].as_str() {
            let pointer = named.strip_prefix('#').unwrap();
            return self.misfit(self.0.pointer(pointer).expect(named), value, at);
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(ways) = schema[choice].as_array() {
                let fits = ways.iter().any(|way| self.misfit(way, value, at).is_none());
                return (!fits).then(|| format!("{at} is {value}, which is none of {choice}"));
            }
        }
        let is = |kind: &Value| match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{at}: what is {other}?"),
        };
        let fits = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(is),
            kind @ Value::String(_) => is(kind),
            other => panic!("{at} has no type: {other}"),
        };
        if !fits || schema.get("const").is_some_and(|only| only != value) {
            return Some(format!("{at} is {value}"));
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let missing =
            required.map(|name| name.as_str().unwrap()).find(|name| value[name].is_null());
        if let Some(missing) = missing {
            return Some(format!("{at}.{missing} is missing"));
        }
        let fields = schema["properties"].as_object();
        let told = fields.zip(value.as_object()).and_then(|(fields, value)| {
            value.iter().find_map(|(name, value)| match fields.get(name) {
                Some(schema) => self.misfit(schema, value, &format!("{at}.{name}")),
                None => Some(format!("{at}.{name} is not told")),
            })
        });
        let mut items = value.as_array().into_iter().flatten();
        told.or_else(|| items.find_map(|item| self.misfit(&schema["items"], item, at)))
    }
}

fn ask(wire: &mut Wire, method: &str, path: &str, token: &str, body: &Value) -> Reply {
    let mut headers = vec![format!("Authorization: Bearer {token}")];
    let mut bytes = Vec::new();
    if !body.is_null() {
        headers.push("Content-Type: application/json".to_owned());
        bytes = body.to_string().into_bytes();
    }
    wire.ask(&format!("{method} {path}"), &headers, &bytes)
}

/// A path with what is known in the place of its words in braces.
fn filled(path: &str, known: &Map<String, Value>) -> String {
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (name, after) = rest.split_once('}').unwrap();
    let value = known.get(name).unwrap_or_else(|| panic!("nobody told the {name} of {path}"));
    format!("{before}{}{after}", value.as_str().unwrap())
}

#[test]
fn every_operators_path_works_over_http_and_an_agents_token_opens_none() {
    let document = Document::published();
    let operations = document.operations();
    let story = story();
    let told: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
    assert_eq!(story.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), told);
    let web = Web::furnished();
    let (agent, operator) = (web.token("scout", 0), web.operator_token());
    let mut wire = web.connect();
    let mut known = Map::new();
    known.insert("service_id".to_owned(), "maps".into());
    known.insert("group".to_owned(), "team".into());
    for (id, body) in story {
        let (method, path, told) = &operations[id];
        let path = filled(path, &known);
        for (token, status, code) in
            [(&agent, 403, "token_wrong_kind"), (&String::new(), 401, "token_unknown")]
        {
            let refused = ask(&mut wire, method, &path, token, &body);
            assert_eq!((refused.status, &refused.json()["code"]), (status, &json!(code)), "{id}");
            let problem = &document.0["components"]["schemas"]["Problem"];
            assert_eq!(document.misfit(problem, &refused.json(), id), None);
        }
        let sent = &told["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(sent.is_null(), body.is_null(), "{id}");
        if !body.is_null() {
            assert_eq!(document.misfit(sent, &body, id), None, "{id} would not send that");
        }
        let done = ask(&mut wire, method, &path, &operator, &body);
        // Nothing that is paid over this alone is ever in doubt.
        if id == "test_service" {
            let told = (done.status, &done.json()["code"]);
            assert_eq!(told, (400, &json!("invalid_request")), "nothing is called: {done:?}");
            continue;
        }
        if id == "show_response" {
            let told = (done.status, &done.json()["code"]);
            assert_eq!(told, (404, &json!("response_gone")), "nothing was called: {done:?}");
            continue;
        }
        if id == "settle" {
            let told = (done.status, &done.json()["code"]);
            assert_eq!(told, (409, &json!("payment_not_in_doubt")), "{done:?}");
            continue;
        }
        assert_eq!(done.status, 200, "{id}: {done:?}");
        let answer = done.json();
        let schema = &told["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(document.misfit(schema, &answer, id), None, "{id}: {answer}");
        match id {
            "create_agent" => assert_eq!(answer["handle"], "temp"),
            "pay" => assert_eq!(answer["outcome"], "paid", "{answer}"),
            "change_mandate" => assert_eq!(answer["applied"], true, "{answer}"),
            "openapi" => assert_eq!(answer, document.0, "what is served is what is published"),
            _ => {}
        }
        for name in ["handle", "payment_id", "token_id", "task_id"] {
            known.extend(answer.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }
}

#[test]
fn the_document_tells_every_path_and_method_there_is() {
    let document = Document::published();
    let paths = document.0["paths"].as_object().unwrap();
    let web = Web::furnished();
    let operator = web.operator_token();
    let mut wire = web.connect();
    let names = ["handle", "service_id", "token_id", "payment_id", "group", "task_id"];
    let names = names.map(|name| (name, "x"));
    let known = names.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
    for (path, told) in paths {
        for method in ["get", "put", "post", "patch", "delete"] {
            if told.get(method).is_none() {
                let line = method.to_uppercase();
                let reply = ask(&mut wire, &line, &filled(path, &known), &operator, &json!({}));
                assert_eq!(reply.json()["code"], "method_not_allowed", "{method} {path}");
            }
        }
    }
    // What the commands use is found in it, which is what it is worth.
    let source = ["operator.rs", "operator/tasks.rs"].map(|file| {
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client");
        fs::read_to_string(client.join(file)).unwrap()
    });
    let source = source.concat();
    let shape = |path: &str| {
        let path = path.split(['?', '"']).next().unwrap();
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let told: BTreeSet<String> = paths.keys().map(|path| shape(path)).collect();
    let mut used: BTreeSet<String> =
        source.split("\"/v1/").skip(1).map(|rest| shape(&format!("/v1/{rest}"))).collect();
    used.insert("/v1/openapi.json".to_owned());
    assert_eq!(used, told);
}

/// The codes of problems in a source: texts that come after a status.
fn codes_in(source: &str, found: &mut BTreeSet<String>) {
    let parts: Vec<&str> = source.split('"').collect();
    for pair in parts.windows(2) {
        let before = pair[0].trim_end().strip_suffix(',').unwrap_or_default().trim_end();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let status = before.rsplit(|c| !word(c)).next().unwrap();
        let is_status = status.starts_with("StatusCode::")
            || status == "status"
            || status.len() == 3 && status.starts_with(['4', '5']) && status.parse::<u16>().is_ok();
        if is_status
            && !pair[1].is_empty()
            && pair[1].bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        {
            found.insert(pair[1].to_owned());
        }
    }
}

#[test]
fn the_document_tells_every_code_of_a_problem() {
    let mut found = BTreeSet::new();
    for room in ["engine", "http"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                codes_in(&fs::read_to_string(path).unwrap(), &mut found);
            }
        }
    }
    // Those of the record's failures are not written out, and some are of the agents' planes.
    let failures = ["ledger_unwritable", "ledger_damaged", "engine_unavailable", "internal_error"];
    found.extend(failures.map(str::to_owned));
    let agents = [
        "tool_unknown",
        "too_many_sessions",
        "too_many_streams",
        "too_many_requests",
        "rate_limited",
        "task_failed",
    ];
    found.retain(|code| !agents.contains(&code.as_str()) && code != "ending");
    let document = Document::published();
    let text = document.0["components"]["responses"]["problem"]["description"].as_str().unwrap();
    let told = text.lines().filter_map(|line| line.strip_prefix("- `")?.split_once('`'));
    let told: BTreeSet<String> = told.map(|(code, _)| code.to_owned()).collect();
    assert!(found.len() > 30, "{found:?}");
    assert_eq!(told, found);
}

#[test]
fn the_document_is_served_on_the_socket_too() {
    let house = House::furnished();
    house.client("scout");
    let sockets = Home::at(&house.home()).unwrap().serving().unwrap().sockets;
    let mut stream = UnixStream::connect(sockets.operator).unwrap();
    stream
        .write_all(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, served) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(served).unwrap(), Document::published().0);
}

#[test]
fn a_secret_of_another_type_is_not_told_in_the_error() {
    let web = Web::furnished();
    let headers = [
        format!("Authorization: Bearer {}", web.operator_token()),
        "Content-Type: application/json".to_owned(),
    ];
    let mut wire = web.connect();
    for body in [
        r#"{"passphrase":12345678}"#,
        r#"{"passphrase":1234567.8}"#,
        r#"{"passphrase":["12345678"]}"#,
        r#"{"passphrase":{"12345678":true}}"#,
        r#" "12345678""#,
    ] {
        let reply = wire.ask("PUT /v1/operator/passphrase", &headers, body.as_bytes());
        let told = reply.json();
        assert_eq!((reply.status, &told["code"]), (400, &json!("invalid_request")), "{body}");
        assert!(!told.to_string().contains("12345"), "{body}: {told}");
        assert!(told["detail"].as_str().unwrap().contains("text"), "{body}: {told}");
    }
}

#[test]
fn what_was_begun_with_a_token_that_is_revoked_meanwhile_does_nothing() {
    // What gives more, what takes away, and what would let the token's owner back in; also before
    // there is a passphrase, when nobody is asked for a proof.
    let acts = [
        ("POST /v1/agents/scout/top-ups", json!({"amount_usd": "1000.00"})),
        ("POST /v1/operator/tokens", json!({})),
        ("POST /v1/agents/scout/tokens", json!({})),
        ("POST /v1/agents/scout/payments", json!({"service_id": "search"})),
        ("POST /v1/agents", json!({"handle": "mine", "funding": "prepaid"})),
        ("PATCH /v1/agents/scout/mandate", json!({"caps": [{"period": "day", "cap_usd": "99"}]})),
        ("PATCH /v1/agents/scout/mandate", json!({"per_call_limit_usd": "0.01"})),
        ("POST /v1/policy", json!({"policy": {"schema": 1, "services": {"x": {"payee": "Me"}}}})),
        (
            "POST /v1/policy",
            json!({"policy": {"schema": 1, "agents": {"scout": {
            "funding": "allowance", "caps": ["0.01/day"], "per_call": "0.01"}}}}),
        ),
        ("POST /v1/agents/scout/revoke", json!({"reason": "theft"})),
        ("POST /v1/freeze", json!({"reason": "theft"})),
        ("PUT /v1/operator/passphrase", json!({"passphrase": "mine from now on"})),
    ];
    let web = Web::furnished();
    let token = web.operator_token();
    let begun = acts.map(|(path, body)| {
        let (mut wire, body) = (web.connect(), body.to_string());
        let host = web.host();
        let head = format!(
            "{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.send(head.as_bytes());
        wire.send(&body.as_bytes()[..1]);
        (path, body, wire)
    });
    // Each is let in, and waits for the rest of what is asked.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = web.house.operator_json("ledger");
    let listed = web.house.operator_json("operator tokens");
    let id = listed["tokens"][0]["token_id"].as_str().unwrap().to_owned();
    web.house.operator(&format!("agent token-revoke {id}"));
    for (path, body, mut wire) in begun {
        wire.send(&body.as_bytes()[1..]);
        let refused = wire.reply();
        assert!([401, 403].contains(&refused.status), "{path}: {refused:?}");
    }
    let after = web.house.operator_json("ledger");
    let newest = after["entries"][0]["outcome"].as_str();
    assert_eq!(newest, Some("token_revoked"), "{after}");
    let lines = |text: &str| text.matches("\"outcome\"").count();
    assert_eq!(lines(&after.to_string()), lines(&before.to_string()) + 1, "{after}");
}
