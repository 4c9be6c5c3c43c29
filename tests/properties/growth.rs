//! I-28: what is kept of an agent does not grow with what it does.

use std::collections::VecDeque;

use pettycash::policy::{
    came::Came,
    documents::DocKey,
    entry::{Draft, Fact, Hold, VoidCause},
    mandate::{Mandate, Service},
    names::{PaymentId, RailName},
    operate::{self, Existing},
    settle,
    task::{self, MAX_TASKS, Opening, TaskId, TaskOutcome},
};
use serde_json::json;

use super::{Act, cents, history::History, scout};

/// How many payments in tasks are open at a time, each in a task that is finished.
const OPEN: usize = 20;
const SERVICES: i64 = 40;
/// How many steps a run takes: some hundred of them begin before the first is forgotten.
const STEPS_OF_RUN: i64 = 8;
/// After so many steps time passes as it did before.
const CYCLE: i64 = 1_200;

/// An agent that has of everything that remembers what was paid.
fn mandate() -> Mandate {
    let blank = json!({"funding": "allowance", "zone": "Europe/Paris", "tasks": "agent",
        "caps": [], "burst": "900/hour:flag", "first_payee": "locked"});
    let caps = ["99.00/day", "9000x/lifetime", "999.00/744h", "500x/5h", "5.00/hour service=shop"];
    let caps = caps.into_iter().chain(["400x/day type=research", "20.00/run", "90x/run"]);
    let shadows = ["3.00/day", "0.05/task", "40x/5h", "0.50/day service=shop", "9x/run"];
    let mut mandate: Mandate = serde_json::from_value(blank).unwrap();
    mandate.caps = caps.map(|cap| cap.parse().unwrap()).collect();
    mandate.shadow_caps = shadows.map(|cap| cap.parse().unwrap()).into();
    mandate.rates = ["90/min", "4000/hour", "9000/24h"].map(|rate| rate.parse().unwrap()).into();
    mandate.per_call_limit = Some(cents(100));
    mandate.tiers = ["50x/7d:2.00", "900x/90d:3.00"].map(|tier| tier.parse().unwrap()).into();
    mandate
}

impl History {
    /// Opens a task as the tools do, or as an operator does.
    fn open_task(&mut self, came: &Came) -> TaskId {
        let id = TaskId::new(self.bench.next_id());
        let opening = Opening { task_type: "research".parse().unwrap(), cap: None, call: None };
        let (state, now) = (&self.bench.state, self.bench.engine_now());
        let act = task::open(state, &scout(), opening, (came, id), now).map(|(act, _)| act);
        assert_eq!(self.bench.act(act), Ok(true));
        id
    }

    fn pay_in(
        &mut self,
        (task, run): (TaskId, Option<i64>),
        (service, amount): (&str, i64),
        fact: fn(Hold) -> Fact,
    ) -> Option<PaymentId> {
        let mut payment = self.bench.payment(service, Some(cents(amount)), None);
        payment.task = Some(task);
        payment.run = run.map(|run| format!("r{run}").parse().unwrap());
        self.bench.ask(&scout(), &payment, fact).ok().map(|hold| hold.payment)
    }

    fn finish(&mut self, task: TaskId, came: &Came) {
        let (outcome, now) = (TaskOutcome::Success, self.bench.engine_now());
        let act = task::finish(&self.bench.state, &scout(), task, outcome, (came, now));
        assert_eq!(self.bench.act(act), Ok(true));
    }

    fn end(&mut self, payment: PaymentId) {
        let void: Draft = settle::void(&self.bench.state, payment, VoidCause::Recovery).unwrap();
        self.bench.write(vec![void]);
    }

    fn count_tasks(&self) -> usize {
        self.bench.state.book(&scout()).unwrap().tasks.len()
    }

    /// How many bytes the desk keeps of the agent, its tasks, runs and group, settled payments
    /// apart.
    fn kept(&self) -> usize {
        let whole = self.bench.state.clone().drain(true).into_iter();
        let kept = whole.filter(|(name, _)| {
            matches!(name, DocKey::Book(_) | DocKey::Group(_))
                || matches!(name, DocKey::Task(..) | DocKey::Run(..))
        });
        kept.map(|(_, document)| serde_json::to_vec(&document).unwrap().len()).sum()
    }

    /// A service whose payee is another one now and then.
    fn serve(&mut self, nth: i64, payee: i64) -> String {
        let id = format!("s{nth}");
        let (payee, rail) = (format!("Payee {payee}").parse().unwrap(), RailName::iou());
        let service = Service {
            id: id.parse().unwrap(),
            payee,
            price: None,
            rail,
            category: None,
            endpoint: None,
        };
        let act = operate::set_service(&self.bench.state, service, Existing::Replace);
        self.bench.act(act).unwrap();
        id
    }
}

#[test]
fn the_book_of_a_busy_agent_does_not_grow() {
    let mut history = History::new(mandate(), vec!["990.00/744h".parse().unwrap()]);
    let (mut most, mut early, mut several, mut held) = (0, 0, 0, VecDeque::new());
    for step in 0..2 * CYCLE {
        // Amounts that differ, payments that stay open and end, refusals, and months that pass.
        // Beside any task nothing is paid, for a cap is on a type of them.
        history.step(&Act::Pay(1 + step % 97));
        history.step(&Act::Pay(100_000));
        let task = history.open_task(&Came::Local);
        let service = history.serve(step % SERVICES, step % 7);
        let within = (task, Some(step / STEPS_OF_RUN));
        let paid = history.pay_in(within, (&service, 4 + step % 97), Fact::Paid);
        several += i64::from(paid.is_some());
        held.extend(history.pay_in(within, ("shop", 1 + step % 5), Fact::Held));
        history.finish(task, &Came::Local);
        while held.len() > OPEN {
            history.end(held.pop_front().unwrap());
        }
        history.step(&Act::Pass(1 + step * 28 % (4 * CYCLE)));
        if step % 200 == 199 {
            most = most.max(history.kept());
        }
        if step == CYCLE - 1 {
            early = most;
        }
    }
    assert!(early > 10_000 && most <= early + early / 10, "{early} bytes, later {most}");
    assert!(most < 128 * 1024, "{most} bytes");
    let book = history.bench.state.book(&scout()).unwrap();
    assert!(book.track.is_some() && book.first_payees.len() > 30, "it had of everything");
    assert!(
        several > CYCLE / 4 && book.runs.len() > 30,
        "{several} paid, {} runs",
        book.runs.len()
    );
}

#[test]
fn finished_tasks_are_kept_while_they_hold_money_and_then_only_so_many() {
    const MANY: usize = MAX_TASKS + MAX_TASKS / 2;
    let mut mandate = mandate();
    mandate.caps = vec!["99.00/day".parse().unwrap()];
    mandate.rates.clear();
    let (mut history, operator) = (History::new(mandate, Vec::new()), Came::Operator(None));
    let mut held = Vec::new();
    for _ in 0..MANY {
        let task = history.open_task(&operator);
        held.push(
            history
                .pay_in((task, None), ("shop", 1), Fact::Held)
                .expect("there is room for a cent"),
        );
        history.finish(task, &operator);
    }
    assert_eq!(history.count_tasks(), MANY, "each holds something");
    let (first, rest) = held.split_first().unwrap();
    for payment in rest {
        history.end(*payment);
    }
    assert_eq!(history.count_tasks(), MAX_TASKS + 1, "what holds nothing is bounded");
    history.step(&Act::Pass(15 * 60));
    let last = history.open_task(&operator);
    history.finish(last, &operator);
    assert_eq!(history.count_tasks(), 2, "the one that holds money, and the last");
    history.end(*first);
    assert_eq!(history.count_tasks(), 1, "it is over once that is settled");
}
