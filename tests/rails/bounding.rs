//! What is held for a request, and that no call within it costs more.

use pettycash::rails::meter::{
    Bound, BoundError, Estimate, Flag, Prices, Unit, Usage, Wire, bound, charge,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{table, used};

const WIRES: [Wire; 3] = [Wire::AnthropicMessages, Wire::OpenAiChat, Wire::OpenAiResponses];

fn of(wire: Wire, body: &Value, estimate: Estimate) -> Result<Bound, BoundError> {
    bound(wire, body.to_string().as_bytes(), table(), estimate, None)
}

pub(super) fn likely(wire: Wire, body: &Value) -> Bound {
    of(wire, body, Estimate::Likely).unwrap()
}

/// `body` with that field changed.
pub(super) fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

pub(super) fn anthropic() -> Value {
    json!({"model": "claude-haiku-4-5", "max_tokens": 1_000, "service_tier": "standard_only",
        "inference_geo": "global", "messages": [{"role": "user", "content": "Hello there."}]})
}

pub(super) fn chat() -> Value {
    json!({"model": "gpt-5.4", "max_completion_tokens": 100, "service_tier": "default",
        "messages": [{"role": "user", "content": "Hello there."}]})
}

pub(super) fn responses() -> Value {
    json!({"model": "gpt-6-luna", "max_output_tokens": 100, "service_tier": "default",
        "input": "Hello there."})
}

fn bodies() -> [(Wire, Value); 3] {
    let [first, second, third] = WIRES;
    [(first, anthropic()), (second, chat()), (third, responses())]
}

#[test]
fn a_likely_bound_is_a_third_of_the_bytes_and_all_the_output() {
    let body = anthropic();
    let bytes = i64::try_from(body.to_string().len()).unwrap();
    let thirds = (bytes + 2) / 3;
    let bound = likely(Wire::AnthropicMessages, &body);
    assert_eq!(bound.input_tokens, u64::try_from(thirds).unwrap());
    assert_eq!(bound.output_tokens, 1_000);
    assert_eq!(bound.amount.nanos(), thirds * 1_000 + 1_000 * 5_000);
    assert!(bound.flags.is_empty() && !bound.include_usage);
    let sure = of(Wire::AnthropicMessages, &body, Estimate::Sure).unwrap();
    assert_eq!(sure.amount.nanos(), (bytes + 1_024) * 1_000 + 1_000 * 5_000);
    assert!(sure.flags.is_empty());
}

#[test]
fn what_a_request_writes_to_a_cache_is_held_at_its_price() {
    let input = |body: &Value| {
        let bound = likely(Wire::AnthropicMessages, body);
        let input = bound.amount.nanos() - 5_000_000;
        (input / i64::try_from(bound.input_tokens).unwrap(), bound.long_writes)
    };
    let cached = |control: Value| {
        json!([{"role": "user", "content": [{"type": "text", "text": "Hi.",
            "cache_control": control}]}])
    };
    let body = anthropic();
    assert_eq!(input(&body), (1_000, false));
    let five = with(&body, "messages", cached(json!({"type": "ephemeral"})));
    assert_eq!(input(&five), (1_250, false));
    let five = with(&body, "cache_control", json!({"type": "ephemeral", "ttl": "5m"}));
    assert_eq!(input(&five), (1_250, false));
    let hour = with(&body, "messages", cached(json!({"type": "ephemeral", "ttl": "1h"})));
    assert_eq!(input(&hour), (2_000, true));
    let tool = json!([{"name": "t", "input_schema": {}, "cache_control": {"ttl": "1h"}}]);
    assert_eq!(input(&with(&body, "tools", tool)), (2_000, true));
    assert_eq!(input(&with(&body, "cache_control", Value::Null)), (1_000, false));
    // OpenAI writes to its cache unasked, and for twelve hours when asked.
    let luna = |body: &Value| {
        let bound = likely(Wire::OpenAiResponses, body);
        (bound.amount.nanos() - 100 * 500, i64::try_from(bound.input_tokens).unwrap())
    };
    let (held, tokens) = luna(&responses());
    assert_eq!(held, tokens * 125);
    let (held, tokens) = luna(&with(&responses(), "prompt_cache_options", json!({"ttl": "12h"})));
    assert_eq!(held, tokens * 250);
}

#[test]
fn a_long_request_is_held_at_the_prices_it_may_reach() {
    let body = |letters: usize| {
        json!({"model": "claude-haiku-5-5", "max_tokens": 1_000, "messages":
            [{"role": "user", "content": "x".repeat(letters)}]})
    };
    let output = |letters: usize| {
        let bound = likely(Wire::AnthropicMessages, &body(letters));
        let input = i64::try_from(bound.input_tokens).unwrap();
        let dear = bound.amount.nanos() == input * 500 + 1_000 * 2_500;
        assert!(dear || bound.amount.nanos() == input * 100 + 1_000 * 500, "{letters}");
        dear
    };
    // A third of it is well below 100,000 tokens; what it may be is not.
    assert!(!output(90_000));
    assert!(output(101_000));
}

#[test]
fn choices_multiply_and_both_names_of_the_maximum_count() {
    let chat = |fields: Value| {
        let mut body = chat();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        likely(Wire::OpenAiChat, &body)
    };
    assert_eq!(chat(json!({})).output_tokens, 100);
    assert_eq!(chat(json!({"n": 7})).output_tokens, 700);
    assert_eq!(chat(json!({"n": null})).output_tokens, 100);
    assert_eq!(chat(json!({"max_tokens": 900})).output_tokens, 900);
    assert_eq!(chat(json!({"max_tokens": 9})).output_tokens, 100);
    let predicted = chat(json!({"prediction": {"type": "content", "content": "x".repeat(300)}}));
    assert_eq!(predicted.output_tokens, 100 + predicted.input_tokens);
    assert!(predicted.input_tokens > 100);
}

#[test]
fn a_request_without_a_maximum_takes_the_models_or_says_which_field_to_set() {
    let fields = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    for ((wire, body), field) in bodies().into_iter().zip(fields) {
        let mut open = body.clone();
        open.as_object_mut().unwrap().shift_remove(field);
        let bound = likely(wire, &open);
        let most = table().find(&bound.model).unwrap().max_output_tokens().unwrap();
        assert_eq!(bound.output_tokens, most, "{wire:?}");
        let added =
            r#"{"models": {"plain": {"rates": {"standard": {"input": "1", "output": "1"}}}}}"#;
        let plain = with(&open, "model", json!("plain")).to_string();
        let error = refused(wire, &plain, added);
        assert_eq!(error, BoundError::NoMaximum { field });
        assert!(error.to_string().contains(&format!("set `{field}`")));
        for odd in [json!(0), json!(-1), json!(1.5), json!("7"), json!([])] {
            let error = of(wire, &with(&body, field, odd), Estimate::Likely).unwrap_err();
            assert_eq!(error, BoundError::Number { field });
        }
        let huge = of(wire, &with(&body, field, json!(u64::MAX)), Estimate::Likely).unwrap_err();
        assert_eq!(huge, BoundError::TooLarge { field });
    }
    let choices = of(Wire::OpenAiChat, &with(&chat(), "n", json!(0)), Estimate::Likely);
    assert_eq!(choices.unwrap_err(), BoundError::Number { field: "n" });
}

fn refused(wire: Wire, body: &str, prices: &str) -> BoundError {
    bound(wire, body.as_bytes(), &Prices::parse(prices).unwrap(), Estimate::Likely, None)
        .unwrap_err()
}

#[test]
fn a_streamed_completion_has_to_ask_for_its_usage() {
    let asks = |wire, body: &Value, fields: Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        likely(wire, &body).include_usage
    };
    let has = json!({"stream": true, "stream_options": {"include_usage": true}});
    let not = json!({"stream": true, "stream_options": {"include_usage": false}});
    assert!(!asks(Wire::OpenAiChat, &chat(), json!({})));
    assert!(asks(Wire::OpenAiChat, &chat(), json!({"stream": true})));
    assert!(asks(Wire::OpenAiChat, &chat(), not));
    assert!(!asks(Wire::OpenAiChat, &chat(), has));
    assert!(!asks(Wire::OpenAiResponses, &responses(), json!({"stream": true})));
    assert!(!asks(Wire::AnthropicMessages, &anthropic(), json!({"stream": true})));
}

/// What brings in more than the body holds, one by one.
fn open_requests() -> Vec<(Wire, Value, &'static str)> {
    let [claude, chat_wire, resp] = WIRES;
    let part = |part: Value| json!([{"role": "user", "content": [part]}]);
    let messages = |body: Value, content: Value| with(&body, "messages", part(content));
    let url = json!({"type": "image", "source": {"type": "url", "url": "https://a.example/x"}});
    let pdf = json!({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}});
    let file = json!({"type": "container_upload", "file_id": "file_1"});
    let nested = json!({"type": "tool_result", "tool_use_id": "t", "content": [url.clone()]});
    let image = json!({"type": "image_url", "image_url": {"url": "https://a.example/x.png"}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}});
    let input = |part: Value| {
        with(
            &responses(),
            "input",
            json!([{"role": "user",
        "content": [part]}]),
        )
    };
    let tool = |body: Value, tool: Value| with(&body, "tools", json!([tool]));
    vec![
        (claude, messages(anthropic(), url), "image"),
        (claude, messages(anthropic(), pdf), "document"),
        (claude, messages(anthropic(), file), "container_upload"),
        (claude, messages(anthropic(), nested), "image"),
        (claude, with(&anthropic(), "mcp_servers", json!([{}])), "mcp_servers"),
        (claude, with(&anthropic(), "thread", json!({})), "thread"),
        (claude, with(&anthropic(), "a_new_field", json!(1)), "a_new_field"),
        (claude, tool(anthropic(), json!({"type": "web_fetch_20260521"})), "web_fetch_20260521"),
        (chat_wire, messages(chat(), image), "image_url"),
        (chat_wire, messages(chat(), sound), "input_audio"),
        (
            chat_wire,
            with(
                &chat(),
                "messages",
                json!([{"role": "assistant",
            "audio": {"id": "audio_1"}}]),
            ),
            "audio",
        ),
        (resp, input(json!({"type": "input_image", "file_id": "file_1"})), "input_image"),
        (resp, input(json!({"type": "item_reference", "id": "msg_1"})), "item_reference"),
        (resp, with(&responses(), "previous_response_id", json!("resp_0")), "previous_response_id"),
        (resp, with(&responses(), "conversation", json!("conv_0")), "conversation"),
        (resp, with(&responses(), "reasoning", json!({"mode": "pro"})), "reasoning.mode"),
        (resp, tool(responses(), json!({"type": "mcp", "server_url": "https://a.example"})), "mcp"),
    ]
}

#[test]
fn a_tool_of_the_vendors_that_no_table_has_a_price_for_is_refused() {
    let (claude, responses_wire) = (Wire::AnthropicMessages, Wire::OpenAiResponses);
    let with_tools = |body: &Value, kind: &str| {
        with(
            body,
            "tools",
            json!([{"type": "mcp"}, {"type": "function", "name": "f"}, {"type": kind}]),
        )
    };
    let openai = ["code_interpreter", "file_search", "image_generation", "shell", "of_tomorrow"];
    let anthropics = ["code_execution_20260521", "of_tomorrow"];
    let openai = openai.map(|kind| (responses_wire, with_tools(&responses(), kind), kind));
    let anthropics = anthropics.map(|kind| (claude, with_tools(&anthropic(), kind), kind));
    for (wire, body, what) in openai.into_iter().chain(anthropics) {
        for estimate in [Estimate::Likely, Estimate::Sure] {
            let error = of(wire, &body, estimate).unwrap_err();
            assert_eq!(error, BoundError::UnpricedTool { what: what.to_owned() }, "{body}");
        }
    }
    for own in ["bash_20250124", "text_editor_20250728", "memory_20250818", "custom"] {
        likely(claude, &with(&anthropic(), "tools", json!([{"type": own, "name": "own"}])));
    }
}

#[test]
fn a_body_of_so_many_values_that_they_fill_the_memory_is_refused() {
    let body = |many: usize| {
        let items = vec!["0"; many].join(",");
        format!("{{\"model\":\"claude-haiku-4-5\",\"max_tokens\":9,\"messages\":[{items}]}}")
    };
    let of = |body: &str| {
        bound(Wire::AnthropicMessages, body.as_bytes(), table(), Estimate::Likely, None)
    };
    of(&body(499_996)).unwrap();
    let error = of(&body(499_997)).unwrap_err();
    let BoundError::Unreadable(why) = error else { panic!("{error}") };
    assert!(why.contains("it has more than 500000 values"), "{why}");
    let twice = of("{\"model\":\"gpt-5.4\",\"a\":[{\"b\":1,\"\\u0062\":2}]}").unwrap_err();
    assert!(twice.to_string().contains("the key `b` is there twice"), "{twice}");
    assert!(of("{\"model\":\"gpt-5.4\"} {}").is_err());
}

#[test]
fn what_brings_in_more_than_the_body_is_refused_where_it_has_to_be_sure() {
    for (wire, body, what) in open_requests() {
        let error = of(wire, &body, Estimate::Sure).unwrap_err();
        assert_eq!(error, BoundError::NotBounded { what: what.to_owned() }, "{body}");
        let flags = likely(wire, &body).flags;
        let told = flags.contains(&Flag::InputNotBounded) || flags.contains(&Flag::UnknownField);
        assert!(told, "{body}");
    }
    // A tool's arguments are text, whatever they look like, and a null is nothing.
    let given = json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name":
        "draw", "input": {"type": "image", "source": {"type": "url"}}}]}]);
    let body = with(&with(&anthropic(), "messages", given), "thread", Value::Null);
    assert!(of(Wire::AnthropicMessages, &body, Estimate::Sure).unwrap().flags.is_empty());
}

#[test]
fn searches_are_held_for_as_far_as_they_are_bounded() {
    let opus = with(&anthropic(), "model", json!("claude-opus-4-8"));
    let search = |more: Value| {
        let mut tool = json!({"type": "web_search_20260318", "name": "web_search"});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(&opus, "tools", json!([tool]))
    };
    let five = likely(Wire::AnthropicMessages, &search(json!({"max_uses": 5})));
    let tokens = |bound: &Bound| {
        i64::try_from(bound.input_tokens * 5_000 + bound.output_tokens * 25_000).unwrap()
    };
    assert_eq!(five.searches, 5);
    assert_eq!(five.amount.nanos() - tokens(&five), 5 * 10_000_000);
    assert!(!five.flags.contains(&Flag::SearchesNotBounded));
    let open = likely(Wire::AnthropicMessages, &search(json!({})));
    assert!(open.flags.contains(&Flag::SearchesNotBounded) && open.searches == 1);
    for body in [search(json!({})), search(json!({"max_uses": 5}))] {
        let error = of(Wire::AnthropicMessages, &body, Estimate::Sure).unwrap_err();
        let what = "web_search_20260318".to_owned();
        assert_eq!(error, BoundError::NotBounded { what });
    }
    let body = with(&search(json!({})), "model", json!("claude-haiku-4-5"));
    let error = of(Wire::AnthropicMessages, &body, Estimate::Likely).unwrap_err();
    assert_eq!(error, BoundError::NoPrice(Unit::WebSearch));
    let luna = with(&responses(), "tools", json!([{"type": "web_search"}]));
    let calls = with(&luna, "max_tool_calls", json!(3));
    assert_eq!(likely(Wire::OpenAiResponses, &calls).searches, 3);
    assert!(likely(Wire::OpenAiResponses, &luna).flags.contains(&Flag::SearchesNotBounded));
    let model = with(&chat(), "model", json!("gpt-5-search-api"));
    assert_eq!(likely(Wire::OpenAiChat, &with(&model, "n", json!(2))).searches, 2);
}

#[test]
fn a_request_that_means_two_things_or_nothing_is_refused() {
    let refused = |body: &str| {
        bound(Wire::AnthropicMessages, body.as_bytes(), table(), Estimate::Likely, None)
            .unwrap_err()
    };
    for body in [
        "",
        "{",
        "[]",
        "1",
        "null",
        "<html>",
        r#"{"model": "claude-haiku-4-5", "model": "claude-opus-4-8", "max_tokens": 1}"#,
        r#"{"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [{"a": 1, "\u0061": 2}]}"#,
        // Readers that overlook the case of letters find each of these twice.
        r#"{"model": "claude-haiku-4-5", "max_tokens": 1, "Max_Tokens": 64000}"#,
        r#"{"model": "claude-haiku-4-5", "max_tokens": 1, "max_to\u212aens": 64000}"#,
        r#"{"model": "claude-haiku-4-5", "max_tokens": 1, "Container": "c"}"#,
    ] {
        assert!(matches!(refused(body), BoundError::Unreadable(_)), "{body}");
    }
    let deep = format!("{{\"model\": {}{}}}", "[".repeat(9_000), "]".repeat(9_000));
    assert!(matches!(refused(&deep), BoundError::Unreadable(_)));
    assert_eq!(refused("{}"), BoundError::NoModel);
    assert_eq!(refused(r#"{"model": 7}"#), BoundError::NoModel);
    let unknown = refused(r#"{"model": "claude-haiku-9"}"#);
    assert!(unknown.to_string().contains("there is no price for the model `claude-haiku-9`"));
    let late = with(&responses(), "background", json!(true));
    let error = of(Wire::OpenAiResponses, &late, Estimate::Likely).unwrap_err();
    assert_eq!(error, BoundError::Background);
    assert!(
        of(Wire::OpenAiResponses, &with(&late, "background", json!(false)), Estimate::Sure).is_ok()
    );
}

#[test]
fn what_a_request_leaves_open_is_held_at_the_dearest_where_it_has_to_be_sure() {
    let output = |wire, model: &str, fields: Value, estimate| {
        let mut body = json!({"model": model, "max_tokens": 1_000, "max_output_tokens": 1_000});
        body.as_object_mut().unwrap().shift_remove(match wire {
            Wire::AnthropicMessages | Wire::OpenAiChat => "max_output_tokens",
            Wire::OpenAiResponses => "max_tokens",
        });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let bound = of(wire, &body, estimate).unwrap();
        // In these models input costs a fifth of output in every rate.
        let fifths = bound.output_tokens * 5 + bound.input_tokens;
        u64::try_from(bound.amount.nanos()).unwrap() * 5 / fifths
    };
    let claude = |fields: Value, estimate| {
        output(Wire::AnthropicMessages, "claude-opus-4-8", fields, estimate)
    };
    assert_eq!(claude(json!({}), Estimate::Likely), 25_000);
    assert_eq!(claude(json!({"speed": "fast"}), Estimate::Likely), 50_000);
    assert_eq!(claude(json!({"speed": "warp"}), Estimate::Likely), 55_000);
    assert_eq!(claude(json!({"inference_geo": "us"}), Estimate::Likely), 27_500);
    assert_eq!(claude(json!({}), Estimate::Sure), 55_000);
    assert_eq!(claude(json!({"service_tier": "standard_only"}), Estimate::Sure), 27_500);
    let here = json!({"service_tier": "standard_only", "inference_geo": "global"});
    assert_eq!(claude(here, Estimate::Sure), 25_000);
}

/// What may be used within the assumptions of a sure bound, of any model and request.
fn calls() -> impl Strategy<Value = (usize, usize, Value, Vec<u64>, usize)> {
    let fields = prop_oneof![
        Just(json!({})),
        Just(json!({"service_tier": "flex"})),
        Just(json!({"service_tier": "priority"})),
        Just(json!({"service_tier": "default"})),
        Just(json!({"service_tier": "standard_only", "inference_geo": "us"})),
        Just(json!({"speed": "fast"})),
        Just(json!({"cache_control": {"type": "ephemeral", "ttl": "1h"},
            "prompt_cache_options": {"ttl": "12h"}})),
    ];
    let letters = prop_oneof![0_usize..500, 90_000_usize..110_000, 260_000_usize..280_000];
    let parts = prop::collection::vec(0_u64..1_000, 6);
    (0_usize..10_000, letters, fields, parts, 0_usize..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_call_within_a_sure_bound_costs_more((nth, letters, fields, parts, served) in calls()) {
        let table = table();
        let names: Vec<String> = table.models().map(str::to_owned).collect();
        let name = &names[nth % names.len()];
        prop_assume!(!name.contains("search"));
        let claude = name.starts_with("claude");
        let wire = if claude { Wire::AnthropicMessages } else { Wire::OpenAiChat };
        let mut body = json!({"model": name, "max_tokens": 5_000, "messages":
            [{"role": "user", "content": "x".repeat(letters)}]});
        for (field, value) in fields.as_object().unwrap() {
            let theirs = ["speed", "inference_geo", "cache_control"].contains(&field.as_str());
            if theirs == (wire == Wire::AnthropicMessages) || field == "service_tier" {
                body[field] = value.clone();
            }
        }
        if wire == Wire::AnthropicMessages && body["service_tier"].is_string() {
            body["service_tier"] = json!("standard_only");
        }
        let bound = of(wire, &body, Estimate::Sure).unwrap();
        // All the input that there may be, divided at random among what the request allows.
        let mut units = vec![Unit::Input, Unit::CacheRead];
        let writes = wire == Wire::OpenAiChat || body["cache_control"].is_object();
        units.extend(writes.then_some(Unit::CacheWrite));
        units.extend(bound.long_writes.then_some(Unit::CacheWriteLong));
        let whole: u64 = parts.iter().take(units.len()).sum::<u64>().max(1);
        let share = |part: u64| bound.input_tokens * part / whole;
        let mut counts: Vec<_> =
            units.into_iter().zip(&parts).map(|(unit, part)| (unit, share(*part))).collect();
        counts.push((Unit::Output, bound.output_tokens));
        // Served in any way that the request leaves to the vendor.
        let tiers: &[Option<&str>] = match body["service_tier"].as_str() {
            Some("standard_only") if body["speed"] != "fast" => &[None],
            Some("default") => &[None],
            Some("flex") => &[None, Some("flex")],
            Some("priority") => &[None, Some("priority")],
            _ => &[None, Some("fast"), Some("priority"), Some("scale"), Some("batch")],
        };
        let regions: &[Option<&str>] = match body["inference_geo"].as_str() {
            Some("us") => &[Some("us")],
            _ => &[None, Some("us"), Some("eu")],
        };
        let tier = tiers[served % tiers.len()].map(str::to_owned);
        let region = regions[served % regions.len()].map(str::to_owned);
        let usage = Usage { tier, region, ..used(&counts) };
        let charge = charge(table.find(name).unwrap(), &usage);
        prop_assert!(usage.input_size() <= bound.input_tokens);
        prop_assert!(charge.amount <= bound.amount, "{:?} {:?} {:?}", charge, bound, usage);
    }

    #[test]
    fn any_bytes_are_bounded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for wire in WIRES {
            let sure = bound(wire, &bytes, table(), Estimate::Sure, None);
            prop_assert!(sure.is_err());
        }
    }

    #[test]
    fn a_likely_bound_is_never_above_the_sure_one(
        letters in 0_usize..300_000, most in 1_u64..9_999,
    ) {
        for (wire, body) in bodies() {
            let text = json!([{"role": "user", "content": "y".repeat(letters)}]);
            let field = if wire == Wire::OpenAiResponses { "input" } else { "messages" };
            let body = with(&with(&body, field, text), "max_tokens", json!(most));
            let Ok(sure) = of(wire, &body, Estimate::Sure) else { continue };
            prop_assert!(likely(wire, &body).amount <= sure.amount);
        }
    }
}
