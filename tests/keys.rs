//! Callers' keys: what they stand for, for how long, and how the desk keeps them.

use jiff::{SignedDuration, Timestamp};
use pettycash::policy::{
    entry::{Binding, By, Draft, Fact, Hold, VoidCause, Windows},
    keys::Outcome,
    money::Usd,
    names::{Handle, IdempotencyKey, PaymentId},
    state::State,
};

use crate::support::{bench::Bench, desk::Desk};

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn cents(cents: i64) -> Usd {
    Usd::try_from(cents * 10_000_000).unwrap()
}

/// Keys, a desk beside them, and a clock.
struct Keys {
    bench: Bench,
    desk: Desk,
}

impl Keys {
    fn new() -> Self {
        Self { bench: Bench::at("2027-03-27T22:30:10Z"), desk: Desk::default() }
    }

    fn now(&self) -> Timestamp {
        self.bench.engine_now()
    }

    fn write(&mut self, fact: Fact) {
        self.bench.write(vec![Draft { agent: Some(scout()), by: By::Agent, fact }]);
    }

    /// Binds a key for so many seconds.
    fn bind(&mut self, key: &str, seconds: i64, fact: fn(Hold) -> Fact) -> PaymentId {
        let payment = self.bench.next_id();
        let until = self.now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        let call = Some(key.parse().unwrap());
        let asked = Some(cents(30));
        let binding = Some(Binding { key: key.parse().unwrap(), call, asked, until });
        let windows = Windows { hour: 0, day: 0, week: 0, month: 0, minute: None };
        let (service, payee) = ("report".parse().unwrap(), "Acme".parse().unwrap());
        let amount = cents(30);
        self.write(fact(Hold {
            payment,
            service,
            payee,
            amount,
            windows,
            binding,
            run: None,
            via: None,
            category: None,
            groups: Vec::new(),
            task: None,
            task_type: None,
            shadow: Vec::new(),
            request: None,
            model: None,
        }));
        payment
    }

    fn void(&mut self, payment: PaymentId) {
        self.write(Fact::Voided { payment, cause: VoidCause::NotSent });
    }

    /// Passes the time, which an entry then tells, and ticks.
    fn pass(&mut self, seconds: i64) -> usize {
        self.bench.pass(seconds);
        self.write(Fact::Credited { amount: cents(1), note: None });
        let forgotten = self.bench.state.forget_expired_keys(self.bench.state.now());
        self.desk.take(&mut self.bench.state);
        forgotten
    }

    /// Goes on from what the desk gives back, which must be all there was.
    fn reopen(&mut self) {
        self.desk.take(&mut self.bench.state);
        let restored = self.desk.state(self.bench.state.now());
        assert_eq!(restored, self.bench.state, "the desk gives back something else");
        assert_eq!(self.bench.refold(), restored, "the fold of the entries is something else");
        self.bench.state = restored;
    }

    fn bound(&self, key: &str) -> Option<(PaymentId, Outcome)> {
        let key: IdempotencyKey = key.parse().unwrap();
        let bound = self.bench.state.bound(&scout(), &key, self.now())?;
        Some((bound.payment, bound.outcome))
    }
}

#[test]
fn keys_that_were_freed_used_again_or_moved_survive_reopening() {
    let mut keys = Keys::new();
    let taken = Outcome::Captured(cents(30));
    let kept = keys.bind("kept", 900, Fact::Paid);
    let freed = keys.bind("freed", 900, Fact::Held);
    let first = keys.bind("again", 2_000, Fact::Held);
    let open = keys.bind("open", 30, Fact::Held);
    keys.reopen();
    keys.void(freed);
    keys.void(first);
    // For a shorter time than before: what the desk has of the first lasts longer.
    let again = keys.bind("again", 100, Fact::Paid);
    for reopened in [false, true] {
        if reopened {
            keys.reopen();
        }
        assert_eq!(keys.bound("kept"), Some((kept, taken)));
        assert_eq!(keys.bound("freed"), None);
        assert_eq!(keys.bound("again"), Some((again, taken)));
        assert_eq!(keys.bound("open"), Some((open, Outcome::Open)));
    }
    assert_eq!(keys.pass(240), 1, "one is over, and not the open one");
    keys.reopen();
    assert_eq!(keys.bound("again"), None, "its time is up, and what was first is not back");
    assert_eq!(keys.bound("open"), Some((open, Outcome::Open)), "it is not forgotten");
    keys.write(Fact::Captured { payment: open, amount: cents(30), flag: None });
    assert_eq!(keys.bound("open"), None, "its time is long up");
    keys.reopen();
    assert_eq!(keys.bound("open"), None);
    keys.pass(100_000);
    assert_eq!((keys.bench.state.count_keys(), keys.desk.chunks().len()), (0, 0));
}

#[test]
fn a_key_lives_to_the_very_end_of_its_time() {
    let mut keys = Keys::new();
    let payment = keys.bind("exact", 60, Fact::Paid);
    let until = keys.now().checked_add(SignedDuration::from_secs(60)).unwrap();
    keys.pass(59);
    keys.reopen();
    assert_eq!(keys.bound("exact").map(|(payment, _)| payment), Some(payment));
    let key: IdempotencyKey = "exact".parse().unwrap();
    let micro = SignedDuration::from_micros(1);
    let bound = |at: Timestamp| keys.bench.state.bound(&scout(), &key, at).is_some();
    assert!(bound(until.checked_sub(micro).unwrap()) && !bound(until));
}

#[test]
fn a_key_is_for_one_agent_one_service_and_one_amount() {
    let mut keys = Keys::new();
    keys.bind("mine", 60, Fact::Paid);
    let (key, now): (IdempotencyKey, _) = ("mine".parse().unwrap(), keys.now());
    let state = &keys.bench.state;
    assert_eq!(state.bound(&"scou".parse().unwrap(), &key, now), None);
    assert_eq!(state.bound(&"scout".parse().unwrap(), &"min".parse().unwrap(), now), None);
    let bound = state.bound(&scout(), &key, now).unwrap();
    let (report, other) = ("report".parse().unwrap(), "report3".parse().unwrap());
    assert!(bound.is_for(&report, Some(cents(30)), None, None));
    assert!(!bound.is_for(&other, Some(cents(30)), None, None));
    assert!(
        !bound.is_for(&report, Some(cents(31)), None, None)
            && !bound.is_for(&report, None, None, None)
    );
    assert!(bound.is_of_call(&key) && !bound.is_of_call(&"other".parse().unwrap()));
}

#[test]
fn keys_are_forgotten_and_kept_by_the_hundred_thousand() {
    const MANY: usize = 100_000;
    let mut keys = Keys::new();
    for n in 0..MANY {
        keys.bind(&format!("0123456789abcdef0123456789abcdef-{n:08x}"), 600, Fact::Paid);
    }
    keys.bench.entries.clear();
    keys.desk.take(&mut keys.bench.state);
    let chunks = keys.desk.chunks();
    let bytes = chunks.iter().map(|chunk| chunk.len()).sum::<usize>() / MANY;
    assert!(bytes < 160, "{bytes} bytes for a key");
    let largest = chunks.iter().map(|chunk| chunk.len()).max();
    assert!(largest < Some(4096), "{largest:?}");
    let restored = keys.desk.state(keys.bench.state.now());
    assert_eq!(restored.count_keys(), MANY);
    assert_eq!(restored, keys.bench.state);
    assert_eq!(keys.pass(599), 0);
    assert_eq!(keys.pass(61), MANY, "all of the minute, in one step");
    assert!(keys.desk.chunks().is_empty());
}

#[test]
fn chunks_that_are_hardly_filled_are_put_together() {
    let mut keys = Keys::new();
    // One a tick, and always the same minute.
    for n in 0..300 {
        keys.bind(&format!("key-{n}"), 600, Fact::Paid);
        keys.desk.take(&mut keys.bench.state);
    }
    let chunks = keys.desk.chunks().len();
    assert!(chunks < 40, "{chunks} chunks for 300 keys");
    for _ in 0..100 {
        let payment = keys.bind("held", 600, Fact::Held);
        keys.desk.take(&mut keys.bench.state);
        keys.void(payment);
        keys.desk.take(&mut keys.bench.state);
    }
    let chunks = keys.desk.chunks().len();
    assert!(chunks < 40, "{chunks} chunks for 300 keys");
    keys.reopen();
}

#[test]
fn a_desk_that_knows_nothing_is_told_of_every_key() {
    let mut keys = Keys::new();
    for n in 0..100 {
        keys.bind(&format!("key-{n}"), 600 + n, Fact::Paid);
        keys.desk.take(&mut keys.bench.state);
    }
    let mut blank = Desk::default();
    let whole = keys.bench.state.drain(true);
    blank.take_all(whole);
    assert_eq!(blank.state(keys.now()), keys.bench.state);
    keys.desk = blank;
    keys.pass(10_000);
    assert!(keys.desk.chunks().is_empty(), "those it was told of are the ones that go");
}

#[test]
fn states_differ_by_their_living_keys_alone() {
    let (mut with, mut without) = (Keys::new(), Keys::new());
    with.bind("key", 600, Fact::Paid);
    without.write(Fact::Credited { amount: cents(1), note: None });
    let now = with.now();
    let differing =
        |a: &State, b: &State, now| (a.differing_keys(b, now), b.differing_keys(a, now));
    assert_eq!(differing(&with.bench.state, &without.bench.state, now), (1, 1));
    let later = now.checked_add(SignedDuration::from_secs(600)).unwrap();
    assert_eq!(differing(&with.bench.state, &without.bench.state, later), (0, 0));
}
