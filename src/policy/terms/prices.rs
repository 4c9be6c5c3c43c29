//! Prices of metered calls, as operators set and read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::names::Note;

/// The body that sets prices, or asks what they would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesAsked {
    /// The table, JSON as a text: in the form of `prices.json`, or as litellm publishes its own.
    pub table: String,
    /// What it is called, where it does not say so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The digest of what was shown before: if it is said, nothing else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a table of prices changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PricesPlan {
    /// Whether it was done.
    pub applied: bool,
    /// The digest of all of it.
    pub plan: String,
    /// How many models get a first price.
    pub added: u32,
    /// How many cost less, or could.
    pub cheaper: u32,
    /// How many only cost more.
    pub dearer: u32,
    /// How many stay as they are.
    pub unchanged: u32,
    /// Some of the models that are new or cost something else, the first of each kind.
    pub changes: Vec<PriceChange>,
}

impl PricesPlan {
    /// Whether agents can have more done for the same money: what takes an operator's proof.
    pub fn gives_more(&self) -> bool {
        self.added > 0 || self.cheaper > 0
    }

    /// Whether all is so already.
    pub fn is_nothing(&self) -> bool {
        !self.gives_more() && self.dearer == 0
    }
}

/// How other prices of a model differ from those it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceChanges {
    /// It had none.
    Added,
    /// Something of it costs less, or could.
    Cheaper,
    /// Something of it costs more, and nothing less.
    Dearer,
}

/// What is told of a model whose prices change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceChange {
    /// Its name.
    pub model: String,
    /// How they differ.
    pub change: PriceChanges,
    /// The plainest of its prices as they were; none where it had no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PlainPrice>,
    /// The same as they will be.
    pub to: PlainPrice,
}

/// What a million tokens of a model cost in plain calls: of the tier `standard`, wherever the
/// vendor likes, with an input that is not long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlainPrice {
    /// Of the input.
    pub input_usd: String,
    /// Of the input where it is read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_usd: Option<String>,
    /// Of the output.
    pub output_usd: String,
}

/// Which models are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesWanted {
    /// Only this one, with all that it may cost; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The prices of metered calls as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceTable {
    /// The tables that they are from: first the one that comes with the program, then those that
    /// were set, the newest last.
    pub tables: Vec<PriceSource>,
    /// The models.
    pub models: Vec<ModelPrice>,
}

/// Where prices are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceSource {
    /// What it says it is, or is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The day that it says its prices are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_at: Option<String>,
    /// The SHA-256 of the table as it was published, or as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was set; not where it comes with the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Timestamp>,
    /// How many models have their prices from it.
    pub models: u32,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelPrice {
    /// Its name.
    pub model: String,
    /// The table that its prices are from, counted from 0.
    pub table: u32,
    /// In plain calls.
    #[serde(flatten)]
    pub plain: PlainPrice,
    /// The most tokens it takes in one call, where the table says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// The most tokens it puts out in one answer, where the table says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// In all calls, where one model is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<ModelRate>,
}

/// What the calls of one tier, region and size cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRate {
    /// The tier.
    pub tier: String,
    /// The region; none where the vendor chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// It is of calls whose input has more tokens than this; what it does not say is as below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_tokens: Option<u64>,
    /// What a million of each unit cost, in dollars.
    pub per_million_usd: BTreeMap<String, String>,
}
