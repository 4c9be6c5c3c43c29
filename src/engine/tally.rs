//! Counting what is under way.

use std::sync::Arc;

use tokio::sync::watch;

/// How many of something there are now; whoever waits for none can.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Arc<watch::Sender<u64>>);

/// One of what a [`Tally`] counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Tally);

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn count(&self) -> Counted {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Counted(self.clone())
    }

    pub(crate) fn now(&self) -> u64 {
        *self.0.borrow()
    }

    pub(crate) async fn none(&self) {
        // It cannot fail: the sender is ours.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self(Tally(sender)) = self;
        sender.send_modify(|count| *count = count.saturating_sub(1));
    }
}
