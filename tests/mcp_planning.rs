//! What clients ask before and after they pay, over stdio and over HTTP: the same answers.

use serde_json::{Value, json};

use crate::support::{mcp_house::House, web::Web};

/// The fields of an answer in one line.
fn of(answer: &Value, fields: &str) -> String {
    let shown = |field: &str| match &answer[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    fields.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

/// An agent that plans, tries, pays until it is told to stop soon, and looks back.
fn plans(mut ask: impl FnMut(&str, Value) -> Value) {
    let search = json!({"service_id": "search", "calls": 500, "by": "31d"});
    let quote = ask("get_balance", search)["quote"].clone();
    assert_eq!(of(&quote, "service_id price_usd fits"), "search 0.02 250");
    assert_eq!(of(&quote["limit"], "code period cap_usd used_usd"), "cap_exceeded day 5.00 0.00");
    assert_eq!(quote["fits_by"], 500, "the day turns more than once until then");
    assert!(quote["frees_at"].as_str() < quote["by"].as_str(), "{quote}");

    let dry = ask("pay_for_api_call", json!({"service_id": "search", "dry_run": true}));
    assert_eq!(of(&dry, "outcome dry_run price_usd available_usd"), "allowed true 0.02 5.00");
    let dear = json!({"service_id": "report", "amount_usd": "0.40", "dry_run": true});
    let dry = ask("pay_for_api_call", dear);
    let told = "denied per_call_limit_exceeded shrink 0.25 true";
    assert_eq!(of(&dry, "outcome code advice max_affordable_usd dry_run"), told);

    let mut notes = Vec::new();
    for number in 1..=17 {
        let key = format!("report-{number}");
        let pay = json!({"service_id": "report", "amount_usd": "0.25", "idempotency_key": key});
        let paid = ask("pay_for_api_call", pay);
        assert_eq!(paid["outcome"], "paid", "{paid}");
        notes.extend(paid.get("note").map(|note| note.as_str().unwrap().to_owned()));
    }
    let note = "$4.00 of today's cap of $5.00 is spent: finish the essential part first.";
    assert_eq!((notes.len(), notes[0].as_str()), (2, note));

    let found = ask("ledger", json!({"service_id": "report", "outcome": "paid", "limit": 3}));
    assert_eq!(found["entries"].as_array().unwrap().len(), 3);
    let asked = json!({"service_id": "report", "limit": 3, "format": "columns"});
    let table = ask("ledger", asked);
    let names = ["at", "outcome", "service_id", "amount_usd", "payment_id"];
    assert_eq!(table["columns"], json!(names));
    assert_eq!(table["rows"][0][4], found["entries"][0]["payment_id"]);
    assert_eq!(ask("ledger", json!({"run": "nobodys"}))["entries"], json!([]));
    let denied = ask("ledger", json!({"outcome": "denied"}));
    assert_eq!(denied["entries"], json!([]), "no dry run is written down");
    let paid = ask("ledger", json!({"outcome": "paid", "limit": 100}));
    assert_eq!(paid["entries"].as_array().unwrap().len(), 17);
    assert_eq!(of(&ask("ledger", json!({"since": "soon"})), "code field"), "invalid_request since");
}

#[test]
fn a_client_on_stdio_plans_and_looks_back() {
    let house = House::furnished();
    let mut client = house.client("scout");
    plans(|tool, arguments| client.call(tool, arguments));
    assert_eq!(house.operator("verify"), "");
}

#[test]
fn a_client_over_http_plans_and_looks_back() {
    let web = Web::open(House::furnished(), &[("scout", 1)]);
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    plans(|tool, arguments| wire.call(&token, &session, tool, arguments).answer());
    assert_eq!(web.house.operator("verify"), "");
}
