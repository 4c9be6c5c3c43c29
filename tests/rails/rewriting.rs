//! What is changed about a request that is metered, and what of its answer is handed on.

use std::sync::Arc;

use hyper::body::Bytes;
use pettycash::rails::meter::{
    BoundError, Changes, Estimate, MAX_EVENT, Metering, Wire, bound, rewritten,
};

use super::table;

/// The body with the most tokens that may come out set to that.
fn limited(wire: Wire, body: &str, most: u64) -> Result<String, BoundError> {
    let changes = Changes { max_output: Some(most), ..Changes::default() };
    let body = rewritten(wire, body.as_bytes(), &changes)?;
    Ok(String::from_utf8(body.into_owned()).unwrap())
}

#[test]
fn the_most_that_may_come_out_is_said_or_lowered_and_all_else_is_as_it_was() {
    use Wire::{AnthropicMessages as Anthropic, OpenAiChat as Chat, OpenAiResponses as Responses};
    let odd = "{ \"b\":1e2,\t\"max_tokens\" : 4096 , \"é\":[ 1.0,\"\\u00e9\" ],\"a\":{}}\n";
    for (wire, body, expected) in [
        (Anthropic, odd, odd.replace("4096", "1000")),
        (Anthropic, r#"{"max_tokens":1000,"a": 1}"#, r#"{"max_tokens":1000,"a": 1}"#.to_owned()),
        (Anthropic, r#"{"max_tokens":10,"a": 1}"#, r#"{"max_tokens":10,"a": 1}"#.to_owned()),
        (Anthropic, "{\"a\": 1 } ", "{\"a\": 1 ,\"max_tokens\":1000} ".to_owned()),
        (Anthropic, r#"{"max_tokens":null}"#, r#"{"max_tokens":1000}"#.to_owned()),
        (Responses, "{}", r#"{"max_output_tokens":1000}"#.to_owned()),
        (Chat, r#"{"a":1}"#, r#"{"a":1,"max_completion_tokens":1000}"#.to_owned()),
        (Chat, r#"{"max_tokens":5000}"#, r#"{"max_tokens":1000}"#.to_owned()),
        (Chat, r#"{"max_tokens":5}"#, r#"{"max_tokens":5}"#.to_owned()),
        (
            Chat,
            r#"{"max_tokens":5000,"max_completion_tokens":2000}"#,
            r#"{"max_tokens":1000,"max_completion_tokens":1000}"#.to_owned(),
        ),
        // It is the most of one call, and not of each choice.
        (Chat, r#"{"n":3,"max_tokens":400}"#, r#"{"n":3,"max_tokens":333}"#.to_owned()),
    ] {
        assert_eq!(limited(wire, body, 1_000), Ok(expected), "{body}");
    }
    let n = limited(Wire::OpenAiChat, r#"{"n":11}"#, 10);
    assert_eq!(n, Err(BoundError::TooManyChoices { most: 10 }));
}

#[test]
fn what_a_model_may_think_has_to_stay_below_what_may_come_out() {
    let thinks = r#"{"max_tokens":4096,"thinking":{"type":"enabled","budget_tokens":2000}}"#;
    let too_much = Err(BoundError::Thinking { most: 2_000 });
    assert_eq!(limited(Wire::AnthropicMessages, thinks, 2_000), too_much);
    let lowered = limited(Wire::AnthropicMessages, thinks, 2_001).unwrap();
    assert_eq!(lowered, thinks.replace("4096", "2001"));
}

#[test]
fn a_model_is_put_in_place_of_another_and_a_stream_has_to_tell_its_usage() {
    let changes = Changes { model: Some("gpt-4o-mini"), include_usage: true, max_output: None };
    let other = |body: &str| {
        let body = rewritten(Wire::OpenAiChat, body.as_bytes(), &changes)?;
        Ok(String::from_utf8(body.into_owned()).unwrap())
    };
    for (body, expected) in [
        (
            r#"{ "mod\u0065l": "gpt-4o","stream":true }"#,
            concat!(
                r#"{ "mod\u0065l": "gpt-4o-mini","stream":true "#,
                r#","stream_options":{"include_usage":true}}"#
            ),
        ),
        (
            r#"{"stream_options":null,"model":"x"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"gpt-4o-mini"}"#,
        ),
        (
            r#"{"stream_options": { "include_usage" : false, "b":2},"model":"gpt-4o-mini"}"#,
            r#"{"stream_options": { "include_usage" : true, "b":2},"model":"gpt-4o-mini"}"#,
        ),
        (
            r#"{"stream_options":{"b":[ ]},"model":"x"}"#,
            r#"{"stream_options":{"b":[ ],"include_usage":true},"model":"gpt-4o-mini"}"#,
        ),
    ] {
        assert_eq!(other(body), Ok(expected.to_owned()), "{body}");
    }
    assert_eq!(other(r#"{"stream_options":[],"model":"x"}"#), Err(BoundError::StreamOptions));
}

/// A stream with a long event, in the three ways that lines end, and without what is told apart.
fn stream(end: &str) -> (String, String) {
    let word = |word: &str| {
        format!("data: {{\"choices\":[{{\"delta\":\"{word}\"}}],\"usage\":null}}{end}{end}")
    };
    let usage = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":50,\
                 \"prompt_tokens_details\":{\"cached_tokens\":400}}}";
    let before = format!(": hello{end}{end}{}{}", word("a \\\"usage\\\""), word("b"));
    let after = format!("data: [DONE]{end}{end}");
    (format!("{before}data: {usage}{end}{end}{after}"), before + &after)
}

fn metering(hides_usage: bool) -> Metering {
    metering_of("gpt-4o-mini", hides_usage)
}

fn metering_of(model: &str, hides_usage: bool) -> Metering {
    let body = format!("{{\"model\":\"{model}\",\"messages\":[],\"max_tokens\":10}}");
    let bound = bound(Wire::OpenAiChat, body.as_bytes(), table(), Estimate::Likely, None).unwrap();
    let prices = Arc::new(table().clone());
    Metering { hides_usage, ..Metering::of(Wire::OpenAiChat, prices, &bound, None) }
}

/// What is handed on of a stream that comes in these pieces, and what it comes to.
fn passed(metering: &Metering, pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let mut count = metering.count(Some("text/event-stream; charset=utf-8"));
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&count.take(Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&count.rest());
    (out, count.finish().amount.decimal())
}

#[test]
fn the_chunk_with_the_usage_is_told_to_whoever_asked_for_it_and_to_nobody_else() {
    for end in ["\n", "\r\n", "\r"] {
        let (whole, without) = stream(end);
        let bytes = whole.as_bytes();
        // 600 × 0.15, 400 × 0.075 and 50 × 0.60 dollars a million.
        let charged = "0.00015".to_owned();
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            let (out, amount) = passed(&metering(true), &[one, two]);
            assert_eq!(String::from_utf8(out).unwrap(), without, "cut at {at}");
            assert_eq!(amount, charged);
            let (out, amount) = passed(&metering(false), &[one, two]);
            assert_eq!((out.as_slice(), amount), (bytes, charged.clone()));
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(passed(&metering(true), &each).0, without.as_bytes());
        // What is cut off at its end is handed on as far as it came.
        let cut = &bytes[..whole.find("\"prompt_tokens\"").unwrap()];
        assert_eq!(passed(&metering(true), &[cut]).0, cut);
    }
}

#[test]
fn an_event_is_handed_on_when_it_ends_and_a_long_one_before() {
    let metering = metering(true);
    let mut count = metering.count(Some("Text/Event-Stream"));
    let event = "data: {\"choices\":[]}\n\n";
    assert_eq!(count.take(Bytes::from(event)), event);
    assert_eq!(count.take(Bytes::from_static(b"data: {\"a\"")), "");
    assert_eq!(count.take(Bytes::from_static(b"}\n")), "");
    assert_eq!(count.take(Bytes::from_static(b"\nda")), "data: {\"a\"}\n\n");
    let long = Bytes::from(vec![b'x'; MAX_EVENT]);
    assert_eq!(count.take(long.clone()).len(), MAX_EVENT + 2);
    assert_eq!(count.take(long.clone()), long, "and no more of it is kept");
    assert_eq!(count.take(Bytes::from_static(b"\n\ndata")), "\n\n");
    assert_eq!(count.rest(), "data");
}

#[test]
fn an_answer_is_priced_as_the_dearer_of_what_was_asked_for_and_what_answered() {
    let answered_to = |asked: &str, model: &str| {
        let metering = metering_of(asked, false);
        let mut count = metering.count(Some("application/json"));
        let body = format!(
            "{{\"model\":\"{model}\",\"choices\":[],\
             \"usage\":{{\"prompt_tokens\":1000,\"completion_tokens\":100}}}}"
        );
        let (one, two) = body.split_at(9);
        assert_eq!(count.take(Bytes::copy_from_slice(one.as_bytes())), one);
        assert_eq!(count.take(Bytes::copy_from_slice(two.as_bytes())), two);
        let counted = count.finish();
        assert!(counted.complete);
        (counted.amount.decimal(), counted.flags.iter().map(ToString::to_string).collect())
    };
    let answered = |model: &str| answered_to("gpt-4o-mini", model);
    let none: Vec<String> = Vec::new();
    // 1,000 × 0.15 and 100 × 0.60 dollars a million; of `gpt-4o` 2.50 and 10.
    assert_eq!(answered("gpt-4o-mini"), ("0.00021".to_owned(), none.clone()));
    assert_eq!(answered("gpt-4o"), ("0.0035".to_owned(), none.clone()));
    assert_eq!(answered_to("gpt-4o", "gpt-4o-mini"), ("0.0035".to_owned(), none));
    let other = vec!["another model did a part of it".to_owned()];
    assert_eq!(answered("gpt-4o-mini-of-tomorrow"), ("0.00021".to_owned(), other));
}

#[test]
fn an_answer_that_is_longer_than_is_looked_at_is_not_counted_and_passes_whole() {
    let metering = metering(false);
    let mut count = metering.count(Some("application/json"));
    let piece = Bytes::from(vec![b' '; MAX_EVENT / 2 + 1]);
    for _ in 0..3 {
        assert_eq!(count.take(piece.clone()), piece);
    }
    let counted = count.finish();
    assert!(!counted.complete && counted.amount.is_zero());
}
