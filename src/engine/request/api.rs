//! The call of an API that a payment is for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Field, Given, bad};
use crate::policy::{
    denial::BadField,
    endpoint::{ApiRequest, Body},
};

const REQUEST: &[Field] = &[
    ("operation", &["operation_id", "operationId"]),
    ("method", &[]),
    ("path", &[]),
    ("params", &["path_params", "pathParams"]),
    ("query", &[]),
    ("headers", &[]),
    ("body", &["json", "data"]),
];
const EXAMPLE: &str = r#"{"operation": "search", "query": {"q": "tea"}}"#;

/// Reads `request`: what is to be called, as far as that can be said without the service.
pub(in crate::engine) fn api_request(value: &Value) -> Result<ApiRequest, BadField> {
    // Models write an object within an object as text now and then.
    let written = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let value = written.as_ref().filter(|told| told.is_object()).unwrap_or(value);
    if !value.is_object() {
        return Err(bad("request", value, "an object that says what to call", EXAMPLE));
    }
    let given = Given::read(value, REQUEST, EXAMPLE).map_err(within)?;
    let text = |field: &'static str| match given.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(within(bad(field, other, "text", ""))),
    };
    let pairs = |field: &'static str| match given.get(field) {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) => pairs(field, map).map_err(within),
        Some(other) => Err(within(bad(field, other, "an object of names and values", "{}"))),
    };
    let params: BTreeMap<String, String> = pairs("params")?.into_iter().collect();
    Ok(ApiRequest {
        operation: text("operation")?,
        method: text("method")?.map(|method| method.to_ascii_uppercase()),
        path: text("path")?,
        params,
        query: pairs("query")?,
        headers: pairs("headers")?,
        body: given.get("body").map(body),
    })
}

/// The same mistake, told of what is inside of `request`.
fn within(bad: BadField) -> BadField {
    let field = match bad.field.as_str() {
        "arguments" => "request".to_owned(),
        field => format!("request.{field}"),
    };
    BadField { field, ..bad }
}

/// Names with their values, in the order given; a list is the same name with each of them.
fn pairs(field: &str, map: &Map<String, Value>) -> Result<Vec<(String, String)>, BadField> {
    let mut pairs = Vec::new();
    for (name, value) in map {
        let one = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(bad(field, value, "texts, numbers, true or false as values", ""))
            }
        };
        match value {
            Value::Null => {}
            Value::Array(all) if field == "query" => {
                for value in all {
                    pairs.push((name.clone(), one(value)?));
                }
            }
            value => pairs.push((name.clone(), one(value)?)),
        }
    }
    Ok(pairs)
}

/// What is sent: JSON as it was given, or text as it is.
fn body(value: &Value) -> Body {
    match value {
        Value::String(text) => {
            let read = serde_json::from_str::<Value>(text).ok();
            let json = read.is_some_and(|told| told.is_object() || told.is_array());
            Body { bytes: text.clone().into(), json }
        }
        value => Body { bytes: value.to_string().into(), json: true },
    }
}
