//! The caps of a mandate, drawn from a seed.

use super::ops::{CENT, Dice, GROUPS, KINDS, NIGHTS, PAYEES, SERVICES, WHALE, cents};
use crate::reference::{CALENDAR, Cap, GroupTerms, Kind, MOST, On};

/// Some caps, mostly on all payments; now and then of one kind twice.
pub(super) fn caps(dice: &mut Dice, agent: u8) -> Vec<Cap> {
    let mut caps = Vec::new();
    let hours = [1, 2, 5, 6, 24, 168, 744];
    for kind in CALENDAR.into_iter().chain([Kind::Lifetime, Kind::Run]) {
        if dice.one_in(if kind == Kind::Run { 2 } else { 3 }) {
            caps.push(amount(dice, kind, On::All));
        }
    }
    while dice.one_in(2) {
        let kind = Kind::Rolling(dice.pick(&hours));
        caps.push(amount(dice, kind, On::All));
    }
    if agent == WHALE {
        // Nothing comes back to the whale, so with this cap its sums can be written down.
        caps.retain(|cap| cap.kind != Kind::Lifetime);
        let most = if dice.one_in(2) { MOST } else { MOST - cents(dice, 0, 20_000) };
        for cap in &mut caps {
            cap.most = (cap.most * CENT * 50).min(MOST);
        }
        caps.push(Cap { kind: Kind::Lifetime, on: On::All, counts: false, most });
        return caps;
    }
    let kinds = CALENDAR.into_iter().chain([Kind::Lifetime, Kind::Run]);
    let kinds: Vec<Kind> = kinds.chain(hours.map(Kind::Rolling)).collect();
    while dice.below(5) < 3 {
        let (kind, on) = (dice.pick(&kinds), some(dice));
        // Where there are two on the hours before now already, a third would only be refused.
        let rolls = |cap: &&Cap| matches!(cap.kind, Kind::Rolling(_));
        let many = caps.iter().filter(rolls).count() > 1;
        if many && matches!(kind, Kind::Rolling(_)) && !dice.one_in(20) {
            continue;
        }
        let cap = if dice.one_in(2) {
            count(dice, kind, on)
        } else {
            // Little, for only some of the payments count.
            Cap { most: cents(dice, 15, 120), ..amount(dice, kind, on) }
        };
        if caps.iter().all(|other| other.key() != cap.key()) || dice.one_in(20) {
            caps.push(cap);
        }
    }
    caps
}

/// A group, mostly with few caps; now and then below one that may not be above it.
pub(super) fn group_terms(dice: &mut Dice, group: u8, zone: &'static str) -> GroupTerms {
    let mut caps = caps(dice, 0);
    caps.retain(|cap| cap.kind != Kind::Run && cap.most > 0);
    let many = usize::from(1 + dice.byte(4));
    caps.truncate(many);
    let mut seen = Vec::new();
    caps.retain(|cap| !seen.contains(&cap.key()) && (seen.push(cap.key()), true).1);
    let above = |dice: &mut Dice| if dice.one_in(8) { dice.byte(GROUPS) } else { group / 2 };
    let parent = dice.one_in(2).then(|| above(dice)).filter(|parent| *parent != group);
    let zone = if dice.one_in(4) { dice.pick(&NIGHTS).0 } else { zone };
    // As a policy sorts them.
    caps.sort_by_key(|cap| (cap.kind == Kind::Lifetime, cap.kind, cap.on, cap.counts));
    let rolls = |cap: &Cap| matches!(cap.kind, Kind::Rolling(_));
    while caps.iter().filter(|cap| rolls(cap)).count() > 2 {
        let last = caps.iter().rposition(rolls).unwrap();
        caps.remove(last);
    }
    GroupTerms { caps, parent, zone }
}

fn some(dice: &mut Dice) -> On {
    match dice.below(9) {
        0 => On::All,
        1..4 => On::Service(dice.byte(SERVICES)),
        4..7 => On::Category(dice.byte(KINDS)),
        _ => On::Payee(dice.byte(PAYEES)),
    }
}

fn count(dice: &mut Dice, kind: Kind, on: On) -> Cap {
    let most = match kind {
        Kind::Lifetime | Kind::Month => 4 + i128::from(dice.byte(20)),
        _ => i128::from(dice.byte(3)) + i128::from(!dice.one_in(20)),
    };
    Cap { kind, on, counts: true, most }
}

fn amount(dice: &mut Dice, kind: Kind, on: On) -> Cap {
    let most = match kind {
        _ if dice.one_in(60) => 0,
        Kind::Hour | Kind::Rolling(1..3) | Kind::Run => cents(dice, 20, 200),
        Kind::Day | Kind::Rolling(_) => cents(dice, 50, 400),
        Kind::Week | Kind::Month => cents(dice, 100, 900),
        Kind::Lifetime => cents(dice, 1_000, 6_000),
    };
    Cap { kind, on, counts: false, most }
}
