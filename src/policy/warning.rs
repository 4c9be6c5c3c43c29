//! The line that says in time that a cap is nearly used up.

use std::fmt;

use jiff::Timestamp;

use super::{
    cap::{Aim, Cap},
    mandate::Service,
    money::Usd,
    names::RunId,
    planted::{self, Bug},
    rooms::Spender,
};

/// From which part of a cap on it is told: four fifths, which is 80 %.
const FROM: (i128, i128) = (4, 5);

/// A cap of which not much is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The cap.
    pub cap: Cap,
    /// Captured and held in its window.
    pub spent: Usd,
}

impl fmt::Display for Warning {
    /// One sentence for the model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cap { period, bound, on } = &self.cap;
        let (whose, on, spent) = (period.possessive(), on.in_words(), self.spent);
        write!(
            f,
            "{spent} of {whose} cap of {bound}{on} is spent: finish the essential part first."
        )
    }
}

impl Spender<'_> {
    /// Of the caps on amounts that bear on a payment for `service`, or without one on all, the one
    /// that leaves least of those that are used and held to 80 % or more.
    pub fn warning(
        &self,
        service: Option<&Service>,
        run: Option<&RunId>,
        now: Timestamp,
    ) -> Option<Warning> {
        let aim = service.map(Aim::from);
        let bears = |cap: &Cap| cap.on.is_all() || aim.is_some_and(|aim| cap.on.covers(&aim));
        let caps = self.each(run, now, bears).filter_map(|bearing| {
            let (cap, room) = (bearing.cap, bearing.room);
            let held = if planted::is(Bug::WarningForgetsHeld) { Usd::ZERO } else { room.held };
            let spent = room.used.saturating_plus(held);
            let (most, of) = FROM;
            let reached = i128::from(spent.nanos()).saturating_mul(of);
            let from = i128::from(cap.amount()?.nanos()).saturating_mul(most);
            let late = planted::is(Bug::WarningIsLate);
            let told = if late { reached > from } else { reached >= from };
            told.then(|| (room.left, Warning { cap: cap.clone(), spent }))
        });
        caps.min_by_key(|(left, _)| *left).map(|(_, warning)| warning)
    }
}
