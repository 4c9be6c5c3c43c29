//! Tasks, lived through twice.

use jiff::Timestamp;
use pettycash::policy::{
    entry::Draft,
    names::PaymentId,
    operate::Act,
    state::State,
    task::{self, Opening, TaskId, TaskOutcome, Tasking},
};

use super::{
    decide::same,
    ops::{By, Dice, Op, by, cents},
    run::Pair,
    words::{self, handle, usd},
};
use crate::reference::{Came, Done};

/// What is done to a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnTask {
    Open { agent: u8, by: By, kind: u8, cap: Option<i128> },
    Finish { task: Task, by: By, how: u8 },
    Resume { task: Task, cap: Option<i128> },
}

fn outcome(number: u8) -> TaskOutcome {
    [TaskOutcome::Success, TaskOutcome::Failed, TaskOutcome::Abandoned][usize::from(number % 3)]
}

/// What policy says of what was decided, in the reference's words.
fn told(act: Result<Act, &'static str>) -> (Vec<Draft>, Done) {
    match act {
        Ok(Act::Write(drafts)) => (drafts, Ok(true)),
        Ok(Act::Nothing) => (Vec::new(), Ok(false)),
        Err(word) => (Vec::new(), Err(word)),
    }
}

/// Whether somebody who came so may do that, as the engine asks it.
fn may(
    state: &State,
    agent: u8,
    came: &pettycash::policy::came::Came,
    what: Tasking,
    now: Timestamp,
) -> Result<(), &'static str> {
    let book = state.admit_payer(&handle(agent), came, now);
    let book = book.map_err(|why| why.code().word())?;
    task::refuses(state, book, came, what, now).map_or(Ok(()), |why| Err(why.code().word()))
}

impl Pair {
    /// Does it, on both sides; says whose task it is.
    pub(super) fn on_task(&mut self, op: OnTask) -> Result<u8, String> {
        match op {
            OnTask::Open { agent, by, kind, cap } => self.open_task(agent, by, (kind, cap)),
            OnTask::Finish { task, by, how } => self.finish_task(task, by, how),
            OnTask::Resume { task, cap } => self.resume_task(task, cap),
        }
    }

    /// The number of the `nth` newest task of the agent's, or of anybody's.
    pub(super) fn task(&self, agent: u8, named: Option<Task>) -> Option<usize> {
        let Task { nth, of_all } = named?;
        let tasks = self.model.tasks.iter().enumerate().rev();
        let theirs = tasks.filter(|(_, task)| of_all || task.agent == agent);
        theirs.map(|(number, _)| number).nth(nth)
    }

    fn open_task(
        &mut self,
        agent: u8,
        by: By,
        (kind, cap): (u8, Option<i128>),
    ) -> Result<u8, String> {
        let came = self.came(agent, by);
        let expected = self.model.open_task(agent, came, (kind, cap));
        let who = words::came(came);
        let (id, came) = self.subject.commit(move |state, id: PaymentId, now| {
            let id = TaskId::new(id);
            let opening =
                Opening { task_type: words::task_type(kind), cap: cap.map(usd), call: None };
            let act = may(state, agent, &who, Tasking::Opens, now).and_then(|()| {
                let opened = task::open(state, &handle(agent), opening, (&who, id), now);
                opened.map(|(act, _)| act).map_err(|error| words::operate_word(&error))
            });
            let (drafts, told) = told(act);
            (drafts, (id, told))
        });
        if came == Ok(true) {
            self.tasks.push(id);
        }
        self.told("open task", &expected, &came).map(|()| agent)
    }

    fn finish_task(&mut self, named: Task, by: By, how: u8) -> Result<u8, String> {
        let Some(number) = self.task(0, Some(Task { of_all: true, ..named })) else { return Ok(0) };
        let agent = self.model.tasks[number].agent;
        let came: Came = self.came(agent, by);
        let expected = self.model.finish_task(number, came, how);
        let (id, who) = (self.tasks[number], words::came(came));
        let came = self.subject.commit(move |state, _, now| {
            told(may(state, agent, &who, Tasking::Finishes, now).and_then(|()| {
                let finished = task::finish(state, &handle(agent), id, outcome(how), (&who, now));
                finished.map_err(|error| words::operate_word(&error))
            }))
        });
        self.told("finish task", &expected, &came).map(|()| agent)
    }

    fn resume_task(&mut self, named: Task, cap: Option<i128>) -> Result<u8, String> {
        let Some(number) = self.task(0, Some(Task { of_all: true, ..named })) else { return Ok(0) };
        let agent = self.model.tasks[number].agent;
        let expected = self.model.resume_task(number, cap);
        let id = self.tasks[number];
        let came = self.subject.commit(move |state, _, _| {
            let resumed = task::resume(state, id, cap.map(usd), None);
            told(resumed.map_err(|error| words::operate_word(&error)))
        });
        self.told("resume task", &expected, &came).map(|()| agent)
    }

    fn told(&mut self, word: &str, expected: &Done, came: &Done) -> Result<(), String> {
        self.count(&format!("op {word}{}", if came.is_ok() { "" } else { " refused" }));
        same(word, expected, came)
    }
}

/// The `nth` newest task of the agent's, or of anybody's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) nth: usize,
    pub(crate) of_all: bool,
}

pub(super) fn own_cap(dice: &mut Dice) -> Option<i128> {
    match dice.below(20) {
        0 => Some(0),
        1..13 => None,
        _ => Some(cents(dice, 10, 250)),
    }
}

/// Something done to a task.
pub(super) fn op(dice: &mut Dice, agent: u8) -> Op {
    match dice.below(9) {
        0..5 => {
            Op::OnTask(OnTask::Open { agent, by: by(dice), kind: dice.byte(2), cap: own_cap(dice) })
        }
        5..7 => {
            let (task, by) = (Task { nth: usize::from(dice.byte(6)), of_all: true }, by(dice));
            Op::OnTask(OnTask::Finish { task, by, how: dice.byte(2) })
        }
        _ => {
            let task = Task { nth: usize::from(dice.byte(6)), of_all: true };
            Op::OnTask(OnTask::Resume { task, cap: own_cap(dice) })
        }
    }
}

/// The task that each agent has from the start.
pub(super) fn first(dice: &mut Dice, agent: u8) -> Op {
    let (kind, cap) = (dice.byte(2), own_cap(dice));
    Op::OnTask(OnTask::Open { agent, by: By::Operator, kind, cap })
}
