//! What is read out of streams, however they are cut.

use std::collections::BTreeSet;

use pettycash::rails::meter::{Flag, MAX_EVENT, Meter, Unit, Usage, Wire, read};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::used;

/// The stream of these events, in the manner of Anthropic and of OpenAI's Responses.
fn named(events: &[Value]) -> String {
    let told = |event: &Value| {
        // One of the data in two lines, which is the same as a space.
        let data = event.to_string().replace("},\"usage\"", "},\ndata: \"usage\"");
        format!("event: {}\ndata: {data}\n\n", event["type"].as_str().unwrap())
    };
    events.iter().map(told).collect::<Vec<_>>().concat()
}

/// The stream of these chunks, in the manner of OpenAI's Chat.
fn chunks(events: &[Value]) -> String {
    let told: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    told.concat() + "data: [DONE]\n\n"
}

fn anthropic() -> String {
    named(&[
        json!({"type": "message_start", "message": {"id": "msg_01", "type": "message",
            "role": "assistant", "model": "claude-opus-4-8", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 25, "cache_creation_input_tokens": 12,
            "cache_read_input_tokens": 300, "cache_creation": {"ephemeral_5m_input_tokens": 4,
            "ephemeral_1h_input_tokens": 8}, "output_tokens": 1, "service_tier": "standard",
            "inference_geo": "us"}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text",
            "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta",
            "text": "the \"usage\" of\r\n\n💶 data: {}"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": null}, "usage":
            {"output_tokens": 9}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn",
            "stop_sequence": null}, "usage": {"input_tokens": 40, "output_tokens": 15,
            "cache_creation_input_tokens": null, "server_tool_use": {"web_search_requests": 2}}}),
        json!({"type": "message_stop"}),
    ])
}

fn anthropic_usage() -> Usage {
    let counts = [
        (Unit::Input, 40),
        (Unit::CacheRead, 300),
        (Unit::CacheWrite, 4),
        (Unit::CacheWriteLong, 8),
        (Unit::Output, 15),
        (Unit::WebSearch, 2),
    ];
    let model = Some("claude-opus-4-8".to_owned());
    Usage { model, region: Some("us".to_owned()), ..used(&counts) }
}

fn chat() -> String {
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5.4",
            "service_tier": "priority", "choices": choices, "usage": usage})
    };
    let said = |delta: Value, end: Value| {
        json!([{"index": 0, "delta": delta,
        "finish_reason": end}])
    };
    chunks(&[
        chunk(said(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null),
        chunk(said(json!({"content": "He said: \"usage\"."}), Value::Null), Value::Null),
        chunk(said(json!({}), json!("stop")), Value::Null),
        chunk(
            json!([]),
            json!({"prompt_tokens": 19, "completion_tokens": 10,
            "total_tokens": 29, "prompt_tokens_details": {"cached_tokens": 4}}),
        ),
    ])
}

fn responses() -> String {
    let response = |status: &str, usage: Value| {
        json!({"id": "resp_1", "status": status,
        "model": "gpt-6-luna", "output": [], "service_tier": "default", "usage": usage})
    };
    named(&[
        json!({"type": "response.created", "response": response("in_progress", Value::Null)}),
        json!({"type": "response.output_text.delta", "delta": "usage"}),
        json!({"type": "response.completed", "response": response("completed",
            json!({"input_tokens": 30, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 11, "total_tokens": 41}))}),
    ])
}

fn streams() -> [(Wire, String, Usage); 3] {
    let model = |name: &str| Some(name.to_owned());
    let chat_counts = [(Unit::Input, 15), (Unit::CacheRead, 4), (Unit::Output, 10)];
    let (tier, chat_model) = (model("priority"), model("gpt-5.4"));
    let counts = [(Unit::Input, 30), (Unit::Output, 11)];
    [
        (Wire::AnthropicMessages, anthropic(), anthropic_usage()),
        (Wire::OpenAiChat, chat(), Usage { model: chat_model, tier, ..used(&chat_counts) }),
        (Wire::OpenAiResponses, responses(), Usage { model: model("gpt-6-luna"), ..used(&counts) }),
    ]
}

fn fed<'a>(wire: Wire, parts: impl IntoIterator<Item = &'a [u8]>) -> Usage {
    let mut meter = Meter::new(wire, false);
    parts.into_iter().for_each(|part| meter.feed(part));
    meter.finish()
}

#[test]
fn however_a_stream_is_cut_the_usage_is_the_same() {
    for (wire, stream, usage) in streams() {
        for ending in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', ending);
            let bytes = stream.as_bytes();
            assert_eq!(fed(wire, [bytes]), usage, "{wire:?} {ending:?}");
            for at in 0..=bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(fed(wire, [one, two]), usage, "{wire:?} {ending:?} cut at {at}");
            }
            for size in 1..=40 {
                assert_eq!(fed(wire, bytes.chunks(size)), usage, "{wire:?} {ending:?} by {size}");
            }
        }
    }
}

#[test]
fn a_stream_is_complete_once_the_last_word_on_its_usage_came() {
    for (wire, stream, usage) in streams() {
        let last = match wire {
            Wire::AnthropicMessages => "\"end_turn\"",
            Wire::OpenAiChat => "\"choices\":[]",
            Wire::OpenAiResponses => "\"response.completed\"}",
        };
        let last = stream.find(last).unwrap_or_else(|| stream.rfind("event:").unwrap());
        let end = last + stream[last..].find("\n\n").unwrap();
        for at in 0..=stream.len() {
            let cut = fed(wire, [&stream.as_bytes()[..at]]);
            assert_eq!(cut.complete, at >= end, "{wire:?} {at} of {end}");
            let all = |usage: &Usage| usage.counts.values().sum::<u64>();
            assert!(all(&cut) <= all(&usage), "{wire:?} {at}");
        }
    }
}

#[test]
fn a_cut_stream_of_anthropics_keeps_what_was_counted_by_then() {
    let stream = anthropic();
    let at = stream.find("\"end_turn\"").unwrap();
    let usage = fed(Wire::AnthropicMessages, [&stream.as_bytes()[..at]]);
    assert!(!usage.complete);
    assert_eq!(usage.counts.get(&Unit::Input), Some(&25));
    assert_eq!(usage.counts.get(&Unit::Output), Some(&9));
}

#[test]
fn a_stream_of_anthropics_that_only_began_to_count_is_not_complete() {
    let whole = anthropic();
    let silent = whole
        .replace("\"output_tokens\":9", "\"x\":9")
        .replace("\"output_tokens\":15", "\"output_tokens\":null");
    assert!(!fed(Wire::AnthropicMessages, [silent.as_bytes()]).complete);
    let stopped = whole.replace("\"end_turn\"", "null");
    assert!(fed(Wire::AnthropicMessages, [stopped.as_bytes()]).complete);
    let at = stopped.rfind("event: message_stop").unwrap();
    assert!(!fed(Wire::AnthropicMessages, [&stopped.as_bytes()[..at]]).complete);
}

#[test]
fn counts_that_fall_are_odd_and_the_larger_stands() {
    let stream = anthropic().replace("\"output_tokens\":15", "\"output_tokens\":3");
    let usage = fed(Wire::AnthropicMessages, [stream.as_bytes()]);
    assert_eq!(usage.counts.get(&Unit::Output), Some(&9));
    assert_eq!(usage.flags, BTreeSet::from([Flag::OddCount]));
}

#[test]
fn counts_told_on_the_way_do_not_end_a_completion() {
    let chunk = |choices: Value, output: u64| {
        json!({"choices": choices, "usage":
        {"prompt_tokens": 5, "completion_tokens": output}})
    };
    let on = chunk(json!([{"delta": {"content": "a"}, "finish_reason": null}]), 1);
    let end = chunk(json!([{"delta": {}, "finish_reason": "length"}]), 2);
    let cut = fed(Wire::OpenAiChat, [chunks(std::slice::from_ref(&on)).as_bytes()]);
    assert!(!cut.complete);
    let whole = fed(Wire::OpenAiChat, [chunks(&[on, end]).as_bytes()]);
    assert!(whole.complete);
    assert_eq!(whole.counts.get(&Unit::Output), Some(&2));
}

#[test]
fn a_line_beyond_the_bound_is_passed_over_and_what_follows_is_read() {
    let long = format!("data: {}\n\n", "\"usage\"".repeat(MAX_EVENT / 7 + 1));
    let lines = format!("data: {}\n", " ".repeat(MAX_EVENT / 8)).repeat(9) + "\n";
    for odd in [long, lines] {
        for (wire, stream, usage) in streams() {
            for size in [1_000, 65_536, usize::MAX / 2] {
                let whole = odd.clone() + &stream;
                let read = fed(wire, whole.as_bytes().chunks(size.min(whole.len())));
                let flags = BTreeSet::from([Flag::EventTooLong]);
                assert_eq!(read, Usage { flags, ..usage.clone() }, "{wire:?} {size}");
            }
        }
    }
    // The last word itself: what it says is not known, so nothing is complete.
    let padding = "x".repeat(MAX_EVENT);
    let stream = responses().replace("\"output\":[]", &format!("\"output\":[\"{padding}\"]"));
    let usage = fed(Wire::OpenAiResponses, stream.as_bytes().chunks(65_536));
    assert!(!usage.complete && usage.counts.is_empty());
    assert_eq!(usage.flags, BTreeSet::from([Flag::EventTooLong]));
    // Just below the bound it is read.
    let padding = "x".repeat(MAX_EVENT / 2);
    let stream = responses().replace("\"output\":[]", &format!("\"output\":[\"{padding}\"]"));
    assert!(fed(Wire::OpenAiResponses, stream.as_bytes().chunks(65_536)).complete);
}

#[test]
fn data_in_several_lines_and_other_fields_of_an_event_are_understood() {
    let stream = ": a comment\n\nid: 7\nretry: 10\nevent: message_delta\ndata: {\"type\":\n\
                  data:\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\n\
                  data: \"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n\n";
    let usage = fed(Wire::AnthropicMessages, [stream.as_bytes()]);
    assert_eq!(usage, used(&[(Unit::Input, 3), (Unit::Output, 4)]));
}

#[test]
fn a_failed_response_is_charged_for_what_it_used() {
    for kind in ["response.failed", "response.incomplete"] {
        let stream = responses().replace("response.completed", kind);
        assert!(fed(Wire::OpenAiResponses, [stream.as_bytes()]).complete, "{kind}");
    }
}

#[test]
fn the_same_usage_is_read_from_a_stream_and_from_a_whole_answer() {
    let completed: Value = responses()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .find(|event: &Value| event["type"] == "response.completed")
        .unwrap();
    let whole = read(Wire::OpenAiResponses, false, completed["response"].to_string().as_bytes());
    assert_eq!(whole, fed(Wire::OpenAiResponses, [responses().as_bytes()]));
}

proptest! {
    #[test]
    fn no_stream_of_bytes_breaks_the_meter_or_looks_complete(
        parts in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::sample::select(vec!["data: ", "\n", "\r", "\r\n", "{\"usage\":", "{}", "}",
                "\"type\":\"message_delta\"", ",", "null", "{\"input_tokens\":-3}", "[",
                "\"response\":"]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..40),
    ) {
        for wire in [Wire::AnthropicMessages, Wire::OpenAiChat, Wire::OpenAiResponses] {
            let usage = fed(wire, parts.iter().map(Vec::as_slice));
            prop_assert_eq!(&usage, &fed(wire, [parts.concat().as_slice()]));
            prop_assert!(!usage.complete);
        }
    }
}
