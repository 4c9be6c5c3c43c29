//! Prices that operators set: what they change, what it takes, and what is charged by.

use std::fs;

use jiff::Timestamp;
use pettycash::{
    engine::{
        EngineError, Proof,
        recover::Places,
        verify::{Kept, verify_beside},
    },
    policy::{
        entry::Hash,
        operate::OperateError,
        prices::{self, Origin, Overlay, PricesSet, SetPrices},
        state::State,
        terms::{LedgerAsked, PriceChanges, PricesAsked, PricesPlan, PricesWanted},
    },
    rails::{
        Rails,
        meter::{PricePerUnit, Unit},
    },
};
use serde_json::{Value, json};

use crate::support::house::House;

const RIGHT: &str = "correct horse battery";

/// A table of these models, at so many dollars per token in and out.
fn table(models: &[(&str, &str, &str)]) -> String {
    let models = models.iter().map(|(name, input, output)| {
        let rates = json!({"rates": {"standard": {"input": input, "output": output}}});
        ((*name).to_owned(), rates)
    });
    json!({"source": "a contract", "models": models.collect::<serde_json::Map<_, _>>()}).to_string()
}

fn asked(table: &str) -> PricesAsked {
    let table = table.to_owned();
    PricesAsked { table, source: None, plan: None, note: None, dry_run: false }
}

async fn set(house: &House, table: &str) -> Result<PricesPlan, EngineError> {
    house.engine.set_prices(asked(table), None).await
}

fn code(error: &EngineError) -> String {
    error.problem().code
}

/// What a million tokens of a model's input cost whoever meters; nothing where it has no price.
fn input(rails: &Rails, model: &str) -> Option<String> {
    let prices = rails.prices().get();
    let model = prices.find(model).ok()?;
    model.price("standard", None, Unit::Input, 1).map(PricePerUnit::per_million)
}

async fn of_catalogue(house: &House) -> Vec<Value> {
    let page = house.engine.ledger(LedgerAsked::default()).await.unwrap();
    page.entries.iter().map(|entry| serde_json::to_value(entry).unwrap()).collect()
}

#[tokio::test]
async fn what_is_set_is_charged_by_and_survives_a_restart_with_the_desk_and_without() {
    let rails = Rails::default();
    let house = House::with(rails.clone()).await;
    assert_eq!(input(&rails, "ours"), None);
    let first = [("ours", "0.000002", "0.000004"), ("claude-haiku-4-5", "0.000009", "0.00001")];
    let plan = set(&house, &table(&first)).await.unwrap();
    assert!(plan.applied);
    assert_eq!((plan.added, plan.cheaper, plan.dearer, plan.unchanged), (1, 1, 0, 0), "{plan:?}");
    let dearer = table(&[("ours", "0.000003", "0.000004")]);
    let plan = set(&house, &dearer).await.unwrap();
    assert_eq!((plan.added, plan.cheaper, plan.dearer), (0, 0, 1), "{plan:?}");
    let so_already = set(&house, &dearer).await.unwrap();
    assert!(!so_already.applied && so_already.is_nothing() && so_already.unchanged == 1);

    let told = of_catalogue(&house).await;
    assert_eq!(told[0]["outcome"], "prices_set");
    assert_eq!(told[0]["detail"], "1 model of a contract");
    assert_eq!(told[1]["detail"], "2 models of a contract");
    assert_ne!(told[2]["outcome"], "prices_set", "what is so already is no entry");

    // Of a model that no later table names, what was set stays; of others what the program has.
    let expected = |rails: &Rails| {
        assert_eq!(input(rails, "ours").as_deref(), Some("3.00"));
        assert_eq!(input(rails, "claude-haiku-4-5").as_deref(), Some("9.00"));
        assert_eq!(input(rails, "claude-sonnet-4-6").as_deref(), Some("3.00"));
    };
    expected(&rails);
    let anew = Rails::default();
    let house = house.reopened_with(anew.clone()).await;
    expected(&anew);
    // A desk that has all the rest is told what was set since.
    set(&house, &table(&[("later", "0.000001", "0.000001")])).await.unwrap();
    let anew = Rails::default();
    let house = house.reopened_with(anew.clone()).await;
    expected(&anew);
    assert_eq!(input(&anew, "later").as_deref(), Some("1.00"));
    // A desk that is lost is made again from the entries.
    house.engine.close().await;
    fs::remove_dir_all(house.dir.path().join("desk")).unwrap();
    let anew = Rails::default();
    let house = house.reopened_with(anew.clone()).await;
    expected(&anew);

    let (journal, desk) = (house.dir.path().join("journal"), house.dir.path().join("desk"));
    let places = Places { journal, archive: None, desk, anchors: None };
    let books = house.engine.books().await.unwrap();
    assert_eq!(verify_beside(&places, &books).unwrap().problems, Vec::<String>::new());
    house.engine.close().await;
    let House { dir, engine, .. } = house;
    drop(engine);
    let findings = Kept::look(&places).unwrap().verify().unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());
    drop(dir);
}

#[tokio::test]
async fn a_new_model_or_a_lower_price_takes_a_proof_and_a_higher_one_none() {
    let rails = Rails::default();
    let house = House::with(rails.clone()).await;
    set(&house, &table(&[("ours", "0.000002", "0.000004")])).await.unwrap();
    house.engine.set_passphrase(RIGHT.into(), None).await.unwrap();
    let two = |input: &str, output: &str| table(&[("ours", input, output)]);
    let free = [
        table(&[("theirs", "0.000002", "0.000004")]),
        two("0.000001", "0.000004"),
        two("0.000003", "0.000003"),
        // A price of its own for what is cached, which cost as much as the dearest before.
        json!({"models": {"ours": {"rates": {"standard": {
            "input": "0.000002", "output": "0.000004", "cache_read": "0.000002"}}}}})
        .to_string(),
        json!({"models": {"ours": {"max_output_tokens": 1, "rates": {"standard": {
            "input": "0.000002", "output": "0.000004"}}}}})
        .to_string(),
        json!({"models": {"ours": {"max_input_tokens": 1, "rates": {"standard": {
            "input": "0.000002", "output": "0.000004"}}}}})
        .to_string(),
    ];
    for table in free {
        let refused = set(&house, &table).await.unwrap_err();
        assert_eq!(code(&refused), "operator_proof_required", "{table}");
        let dry = PricesAsked { dry_run: true, ..asked(&table) };
        let plan = house.engine.set_prices(dry, None).await.unwrap();
        assert!(plan.gives_more() && !plan.applied, "{plan:?}");
        assert_eq!(input(&rails, "ours").as_deref(), Some("2.00"));
    }
    let dearer = set(&house, &two("0.000003", "0.000004")).await.unwrap();
    assert!(dearer.applied && !dearer.gives_more());
    assert_eq!(input(&rails, "ours").as_deref(), Some("3.00"));
    let proof = Proof::Passphrase(RIGHT.into());
    let cheaper = two("0.0000001", "0.000004");
    let cheaper = house.engine.set_prices(asked(&cheaper), Some(proof)).await.unwrap();
    assert!(cheaper.applied);
    assert_eq!(cheaper.changes[0].change, PriceChanges::Cheaper);
    assert_eq!(cheaper.changes[0].from.as_ref().unwrap().input_usd, "3.00");
    assert_eq!(cheaper.changes[0].to.input_usd, "0.10");
    assert_eq!(input(&rails, "ours").as_deref(), Some("0.10"));
}

#[test]
fn prices_are_set_on_top_of_those_they_were_held_against_or_not_at_all() {
    let origin = Origin { source: None, priced_at: None, sha256: Hash([0; 32]) };
    let models = [("ours".to_owned(), "{}".to_owned())].into();
    let set = PricesSet { origin: origin.clone(), models, token: None, note: None };
    let (state, now) = (State::default(), Timestamp::UNIX_EPOCH);
    let old = SetPrices { origin, at: now, models: set.models.clone() };
    let before = Overlay { tables: vec![old] };
    let late = prices::set_prices(&state, &before, set.clone(), now);
    assert_eq!(late, Err(OperateError::PricesSetMeanwhile));
    assert!(prices::set_prices(&state, &Overlay::default(), set, now).is_ok());
}

#[tokio::test]
async fn a_table_that_is_none_changes_nothing() {
    let rails = Rails::default();
    let house = House::with(rails.clone()).await;
    let before = of_catalogue(&house).await.len();
    let absurd = table(&[("ours", "1000001", "1")]);
    let negative = table(&[("ours", "-1", "1")]);
    let twice = r#"{"models": {"m": {"rates": {"standard": {"input": "1", "output": "1"}}},
                               "m": {"rates": {"standard": {"input": "0", "output": "0"}}}}}"#;
    let deep = format!(r#"{{"models": {}}}"#, "[".repeat(10_000));
    let wrong = [
        ("", "the table: it is no JSON"),
        (r#"{"models": {}}"#, "models: there is none"),
        (&absurd, "ours: rates.standard.input: `1000001`: a price is at most"),
        (&negative, "ours: rates.standard.input: `-1`: a price is"),
        (twice, "models: it is no JSON of a table: `m` stands twice"),
        (&deep, "the table: it is no JSON"),
        (r#"{"m": {"litellm_provider": "x"}}"#, "the table: it has no model of anthropic"),
    ];
    for (table, told) in wrong {
        let error = set(&house, table).await.unwrap_err();
        assert_eq!(code(&error), "prices_invalid", "{table}");
        let error = error.to_string();
        assert!(error.contains(told), "{error}");
    }
    // More than all that may be set, and more than one record of everyday holds.
    let names: Vec<String> = (0..9_900).map(|n| format!("{}-{n:05}", "m".repeat(100))).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1", "1")).collect();
    assert_eq!(code(&set(&house, &table(&many)).await.unwrap_err()), "prices_too_large");
    assert!(set(&house, &table(&many[..3_000])).await.unwrap().applied);
    assert_eq!(of_catalogue(&house).await.len(), before + 1);
    assert_eq!(
        code(&set(&house, &table(&many[3_000..9_000])).await.unwrap_err()),
        "prices_too_large"
    );
    assert_eq!(input(&rails, &names[2_999]).as_deref(), Some("1000000.00"));
    assert_eq!(input(&rails, &names[3_000]), None);
}

#[tokio::test]
async fn what_is_set_is_what_was_shown() {
    let house = House::new().await;
    let table = table(&[("ours", "0.000002", "0.000004")]);
    let dry = PricesAsked { dry_run: true, ..asked(&table) };
    let shown = house.engine.set_prices(dry, None).await.unwrap();
    let other = self::table(&[("other", "0.000002", "0.000004")]);
    set(&house, &other).await.unwrap();
    let late = PricesAsked { plan: Some(shown.plan), ..asked(&table) };
    let late = house.engine.set_prices(late, None).await.unwrap_err();
    assert_eq!(code(&late), "prices_changed");

    let all = house.engine.prices(PricesWanted::default()).await.unwrap();
    let sources: Vec<_> = all.tables.iter().map(|table| table.models).collect();
    assert_eq!((sources, all.models.len()), (vec![146, 1], 147));
    assert!(all.tables[0].source.as_ref().unwrap().starts_with("litellm"));
    assert_eq!(all.tables[1].source.as_deref(), Some("a contract"));
    let one = PricesWanted { model: Some("otter".to_owned()) };
    let unknown = house.engine.prices(one).await.unwrap_err();
    assert_eq!(code(&unknown), "model_unknown");
    assert!(unknown.to_string().contains("use `other`"), "{unknown}");
    let one = PricesWanted { model: Some("gpt-5".to_owned()) };
    let told = house.engine.prices(one).await.unwrap();
    let flex = told.models[0].rates.iter().find(|rate| rate.tier == "flex").unwrap();
    assert_eq!(flex.per_million_usd["output"], "5.00");
}
