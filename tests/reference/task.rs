//! The second opinion on tasks: their sums are added up from the payments that named them.

use super::{
    Agent, Breach, Came, Cap, Done, Fate, Kind, Model, On, Payment, Room, Standing, plain,
};

/// How long a finished task is known, where nothing is held in it.
const KNOWN: i64 = 15 * 60;

/// Whether a task may be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Failed,
    /// How it came out, and when.
    Finished(u8, i64),
}

/// One task, by the number in which they were opened.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) agent: u8,
    pub(crate) kind: u8,
    pub(crate) cap: Option<i128>,
    pub(crate) state: State,
}

impl Model {
    fn paid_in(&self, task: usize) -> impl Iterator<Item = &Payment> {
        self.payments.iter().filter(move |payment| payment.asked.task == Some(task))
    }

    pub(crate) fn held_in(&self, task: usize) -> i128 {
        self.paid_in(task).map(Payment::held).sum()
    }

    pub(crate) fn used_in(&self, task: usize) -> i128 {
        self.paid_in(task).map(|payment| payment.taken - payment.back).sum()
    }

    /// The task of the agent's that a payment names, open or failed.
    fn named(&self, agent: u8, task: Option<usize>) -> Option<(usize, &Task)> {
        let number = task?;
        let task = self.tasks.get(number).filter(|task| task.agent == agent)?;
        (!matches!(task.state, State::Finished(..))).then_some((number, task))
    }

    /// What kind of task a payment belongs to.
    pub(super) fn kind(&self, agent: u8, task: Option<usize>) -> Option<u8> {
        self.named(agent, task).map(|(_, task)| task.kind)
    }

    /// What is left under a cap for a payment in a task.
    pub(crate) fn room_within(
        &self,
        agent: u8,
        cap: Cap,
        run: Option<u8>,
        task: Option<usize>,
    ) -> Room {
        let named = self.named(agent, task).filter(|_| cap.kind == Kind::Task);
        let Some((number, _)) = named else { return self.room(agent, cap, run) };
        let (used, held) = (self.used_in(number), self.held_in(number));
        let open = self.paid_in(number).filter(|payment| payment.is_open()).count() as i128;
        let paid = self.paid_in(number).filter(|payment| payment.fate == Fate::Captured);
        let paid = paid.count() as i128;
        let left = cap.leaves(used + held, paid + open);
        Room { used, held, left, resets: None, paid, open }
    }

    /// All caps on a payment: those of the mandate, and the task's own.
    pub(crate) fn caps_in(&self, agent: u8, task: Option<usize>) -> Vec<Cap> {
        let own = self.named(agent, task).and_then(|(_, task)| task.cap);
        let caps = self.agents[&agent].terms.caps.iter().copied();
        let own = own.map(|most| Cap { kind: Kind::Task, on: On::All, counts: false, most });
        caps.chain(own).collect()
    }

    /// What is left in a task; nothing where nothing bounds it.
    pub(crate) fn left_in(&self, agent: u8, task: usize) -> Option<i128> {
        let of_type = |on: On| on == On::All || on == On::Type(self.tasks[task].kind);
        let caps = self.caps_in(agent, Some(task)).into_iter();
        let caps = caps.filter(|cap| cap.kind == Kind::Task && of_type(cap.on));
        caps.map(|cap| self.room_within(agent, cap, None, Some(task)).left).min()
    }

    /// Of each task of the agent's that is not finished: whether it failed, what is used, held and
    /// left.
    pub(crate) fn kept(&self, agent: u8) -> Vec<(bool, i128, i128, Option<i128>)> {
        let told = |n: usize| {
            let failed = self.tasks[n].state == State::Failed;
            (failed, self.used_in(n), self.held_in(n), self.left_in(agent, n))
        };
        self.numbers_of_kept(agent).map(told).collect()
    }

    /// Those tasks.
    pub(crate) fn numbers_of_kept(&self, agent: u8) -> impl Iterator<Item = usize> {
        let theirs = self.tasks.iter().enumerate().filter(move |(_, task)| task.agent == agent);
        let kept = theirs.filter(|(_, task)| !matches!(task.state, State::Finished(..)));
        kept.map(|(number, _)| number)
    }

    /// What can be spent now in a run and a task.
    pub(crate) fn available_in(&self, agent: u8, run: Option<u8>, task: Option<usize>) -> i128 {
        let available = self.available(agent, run);
        let Some(number) = task else { return available };
        match self.named(agent, task) {
            Some((_, Task { state: State::Open, kind, .. })) => {
                let caps = self.agents[&agent].terms.caps.iter();
                let of_type = caps.filter(|c| c.on == On::Type(*kind) && c.kind != Kind::Task);
                let of_type = of_type.map(|cap| self.room(agent, *cap, run).left);
                let shared =
                    self.shared(agent).into_iter().filter(|(_, c)| c.on == On::Type(*kind));
                let shared = shared.map(|(group, cap)| self.room_in(group, cap).left);
                let left = self.left_in(agent, number).into_iter().chain(of_type).chain(shared);
                left.chain([available]).min().unwrap()
            }
            _ => 0,
        }
    }

    /// Why a payment may not be made in the task that it names, or beside any.
    pub(super) fn against_task(
        &self,
        agent: u8,
        task: Option<usize>,
    ) -> Option<(Breach, &'static str)> {
        let unknown = Some((plain("task_unknown"), "fix_request"));
        match (task, self.named(agent, task)) {
            (None, _) => {
                let of_tasks = |c: &Cap| c.kind == Kind::Task || matches!(c.on, On::Type(_));
                let above = self.shared(agent).into_iter().any(|(_, cap)| of_tasks(&cap));
                unknown.filter(|_| above || self.agents[&agent].terms.caps.iter().any(of_tasks))
            }
            (Some(_), None) => unknown,
            (Some(_), Some((_, task))) => {
                (task.state == State::Failed).then(|| (plain("task_failed"), "stop"))
            }
        }
    }

    /// Whether a task is at its end with a refusal that is all about money.
    pub(super) fn runs_out(
        &self,
        agent: u8,
        task: Option<usize>,
        breaches: &[Breach],
        (cost, fixed): (i128, bool),
    ) -> bool {
        let Some((number, &Task { state: State::Open, kind, .. })) = self.named(agent, task) else {
            return false;
        };
        let on_it = |breach: &Breach| breach.kind == Some(Kind::Task);
        if self.left_in(agent, number) == Some(0) {
            return breaches.iter().any(on_it);
        }
        // What a new one would not pay either was no question of what is left in this one.
        let caps = self.caps_in(agent, task).into_iter();
        let mut bears = caps.filter(|cap| cap.kind == Kind::Task && !cap.counts);
        let dear = bears.any(|c| (c.on == On::All || c.on == On::Type(kind)) && cost > c.most);
        fixed && !dear && breaches.iter().all(on_it)
    }

    /// Why somebody may not open a task, or finish one.
    fn may_not(&self, agent: u8, came: Came, opens: bool) -> Option<&'static str> {
        if let Some(why) = self.turns_away(agent, came) {
            return Some(why);
        }
        let Agent { terms, standing, .. } = &self.agents[&agent];
        let may = match came {
            Came::Operator => true,
            Came::Local => terms.tasks,
            Came::Token(number) => terms.tasks || self.tokens[number].may,
        };
        match standing {
            Standing::Revoked => Some("agent_revoked"),
            Standing::Frozen if opens => Some("agent_frozen"),
            Standing::Active | Standing::Frozen if !may => Some("task_not_allowed"),
            Standing::Active | Standing::Frozen => {
                let over = opens && terms.expires.is_some_and(|at| self.now() >= at);
                over.then_some("mandate_expired")
            }
        }
    }

    pub(crate) fn open_task(
        &mut self,
        agent: u8,
        came: Came,
        (kind, cap): (u8, Option<i128>),
    ) -> Done {
        if let Some(why) = self.may_not(agent, came, true) {
            return Err(why);
        }
        if cap == Some(0) {
            return Err("zero");
        }
        self.tasks.push(Task { agent, kind, cap, state: State::Open });
        Ok(self.done())
    }

    pub(crate) fn finish_task(&mut self, task: usize, came: Came, outcome: u8) -> Done {
        let Task { agent, state, .. } = self.tasks[task];
        if let Some(why) = self.may_not(agent, came, false) {
            return Err(why);
        }
        if let State::Finished(before, at) = state {
            let known = self.held_in(task) > 0 || self.now() - at < KNOWN;
            return if known && before == outcome { Ok(false) } else { Err("task_unknown") };
        }
        if state == State::Failed && came != Came::Operator {
            return Err("task_failed");
        }
        self.tasks[task].state = State::Finished(outcome, self.now());
        Ok(self.done())
    }

    pub(crate) fn resume_task(&mut self, task: usize, cap: Option<i128>) -> Done {
        let Task { agent, state, cap: before, .. } = self.tasks[task];
        if matches!(state, State::Finished(..)) {
            return Err("task_unknown");
        }
        if self.agents[&agent].standing == Standing::Revoked {
            return Err("revoked");
        }
        if cap == Some(0) {
            return Err("zero");
        }
        if state == State::Open && (cap.is_none() || cap == before) {
            return Ok(false);
        }
        self.tasks[task].cap = cap.or(before);
        if self.left_in(agent, task) == Some(0) {
            self.tasks[task].cap = before;
            return Err("nothing_left");
        }
        self.tasks[task].state = State::Open;
        self.other_than_refused(agent);
        Ok(self.done())
    }
}
