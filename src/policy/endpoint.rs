//! Endpoints: an API that asks for a key, what may be called there, and how a call is paid for.
//!
//! What an operator writes down is an [`Endpoint`]; what an agent asks for is an [`ApiRequest`].
//! [`Endpoint::ask`] makes of the two an [`Asking`], which is ready to be sent but for the secret:
//! it leads to the endpoint's host and to one of its operations, whatever the agent says.

mod address;
mod asking;
mod check;
mod header;
mod operation;
mod origin;
mod path;
mod secret;
mod statuses;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use address::{is_global_v4, is_global_v6};
pub use asking::{ApiRequest, Asking, Body, MAX_TARGET};
pub use check::EndpointError;
pub use header::{HeaderError, HeaderName, Template, TemplateError};
pub use operation::{
    Metered, Method, OnUnknown, Operation, OperationName, OperationTerms, Pointer, PriceAt,
    PriceFrom, Pricing,
};
pub use origin::{Origin, OriginError};
pub use path::{MAX_PARAM, Path, PathError, encoded};
pub use secret::{SecretError, SecretRef, is_key};
pub use statuses::{Statuses, StatusesError};

/// The most operations of an endpoint.
pub const MAX_OPERATIONS: usize = 64;
/// The longest that a call may take, in seconds.
pub const MAX_TIMEOUT: u32 = 3_600;
const MIB: u32 = 1024 * 1024;
/// The most bytes that may be read of an answer.
pub const MAX_RESPONSE: u32 = 256 * MIB;

/// An API that is paid for: where it is, how it is called, and which calls cost what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is. No call ever leads to another host.
    pub base_url: Origin,
    /// Where the secret is found that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Headers of every call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<HeaderName, Template>,
    /// Parameters in the query of every call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Template>,
    /// Headers that the agent may set, besides `accept` and `content-type`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_headers: BTreeSet<HeaderName>,
    /// What may be called.
    pub operations: Vec<Operation>,
    /// The statuses of an answer that is paid for.
    pub charge_on: Statuses,
    /// The statuses of an answer that is not.
    pub free_on: Statuses,
    /// What becomes of the money where neither is known.
    pub on_unknown: OnUnknown,
    /// How long a call may take, in seconds.
    pub timeout_s: u32,
    /// The most bytes that are read of an answer's body.
    pub max_response_bytes: u32,
    /// The header that it takes a name for a call in, which it then does but once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_header: Option<HeaderName>,
}

fn is_metered(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| operation.metered().is_some())
}

impl Endpoint {
    /// The statuses that are paid for where an operator does not say it.
    pub fn usual_charge_on() -> Statuses {
        Statuses::classes([2])
    }

    /// The statuses that are not paid for where an operator does not say it: what is wrong with a
    /// call costs nothing, and, of a language model, what is wrong with its vendor neither.
    pub fn usual_free_on(operations: &[Operation]) -> Statuses {
        Statuses::classes(if is_metered(operations) { 4..=5 } else { 4..=4 })
    }

    /// How long a call may take where an operator does not say it, in seconds: a language model
    /// writes for minutes, and what breaks off is in doubt.
    pub fn usual_timeout(operations: &[Operation]) -> u32 {
        if is_metered(operations) { 600 } else { 120 }
    }

    /// The most bytes that are read of an answer where an operator does not say it: a stream has
    /// some hundreds for each token of a language model.
    pub fn usual_response(operations: &[Operation]) -> u32 {
        if is_metered(operations) { 64 * MIB } else { 8 * MIB }
    }

    /// What the secret is put into: the headers, and what stands in front of it there.
    pub fn secret_headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        let secret = self.headers.iter().filter(|(_, template)| template.takes_secret());
        secret.map(|(name, template)| (name, template.text()))
    }

    /// The same for parameters of the query.
    pub fn secret_query(&self) -> impl Iterator<Item = (&str, &str)> {
        let secret = self.query.iter().filter(|(_, template)| template.takes_secret());
        secret.map(|(name, template)| (name.as_str(), template.text()))
    }

    /// The operation of that name.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.name.as_str() == name)
    }

    /// The operation that a call of this path, without a query, is of. Of several the one whose
    /// path says the most.
    pub fn matching(&self, method: Method, path: &str) -> Option<&Operation> {
        let fits = |operation: &&Operation| {
            operation.method == method && operation.path.values(path).is_some()
        };
        self.operations.iter().filter(fits).min_by_key(|operation| operation.path.looseness())
    }

    /// Whether an agent may set a header.
    pub fn may_set(&self, name: &HeaderName) -> bool {
        const ALWAYS: [&str; 2] = ["accept", "content-type"];
        let free = !name.is_ours() && !name.is_credential();
        let set = self.headers.contains_key(name) || self.idempotency_header.as_ref() == Some(name);
        let allowed = ALWAYS.contains(&name.as_str()) || self.allow_headers.contains(name);
        free && !set && allowed
    }
}
