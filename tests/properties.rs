//! What must hold for every history, not only for those that somebody thought of: of the books
//! here, of the engine in `invariants.rs`. The numbers are those of the project's list of
//! invariants.

mod growth;
mod history;
mod shadows;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz};
use pettycash::policy::{
    mandate::{Cap, Funding, LocalUse, Mandate},
    money::Usd,
    names::Handle,
    task::TasksBy,
    window::{Period, Window, Zone},
};
use proptest::prelude::*;

use history::History;

/// One thing that happens to an agent.
#[derive(Clone, Debug)]
enum Act {
    Pay(i64),
    PayFixed,
    Hold(i64),
    Send(usize),
    Capture(usize, i64),
    Void(usize),
    VoidNotSent(usize),
    Expire(usize),
    Refund(usize, i64),
    PayWithKey(u8, i64),
    HoldWithKey(u8, i64),
    TopUp(i64),
    Other(i64),
    Cap(usize, i64),
    Pass(i64),
    Tick,
    Reopen,
    Revoke,
}

fn act() -> impl Strategy<Value = Act> {
    let cents = 1_i64..60;
    prop_oneof![
        8 => cents.clone().prop_map(Act::Pay),
        3 => Just(Act::PayFixed),
        5 => cents.clone().prop_map(Act::Hold),
        2 => (0_usize..8).prop_map(Act::Send),
        4 => (0_usize..8, 0_i64..60).prop_map(|(nth, cents)| Act::Capture(nth, cents)),
        2 => (0_usize..8).prop_map(Act::Void),
        1 => (0_usize..8).prop_map(Act::VoidNotSent),
        1 => (0_usize..8).prop_map(Act::Expire),
        2 => (0_usize..8, 1_i64..60).prop_map(|(nth, cents)| Act::Refund(nth, cents)),
        4 => (0_u8..4, 1_i64..4).prop_map(|(key, cents)| Act::PayWithKey(key, cents * 5)),
        2 => (0_u8..4, 1_i64..4).prop_map(|(key, cents)| Act::HoldWithKey(key, cents * 5)),
        3 => (1_i64..300).prop_map(Act::TopUp),
        3 => (1_i64..60).prop_map(Act::Other),
        2 => (0_usize..4, 20_i64..400).prop_map(|(nth, cents)| Act::Cap(nth, cents)),
        // Mostly forward, now and then back, as clocks do.
        4 => prop_oneof![1_i64..7_200, 3_600_i64..200_000, -7_200_i64..0].prop_map(Act::Pass),
        3 => Just(Act::Tick),
        1 => Just(Act::Reopen),
        1 => Just(Act::Revoke),
    ]
}

fn mandate() -> impl Strategy<Value = Mandate> {
    let zones = ["UTC", "Europe/Paris", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"];
    let caps = proptest::sample::subsequence(Period::CALENDAR.to_vec(), 1..=4);
    let amounts = proptest::collection::vec(20_i64..400, 5);
    let limit = proptest::option::of(10_i64..50);
    let some = ["3x/day", "9x/lifetime", "4x/5h", "0.30/day service=shop", "2x/hour category=odd"];
    let some = proptest::sample::subsequence(some.to_vec(), 0..=4);
    (caps, amounts, limit, any::<bool>(), proptest::sample::select(zones.to_vec()), some).prop_map(
        |(periods, amounts, limit, prepaid, zone, some)| Mandate {
            funding: if prepaid { Funding::Prepaid } else { Funding::Allowance },
            per_call_limit: limit.map(cents),
            caps: periods
                .into_iter()
                .zip(amounts)
                .map(|(period, amount)| Cap::of(period, cents(amount)))
                .chain(some.into_iter().map(|text| text.parse().unwrap()))
                .collect(),
            zone: zone.parse().unwrap(),
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
        },
    )
}

/// The caps of a group.
fn shared() -> impl Strategy<Value = Vec<Cap>> {
    let caps =
        ["2.00/day", "5.00/lifetime", "0.90/hour", "6x/day", "0.60/day service=shop", "1.50/5h"];
    let some = proptest::sample::subsequence(caps.to_vec(), 0..=3);
    some.prop_map(|some| some.into_iter().map(|text| text.parse().unwrap()).collect())
}

fn cents(cents: i64) -> Usd {
    Usd::try_from(cents * 10_000_000).unwrap()
}

fn scout() -> Handle {
    "scout".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn no_history_passes_a_cap_a_limit_or_a_balance(
        mandate in mandate(),
        shared in shared(),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let mut history = History::new(mandate, shared);
        for act in &acts {
            history.step(act);
        }
        history.check();
    }

    #[test]
    fn every_step_of_a_short_history_folds_to_its_state(
        mandate in mandate(),
        shared in shared(),
        acts in proptest::collection::vec(act(), 1..12),
    ) {
        let mut history = History::new(mandate, shared);
        for act in &acts {
            history.step(act);
            history.check();
        }
    }

    #[test]
    fn amounts_are_read_back_as_they_are_written(nanos in 0_i64..) {
        let amount = Usd::try_from(nanos).unwrap();
        prop_assert_eq!(amount.decimal().parse::<Usd>(), Ok(amount));
    }

    #[test]
    fn a_text_is_an_amount_only_if_it_is_digits_and_a_point(text in "[0-9.eE+ $,-]{0,14}") {
        let shape = |text: &str| {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits(whole) && digits(fraction) && fraction.len() <= 9
        };
        match text.parse::<Usd>() {
            Ok(_) => prop_assert!(shape(&text), "{text:?} was taken"),
            Err(_) => prop_assert!(!shape(&text) || text.len() > 10, "{text:?} was refused"),
        }
    }
}

#[test]
fn windows_tile_time_in_every_zone() {
    let from: Timestamp = "2015-01-01T00:00:00Z".parse().unwrap();
    let until: Timestamp = "2038-01-01T00:00:00Z".parse().unwrap();
    let mut zones = 0;
    for name in tz::db().available() {
        let Ok(zone) = name.as_str().parse::<Zone>() else { continue };
        zones += 1;
        let jiff_zone = tz::TimeZone::get(name.as_str()).unwrap();
        let changes = jiff_zone.following(from).map(|change| change.timestamp());
        let near = changes.take_while(|at| *at < until).flat_map(|at| {
            [-86_400, -3_600, -1_800, -1, 0, 1, 1_799, 3_599, 86_400]
                .map(|off| at.checked_add(SignedDuration::from_secs(off)).unwrap())
        });
        for at in near.chain([from]) {
            for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
                tiles(at, period, &zone);
            }
        }
    }
    assert!(zones > 400, "only {zones} zones");
}

#[test]
fn a_date_that_occurs_twice_is_one_window() {
    // Until 2011 clocks in Newfoundland went back at 00:01, over midnight.
    let zone: Zone = "America/St_Johns".parse().unwrap();
    let change: Timestamp = "2010-11-07T02:31:00Z".parse().unwrap();
    for minutes in -90..=90 {
        let at = change.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            tiles(at, period, &zone);
        }
    }
}

#[test]
fn a_window_that_was_used_is_not_left_for_an_earlier_one() {
    let mandate = Mandate {
        funding: Funding::Allowance,
        per_call_limit: None,
        caps: vec![Cap::of(Period::Day, cents(100))],
        zone: Zone::utc(),
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
    };
    let mut history = History::new(mandate.clone(), Vec::new());
    history.step(&Act::Pay(40));
    let book = history.bench.state.book(&scout()).unwrap();
    let earlier = history.bench.now.checked_sub(SignedDuration::from_hours(48)).unwrap();
    let room = book.room(&mandate.caps[0], None, earlier);
    assert_eq!(room.used, cents(40), "two days back there is a fresh window");
    assert_eq!(book.windows(earlier).day, book.windows(history.bench.now).day);
}

/// The window holds its instant and no other window holds any of its own.
fn tiles(at: Timestamp, period: Period, zone: &Zone) {
    // Asked for another zone in between, no window is only remembered.
    let other: Zone = if *zone == Zone::utc() { "Asia/Kathmandu" } else { "UTC" }.parse().unwrap();
    let of = |at| {
        Window::containing(at, period, &other);
        Window::containing(at, period, zone)
    };
    let window = of(at);
    let end = window.end.unwrap();
    let told = || format!("{period} of {at} in {}: {window:?}", zone.name());
    assert!(window.start <= at && at < end, "{}", told());
    assert_eq!(of(window.start), window, "the start of {}", told());
    let last = end.checked_sub(SignedDuration::from_nanos(1)).unwrap();
    assert_eq!(of(last), window, "the last instant of {}", told());
    assert_eq!(of(end).start, end, "after {}", told());
}

#[test]
fn a_lifetime_is_one_window() {
    let zone = Zone::utc();
    let early =
        Window::containing("1970-01-01T00:00:00Z".parse().unwrap(), Period::Lifetime, &zone);
    let late = Window::containing("2999-01-01T00:00:00Z".parse().unwrap(), Period::Lifetime, &zone);
    assert_eq!(early, late);
    assert_eq!(early.end, None);
}
