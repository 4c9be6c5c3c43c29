//! The caps of a mandate, drawn from a seed.

use super::ops::{CENT, Dice, GROUPS, KINDS, NIGHTS, Op, PAYEES, SERVICES, WHALE, cents};
use crate::reference::{CALENDAR, Cap, GroupTerms, Kind, MOST, On, Service};

/// Some caps, mostly on all payments; now and then of one kind twice.
pub(super) fn caps(dice: &mut Dice, agent: u8) -> Vec<Cap> {
    let mut caps = Vec::new();
    let hours = [1, 2, 5, 6, 24, 168, 744];
    for kind in CALENDAR.into_iter().chain([Kind::Lifetime, Kind::Run]) {
        if dice.one_in(if kind == Kind::Run { 2 } else { 3 }) {
            caps.push(amount(dice, kind, On::All));
        }
    }
    if dice.one_in(10) {
        caps.push(amount(dice, Kind::Task, On::All));
    }
    if agent != WHALE && dice.one_in(12) {
        let on = [On::All, On::Type(0), On::Type(1), On::Service(0)];
        let on = if dice.one_in(20) { on[3] } else { dice.pick(&on[..3]) };
        let often = dice.one_in(2) || on == On::All;
        let cap = if often { count(dice, Kind::Task, on) } else { amount(dice, Kind::Task, on) };
        caps.push(cap);
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
    while dice.below(3) < 2 {
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

/// Caps that deny nothing, few of them; mostly such as a mandate may have.
pub(super) fn shadows(dice: &mut Dice, agent: u8) -> Vec<Cap> {
    if agent == WHALE || !dice.one_in(3) {
        return Vec::new();
    }
    let mut shadows = caps(dice, agent);
    let rolls = |cap: &Cap| matches!(cap.kind, Kind::Rolling(_));
    // Few that no mandate may have, for such a mandate is refused whole.
    let odd = dice.one_in(60);
    shadows.retain(|cap| odd || cap.most > 0 && (!rolls(cap) || dice.one_in(8)));
    shadows.truncate(usize::from(1 + dice.byte(3)));
    shadows
}

/// A group that is set; in between a window may end.
pub(super) fn group(dice: &mut Dice, group: u8, zone: &'static str) -> Op {
    let terms = group_terms(dice, group, zone);
    let waits = dice.pick(&[0, 0, 0, 1, 3_600, 30_000]);
    Op::Group { group, terms, waits }
}

/// A group, mostly with few caps; now and then below one that may not be above it.
fn group_terms(dice: &mut Dice, group: u8, zone: &'static str) -> GroupTerms {
    let mut caps = caps(dice, 0);
    caps.retain(|cap| !matches!(cap.kind, Kind::Run | Kind::Task) && cap.most > 0);
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
    match dice.below(12) {
        0 => On::All,
        1..4 => On::Service(dice.byte(SERVICES)),
        4..7 => On::Category(dice.byte(KINDS)),
        7..9 => On::Payee(dice.byte(PAYEES)),
        _ => On::Type(dice.byte(2)),
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
        Kind::Hour | Kind::Rolling(1..3) | Kind::Run | Kind::Task => cents(dice, 20, 200),
        Kind::Day | Kind::Rolling(_) => cents(dice, 50, 400),
        Kind::Week | Kind::Month => cents(dice, 100, 900),
        Kind::Lifetime => cents(dice, 1_000, 6_000),
    };
    Cap { kind, on, counts: false, most }
}

pub(super) fn service(dice: &mut Dice, id: u8) -> Op {
    let price = match dice.below(12) {
        0 => Some(0),
        1..5 => Some(cents(dice, 1, 40)),
        5 => Some(cents(dice, 1, 40) + 1),
        _ => None,
    };
    let category = (!dice.one_in(4)).then(|| dice.byte(KINDS));
    let service = Service { price, payee: dice.byte(PAYEES), category };
    Op::Service { id, service, replace: !dice.one_in(4) }
}

pub(super) fn top_up(dice: &mut Dice, agent: u8) -> i128 {
    match dice.below(12) {
        0 => 0,
        1 => MOST,
        2..8 if agent == WHALE => MOST - cents(dice, 0, 20_000),
        2..6 => cents(dice, 200, 2_000),
        _ => cents(dice, 1, 300),
    }
}
