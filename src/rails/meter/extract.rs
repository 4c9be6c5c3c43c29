//! An extract of the table of model prices that litellm publishes, in the form of our own.
//!
//! Of the table are taken the models of two vendors that answer in a chat, the prices of their
//! tokens and searches, and the most that a model takes and puts out. What else looks like a price
//! of theirs is an error: a price that is overlooked would be charged as another.

use std::{collections::BTreeMap, fmt::Write, iter};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::{PriceError, Prices, TableError, Unit, decimal::Decimal, shown, table::wrong};

/// The longest table that is read, in bytes.
pub const MAX_TABLE: usize = 64 * 1024 * 1024;
/// The most times that a rate may be another.
const MAX_FACTOR: u64 = 100;

const VENDORS: [&str; 2] = ["anthropic", "openai"];
const MODES: [&str; 2] = ["chat", "responses"];

/// What the table calls a price, and what it is here. A name stands before those it begins with.
const UNITS: [(&str, Unit); 8] = [
    ("cache_creation_input_token_cost_above_1hr", Unit::CacheWriteLong),
    ("cache_creation_input_token_cost_above_12hr", Unit::CacheWriteLong),
    ("cache_creation_input_token_cost", Unit::CacheWrite),
    ("cache_read_input_token_cost", Unit::CacheRead),
    ("input_cost_per_audio_token", Unit::InputAudio),
    ("input_cost_per_token", Unit::Input),
    ("output_cost_per_audio_token", Unit::OutputAudio),
    ("output_cost_per_token", Unit::Output),
];
/// How the name of a price ends for each tier.
const TIERS: [(&str, &str); 4] =
    [("", STANDARD), ("_flex", "flex"), ("_priority", "priority"), ("_ultrafast", "ultrafast")];
const STANDARD: &str = "standard";
/// The tier that is a factor of the standard one, not prices of its own.
const FAST: &str = "fast";
/// Batches are another endpoint, and nobody says what is billed as `decisions`.
const LEFT_OUT: [&str; 2] = ["_batches", "_decisions"];
/// What a search costs by how much of what it finds is read.
const SEARCHES: &str = "search_context_cost_per_query";
/// Factors of a vendor's own, and how the name of one for a region begins.
const FACTORS: &str = "provider_specific_entry";
const REGIONAL: &str = "regional_processing_uplift_multiplier_";
/// What the name of a price has in it, at least.
const PRICE_WORDS: [&str; 4] = ["cost", "price", "multiplier", "uplift"];

/// Whose the table is, as its licence asks to have it told.
const LICENCE: &str = "MIT, Copyright (c) 2023 Berri AI; the notice is in PRICES.md";

/// Prices by unit; by the size of input from which on they are due; and by tier.
type ByUnit = BTreeMap<Unit, Decimal>;
type BySize = BTreeMap<Option<u64>, ByUnit>;
type ByTier = BTreeMap<String, BySize>;

/// An object as it is written, in order, no name twice.
pub(super) struct Fields<'a>(pub(super) Vec<(String, &'a RawValue)>);

/// Takes our part out of litellm's table. `source` says which it is, `priced_at` of which day.
///
/// The same table gives the same text, which [`Prices::parse`] takes.
///
/// # Errors
/// What is wrong, with the name of the model.
pub fn extract(text: &str, source: &str, priced_at: &str) -> Result<String, TableError> {
    if text.len() > MAX_TABLE {
        return wrong("the table", format!("it is longer than {MAX_TABLE} bytes"));
    }
    let Fields(mut models) = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(error) => return wrong("the table", format!("it is no JSON of a table: {error}")),
    };
    models.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut rows = Vec::new();
    for (name, model) in &models {
        let at = shown(name);
        let Ok(fields) = serde_json::from_str::<Fields>(model.get()) else {
            return wrong(&at, "it has to be an object that names nothing twice");
        };
        if fields.is_ours() {
            rows.push(format!("    {}: {}", quoted(name), model_text(&at, &fields)?));
        }
    }
    if rows.is_empty() {
        let vendors = VENDORS.join(" or ");
        return wrong("the table", format!("it has no model of {vendors} with a price per token"));
    }
    let digest = Sha256::digest(text.as_bytes());
    let sha256 = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let head =
        [("source", source), ("sha256", &sha256), ("priced_at", priced_at), ("licence", LICENCE)];
    let head = head.map(|(name, told)| format!("  {}: {},", quoted(name), quoted(told)));
    let lines = [&head.join("\n"), "  \"models\": {", &rows.join(",\n"), "  }"];
    let extract = format!("{{\n{}\n}}\n", lines.join("\n"));
    Prices::parse(&extract)?;
    Ok(extract)
}

impl<'a> Fields<'a> {
    /// What stands there as a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// What stands there, as it is written.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(named, _)| named == name).map(|(_, value)| value.get())
    }

    /// Whether it is a model that is metered here.
    fn is_ours(&self) -> bool {
        let one_of = |name: &str, known: &[&str]| {
            self.text(name).is_some_and(|text| known.contains(&text.as_str()))
        };
        one_of("litellm_provider", &VENDORS)
            && one_of("mode", &MODES)
            && self.get("input_cost_per_token").is_some()
    }
}

/// One model, as our table writes it.
fn model_text(name: &str, fields: &Fields) -> Result<String, TableError> {
    let mut tiers = tiers(name, fields)?;
    let mut regions = Vec::new();
    for (region, raw) in factors(name, fields)? {
        let factor = factor(&format!("{name}: {region}"), raw)?;
        if region == FAST {
            let standard = tiers.get(STANDARD).cloned().unwrap_or_default();
            tiers.insert(region, times(name, &standard, factor)?);
        } else {
            regions.push((region, factor));
        }
    }
    let plain = tiers.clone();
    for (region, factor) in regions {
        for (tier, rate) in &plain {
            tiers.insert(format!("{tier}/{region}"), times(name, rate, factor)?);
        }
    }
    let mut most = String::new();
    for field in ["max_input_tokens", "max_output_tokens"] {
        match fields.get(field) {
            // Writing to a text cannot fail.
            Some(tokens) if tokens.parse::<u64>().is_ok() => {
                let _ = write!(most, "\"{field}\": {tokens}, ");
            }
            Some(_) => {
                let at = format!("{name}: {field}");
                return wrong(&at, "it has to be a whole number of tokens");
            }
            None => {}
        }
    }
    let standard = tiers.remove_entry(STANDARD);
    let mut rows = Vec::new();
    for (tier, rate) in standard.into_iter().chain(tiers) {
        rows.push(format!("      {}: {{{}}}", quoted(&tier), rate_text(name, &rate)?));
    }
    Ok(format!("{{{most}\"rates\": {{\n{}\n    }}}}", rows.join(",\n")))
}

/// The prices as the table has them.
fn tiers(name: &str, fields: &Fields) -> Result<ByTier, TableError> {
    let mut found = ByTier::new();
    for (field, raw) in &fields.0 {
        let at = || format!("{name}: {}", shown(field));
        if let Some((unit, above, tier)) = meant(field) {
            let rate = found.entry(tier.to_owned()).or_default();
            let prices: &mut ByUnit = rate.entry(above).or_default();
            if prices.insert(unit, price(&at(), raw)?).is_some() {
                return wrong(&at(), "it is another name for what has a price already");
            }
        } else if !is_known(field) && PRICE_WORDS.iter().any(|word| field.contains(word)) {
            return wrong(&at(), "nothing is known of such a price");
        }
    }
    let Some(searches) = fields.get(SEARCHES) else { return Ok(found) };
    let at = format!("{name}: {SEARCHES}");
    let Ok(Fields(searches)) = serde_json::from_str(searches) else {
        return wrong(&at, "it has to be an object of prices");
    };
    let mut prices = Vec::new();
    for (size, raw) in &searches {
        prices.push(price(&format!("{at}.{}", shown(size)), raw)?);
    }
    if let Some(dearest) = prices.into_iter().max_by_key(|price| price.price().ok()) {
        for rate in found.values_mut() {
            rate.entry(None).or_default().insert(Unit::WebSearch, dearest);
        }
    }
    Ok(found)
}

/// What a name of the table is the price of: the unit, the size of input, the tier.
fn meant(field: &str) -> Option<(Unit, Option<u64>, &'static str)> {
    UNITS.iter().find_map(|(name, unit)| {
        let rest = field.strip_prefix(name)?;
        let (above, rest) = match rest.strip_prefix("_above_") {
            Some(rest) => {
                let (size, rest) = rest.split_once("_tokens")?;
                let (size, times) = size.strip_suffix('k').map_or((size, 1), |size| (size, 1_000));
                let digits = size.bytes().all(|byte| byte.is_ascii_digit());
                let size = size.parse::<u64>().ok().filter(|_| digits)?;
                (Some(size.checked_mul(times)?), rest)
            }
            None => (None, rest),
        };
        let (_, tier) = TIERS.iter().find(|(ending, _)| *ending == rest)?;
        Some((*unit, above, *tier))
    })
}

/// Whether a field is read elsewhere, or left out on purpose.
fn is_known(field: &str) -> bool {
    field == SEARCHES
        || field.starts_with(REGIONAL)
        || LEFT_OUT.iter().any(|ending| field.ends_with(ending))
}

/// How many times of its plain rates a model costs, by region or as `fast`; `fast` comes first,
/// for a region has it too.
fn factors<'a>(name: &str, fields: &Fields<'a>) -> Result<Vec<(String, &'a RawValue)>, TableError> {
    let regional = fields
        .0
        .iter()
        .filter_map(|(field, raw)| Some((field.strip_prefix(REGIONAL)?.to_owned(), *raw)));
    let mut all: Vec<(String, &'a RawValue)> = regional.collect();
    if all.iter().any(|(region, _)| region == FAST) {
        return wrong(&format!("{name}: {REGIONAL}{FAST}"), "nothing is known of such a region");
    }
    let own = fields.0.iter().find(|(field, _)| field == FACTORS);
    if let Some((_, raw)) = own.filter(|(_, raw)| raw.get() != "null") {
        let at = format!("{name}: {FACTORS}");
        let Ok(Fields(own)) = serde_json::from_str(raw.get()) else {
            return wrong(&at, "it has to be an object of factors");
        };
        for (factor, raw) in own {
            if ![FAST, "us"].contains(&factor.as_str()) {
                return wrong(&format!("{at}.{}", shown(&factor)), "nothing is known of it");
            }
            // The region's own field is the newer one.
            if !all.iter().any(|(region, _)| *region == factor) {
                all.push((factor, raw));
            }
        }
    }
    all.sort_by_key(|(region, _)| region != FAST);
    Ok(all)
}

fn price(at: &str, raw: &RawValue) -> Result<Decimal, TableError> {
    match Decimal::read(raw.get()) {
        Some(price) => price.price().map(|_| price).map_err(|error| of(at, error)),
        None => wrong(at, format!("`{}` is no price in dollars", shown(raw.get()))),
    }
}

fn factor(at: &str, raw: &RawValue) -> Result<Decimal, TableError> {
    let most = Decimal::read(&MAX_FACTOR.to_string()).and_then(|most| most.price().ok());
    let factor = Decimal::read(raw.get()).filter(|factor| !factor.is_zero());
    match factor.filter(|factor| factor.price().ok() <= most && factor.price().is_ok()) {
        Some(factor) => Ok(factor),
        None => wrong(at, format!("`{}` is no factor up to {MAX_FACTOR}", shown(raw.get()))),
    }
}

/// A rate of which every token costs so many times as much; what is no token costs the same.
fn times(name: &str, rate: &BySize, factor: Decimal) -> Result<BySize, TableError> {
    let mut grown = rate.clone();
    for (unit, price) in grown.values_mut().flatten() {
        if *unit != Unit::WebSearch {
            match price.times(factor) {
                Some(product) => *price = product,
                None => return wrong(name, "a price has too many digits"),
            }
        }
    }
    Ok(grown)
}

/// The prices of a rate, the sizes behind those that are due below them.
fn rate_text(name: &str, rate: &BySize) -> Result<String, TableError> {
    let (mut base, mut above) = (String::new(), Vec::new());
    for (size, prices) in rate {
        let told = prices_text(name, prices)?;
        match size {
            None => base = told,
            Some(size) => above.push(format!("\"{size}\": {{{told}}}")),
        }
    }
    let above = (!above.is_empty()).then(|| format!("\"above\": {{{}}}", above.join(", ")));
    let parts = iter::once(base).filter(|base| !base.is_empty()).chain(above);
    Ok(parts.collect::<Vec<_>>().join(", "))
}

fn prices_text(name: &str, prices: &ByUnit) -> Result<String, TableError> {
    let mut told = String::new();
    for (unit, price) in prices {
        let between = if told.is_empty() { "" } else { ", " };
        let at = format!("{name}: {}", unit.name());
        let price = price.price().map_err(|error| of(&at, error))?;
        // Writing to a text cannot fail.
        let _ = write!(told, "{between}\"{}\": \"{price}\"", unit.name());
    }
    Ok(told)
}

fn of(at: &str, error: PriceError) -> TableError {
    TableError { at: at.to_owned(), wrong: error.to_string() }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{}` stands twice", shown(&name))));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}
