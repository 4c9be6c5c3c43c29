//! How the record is, in the wire's words.

use super::Engine;
use crate::{
    policy::terms::{Condition, RecordHealth},
    store::{Recording, StoreError},
};

impl Engine {
    /// Whether the record can be written, and what stands in the way. It waits for nothing.
    pub fn record_health(&self) -> RecordHealth {
        let now = self.condition();
        let (condition, error) = match now.recording {
            Recording::Sound => (Condition::Sound, None),
            Recording::Low { free, needed } => {
                (Condition::Low, Some(StoreError::Low { free, needed }))
            }
            Recording::Full => (Condition::Full, Some(StoreError::Full)),
            Recording::Poisoned { cause } => {
                (Condition::Unwritable, Some(StoreError::Poisoned { cause }))
            }
            Recording::Sealed(error) => (Condition::Sealed, Some(error)),
        };
        RecordHealth {
            condition,
            detail: error.as_ref().map(ToString::to_string),
            fix: error.as_ref().and_then(StoreError::remedy).map(str::to_owned),
            anchored: now.anchored,
            in_memory: now.in_memory,
        }
    }
}
