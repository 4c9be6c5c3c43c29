//! Arguments as a model sends them, read strictly and answered in its own terms.

mod api;
mod reading;

use serde_json::Value;

use crate::policy::{
    denial::BadField,
    endpoint::ApiRequest,
    mandate::Service,
    money::{AmountError, Usd},
    names::{IdempotencyKey, MAX_NAME, PaymentId, ServiceId, TaskType},
    task::{TaskId, TaskOutcome},
};

pub(super) use api::api_request;
pub(super) use reading::{LedgerRequest, QuoteRequest, bad_by};

/// How much of a wrong value an answer repeats.
const SHOWN: usize = 40;
/// How many entries or services one page may carry.
pub(super) const MAX_PAGE: u32 = 100;
const DEFAULT_PAGE: u32 = 20;
const MAX_CURSOR: usize = 64;
/// What an id looks like.
const EXAMPLE_ID: &str = "pay_0000000000001a2c";
const EXAMPLE_TASK: &str = "task_0000000000001a2c";

/// What `pay_for_api_call` was asked.
#[derive(Debug, PartialEq)]
pub(super) enum PayRequest {
    /// Make a payment.
    Pay {
        service: ServiceId,
        amount: Option<Usd>,
        key: Option<IdempotencyKey>,
        dry_run: bool,
        task: Option<TaskId>,
        request: Option<Box<ApiRequest>>,
    },
    /// Say what became of one.
    Fetch(PaymentId),
}

/// A call that makes no payment.
#[derive(Debug, PartialEq)]
pub(super) struct Misread {
    /// What is wrong with it.
    pub(super) bad: BadField,
    /// The service it names, as far as it does.
    pub(super) service: Option<ServiceId>,
    /// The amount it names, as far as it does.
    pub(super) amount: Option<Usd>,
}

impl Misread {
    /// What can be read of a call beside what is wrong: it tells one mistake from another.
    fn of(arguments: &Value, bad: BadField) -> Self {
        let named = |(field, aliases): Field| {
            let mut names = std::iter::once(&field).chain(aliases);
            names.find_map(|name| arguments.get(*name))
        };
        let [service, amount_usd, ..] = *PAY else { return Self::bare(bad) };
        let service = named(service).and_then(|service| service_id(service).ok());
        Self {
            bad,
            service,
            amount: named(amount_usd).and_then(|given| amount("amount_usd", given).ok()),
        }
    }

    /// A call of which nothing else can be read.
    pub(super) fn bare(bad: BadField) -> Self {
        Self { bad, service: None, amount: None }
    }
}

/// Which page of a list was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct PageRequest {
    pub(super) limit: u32,
    pub(super) cursor: Option<String>,
}

/// An argument's name and the other spellings that models use for it.
type Field = (&'static str, &'static [&'static str]);

const PAY: &[Field] = &[
    ("service_id", &["serviceId", "service"]),
    ("amount_usd", &["amountUSD", "amountUsd", "amount"]),
    ("idempotency_key", &["idempotencyKey"]),
    ("payment_id", &["paymentId"]),
    ("dry_run", &["dryRun"]),
    ("task_id", &["taskId"]),
    ("request", &["api_request", "apiRequest"]),
];
const OPEN_TASK: &[Field] =
    &[("task_type", &["taskType", "type"]), ("cap_usd", &["capUSD", "capUsd", "cap"])];
const FINISH_TASK: &[Field] = &[("task_id", &["taskId"]), ("outcome", &[])];
const PAGE: &[Field] = &[("limit", &[]), ("cursor", &[])];

impl PayRequest {
    /// Reads the arguments of `pay_for_api_call`.
    pub(super) fn read(arguments: &Value) -> Result<Self, Box<Misread>> {
        Self::strictly(arguments).map_err(|bad| Box::new(Misread::of(arguments, bad)))
    }

    fn strictly(arguments: &Value) -> Result<Self, BadField> {
        let given = Given::read(arguments, PAY, r#"{"service_id": "search"}"#)?;
        if let Some(id) = given.get("payment_id") {
            if given.0.len() > 1 {
                let expected = "payment_id alone, which fetches the outcome of that payment";
                return Err(bad("payment_id", id, expected, EXAMPLE_ID));
            }
            return given
                .parsed("payment_id", EXAMPLE_ID)
                .and_then(|id| id.map(Self::Fetch).ok_or_else(|| missing_service(&given)));
        }
        let key = given.parsed("idempotency_key", "report-2026-11-21-a")?;
        let task = given.parsed("task_id", EXAMPLE_TASK)?;
        let amount =
            given.get("amount_usd").map(|value| amount("amount_usd", value)).transpose()?;
        let service = given.get("service_id").ok_or_else(|| missing_service(&given))?;
        let dry_run = given.flag("dry_run")?;
        let service = service_id(service)?;
        let request = given.get("request").map(api::api_request).transpose()?.map(Box::new);
        Ok(Self::Pay { service, amount, key, dry_run, task, request })
    }

    /// Whether arguments that make no payment ask for none to be made: they charge nothing either
    /// way, and of a dry run nothing is written down.
    pub(super) fn is_dry(arguments: &Value) -> bool {
        let given = ["dry_run", "dryRun"].iter().find_map(|name| arguments.get(name));
        given.and_then(flag) == Some(true)
    }
}

impl PageRequest {
    /// Reads the arguments of a tool that pages.
    pub(super) fn read(arguments: &Value) -> Result<Self, BadField> {
        page(&Given::read(arguments, PAGE, r#"{"limit": 20}"#)?, DEFAULT_PAGE)
    }
}

/// Which page was asked for, so long unless that was said.
fn page(given: &Given<'_>, usual: u32) -> Result<PageRequest, BadField> {
    let limit = given.number("limit", MAX_PAGE, "a whole number from 1 to 100", "20")?;
    let cursor = match given.get("cursor") {
        None => None,
        Some(Value::String(cursor)) if cursor.len() <= MAX_CURSOR => Some(cursor.clone()),
        Some(other) => return Err(bad_cursor(other)),
    };
    Ok(PageRequest { limit: limit.unwrap_or(usual), cursor })
}

/// Reads the arguments of `open_task`: the type, and the cap if one is given.
pub(super) fn read_task(arguments: &Value) -> Result<(TaskType, Option<Usd>), BadField> {
    let given = Given::read(arguments, OPEN_TASK, r#"{"task_type": "research"}"#)?;
    let task_type = given.needed("task_type", "a name for the kind of work", "research")?;
    let cap = given.get("cap_usd").map(|value| amount("cap_usd", value)).transpose()?;
    Ok((task_type, cap))
}

/// Reads the arguments of `finish_task`.
pub(super) fn read_finish(arguments: &Value) -> Result<(TaskId, TaskOutcome), BadField> {
    let given = Given::read(arguments, FINISH_TASK, r#"{"task_id": "task_…"}"#)?;
    let task = given.needed("task_id", "the task_id that open_task gave", EXAMPLE_TASK)?;
    let outcome = given.needed("outcome", "success, failed or abandoned", "success")?;
    Ok((task, outcome))
}

/// A cursor that no page gave.
pub(super) fn bad_cursor(got: &Value) -> BadField {
    bad("cursor", got, "next_cursor of an earlier answer, or none for the newest", "")
}

/// An id that is none of the caller's own payments.
pub(super) fn bad_payment(id: PaymentId) -> BadField {
    let got = Value::String(id.to_string());
    bad("payment_id", &got, "the payment_id of one of your own payments", EXAMPLE_ID)
}

/// An amount left out where the service has no price of its own.
pub(super) fn missing_amount() -> BadField {
    let expected = "the price, in US dollars: this service has no fixed price";
    bad("amount_usd", &Value::Null, expected, "0.25")
}

/// A call of a service that nothing is called for.
pub(super) fn uncalled() -> BadField {
    let expected = "no request: this service is paid, and nothing is called for it";
    BadField { got: "a request".to_owned(), ..bad("request", &Value::Null, expected, "") }
}

/// A header that does not name what it should.
pub(super) fn bad_header(name: &str, got: &str, cause: &str) -> BadField {
    bad(name, &Value::String(got.to_owned()), rule(cause), "")
}

/// A payment of an API without what is to be called.
pub(super) fn missing_request(service: &Service) -> BadField {
    let operations = service.endpoint.iter().flat_map(|endpoint| &endpoint.operations);
    let names: Vec<&str> = operations.map(|operation| operation.name.as_str()).take(8).collect();
    let expected = format!("what to call, with an operation such as {}", names.join(", "));
    let example = names.first().map(|name| format!("{{\"operation\": \"{name}\"}}"));
    bad("request", &Value::Null, &expected, example.as_deref().unwrap_or_default())
}

/// The arguments that were given, under their own names; null is the same as left out.
struct Given<'a>(Vec<(&'static str, &'a Value)>);

impl<'a> Given<'a> {
    fn read(arguments: &'a Value, fields: &[Field], example: &str) -> Result<Self, BadField> {
        let arguments = match arguments {
            Value::Object(map) => map,
            Value::Null => return Ok(Self(Vec::new())),
            other => {
                return Err(bad("arguments", other, "a JSON object of arguments", example));
            }
        };
        let mut given: Vec<(&'static str, &'a Value)> = Vec::new();
        for (name, value) in arguments.iter().filter(|(_, value)| !value.is_null()) {
            let spelled = |(field, aliases): &&Field| *field == name || aliases.contains(&&**name);
            let Some((field, _)) = fields.iter().find(spelled) else {
                return Err(unknown_field(name, value, fields, example));
            };
            if given.iter().any(|(present, _)| present == field) {
                return Err(bad(field, value, "this argument once, under one name", example));
            }
            given.push((field, value));
        }
        Ok(Self(given))
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, value)| *value)
    }

    /// Whether something is so; not, unless it is said.
    fn flag(&self, field: &'static str) -> Result<bool, BadField> {
        let Some(value) = self.get(field) else { return Ok(false) };
        flag(value).ok_or_else(|| bad(field, value, "true or false", "true"))
    }

    /// A whole number from 1 to `most`, as a number or as text.
    fn number(
        &self,
        field: &'static str,
        most: u32,
        expected: &str,
        example: &str,
    ) -> Result<Option<u32>, BadField> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let text = || value.as_str().and_then(|text| text.parse().ok());
        let number = number.or_else(text).filter(|number| (1..=most).contains(number));
        number.map(Some).ok_or_else(|| bad(field, value, expected, example))
    }

    /// Parses a text argument that must be there.
    fn needed<T>(&self, field: &'static str, what: &str, example: &str) -> Result<T, BadField>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let missing = || bad(field, &Value::Null, what, example);
        self.parsed(field, example)?.ok_or_else(missing)
    }

    /// Parses a text argument by the rule of its type.
    fn parsed<T>(&self, field: &'static str, example: &str) -> Result<Option<T>, BadField>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let Some(value) = self.get(field) else { return Ok(None) };
        let Value::String(text) = value else {
            return Err(bad(field, value, "text", example));
        };
        let parsed = text.parse::<T>();
        parsed.map(Some).map_err(|cause| bad(field, value, rule(&cause.to_string()), example))
    }
}

/// A yes or no, also as models write one in quotes.
fn flag(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

fn unknown_field(name: &str, value: &Value, fields: &[Field], example: &str) -> BadField {
    let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
    let expected = match known.as_slice() {
        [] => "no arguments at all".to_owned(),
        known => format!("only {}", known.join(", ")),
    };
    let spelled = (1..=SHOWN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    // A name from outside is repeated only where it is a plain word.
    let field = if spelled { name } else { "arguments" };
    bad(field, value, &expected, example)
}

fn missing_service(given: &Given<'_>) -> BadField {
    let got = match given.0.as_slice() {
        [] => "no arguments",
        _ => "no service_id",
    };
    BadField {
        field: "service_id".to_owned(),
        got: got.to_owned(),
        expected: "the service to pay, as list_services names it".to_owned(),
        example: "search".to_owned(),
    }
}

fn service_id(value: &Value) -> Result<ServiceId, BadField> {
    let expected = format!(
        "the name of a service, 1 to {MAX_NAME} of a-z, 0-9, `-` and `_`, as list_services names it"
    );
    let text = value.as_str().ok_or_else(|| bad("service_id", value, &expected, "search"))?;
    text.parse().map_err(|_| bad("service_id", value, &expected, "search"))
}

/// An amount above zero: a decimal string, or a number through its shortest decimal text.
fn amount(field: &str, value: &Value) -> Result<Usd, BadField> {
    let wrong = |expected: &str| bad(field, value, expected, "0.25");
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            // The shortest text that reads back as the same number, without an exponent.
            number.as_f64().map(|number| number.to_string()).unwrap_or_default()
        }
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("an amount of US dollars as a decimal string"));
        }
    };
    match text.parse::<Usd>() {
        Ok(amount) if amount.is_zero() => Err(wrong("an amount above zero")),
        Ok(amount) => Ok(amount),
        Err(cause @ (AmountError::NotDecimal | AmountError::TooFine | AmountError::TooLarge)) => {
            Err(wrong(rule(&cause.to_string())))
        }
    }
}

/// What the sentence of a rule says is right: an answer puts its own words before it.
fn rule(sentence: &str) -> &str {
    let parts = sentence.split_once(" is ").or_else(|| sentence.split_once(" has "));
    parts.map_or(sentence, |(_, rule)| rule)
}

fn bad(field: &str, got: &Value, expected: &str, example: &str) -> BadField {
    BadField {
        field: field.to_owned(),
        got: shown(got),
        expected: expected.to_owned(),
        example: example.to_owned(),
    }
}

/// The start of a value as plain printable ASCII, for it may come from anywhere.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("\"{}", text.chars().take(SHOWN).collect::<String>()),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let whole = value.as_str().is_none_or(|text| text.chars().count() <= SHOWN);
    let end = match (value.is_string(), whole) {
        (true, true) => "\"",
        (_, false) => "…",
        (false, true) => "",
    };
    let plain: String = text
        .chars()
        .flat_map(|c| {
            let keep = c.is_ascii_graphic() || c == ' ';
            if keep { c.to_string() } else { c.escape_unicode().to_string() }.into_bytes()
        })
        .map(char::from)
        .collect();
    // Escapes are long: what is recorded of a wrong value stays short.
    let short: String = plain.chars().take(2 * SHOWN).collect();
    let end = if short.len() < plain.len() { "…" } else { end };
    format!("{short}{end}")
}
