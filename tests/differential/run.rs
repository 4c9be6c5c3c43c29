//! One history, lived through twice: by policy and by the reference.

mod groups;
mod rows;
mod settling;

use std::collections::BTreeMap;

use jiff::Timestamp;
use pettycash::policy::{
    entry::{Fact, Hold, VoidCause},
    money::Usd,
    operate::{Act, OperateError},
    settle,
    state::State,
    task::TaskId,
};

use super::{
    decide::{Told, acted, decide, is, same},
    exposure,
    ops::{Amount, By, Clock, Op, tighter},
    subject::Subject,
    trial,
    words::{self, No, View, handle, usd},
};
use crate::reference::{Asked, Breach, Came, Done, MOST, Model, Standing, Verdict};

/// How often each thing happened.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Policy and the reference side by side.
pub(crate) struct Pair {
    pub(super) subject: Subject,
    pub(super) model: Model,
    /// Each payment of the reference's as policy knows it.
    holds: Vec<Hold>,
    /// Each task of the reference's, by what policy calls it.
    pub(super) tasks: Vec<TaskId>,
    counts: Counts,
    /// What each agent asked last, and whether for a hold.
    asked: BTreeMap<u8, (Came, Asked, bool)>,
    /// Of which payment something came back last.
    returned: Option<usize>,
}

impl Pair {
    fn new(subject: fn(&str) -> Subject, at: &str) -> Self {
        let now = at.parse::<Timestamp>().unwrap().as_second();
        let mut model = Model::default();
        model.wall = now;
        let (holds, tasks) = (Vec::new(), Vec::new());
        let (counts, asked) = (Counts::new(), BTreeMap::new());
        Self { subject: subject(at), model, holds, counts, asked, tasks, returned: None }
    }

    /// Lives through a history up to the first difference: after which operation, and what it is.
    pub(crate) fn run(
        subject: fn(&str) -> Subject,
        at: &str,
        ops: &[Op],
    ) -> (Counts, Option<(usize, String)>) {
        let mut pair = Self::new(subject, at);
        for (number, op) in ops.iter().enumerate() {
            if let Err(told) = pair.step(op) {
                return (pair.counts, Some((number + 1, told)));
            }
        }
        let wrong = pair.check_fold().err().map(|told| (ops.len(), told));
        (pair.counts, wrong)
    }

    pub(super) fn count(&mut self, what: &str) {
        if let Some(count) = self.counts.get_mut(what) {
            *count += 1;
        } else {
            self.counts.insert(what.to_owned(), 1);
        }
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        let (agent, run) = match op {
            Op::Ask { agent, came, service, amount, key, run, hold, task } => {
                let task = self.task(*agent, *task);
                let amount = self.amount(*agent, *run, task, *amount);
                let asked = Asked { service: *service, amount, key: *key, run: *run, task };
                (self.ask((*agent, self.came(*agent, *came)), &asked, *hold)?, *run)
            }
            Op::Again { nth } => match self.model.payments.iter().rev().nth(*nth).cloned() {
                Some(paid) => {
                    let asks = (paid.agent, Came::Operator);
                    (self.ask(asks, &paid.asked, false)?, paid.asked.run)
                }
                None => return Ok(()),
            },
            Op::Give { agent, lasts, may } => (self.give(*agent, *lasts, *may)?, None),
            Op::OnTask(op) => (self.on_task(*op)?, None),
            Op::Take { nth } => match self.take(*nth)? {
                Some(agent) => (agent, None),
                None => return Ok(()),
            },
            Op::Settle { nth, of_all, how } => {
                let Some(number) = self.to_settle(*nth, *of_all, *how) else { return Ok(()) };
                self.settle(number, *how)?
            }
            Op::Quote { .. } => return self.quote(op),
            Op::Clock(clock) => {
                self.set_clock(*clock);
                return self.compare_all();
            }
            Op::Forget => {
                self.forget();
                return Ok(());
            }
            Op::Insist { agent, times } => self.insist(*agent, *times)?,
            Op::Group { group, terms, waits } => {
                self.group(*group, terms, *waits)?;
                return self.compare_all();
            }
            Op::Recover => {
                self.recover();
                return self.compare_all();
            }
            Op::Reopen { cut } => {
                if self.subject.reopen(*cut) {
                    self.count(if cut.is_some() { "op power cut" } else { "op reopen" });
                    self.model.recover();
                    self.look_at_the_rows(cut.is_some())?;
                    self.look_at_the_time(true)?;
                }
                return self.compare_all();
            }
            Op::Open { .. }
            | Op::Mandate { .. }
            | Op::Tighten { .. }
            | Op::TopUp { .. }
            | Op::Freeze { .. }
            | Op::Unfreeze { .. }
            | Op::Revoke { .. }
            | Op::Service { .. }
            | Op::Remove { .. }
            | Op::Ungroup { .. }
            | Op::Repin(..) => {
                let agent = self.operate(op)?;
                let Some(agent) = agent else { return self.compare_all() };
                (agent, None)
            }
        };
        self.look_at_the_time(false)?;
        self.compare(agent, None)?;
        if run.is_some() { self.compare(agent, run) } else { Ok(()) }
    }

    fn forget(&mut self) {
        if let Subject::Memory(bench) = &mut self.subject {
            if !bench.counting.is_empty() {
                bench.write_counted();
                self.model.latest = self.model.now();
            }
            bench.state.forget_expired_keys(bench.state.now());
            self.count("op forget");
        }
    }

    /// What an amount comes to, if it is relative to what could be spent.
    pub(super) fn amount(
        &self,
        agent: u8,
        run: Option<u8>,
        task: Option<usize>,
        amount: Amount,
    ) -> Option<i128> {
        let (more, of_limit) = match amount {
            Amount::None => return None,
            Amount::Of(amount) => return Some(amount),
            Amount::Edge { more, of_limit } => (more, of_limit),
        };
        let known = self.model.agents.contains_key(&agent);
        let task = task.filter(|task| self.model.tasks[*task].agent == agent);
        let limit = known.then(|| self.model.limit(agent)).flatten();
        let available = || if known { self.model.available_in(agent, run, task) } else { 0 };
        let edge = limit.filter(|_| of_limit).unwrap_or_else(available);
        Some((edge + more).clamp(1, MOST))
    }

    /// Asks what an agent asked last, so many times; says who asked, and for which run.
    fn insist(&mut self, agent: u8, times: u8) -> Result<(u8, Option<u8>), String> {
        let Some((came, asked, hold)) = self.asked.get(&agent).cloned() else {
            return Ok((agent, None));
        };
        for _ in 0..times {
            self.ask((agent, came), &asked, hold)?;
        }
        Ok((agent, asked.run))
    }

    /// How somebody comes: where there is no such token, as the operator.
    pub(super) fn came(&self, agent: u8, by: By) -> Came {
        match by {
            By::Name => Came::Local,
            By::Operator => Came::Operator,
            By::Token { nth, of_all } => {
                let tokens = self.model.tokens.iter().enumerate().rev();
                let theirs = tokens.filter(|(_, token)| of_all || token.agent == agent);
                let nth = theirs.map(|(number, _)| number).nth(nth);
                nth.map_or(Came::Operator, Came::Token)
            }
        }
    }

    /// Asks both for a payment; says who asked, whose book is to be compared.
    fn ask(&mut self, asks: (u8, Came), asked: &Asked, hold: bool) -> Result<u8, String> {
        let (agent, came) = asks;
        let away = self.model.turns_away(agent, came).is_some();
        let expected = self.model.ask(agent, came, asked, hold);
        self.asked.insert(agent, (came, asked.clone(), hold));
        let what = asked.clone();
        let task = asked.task.map(|task| self.tasks[task]);
        let told = match &self.subject {
            Subject::Home(home) if !hold => Told::by_engine(home, asks, asked, task),
            Subject::Home(_) | Subject::Memory(_) => {
                let told = self
                    .subject
                    .tell(move |state, id, now| decide(state, asks, (&what, task), hold, id, now));
                self.with_available(told, agent, asked.run)
            }
        };
        self.count(if hold { "op hold" } else { "op pay" });
        let how = match came {
            Came::Local => "by name",
            Came::Token(_) => "by token",
            Came::Operator => "operator",
        };
        self.count(&format!("{how} {}", if away { "turned away" } else { "let in" }));
        match (expected, told) {
            (
                Verdict::Granted { payment, amount, available, shadow },
                Told::Granted { hold, available: left },
            ) if usd(amount) == hold.amount
                && usd(available) == left
                && words::passed(&hold) == shadow
                && payment == self.holds.len() =>
            {
                for _ in &shadow {
                    self.count("passed a shadow cap");
                }
                self.holds.push(*hold);
                self.count("granted");
                Ok(agent)
            }
            (Verdict::Again { payment, fate, taken }, Told::Again { payment: id, outcome })
                if self.holds[payment].payment == id && is(fate, taken, outcome) =>
            {
                self.count("replayed");
                Ok(agent)
            }
            (Verdict::Denied { breaches, advice, affordable, resets, .. }, Told::No(no))
                if No::by(breaches.clone(), advice, affordable, resets) == no =>
            {
                for breach in &breaches {
                    self.count_breach(breach);
                }
                self.count(&format!("advice {advice}"));
                Ok(agent)
            }
            (_, Told::Unexplained(told)) => Err(format!("{asked:?}, explained: {told}")),
            (expected, told) => {
                Err(format!("{came:?} {asked:?}\n  expected {expected:?}\n  came {told:?}"))
            }
        }
    }

    /// What is left once the payment is folded in.
    fn with_available(&self, told: Told, agent: u8, run: Option<u8>) -> Told {
        let Told::Granted { hold, .. } = told else { return told };
        let task = hold.task;
        let available = self.subject.read(move |state, now| {
            let (from, run) = (state.spender(&handle(agent)), run.map(words::run));
            from.map_or(Usd::ZERO, |from| from.in_task(task).available(run.as_ref(), now))
        });
        Told::Granted { hold, available }
    }

    fn count_breach(&mut self, breach: &Breach) {
        self.count(&format!("code {}", breach.code));
        if breach.code == "rate_limited" {
            let kinds = ["payments", "equal", "denials", "cooldown"];
            let of = kinds[usize::try_from(breach.numbers[0]).unwrap()];
            self.count(&format!("paced {of}"));
        }
        if let Some(kind) = breach.kind {
            let kind = format!("{kind:?}").to_lowercase();
            self.count(&format!("cap {}", kind.split('(').next().unwrap()));
            let on = format!("{:?}", breach.on.unwrap()).to_lowercase();
            let what = if breach.counts { "count" } else { "amount" };
            self.count(&format!("cap {what} on {}", on.split('(').next().unwrap()));
            if breach.group.is_some() {
                self.count("cap of a group");
            }
        }
    }

    /// An act of the operator's; says whose book is to be compared, if it is only one.
    fn operate(&mut self, op: &Op) -> Result<Option<u8>, String> {
        let op = &match op {
            Op::Tighten { agent, what } => {
                let Some(book) = self.model.agents.get(agent) else { return Ok(None) };
                let terms = tighter(book.terms.clone(), *what, self.model.now());
                Op::Mandate { agent: *agent, terms }.begun(self.model.now())
            }
            other => other.begun(self.model.now()),
        };
        let (word, agent, expected) = match op {
            Op::Open { agent, terms } => ("open", Some(*agent), self.model.open(*agent, terms)),
            Op::Mandate { agent, terms } => {
                ("mandate", Some(*agent), self.model.set_terms(*agent, terms))
            }
            Op::TopUp { agent, amount } => {
                ("top up", Some(*agent), self.model.top_up(*agent, *amount))
            }
            Op::Freeze { agent: Some(agent) } => {
                ("freeze", Some(*agent), self.model.freeze(*agent))
            }
            Op::Freeze { agent: None } => {
                ("freeze all", None, Ok(self.model.stand_all(Standing::Frozen)))
            }
            Op::Unfreeze { agent: Some(agent) } => {
                ("unfreeze", Some(*agent), self.model.unfreeze(*agent))
            }
            Op::Unfreeze { agent: None } => {
                ("unfreeze all", None, Ok(self.model.stand_all(Standing::Active)))
            }
            Op::Revoke { agent } => ("revoke", Some(*agent), self.model.revoke(*agent)),
            Op::Service { id, service, replace } => {
                ("service", None, self.model.set_service(*id, *service, *replace))
            }
            Op::Remove { id } => ("remove", None, self.model.remove_service(*id)),
            Op::Ungroup { group } => ("ungroup", None, self.model.remove_group(*group)),
            Op::Repin(of, id, to) => ("repin", Some(*of), self.model.repin(*of, *id, *to)),
            other => unreachable!("{other:?} is no act of the operator's"),
        };
        let (act, told) = (op.clone(), format!("{op:?}"));
        self.act(word, &told, &expected, move |state, now| acted(state, &act, now))?;
        Ok(agent)
    }

    /// Has policy decide an act, and holds what came of it against what was expected.
    pub(super) fn act(
        &mut self,
        word: &str,
        told: &str,
        expected: &Done,
        act: impl FnOnce(&State, Timestamp) -> Result<Act, OperateError> + Send + 'static,
    ) -> Result<(), String> {
        let came = self.subject.commit(move |state, _, now| match act(state, now) {
            Ok(Act::Write(drafts)) => (drafts, Ok(true)),
            Ok(Act::Nothing) => (Vec::new(), Ok(false)),
            Err(error) => (Vec::new(), Err(words::operate_word(&error))),
        });
        self.count(&format!("op {word}{}", if came.is_ok() { "" } else { " refused" }));
        same(told, expected, &came)
    }

    fn recover(&mut self) {
        self.count("op recover");
        self.model.recover();
        self.subject.commit(|state, _, _| {
            let mut drafts = settle::void_unsent(state, None, VoidCause::Recovery);
            drafts.extend(settle::doubt_sent(state));
            (drafts, ())
        });
    }

    fn set_clock(&mut self, clock: Clock) {
        let model = &self.model;
        let open = |agent: u8| model.agents.get(&agent);
        let (word, at) = match clock {
            Clock::By(seconds) if seconds < 0 => ("clock back", Some(model.wall + seconds)),
            Clock::By(seconds) => ("clock forward", Some(model.now() + seconds)),
            Clock::Window { agent, kind, off } => {
                ("clock window", open(agent).map(|_| model.window(agent, kind).1 + off))
            }
            Clock::Cap { agent, nth, off } => {
                let cap = open(agent).and_then(|book| book.terms.caps.get(nth));
                let resets = cap.and_then(|cap| model.room(agent, *cap, None).resets);
                ("clock cap", resets.map(|at| at + off))
            }
            Clock::Rate { agent, off } => {
                ("clock rate", model.rate_frees(agent).map(|at| at + off))
            }
            Clock::Opening { agent, off } => {
                let opens = open(agent).and_then(|_| model.next_opening(agent));
                ("clock opening", opens.map(|at| at + off))
            }
            Clock::Expiry { agent, off } => {
                let expires = open(agent).and_then(|book| book.terms.expires);
                ("clock expiry", expires.map(|at| at + off))
            }
            Clock::Token { nth, off } => {
                let ends = model.tokens.iter().rev().nth(nth).and_then(|token| token.ends);
                ("clock token", ends.map(|at| at + off))
            }
            Clock::Month { nth, off } => {
                let paid = model.payments.iter().rev().nth(nth);
                ("clock month", paid.map(|paid| paid.placed + 30 * 86_400 + off))
            }
        };
        if let Some(at) = at {
            self.count(&format!("op {word}"));
            self.model.wall = at;
            self.subject.set_clock(at);
        }
    }

    /// The engine's time: where denials are counted before they are written down, it is whichever
    /// of both times is on record; in memory there is no doubt. A power cut may take a denial's.
    fn look_at_the_time(&mut self, reopened: bool) -> Result<(), String> {
        let latest = self.subject.read(|state, _| state.now().as_second());
        let (expected, now) = (self.model.latest, self.model.now());
        let doubt = match &self.subject {
            Subject::Memory(bench) => !bench.counting.is_empty(),
            Subject::Home(_) => true,
        };
        if latest != expected && !(doubt && (reopened || latest <= now)) {
            return Err(format!("the time on record is {latest}, not {expected}"));
        }
        self.model.latest = latest;
        Ok(())
    }

    fn compare_all(&mut self) -> Result<(), String> {
        self.look_at_the_time(false)?;
        let agents: Vec<u8> = self.model.agents.keys().copied().collect();
        agents.into_iter().try_for_each(|agent| self.compare(agent, None))
    }

    /// Holds an agent's book against the reference's, as a caller in `run` sees it.
    fn compare(&self, agent: u8, run: Option<u8>) -> Result<(), String> {
        if !self.model.agents.contains_key(&agent) {
            return Ok(());
        }
        let (expected, service) = View::by(&self.model, agent, run);
        let came = self.subject.read(move |state, now| View::of(state, agent, service, run, now));
        let caps = &self.model.agents[&agent].terms.caps;
        same(&format!("agent {agent} in run {run:?} with {caps:?}"), &Some(expected), &came)
    }

    /// The state is the fold of its entries.
    fn check_fold(&mut self) -> Result<(), String> {
        let Subject::Memory(bench) = &mut self.subject else { return Ok(()) };
        bench.write_counted();
        if bench.state != bench.refold() {
            return Err("the fold of the entries is not the state".to_owned());
        }
        let flag = |fact: &Fact| matches!(fact, Fact::Tripped { until: None, .. });
        let flags = bench.entries.iter().filter(|(entry, ..)| flag(&entry.fact)).count();
        self.counts.insert("flagged".to_owned(), flags as u64);
        same("how often the operator was told", &self.model.flags, &flags)?;
        trial::check_all(&bench.entries)?;
        exposure::check_all(&self.model, &bench.state, bench.engine_now())
    }
}
