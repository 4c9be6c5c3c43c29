//! What of a service can be called, as the model reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    endpoint::{Metered, Method, Operation, OperationName, Pricing},
    mandate::Service,
    money::{Usd, decimal},
};

// Where it is called, and with what key, is none of what a model reads.
/// One thing that can be called, and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct OperationView {
    /// What it is called.
    #[schemars(with = "String")]
    pub name: OperationName,
    /// The method.
    #[schemars(with = "String")]
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
    /// The parameters of the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
    /// What a call costs; without any of the three, the amount you give.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub price_usd: Option<Usd>,
    /// The most that a call costs: the answer says how much.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub at_most_usd: Option<Usd>,
    /// The kind of API whose use is counted, if a call costs what was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub metered: Option<Metered>,
}

impl OperationView {
    /// Every operation of a service.
    pub(super) fn all(service: &Service) -> Vec<Self> {
        let operations = service.endpoint.iter().flat_map(|endpoint| &endpoint.operations);
        operations.map(|operation| Self::of(operation, service.price)).collect()
    }

    fn of(operation: &Operation, usual: Option<Usd>) -> Self {
        let (price_usd, at_most_usd) = match operation.price {
            Pricing::Service => (usual, None),
            Pricing::Fixed(price) => (Some(price), None),
            Pricing::Answered { at_most, .. } => (None, Some(at_most)),
            Pricing::Metered { .. } => (None, None),
        };
        Self {
            name: operation.name.clone(),
            method: operation.method,
            path: operation.path.to_string(),
            params: operation.path.params().map(str::to_owned).collect(),
            price_usd,
            at_most_usd,
            metered: operation.metered(),
        }
    }
}
