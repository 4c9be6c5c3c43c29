//! Answers: exactly what the model gets, one type per tool, paid or denied.
//!
//! Every field but the outcome may be left out, and none is ever null, so that one schema holds
//! for every answer of a tool.

mod body;
mod columns;
mod operation;
mod pay;
mod quote;
mod read;
mod refused;
mod response;
mod task;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::ServiceId;

pub use body::{ApiBody, BODIES, Waiting, WaitingBodies, WaitingBody, payment_of, resource};
pub use columns::columns;
pub use operation::OperationView;
pub use pay::{Alternative, Breach, PayAnswer};
pub use quote::QuoteView;
pub use read::{BalanceAnswer, CapView, LedgerAnswer, LedgerLine, ServiceView, ServicesAnswer};
pub use refused::Refused;
pub use response::{ApiCall, ApiResponse, MAX_BODY};
pub use task::{FinishTaskAnswer, OpenTaskAnswer};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Outcome {
    /// The money was taken.
    Paid,
    /// Policy said no; nothing was charged.
    Denied,
    /// It is not decided, or not settled, yet.
    InProgress,
    /// Nobody knows whether it reached the payee; the money stays held.
    InDoubt,
    /// It ended without a charge after it had been allowed.
    Failed,
    /// It would be paid: a dry run, which charges nothing.
    Allowed,
}

impl Outcome {
    /// Whether a tool result with this outcome carries `isError: true`.
    pub fn is_error(self) -> bool {
        match self {
            Self::Paid | Self::InProgress | Self::Allowed => false,
            Self::Denied | Self::InDoubt | Self::Failed => true,
        }
    }
}

/// A service id with a schema that every client takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ServiceName(#[schemars(with = "String")] pub ServiceId);
