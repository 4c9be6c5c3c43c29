//! Bodies that are neither JSON nor text: how they are named, listed and read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refused;
use crate::policy::names::PaymentId;

/// How the name of every body begins, as MCP names resources.
pub const BODIES: &str = "pettycash://responses/";

/// The name of the body that was answered to a payment.
pub fn resource(payment: PaymentId) -> String {
    format!("{BODIES}{payment}")
}

/// The payment whose body has that name, if it is one.
pub fn payment_of(resource: &str) -> Option<PaymentId> {
    resource.strip_prefix(BODIES)?.parse().ok()
}

/// A body that waits to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingBody {
    /// The payment it was answered to.
    pub payment_id: PaymentId,
    /// What the API says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A page of an agent's bodies, those of the newest payments first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingBodies {
    /// The bodies.
    pub bodies: Vec<WaitingBody>,
    /// Whose body the next page begins after, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PaymentId>,
}

/// What an API answered to a payment, byte for byte but for the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiBody {
    /// The payment it was answered to.
    pub payment_id: PaymentId,
    /// What the API says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How many bytes it has.
    pub bytes: u64,
    /// Present where there was more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// The bytes, in Base64.
    pub base64: String,
}

/// What comes of asking for what waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting<T> {
    /// It is here.
    Here(T),
    /// It is not, or not any more, or is another's: nobody learns which.
    Gone,
    /// Whoever asks is not let in.
    Refused(Refused),
}
