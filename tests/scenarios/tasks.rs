//! What stories do to tasks.

use pettycash::policy::{
    denial::Refusal,
    money::Usd,
    task::{self, Opening, TaskId, TaskOutcome, TaskState, Tasking},
};

use super::{Story, words::denied_words};

/// A task's own cap, where one is given.
pub(super) fn own(cap: &[&str]) -> Option<Usd> {
    cap.first().map(|cap| cap.parse().unwrap())
}

impl Story {
    /// The text with the story's own names of its tasks.
    pub(super) fn named(&self, text: &str) -> String {
        let names = self.tasks.iter().zip(1..).map(|(id, n)| (id.to_string(), format!("K{n}")));
        names.fold(text.to_owned(), |text, (id, name)| text.replace(&id, &name))
    }

    pub(super) fn task_id(&self, name: &str) -> TaskId {
        match name {
            "unknown" => "task_00000000000000ff".parse().unwrap(),
            "foreign" => {
                let others = self.bench.state.books().filter(|book| book.handle != self.agent);
                *others.flat_map(|book| book.tasks.keys()).next().unwrap()
            }
            name => self.tasks[name.strip_prefix('K').unwrap().parse::<usize>().unwrap() - 1],
        }
    }

    /// Opens a task as whoever pays comes, once he may; `other:TYPE` is another agent's.
    pub(super) fn open_task(&mut self, kind: &str, cap: Option<Usd>) -> String {
        let other = kind.strip_prefix("other:");
        let agent = other.map_or(self.agent.clone(), |_| "other".parse().unwrap());
        if agent != self.agent {
            self.bench.open(&agent, self.mandate.clone());
        }
        let task_type = other.unwrap_or(kind).parse().unwrap();
        let (now, id) = (self.bench.engine_now(), TaskId::new(self.bench.next_id()));
        let state = &self.bench.state;
        let book = match state.admit_payer(&agent, &self.came, now) {
            Ok(book) => book,
            Err(why) => return denied_words(&Refusal::only(why), now),
        };
        if let Some(why) = task::refuses(state, book, &self.came, Tasking::Opens, now) {
            return denied_words(&Refusal::only(why), now);
        }
        let opening = Opening { task_type, cap, call: None };
        let opened = task::open(state, &agent, opening, (&self.came, id), now);
        let done = self.done(opened.map(|(act, _)| act));
        if done != "ok" || other.is_some() {
            return done;
        }
        self.tasks.push(id);
        let spender = self.bench.state.spender(&agent).unwrap();
        let available = spender.in_task(Some(id)).available(self.run.as_ref(), now);
        format!("K{}, {available} available", self.tasks.len())
    }

    /// Opens so many tasks one after the other, each once the one before is finished; says how
    /// many there were, and what was said to the next.
    pub(super) fn open_and_finish(&mut self, many: usize, kind: &str) -> String {
        for opened in 0..many {
            let told = self.open_task(kind, None);
            if !told.starts_with('K') {
                return format!("{opened}, then {told}");
            }
            self.finish(*self.tasks.last().unwrap(), TaskOutcome::Success);
        }
        format!("{many}")
    }

    pub(super) fn finish(&mut self, id: TaskId, outcome: TaskOutcome) -> String {
        let (state, now) = (&self.bench.state, self.bench.engine_now());
        let (book, by) = (state.book(&self.agent).unwrap(), (&self.came, now));
        if let Some(why) = task::refuses(state, book, &self.came, Tasking::Finishes, now) {
            return denied_words(&Refusal::only(why), now);
        }
        let done = self.done(task::finish(state, &self.agent, id, outcome, by));
        self.named(&done)
    }

    pub(super) fn resume(&mut self, id: TaskId, cap: Option<Usd>) -> String {
        let done = self.done(task::resume(&self.bench.state, id, cap, None));
        self.named(&done)
    }

    /// Every task that is not forgotten.
    pub(super) fn tasks(&self) -> String {
        let book = self.bench.state.book(&self.agent).unwrap();
        let told = book.tasks.values().map(|task| {
            let room = book.task_room(task);
            let state = match task.state {
                TaskState::Open => "open".to_owned(),
                TaskState::Failed { .. } => "failed".to_owned(),
                TaskState::Finished { outcome, .. } => format!("finished {}", outcome.word()),
            };
            let left = room.left.map_or("no cap".to_owned(), |left| format!("{left} left"));
            format!("{} {state}: {} used, {} held, {left}", task.id(), room.used, room.held)
        });
        self.named(&told.collect::<Vec<_>>().join("; "))
    }
}
