//! The second opinion on what ends loops.

use super::{Asked, Breach, Kind, Model, Verdict, plain};

/// A refusal: what was asked, what it would have cost, and why not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    service: u8,
    cost: Option<i128>,
    run: Option<u8>,
    why: Vec<(&'static str, Option<Kind>, Option<i128>)>,
}

impl Model {
    /// Something else happened than a refusal.
    pub(super) fn other_than_refused(&mut self, agent: u8) {
        if let Some(book) = self.agents.get_mut(&agent) {
            book.row.clear();
        }
    }

    /// Writes a refusal down; the third in a row that is the same is a loop.
    pub(super) fn refused(
        &mut self,
        agent: u8,
        asked: &Asked,
        cost: Option<i128>,
        verdict: Verdict,
    ) -> Verdict {
        let Verdict::Denied { mut breaches, mut advice, mut affordable, mut resets } = verdict
        else {
            return verdict;
        };
        let most = |breach: &Breach| {
            breach.numbers.last().copied().filter(|_| breach.code == "price_above_maximum")
        };
        let why = breaches.iter().map(|breach| (breach.code, breach.kind, most(breach))).collect();
        let refused = Refused { service: asked.service, cost, run: asked.run, why };
        let row = &mut self.agents.get_mut(&agent).unwrap().row;
        row.push(refused.clone());
        let third = row.iter().rev().take(3).filter(|other| **other == refused).count() == 3;
        if third && advice != "stop" {
            breaches.insert(0, plain("loop_detected"));
            (advice, affordable, resets) = ("stop", None, None);
        }
        Verdict::Denied { breaches, advice, affordable, resets }
    }
}
