//! The operator's own call of a service, as it is asked for and answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    answer::{ApiResponse, ServiceName},
    money::{Usd, decimal},
    service_test::TestOutcome,
};

/// The body that has a service called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestAsked {
    /// Which of its operations; left out, what `request` says, or else the first that only reads
    /// and takes no parameters in its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The request as an agent would send it, JSON as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceTest {
    /// The service.
    pub service_id: ServiceName,
    /// The operation that was called.
    pub operation: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// What would have been held of an agent's money; left out where the caller names the price.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub would_hold_usd: Option<Usd>,
    /// What an agent would have been charged.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub would_charge_usd: Option<Usd>,
    /// What stood in the way, and what to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the API answered, as an agent would get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ApiResponse>,
    /// How many bytes the body of the answer had, as far as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}
