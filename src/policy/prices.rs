//! Prices of metered calls that operators set, in the place of those that come with the program.
//!
//! Here they are kept, and nothing in them is read: a model's prices are a text that the meter has
//! read before it was written down.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    documents::DocKey,
    entry::{Fact, Hash},
    names::{Note, TokenId},
    operate::{Act, OperateError, operator},
    state::State,
};

/// How long all texts of models may be together, with their names: several times as long as what
/// comes with the program, and a small part of what a record holds.
pub const MAX_PRICES: usize = 1024 * 1024;

/// Where prices are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What the table says it is, or is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The day that it says its prices are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_at: Option<String>,
    /// The digest of the table as it was published, or as it was given.
    pub sha256: Hash,
}

/// Prices that an operator set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricesSet {
    /// Where they are from.
    pub origin: Origin,
    /// What the table says of each model.
    pub models: BTreeMap<String, String>,
    /// The operator's token that was shown; none where it was the passphrase, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The models of one table that no later one has named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPrices {
    /// Where they are from.
    pub origin: Origin,
    /// When they were set (µs since 1970).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// What the table says of each.
    pub models: BTreeMap<String, String>,
}

/// All prices that operators set, by the tables they came in, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The tables; no two have the same model.
    pub tables: Vec<SetPrices>,
}

impl Overlay {
    /// The same with what was set at `at`.
    fn with(&self, set: &PricesSet, at: Timestamp) -> Self {
        let mut tables = self.tables.clone();
        for table in &mut tables {
            table.models.retain(|model, _| !set.models.contains_key(model));
        }
        tables.retain(|table| !table.models.is_empty());
        let (origin, models) = (set.origin.clone(), set.models.clone());
        tables.push(SetPrices { origin, at, models });
        Self { tables }
    }

    fn weight(&self) -> usize {
        let models = self.tables.iter().flat_map(|table| &table.models);
        let each = models.map(|(model, text)| model.len().saturating_add(text.len()));
        each.fold(0, usize::saturating_add)
    }
}

impl State {
    /// The prices that operators set.
    pub fn prices(&self) -> &Arc<Overlay> {
        &self.prices
    }

    pub(super) fn fold_prices(&mut self, set: &PricesSet, at: Timestamp) {
        self.touched.insert(DocKey::Prices);
        self.prices = Arc::new(self.prices.with(set, at));
    }
}

/// Sets prices, as long as those that were set are still `before`.
///
/// # Errors
/// If others were set meanwhile, or all of them would be too long.
pub fn set_prices(
    state: &State,
    before: &Overlay,
    set: PricesSet,
    now: Timestamp,
) -> Result<Act, OperateError> {
    if **state.prices() != *before {
        return Err(OperateError::PricesSetMeanwhile);
    }
    if before.with(&set, now).weight() > MAX_PRICES {
        return Err(OperateError::TooManyPrices);
    }
    Ok(Act::Write(vec![operator(None, Fact::PricesSet(Box::new(set)))]))
}
