//! What must hold for every history, not only for those that somebody thought of.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz};
use pettycash::policy::{
    authorize::{Payment, Wanted},
    entry::{Binding, By, Draft, Fact, VoidCause},
    mandate::{Bound, Cap, Funding, LocalUse, Mandate, Service},
    money::Usd,
    names::{Handle, IdempotencyKey, PaymentId, RailName},
    operate, settle,
    state::{Stage, State},
    window::{Period, Window, Zone},
};
use proptest::prelude::*;

use crate::support::{
    bench::Bench,
    desk::{Desk, read_back},
};

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
        },
    )
}

fn cents(cents: i64) -> Usd {
    Usd::try_from(cents * 10_000_000).unwrap()
}

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn payment_is_on(payment: &Payment, cap: &Cap) -> bool {
    let Wanted::Known(service) = &payment.wanted else { return false };
    cap.covers(service)
}

/// A history, checked at every step.
struct History {
    bench: Bench,
    mandate: Mandate,
    payments: Vec<PaymentId>,
    /// Which payment each key stands for, and until when.
    keys: BTreeMap<u8, (PaymentId, Timestamp)>,
    voided: BTreeSet<PaymentId>,
    revoked: bool,
    desk: Desk,
}

impl History {
    fn new(mandate: Mandate) -> Self {
        let mut bench = Bench::at("2027-03-27T22:30:00Z");
        for (id, price) in [("shop", None), ("fixed", Some(cents(7)))] {
            let payee = "Acme".parse().unwrap();
            let (id, rail) = (id.parse().unwrap(), RailName::iou());
            let category = price.map(|_| "odd".parse().unwrap());
            let service = Service { id, payee, price, rail, category };
            let act = operate::set_service(&bench.state, service, operate::Existing::Keep);
            bench.act(act).unwrap();
        }
        bench.open(&scout(), mandate.clone());
        let (payments, voided) = (Vec::new(), BTreeSet::new());
        Self {
            bench,
            mandate,
            payments,
            keys: BTreeMap::new(),
            voided,
            revoked: false,
            desk: Desk::default(),
        }
    }

    fn step(&mut self, act: &Act) {
        match *act {
            Act::Pay(amount) => drop(self.ask("shop", Some(cents(amount)), None, Fact::Paid)),
            Act::PayFixed => drop(self.ask("fixed", None, None, Fact::Paid)),
            Act::Hold(amount) => drop(self.ask("shop", Some(cents(amount)), None, Fact::Held)),
            Act::PayWithKey(key, amount) => self.ask_with_key(key, cents(amount), Fact::Paid),
            Act::HoldWithKey(key, amount) => self.ask_with_key(key, cents(amount), Fact::Held),
            Act::Send(nth) => {
                if let Some(payment) = self.open(nth) {
                    let fact = Fact::Sent { payment };
                    self.bench.write(vec![Draft { agent: Some(scout()), by: By::Engine, fact }]);
                }
            }
            Act::Capture(nth, amount) => self.settle(nth, |bench, payment| {
                settle::capture(&bench.state, payment, cents(amount)).ok()
            }),
            Act::Void(nth) => self.settle(nth, |bench, payment| {
                settle::void(&bench.state, payment, VoidCause::Recovery).ok()
            }),
            Act::VoidNotSent(nth) => self.settle(nth, |bench, payment| {
                settle::void(&bench.state, payment, VoidCause::NotSent).ok()
            }),
            Act::Expire(nth) => {
                self.settle(nth, |bench, payment| settle::expire(&bench.state, payment).ok());
            }
            Act::Refund(nth, amount) => self.refund(nth, cents(amount)),
            Act::TopUp(amount) => {
                let act = operate::top_up(&self.bench.state, &scout(), cents(amount), None);
                if let Ok(operate::Act::Write(drafts)) = act {
                    self.bench.write(drafts);
                }
            }
            Act::Pass(seconds) => self.bench.pass(seconds),
            Act::Tick => {
                let now = self.bench.state.now();
                self.bench.state.forget_expired_keys(now);
                self.desk.take(&mut self.bench.state);
            }
            Act::Reopen => {
                self.desk.take(&mut self.bench.state);
                self.bench.state = self.desk.state(self.bench.state.now());
            }
            Act::Revoke => {
                let reason = "enough".parse().unwrap();
                let open = self.bench.state.all_open().filter(|open| open.stage == Stage::Held);
                self.voided.extend(open.map(|open| open.hold.payment));
                let act = operate::revoke(&self.bench.state, &scout(), reason, None);
                self.bench.act(act).unwrap();
                self.revoked = true;
            }
        }
    }

    fn ask(
        &mut self,
        service: &str,
        amount: Option<Usd>,
        binding: Option<Binding>,
        fact: fn(pettycash::policy::entry::Hold) -> Fact,
    ) -> Option<PaymentId> {
        let now = self.bench.engine_now();
        let before = self.bench.state.book(&scout()).unwrap().clone();
        let payment = self.bench.payment(service, amount, binding);
        let asked = payment.cost();
        let granted = self.bench.ask(&scout(), &payment, fact);
        let after = self.bench.state.book(&scout()).unwrap();
        if granted.is_err() {
            assert_eq!(before.captured, after.captured, "a denial charged something");
            assert_eq!(before.held, after.held, "a denial held something");
            return None;
        }
        assert!(!self.revoked, "a revoked agent paid");
        assert!(self.mandate.per_call_limit.is_none_or(|limit| asked <= limit));
        for cap in &self.mandate.caps {
            let counted = payment_is_on(&payment, cap);
            let more = if counted { (asked, 1) } else { (Usd::ZERO, 0) };
            for (book, (asked, one)) in [(&before, more), (after, (Usd::ZERO, 0))] {
                let room = book.room(cap, None, now);
                let sum = room.used.plus(room.held).unwrap().plus(asked).unwrap();
                let within = match cap.bound {
                    Bound::Amount(most) => sum <= most,
                    Bound::Count(most) => room.paid + room.open + one <= u64::from(most),
                };
                assert!(within, "{room:?} passes {cap}");
            }
        }
        assert!(before.funds().is_none_or(|funds| asked <= funds), "more than the balance");
        self.payments.push(payment.id);
        Some(payment.id)
    }

    /// A payment under a key, as the engine makes it: a key that stands for one is not paid again.
    fn ask_with_key(
        &mut self,
        key: u8,
        amount: Usd,
        fact: fn(pettycash::policy::entry::Hold) -> Fact,
    ) {
        let name: IdempotencyKey = format!("key-{key}").parse().unwrap();
        let now = self.bench.engine_now();
        let bound = self.bench.state.bound(&scout(), &name, now).map(|bound| bound.payment);
        let living = self.keys.get(&key).copied().filter(|(payment, until)| {
            let voided = self.voided.contains(payment);
            !voided && (now < *until || self.bench.state.open(*payment).is_some())
        });
        assert_eq!(bound, living.map(|(payment, _)| payment), "{name} stands for something else");
        if bound.is_some() {
            return;
        }
        let until = now.checked_add(SignedDuration::from_hours(10)).unwrap();
        let binding = Binding { key: name, call: None, asked: Some(amount), until };
        if let Some(payment) = self.ask("shop", Some(amount), Some(binding), fact) {
            self.keys.insert(key, (payment, until));
        }
    }

    /// One of the payments ever made, open or not: the rules must hold for both.
    fn open(&self, nth: usize) -> Option<PaymentId> {
        let open = self.payments.iter().rev().nth(nth).copied();
        open.filter(|payment| self.bench.state.open(*payment).is_some())
    }

    fn settle(&mut self, nth: usize, how: impl Fn(&Bench, PaymentId) -> Option<Draft>) {
        let Some(payment) = self.payments.iter().rev().nth(nth).copied() else { return };
        let was_open = self.bench.state.open(payment).is_some();
        if let Some(draft) = how(&self.bench, payment) {
            assert!(was_open, "a hold ended twice");
            if matches!(draft.fact, Fact::Voided { .. }) {
                self.voided.insert(payment);
            }
            self.bench.write(vec![draft]);
            assert!(self.bench.state.open(payment).is_none(), "a hold did not end");
        }
    }

    fn refund(&mut self, nth: usize, amount: Usd) {
        let Some(payment) = self.payments.iter().rev().nth(nth).copied() else { return };
        let taken = self.taken(payment);
        let hold = self.bench.holds[&payment].clone();
        let refund = settle::refund(&self.bench.state, &scout(), (&hold, taken), amount, None);
        if let Ok(draft) = refund {
            self.bench.write(vec![draft]);
            assert!(self.bench.state.refunded(payment) <= taken, "more came back than was taken");
        }
    }

    /// What was captured of a payment, read from the entries.
    fn taken(&self, payment: PaymentId) -> Usd {
        let taken = self.bench.entries.iter().find_map(|(entry, ..)| match &entry.fact {
            Fact::Paid(hold) if hold.payment == payment => Some(hold.amount),
            Fact::Captured { payment: id, amount } if *id == payment => Some(*amount),
            _ => None,
        });
        taken.unwrap_or(Usd::ZERO)
    }

    /// What is true at every moment: the fold, and the sums.
    fn check(&mut self) {
        let mut state = self.bench.state.clone();
        assert_eq!(state, self.bench.refold(), "the fold of the entries is not the state");
        let whole = state.drain(true).into_iter().filter_map(|(_, document)| document);
        let restored = State::restored(whole.map(|document| read_back(&document)), state.now());
        assert_eq!(restored, state, "what the desk keeps is not the state");
        self.desk.take(&mut self.bench.state);
        assert_eq!(self.desk.state(state.now()), state, "what the desk was told is not the state");
        let book = self.bench.state.book(&scout()).unwrap();
        let open = self.bench.state.all_open().map(|open| open.hold.amount.nanos()).sum::<i64>();
        assert_eq!(book.held.nanos(), open, "held is not the sum of the open holds");
        let captured: i64 = self.payments.iter().map(|id| self.taken(*id).nanos()).sum();
        assert_eq!(book.captured.nanos(), captured, "captured is not the sum of the captures");
        if book.mandate.funding == Funding::Prepaid {
            let sum = book.credited.nanos() + book.refunded.nanos() - book.captured.nanos();
            assert!(sum >= book.held.nanos(), "a prepaid agent spent more than it has");
        }
    }
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
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let mut history = History::new(mandate);
        for act in &acts {
            history.step(act);
        }
        history.check();
    }

    #[test]
    fn every_step_of_a_short_history_folds_to_its_state(
        mandate in mandate(),
        acts in proptest::collection::vec(act(), 1..12),
    ) {
        let mut history = History::new(mandate);
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
    };
    let mut history = History::new(mandate.clone());
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
