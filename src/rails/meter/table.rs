//! The table of prices: what every model's units cost, and what is said of a model without one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Flag, PricePerUnit, Unit, shown};

/// The most models that a table may name.
const MAX_MODELS: usize = 10_000;
/// The most rates that a model may have, and the most sizes of input with prices of their own.
const MAX_RATES: usize = 64;
/// The longest name of a model, in bytes.
const MAX_NAME: usize = 128;
/// The longest of what a table says of itself, in characters.
const MAX_TOLD: usize = 200;
/// How many names are told that are near to an unknown one.
const MAX_NEAREST: usize = 3;

type ByUnit = BTreeMap<Unit, PricePerUnit>;

/// What a model's units cost in one tier and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    tier: String,
    region: Option<String>,
    base: ByUnit,
    /// The prices of calls whose input has more tokens than this, the smallest first.
    above: BTreeMap<u64, ByUnit>,
}

impl Rate {
    /// What a unit costs in a call with an input of that size.
    pub(super) fn at(&self, unit: Unit, size: u64) -> Option<PricePerUnit> {
        let reached = self.above.range(..size).next_back();
        let price = reached.and_then(|(_, prices)| prices.get(&unit));
        price.or_else(|| self.base.get(&unit)).copied()
    }

    /// The most that a unit costs in any call with an input of at most that size.
    pub(super) fn up_to(&self, unit: Unit, size: u64) -> Option<PricePerUnit> {
        let tiers = self.above.range(..size).map(|(_, prices)| prices);
        tiers.chain([&self.base]).filter_map(|prices| prices.get(&unit)).max().copied()
    }

    /// Takes the other's sizes where it has none itself, at the dearer of the two: a vendor that
    /// does not sell a tier for long inputs serves them as the other.
    fn grow_as(&mut self, other: &Self) {
        if !self.above.is_empty() {
            return;
        }
        for (size, prices) in &other.above {
            let mut grown = self.base.clone();
            for (unit, price) in prices {
                let dearer = grown.get(unit).copied().max(Some(*price)).unwrap_or(*price);
                grown.insert(*unit, dearer);
            }
            self.above.insert(*size, grown);
        }
    }
}

/// The tiers that come into question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tiers<'a> {
    /// One of these.
    Of(&'a [&'a str]),
    /// Nobody knows.
    Any,
}

/// The regions that come into question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Regions<'a> {
    /// This one; nothing for wherever the vendor likes.
    Of(Option<&'a str>),
    /// Nobody knows.
    Any,
}

/// The prices of calls of one size of a model, in one tier and region.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The tier, as the table names it.
    pub tier: &'a str,
    /// The region; none where the vendor chooses it.
    pub region: Option<&'a str>,
    /// They are of calls whose input has more tokens than this; what is not there is as below.
    pub above: Option<u64>,
    /// What each unit costs.
    pub prices: &'a BTreeMap<Unit, PricePerUnit>,
}

/// The prices of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPrices {
    max_input: Option<u64>,
    max_output: Option<u64>,
    rates: Vec<Rate>,
}

impl ModelPrices {
    /// The most tokens that the model takes in one call, where the table has it.
    pub fn max_input_tokens(&self) -> Option<u64> {
        self.max_input
    }

    /// The most tokens that the model puts out in one answer, where the table has it.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output
    }

    /// What a unit costs in a tier and region as the table names them, in a call whose whole input
    /// has `size` tokens. Nothing where the table has no such rate or price.
    pub fn price(
        &self,
        tier: &str,
        region: Option<&str>,
        unit: Unit,
        size: u64,
    ) -> Option<PricePerUnit> {
        let rate = self.rates.iter().find(|rate| rate.tier == tier && rate.region() == region);
        rate.and_then(|rate| rate.at(unit, size))
    }

    /// Every rate there is, as a call of each size would be priced.
    pub fn listed(&self) -> Vec<Listed<'_>> {
        let each = self.rates.iter().flat_map(|rate| {
            let above = rate.above.iter().map(|(size, prices)| (Some(*size), prices));
            let (tier, region) = (rate.tier.as_str(), rate.region());
            let all = [(None, &rate.base)].into_iter().chain(above);
            all.map(move |(above, prices)| Listed { tier, region, above, prices })
        });
        each.collect()
    }

    /// All of its rates.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rate> {
        self.rates.iter()
    }

    /// The rates that come into question. A tier or region that the table has none of is flagged:
    /// then they all do, those of a tier where that is known.
    pub(super) fn rates(&self, tiers: Tiers, regions: Regions) -> (Vec<&Rate>, BTreeSet<Flag>) {
        let all = self.rates.iter();
        let Tiers::Of(tiers) = tiers else {
            return Self::within(all.collect(), regions);
        };
        let (mut found, mut flags) = (Vec::new(), BTreeSet::new());
        for tier in tiers {
            let named: Vec<&Rate> = all.clone().filter(|rate| rate.tier == *tier).collect();
            if named.is_empty() {
                return (all.collect(), BTreeSet::from([Flag::UnknownRate]));
            }
            let (rates, odd) = Self::within(named, regions);
            found.extend(rates);
            flags.extend(odd);
        }
        (found, flags)
    }

    /// Those of the region, or all of them where there are none.
    fn within<'a>(rates: Vec<&'a Rate>, regions: Regions) -> (Vec<&'a Rate>, BTreeSet<Flag>) {
        let Regions::Of(region) = regions else { return (rates, BTreeSet::new()) };
        if rates.iter().any(|rate| rate.region() == region) {
            let there = rates.into_iter().filter(|rate| rate.region() == region);
            return (there.collect(), BTreeSet::new());
        }
        (rates, BTreeSet::from([Flag::UnknownRate]))
    }
}

impl Rate {
    pub(super) fn tier(&self) -> &str {
        &self.tier
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The sizes of input above which there are other prices.
    pub(super) fn borders(&self) -> impl Iterator<Item = u64> {
        self.above.keys().copied()
    }
}

/// What a model in a table has at least.
const EXAMPLE: &str = r#""rates": {"standard": {"input": "0.000001", "output": "0.000005"}}"#;

/// There is no price for a model, so nothing it does can be paid for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no price for the model `{model}`: {}name it under `models` in a table of \
         prices, with {EXAMPLE} in dollars per token", near(.nearest))]
pub struct UnknownModel {
    /// What was asked for, as it may be shown.
    pub model: String,
    /// The names in the table that are most like it.
    pub nearest: Vec<String>,
}

fn near(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("use `{}`, or ", names.join("` or `")) }
}

/// What is wrong with a table of prices, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {wrong}")]
pub struct TableError {
    /// The model and the field, as far as there is one.
    pub at: String,
    /// What is wrong, and what would be right.
    pub wrong: String,
}

pub(super) fn wrong<T>(at: &str, wrong: impl Into<String>) -> Result<T, TableError> {
    Err(TableError { at: at.to_owned(), wrong: wrong.into() })
}

/// A table of prices by the names of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    models: BTreeMap<String, ModelPrices>,
    source: Option<String>,
    priced_at: Option<String>,
    sha256: Option<String>,
}

impl Prices {
    /// The table that comes with the program; `meter/PRICES.md` says where it is from.
    pub fn bundled() -> Result<Self, TableError> {
        Self::parse(include_str!("prices.json"))
    }

    /// Reads a table, as `meter/prices.json` is one. Prices are strings, in dollars per unit.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let table: Value = match serde_json::from_str(text) {
            Ok(table) => table,
            Err(error) => return wrong("the table", format!("it is no JSON: {error}")),
        };
        let table = object("the table", &table)?;
        let Some(models) = table.get("models") else {
            return wrong("the table", "it has no `models`");
        };
        let models = object("models", models)?;
        if models.len() > MAX_MODELS {
            return wrong("models", format!("there are more than {MAX_MODELS}"));
        }
        let told = |field: &str| table.get(field).and_then(Value::as_str).map(told);
        let mut read = BTreeMap::new();
        for (name, model) in models {
            if name.is_empty() || name.len() > MAX_NAME || *name != whole(name) {
                let name = shown(name);
                return wrong(&name, format!("a model's name is plain, of 1 to {MAX_NAME} bytes"));
            }
            read.insert(name.clone(), model_prices(name, model)?);
        }
        let (source, priced_at) = (told("source"), told("priced_at"));
        Ok(Self { models: read, source, priced_at, sha256: told("sha256") })
    }

    /// This table with all of another, which stands where both have a model.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.models.extend(other.models);
        self
    }

    /// This table without a model.
    #[must_use]
    pub fn without(mut self, model: &str) -> Self {
        self.models.remove(model);
        self
    }

    /// The prices of a model by the name that the table has for it, and by no other.
    pub fn find(&self, model: &str) -> Result<&ModelPrices, UnknownModel> {
        self.get(model).ok_or_else(|| {
            let model = shown(model);
            let mut near: Vec<(usize, &String)> =
                self.models.keys().map(|name| (strsim::osa_distance(&model, name), name)).collect();
            near.retain(|(distance, name)| distance.saturating_mul(3) <= name.len());
            near.sort();
            let nearest = near.iter().take(MAX_NEAREST).map(|(_, name)| (*name).clone()).collect();
            UnknownModel { model, nearest }
        })
    }

    /// The same where nobody is told what is near to a name that is not there, which takes a look
    /// at all of them.
    pub fn get(&self, model: &str) -> Option<&ModelPrices> {
        self.models.get(model)
    }

    /// The names of the models that have a price.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Where the table says it is from.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The day that the table says its prices are of.
    pub fn priced_at(&self) -> Option<&str> {
        self.priced_at.as_deref()
    }

    /// The digest of the table that it is an extract of, as it says.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

/// The text with nothing hidden in it.
fn whole(text: &str) -> String {
    text.chars().filter(|c| !crate::policy::names::is_hidden(*c)).collect()
}

/// What a table says of itself, as it may be shown.
fn told(text: &str) -> String {
    whole(text).chars().take(MAX_TOLD).collect()
}

fn object<'a>(at: &str, value: &'a Value) -> Result<&'a Map<String, Value>, TableError> {
    match value.as_object() {
        Some(object) => Ok(object),
        None => wrong(at, "it has to be an object"),
    }
}

fn model_prices(name: &str, model: &Value) -> Result<ModelPrices, TableError> {
    let model = object(name, model)?;
    let (mut max_input, mut max_output, mut rates) = (None, None, Vec::new());
    for (field, value) in model {
        let at = format!("{name}: {}", shown(field));
        match field.as_str() {
            "max_input_tokens" => max_input = Some(tokens(&at, value)?),
            "max_output_tokens" => max_output = Some(tokens(&at, value)?),
            "rates" => {
                let all = object(&at, value)?;
                if all.len() > MAX_RATES {
                    return wrong(&at, format!("there are more than {MAX_RATES}"));
                }
                for (named, prices) in all {
                    rates.push(rate(&format!("{at}.{}", shown(named)), named, prices)?);
                }
            }
            _ => {
                return wrong(
                    &at,
                    "a model has `max_input_tokens`, `max_output_tokens` and `rates`",
                );
            }
        }
    }
    let plain = rates.iter().find(|rate| rate.tier == "standard" && rate.region.is_none());
    let Some(plain) = plain.cloned() else {
        return wrong(&format!("{name}: rates"), "there has to be one named `standard`");
    };
    for unit in [Unit::Input, Unit::Output] {
        if !plain.base.contains_key(&unit) {
            let at = format!("{name}: rates.standard");
            return wrong(&at, format!("there is no price for `{}`", unit.name()));
        }
    }
    for rate in &mut rates {
        rate.grow_as(&plain);
    }
    Ok(ModelPrices { max_input, max_output, rates })
}

fn tokens(at: &str, value: &Value) -> Result<u64, TableError> {
    match value.as_u64().filter(|most| *most > 0) {
        Some(most) => Ok(most),
        None => wrong(at, "it has to be a whole number of tokens, at least one"),
    }
}

fn rate(at: &str, named: &str, rate: &Value) -> Result<Rate, TableError> {
    let (tier, region) = match named.split_once('/') {
        Some((tier, region)) => (tier, Some(region)),
        None => (named, None),
    };
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if !is_name(tier) || !region.is_none_or(is_name) {
        return wrong(at, "a rate is named `tier` or `tier/region`, such as `standard/us`");
    }
    let rate = object(at, rate)?;
    let mut above = BTreeMap::new();
    if let Some(tiers) = rate.get("above") {
        let at = format!("{at}.above");
        let tiers = object(&at, tiers)?;
        if tiers.len() > MAX_RATES {
            return wrong(&at, format!("there are more than {MAX_RATES}"));
        }
        for (size, prices) in tiers {
            let at = format!("{at}.{}", shown(size));
            let Ok(tokens) = size.parse() else {
                return wrong(&at, "it has to be a whole number of tokens");
            };
            above.insert(tokens, unit_prices(&at, object(&at, prices)?)?);
        }
    }
    let base = unit_prices(at, rate)?;
    Ok(Rate { tier: tier.to_owned(), region: region.map(str::to_owned), base, above })
}

fn unit_prices(at: &str, prices: &Map<String, Value>) -> Result<ByUnit, TableError> {
    let mut read = ByUnit::new();
    for (name, price) in prices.iter().filter(|(name, _)| *name != "above") {
        let at = format!("{at}.{}", shown(name));
        let Some(unit) = Unit::named(name) else {
            let units = Unit::ALL.map(Unit::name).join("`, `");
            return wrong(&at, format!("it is none of the units `{units}`"));
        };
        let Some(text) = price.as_str() else {
            return wrong(&at, "a price is a string of dollars per unit, such as \"0.0000025\"");
        };
        match text.parse() {
            Ok(price) => read.insert(unit, price),
            Err(error) => return wrong(&at, format!("`{}`: {error}", shown(text))),
        };
    }
    Ok(read)
}
