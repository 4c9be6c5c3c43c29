//! Which of two models costs no more than the other, whatever a call uses.

use pettycash::rails::meter::{Prices, Unit, Usage, charge};

use super::{table, used};

fn is_no_dearer(table: &Prices, one: &str, other: &str) -> bool {
    table.find(one).unwrap().is_no_dearer_than(table.find(other).unwrap())
}

#[test]
fn a_smaller_model_is_no_dearer_than_a_larger_one_and_not_the_other_way_round() {
    for (one, other) in [
        ("claude-haiku-4-5", "claude-sonnet-4-5"),
        ("claude-haiku-4-5", "claude-opus-4-8"),
        ("claude-haiku-5-5", "claude-haiku-4-5"),
        ("claude-sonnet-4-6", "claude-opus-4-6"),
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-5-mini", "gpt-5"),
        ("gpt-5-nano", "gpt-5-mini"),
    ] {
        assert!(is_no_dearer(table(), one, other), "{one} and {other}");
        assert!(!is_no_dearer(table(), other, one), "{other} and {one}");
    }
    for same in table().models() {
        assert!(is_no_dearer(table(), same, same), "{same}");
    }
}

#[test]
fn one_price_that_is_higher_anywhere_is_enough_to_be_dearer() {
    let model = |more: &str| format!(r#"{{"rates": {{"standard": {{{more}}}}}}}"#);
    let plain = r#""input": "0.000002", "output": "0.000004", "cache_read": "0.000001""#;
    for (other, told) in [
        (plain.to_owned(), true),
        (plain.replace("0.000004", "0.000005"), true),
        (plain.replace("0.000004", "0.000003999999"), false),
        (plain.replace("0.000001", "0.000000999999"), false),
        // What the table has no price for is charged as the dearest that stands in for it.
        (r#""input": "0.000002", "output": "0.000004""#.to_owned(), true),
        (format!(r#"{plain}, "cache_write": "0.000001999999""#), false),
        // A long input is where it is dearer.
        (format!(r#"{plain}, "above": {{"1000": {{"input": "0.000001"}}}}"#), false),
        (format!(r#"{plain}, "above": {{"1000": {{"input": "0.000003"}}}}"#), true),
        // No call is bounded that searches where that has no price.
        (format!(r#"{plain}, "web_search": "0.01""#), true),
    ] {
        let models =
            format!(r#"{{"models": {{"one": {}, "two": {}}}}}"#, model(plain), model(&other));
        let table = Prices::parse(&models).unwrap();
        assert_eq!(is_no_dearer(&table, "one", "two"), told, "{other}");
    }
    let tier = |price: &str| {
        format!(
            r#"{{"rates": {{"standard": {{"input": "0.000001", "output": "0.000001"}},
                "flex/eu": {{"input": "0.000001", "output": "{price}"}}}}}}"#
        )
    };
    let (low, high) = (tier("0.0000005"), tier("0.0000006"));
    let table = Prices::parse(&format!(r#"{{"models": {{"a": {low}, "b": {high}}}}}"#)).unwrap();
    assert!(is_no_dearer(&table, "a", "b") && !is_no_dearer(&table, "b", "a"));
}

#[test]
fn no_usage_of_a_model_that_is_no_dearer_comes_to_more() {
    // Of models that cost the same one will do.
    let mut models: Vec<&str> = Vec::new();
    for model in table().models() {
        let same = |known: &&str| table().find(known) == table().find(model);
        if !models.iter().any(same) {
            models.push(model);
        }
    }
    let sizes = [1, 100_000, 100_001, 200_001, 272_001];
    let tiers = [None, Some("flex"), Some("priority"), Some("fast"), Some("ultrafast"), Some("?")];
    let regions = [None, Some("us"), Some("eu"), Some("?")];
    // What has no price on one side only, is asked for on neither.
    let units = Unit::ALL.into_iter().filter(|unit| *unit != Unit::WebSearch);
    let units: Vec<Unit> = units.collect();
    let mut compared = 0;
    for one in &models {
        for other in models.iter().filter(|other| is_no_dearer(table(), one, other)) {
            let (mine, theirs) = (table().find(one).unwrap(), table().find(other).unwrap());
            for size in sizes {
                for (tier, region) in tiers.iter().flat_map(|t| regions.map(|region| (t, region))) {
                    let usage = |unit: Unit| Usage {
                        tier: tier.map(str::to_owned),
                        region: region.map(str::to_owned),
                        ..used(&[(Unit::Input, size), (unit, size)])
                    };
                    for unit in &units {
                        let (mine, theirs) =
                            (charge(mine, &usage(*unit)), charge(theirs, &usage(*unit)));
                        assert!(
                            mine.amount <= theirs.amount,
                            "{one} and {other}: {size} {unit:?} {tier:?} {region:?}"
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 100_000, "{compared}");
}
