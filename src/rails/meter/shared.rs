//! The present table of prices, which whoever meters looks at anew for every call.

use std::sync::{Arc, PoisonError, RwLock};

use super::Prices;

/// A handle to the present prices. Clones are the same.
#[derive(Clone, Debug)]
pub struct Shared(Arc<RwLock<Arc<Prices>>>);

impl Default for Shared {
    /// Those that come with the program. Where they could not be read, which a test sees to, no
    /// model has a price.
    fn default() -> Self {
        Self::new(Prices::bundled().unwrap_or_default())
    }
}

impl Shared {
    /// A handle to these, until others are set.
    pub fn new(prices: Prices) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(prices))))
    }

    /// The prices as they are now. A call is priced by one table from its hold to its charge, so
    /// whoever has got it keeps it.
    pub fn get(&self) -> Arc<Prices> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has these in the place of those before.
    pub fn set(&self, prices: Arc<Prices>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = prices;
    }
}
