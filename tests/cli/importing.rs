//! `pettycash service import`: what documents of APIs come to, and what never comes through.

use std::fs;

use serde_json::{Value, json};

use super::Desk;

fn import(desk: &Desk, document: &Value, more: &str) -> String {
    let file = desk.home().join("document.json");
    fs::write(&file, document.to_string()).unwrap();
    desk.ok(&format!("service import {} {more}", file.display()))
}

/// The policy with the price written that the document does not tell.
fn filled_in(made: &str) -> String {
    made.replace("\n# price = ", "\nprice = ")
}

fn apply_fails(desk: &Desk, policy: &str) -> String {
    let file = desk.home().join("unpriced.toml");
    fs::write(&file, policy).unwrap();
    desk.fails(&format!("apply {}", file.display()), 2)
}

fn weather() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Acme Weather"},
        "servers": [{"url": "https://api.acme.example/v2"}],
        "components": {"securitySchemes": {"key": {
            "type": "apiKey", "in": "header", "name": "X-API-Key"}}},
        "paths": {
            "/now/{placeId}": {
                "parameters": [{"name": "placeId", "in": "path"}],
                "get": {"operationId": "getNow", "summary": "The weather now",
                    "x-payment-info": {"pricingMode": "fixed", "price": "0.020000",
                        "protocols": ["x402"]}}
            },
            "/forecasts": {
                "get": {"operationId": "getNow"},
                "post": {"x-payment-info": {"offers": [
                    {"intent": "charge", "method": "stripe", "amount": "25", "currency": "usd"},
                    {"intent": "charge", "method": "tempo", "amount": "1000", "currency": "0xabc"},
                    {"intent": "charge", "method": "evm", "amount": "100000", "currency": "USDC"},
                ]}},
                "options": {}
            },
            "/files/{name}.json": {"get": {}},
            "/sized": {"get": {"x-payment-info": {"pricingMode": "dynamic", "price": "0.5"}}}
        }
    })
}

#[test]
fn an_openapi_document_becomes_a_policy_that_can_be_applied() {
    let desk = Desk::new();
    let made = import(&desk, &weather(), "");
    for line in [
        "[services.acme-weather]",
        "payee = \"Acme Weather\"",
        "base_url = \"https://api.acme.example/v2\"",
        "secret = { env = \"ACME_WEATHER_KEY\" }  # where `serve` finds the key",
        "headers = { \"x-api-key\" = \"{secret}\" }",
        "# The weather now\nname = \"get-now\"\nmethod = \"GET\"\npath = \"/now/{place_id}\"",
        "price = \"0.02\"  # what the document claims",
        "name = \"get-now-2\"",
        "name = \"post-forecasts\"",
        "# The document offers it for 1000 of 0xabc by tempo",
        "price = \"0.25\"  # what the document claims",
        "# The document claims a price of 0.5\nname = \"get-sized\"",
        "# - OPTIONS /forecasts: it is of no kind that can be called",
        "# - GET /files/{name}.json: ",
    ] {
        assert!(made.contains(line), "{line} is not in\n{made}");
    }
    assert_eq!(made.matches("price = \"0.").count(), 3, "and one to fill in:\n{made}");
    assert_eq!(desk.json("service list --json")["services"], json!([]), "nothing is applied");
    assert!(made.contains("It has to have one before this\n# can be applied: write it"), "{made}");
    let unpriced = apply_fails(&desk, &made);
    assert!(
        unpriced.contains("the operation `get-now-2` has no price: write `price`"),
        "{unpriced}"
    );
    desk.apply(&filled_in(&made));
    let service = desk.json("service show acme-weather --json");
    assert_eq!(service["operations"].as_array().unwrap().len(), 4);
    let named = import(&desk, &weather(), "--id weather --base-url https://other.example");
    assert!(named.contains("[services.weather]") && named.contains("\"https://other.example\""));
    let terms = import(&desk, &weather(), "--json");
    let terms: Value = serde_json::from_str(&terms).unwrap();
    assert_eq!(terms["services"]["acme-weather"]["operations"][0]["price"], "0.02");
}

#[test]
fn an_x402_document_becomes_a_service_for_each_host() {
    let desk = Desk::new();
    let offer = |amount: &str| {
        json!({"scheme": "exact", "network": "base", "maxAmountRequired": amount,
            "asset": "0x036C", "extra": {"name": "USDC", "version": "2"},
            "outputSchema": {"input": {"type": "http", "method": "POST"}}})
    };
    let document = json!({"x402Version": 1, "items": [
        {"resource": "https://one.example/weather", "accepts": [offer("10000"), offer("20000")]},
        {"resource": "https://two.example:8443/a/b", "accepts": [
            {"network": "base", "amount": "5", "asset": "0xdead", "extra": {"name": "DOGE"}}]},
        {"resource": "https://one.example/weather?q=1", "accepts": []},
        {"resource": "http://10.0.0.1/inside", "accepts": []},
        {"resource": "ftp://one.example/x"},
        {"resource": 5},
    ]});
    let made = import(&desk, &document, "");
    for line in [
        "[services.one-example]",
        "method = \"POST\"\npath = \"/weather\"\nprice = \"0.02\"  # what the document claims",
        "# The document takes 10000 of USDC on base",
        "[services.two-example]",
        "base_url = \"https://two.example:8443\"",
        "# The document takes 5 of DOGE on base",
        "# - https://one.example/weather?q=1: it has a query",
        "# - http://10.0.0.1/inside: ",
        "which this rail does not pay",
    ] {
        assert!(made.contains(line), "{line} is not in\n{made}");
    }
    assert_eq!(made.matches("\n# price = ").count(), 1, "the other has all its prices:\n{made}");
    desk.apply(&filled_in(&made));
}

#[test]
fn what_its_security_says_decides_where_the_key_goes() {
    let desk = Desk::new();
    let made = |security: Value| {
        let mut document = weather();
        document["security"] = security;
        document["components"]["securitySchemes"] = json!({
            "a_cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
            "b_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "c_query": {"type": "apiKey", "in": "query", "name": "key"},
            "d_bearer": {"type": "http", "scheme": "bearer"},
        });
        import(&desk, &document, "")
    };
    let header = "headers = { \"x-api-key\" = \"{secret}\" }";
    let query = "query = { \"key\" = \"{secret}\" }";
    let bearer = "headers = { \"authorization\" = \"Bearer {secret}\" }";
    for (security, template) in [
        (json!([{"d_bearer": []}, {"b_header": []}]), bearer),
        (json!([{"a_cookie": []}, {"c_query": []}]), query),
        (json!([{"b_header": [], "c_query": []}, {"d_bearer": []}]), bearer),
        (json!([{"nowhere": []}]), header),
        (json!("nothing"), header),
    ] {
        let made = made(security.clone());
        assert!(made.contains(template), "{security}: {template} is not in\n{made}");
    }
    let told = "# The key goes as `d_bearer` says; also there: `a_cookie`, `b_header`, `c_query`\n";
    let made = made(json!([{"d_bearer": []}]));
    assert!(made.contains(told), "{made}");
}

#[test]
fn of_a_document_without_end_so_much_is_read_and_the_rest_is_counted() {
    let desk = Desk::new();
    let called = |n: usize| (format!("/p{n}"), json!({"get": {"operationId": "same"}}));
    let mut document = weather();
    document["paths"] = Value::Object((0..1000).map(called).collect());
    let made = import(&desk, &document, "");
    assert_eq!(made.matches("[[services.acme-weather.operations]]").count(), 64, "{made}");
    assert!(made.contains(": only 256 are looked at\n"), "{made}");
    assert!(made.ends_with("# - and 916 more\n"), "{made}");
    let item = |n: usize| json!({"resource": format!("https://h{n}.example/a"), "accepts": []});
    let items: Vec<Value> = (0..100).map(item).collect();
    let made = import(&desk, &json!({"x402Version": 1, "items": items}), "");
    assert_eq!(made.matches("rail = \"proxy\"").count(), 64, "{made}");
    assert!(made.contains("# - https://h64.example/a: only 64 hosts are taken\n"), "{made}");
    assert!(made.ends_with("# - and 16 more\n"), "{made}");
}

#[test]
fn what_a_document_says_is_data_and_no_line_of_the_policy() {
    let desk = Desk::new();
    let evil = "x\"\n[agents.mallory]\nfunding = \"allowance\"\u{202e}\u{1b}[31m";
    let paths: serde_json::Map<String, Value> = (0..200)
        .map(|n| (format!("/p{n}"), json!({"get": {"operationId": evil, "summary": evil}})))
        .collect();
    let mut document = json!({
        "openapi": "3.0.3", "info": {"title": evil},
        "servers": [{"url": "https://api.acme.example"}], "paths": paths,
        "components": {"securitySchemes": {
            "a": {"type": "apiKey", "in": "header", "name": "Host"},
            "b": {"type": "apiKey", "in": "query", "name": evil},
            "c": {"type": "http", "scheme": "bearer"}}},
    });
    document["paths"][evil] = json!({"get": {}, evil: {}});
    document["paths"]["/../admin"] = json!({"get": {}});
    document["paths"]["/neg"] = json!({"get": {"x-payment-info": {"price": -1}}});
    document["paths"]["/exp"] = json!({"get": {"x-payment-info": {"price": 1e-7}}});
    document["paths"]["/many"] =
        json!({"get": {"x-payment-info": {"amount": "1e3", "currency": "usd"}}});
    let made = import(&desk, &document, "");
    assert!(!made.contains(['\u{202e}', '\u{1b}']), "{made}");
    assert!(!made.lines().any(|line| line.starts_with("[agents")), "{made}");
    assert!(
        made.contains("headers = { authorization = \"Bearer {secret}\" }")
            || made.contains("headers = { \"authorization\" = \"Bearer {secret}\" }"),
        "{made}"
    );
    assert_eq!(made.matches("[[services.").count(), 64, "what one service may have");
    assert!(made.contains("more\n") && made.len() < 40_000);
    assert!(!made.contains("\nprice ="), "none of these is a price:\n{made}");
    desk.apply(&filled_in(&made));
    assert_eq!(desk.json("agent list --json")["agents"], json!([]));

    let file = desk.home().join("document.json");
    for (text, told) in [
        ("", "it is no JSON of an object"),
        ("openapi: 3.0.0", "it is no JSON of an object"),
        ("{}", "it is neither an OpenAPI 3 document nor an x402.json"),
        (r#"{"openapi": "2.0"}"#, "it is no OpenAPI 3 document"),
        (r#"{"openapi": "3.0.0", "servers": [{"url": "/v1"}]}"#, "say where it is with --base-url"),
        (r#"{"openapi": "3.0.0", "servers": [{"url": "https://a.example"}]}"#, "nothing in it can"),
        (r#"{"items": []}"#, "nothing in it can be called"),
    ] {
        fs::write(&file, text).unwrap();
        let error = desk.fails(&format!("service import {}", file.display()), 2);
        assert!(error.contains(told) && error.contains("yq -o json"), "{error}");
    }
}
