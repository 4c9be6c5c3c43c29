//! One call as it is metered, from its hold to its charge.

use std::{collections::BTreeSet, sync::Arc};

use hyper::body::Bytes;

use super::{
    Bound, Charge, Flag, MAX_EVENT, Meter, ModelPrices, Prices, Usage, Wire, charge, read,
    sieve::Sieve,
};
use crate::policy::money::Usd;

/// The type of a body that is a stream of events.
const STREAM: &str = "text/event-stream";

/// What the charge of a call goes by. The prices are those of its hold, whatever is set meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metering {
    /// What the vendor's API speaks.
    pub wire: Wire,
    /// The table.
    pub prices: Arc<Prices>,
    /// The model that is used, which the table has.
    pub model: String,
    /// The region of the host that is asked, where that has one.
    pub region: Option<String>,
    /// Whether the request asks for the longer lifetime of a cache.
    pub long_writes: bool,
    /// Whether a stream tells its usage for us alone, and its caller gets none.
    pub hides_usage: bool,
}

/// What was counted of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What it comes to, as far as is known.
    pub amount: Usd,
    /// Whether that is all of it.
    pub complete: bool,
    /// What was odd.
    pub flags: BTreeSet<Flag>,
}

impl Metering {
    /// The metering of a call with that bound.
    pub fn of(wire: Wire, prices: Arc<Prices>, bound: &Bound, region: Option<&str>) -> Self {
        Self {
            wire,
            prices,
            model: bound.model.clone(),
            region: region.map(str::to_owned),
            long_writes: bound.long_writes,
            hides_usage: false,
        }
    }

    /// Whether a call that is metered so may be made in place of the other: nothing costs more, and
    /// one vendor has both models. Nobody but Anthropic has Claude.
    pub fn stands_in_for(&self, other: &Self) -> bool {
        let claude = |metering: &Self| metering.model.contains("claude");
        let (mine, theirs) = (self.prices.get(&self.model), other.prices.get(&other.model));
        let no_dearer = |(mine, theirs): (&ModelPrices, _)| mine.is_no_dearer_than(theirs);
        claude(self) == claude(other) && mine.zip(theirs).is_some_and(no_dearer)
    }

    /// Begins to count an answer whose body is of that type.
    pub fn count(&self, content_type: Option<&str>) -> Count<'_> {
        let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let way = if kind.trim().eq_ignore_ascii_case(STREAM) {
            let sieve = self.hides_usage.then(Sieve::default);
            Way::Stream(Box::new(Meter::new(self.wire, self.long_writes)), sieve)
        } else {
            Way::Whole { body: Vec::new(), too_long: false }
        };
        Count { by: self, way }
    }

    /// What a usage comes to. Where the vendor says that it was another model than the one that was
    /// asked for, as a dated one of the same name, the dearer of the two counts: a price that an
    /// operator set may stand at either.
    fn charge(&self, mut usage: Usage) -> Counted {
        let told = usage.model.take().filter(|told| *told != self.model);
        let other = told.as_deref().and_then(|told| self.prices.get(told));
        if told.is_some() && other.is_none() {
            usage.flags.insert(Flag::OtherModel);
        }
        if self.wire != Wire::AnthropicMessages {
            usage.region.clone_from(&self.region);
        }
        let priced = [self.prices.get(&self.model), other].into_iter().flatten();
        let charges: Vec<Charge> = priced.map(|prices| charge(prices, &usage)).collect();
        let complete = !charges.is_empty() && charges.iter().all(|charge| charge.complete);
        let dearest = charges.into_iter().max_by_key(|charge| charge.amount);
        let none = (Usd::ZERO, usage.flags.clone());
        let (amount, flags) = dearest.map_or(none, |Charge { amount, flags, .. }| (amount, flags));
        Counted { amount, complete: usage.complete && complete, flags }
    }
}

/// An answer on its way, and what was counted of it.
#[derive(Debug)]
pub struct Count<'a> {
    by: &'a Metering,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// As its events come by.
    Stream(Box<Meter>, Option<Sieve>),
    /// At the end of it. It is kept until then, if it is no longer than is looked at.
    Whole { body: Vec<u8>, too_long: bool },
}

impl Count<'_> {
    /// Takes the next bytes of the body, and gives what of it may go on.
    pub fn take(&mut self, bytes: Bytes) -> Bytes {
        match &mut self.way {
            Way::Stream(meter, sieve) => {
                meter.feed(&bytes);
                match sieve {
                    Some(sieve) => sieve.take(&bytes),
                    None => bytes,
                }
            }
            Way::Whole { body, too_long } => {
                *too_long |= body.len().saturating_add(bytes.len()) > MAX_EVENT;
                if *too_long {
                    *body = Vec::new();
                } else {
                    body.extend_from_slice(&bytes);
                }
                bytes
            }
        }
    }

    /// What is still to go on, now that there is no more to come.
    pub fn rest(&mut self) -> Bytes {
        match &mut self.way {
            Way::Stream(_, Some(sieve)) => sieve.finish(),
            Way::Stream(_, None) | Way::Whole { .. } => Bytes::new(),
        }
    }

    /// What was counted in all.
    pub fn finish(self) -> Counted {
        let Self { by, way } = self;
        by.charge(match way {
            Way::Stream(meter, _) => meter.finish(),
            Way::Whole { too_long: true, .. } => {
                Usage { flags: BTreeSet::from([Flag::EventTooLong]), ..Usage::default() }
            }
            Way::Whole { body, .. } => read(by.wire, by.long_writes, &body),
        })
    }
}
