//! Prices of metered calls: those that come with the program, and those that operators set in
//! their place. What is set is worked out and read by the meter before it is written down.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Engine, EngineError, Proof};
use crate::{
    policy::{
        entry::Hash,
        operate::OperateError,
        prices::{self, Origin, Overlay, PricesSet},
        state::State,
        terms::{
            ModelPrice, ModelRate, PlainPrice, PriceChange, PriceChanges, PriceSource, PriceTable,
            PricesAsked, PricesPlan, PricesWanted,
        },
    },
    rails::meter::{
        Differs, ModelPrices, PricePerUnit, Prices, Renewal, TableError, Unit, UnknownModel,
        own_form,
    },
    store::{Purpose, StoreError},
};

/// The longest table that is read.
pub use crate::rails::meter::MAX_TABLE;

/// How many changes of each kind are told.
const TOLD: usize = 10;
/// The longest name that is taken for a table that does not say its own.
const MAX_SOURCE: usize = 200;
/// The tier that plain calls are of.
const STANDARD: &str = "standard";

/// Why there are no such prices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    /// The table is none.
    #[error("the table of prices is not taken: {0}")]
    Table(#[from] TableError),
    /// A model has no price.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// What the table changes is not what was shown.
    #[error("what this changes is not what was shown: something was changed meanwhile")]
    ChangedMeanwhile,
}

/// A table that was read and held against the present prices.
struct Prepared {
    plan: PricesPlan,
    before: Arc<Overlay>,
    set: PricesSet,
    prices: Arc<Prices>,
}

/// A table of prices in the form that the engine takes, whichever it is: `source` and `day` tell
/// what litellm's is, and of when.
///
/// # Errors
/// What is wrong with it, with the name of the model.
pub fn table(text: &str, source: &str, day: &str) -> Result<String, PricesError> {
    let own = own_form(text, source, day)?.into_owned();
    Renewal::read(&own)?;
    Ok(own)
}

impl Engine {
    /// The prices of metered calls as they are, of all models or of one.
    ///
    /// # Errors
    /// If the model has none, or the store fails.
    pub async fn prices(&self, wanted: PricesWanted) -> Result<PriceTable, EngineError> {
        let overlay = self.look(|state, _| Arc::clone(state.prices())).await?;
        let prices = self.rails.prices().get();
        if let Some(model) = wanted.model {
            prices.find(&model).map_err(PricesError::from)?;
            return Ok(told(&overlay, &prices, Some(&model)));
        }
        Ok(told(&overlay, &prices, None))
    }

    /// Sets the prices that a table has, or says what that would change; models that it does not
    /// name stay as they are. Where all of it only costs more it takes no proof; any other table
    /// takes an operator's.
    ///
    /// # Errors
    /// If the table is none, would change something else than was shown, the proof does not do, or
    /// the store refuses.
    pub async fn set_prices(
        &self,
        asked: PricesAsked,
        proof: Option<Proof>,
    ) -> Result<PricesPlan, EngineError> {
        let (dry_run, shown) = (asked.dry_run, asked.plan.clone());
        let prepared = self.prepare_prices(asked).await?;
        if !dry_run && shown.is_some_and(|shown| shown != prepared.plan.plan) {
            return Err(PricesError::ChangedMeanwhile.into());
        }
        if dry_run || prepared.plan.is_nothing() {
            return Ok(prepared.plan);
        }
        let proven;
        let engine = if prepared.plan.gives_more() {
            proven = self.prove(proof).await?;
            &proven
        } else {
            self
        };
        engine.commit_prices(prepared).await
    }

    /// Reads the table and works out what it changes, away from where payments are decided.
    async fn prepare_prices(&self, asked: PricesAsked) -> Result<Prepared, EngineError> {
        let (before, now) = self.look(|state, now| (Arc::clone(state.prices()), now)).await?;
        let day = now.strftime("%Y-%m-%d").to_string();
        let prepared = tokio::task::spawn_blocking(move || prepare(&asked, before, &day));
        Ok(prepared.await.map_err(|_| StoreError::Panicked)??)
    }

    async fn commit_prices(&self, prepared: Prepared) -> Result<PricesPlan, EngineError> {
        let Prepared { plan, before, mut set, prices } = prepared;
        set.token = self.shown_token();
        let (models, shared) = (set.models.len(), self.rails.prices().clone());
        let decide = move |state: &State, now| {
            prices::set_prices(state, &before, set, now).map(|act| (act, ()))
        };
        let read = move |_: &State, _, ()| {
            shared.set(prices);
            PricesPlan { applied: true, ..plan }
        };
        let applied = self.act(Purpose::Anchored, decide, read).await;
        let applied = applied.map_err(|error| match error {
            // It was to be written down, and its sync failed.
            EngineError::Store(StoreError::InMemory { cause }) => {
                StoreError::Uncertain { cause }.into()
            }
            other => other,
        });
        if applied.is_err() {
            // Whatever is so now is charged by.
            self.meter_by_the_record().await?;
        }
        tracing::info!(models, done = applied.is_ok(), "prices set");
        applied
    }

    /// Has the rails meter by the prices that the record says.
    pub(super) async fn meter_by_the_record(&self) -> Result<(), EngineError> {
        let overlay = self.look(|state, _| Arc::clone(state.prices())).await?;
        if !overlay.tables.is_empty() {
            self.rails.prices().set(Arc::new(present(&overlay)));
        }
        Ok(())
    }
}

/// The prices that come with the program, and what was set on top of them.
fn present(overlay: &Overlay) -> Prices {
    let mut prices = bundled();
    for (model, text) in overlay.tables.iter().flat_map(|table| &table.models) {
        prices = match one(model, text) {
            Ok(one) => prices.with(one),
            // Charged by other prices than were set it would be charged wrongly.
            Err(error) => {
                tracing::error!(%error, model, "a model has no price, for its own is not read");
                prices.without(model)
            }
        };
    }
    prices
}

fn bundled() -> Prices {
    Prices::bundled().unwrap_or_default()
}

/// A table of one model.
fn one(model: &str, text: &str) -> Result<Prices, TableError> {
    Prices::parse(&format!("{{\"models\": {{{}: {text}}}}}", serde_json::Value::from(model)))
}

fn prepare(asked: &PricesAsked, before: Arc<Overlay>, day: &str) -> Result<Prepared, PricesError> {
    let called = asked.source.as_deref().unwrap_or("a table");
    let called: String = called.chars().take(MAX_SOURCE).collect();
    let own = own_form(&asked.table, &called, day)?;
    let renewal = Renewal::read(&own)?;
    let prices = present(&before);
    let mut plan = plan(&prices, &renewal.prices);
    let source = renewal.prices.source().map_or(called, str::to_owned);
    let source = crate::policy::names::unhidden(&source, |_, hidden, told| {
        told.push(char::REPLACEMENT_CHARACTER);
        hidden.len_utf8()
    });
    let origin = Origin {
        source: Some(source),
        priced_at: renewal.prices.priced_at().map(str::to_owned),
        sha256: Hash(renewal.sha256),
    };
    let set = PricesSet { origin, models: renewal.models, token: None, note: asked.note.clone() };
    let basis = serde_json::to_vec(&(&set.origin, &set.models, &*before)).unwrap_or_default();
    plan.plan = Hash(Sha256::digest(&basis).into()).to_string();
    let prices = Arc::new(prices.with(renewal.prices));
    Ok(Prepared { plan, before, set, prices })
}

/// What of a table is new, dearer or cheaper.
fn plan(before: &Prices, table: &Prices) -> PricesPlan {
    let mut found: [(PriceChanges, Vec<PriceChange>, u32); 3] =
        [PriceChanges::Added, PriceChanges::Cheaper, PriceChanges::Dearer]
            .map(|change| (change, Vec::new(), 0));
    let mut unchanged = 0_u32;
    for name in table.models() {
        let Some(now) = table.get(name) else { continue };
        let was = before.get(name);
        let change = match was.map(|was| now.since(was)) {
            None => PriceChanges::Added,
            Some(Differs::Cheaper) => PriceChanges::Cheaper,
            Some(Differs::Dearer) => PriceChanges::Dearer,
            Some(Differs::Same) => {
                unchanged = unchanged.saturating_add(1);
                continue;
            }
        };
        for (kind, told, count) in &mut found {
            if *kind == change {
                *count = count.saturating_add(1);
                if told.len() < TOLD {
                    let (from, to) = (was.map(plain), plain(now));
                    told.push(PriceChange { model: name.to_owned(), change, from, to });
                }
            }
        }
    }
    let [added, cheaper, dearer] = found;
    PricesPlan {
        applied: false,
        plan: String::new(),
        added: added.2,
        cheaper: cheaper.2,
        dearer: dearer.2,
        unchanged,
        changes: [added.1, cheaper.1, dearer.1].concat(),
    }
}

/// What a million tokens cost in plain calls.
fn plain(model: &ModelPrices) -> PlainPrice {
    let price = |unit| model.price(STANDARD, None, unit, 1).map(PricePerUnit::per_million);
    PlainPrice {
        input_usd: price(Unit::Input).unwrap_or_default(),
        cache_read_usd: price(Unit::CacheRead),
        output_usd: price(Unit::Output).unwrap_or_default(),
    }
}

/// The prices of all models, or all prices of one.
fn told(overlay: &Overlay, prices: &Prices, only: Option<&str>) -> PriceTable {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let bundled = bundled();
    let set = |model: &str| {
        let tables = overlay.tables.iter();
        tables.enumerate().find(|(_, table)| table.models.contains_key(model)).map(|(at, _)| at)
    };
    let own = bundled.models().filter(|model| set(model).is_none()).count();
    let ours = PriceSource {
        source: bundled.source().map(str::to_owned),
        priced_at: bundled.priced_at().map(str::to_owned),
        sha256: bundled.sha256().map(str::to_owned),
        set_at: None,
        models: count(own),
    };
    let theirs = overlay.tables.iter().map(|table| PriceSource {
        source: table.origin.source.clone(),
        priced_at: table.origin.priced_at.clone(),
        sha256: Some(table.origin.sha256.to_string()),
        set_at: Some(table.at),
        models: count(table.models.len()),
    });
    let wanted = prices.models().filter(|model| only.is_none_or(|only| only == *model));
    let models = wanted.filter_map(|name| {
        let model = prices.get(name)?;
        Some(ModelPrice {
            model: name.to_owned(),
            table: count(set(name).map_or(0, |at| at.saturating_add(1))),
            plain: plain(model),
            max_input_tokens: model.max_input_tokens(),
            max_output_tokens: model.max_output_tokens(),
            rates: if only.is_some() { rates(model) } else { Vec::new() },
        })
    });
    PriceTable { tables: [ours].into_iter().chain(theirs).collect(), models: models.collect() }
}

fn rates(model: &ModelPrices) -> Vec<ModelRate> {
    let each = model.listed().into_iter().map(|listed| ModelRate {
        tier: listed.tier.to_owned(),
        region: listed.region.map(str::to_owned),
        above_tokens: listed.above,
        per_million_usd: listed
            .prices
            .iter()
            .map(|(unit, price)| (unit.name().to_owned(), price.per_million()))
            .collect(),
    });
    each.collect()
}

/// The status, code and hint that an operator gets.
pub(super) fn problem(error: &PricesError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        PricesError::Table(_) => (422, "prices_invalid", Some("nothing was changed")),
        PricesError::Unknown(_) => (
            404,
            "model_unknown",
            Some("`pettycash prices show` lists the models that have a price"),
        ),
        PricesError::ChangedMeanwhile => changed(),
    }
}

/// The same where it is policy that says no.
pub(super) fn problem_of(error: &OperateError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        OperateError::TooManyPrices => {
            (422, "prices_too_large", Some("nothing was changed; name fewer models in the table"))
        }
        _ => changed(),
    }
}

fn changed() -> (u16, &'static str, Option<&'static str>) {
    (409, "prices_changed", Some("nothing was changed: look again, and then set them"))
}
