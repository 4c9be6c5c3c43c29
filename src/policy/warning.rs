//! The line that says in time that a cap is nearly used up.

use std::{cmp::Ordering, fmt};

use jiff::Timestamp;

use super::{
    cap::{Bound, Cap},
    downgrade::Percent,
    mandate::Service,
    money::Usd,
    names::{GroupId, RunId},
    planted::{self, Bug},
    rooms::{Bearing, Spender},
    tally::nanos,
};

/// A cap of which not much is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The cap.
    pub cap: Cap,
    /// What is captured and held in its window: as much as the cap is on, or as many.
    pub spent: Bound,
    /// The group whose cap it is; the agent's own without one.
    pub group: Option<GroupId>,
}

impl fmt::Display for Warning {
    /// One sentence for the model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cap = self.cap.in_sentence(self.group.as_ref());
        match self.spent {
            Bound::Amount(spent) => write!(f, "{spent} of {cap} is spent")?,
            Bound::Count(1) => write!(f, "1 of {cap} is made")?,
            Bound::Count(spent) => write!(f, "{spent} of {cap} are made")?,
        }
        f.write_str(": finish the essential part first.")
    }
}

/// A warning with what is left and what the cap is, in nano-dollars or payments.
struct Near {
    warning: Warning,
    left: u64,
    most: u64,
}

impl Near {
    /// A cap, if it is used and held to 80 % or more.
    fn of(mut bearing: Bearing<'_>) -> Option<Self> {
        if planted::is(Bug::WarningForgetsHeld) {
            (bearing.room.held, bearing.room.open) = (Usd::ZERO, 0);
        }
        let (cap, spent) = (bearing.cap, bearing.spent());
        let left = match cap.bound {
            Bound::Amount(_) => nanos(bearing.room.left),
            Bound::Count(_) if planted::is(Bug::WarningForgetsCounts) => return None,
            Bound::Count(_) => cap.bound.number().saturating_sub(spent.number()),
        };
        let told = match bearing.stands_to(Percent::EIGHTY) {
            Ordering::Less => false,
            Ordering::Equal => !planted::is(Bug::WarningIsLate),
            Ordering::Greater => true,
        };
        let group = bearing.group().map(|group| group.name.clone());
        let most = cap.bound.number();
        told.then(|| Self { warning: Warning { cap: cap.clone(), spent, group }, left, most })
    }

    /// Whether less of it is left in proportion.
    fn is_nearer(&self, other: &Self) -> bool {
        let part = |left: u64, most: u64| u128::from(left).saturating_mul(u128::from(most));
        part(self.left, other.most) < part(other.left, self.most)
    }
}

impl Spender<'_> {
    /// Of the caps that bear on a payment for `service`, or without one of those on all, the one
    /// that leaves least of those that are used and held to 80 % or more; between one on amounts
    /// and one on how many, the one that leaves less in proportion.
    pub fn warning(
        &self,
        service: Option<&Service>,
        run: Option<&RunId>,
        now: Timestamp,
    ) -> Option<Warning> {
        let aim = service.map(|service| self.aim(service));
        let bears = |cap: &Cap| self.is_on_all(cap) || aim.is_some_and(|aim| cap.on.covers(&aim));
        let (mut amount, mut count): (Option<Near>, Option<Near>) = (None, None);
        for near in self.each(run, now, bears).filter_map(Near::of) {
            let least = match near.warning.spent {
                Bound::Amount(_) => &mut amount,
                Bound::Count(_) => &mut count,
            };
            if least.as_ref().is_none_or(|least| near.left < least.left) {
                *least = Some(near);
            }
        }
        let nearest = match (amount, count) {
            (Some(amount), Some(count)) if count.is_nearer(&amount) => Some(count),
            (amount, count) => amount.or(count),
        };
        nearest.map(|near| near.warning)
    }
}
