//! The arguments of the tools that only read.

use serde_json::Value;

use super::{
    DEFAULT_PAGE, EXAMPLE_TASK, Field, Given, PageRequest, amount, bad, missing_service, page,
    service_id,
};
use crate::policy::{
    denial::BadField,
    moment::Moment,
    money::Usd,
    names::{RunId, ServiceId},
    quote::MAX_CALLS,
    task::TaskId,
};

const LEDGER: &[Field] = &[
    ("limit", &[]),
    ("cursor", &[]),
    ("since", &["from"]),
    ("until", &["to"]),
    ("service_id", &["serviceId", "service"]),
    ("outcome", &["status"]),
    ("run", &["run_id", "runId"]),
    ("format", &[]),
    ("task_id", &["taskId", "task"]),
];

const QUOTE: &[Field] = &[
    ("service_id", &["serviceId", "service"]),
    ("amount_usd", &["amountUSD", "amountUsd", "amount"]),
    ("calls", &["count"]),
    ("by", &["until"]),
    ("task_id", &["taskId"]),
];

/// A moment that would do.
const EXAMPLE: &str = "2026-11-21T18:00:00Z";

/// What `ledger` was asked.
#[derive(Debug)]
pub(in crate::engine) struct LedgerRequest {
    pub(in crate::engine) page: PageRequest,
    pub(in crate::engine) since: Option<Moment>,
    pub(in crate::engine) until: Option<Moment>,
    pub(in crate::engine) service: Option<ServiceId>,
    pub(in crate::engine) outcome: Option<String>,
    pub(in crate::engine) run: Option<RunId>,
    /// Whether each name is to be told once, before rows of values.
    pub(in crate::engine) columns: bool,
    pub(in crate::engine) task: Option<TaskId>,
}

impl LedgerRequest {
    /// Reads the arguments of `ledger`, whose lines have these outcomes.
    pub(in crate::engine) fn read(arguments: &Value, outcomes: &[&str]) -> Result<Self, BadField> {
        let given = Given::read(arguments, LEDGER, r#"{"limit": 20}"#)?;
        let outcome = given.parsed::<String>("outcome", "paid")?;
        if let Some(word) = outcome.as_ref().filter(|word| !outcomes.contains(&word.as_str())) {
            let expected = "an outcome as lines have it, such as paid, denied, failed, in_doubt, \
                            refunded or credited";
            return Err(bad("outcome", &Value::String(word.clone()), expected, "paid"));
        }
        let columns = match given.get("format") {
            None => false,
            Some(Value::String(word)) if word == "lines" => false,
            Some(Value::String(word)) if word == "columns" => true,
            Some(other) => return Err(bad("format", other, "lines or columns", "columns")),
        };
        Ok(Self {
            page: page(&given, DEFAULT_PAGE)?,
            since: moment(&given, "since")?,
            until: moment(&given, "until")?,
            service: given.get("service_id").map(service_id).transpose()?,
            outcome,
            run: given.parsed("run", "nightly-1")?,
            columns,
            task: given.parsed("task_id", EXAMPLE_TASK)?,
        })
    }
}

/// A moment that was.
fn moment(given: &Given<'_>, field: &'static str) -> Result<Option<Moment>, BadField> {
    let told = given.parsed(field, EXAMPLE)?;
    match (told, given.get(field)) {
        (Some(Moment::Clock(_)), Some(value)) => {
            Err(bad(field, value, "a day too, or how long ago", EXAMPLE))
        }
        _ => Ok(told),
    }
}

/// What `get_balance` was asked beyond the balance: how many of these payments fit.
#[derive(Debug)]
pub(in crate::engine) struct QuoteRequest {
    pub(in crate::engine) service: ServiceId,
    pub(in crate::engine) amount: Option<Usd>,
    pub(in crate::engine) calls: Option<u32>,
    pub(in crate::engine) by: Option<Moment>,
}

impl QuoteRequest {
    /// Reads which task `get_balance` is asked of.
    pub(in crate::engine) fn read_task(arguments: &Value) -> Result<Option<TaskId>, BadField> {
        Given::read(arguments, QUOTE, "{}")?.parsed("task_id", EXAMPLE_TASK)
    }

    /// Reads the arguments of `get_balance`, which may have none.
    pub(in crate::engine) fn read(arguments: &Value) -> Result<Option<Self>, BadField> {
        let given = Given::read(arguments, QUOTE, "{}")?;
        if given.0.iter().all(|(name, _)| *name == "task_id") {
            return Ok(None);
        }
        let service = given.get("service_id").ok_or_else(|| missing_service(&given))?;
        let calls = "a whole number from 1 to 1000000: how many you want to make";
        Ok(Some(Self {
            service: service_id(service)?,
            amount: given.get("amount_usd").map(|value| amount("amount_usd", value)).transpose()?,
            calls: given.number("calls", MAX_CALLS, calls, "200")?,
            by: given
                .parsed("by", "18:00")
                .map_err(|wrong| BadField { expected: BY.to_owned(), ..wrong })?,
        }))
    }
}

/// What `by` takes.
const BY: &str = "a time to come within 31 days: a time of day such as 18:00, a span such as 2h, \
                  or a time such as 2026-11-21T18:00:00Z";

/// A time until which nothing can be counted.
pub(in crate::engine) fn bad_by(got: Moment) -> BadField {
    bad("by", &Value::String(got.to_string()), BY, "18:00")
}
