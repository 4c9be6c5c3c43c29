//! How the record is: what can be done with it, for health and doctor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// How the record is.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Whether it can be written.
    pub recording: Recording,
    /// Whether a head anchor tells an older copy from the present.
    pub anchored: bool,
    /// How many acts that narrow a budget are in force in memory only.
    pub in_memory: usize,
}

impl Condition {
    /// Whether what is in force is more than what the next start would find: an act in memory only,
    /// or whatever a failed disk kept from the record.
    pub fn is_ahead(&self) -> bool {
        self.in_memory > 0 || matches!(self.recording, Recording::Poisoned { .. })
    }
}

/// Whether the record can be written.
#[derive(Clone, Debug)]
pub enum Recording {
    /// It can.
    Sound,
    /// It can, but there is so little room that no new payment is taken on.
    Low {
        /// How many bytes are free.
        free: u64,
        /// How many there must be.
        needed: u64,
    },
    /// There is no room for another record.
    Full,
    /// A write or sync failed: nothing is written until the process starts anew.
    Poisoned {
        /// What failed first.
        cause: String,
    },
    /// It was damaged or rolled back when it was opened: it is only read.
    Sealed(StoreError),
}

/// The condition, as the writer keeps it and others look at it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Condition>>);

impl Shared {
    pub(crate) fn new(recording: Recording, anchored: bool) -> Self {
        Self(Arc::new(Mutex::new(Condition { recording, anchored, in_memory: 0 })))
    }

    pub(crate) fn get(&self) -> Condition {
        self.lock().clone()
    }

    pub(crate) fn set_in_memory(&self, acts: usize) {
        self.lock().in_memory = acts;
    }

    pub(crate) fn set(&self, recording: Recording) {
        self.lock().recording = recording;
    }

    /// Says whether the anchor was kept until now.
    pub(crate) fn set_anchored(&self, anchored: bool) -> bool {
        std::mem::replace(&mut self.lock().anchored, anchored)
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
