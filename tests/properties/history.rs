//! What happens to an agent, checked at every step against what must hold of its books.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pettycash::policy::{
    authorize::{Payment, Wanted},
    entry::{Binding, By, Draft, Fact, Hold, VoidCause, Windows},
    group::{GroupFact, GroupRules},
    mandate::{Bound, Cap, Funding, Mandate, Service},
    money::Usd,
    names::{GroupId, Handle, IdempotencyKey, PaymentId, RailName},
    operate, settle,
    state::{Stage, State},
    window::{Period, Zone},
};

use super::{Act, cents, scout};
use crate::support::{
    bench::Bench,
    desk::{Desk, read_back},
};

fn payment_is_on(payment: &Payment, cap: &Cap) -> bool {
    let Wanted::Known(service) = &payment.wanted else { return false };
    cap.covers(service)
}

/// A history, checked at every step.
pub(super) struct History {
    pub(super) bench: Bench,
    /// The caps of the group that it is in.
    shared: Vec<Cap>,
    /// What was paid by the other agent of the group.
    others: BTreeSet<PaymentId>,
    /// What the operator added, and gave back.
    given: (Usd, Usd),
    payments: Vec<PaymentId>,
    /// Which payment each key stands for, and until when.
    keys: BTreeMap<u8, (PaymentId, Timestamp)>,
    voided: BTreeSet<PaymentId>,
    revoked: bool,
    desk: Desk,
}

impl History {
    /// An agent of this mandate in a group of these caps, with another one beside it.
    pub(super) fn new(mandate: Mandate, shared: Vec<Cap>) -> Self {
        let mut bench = Bench::at("2027-03-27T22:30:00Z");
        for (id, price) in [("shop", None), ("fixed", Some(cents(7)))] {
            let payee = "Acme".parse().unwrap();
            let (id, rail) = (id.parse().unwrap(), RailName::iou());
            let category = price.map(|_| "odd".parse().unwrap());
            let service = Service { id, payee, price, rail, category, endpoint: None };
            let act = operate::set_service(&bench.state, service, operate::Existing::Keep);
            bench.act(act).unwrap();
        }
        let rules = GroupRules { caps: shared.clone(), parent: None, zone: Zone::utc() };
        let set = GroupFact::Set { group: team(), rules: Box::new(rules), moved: None };
        bench.write(vec![Draft { agent: None, by: By::Operator, fact: Fact::Group(set) }]);
        bench.open(&scout(), Mandate { group: Some(team()), ..mandate });
        bench.open_allowance(&rover());
        let theirs = bench.state.book(&rover()).unwrap().mandate.clone();
        let theirs = Mandate { group: Some(team()), ..theirs };
        let act = operate::set_mandate(&bench.state, &rover(), theirs, bench.now);
        bench.act(act).unwrap();
        let (payments, voided) = (Vec::new(), BTreeSet::new());
        Self {
            bench,
            shared,
            others: BTreeSet::new(),
            given: (Usd::ZERO, Usd::ZERO),
            payments,
            keys: BTreeMap::new(),
            voided,
            revoked: false,
            desk: Desk::default(),
        }
    }

    pub(super) fn step(&mut self, act: &Act) {
        match *act {
            Act::Pay(amount) => drop(self.ask("shop", Some(cents(amount)), None, Fact::Paid)),
            Act::Other(amount) => {
                let payment = self.bench.payment("shop", Some(cents(amount)), None);
                if self.bench.ask(&rover(), &payment, Fact::Held).is_ok() {
                    self.others.insert(payment.id);
                }
            }
            Act::Cap(nth, amount) => self.set_cap(nth, cents(amount)),
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
                settle::capture(&bench.state, payment, cents(amount), None).ok()
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
                    self.given.0 = self.given.0.plus(cents(amount)).unwrap();
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
        fact: fn(Hold) -> Fact,
    ) -> Option<PaymentId> {
        let now = self.bench.engine_now();
        let before = self.bench.state.clone();
        let payment = self.bench.payment(service, amount, binding);
        let asked = payment.cost();
        let granted = self.bench.ask(&scout(), &payment, fact);
        if granted.is_err() {
            // I-6: what is refused leaves every sum, hold and key as it was.
            assert_eq!(self.sums(&self.bench.state, now), self.sums(&before, now), "not nothing");
            return None;
        }
        let book = before.book(&scout()).unwrap();
        assert!(!self.revoked, "a revoked agent paid");
        assert!(book.mandate.per_call_limit.is_none_or(|limit| asked <= limit));
        // I-3: within each cap as it is now, with what is held; I-4: and within what is not held.
        for cap in book.mandate.caps.iter().filter(|cap| payment_is_on(&payment, cap)) {
            within(cap, &self.bench.state.book(&scout()).unwrap().room(cap, None, now));
        }
        for cap in self.shared.iter().filter(|cap| payment_is_on(&payment, cap)) {
            within(cap, &self.bench.state.group(&team()).unwrap().room(cap, now));
        }
        assert!(book.funds().is_none_or(|funds| asked <= funds), "more than the balance");
        self.payments.push(payment.id);
        Some(payment.id)
    }

    /// Every sum that a decision looks at, the balance, the open holds and how many keys there are.
    fn sums(&self, state: &State, now: Timestamp) -> String {
        let (book, group) = (state.book(&scout()).unwrap(), state.group(&team()).unwrap());
        let own: Vec<_> = book.mandate.caps.iter().map(|cap| book.room(cap, None, now)).collect();
        let shared: Vec<_> = self.shared.iter().map(|cap| group.room(cap, now)).collect();
        let open: Vec<_> = state.all_open().map(|open| (open.hold.payment, open.stage)).collect();
        let whole = (book.funds(), book.held, book.captured, book.refunded, book.credited);
        format!("{own:?} {shared:?} {open:?} {whole:?} {}", state.count_keys())
    }

    /// The operator changes a cap, also to less than was spent.
    fn set_cap(&mut self, nth: usize, amount: Usd) {
        let mut mandate = self.bench.state.book(&scout()).unwrap().mandate.clone();
        let mut amounts = mandate.caps.iter_mut().filter(|cap| cap.amount().is_some());
        if let Some(cap) = amounts.nth(nth) {
            cap.bound = Bound::Amount(amount);
        }
        let now = self.bench.engine_now();
        // Of a revoked agent nothing is changed any more.
        let changed = operate::set_mandate(&self.bench.state, &scout(), mandate, now);
        assert_eq!(self.bench.act(changed).is_err(), self.revoked);
    }

    /// A payment under a key, as the engine makes it: a key that stands for one is not paid again.
    fn ask_with_key(&mut self, key: u8, amount: Usd, fact: fn(Hold) -> Fact) {
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
        let Ok(draft) = refund else { return };
        let now = self.bench.engine_now();
        let before = self.bench.state.clone();
        self.bench.write(vec![draft]);
        self.given.1 = self.given.1.plus(amount).unwrap();
        assert!(self.bench.state.refunded(payment) <= taken, "more came back than was taken");
        // I-9: room comes back only in the windows that the payment was made in.
        let (was, is) = (before.book(&scout()).unwrap(), self.bench.state.book(&scout()).unwrap());
        for period in Period::CALENDAR {
            let (used, left) = (was.used(period, now), is.used(period, now));
            let same = was.windows(now).id(period) == hold.windows.id(period);
            let expected = if same { used.less(amount) } else { used };
            assert_eq!(left, expected, "{period}: {amount} of {payment} came back");
        }
    }

    /// What was captured of a payment, read from the entries.
    fn taken(&self, payment: PaymentId) -> Usd {
        let taken = self.bench.entries.iter().find_map(|(entry, ..)| match &entry.fact {
            Fact::Paid(hold) if hold.payment == payment => Some(hold.amount),
            Fact::Captured { payment: id, amount, .. } if *id == payment => Some(*amount),
            _ => None,
        });
        taken.unwrap_or(Usd::ZERO)
    }

    /// What is true at every moment: the fold, and the sums.
    pub(super) fn check(&mut self) {
        let mut state = self.bench.state.clone();
        assert_eq!(state, self.bench.refold(), "the fold of the entries is not the state");
        let whole = state.drain(true).into_iter().filter_map(|(_, document)| document);
        let restored = State::restored(whole.map(|document| read_back(&document)), state.now());
        assert_eq!(restored, state, "what the desk keeps is not the state");
        self.desk.take(&mut self.bench.state);
        assert_eq!(self.desk.state(state.now()), state, "what the desk was told is not the state");
        self.check_money();
        self.check_time();
    }

    /// I-1, I-2: each nano-dollar is credited, held, captured or back, and nothing is below zero.
    fn check_money(&self) {
        let book = self.bench.state.book(&scout()).unwrap();
        let all = || self.bench.state.all_open();
        let ours = all().filter(|open| open.agent == scout());
        let held = ours.map(|open| open.hold.amount.nanos()).sum::<i64>();
        assert_eq!(book.held.nanos(), held, "held is not the sum of the open holds");
        let captured: i64 = self.payments.iter().map(|id| self.taken(*id).nanos()).sum();
        assert_eq!(book.captured.nanos(), captured, "captured is not the sum of the captures");
        assert_eq!((book.credited, book.refunded), self.given, "nobody gave that");
        if book.mandate.funding == Funding::Prepaid {
            let sum = book.credited.nanos() + book.refunded.nanos() - book.captured.nanos();
            assert!(sum >= book.held.nanos(), "a prepaid agent spent more than it has");
            assert_eq!(book.funds().unwrap().nanos(), sum - book.held.nanos());
        }
        let group = self.bench.state.group(&team()).unwrap();
        let cap = Cap::of(Period::Lifetime, Usd::MAX);
        let shared = group.room(&cap, self.bench.engine_now());
        let theirs: i64 =
            all().filter(|open| open.agent == rover()).map(|open| open.hold.amount.nanos()).sum();
        assert_eq!(shared.held.nanos(), held + theirs, "the group holds something else");
        assert_eq!(shared.used.nanos(), captured - book.refunded.nanos(), "or was paid it");
        assert_eq!(all().count(), self.open_holds(), "a hold that nobody placed");
    }

    /// How many of the payments ever let through are open.
    fn open_holds(&self) -> usize {
        let all = self.payments.iter().chain(&self.others);
        all.filter(|payment| self.bench.state.open(**payment).is_some()).count()
    }

    /// I-18: the record's time never goes back. I-19: no more does the id of any window, and one
    /// that was left is not used again.
    fn check_time(&self) {
        let at = self.bench.entries.iter().map(|(entry, ..)| entry.at);
        assert!(at.is_sorted(), "an entry is older than the one before");
        let windows: Vec<Windows> = self
            .bench
            .entries
            .iter()
            .filter_map(|(entry, ..)| {
                let ours = entry.agent.as_ref() == Some(&scout());
                match &entry.fact {
                    Fact::Held(hold) | Fact::Paid(hold) if ours => Some(hold.windows),
                    _ => None,
                }
            })
            .collect();
        for period in Period::CALENDAR {
            let ids = windows.iter().map(|windows| windows.id(period));
            assert!(ids.is_sorted(), "a window of {period} was opened again");
        }
    }
}

fn team() -> GroupId {
    "team".parse().unwrap()
}

fn rover() -> Handle {
    "rover".parse().unwrap()
}

/// What is used and held under a cap is within it.
fn within(cap: &Cap, room: &pettycash::policy::rooms::Room) {
    let within = match cap.bound {
        Bound::Amount(most) => room.used.plus(room.held).unwrap() <= most,
        Bound::Count(most) => room.paid + room.open <= u64::from(most),
    };
    assert!(within, "{room:?} passes {cap}");
}
