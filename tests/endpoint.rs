//! Endpoints: what an operator may write of one, and what an agent can make of it.

mod asking;
mod hostile;
mod terms;

use pettycash::policy::endpoint::{ApiRequest, Endpoint};
use serde_json::{Value, json};

/// An endpoint with a bit of everything.
fn endpoint() -> Endpoint {
    serde_json::from_value(written()).unwrap()
}

fn written() -> Value {
    json!({
        "base_url": "https://api.example.com/v2",
        "secret": {"env": "EXAMPLE_KEY"},
        "headers": {"authorization": "Bearer {secret}", "x-version": "2026-11-01"},
        "query": {"key": "{secret}", "format": "json"},
        "allow_headers": ["x-tag"],
        "operations": [
            {"name": "read", "method": "GET", "path": "/things/{id}", "price": "0.01"},
            {"name": "mine", "method": "GET", "path": "/things/mine"},
            {"name": "part", "method": "GET", "path": "/things/{id}/parts/{part}"},
            {"name": "make", "method": "POST", "path": "/things",
             "price_from": {"header": "x-price-usd", "at_most": "0.10"}},
            {"name": "chat", "method": "POST", "path": "/chat", "metered": "openai_chat",
             "strict": true},
            {"name": "list", "method": "GET", "path": "/things/"}
        ],
        "charge_on": ["2xx"],
        "free_on": ["4xx", "5xx"],
        "on_unknown": "hold",
        "timeout_s": 30,
        "max_response_bytes": 1_048_576,
        "idempotency_header": "idempotency-key"
    })
}

fn call(method: &str, path: &str) -> ApiRequest {
    let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
    ApiRequest { method, path, ..ApiRequest::default() }
}

fn named(operation: &str, params: &[(&str, &str)]) -> ApiRequest {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let params = params.iter().map(pair).collect();
    ApiRequest { operation: Some(operation.to_owned()), params, ..ApiRequest::default() }
}
