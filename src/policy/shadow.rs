//! Shadow caps: counted like any other, told of to operators, and never a reason to deny.
//!
//! What a payment passed is a fact of its hold, with the sums of that moment, so that it can be
//! told later whatever the mandate is by then. A task, run, service or rolling window counts for
//! a shadow cap from when that was set; a cap that takes its place goes on with those sums.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    authorize::passes,
    book::Book,
    cap::{Bound, Cap},
    denial::{Denial, Payments, Refusal},
    entry::{Entry, Fact, Hold},
    mandate::{Mandate, Service},
    money::Usd,
    names::{Handle, RunId},
    planted::{self, Bug},
    rooms::{Room, Spender},
    terms::{AgentTrial, PolicyTrial},
};

/// A shadow cap that a payment passed, with the sums of that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The cap.
    pub cap: Cap,
    /// Captured under it.
    pub used: Usd,
    /// Held under it.
    pub held: Usd,
    /// How many payments there were, where it is a cap on how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Payments>,
}

impl Passed {
    /// What the agent would have been told.
    pub fn denial(&self) -> Denial {
        let Self { cap, used, held, count } = self.clone();
        let (cap, resets_at, group) = (Box::new(cap), None, None);
        Denial::CapExceeded { cap, used, held, resets_at, count, group }
    }
}

/// How much a shadow cap would have denied since it is as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldDeny {
    /// How many payments.
    pub count: u64,
    /// What they came to when their money was set aside.
    pub sum: Usd,
}

/// The shadow caps that a payment of `asked` for `service` passes, which denies it nothing.
pub(super) fn passed(
    spender: &Spender<'_>,
    (service, asked): (&Service, Usd),
    run: Option<&RunId>,
    now: Timestamp,
) -> Vec<Passed> {
    if planted::is(Bug::ShadowUntold) {
        return Vec::new();
    }
    let aim = spender.aim(service);
    let bear = spender.shadows(run, now).filter(|bearing| bearing.cap.on.covers(&aim));
    let beyond = bear.filter(|bearing| passes(asked, bearing.cap, &bearing.room));
    let told = beyond.map(|bearing| {
        let Room { used, held, paid, open, .. } = bearing.room;
        let count = match bearing.cap.bound {
            Bound::Amount(_) => None,
            Bound::Count(_) => Some(Payments { used: paid, held: open }),
        };
        Passed { cap: bearing.cap.clone(), used, held, count }
    });
    told.collect()
}

impl Book {
    /// Folds in that a payment passed shadow caps, whatever becomes of it.
    pub(super) fn passed(&mut self, hold: &Hold) {
        for Passed { cap, .. } in &hold.shadow {
            let told = self.would_deny.entry(cap.key()).or_default();
            told.count = told.count.saturating_add(1);
            told.sum = told.sum.saturating_plus(hold.amount);
        }
    }

    /// Keeps what is told of the shadow caps that stay as they are.
    pub(super) fn keep_shadows(&mut self, to: &Mandate) {
        let shadows = &self.mandate.shadow_caps;
        let stays = |cap: &&Cap| to.shadow_caps.contains(cap);
        let kept: Vec<_> = shadows.iter().filter(stays).map(Cap::key).collect();
        self.would_deny.retain(|key, _| kept.contains(key));
    }
}

/// A report on shadow caps, entry after entry.
#[derive(Debug, Default)]
pub struct Shadows {
    since: Option<Timestamp>,
    told: BTreeMap<Handle, AgentTrial>,
}

impl Shadows {
    /// Of what was paid or held from `since` on, or from the beginning.
    pub fn new(since: Option<Timestamp>) -> Self {
        Self { since, told: BTreeMap::new() }
    }

    /// Adds one entry. What came back, or was released, counts all the same: it was let through.
    pub fn add(&mut self, entry: &Entry) {
        let (Some(agent), Fact::Held(hold) | Fact::Paid(hold)) = (&entry.agent, &entry.fact) else {
            return;
        };
        if self.since.is_some_and(|since| entry.at < since) {
            return;
        }
        let told = self.told.entry(agent.clone()).or_insert_with(|| AgentTrial::of(agent));
        told.was_paid(hold.amount);
        let denials: Vec<Denial> = hold.shadow.iter().map(Passed::denial).collect();
        if !denials.is_empty() {
            let (asked, affordable, fixed_price) = (hold.amount, Usd::ZERO, true);
            let estimate = false;
            let refusal = Refusal { denials, asked, affordable, fixed_price, estimate };
            told.would_deny(hold, &refusal, entry.at);
            // Each of them would have, also where there was no other.
            told.also_by(hold, &refusal);
        }
    }

    /// What came of it, where those of `having` have shadow caps: what others paid is left out,
    /// unless they had some and passed them.
    pub fn told(self, having: &BTreeSet<Handle>) -> PolicyTrial {
        let theirs =
            |trial: &AgentTrial| having.contains(&trial.handle) || trial.would_deny.count > 0;
        let told = PolicyTrial::of(self.since, self.told.into_values().filter(theirs).collect());
        let having = u64::try_from(having.len()).unwrap_or(u64::MAX);
        PolicyTrial { with_shadow_caps: Some(having), ..told }
    }
}
