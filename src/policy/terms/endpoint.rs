//! What a policy says of a service's endpoint.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use super::once::once;
use crate::policy::{
    endpoint::{
        Endpoint, EndpointError, HeaderName, MAX_RESPONSE, MAX_TIMEOUT, OnUnknown, Operation,
        Origin, Pricing, SecretRef, Statuses, Template,
    },
    mandate::Service,
    pace::Span,
};

/// How long a call may take: seconds, or a time such as `30s` or `2min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub u32);

struct Seconds;

impl Visitor<'_> for Seconds {
    type Value = Timeout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds, or a time such as \"30s\" or \"2min\"")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Timeout, E> {
        let seconds = u32::try_from(seconds).ok().filter(|some| (1..=MAX_TIMEOUT).contains(some));
        seconds.map(Timeout).ok_or_else(|| E::custom("a call takes 1 second to 1 hour at most"))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Timeout, E> {
        self.visit_u64(u64::try_from(seconds).unwrap_or_default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timeout, E> {
        let span: Span = text.parse().map_err(E::custom)?;
        self.visit_u64(span.seconds().into())
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Seconds)
    }
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = format!("{}s", self.0);
        let counted = plain.parse().map(Span::counted);
        f.write_str(&counted.unwrap_or(plain))
    }
}

impl JsonSchema for Timeout {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT},
                {"type": "string", "pattern": "^(min|hour|[0-9]+(s|min|h))$"}
            ]
        })
    }
}

/// What a document says of the API that a service of `rail = "proxy"` is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointTerms {
    /// Where the API is: `https://` and a host, and what every path there begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Origin")]
    pub base_url: Option<Origin>,
    /// Where the secret is found that it asks for; never the secret itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretRef")]
    pub secret: Option<SecretRef>,
    /// Headers of every call; `{secret}` at the end of one stands for the secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    #[schemars(with = "BTreeMap<String, Template>")]
    pub headers: BTreeMap<HeaderName, Template>,
    /// Parameters in the query of every call, written like headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub query: BTreeMap<String, Template>,
    /// Headers that an agent may set, besides `accept` and `content-type`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<HeaderName>")]
    pub allow_headers: BTreeSet<HeaderName>,
    /// What may be called, 1 to 64 operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// The statuses of answers that are paid for; "2xx" unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Statuses")]
    pub charge_on: Option<Statuses>,
    /// The statuses of answers that are not; "4xx" unless said, and "5xx" where something is
    /// metered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Statuses")]
    pub free_on: Option<Statuses>,
    /// What becomes of the money where the outcome is unknown; `hold` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnUnknown")]
    pub on_unknown: Option<OnUnknown>,
    /// How long a call may take; 2 minutes unless said, and 10 where something is metered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timeout")]
    pub timeout: Option<Timeout>,
    /// The most bytes that are read of an answer; 8 MiB unless said, and 64 where something is
    /// metered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "response_bytes")]
    pub max_response_bytes: Option<u32>,
    /// The header in which the API takes a name for a call, to do it but once; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HeaderName")]
    pub idempotency_header: Option<HeaderName>,
}

fn response_bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 1_024, "maximum": MAX_RESPONSE})
}

impl EndpointTerms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What an endpoint is, all of it but what goes without saying.
    pub fn of(endpoint: &Endpoint) -> Self {
        let endpoint = endpoint.clone();
        let (charge, free) = usual(None, None, &endpoint.operations);
        let usual_timeout = Endpoint::usual_timeout(&endpoint.operations);
        let usual_response = Endpoint::usual_response(&endpoint.operations);
        // What is left of one where the other is said is said too, or it would be read as all.
        let said = endpoint.charge_on != charge || endpoint.free_on != free;
        Self {
            base_url: Some(endpoint.base_url),
            secret: endpoint.secret,
            headers: endpoint.headers,
            query: endpoint.query,
            allow_headers: endpoint.allow_headers,
            operations: endpoint.operations,
            charge_on: said.then_some(endpoint.charge_on),
            free_on: said.then_some(endpoint.free_on),
            on_unknown: Some(endpoint.on_unknown).filter(|does| *does != OnUnknown::Hold),
            timeout: Some(Timeout(endpoint.timeout_s)).filter(|time| time.0 != usual_timeout),
            max_response_bytes: Some(endpoint.max_response_bytes)
                .filter(|bytes| *bytes != usual_response),
            idempotency_header: endpoint.idempotency_header,
        }
    }

    /// The endpoint, not yet checked; nothing where it is not said where it is.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let said = self.clone();
        let (charge, free) = (said.charge_on.as_ref(), said.free_on.as_ref());
        let (charge_on, free_on) = usual(charge, free, &said.operations);
        let usual_timeout = Endpoint::usual_timeout(&said.operations);
        let usual_response = Endpoint::usual_response(&said.operations);
        Some(Endpoint {
            base_url: said.base_url?,
            secret: said.secret,
            headers: said.headers,
            query: said.query,
            allow_headers: said.allow_headers,
            operations: said.operations,
            charge_on,
            free_on,
            on_unknown: said.on_unknown.unwrap_or(OnUnknown::Hold),
            timeout_s: said.timeout.map_or(usual_timeout, |Timeout(seconds)| seconds),
            max_response_bytes: said.max_response_bytes.unwrap_or(usual_response),
            idempotency_header: said.idempotency_header,
        })
    }

    /// Checks what became of it.
    ///
    /// # Errors
    /// The first thing that is wrong with `service`, which has this.
    pub fn check(&self, service: &Service) -> Result<(), EndpointError> {
        service.check_endpoint()?;
        // What is said of an API without saying where it is makes none.
        let lost = service.endpoint.is_none() && !self.is_empty();
        if lost { Err(EndpointError::Unused) } else { Ok(()) }
    }

    /// Whether `to` differs from it in nothing but the prices of operations that have one.
    pub(super) fn is_priced_otherwise(&self, to: &Self) -> bool {
        let mut priced = self.clone();
        for (ours, theirs) in priced.operations.iter_mut().zip(&to.operations) {
            if let (Pricing::Fixed(price), Pricing::Fixed(other)) = (&mut ours.price, &theirs.price)
            {
                *price = *other;
            }
        }
        priced == *to
    }

    /// At least how many bytes it takes to write it down.
    pub(in crate::policy) fn weight(&self) -> usize {
        const OPERATION: usize = 64;
        let operation = |operation: &Operation| {
            let named = operation.name.as_str().len();
            named.saturating_add(operation.path.to_string().len()).saturating_add(OPERATION)
        };
        let set = |name: &str, set: &Template| name.len().saturating_add(set.text().len());
        let headers = self.headers.iter().map(|(name, value)| set(name.as_str(), value));
        let query = self.query.iter().map(|(name, value)| set(name, value));
        let operations = self.operations.iter().map(operation);
        headers.chain(query).chain(operations).fold(0, usize::saturating_add)
    }
}

/// The statuses that are paid for and those that are not: what is said of one is no matter of the
/// other.
fn usual(
    charge: Option<&Statuses>,
    free: Option<&Statuses>,
    operations: &[Operation],
) -> (Statuses, Statuses) {
    let nothing = Statuses::default();
    let usual_charge = || Endpoint::usual_charge_on().without(free.unwrap_or(&nothing));
    let usual_free = || Endpoint::usual_free_on(operations).without(charge.unwrap_or(&nothing));
    let free_on = free.cloned().unwrap_or_else(usual_free);
    (charge.cloned().unwrap_or_else(usual_charge), free_on)
}
