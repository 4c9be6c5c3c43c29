//! What is held where a request brings in what it does not hold.

use pettycash::rails::meter::{BoundError, Estimate, Flag, Prices, Wire, bound};
use serde_json::{Value, json};

use super::{
    bounding::{anthropic, chat, likely, responses, with},
    table,
};

const CLAUDE: Wire = Wire::AnthropicMessages;
const CHAT: Wire = Wire::OpenAiChat;
const RESPONSES: Wire = Wire::OpenAiResponses;
/// How many tokens are held for a picture.
const PICTURE: u64 = 16_384;

/// A body of that kind of API whose one message has these parts.
fn of_parts(wire: Wire, parts: &Value) -> Value {
    let messages = json!([{"role": "user", "content": parts}]);
    match wire {
        Wire::AnthropicMessages => with(&anthropic(), "messages", messages),
        Wire::OpenAiChat => with(&chat(), "messages", messages),
        Wire::OpenAiResponses => with(&responses(), "input", messages),
    }
}

fn with_tool(body: &Value, kind: &str) -> Value {
    with(body, "tools", json!([{"type": kind, "name": "t", "max_uses": 1}]))
}

/// A third of a token for each byte.
fn thirds(body: &Value) -> u64 {
    u64::try_from(body.to_string().len()).unwrap().div_ceil(3)
}

/// The most that the model of a body takes.
fn window(body: &Value) -> u64 {
    table().find(body["model"].as_str().unwrap()).unwrap().max_input_tokens().unwrap()
}

#[test]
fn what_may_bring_in_anything_holds_all_that_the_model_takes() {
    let pdf = json!({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}});
    let nested = json!([{"type": "tool_result", "tool_use_id": "t", "content": [pdf.clone()]}]);
    let fetched = json!([{"type": "web_fetch_tool_result", "content":
        {"type": "web_fetch_result", "content": pdf.clone()}}]);
    let opus = with(&anthropic(), "model", json!("claude-opus-4-8"));
    let searches = with(&chat(), "model", json!("gpt-5-search-api"));
    let item = |item: Value| with(&responses(), "input", json!([item]));
    // Another part behind a picture.
    let behind = json!({"type": "image_url", "image_url": {"url": "data:"},
        "content": [{"type": "file", "file": {"file_id": "file_1"}}]});
    let whole = [
        (CLAUDE, of_parts(CLAUDE, &json!([pdf]))),
        (CLAUDE, of_parts(CLAUDE, &nested)),
        (CLAUDE, of_parts(CLAUDE, &fetched)),
        (CLAUDE, of_parts(CLAUDE, &json!([{"type": "container_upload", "file_id": "file_1"}]))),
        (CLAUDE, of_parts(CLAUDE, &json!([{"type": "of_tomorrow"}]))),
        (CLAUDE, with(&anthropic(), "mcp_servers", json!([{}]))),
        (CLAUDE, with(&anthropic(), "container", json!({"skills": []}))),
        (CLAUDE, with(&anthropic(), "thread", json!({}))),
        (CLAUDE, with_tool(&opus, "web_search_20260318")),
        (CLAUDE, with_tool(&anthropic(), "web_fetch_20260521")),
        (CHAT, of_parts(CHAT, &json!([{"type": "file", "file": {"file_id": "file_1"}}]))),
        (CHAT, with(&chat(), "messages", json!([{"role": "assistant", "audio": {"id": "a"}}]))),
        (CHAT, searches),
        (RESPONSES, of_parts(RESPONSES, &json!([{"type": "input_file", "file_url": "https://a"}]))),
        (RESPONSES, item(json!({"type": "item_reference", "id": "msg_1"}))),
        (RESPONSES, item(json!({"id": "msg_1"}))),
        (RESPONSES, item(json!({"type": null, "id": "msg_1"}))),
        (RESPONSES, item(json!({"type": "reasoning", "id": "rs_1", "summary": []}))),
        (RESPONSES, item(json!({"type": "reasoning", "id": "rs_1", "encrypted_content": null}))),
        (RESPONSES, item(json!({"type": "compaction", "id": "cmp_1"}))),
        (RESPONSES, item(json!({"type": "web_search_call", "id": "ws_1", "action": {}}))),
        (RESPONSES, item(json!({"type": "file_search_call", "id": "fs_1", "results": null}))),
        (RESPONSES, item(json!({"type": "code_interpreter_call", "id": "ci_1", "code": "1"}))),
        (CHAT, of_parts(CHAT, &json!([behind]))),
        (RESPONSES, with(&responses(), "previous_response_id", json!("resp_0"))),
        (RESPONSES, with(&responses(), "conversation", json!({"id": "conv_0"}))),
        (RESPONSES, with(&responses(), "prompt", json!({"id": "pmpt_0"}))),
        (RESPONSES, with_tool(&responses(), "web_search")),
        (RESPONSES, with_tool(&responses(), "mcp")),
    ];
    for (wire, body) in whole {
        let bound = likely(wire, &body);
        assert_eq!(bound.input_tokens, window(&body), "{body}");
        assert!(bound.flags.contains(&Flag::InputNotBounded), "{body}");
    }
    // At the prices of so long an input: $0.50 for a million tokens of Haiku 5.5, not $0.10.
    let long = with(&anthropic(), "model", json!("claude-haiku-5-5"));
    let held = likely(CLAUDE, &with_tool(&long, "web_fetch_20260521")).amount.nanos();
    assert_eq!(held, 1_000_000 * 500 + 1_000 * 2_500);
    // A request that is longer than that by itself is held as it is.
    let long = with_tool(&of_parts(CLAUDE, &json!("x".repeat(900_000))), "web_fetch_20260521");
    assert_eq!(likely(CLAUDE, &long).input_tokens, thirds(&long));
}

#[test]
fn what_a_request_holds_itself_is_held_by_its_length() {
    let text = json!({"type": "document", "source": {"type": "text", "data": "Some text."}});
    let parts = json!({"type": "document", "source": {"type": "content",
        "content": [{"type": "text", "text": "Some."}]}});
    let cited = json!({"type": "output_text", "text": "See there.", "annotations":
        [{"type": "url_citation", "url": "https://a.example"}]});
    let items = json!([
        {"role": "user", "content": "Hello."},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
            "summary": [{"type": "summary_text", "text": "So."}]},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"},
        {"type": "computer_call", "id": "cu_1", "actions": [{"type": "click", "x": 1, "y": 2}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [cited]},
    ]);
    let results = json!([{"type": "server_tool_use", "name": "web_search",
        "input": {"type": "of_tomorrow"}}, {"type": "web_search_tool_result", "content":
        [{"type": "web_search_result", "url": "https://a", "encrypted_content": "Eq"}]}]);
    let held = [
        (CLAUDE, of_parts(CLAUDE, &json!([text, parts]))),
        (CLAUDE, of_parts(CLAUDE, &results)),
        (CLAUDE, of_parts(CLAUDE, &json!([{"type": "compaction", "content": "So far."}]))),
        (CLAUDE, with_tool(&anthropic(), "bash_20250124")),
        (CLAUDE, with_tool(&anthropic(), "tool_search_tool_regex_20251119")),
        (CLAUDE, with(&anthropic(), "a_new_field", json!(1))),
        (CHAT, of_parts(CHAT, &json!([{"type": "input_audio", "input_audio": {"data": "UklG"}}]))),
        (RESPONSES, with(&responses(), "input", items)),
        (RESPONSES, with_tool(&responses(), "function")),
        (RESPONSES, with(&responses(), "previous_response_id", Value::Null)),
    ];
    for (wire, body) in held {
        assert_eq!(likely(wire, &body).input_tokens, thirds(&body), "{body}");
    }
}

#[test]
fn a_picture_holds_what_pictures_are_likely_to_be_whatever_its_length() {
    let data = "iVBORw0KGgo".repeat(100_000);
    let there = |data: &str| json!({"type": "image", "source": {"type": "base64", "data": data}});
    let address = format!("data:image/png;base64,{data}");
    let output = json!([{"type": "computer_call_output", "call_id": "c", "output":
        {"type": "computer_screenshot", "image_url": address}}]);
    let at = json!({"type": "image", "source": {"type": "url", "url": "https://a.example/x"}});
    let shown = json!([{"type": "tool_result", "tool_use_id": "t", "content": [there(&data)]}]);
    let drawn = json!([{"type": "image_generation_call", "id": "ig_1", "result": data}]);
    let pictures = [
        (CLAUDE, of_parts(CLAUDE, &json!([there(&data)])), 1, data.len()),
        (CLAUDE, of_parts(CLAUDE, &shown), 1, data.len()),
        (CLAUDE, of_parts(CLAUDE, &json!([there(&data), there(""), at])), 3, data.len()),
        (
            CHAT,
            of_parts(CHAT, &json!([{"type": "image_url", "image_url": {"url": address}}])),
            1,
            address.len(),
        ),
        (
            RESPONSES,
            of_parts(RESPONSES, &json!([{"type": "input_image", "image_url": address}])),
            1,
            address.len(),
        ),
        (
            RESPONSES,
            of_parts(RESPONSES, &json!([{"type": "input_image", "file_id": "file_1"}])),
            1,
            0,
        ),
        (RESPONSES, with(&responses(), "input", output), 1, address.len()),
        (RESPONSES, with(&responses(), "input", drawn), 1, data.len()),
    ];
    for (wire, body, many, bytes) in pictures {
        let text = u64::try_from(body.to_string().len() - bytes).unwrap().div_ceil(3);
        let bound = likely(wire, &body);
        let told: String = body.to_string().chars().take(200).collect();
        assert_eq!(bound.input_tokens, text + many * PICTURE, "{told}");
        assert!(bound.flags.contains(&Flag::InputNotBounded), "{told}");
    }
    // Where its vendor counts more.
    for model in ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18"] {
        let part = json!([{"type": "image_url", "image_url": {"url": "https://a.example/x"}}]);
        let body = with(&of_parts(CHAT, &part), "model", json!(model));
        let text = u64::try_from(body.to_string().len() - "https://a.example/x".len()).unwrap();
        assert_eq!(likely(CHAT, &body).input_tokens, text.div_ceil(3) + 48_169, "{model}");
    }
    // One that is somewhere else, beside a few bytes, reaches no price of long inputs.
    let some = json!([{"type": "image", "source": {"type": "url", "url": "https://a.example/x"}}]);
    let body = with(&of_parts(CLAUDE, &some), "model", json!("claude-haiku-5-5"));
    let bound = likely(CLAUDE, &body);
    assert_eq!(bound.amount.nanos(), i64::try_from(bound.input_tokens).unwrap() * 100 + 500_000);
    // Seven of them may.
    let many = json!(vec![json!({"type": "image", "source": {"type": "file"}}); 7]);
    let body = with(&of_parts(CLAUDE, &many), "model", json!("claude-haiku-5-5"));
    let bound = likely(CLAUDE, &body);
    assert_eq!(bound.amount.nanos(), i64::try_from(bound.input_tokens).unwrap() * 500 + 2_500_000);
}

#[test]
fn where_no_table_says_what_a_model_takes_nothing_may_be_brought_in() {
    let table = |more: &str| {
        let rates = r#""rates": {"standard": {"input": "0.000001", "output": "0.000005"}}"#;
        Prices::parse(&format!(r#"{{"models": {{"ours": {{{more}{rates}}}}}}}"#)).unwrap()
    };
    let body = json!({"model": "ours", "max_output_tokens": 10, "input": "Hi.",
        "previous_response_id": "resp_0"});
    let of = |prices: &Prices, body: &Value| {
        bound(RESPONSES, body.to_string().as_bytes(), prices, Estimate::Likely, None)
    };
    let error = of(&table(""), &body).unwrap_err();
    assert_eq!(error, BoundError::NoWindow { what: "previous_response_id".to_owned() });
    assert!(error.to_string().contains("add `max_input_tokens` to the model"), "{error}");
    let held = of(&table(r#""max_input_tokens": 5000, "#), &body).unwrap();
    assert_eq!((held.input_tokens, held.amount.nanos()), (5_000, 5_000_000 + 50_000));
    let alone = with(&body, "previous_response_id", Value::Null);
    of(&table(""), &alone).unwrap();
    for wrong in ["-1", "0", "1.5", "\"1\""] {
        let wrong = format!(r#"{{"models": {{"m": {{"max_input_tokens": {wrong}}}}}}}"#);
        let right = "m: max_input_tokens: it has to be a whole number of tokens, at least one";
        assert_eq!(Prices::parse(&wrong).unwrap_err().to_string(), right);
    }
}
