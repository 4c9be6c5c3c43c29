//! What a `/.well-known/x402.json` says: resources, and what their side takes for them.

use serde_json::Value;
use url::Url;

use super::{
    found::{Api, Found},
    words::{base_units, remark, untaken},
};
use crate::policy::{
    endpoint::{Method, Origin},
    money::Usd,
};

/// What has to be known of all of them.
const REMARKS: [&str; 2] = [
    "Its side takes x402, which this rail does not pay: it calls with a key. Without one, each",
    "call ends with the status 402 and is not charged.",
];

/// How many hosts of one document become services.
const MAX_APIS: usize = 64;

/// Reads one; each host is an API of its own.
pub(super) fn read(document: &Value) -> Result<Found, String> {
    let Some(items) = document["items"].as_array() else {
        return Err("its `items` are no list".to_owned());
    };
    let (mut apis, mut left_out) = (Vec::<Api>::new(), Vec::new());
    for item in items {
        let resource = item["resource"].as_str().or_else(|| item["resource"]["url"].as_str());
        let resource = resource.unwrap_or_default();
        if let Err(why) = add(&mut apis, item, resource) {
            left_out.push(format!("{}: {why}", remark(resource)));
        }
    }
    Ok(Found { kind: "an x402.json", apis, left_out })
}

fn add(apis: &mut Vec<Api>, item: &Value, resource: &str) -> Result<(), String> {
    let url = Url::parse(resource).map_err(|_| "it is no URL".to_owned())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query".to_owned());
    }
    let root: Origin =
        url.origin().ascii_serialization().parse().map_err(|wrong| format!("{wrong}"))?;
    let offers = item["accepts"].as_array().map_or(&[][..], Vec::as_slice);
    let method = method(item, offers)?;
    let known = apis.iter().position(|api| api.base_url == root);
    if known.is_none() {
        if apis.len() >= MAX_APIS {
            return Err(format!("only {MAX_APIS} hosts are taken"));
        }
        let mut api = Api::new(url.host_str().unwrap_or_default(), root)?;
        let taken = |id: &str| apis.iter().any(|known| known.id == id);
        api.id = untaken(api.id, taken);
        api.remarks = REMARKS.map(str::to_owned).to_vec();
        apis.push(api);
    }
    let at = known.unwrap_or(apis.len().saturating_sub(1));
    let api = apis.get_mut(at).ok_or_else(String::new)?;
    let added = api.add(url.path(), (method, url.path()))?;
    for offer in offers.iter().take(8) {
        added.price = added.price.max(price(offer));
        let said = |field: &str| remark(offer[field].as_str().unwrap_or_default());
        let (amount, network) = (remark(amount(offer)), said("network"));
        let asset = offer["extra"]["name"].as_str().map_or_else(|| said("asset"), remark);
        added.remarks.push(format!("The document takes {amount} of {asset} on {network}"));
    }
    Ok(())
}

fn method(item: &Value, offers: &[Value]) -> Result<Method, String> {
    let inputs = [&item["input"], &item["outputSchema"]["input"]];
    let inputs =
        inputs.into_iter().chain(offers.iter().map(|offer| &offer["outputSchema"]["input"]));
    let told = inputs.into_iter().find_map(|input| input["method"].as_str());
    let told = told.or_else(|| item["method"].as_str()).unwrap_or("GET").to_ascii_uppercase();
    told.parse().map_err(|_| "it is of no method that can be called".to_owned())
}

fn amount(offer: &Value) -> &str {
    let named = offer["amount"].as_str().or_else(|| offer["maxAmountRequired"].as_str());
    named.unwrap_or_default()
}

/// What it is in dollars, where its asset is known to be them.
fn price(offer: &Value) -> Option<Usd> {
    let asset = offer["extra"]["name"].as_str()?;
    ["USDC", "USD Coin"].contains(&asset).then(|| base_units(amount(offer), 6))?
}
