//! What operators send of whom a service is to pay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::names::{Payee, ServiceId};

/// The body that has a service of an agent, whose first payees stay, pay another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repin {
    /// The service.
    pub service_id: ServiceId,
    /// Who may get the money from now on.
    pub payee: Payee,
}
