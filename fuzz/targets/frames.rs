//! Frames: whatever line comes in, it is passed on as what it is, or answered, or it is one that
//! nobody waits for an answer to. Never silence, never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pettycash::mcp::framing::{InFlight, MAX_LINE, Passed, Verdict, check};
use serde_json::{Value, json};

/// No request in flight, some, and as many as there may be.
static SESSIONS: LazyLock<[InFlight; 3]> = LazyLock::new(|| {
    let with = |ids: Vec<Value>| {
        let mut session = InFlight::default();
        ids.into_iter().for_each(|id| session.begin(serde_json::from_value(id).unwrap()));
        session
    };
    let full = (0..1024).map(|n| json!(n)).collect();
    [InFlight::default(), with(vec![json!(7), json!("seven"), json!("")]), with(full)]
});

/// The line that the input stands for: what limits are there for is too long to be found by
/// chance, so some bytes stand for much.
fn line(input: &[u8], grows: bool) -> Vec<u8> {
    let mut line = Vec::new();
    for byte in input.iter().take_while(|byte| **byte != b'\n') {
        match byte {
            _ if line.len() > MAX_LINE => break,
            1 if grows => line.extend([b'x'; 65_500]),
            2 if grows => line.extend(b"1,".repeat(998)),
            3 if grows => line.extend([b'['; 29]),
            4 if grows => line.extend([b']'; 29]),
            _ => line.push(*byte),
        }
    }
    line
}

/// How deep a value goes, its longest text and its longest array, and how many members it has.
fn measure(value: &Value) -> (usize, usize, usize, usize) {
    let mut most = (1, 0, 0, 0);
    let mut add = |inner: &Value| {
        let (depth, text, items, members) = measure(inner);
        most.0 = most.0.max(depth + 1);
        most.1 = most.1.max(text);
        most.2 = most.2.max(items);
        most.3 += members;
    };
    match value {
        Value::String(text) => return (0, text.len(), 0, 0),
        Value::Array(items) => {
            items.iter().for_each(&mut add);
            most.2 = most.2.max(items.len());
        }
        Value::Object(members) => {
            members.values().for_each(&mut add);
            most.1 = most.1.max(members.keys().map(String::len).max().unwrap_or(0));
            most.3 += members.len();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => return (0, 0, 0, 0),
    }
    most
}

/// How many members the objects of a line have, counted by their colons.
fn colons(line: &[u8]) -> usize {
    let (mut colons, mut in_text, mut escaped) = (0, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b':' if !in_text => colons += 1,
            _ => {}
        }
    }
    colons
}

/// Whether the line has this id anywhere, as a member of that name.
fn names(line: &[u8], id: &Value) -> bool {
    let key = b"\"id\"";
    (0..line.len().saturating_sub(key.len())).any(|at| {
        let Some(rest) = line[at..].strip_prefix(key) else { return false };
        let Some(rest) = rest.trim_ascii_start().strip_prefix(b":") else { return false };
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        matches!(values.next(), Some(Ok(found)) if found == *id)
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((first, input)) = input.split_first() else { return };
    let session = &SESSIONS[usize::from(first % 3)];
    let line = line(input, *first >= 0xf0);
    let parsed = serde_json::from_slice::<Value>(&line).ok();
    match check(&line, session) {
        Verdict::Pass(passed) => {
            let value = parsed.expect("what passes is JSON");
            let (depth, text, items, members) = measure(&value);
            assert!(line.len() <= MAX_LINE && depth <= 32 && text <= 65_536 && items <= 1_000);
            assert_eq!(members, colons(&line), "a key came twice");
            if let Passed::Request(id) = passed {
                assert!(!session.holds(&id) && !session.is_full());
                assert_eq!(id.into_json_value(), value["id"]);
                assert_eq!(value["jsonrpc"], "2.0");
                assert!(value["method"].is_string());
            } else {
                assert!(value.get("id").is_none() || value.get("method").is_none());
            }
        }
        Verdict::Answer(answer) => {
            assert_eq!(answer["jsonrpc"], "2.0");
            let error = &answer["error"];
            let code = error["code"].as_i64().expect("a code");
            assert!([-32700, -32600, -32602].contains(&code));
            let message = error["message"].as_str().expect("a message");
            assert!(message.is_ascii() && message.ends_with('.') && message.len() < 200);
            let id = answer.get("id").expect("an id, if only null");
            if !id.is_null() {
                assert!(!session.holds(&serde_json::from_value(id.clone()).expect("an id")));
                let known = parsed.is_some_and(|value| value.get("id") == Some(id));
                assert!(known || names(&line, id), "{id} is not the id of the line");
            }
        }
        Verdict::Drop => {
            let value = parsed.expect("what is no JSON is answered");
            let has = |key| value.get(key).is_some();
            let answers = !has("method") && (has("result") || has("error"));
            assert!(answers || (has("method") && !has("id")), "somebody waits for an answer");
        }
    }
});
