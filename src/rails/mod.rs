//! How money reaches a payee: each rail the same anatomy, each in a file of its own.
//!
//! A rail decides nothing and records nothing. By the time it is called the money is held and the
//! record says, synced, that it was sent; what the rail answers is recorded by the engine. It is
//! called once for a payment, on a task of its own, and never again: not after a time-out, not
//! after a restart.
//!
//! # How to write a rail
//!
//! 1. A file here with one type, and what it needs to reach a payee as its fields.
//! 2. [`Rail::name`]: what a service says it is paid by. It is in the record, so it never changes.
//! 3. [`Rail::dispatch`]: how long a call may take. The engine keeps to it; a time-out of the
//!    rail's own should be shorter, for it knows more about what was sent. [`Rail::bound`]: what
//!    is sent, and how much is held for it where the price is not the service's own.
//! 4. [`Rail::pay`]: one attempt. What it knows for sure it says; whatever is not proof is
//!    [`Verdict::InDoubt`], for then the money stays held. It puts the payment's id wherever the
//!    payee's side takes a name for a payment, and no text from outside into a log. What the
//!    payee's side answers it hands on through the [`Reply`], if there is anything.
//! 5. `serve` puts it among its [`Rails`].
//!
//! The scripted rail of the tests shows every answer there is.

mod iou;
pub mod meter;
pub mod proxy;
mod reply;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

pub use iou::Iou;
use meter::{Metering, Shared};
pub use reply::{Head, Part, Reading, Reply};

use crate::policy::{
    denial::BadField,
    endpoint::Asking,
    entry::CaptureFlag,
    mandate::Service,
    models::Models,
    money::Usd,
    names::{Handle, PaymentId, RailName},
};

/// One payment, as a rail is asked to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id, which names it for the payee's side too.
    pub payment: PaymentId,
    /// Who pays.
    pub agent: Handle,
    /// What is paid for, as the catalogue had it when the money was held.
    pub service: Service,
    /// How much is held. What is metered may come to more; nothing else may.
    pub amount: Usd,
    /// The call that is paid for, of a service that is one.
    pub request: Option<Arc<Asking>>,
    /// What its charge goes by, where it is metered.
    pub metering: Option<Arc<Metering>>,
}

/// What a mandate says of calls of language models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The most tokens that may come out of one.
    pub max_output_tokens: Option<u64>,
    /// The model that is used in place of the one that is asked for.
    pub model: Option<&'a str>,
}

/// A call as it is sent, and what is held for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// The most that it can cost, or is likely to, where the service's own price is not that.
    pub amount: Option<Usd>,
    /// The call.
    pub asking: Asking,
    /// The language model that it is of, where it is metered.
    pub model: Option<Models>,
    /// What its charge goes by then.
    pub metering: Option<Arc<Metering>>,
}

impl Bounded {
    /// A call as it was asked for, at a price that is known.
    pub fn plain(asking: Asking, amount: Option<Usd>) -> Self {
        Self { amount, asking, model: None, metering: None }
    }

    /// Whether it is of another model that is used in place of the one that is asked for, as the
    /// other is, and surely costs no more.
    pub fn stands_in_for(&self, asked: &Self) -> bool {
        let another = self.model.as_ref().is_some_and(|model| model.asked.is_some());
        let meterings = self.metering.as_deref().zip(asked.metering.as_deref());
        let stands_in = meterings.is_some_and(|(mine, theirs)| mine.stands_in_for(theirs));
        another && stands_in && self.amount <= asked.amount
    }
}

/// What became of a payment, as far as its rail knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So much was taken.
    Captured(Usd),
    /// So much was taken, and an operator should know why: more than was held only by a rail that
    /// meters.
    Flagged(Usd, CaptureFlag),
    /// The payee's side said no, and nothing was or will be taken.
    Failed,
    /// Nothing ever left this process, and that is proved: a refused connection, say.
    NotSent,
    /// Nothing was sent, for something that it needs is not there.
    NotReady,
    /// Anything else: a time-out, a reset, an answer that makes no sense.
    InDoubt,
}

/// What it takes to make a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The record is the payment: it is made with the commit that allows it, and nothing is called.
    Recorded,
    /// [`Rail::pay`] is called once the hold is durable, and may take so long.
    Called {
        /// What has no answer by then is in doubt.
        within: Duration,
    },
}

/// One way for money to reach a payee.
///
/// It has one promise to keep: what it answers is true. A panic and a missed deadline count as
/// [`Verdict::InDoubt`]; the future is dropped then, wherever it is.
pub trait Rail: Send + Sync {
    /// Its name in the catalogue.
    fn name(&self) -> RailName;

    /// What it takes to pay this service by it.
    fn dispatch(&self, service: &Service) -> Dispatch;

    /// What is sent of a call of a service, and how much is held for it where the service's own
    /// price is not that.
    ///
    /// # Errors
    /// What has to be otherwise about the call, so that it has a price.
    fn bound(&self, _service: &Service, call: Asking, _terms: Terms) -> Result<Bounded, BadField> {
        Ok(Bounded::plain(call, None))
    }

    /// Whether it is never called, whatever is paid by it.
    fn only_records(&self) -> bool {
        false
    }

    /// Makes one payment, and says what became of it. What the payee's side answers goes into
    /// `reply` as it comes.
    fn pay<'a>(&'a self, order: &'a Order, reply: Reply) -> BoxFuture<'a, Verdict>;
}

/// The rails that an engine has. Clones are the same rails.
#[derive(Clone)]
pub struct Rails {
    rails: Arc<BTreeMap<RailName, Arc<dyn Rail>>>,
    /// What those of them meter by whose prices are a table's.
    prices: Shared,
}

impl Default for Rails {
    /// Internal credit alone, which every engine has.
    fn default() -> Self {
        Self { rails: Arc::default(), prices: Shared::default() }.with(Arc::new(Iou))
    }
}

impl Rails {
    /// These and one more; it takes the place of one with the same name.
    #[must_use]
    pub fn with(self, rail: Arc<dyn Rail>) -> Self {
        let mut rails = Arc::unwrap_or_clone(self.rails);
        rails.insert(rail.name(), rail);
        Self { rails: Arc::new(rails), ..self }
    }

    /// The table of prices that they meter by: what is set there is what they charge from then on.
    pub fn prices(&self) -> &Shared {
        &self.prices
    }

    /// The rail of that name.
    pub fn get(&self, name: &RailName) -> Option<&Arc<dyn Rail>> {
        self.rails.get(name)
    }

    /// The names there are.
    pub fn names(&self) -> impl Iterator<Item = &RailName> {
        self.rails.keys()
    }

    /// Whether none of them is ever called.
    pub fn only_record(&self) -> bool {
        self.rails.values().all(|rail| rail.only_records())
    }
}

impl fmt::Debug for Rails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rails.keys()).finish()
    }
}
