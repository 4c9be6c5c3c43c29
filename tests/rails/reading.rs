//! What is read out of whole answers.

use std::collections::BTreeSet;

use pettycash::rails::meter::{Flag, Unit, Usage, Wire, charge, read};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{table, used};

fn message(usage: &Value) -> Value {
    json!({"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
        "stop_sequence": null, "usage": usage})
}

fn completion(usage: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000,
        "model": "gpt-5.4-2026-03-05", "choices": [{"index": 0, "message": {"role": "assistant",
        "content": "Hello.", "refusal": null, "annotations": []}, "logprobs": null,
        "finish_reason": "stop"}], "usage": usage, "service_tier": "default"})
}

fn response(usage: &Value, output: &Value) -> Value {
    json!({"id": "resp_1", "object": "response", "status": "completed", "error": null,
        "model": "gpt-6-luna", "output": output, "service_tier": "flex", "usage": usage})
}

fn of(wire: Wire, answer: &Value) -> Usage {
    read(wire, false, answer.to_string().as_bytes())
}

#[test]
fn an_answer_of_anthropics_is_read_field_by_field() {
    let usage = of(
        Wire::AnthropicMessages,
        &message(&json!({"input_tokens": 1_234, "cache_creation_input_tokens": 2_300,
            "cache_read_input_tokens": 10_001, "cache_creation": {"ephemeral_5m_input_tokens":
            2_000, "ephemeral_1h_input_tokens": 300}, "output_tokens": 57,
            "output_tokens_details": {"thinking_tokens": 40}, "service_tier": "standard",
            "speed": "standard", "inference_geo": "not_available",
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1}})),
    );
    let counts = [
        (Unit::Input, 1_234),
        (Unit::CacheRead, 10_001),
        (Unit::CacheWrite, 2_000),
        (Unit::CacheWriteLong, 300),
        (Unit::Output, 57),
        (Unit::WebSearch, 3),
    ];
    let model = Some("claude-haiku-4-5".to_owned());
    assert_eq!(usage, Usage { model, ..used(&counts) });
    assert_eq!(usage.input_size(), 1_234 + 2_300 + 10_001);
}

#[test]
fn of_a_completion_what_was_cached_or_spoken_is_taken_out_of_the_whole() {
    let usage = of(
        Wire::OpenAiChat,
        &completion(&json!({"prompt_tokens": 10_000, "completion_tokens": 500,
            "total_tokens": 10_500, "prompt_tokens_details": {"cached_tokens": 6_000,
            "cache_write_tokens": 1_000, "audio_tokens": 200}, "completion_tokens_details":
            {"reasoning_tokens": 300, "audio_tokens": 100, "accepted_prediction_tokens": 0}})),
    );
    let counts = [
        (Unit::Input, 2_800),
        (Unit::InputAudio, 200),
        (Unit::CacheRead, 6_000),
        (Unit::CacheWrite, 1_000),
        (Unit::Output, 400),
        (Unit::OutputAudio, 100),
    ];
    let model = Some("gpt-5.4-2026-03-05".to_owned());
    assert_eq!(usage, Usage { model, ..used(&counts) });
    // The long context begins with what was cached: 273,000 in all, of which 1,000 are fresh.
    let long = json!({"prompt_tokens": 273_000, "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 272_000}});
    let charged =
        charge(table().find("gpt-5.4").unwrap(), &of(Wire::OpenAiChat, &completion(&long)));
    assert_eq!(charged.amount.nanos(), 1_000 * 5_000 + 272_000 * 500 + 22_500);
}

#[test]
fn of_a_response_the_searches_and_the_tier_are_read() {
    let output = json!([
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search"}},
        {"type": "web_search_call", "status": "completed", "action": {"type": "open_page"}},
        {"type": "web_search_call", "status": "completed"},
        {"type": "message", "role": "assistant", "content": []},
    ]);
    let tokens = json!({"input_tokens": 900, "input_tokens_details": {"cached_tokens": 100,
        "cache_write_tokens": 300, "cache_write_tokens_details": {"ttl_12h_tokens": 250,
        "ttl_30m_tokens": 50}}, "output_tokens": 20, "output_tokens_details":
        {"reasoning_tokens": 10}, "total_tokens": 920});
    let usage = of(Wire::OpenAiResponses, &response(&tokens, &output));
    let counts = [
        (Unit::Input, 500),
        (Unit::CacheRead, 100),
        (Unit::CacheWrite, 50),
        (Unit::CacheWriteLong, 250),
        (Unit::Output, 20),
        (Unit::WebSearch, 2),
    ];
    let (model, tier) = (Some("gpt-6-luna".to_owned()), Some("flex".to_owned()));
    assert_eq!(usage, Usage { model, tier, ..used(&counts) });
    for priced in ["file_search_call", "code_interpreter_call", "shell_call", "of_tomorrow_call"] {
        let usage = of(Wire::OpenAiResponses, &response(&tokens, &json!([{"type": priced}])));
        assert_eq!(usage.flags, BTreeSet::from([Flag::UnpricedTool]), "{priced}");
    }
    for free in ["function_call", "mcp_call", "mcp_list_tools", "tool_search_call", "of_tomorrow"] {
        let usage = of(Wire::OpenAiResponses, &response(&tokens, &json!([{"type": free}])));
        assert!(usage.flags.is_empty(), "{free}");
    }
}

#[test]
fn what_is_written_to_a_cache_is_divided_as_far_as_anybody_says() {
    let split = |total: Value, split: Value, long: bool| {
        let body = message(&json!({"input_tokens": 1, "output_tokens": 1,
            "cache_creation_input_tokens": total, "cache_creation": split}));
        let usage = read(Wire::AnthropicMessages, long, body.to_string().as_bytes());
        let of = |unit| usage.counts.get(&unit).copied().unwrap_or_default();
        (of(Unit::CacheWrite), of(Unit::CacheWriteLong))
    };
    let five = json!({"ephemeral_5m_input_tokens": 5});
    let hour = json!({"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7});
    assert_eq!(split(json!(9), Value::Null, false), (9, 0));
    assert_eq!(split(json!(9), Value::Null, true), (0, 9));
    assert_eq!(split(json!(9), five.clone(), false), (9, 0));
    assert_eq!(split(json!(20), hour.clone(), false), (5, 15));
    assert_eq!(split(json!(3), hour.clone(), false), (5, 7));
    assert_eq!(split(Value::Null, hour, false), (5, 7));
    assert_eq!(split(json!(9), five, true), (5, 4));
}

#[test]
fn tiers_speeds_and_regions_are_read_and_what_is_plain_is_left_out() {
    let served = |more: Value| {
        let mut usage = json!({"input_tokens": 1, "output_tokens": 1});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let usage = of(Wire::AnthropicMessages, &message(&usage));
        assert!(usage.complete && usage.flags.is_empty());
        (usage.tier, usage.region)
    };
    let told = |tier: &str| Some(tier.to_owned());
    assert_eq!(served(json!({})), (None, None));
    assert_eq!(served(json!({"service_tier": null, "speed": null})), (None, None));
    assert_eq!(served(json!({"inference_geo": "global"})), (None, None));
    assert_eq!(served(json!({"speed": "fast"})), (told("fast"), None));
    assert_eq!(served(json!({"speed": "fast", "inference_geo": "us"})), (told("fast"), told("us")));
    assert_eq!(served(json!({"service_tier": "priority"})), (told("priority"), None));
    let both = json!({"service_tier": "priority", "speed": "fast"});
    assert_eq!(served(both), (told("priority fast"), None));
    let odd = json!({"service_tier": 7, "inference_geo": "x".repeat(9_000)});
    assert_eq!(served(odd), (told("?"), told("?")));
}

#[test]
fn what_anthropic_tells_aside_of_the_totals_is_added_to_them() {
    let round = |kind: &str| {
        json!({"type": kind, "input_tokens": 100, "output_tokens": 10,
        "cache_read_input_tokens": 1_000})
    };
    let of = |rounds: Value| {
        let usage = json!({"input_tokens": 7, "output_tokens": 3, "iterations": rounds});
        of(Wire::AnthropicMessages, &message(&usage))
    };
    let plain = of(json!([round("message"), round("message")]));
    assert_eq!(plain.counts, used(&[(Unit::Input, 7), (Unit::Output, 3)]).counts);
    let summed = of(json!([round("compaction"), round("message"), round("compaction")]));
    let counts = [(Unit::Input, 207), (Unit::CacheRead, 2_000), (Unit::Output, 23)];
    assert_eq!(summed.counts, used(&counts).counts);
    assert!(plain.flags.is_empty() && summed.flags.is_empty());
    let advised = of(json!([round("advisor_message")]));
    assert_eq!(advised.flags, BTreeSet::from([Flag::OtherModel]));
    assert_eq!(advised.counts.get(&Unit::Input), Some(&107));
    assert_eq!(of(json!([round("fallback_message")])).flags, advised.flags);
}

#[test]
fn a_count_that_is_none_makes_no_answer_complete() {
    let odd = ["-1", "1.5", "1e3", "\"7\"", "true", "[]", "{}", "1000000000001", "99e99"];
    for count in odd {
        for field in ["input_tokens", "output_tokens", "cache_read_input_tokens"] {
            let fields = ["input_tokens", "output_tokens", "cache_read_input_tokens"];
            let told = fields.map(|f| format!("\"{f}\":{}", if f == field { count } else { "5" }));
            let body = format!("{{\"usage\": {{{}}}}}", told.join(","));
            let usage = read(Wire::AnthropicMessages, false, body.as_bytes());
            assert!(!usage.complete, "{body}");
            assert!(usage.flags.contains(&Flag::OddCount), "{body}");
            assert_eq!(usage.counts.values().sum::<u64>(), 10, "{body}");
        }
    }
    let most = message(&json!({"input_tokens": 1_000_000_000_000_u64, "output_tokens": 0}));
    assert!(of(Wire::AnthropicMessages, &most).complete);
}

#[test]
fn an_answer_without_a_usage_is_not_complete() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "…"}});
    for wire in [Wire::AnthropicMessages, Wire::OpenAiChat, Wire::OpenAiResponses] {
        for body in [
            error.clone(),
            json!({"usage": null}),
            json!({"usage": {}}),
            json!([1]),
            json!({"usage": [1]}),
            json!({"choices": 1, "usage": {"prompt_tokens": 4}}),
        ] {
            let usage = of(wire, &body);
            assert!(!usage.complete, "{wire:?} {body}");
            assert!(usage.counts.values().sum::<u64>() <= 4, "{wire:?} {body}");
        }
        let usage = read(wire, false, b"<html>");
        assert_eq!((usage.complete, usage.flags), (false, BTreeSet::from([Flag::Unreadable])));
    }
}

#[test]
fn parts_that_are_more_than_the_whole_leave_nothing_below_zero() {
    let usage = of(
        Wire::OpenAiChat,
        &completion(&json!({"prompt_tokens": 10, "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 15}})),
    );
    assert_eq!(usage.counts, used(&[(Unit::CacheRead, 15), (Unit::Output, 1)]).counts);
    assert_eq!(usage.flags, BTreeSet::from([Flag::OddParts]));
}

#[test]
fn a_completion_that_cites_the_web_searched_it() {
    let mut answer = completion(&json!({"prompt_tokens": 10, "completion_tokens": 1}));
    answer["choices"][0]["message"]["annotations"] = json!([{"type": "url_citation"}]);
    let usage = of(Wire::OpenAiChat, &answer);
    assert_eq!(usage.counts.get(&Unit::WebSearch), Some(&1));
    assert!(usage.complete);
}

/// JSON of any shape, with the names that matter in it.
fn shapes() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_?]{0,9}".prop_map(Value::from),
        prop::sample::select(vec![
            "message_start",
            "message_delta",
            "compaction",
            "response.completed",
            "web_search_call"
        ])
        .prop_map(Value::from),
    ];
    let names = vec![
        "usage",
        "type",
        "message",
        "response",
        "delta",
        "choices",
        "output",
        "input_tokens",
        "output_tokens",
        "prompt_tokens",
        "completion_tokens",
        "iterations",
        "cache_creation",
        "cache_creation_input_tokens",
        "ephemeral_1h_input_tokens",
        "prompt_tokens_details",
        "input_tokens_details",
        "cached_tokens",
        "cache_write_tokens",
        "server_tool_use",
        "service_tier",
        "speed",
        "inference_geo",
        "annotations",
        "model",
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        let names = prop::sample::select(names.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..8)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_answer_is_it_is_read_and_charged(shape in shapes(), long in any::<bool>()) {
        for wire in [Wire::AnthropicMessages, Wire::OpenAiChat, Wire::OpenAiResponses] {
            let usage = read(wire, long, shape.to_string().as_bytes());
            let charge = charge(table().find("gpt-6-astra").unwrap(), &usage);
            prop_assert!(charge.flags.is_superset(&usage.flags));
        }
    }

    #[test]
    fn any_bytes_are_an_answer_that_is_not_complete(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        for wire in [Wire::AnthropicMessages, Wire::OpenAiChat, Wire::OpenAiResponses] {
            prop_assert!(!read(wire, false, &bytes).complete);
        }
    }
}
