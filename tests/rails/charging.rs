//! What usages come to: exactly what the table says, to the pico-dollar, rounded up once.

use std::{collections::BTreeSet, sync::LazyLock};

use pettycash::{
    policy::money::Usd,
    rails::meter::{Flag, Prices, Unit, Usage, charge},
};
use proptest::prelude::*;
use serde_json::Value;

use super::{table, used};

/// A whole number in decimal digits, the lowest first, as long as it needs to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Digits(Vec<u8>);

impl Digits {
    fn of(text: &str) -> Self {
        Self(text.bytes().rev().map(|byte| byte - b'0').collect())
    }

    fn carried(mut sums: Vec<u64>) -> Self {
        let mut carry = 0;
        for place in &mut sums {
            carry += *place;
            *place = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            sums.push(carry % 10);
            carry /= 10;
        }
        Self(sums.into_iter().map(|digit| u8::try_from(digit).unwrap()).collect())
    }

    fn plus(&self, other: &Self) -> Self {
        let at = |digits: &Self, place: usize| u64::from(*digits.0.get(place).unwrap_or(&0));
        let places = self.0.len().max(other.0.len());
        Self::carried((0..places).map(|place| at(self, place) + at(other, place)).collect())
    }

    fn times(&self, other: &Self) -> Self {
        let mut sums = vec![0; self.0.len() + other.0.len()];
        for (place, digit) in self.0.iter().enumerate() {
            for (more, by) in other.0.iter().enumerate() {
                sums[place + more] += u64::from(*digit) * u64::from(*by);
            }
        }
        Self::carried(sums)
    }

    /// A thousandth, rounded up.
    fn thousandth(&self) -> Self {
        let rest = self.0.iter().take(3).any(|digit| *digit > 0);
        let whole = Self(self.0.iter().skip(3).copied().collect());
        if rest { whole.plus(&Self::of("1")) } else { whole }
    }

    fn text(&self) -> String {
        let text: String = self.0.iter().rev().map(|digit| char::from(digit + b'0')).collect();
        let text = text.trim_start_matches('0');
        if text.is_empty() { "0".to_owned() } else { text.to_owned() }
    }
}

/// The charge in nano-dollars by the table as it is written, in decimals of any length.
fn oracle(model: &Value, rate: &str, counts: &[(Unit, u64)]) -> String {
    let rate = &model["rates"][rate];
    let size: u64 = counts.iter().filter(|(unit, _)| unit.is_input()).map(|(_, count)| count).sum();
    let above = rate["above"].as_object().into_iter().flatten();
    let reached = above.filter(|(tokens, _)| size > tokens.parse().unwrap());
    let tier = reached.max_by_key(|(tokens, _)| tokens.parse::<u64>().unwrap());
    let mut sum = Digits::default();
    for (unit, count) in counts.iter().filter(|(_, count)| *count > 0) {
        let price = tier.and_then(|(_, prices)| prices[unit.name()].as_str());
        let price = price.or_else(|| rate[unit.name()].as_str()).unwrap();
        let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
        let picos = Digits::of(&format!("{whole}{fraction:0<12}"));
        sum = sum.plus(&picos.times(&Digits::of(&count.to_string())));
    }
    sum.thousandth().text()
}

/// The table as it is written.
fn written() -> &'static Value {
    static WRITTEN: LazyLock<Value> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../src/rails/meter/prices.json")).unwrap()
    });
    &WRITTEN
}

/// What a model has a price for in that rate.
fn priced(rate: &Value) -> Vec<Unit> {
    Unit::ALL.into_iter().filter(|unit| rate[unit.name()].is_string()).collect()
}

fn usage_at(rate: &str, counts: &[(Unit, u64)]) -> Usage {
    let (tier, region) = rate.split_once('/').unwrap_or((rate, ""));
    let region = Some(region.to_owned()).filter(|region| !region.is_empty());
    Usage { tier: Some(tier.to_owned()), region, ..used(counts) }
}

#[test]
fn each_unit_of_each_model_costs_what_the_table_says() {
    let (table, written) = (table(), written());
    let mut charges = 0;
    for (name, model) in written["models"].as_object().unwrap() {
        let prices = table.find(name).unwrap();
        for (rate, fields) in model["rates"].as_object().unwrap() {
            for unit in priced(fields) {
                for count in [1, 999, 99_999, 100_001, 272_000, 272_001, 7_000_003] {
                    let long = fields["above"].is_object() || rate == "standard";
                    if !long && unit.is_input() && count > 272_000 {
                        continue;
                    }
                    let usage = usage_at(rate, &[(unit, count)]);
                    let charge = charge(prices, &usage);
                    let exact = oracle(model, rate, &[(unit, count)]);
                    assert_eq!(charge.amount.nanos().to_string(), exact, "{name} {rate} {unit:?}");
                    assert!(charge.flags.is_empty(), "{name} {rate} {unit:?} {:?}", charge.flags);
                    charges += 1;
                }
            }
        }
    }
    assert!(charges > 8_000, "{charges}");
}

proptest! {
    #[test]
    fn a_charge_is_the_exact_sum_rounded_up_once(
        nth in 0_usize..10_000, which in 0_usize..10_000,
        counts in prop::collection::vec(
            prop_oneof![Just(0_u64), 0_u64..50, 0_u64..400_000, 0_u64..1_000_000_000], 8),
    ) {
        let (table, written) = (table(), written());
        let models: Vec<_> = written["models"].as_object().unwrap().iter().collect();
        let (name, model) = models[nth % models.len()];
        let rates: Vec<_> = model["rates"].as_object().unwrap().iter().collect();
        let standard = &model["rates"]["standard"];
        // Where a tier is not sold for long inputs, the table is read as dearer than it is written.
        let rates: Vec<_> = rates.into_iter().filter(|(_, rate)| {
            rate["above"].is_object() == standard["above"].is_object()
        }).collect();
        let (rate, fields) = rates[which % rates.len()];
        let counts: Vec<_> = priced(fields).into_iter().zip(counts).collect();
        let charge = charge(table.find(name).unwrap(), &usage_at(rate, &counts));
        prop_assert_eq!(charge.amount.nanos().to_string(), oracle(model, rate, &counts));
        prop_assert!(charge.flags.is_empty());
    }

    #[test]
    fn no_usage_makes_a_charge_overflow_or_costs_less_than_a_part_of_it(
        tier in prop::option::of("[a-z]{0,9}"), counts in prop::collection::vec(any::<u64>(), 8),
    ) {
        let text = r#"{"models": {"m": {"rates": {"standard": {"input": "1000000",
            "output": "1000000", "cache_read": "1000000", "web_search": "1000000"}}}}}"#;
        for table in [table(), &Prices::parse(text).unwrap()] {
            let name = table.models().next().unwrap().to_owned();
            let prices = table.find(&name).unwrap();
            let counts: Vec<_> = Unit::ALL.into_iter().zip(counts.iter().copied()).collect();
            let whole = charge(prices, &Usage { tier: tier.clone(), ..used(&counts) });
            for part in &counts {
                let part = charge(prices, &Usage { tier: tier.clone(), ..used(&[*part]) });
                prop_assert!(part.amount <= whole.amount);
            }
        }
    }
}

#[test]
fn many_fractions_of_a_nano_dollar_are_rounded_up_once() {
    let text = r#"{"models": {"m": {"rates": {"standard": {"input": "0.000000000001",
        "cache_read": "0.000000000001", "output": "0.000000000001"}}}}}"#;
    let table = Prices::parse(text).unwrap();
    let amount = |counts: &[(Unit, u64)]| charge(table.find("m").unwrap(), &used(counts)).amount;
    let nanos = |counts: &[(Unit, u64)]| amount(counts).nanos();
    assert_eq!(nanos(&[]), 0);
    assert_eq!(nanos(&[(Unit::Input, 1)]), 1);
    assert_eq!(nanos(&[(Unit::Input, 1), (Unit::CacheRead, 1), (Unit::Output, 1)]), 1);
    assert_eq!(nanos(&[(Unit::Input, 500), (Unit::Output, 500)]), 1);
    assert_eq!(nanos(&[(Unit::Input, 500), (Unit::Output, 501)]), 2);

    // Haiku 4.5: 1,234 in, 2,000 to the cache, 10,001 from it and 57 out are $0.0050191.
    let call = [
        (Unit::Input, 1_234),
        (Unit::CacheWrite, 2_000),
        (Unit::CacheRead, 10_001),
        (Unit::Output, 57),
    ];
    let charged = charge(super::table().find("claude-haiku-4-5").unwrap(), &used(&call));
    assert_eq!(charged.amount.decimal(), "0.0050191");
}

#[test]
fn the_size_of_the_input_with_its_cache_decides_the_prices_of_the_whole_call() {
    let table = table();
    let prices = table.find("claude-haiku-5-5").unwrap();
    let nanos = |counts: &[(Unit, u64)]| charge(prices, &used(counts)).amount.nanos();
    let at = |read: u64| [(Unit::Input, 10), (Unit::CacheRead, read), (Unit::Output, 1_000)];
    // $0.10, $0.01 and $0.50 per million up to 100,000; five times as much above, for all of it.
    assert_eq!(nanos(&at(99_990)), 10 * 100 + 99_990 * 10 + 1_000 * 500);
    assert_eq!(nanos(&at(99_991)), 10 * 500 + 99_991 * 50 + 1_000 * 2_500);
    // What comes out makes no input larger.
    assert_eq!(nanos(&[(Unit::Output, 1_000_000)]), 1_000_000 * 500);
}

#[test]
fn what_the_table_has_no_rate_for_costs_the_dearest_and_is_flagged() {
    let table = table();
    let prices = table.find("gpt-6-astra").unwrap();
    let used = used(&[(Unit::Input, 1_000), (Unit::Output, 10)]);
    let at = |tier: Option<&str>, region: Option<&str>| {
        let (tier, region) = (tier.map(str::to_owned), region.map(str::to_owned));
        charge(prices, &Usage { tier, region, ..used.clone() })
    };
    let nanos = |input: i64, output: i64| Usd::try_from(input * 1_000 + output * 10).unwrap();
    assert_eq!(at(None, None).amount, nanos(10_000, 50_000));
    assert_eq!(at(Some("ultrafast"), None).amount, nanos(60_000, 300_000));
    assert_eq!(at(Some("flex"), Some("eu")).amount, nanos(5_500, 27_500));
    let dearest = nanos(66_000, 330_000);
    for (tier, region, amount) in [
        (Some("scale"), None, dearest),
        (Some("batch"), None, dearest),
        (Some("?"), None, dearest),
        (Some("scale"), Some("us"), dearest),
        (None, Some("moon"), nanos(11_000, 55_000)),
        (Some("flex"), Some("moon"), nanos(5_500, 27_500)),
    ] {
        let charge = at(tier, region);
        assert_eq!(charge.amount, amount, "{tier:?} {region:?}");
        assert!(charge.flags.contains(&Flag::UnknownRate), "{tier:?} {region:?}");
    }
}

#[test]
fn what_a_model_has_no_price_for_costs_the_dearest_of_its_kind_and_is_flagged() {
    let table = table();
    let prices = table.find("gpt-4o-mini").unwrap();
    let written = charge(prices, &used(&[(Unit::CacheWrite, 1_000)]));
    assert_eq!(written.amount.nanos(), 150_000);
    assert!(written.complete && written.flags.contains(&Flag::NoPrice(Unit::CacheWrite)));
    let sound = charge(prices, &used(&[(Unit::OutputAudio, 1_000)]));
    assert_eq!(sound.amount.nanos(), 600_000);
    let prices = table.find("claude-haiku-4-5").unwrap();
    let searched = charge(prices, &used(&[(Unit::WebSearch, 1)]));
    assert!(searched.flags.contains(&Flag::NoPrice(Unit::WebSearch)));
    assert!(!searched.complete, "what stands in for nothing is not known to cost nothing");
    let ran = BTreeSet::from([Flag::UnpricedTool]);
    assert!(!charge(prices, &Usage { flags: ran, ..used(&[(Unit::Output, 1)]) }).complete);
}
