//! Windows that move: a change of zone, and hours in a row. Checked by brute force.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz};
use pettycash::policy::{
    book::Book,
    entry::Fact,
    mandate::{Cap, Funding, LocalUse, Mandate, Service},
    money::Usd,
    names::{Handle, RailName},
    operate,
    task::TasksBy,
    window::{Hours, Period, Window, Zone},
};

use crate::{differential::ops::Dice, support::bench::Bench};

const PERIODS: [Period; 4] = [Period::Hour, Period::Day, Period::Week, Period::Month];

fn mandate(zone: &Zone, caps: &[(Period, i64)]) -> Mandate {
    let cap = |(period, nanos): &(Period, i64)| {
        let amount = Usd::try_from(*nanos).unwrap();
        Cap::of(*period, amount)
    };
    Mandate {
        funding: Funding::Allowance,
        per_call_limit: None,
        caps: caps.iter().map(cap).collect(),
        zone: zone.clone(),
        allow: BTreeSet::new(),
        deny: BTreeSet::new(),
        expires_at: None,
        local: LocalUse::Allowed,
        rates: Vec::new(),
        burst: None,
        denials: None,
        hours: None,
        days: None,
        cooldown: None,
        group: None,
        tasks: TasksBy::Operator,
        pinned: BTreeMap::new(),
        first_payee: pettycash::policy::payee::FirstPayee::Free,
        tiers: Vec::new(),
        shadow_caps: Vec::new(),
        max_output_tokens: None,
        downgrade_at: None,
        downgrade_to: None,
    }
}

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn book(bench: &Bench) -> &Book {
    bench.state.book(&scout()).unwrap()
}

#[test]
fn windows_tile_time_across_a_change_between_any_zones() {
    let caps = PERIODS.map(|period| (period, 1));
    let zones: Vec<Zone> = tz::db().available().filter_map(|z| z.as_str().parse().ok()).collect();
    assert!(zones.len() > 400, "only {} zones", zones.len());
    let dice = &mut Dice(20_261_122);
    let any =
        |dice: &mut Dice| zones[usize::try_from(dice.below(zones.len() as u64)).unwrap()].clone();
    for from in &zones {
        let mut bench = Bench::at("2010-01-01T00:00:00Z");
        bench.open(&scout(), mandate(from, &caps));
        for _ in 0..3 {
            let seconds = i64::try_from(dice.below(20 * 365 * 86_400)).unwrap();
            let (at, to, back) = (later(bench.now, seconds), any(dice), any(dice));
            let once = book(&bench).with_mandate(&mandate(&to, &caps), at);
            moves(book(&bench), &once, at);
            // And once more before the first change has taken effect everywhere.
            let soon = later(at, i64::try_from(dice.below(40 * 3_600)).unwrap());
            moves(&once, &once.with_mandate(&mandate(&back, &caps), soon), soon);
        }
    }
}

/// The windows of `after`, whose zone was changed at `at`, go on from those of `before`.
fn moves(before: &Book, after: &Book, at: Timestamp) {
    let zones = (before.mandate.zone.name(), after.mandate.zone.name());
    for (cap, old_cap) in after.mandate.caps.iter().zip(&before.mandate.caps) {
        let told = || format!("{} from {} to {} at {at}", cap.period, zones.0, zones.1);
        let id = |book: &Book, now| book.windows(now).id(cap.period).unwrap();
        let end = |now| after.room(cap, None, now).resets_at.unwrap();
        assert_eq!(id(after, at), id(before, at), "another window opened at once: {}", told());
        let planned = before.room(old_cap, None, at).resets_at.unwrap();
        let nearby = Window::containing(planned, cap.period, &after.mandate.zone);
        let half = nearby.end.unwrap().duration_since(nearby.start).as_secs() / 2 + 1;
        let moved = end(at).duration_since(planned).abs().as_secs();
        assert!(moved <= half, "moved by {moved} s of at most {half}: {}", told());
        let (mut now, mut last) = (at, id(after, at));
        for _ in 0..3 {
            let next = end(now);
            assert!(next > now, "a window ends before it begins: {}", told());
            assert_eq!(id(after, later(next, -1)), last, "two windows in one: {}", told());
            last = id(after, next);
            assert_eq!(last, next.as_second(), "a gap or an overlap: {}", told());
            now = next;
        }
        let later_still = end(now);
        let plain = Window::containing(later_still, cap.period, &after.mandate.zone);
        assert_eq!(plain.start, later_still, "the new zone's boundaries: {}", told());
    }
}

#[test]
fn no_span_of_so_many_hours_holds_more_than_its_cap() {
    let dice = &mut Dice(26_745);
    for hours in [1, 2, 5, 7, 24, 100, 744] {
        let period = Period::Rolling(Hours::new(hours).unwrap());
        let length = i64::from(hours) * 3_600;
        let mut bench = Bench::at("2026-11-21T12:00:13Z");
        let service = Service {
            id: "shop".parse().unwrap(),
            payee: "Acme".parse().unwrap(),
            price: None,
            category: None,
            rail: RailName::iou(),
            endpoint: None,
        };
        let act = operate::set_service(&bench.state, service, operate::Existing::Keep);
        bench.act(act).unwrap();
        bench.open(&scout(), mandate(&Zone::utc(), &[(period, 1_000)]));
        let mut paid: Vec<(i64, i64)> = Vec::new();
        for _ in 0..600 {
            let most = if dice.one_in(3) { length } else { length / 60 };
            bench.pass(i64::try_from(dice.below(most.unsigned_abs())).unwrap());
            let nanos = 1 + i64::try_from(dice.below(300)).unwrap();
            let payment = bench.payment("shop", Some(Usd::try_from(nanos).unwrap()), None);
            if bench.ask(&scout(), &payment, Fact::Paid).is_ok() {
                paid.push((bench.engine_now().as_second(), nanos));
            }
        }
        assert!(paid.len() > 100, "{} payments under a cap of {hours} hours", paid.len());
        for (end, _) in &paid {
            let in_span = paid.iter().filter(|(at, _)| (end - length..=*end).contains(at));
            let sum: i64 = in_span.map(|(_, nanos)| nanos).sum();
            assert!(sum <= 1_000, "{sum} in {hours} hours");
        }
    }
}
