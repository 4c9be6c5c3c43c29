//! Which language model a call is of.

use serde::{Deserialize, Serialize};

use super::names::ModelName;

/// The model of a call, and the one that was asked for where that was another. Both have prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// The one that is used.
    pub used: ModelName,
    /// The one that was asked for, if it is not that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<ModelName>,
}

impl Models {
    /// A call that asked for one model and gets one, the same or another.
    pub fn of(requested: ModelName, used: ModelName) -> Self {
        Self { asked: Some(requested).filter(|requested| *requested != used), used }
    }

    /// The one that was asked for.
    pub fn requested(&self) -> &ModelName {
        self.asked.as_ref().unwrap_or(&self.used)
    }
}
