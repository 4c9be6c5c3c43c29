//! What is taken out of litellm's table, and what of it is refused.
//!
//! `litellm.json` has some models of it as they stand there, and two with odd numbers;
//! `litellm_extract.json` was made from it by another program, with decimals of its own.

use pettycash::rails::meter::{Prices, Unit, extract};

const SOURCE: &str = "a part of litellm 1.109.1";
const TABLE: &str = include_str!("litellm.json");

fn refused(table: &str) -> String {
    extract(table, SOURCE, "2026-11-22").unwrap_err().to_string()
}

#[test]
fn the_extract_is_what_another_program_takes_out_of_the_table() {
    let extracted = extract(TABLE, SOURCE, "2026-11-22").unwrap();
    for (line, (ours, theirs)) in
        extracted.lines().zip(include_str!("litellm_extract.json").lines()).enumerate()
    {
        assert_eq!(ours, theirs, "line {}", line + 1);
    }
    assert_eq!(extracted, include_str!("litellm_extract.json"));
    let prices = Prices::parse(&extracted).unwrap();
    assert_eq!(prices.source(), Some(SOURCE));
    assert_eq!(prices.models().count(), 15);
    // Other vendors, other kinds of models and what has no price per token stay out.
    assert!(prices.models().all(|model| !model.contains("gemini") && !model.contains("embed")));
}

#[test]
fn the_prices_of_the_extract_are_those_that_come_with_the_program() {
    let prices = Prices::parse(&extract(TABLE, SOURCE, "2026-11-22").unwrap()).unwrap();
    for name in prices.models().filter(|name| !name.starts_with("odd-")) {
        assert_eq!(prices.find(name), super::table().find(name), "{name}");
    }
    let odd = prices.find("odd-spelling").unwrap();
    let price = |unit| odd.price("standard", None, unit, 1).unwrap().picos();
    assert_eq!(price(Unit::CacheRead), 13);
    assert_eq!(price(Unit::Output), 12_500_000);
}

/// A table of one model of ours with these fields too.
fn model(fields: &str) -> String {
    format!(
        r#"{{"some-model": {{"litellm_provider": "openai", "mode": "chat",
           "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, {fields}}}}}"#
    )
}

fn all_refused(wrong: &[(String, &str)]) {
    for (table, told) in wrong {
        let error = refused(table);
        let table: String = table.chars().take(200).collect();
        assert!(error.starts_with(told), "{table}: {error}");
    }
}

#[test]
fn what_is_no_table_of_theirs_is_refused() {
    let deep = format!(r#"{{"m": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    all_refused(&[
        (String::new(), "the table: it is no JSON"),
        ("[]".to_owned(), "the table: it is no JSON of a table"),
        ("{".to_owned(), "the table: it is no JSON"),
        ("{}".to_owned(), "the table: it has no model of anthropic or openai"),
        (deep, "m: it has to be an object"),
        (r#"{"m": {}, "m": {}}"#.to_owned(), "the table: it is no JSON of a table: `m` stands"),
        (model(r#""mode": "chat""#), "some-model: it has to be an object that names nothing twice"),
        (
            r#"{"a\u202eb": {"litellm_provider": "openai", "mode": "chat",
                "input_cost_per_token": 1, "output_cost_per_token": 1}}"#
                .to_owned(),
            "a?b: a model's name is plain",
        ),
        (
            r#"{"m": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1}}"#
                .to_owned(),
            "m: rates.standard: there is no price for `output`",
        ),
    ]);
    // It is not even looked at.
    let huge = " ".repeat(64 * 1024 * 1024 + 1);
    assert!(refused(&huge).starts_with("the table: it is longer than 67108864 bytes"));
}

#[test]
fn a_price_that_is_none_is_told_by_its_model_and_field() {
    all_refused(&[
        (
            model(r#""cache_read_input_token_cost": -1e-07"#),
            "some-model: cache_read_input_token_cost: `-1e-07` is no price",
        ),
        (
            model(r#""cache_read_input_token_cost": 1000001"#),
            "some-model: cache_read_input_token_cost: a price is at most 1000000",
        ),
        (
            model(r#""cache_read_input_token_cost": 1e999"#),
            "some-model: cache_read_input_token_cost: `1e999` is no price",
        ),
        (
            model(r#""cache_read_input_token_cost": null"#),
            "some-model: cache_read_input_token_cost: `null` is no price",
        ),
    ]);
}

#[test]
fn a_price_of_ours_that_nobody_knows_is_never_left_out() {
    all_refused(&[
        (
            model(r#""input_cost_per_token_turbo": 1e-06"#),
            "some-model: input_cost_per_token_turbo: nothing is known of such a price",
        ),
        (
            model(r#""output_cost_per_reasoning_token": 1e-06"#),
            "some-model: output_cost_per_reasoning_token: nothing is known of such a price",
        ),
        (
            model(r#""input_cost_per_token_above_9x_tokens": 1e-06"#),
            "some-model: input_cost_per_token_above_9x_tokens: nothing is known",
        ),
        (
            model(
                r#""input_cost_per_token_above_1k_tokens": 1,
                   "input_cost_per_token_above_1000_tokens": 2"#,
            ),
            "some-model: input_cost_per_token_above_1k_tokens: it is another name for",
        ),
        (
            model(r#""provider_specific_entry": {"slow": 2}"#),
            "some-model: provider_specific_entry.slow: nothing is known of it",
        ),
        (model(r#""provider_specific_entry": {"us": 0}"#), "some-model: us: `0` is no factor"),
        (
            model(r#""regional_processing_uplift_multiplier_eu": 101"#),
            "some-model: eu: `101` is no factor up to 100",
        ),
        (
            model(r#""regional_processing_uplift_multiplier_fast": 2"#),
            "some-model: regional_processing_uplift_multiplier_fast: nothing is known",
        ),
        (
            model(r#""search_context_cost_per_query": {"low": -1}"#),
            "some-model: search_context_cost_per_query.low: `-1` is no price",
        ),
        (model(r#""max_output_tokens": 1.5"#), "some-model: max_output_tokens: it has to be"),
    ]);
    // What is wrong with others' models, or with fields that are no prices, is none of ours.
    let others = r#", "theirs": {"litellm_provider": "x", "input_cost_per_token": "?"}}"#;
    let fine = model(r#""supports_vision": [[[]]]"#);
    assert!(extract(&(fine[..fine.len() - 1].to_owned() + others), SOURCE, "today").is_ok());
}
