//! What becomes of a payment, said to both.

use super::{
    super::{
        decide::{same, settled},
        ops::{How, WHALE},
        words::{self, usd},
    },
    Pair,
};
use crate::reference::{MOST, Payment, Settle};

impl Pair {
    /// Which payment is settled. Nothing comes back to the whale, nor is more taken:
    /// its sums would not fit.
    pub(super) fn to_settle(&self, nth: usize, of_all: bool, how: How) -> Option<usize> {
        let back = matches!(how, How::Refund(..));
        let over = matches!(how, How::Overrun(..));
        // What comes back in parts comes back from the same payment.
        if let (true, 0, false, Some(number)) = (back, nth, of_all, self.returned) {
            return Some(number);
        }
        let fits = |paid: &Payment| if back { paid.taken > 0 } else { paid.is_open() };
        let of = self.model.payments.iter().enumerate().filter(|(_, p)| of_all || fits(p));
        let (number, paid) = of.rev().nth(nth)?;
        (!(back || over) || paid.agent != WHALE).then_some(number)
    }

    pub(super) fn settle(&mut self, number: usize, how: How) -> Result<(u8, Option<u8>), String> {
        let paid = &self.model.payments[number];
        let (agent, run, amount, taken) = (paid.agent, paid.asked.run, paid.amount, paid.taken);
        let some = |more: i128, other: i128, all: i128| match other {
            0 => (all + more).clamp(0, MOST),
            parts if parts < 0 => (all / -parts + more).clamp(0, MOST),
            other => other,
        };
        let (word, how) = match how {
            How::Send => ("send", Settle::Send),
            How::Doubt => ("doubt", Settle::Doubt),
            How::Fail => ("fail", Settle::Fail),
            How::Expire => ("expire", Settle::Expire),
            How::Void { not_sent } => ("void", Settle::Void { not_sent }),
            How::Capture(more, other) => {
                ("capture", Settle::Capture(some(more, other, amount), None))
            }
            How::Overrun(flag, more) => ("overrun", Settle::Capture(amount + more, Some(flag))),
            How::Refund(more, other) => ("refund", Settle::Refund(some(more, other, taken))),
        };
        if let Settle::Refund(_) = how {
            self.returned = Some(number);
        }
        let expected = self.model.settle(number, how);
        let hold = self.holds[number].clone();
        let came = self.subject.commit(move |state, _, _| {
            match settled(state, agent, &hold, usd(taken), how) {
                Ok(draft) => (vec![draft], Ok(true)),
                Err(error) => (Vec::new(), Err(words::settle_word(error))),
            }
        });
        self.count(&format!("op {word}{}", if came.is_ok() { "" } else { " refused" }));
        same(&format!("{how:?} of payment {number}"), &expected, &came).map(|()| (agent, run))
    }
}
