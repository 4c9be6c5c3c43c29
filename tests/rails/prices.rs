//! The table of prices: what it says, and what it refuses.

use pettycash::rails::meter::{PricePerUnit, Prices, Unit};

use super::table;

/// Per million tokens, as the vendors' pages tell prices.
fn per_million(model: &str, rate: (&str, Option<&str>), unit: Unit, size: u64) -> String {
    let price = table().find(model).unwrap().price(rate.0, rate.1, unit, size).unwrap();
    let dollars: PricePerUnit = format!("0.{:012}", price.picos()).parse().unwrap();
    assert_eq!(dollars, price);
    let micros = price.picos();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).trim_end_matches('0').to_owned()
}

#[test]
fn the_table_has_the_prices_that_the_vendors_publish() {
    let standard = ("standard", None);
    let told = [
        ("claude-haiku-4-5", standard, Unit::Input, 1, "1."),
        ("claude-haiku-4-5", standard, Unit::Output, 1, "5."),
        ("claude-haiku-4-5", standard, Unit::CacheRead, 1, "0.1"),
        ("claude-haiku-4-5", standard, Unit::CacheWrite, 1, "1.25"),
        ("claude-haiku-4-5", standard, Unit::CacheWriteLong, 1, "2."),
        ("claude-sonnet-4-6", standard, Unit::Input, 999_999, "3."),
        ("claude-sonnet-4-6", standard, Unit::Output, 999_999, "15."),
        ("claude-opus-4-8", ("fast", None), Unit::Output, 1, "50."),
        ("claude-opus-4-8", ("standard", Some("us")), Unit::CacheRead, 1, "0.55"),
        ("claude-opus-4-8", ("standard", Some("us")), Unit::WebSearch, 1, "10000."),
        // Neither a tenth of the input nor any other part of it.
        ("claude-fable-5-1", standard, Unit::Input, 1, "10."),
        ("claude-fable-5-1", standard, Unit::CacheRead, 1, "0.25"),
        ("claude-haiku-5-5", standard, Unit::Input, 100_000, "0.1"),
        ("claude-haiku-5-5", standard, Unit::Input, 100_001, "0.5"),
        ("claude-haiku-5-5", standard, Unit::CacheWriteLong, 100_001, "1."),
        ("gpt-4o-mini", standard, Unit::CacheRead, 1, "0.075"),
        ("gpt-4o-mini", standard, Unit::Input, 1, "0.15"),
        ("gpt-5", standard, Unit::Output, 1, "10."),
        ("gpt-5", ("flex", None), Unit::Output, 1, "5."),
        ("gpt-5.4", standard, Unit::Output, 272_001, "22.5"),
        ("gpt-6-astra", ("priority", None), Unit::CacheWriteLong, 272_001, "100."),
        ("gpt-audio", standard, Unit::OutputAudio, 1, "64."),
    ];
    for (model, rate, unit, size, price) in told {
        assert_eq!(per_million(model, rate, unit, size), price, "{model} {rate:?} {unit:?} {size}");
    }
    assert_eq!(table().models().count(), 146);
    assert_eq!(table().priced_at(), Some("2026-11-22"));
    assert!(table().source().unwrap().starts_with("litellm 1.109.1"));
}

#[test]
fn every_price_of_the_table_is_written_as_it_is_shown() {
    let text = include_str!("../../src/rails/meter/prices.json");
    let mut prices = 0;
    for price in text.split('"').filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        if price.len() < 6 || price.starts_with("0.") {
            let read: PricePerUnit = price.parse().unwrap();
            assert_eq!(read.to_string(), price);
            prices += 1;
        }
    }
    assert!(prices > 1_500, "{prices}");
}

#[test]
fn a_price_is_a_plain_decimal_to_twelve_places() {
    let good = [
        ("0", 0),
        ("1", 1_000_000_000_000),
        ("0.0000008", 800_000),
        ("0.000000000001", 1),
        ("1000000", 1_000_000_000_000_000_000),
        ("00.50", 500_000_000_000),
    ];
    for (text, picos) in good {
        assert_eq!(text.parse::<PricePerUnit>().unwrap().picos(), picos, "{text}");
    }
    let bad = [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1e-6",
        "0x10",
        "1_000",
        "1,5",
        "١",
        "NaN",
        "0.0000000000001",
        "1000000.000000000001",
        "1000001",
        "99999999999999999999",
        "1.2.3",
    ];
    for text in bad {
        assert!(text.parse::<PricePerUnit>().is_err(), "{text}");
    }
}

#[test]
fn a_wrong_table_is_told_by_its_model_and_field() {
    let model = |inside: &str| format!(r#"{{"models": {{"some-model": {{{inside}}}}}}}"#);
    let standard = |inside: &str| model(&format!(r#""rates": {{"standard": {{{inside}}}}}"#));
    let wrong = [
        ("[]".to_owned(), "the table: "),
        ("{".to_owned(), "the table: it is no JSON"),
        ("{}".to_owned(), "the table: it has no `models`"),
        (r#"{"models": 1}"#.to_owned(), "models: "),
        (r#"{"models": {"": {}}}"#.to_owned(), ": a model's name is plain"),
        ("{\"models\": {\"a\\u202eb\": {}}}".to_owned(), "a?b: a model's name is plain"),
        (model(""), "some-model: rates: there has to be one named `standard`"),
        (model(r#""prices": 1"#), "some-model: prices: a model has"),
        (model(r#""max_output_tokens": -1"#), "some-model: max_output_tokens: "),
        (standard(r#""input": "1""#), "some-model: rates.standard: there is no price for `output`"),
        (standard(r#""output": "1""#), "some-model: rates.standard: there is no price for `input`"),
        (
            standard(r#""inputs": "1""#),
            "some-model: rates.standard.inputs: it is none of the units",
        ),
        (standard(r#""input": 0.1"#), "some-model: rates.standard.input: a price is a string"),
        (standard(r#""input": "1e-6""#), "some-model: rates.standard.input: `1e-6`: a price is"),
        (standard(r#""input": "-1""#), "some-model: rates.standard.input: `-1`: a price is"),
        (standard(r#""above": {"1k": {}}"#), "some-model: rates.standard.above.1k: "),
        (standard(r#""above": {"9": {"in": "1"}}"#), "some-model: rates.standard.above.9.in: "),
        (model(r#""rates": {"a/b/c": {}}"#), "some-model: rates.a/b/c: a rate is named"),
        (model(r#""rates": {"standard/": {}}"#), "some-model: rates.standard/: a rate is named"),
    ];
    for (text, told) in wrong {
        let error = Prices::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(told), "{text}: {error}");
    }
}

#[test]
fn a_model_without_a_price_is_refused_with_how_to_add_one() {
    let error = table().find("claude-haiku-4-6").unwrap_err();
    assert_eq!(error.nearest.first().map(String::as_str), Some("claude-haiku-4-5"));
    let told = error.to_string();
    assert!(told.contains("there is no price for the model `claude-haiku-4-6`"), "{told}");
    assert!(told.contains("use `claude-haiku-4-5`"), "{told}");
    let example = told.split(", with ").nth(1).unwrap().split(" in dollars").next().unwrap();
    let added = format!(r#"{{"models": {{"claude-haiku-4-6": {{{example}}}}}}}"#);
    // What it tells to write is a table, and with it the model has a price.
    let prices = table().clone().with(Prices::parse(&added).unwrap());
    let price = prices.find("claude-haiku-4-6").unwrap();
    assert_eq!(price.price("standard", None, Unit::Output, 1).unwrap().picos(), 5_000_000);
    assert!(prices.find("claude-haiku-4-5").is_ok());

    // Names are the table's own: no date, case or prefix is thought away.
    for name in ["", "CLAUDE-HAIKU-4-5", "anthropic/claude-haiku-4-5", "claude-haiku-4-5-20300101"]
    {
        assert!(table().find(name).is_err(), "{name}");
    }
    assert!(table().find("claude-haiku-4-5-20251001").is_ok());
    let odd = table().find(&format!("\u{1b}[31m\u{202e}{}", "x".repeat(9_000))).unwrap_err();
    assert!(odd.to_string().len() < 400 && !odd.to_string().contains('\u{1b}'), "{odd}");
    assert_eq!(odd.nearest, Vec::<String>::new());
}

#[test]
fn a_tier_that_is_not_sold_for_long_inputs_costs_no_less_there() {
    let table = table();
    let model = table.find("gpt-5.4").unwrap();
    let price = |tier, unit, size| model.price(tier, None, unit, size).unwrap().picos();
    assert_eq!(price("priority", Unit::Input, 272_000), 5_000_000);
    assert_eq!(price("priority", Unit::Input, 272_001), 5_000_000);
    assert_eq!(price("priority", Unit::Output, 272_001), 30_000_000);
    let text = r#"{"models": {"m": {"rates": {
        "standard": {"input": "1", "output": "2", "above": {"10": {"input": "3"}}},
        "flex": {"input": "0.5", "output": "1"}}}}}"#;
    let table = Prices::parse(text).unwrap();
    let model = table.find("m").unwrap();
    let price = |unit, size| model.price("flex", None, unit, size).unwrap().to_string();
    assert_eq!([price(Unit::Input, 10), price(Unit::Output, 10)], ["0.5", "1"]);
    assert_eq!([price(Unit::Input, 11), price(Unit::Output, 11)], ["3", "1"]);
}
