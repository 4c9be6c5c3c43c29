//! What a service's API is, in words.

use crate::policy::{
    endpoint::{HeaderName, OnUnknown, Operation, PriceAt, Pricing, Statuses},
    terms::EndpointTerms,
};

/// What is said of an API, a row for each part; where its secret is found, and never the secret.
pub(super) fn rows(terms: &EndpointTerms) -> Vec<(&'static str, String)> {
    let Some(endpoint) = terms.endpoint() else { return Vec::new() };
    let mut rows = vec![("base URL", endpoint.base_url.to_string())];
    rows.extend(endpoint.secret.iter().map(|secret| ("secret", secret.to_string())));
    let set = endpoint.headers.iter();
    rows.extend(set.map(|(name, value)| ("header", format!("{name}: {value}"))));
    let set = endpoint.query.iter();
    rows.extend(set.map(|(name, value)| ("query", format!("{name}={value}"))));
    if !endpoint.allow_headers.is_empty() {
        let names: Vec<&str> = endpoint.allow_headers.iter().map(HeaderName::as_str).collect();
        rows.push(("agents may set", names.join(", ")));
    }
    rows.extend(endpoint.operations.iter().map(|one| ("operation", operation(one))));
    rows.push(("paid for on", statuses(&endpoint.charge_on)));
    rows.push(("free on", statuses(&endpoint.free_on)));
    let unknown = match endpoint.on_unknown {
        OnUnknown::Hold => "the money stays held",
        OnUnknown::Capture => "the money is taken",
    };
    rows.push(("outcome unknown", unknown.to_owned()));
    rows.push(("time-out", format!("{} s", endpoint.timeout_s)));
    rows.push(("answers up to", format!("{} bytes", endpoint.max_response_bytes)));
    let header = endpoint.idempotency_header.iter();
    rows.extend(header.map(|name| ("idempotency header", name.to_string())));
    rows
}

/// What of an API differs, a line for each part: another address first, for it is what the secret
/// is sent to.
pub(super) fn differences(from: &EndpointTerms, to: &EndpointTerms) -> Vec<String> {
    let (before, after) = (rows(from), rows(to));
    let mut told = Vec::new();
    if let (Some(old), Some(new)) = (&from.base_url, &to.base_url)
        && old != new
    {
        told.push(format!(
            "the address changes: calls, and the secret, go to {new} and not to {old}"
        ));
    }
    let gone = before.iter().filter(|row| !after.contains(row)).map(|row| ('-', row));
    let new = after.iter().filter(|row| !before.contains(row)).map(|row| ('+', row));
    told.extend(gone.chain(new).map(|(sign, (what, told))| format!("{sign} {what}: {told}")));
    told
}

fn statuses(statuses: &Statuses) -> String {
    if statuses.is_empty() { "nothing".to_owned() } else { statuses.texts().join(", ") }
}

/// An operation and what a call of it costs.
fn operation(operation: &Operation) -> String {
    let price = match &operation.price {
        Pricing::Service => "at the service's price".to_owned(),
        Pricing::Fixed(price) => format!("{price} a call"),
        Pricing::Metered { metered, strict: false } => format!("metered as {metered}"),
        Pricing::Metered { metered, strict: true } => {
            format!("metered as {metered}, the most it can cost is held")
        }
        Pricing::Answered { at: PriceAt::Header(header), at_most } => {
            format!("what the header {header} says, at most {at_most}")
        }
        Pricing::Answered { at: PriceAt::Json(pointer), at_most } => {
            format!("what {pointer} of the answer says, at most {at_most}")
        }
    };
    format!("{}, {} {}, {price}", operation.name, operation.method, operation.path)
}
