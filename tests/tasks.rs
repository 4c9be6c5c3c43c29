//! What must hold of tasks in every history.

use std::collections::BTreeSet;

use pettycash::policy::{
    came::Came,
    entry::{By, Draft, Fact, VoidCause},
    mandate::{Cap, Mandate, Service},
    money::Usd,
    names::{Handle, PaymentId, RailName},
    operate, settle,
    task::{self, Opening, TaskId, TaskOutcome, TaskState},
    window::Period,
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{bench::Bench, desk::Desk};

#[derive(Clone, Debug)]
enum Act {
    Open(Option<i64>),
    Pay(usize, i64),
    PayFixed(usize),
    Hold(usize, i64),
    Send(usize),
    Capture(usize, i64),
    Void(usize),
    Refund(usize, i64),
    Finish(usize),
    Resume(usize, Option<i64>),
    CapEach(Option<i64>),
    Pass(i64),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let cents = 1_i64..60;
    let own = proptest::option::of(5_i64..90);
    prop_oneof![
        3 => own.clone().prop_map(Act::Open),
        8 => (0_usize..4, cents.clone()).prop_map(|(nth, amount)| Act::Pay(nth, amount)),
        3 => (0_usize..4).prop_map(Act::PayFixed),
        6 => (0_usize..4, cents.clone()).prop_map(|(nth, amount)| Act::Hold(nth, amount)),
        2 => (0_usize..6).prop_map(Act::Send),
        3 => (0_usize..6, cents.clone()).prop_map(|(nth, amount)| Act::Capture(nth, amount)),
        2 => (0_usize..6).prop_map(Act::Void),
        2 => (0_usize..6, cents).prop_map(|(nth, amount)| Act::Refund(nth, amount)),
        1 => (0_usize..4).prop_map(Act::Finish),
        2 => (0_usize..4, own.clone()).prop_map(|(nth, cap)| Act::Resume(nth, cap)),
        1 => own.prop_map(Act::CapEach),
        2 => (1_i64..2_000).prop_map(Act::Pass),
        2 => Just(Act::Reopen),
    ]
}

fn cents(cents: i64) -> Usd {
    Usd::try_from(cents * 10_000_000).unwrap()
}

fn scout() -> Handle {
    "scout".parse().unwrap()
}

/// $9.00 a day, and so much for each task.
fn mandate(each: Option<i64>) -> Mandate {
    let each = each.map(|each| Cap::of(Period::Task, cents(each)));
    let day = Cap::of(Period::Day, cents(900));
    let blank = json!({"funding": "allowance", "caps": [], "zone": "UTC"});
    let blank: Mandate = serde_json::from_value(blank).unwrap();
    Mandate { caps: std::iter::once(day).chain(each).collect(), ..blank }
}

struct History {
    bench: Bench,
    desk: Desk,
    tasks: Vec<TaskId>,
    payments: Vec<PaymentId>,
    /// Those that failed and nobody resumed since.
    failed: BTreeSet<TaskId>,
}

impl History {
    fn new(each: i64) -> Self {
        let mut bench = Bench::at("2026-11-21T12:00:00Z");
        for (id, price) in [("shop", None), ("fixed", Some(cents(17)))] {
            let payee = "Acme".parse().unwrap();
            let service = Service {
                id: id.parse().unwrap(),
                payee,
                price,
                rail: RailName::iou(),
                category: None,
                endpoint: None,
            };
            bench
                .act(operate::set_service(&bench.state, service, operate::Existing::Keep))
                .unwrap();
        }
        bench.open(&scout(), mandate(Some(each)));
        let (tasks, payments) = (Vec::new(), Vec::new());
        Self { bench, desk: Desk::default(), tasks, payments, failed: BTreeSet::new() }
    }

    fn newest(&self, nth: usize) -> Option<TaskId> {
        self.tasks.iter().rev().nth(nth).copied()
    }

    fn step(&mut self, act: &Act) {
        let now = self.bench.engine_now();
        match *act {
            Act::Open(cap) => {
                let id = TaskId::new(self.bench.next_id());
                let (task_type, cap) = ("work".parse().unwrap(), cap.map(cents));
                let opening = Opening { task_type, cap, call: None };
                let came = Came::Operator(None);
                let act = task::open(&self.bench.state, &scout(), opening, (&came, id), now);
                self.bench.act(act.map(|(act, _)| act)).unwrap();
                self.tasks.push(id);
            }
            Act::Pay(nth, amount) => self.ask(nth, "shop", Some(cents(amount)), Fact::Paid),
            Act::PayFixed(nth) => self.ask(nth, "fixed", None, Fact::Paid),
            Act::Hold(nth, amount) => self.ask(nth, "shop", Some(cents(amount)), Fact::Held),
            Act::Send(nth) => self.settle(nth, |bench, id| settle::send(&bench.state, id).ok()),
            Act::Capture(nth, amount) => {
                self.settle(nth, |bench, id| {
                    settle::capture(&bench.state, id, cents(amount), None).ok()
                });
            }
            Act::Void(nth) => self
                .settle(nth, |bench, id| settle::void(&bench.state, id, VoidCause::NotSent).ok()),
            Act::Refund(nth, amount) => self.settle(nth, |bench, id| {
                let hold = &bench.holds[&id];
                let paid = bench.entries.iter().find_map(|(entry, ..)| match &entry.fact {
                    Fact::Paid(paid) if paid.payment == id => Some(paid.amount),
                    Fact::Captured { payment, amount, .. } if *payment == id => Some(*amount),
                    _ => None,
                })?;
                settle::refund(&bench.state, &scout(), (hold, paid), cents(amount), None).ok()
            }),
            Act::Finish(nth) => {
                let Some(id) = self.newest(nth) else { return };
                let by = (&Came::Operator(None), now);
                let outcome = TaskOutcome::Success;
                let act = task::finish(&self.bench.state, &scout(), id, outcome, by);
                if self.bench.act(act).is_ok() {
                    self.failed.remove(&id);
                }
            }
            Act::Resume(nth, cap) => {
                let Some(id) = self.newest(nth) else { return };
                let act = task::resume(&self.bench.state, id, cap.map(cents), None);
                if self.bench.act(act).is_ok() {
                    self.failed.remove(&id);
                }
            }
            Act::CapEach(each) => {
                let act = operate::set_mandate(&self.bench.state, &scout(), mandate(each), now);
                self.bench.act(act).unwrap();
            }
            Act::Pass(seconds) => self.bench.pass(seconds),
            Act::Reopen => {
                self.desk.take(&mut self.bench.state);
                self.bench.state = self.desk.state(self.bench.state.now());
            }
        }
    }

    /// Asks for a payment in a task: what is let through fits under each of its caps, and what is
    /// not changes no sum.
    fn ask(
        &mut self,
        nth: usize,
        service: &str,
        amount: Option<Usd>,
        fact: fn(pettycash::policy::entry::Hold) -> Fact,
    ) {
        let Some(id) = self.newest(nth) else { return };
        let mut payment = self.bench.payment(service, amount, None);
        payment.task = Some(id);
        let before = self.bench.state.book(&scout()).unwrap().clone();
        let decided = self.bench.ask(&scout(), &payment, fact);
        let book = self.bench.state.book(&scout()).unwrap();
        if let Ok(hold) = decided {
            assert_eq!(hold.task, Some(id));
            let task = &book.tasks[&id];
            assert_eq!(task.state, TaskState::Open, "only an open task is charged");
            let spent = task.sums.used.plus(task.sums.held).unwrap();
            let each = book.mandate.caps.iter().filter(|cap| cap.period == Period::Task);
            for cap in each.filter_map(Cap::amount).chain(task.opened.cap) {
                assert!(spent <= cap, "{spent} in a task of {cap}");
            }
            self.payments.push(hold.payment);
        } else {
            assert_eq!((before.captured, before.held), (book.captured, book.held));
            if let Some(TaskState::Failed { .. }) = book.tasks.get(&id).map(|task| task.state) {
                self.failed.insert(id);
            }
        }
    }

    fn settle(&mut self, nth: usize, settle: impl FnOnce(&Bench, PaymentId) -> Option<Draft>) {
        let Some(id) = self.payments.iter().rev().nth(nth).copied() else { return };
        if let Some(draft) = settle(&self.bench, id) {
            assert_ne!(draft.by, By::Agent);
            self.bench.write(vec![draft]);
        }
    }

    /// The sums of each task are those of its payments, and what failed stays failed.
    fn check(&self) {
        let state = &self.bench.state;
        assert_eq!(*state, self.bench.refold(), "the fold of the entries is the state");
        let book = state.book(&scout()).unwrap();
        for task in book.tasks.values() {
            let (mut used, mut open) = (0, 0);
            for (entry, ..) in &self.bench.entries {
                let theirs = |id: &PaymentId| self.bench.holds[id].task == Some(task.id());
                match &entry.fact {
                    Fact::Paid(hold) if hold.task == Some(task.id()) => used += hold.amount.nanos(),
                    Fact::Held(hold) if hold.task == Some(task.id()) => open += hold.amount.nanos(),
                    Fact::Captured { payment, amount, .. } if theirs(payment) => {
                        used += amount.nanos();
                        open -= self.bench.holds[payment].amount.nanos();
                    }
                    Fact::Voided { payment, .. } if theirs(payment) => {
                        open -= self.bench.holds[payment].amount.nanos();
                    }
                    Fact::Refunded { amount, task: of, .. } if *of == Some(task.id()) => {
                        used -= amount.nanos();
                    }
                    _ => {}
                }
            }
            assert_eq!((task.sums.used.nanos(), task.sums.held.nanos()), (used, open));
        }
        for id in &self.failed {
            let state = book.tasks.get(id).map(|task| task.state);
            assert!(
                matches!(state, Some(TaskState::Failed { .. })),
                "{state:?} without an operator"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_task_passes_its_caps_and_a_failed_one_stays_failed(
        each in 20_i64..120,
        acts in proptest::collection::vec(act(), 1..70),
    ) {
        let mut history = History::new(each);
        history.step(&Act::Open(None));
        for act in &acts {
            history.step(act);
            history.check();
        }
    }
}
