//! What agents spend together in their groups, added up apart from the fold.

use std::collections::BTreeMap;

use crate::policy::{
    entry::{Fact, Hold},
    group::{Group, GroupFact, InGroup},
    money::Usd,
    names::{GroupId, PaymentId},
    state::State,
    tally,
    window::Period,
};

/// The sums of one group since it was made.
#[derive(Default)]
struct Sums {
    /// The record that made it: payments of before are those of another that had its name.
    since: u64,
    used: i128,
    held: i128,
    paid: u64,
    open: u64,
}

/// The sums of every group.
#[derive(Default)]
pub(super) struct Groups {
    sums: BTreeMap<GroupId, Sums>,
    open: BTreeMap<PaymentId, Hold>,
}

fn nanos(amount: Usd) -> i128 {
    i128::from(amount.nanos())
}

impl Groups {
    /// Adds what an entry of the record at `position` says.
    pub(super) fn add_up(&mut self, fact: &Fact, position: u64) {
        match fact {
            Fact::Group(GroupFact::Removed { group }) => drop(self.sums.remove(group)),
            Fact::Group(GroupFact::Set { group, .. }) => {
                let made = Sums { since: position, ..Sums::default() };
                self.sums.entry(group.clone()).or_insert(made);
            }
            Fact::Held(hold) => {
                self.each(hold.payment, &hold.groups, |sums| {
                    sums.held += nanos(hold.amount);
                    sums.open += 1;
                });
                self.open.insert(hold.payment, hold.clone());
            }
            Fact::Paid(hold) => self.each(hold.payment, &hold.groups, |sums| {
                sums.used += nanos(hold.amount);
                sums.paid += 1;
            }),
            Fact::Refunded { payment, amount, by: Some(by), .. } => {
                self.each(*payment, &by.groups, |sums| sums.used -= nanos(*amount));
            }
            other => {
                let Some(hold) = other.ends().and_then(|payment| self.open.remove(&payment)) else {
                    return;
                };
                let taken =
                    if let Fact::Captured { amount, .. } = other { Some(amount) } else { None };
                self.each(hold.payment, &hold.groups, |sums| {
                    sums.held -= nanos(hold.amount);
                    sums.open = sums.open.saturating_sub(1);
                    sums.used += taken.map_or(0, |taken| nanos(*taken));
                    sums.paid += u64::from(taken.is_some());
                });
            }
        }
    }

    fn each(&mut self, payment: PaymentId, groups: &[InGroup], mut change: impl FnMut(&mut Sums)) {
        for InGroup { group, .. } in groups {
            let sums = self.sums.get_mut(group);
            if let Some(sums) = sums.filter(|sums| payment.position() > sums.since) {
                change(sums);
            }
        }
    }

    /// The groups of `state` whose sums are not those of the entries.
    pub(super) fn wrong(&self, state: &State) -> Vec<String> {
        let none = Sums::default();
        let is_wrong = |group: &&Group| {
            let added = self.sums.get(&group.name).unwrap_or(&none);
            let folded = group.whole.tallies.get(&Period::Lifetime);
            let folded = folded.map(|tally| tally.sums).unwrap_or_default();
            let tally::Sums { used, held, paid, open } = folded;
            (added.used, added.held) != (nanos(used), nanos(held))
                || (added.paid, added.open) != (paid, open)
        };
        let wrong = state.groups().filter(is_wrong);
        wrong
            .map(|group| format!("the entries' sums are not those of the group `{}`", group.name))
            .collect()
    }
}

/// Which of the groups that somebody has are not the fold of the entries in `state`.
pub(super) fn differ(whose: &str, groups: &[Group], state: &State) -> Vec<String> {
    let differs = |group: &&Group| state.group(&group.name) != Some(*group);
    let wrong = groups.iter().filter(differs);
    let mut wrong: Vec<String> = wrong
        .map(|group| format!("the group `{}` in {whose} is not its entries", group.name))
        .collect();
    let (there, here) = (groups.len(), state.groups().count());
    if there != here {
        wrong.push(format!("{whose} has {there} groups, the entries make {here}"));
    }
    wrong
}
