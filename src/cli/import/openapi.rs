//! What an `OpenAPI` 3 document says, with the prices of `x-payment-info` in both of its dialects.

use serde_json::Value;

use super::{
    found::{Api, Found, Key},
    words::{above_zero, base_units, remark},
};
use crate::policy::{
    endpoint::{HeaderName, Method, Origin},
    money::Usd,
};

/// How many of the other ways to show a key are named.
const MAX_NAMED: usize = 4;

/// Reads one.
pub(super) fn read(document: &Value, base_url: Option<&Origin>) -> Result<Found, String> {
    let version = document["openapi"].as_str().unwrap_or_default();
    if !version.starts_with("3.") {
        return Err("it is no OpenAPI 3 document".to_owned());
    }
    let base_url = match base_url {
        Some(base_url) => base_url.clone(),
        None => server(document)?,
    };
    let title = document["info"]["title"].as_str().unwrap_or_default();
    let mut api = Api::new(title, base_url)?;
    let mut left_out = Vec::new();
    let (key, said) = chosen(document);
    api.key = key;
    api.remarks.extend(said);
    let mut out = |what: String, why: String| left_out.push(format!("{}: {why}", remark(&what)));
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (verb, operation) in item.as_object().into_iter().flatten() {
            let what = format!("{} {path}", verb.to_ascii_uppercase());
            let Ok(method) = verb.to_ascii_uppercase().parse::<Method>() else {
                let verbs = ["options", "trace"];
                if verb == "$ref" || verbs.contains(&verb.as_str()) {
                    out(what, "it is of no kind that can be called".to_owned());
                }
                continue;
            };
            let called = operation["operationId"].as_str().unwrap_or_default();
            let added = match api.add(called, (method, path)) {
                Ok(added) => added,
                Err(why) => {
                    out(what, why);
                    continue;
                }
            };
            let summary = operation["summary"].as_str().map(remark);
            added.remarks.extend(summary.filter(|summary| !summary.is_empty()));
            if let Some(told) = operation.get("x-payment-info") {
                let (price, said) = payment(told);
                added.price = price;
                added.remarks.extend(said);
            }
        }
    }
    Ok(Found { kind: "an OpenAPI document", apis: vec![api], left_out })
}

/// Where the document says that the API is.
fn server(document: &Value) -> Result<Origin, String> {
    let url = document["servers"][0]["url"].as_str().unwrap_or_default();
    url.parse().map_err(|wrong| {
        let url = remark(url);
        format!("its server is `{url}`, and {wrong}: say where it is with --base-url")
    })
}

/// Where the key goes by the document's `security`, or by its schemes where that says nothing that
/// is known; and which others there are.
fn chosen(document: &Value) -> (Option<Key>, Option<String>) {
    let schemes = document["components"]["securitySchemes"].as_object();
    let all: Vec<&str> = schemes.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    // Of what has to come together there is more than one key.
    let asked = document["security"].as_array().into_iter().flatten();
    let alone = asked.filter_map(Value::as_object).filter(|asked| asked.len() == 1);
    let asked: Vec<&str> = alone.flatten().map(|(name, _)| name.as_str()).collect();
    let usable = |name: &&str| Some((key(schemes?.get(*name)?)?, (*name).to_owned()));
    let Some((key, used)) = asked.iter().find_map(usable).or_else(|| all.iter().find_map(usable))
    else {
        return (None, None);
    };
    let others: Vec<&str> = all.into_iter().filter(|name| *name != used).collect();
    let told: Vec<String> =
        others.iter().take(MAX_NAMED).map(|name| format!("`{}`", remark(name))).collect();
    let more = others.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (used, named) = (remark(&used), told.join(", "));
    let said = format!("The key goes as `{used}` says; also there: {named}{more}");
    (Some(key), (!told.is_empty()).then_some(said))
}

/// Where a key goes by a scheme, as far as that is known.
fn key(scheme: &Value) -> Option<Key> {
    let word = |field: &str| scheme[field].as_str().unwrap_or_default().to_ascii_lowercase();
    match (word("type").as_str(), word("scheme").as_str(), word("in").as_str()) {
        ("http", "bearer", _) | ("oauth2" | "openidconnect", _, _) => {
            Some(Key::Header("authorization".parse().ok()?, "Bearer "))
        }
        ("apikey", _, "header") => {
            let name: HeaderName = word("name").parse().ok()?;
            (!name.is_ours()).then_some(Key::Header(name, ""))
        }
        ("apikey", _, "query") => {
            let name = scheme["name"].as_str()?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            let fits = (1..=40).contains(&name.len()) && name.bytes().all(plain);
            fits.then(|| Key::Query(name.to_owned()))
        }
        _ => None,
    }
}

/// The price that an operation claims, and what else it says of it.
fn payment(told: &Value) -> (Option<Usd>, Vec<String>) {
    // One dialect has a price in dollars.
    if let Some(price) = told.get("price") {
        let text = match price {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let fixed = told["pricingMode"].as_str().is_none_or(|mode| mode == "fixed");
        let known = above_zero(&text).filter(|_| fixed);
        let said = format!("The document claims a price of {}", remark(&text));
        return (known, if known.is_some() { Vec::new() } else { vec![said] });
    }
    // The other has offers in the units of their currencies.
    let one = [told.clone()];
    let offers = told["offers"].as_array().map_or(&one[..], Vec::as_slice);
    let (mut dearest, mut said) = (None, Vec::new());
    for offer in offers.iter().take(8) {
        let field = |name: &str| offer[name].as_str().unwrap_or_default();
        let price = match field("currency").to_ascii_lowercase().as_str() {
            "usd" => base_units(field("amount"), 2),
            "usdc" => base_units(field("amount"), 6),
            _ => None,
        };
        let (amount, currency) = (remark(field("amount")), remark(field("currency")));
        let by = remark(field("method"));
        said.push(format!("The document offers it for {amount} of {currency} by {by}"));
        dearest = dearest.max(price);
    }
    (dearest, said)
}
