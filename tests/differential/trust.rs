//! Whom an agent may pay, drawn from a seed.

use std::collections::BTreeMap;

use super::ops::{CENT, Dice, PAYEES, SERVICES, WHALE};

/// The payee of a service, now and then.
pub(super) fn pinned(dice: &mut Dice) -> BTreeMap<u8, u8> {
    let pins = u8::from(dice.one_in(5));
    (0..pins).map(|_| (dice.byte(SERVICES), dice.byte(PAYEES))).collect()
}

/// Higher limits, few payments and days away; now and then such as no mandate has.
pub(super) fn tiers(dice: &mut Dice, agent: u8) -> Vec<(i64, i64, i128)> {
    if agent == WHALE || !dice.one_in(3) {
        return Vec::new();
    }
    let (mut after, mut days, mut limit) = (0, 0, 80 * CENT);
    let some = (0..=dice.below(2)).map(|_| {
        after += dice.between(1, 4);
        days += dice.between(1, 3);
        limit += CENT * i128::from(dice.between(1, 60));
        (after, days, limit)
    });
    some.collect()
}
