//! What facts mean for tasks.

use jiff::Timestamp;

use super::{MAX_OPENS, MAX_TASKS, Task, TaskFact, TaskId, TaskOpened, TaskState};
use crate::policy::{
    documents::DocKey,
    entry::{By, Fact},
    names::Handle,
    planted::{self, Bug},
    state::State,
    tally::Sums,
};

/// How many finished tasks of one agent are kept for their calls to come again.
const MAX_FINISHED: usize = MAX_TASKS;

impl State {
    /// An agent's task of that id, and whose it is.
    pub fn task(&self, id: TaskId) -> Option<(&Handle, &Task)> {
        self.books().find_map(|book| Some((&book.handle, book.tasks.get(&id)?)))
    }

    /// Notes which task's sums a fact is about to change.
    pub(in crate::policy) fn touch_task(&mut self, agent: &Handle, fact: &Fact) {
        let task = if let Fact::Held(hold) | Fact::Paid(hold) = fact {
            hold.task
        } else if let Fact::Refunded { task, .. } = fact {
            *task
        } else {
            fact.ends().and_then(|payment| self.open.get(&payment)?.hold.task)
        };
        self.touched.extend(task.map(|task| DocKey::Task(agent.clone(), task)));
    }

    /// Folds in what happened to a task.
    pub(in crate::policy) fn fold_task(
        &mut self,
        agent: &Handle,
        by: By,
        fact: &TaskFact,
        at: Timestamp,
    ) {
        let Some(book) = self.books.get_mut(agent) else { return };
        let id = fact.task();
        self.touched.insert(DocKey::Task(agent.clone(), id));
        if let TaskFact::Opened(opened) = fact {
            let (opened, state) = (opened.clone(), TaskState::Open);
            let sums = Sums::default();
            book.tasks.insert(id, Task { opened, by, at, state, sums });
            if by == By::Agent {
                book.opens.add(MAX_OPENS.span, 1, at);
            }
        } else if let Some(task) = book.tasks.get_mut(&id) {
            change(task, fact, at);
        }
        self.forget_tasks(agent, Some(id), at);
    }

    /// Lets go of a finished task once nothing is held in it any more.
    pub(in crate::policy) fn settle_task(&mut self, agent: &Handle, id: Option<TaskId>) {
        let task = self.books.get(agent).zip(id).and_then(|(book, id)| book.tasks.get(&id));
        if task.is_some_and(|task| !task.is_kept()) {
            self.forget_tasks(agent, id, self.now);
        }
    }

    /// Forgets the tasks that are over, and of too many that are kept for a while the one that was
    /// finished longest ago; never the present one, of which an answer is still to tell.
    fn forget_tasks(&mut self, agent: &Handle, present: Option<TaskId>, at: Timestamp) {
        let Some(book) = self.books.get_mut(agent) else { return };
        let mut gone: Vec<TaskId> =
            book.tasks.values().filter(|task| task.is_over(at)).map(Task::id).collect();
        let quiet = |task: &&Task| !task.is_kept() && task.sums.held.is_zero();
        let finished = book.tasks.values().filter(quiet).count();
        if finished.saturating_sub(gone.len()) > MAX_FINISHED {
            let others =
                book.tasks.values().filter(quiet).filter(|task| present != Some(task.id()));
            gone.extend(others.min_by_key(|task| task.ended()).map(Task::id));
        }
        for id in gone {
            book.tasks.remove(&id);
            self.touched.insert(DocKey::Task(agent.clone(), id));
        }
    }
}

fn change(task: &mut Task, fact: &TaskFact, at: Timestamp) {
    match fact {
        TaskFact::Opened(_) => {}
        TaskFact::Finished { outcome, .. } => {
            let failed = if let TaskState::Failed { payment, .. } = task.state {
                Some(payment)
            } else {
                None
            };
            task.state = TaskState::Finished { outcome: *outcome, at, ran_out: failed };
        }
        TaskFact::Failed { payment, .. } => {
            task.state = TaskState::Failed { payment: *payment, at };
        }
        TaskFact::Resumed { cap, .. } => {
            task.state = TaskState::Open;
            task.opened = TaskOpened { cap: cap.or(task.opened.cap), ..task.opened.clone() };
            if planted::is(Bug::ResumeBeginsAnew) {
                task.sums.used = crate::policy::money::Usd::ZERO;
            }
        }
    }
}
