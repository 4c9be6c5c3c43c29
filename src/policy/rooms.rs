//! Rooms: what is used, held and left under each cap, and so what can be spent.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;

use super::{
    book::{Book, Standing, named},
    cap::{Aim, Bound, Cap, Unit},
    counter::{Tallies, spent_in},
    downgrade::Percent,
    group::Group,
    mandate::{Mandate, Service},
    money::Usd,
    names::{Handle, RunId},
    planted::{self, Bug},
    state::State,
    tally::{Rolling, Sums, nanos},
    task::{Task, TaskId, own_cap},
    window::{Hours, Period, Window},
};

/// Room under one cap at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Captured in the current window.
    pub used: Usd,
    /// Held in the current window.
    pub held: Usd,
    /// What is left; under a cap on how many, everything or nothing.
    pub left: Usd,
    /// When the window ends; of a rolling one, when something leaves it.
    pub resets_at: Option<Timestamp>,
    /// How many payments were captured in the current window.
    pub paid: u64,
    /// How many are held in it.
    pub open: u64,
}

impl Room {
    pub(super) fn under(cap: &Cap, sums: Sums, resets_at: Option<Timestamp>) -> Self {
        let Sums { used, held, paid, open } = sums;
        let left = match cap.bound {
            Bound::Amount(most) => {
                let counted = if planted::is(Bug::HoldNotCounted) { Usd::ZERO } else { held };
                most.less(used.saturating_plus(counted))
            }
            Bound::Count(most) => {
                let counted = if planted::is(Bug::CountForgetsHeld) { 0 } else { open };
                let fits = paid.saturating_add(counted) < u64::from(most);
                if fits { Usd::MAX } else { Usd::ZERO }
            }
        };
        Self { used, held, left, resets_at, paid, open }
    }
}

/// What counts under a cap that is not on runs, and when that changes by time alone.
pub(super) fn spent_under(
    (tallies, rolling): (&Tallies, &BTreeMap<Hours, Rolling>),
    cap: &Cap,
    window: impl FnOnce() -> Window,
    now: Timestamp,
) -> (Sums, Option<Timestamp>) {
    let Period::Rolling(hours) = cap.period else {
        let window = window();
        return (spent_in(tallies, cap.period, window.id()), window.end);
    };
    let rolling = rolling.get(&hours);
    let sums = rolling.map(|rolling| rolling.sums(hours, now)).unwrap_or_default();
    let unit = cap.bound.unit();
    let less = sums.spent(unit).checked_sub(1);
    let frees = less.and_then(|less| rolling?.frees(hours, (less, unit), now));
    (sums, frees)
}

/// How much may still count in a rolling window so that a payment of `asked` fits beside it.
pub(super) fn bearable(cap: &Cap, asked: Usd) -> Option<(u64, Unit)> {
    match cap.bound {
        Bound::Amount(most) => most.minus(asked).map(|left| (nanos(left), Unit::Amount)),
        Bound::Count(most) => u64::from(most).checked_sub(1).map(|left| (left, Unit::Count)),
    }
}

impl Book {
    /// What is used, held and left under `cap` at `now`.
    pub fn room(&self, cap: &Cap, run: Option<&RunId>, now: Timestamp) -> Room {
        let (sums, resets_at) = self.spent_under(cap, run, now);
        Room::under(cap, sums, resets_at)
    }

    /// When `asked` would have room under `cap`, as far as time alone brings that about.
    pub fn frees(
        &self,
        cap: &Cap,
        asked: Usd,
        run: Option<&RunId>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Period::Rolling(hours) = cap.period else {
            return self.room(cap, run, now).resets_at;
        };
        let rolling =
            if cap.on.is_all() { &self.rolling } else { &self.parts.get(&cap.on)?.rolling };
        rolling.get(&hours)?.frees(hours, bearable(cap, asked)?, now)
    }

    /// What counts under `cap`, and when that changes by time alone.
    fn spent_under(
        &self,
        cap: &Cap,
        run: Option<&RunId>,
        now: Timestamp,
    ) -> (Sums, Option<Timestamp>) {
        let window = || self.window(cap.period, now);
        // Beside any task: each begins with all of it.
        if cap.period == Period::Task {
            return (Sums::default(), None);
        }
        if cap.period == Period::Run {
            let today = self.window(Period::Day, now);
            let tally = self.runs.get(&named(run, today.id()));
            let tally = tally.filter(|tally| tally.lives(now));
            let sums = tally.and_then(|tally| {
                if cap.on.is_all() { Some(tally.sums) } else { tally.parts.get(&cap.on).copied() }
            });
            return (sums.unwrap_or_default(), if run.is_none() { today.end } else { None });
        }
        if cap.on.is_all() {
            return spent_under((&self.tallies, &self.rolling), cap, window, now);
        }
        if let Some(part) = self.parts.get(&cap.on) {
            return spent_under((&part.tallies, &part.rolling), cap, window, now);
        }
        let rolls = matches!(cap.period, Period::Rolling(_));
        (Sums::default(), if rolls { None } else { window().end })
    }
}

/// Who pays: an agent's book, and the groups above it, the nearest first; and in which of the
/// agent's tasks.
#[derive(Clone, Debug)]
pub struct Spender<'s> {
    /// The book.
    pub book: &'s Book,
    /// The groups.
    pub groups: Vec<&'s Group>,
    /// The task that it is for, if it is one of the agent's.
    pub task: Option<Within<'s>>,
}

/// A task that is paid in.
#[derive(Clone, Debug)]
pub struct Within<'s> {
    /// The task.
    pub task: &'s Task,
    /// Its own cap, in the manner of a mandate's.
    own: Option<Cap>,
}

/// One cap with its room at one moment.
#[derive(Clone, Debug)]
pub struct Bearing<'s> {
    /// The cap.
    pub cap: &'s Cap,
    /// What is used, held and left.
    pub room: Room,
    owner: Owner<'s>,
    now: Timestamp,
}

/// Whose cap it is.
#[derive(Clone, Copy, Debug)]
enum Owner<'s> {
    Agent(&'s Book, Option<&'s RunId>),
    Group(&'s Group),
}

impl State {
    /// An agent as one who pays.
    pub fn spender(&self, handle: &Handle) -> Option<Spender<'_>> {
        self.book(handle).map(|book| self.spender_of(book))
    }

    /// The same of a book that is at hand.
    pub fn spender_of<'s>(&'s self, book: &'s Book) -> Spender<'s> {
        Spender { book, groups: self.chain(book.mandate.group.as_ref()), task: None }
    }
}

impl Spender<'_> {
    /// The same who pays in a task, if it is one of the agent's that is not finished.
    #[must_use]
    pub fn in_task(self, id: Option<TaskId>) -> Self {
        let task = self.book.task(id).map(|task| Within { task, own: own_cap(task) });
        Self { task, ..self }
    }

    pub(super) fn task_id(&self) -> Option<TaskId> {
        self.task.as_ref().map(|within| within.task.id())
    }

    /// How a payment for `service` is told apart.
    pub(super) fn aim<'r>(&'r self, service: &'r Service) -> Aim<'r> {
        Aim::from(service).within(self.task.as_ref().map(|within| within.task))
    }

    /// Whether a cap is on all that is paid: here, that is, where it is in a task.
    pub(super) fn is_on_all(&self, cap: &Cap) -> bool {
        let here = self.task.as_ref().map(|within| &within.task.opened.task_type);
        cap.on.is_all() || here.is_some_and(|here| cap.on.is_on_tasks_of(here))
    }

    /// Every cap, whatever it counts: the agent's own, and then each group's upwards.
    pub fn caps<'r>(&'r self, run: Option<&'r RunId>, now: Timestamp) -> Vec<Bearing<'r>> {
        self.each(run, now, |_| true).collect()
    }

    /// Those that a payment for `service` counts under.
    pub fn bearing<'r>(
        &'r self,
        service: &Service,
        run: Option<&'r RunId>,
        now: Timestamp,
    ) -> Vec<Bearing<'r>> {
        let aim = self.aim(service);
        self.each(run, now, |cap| cap.on.covers(&aim)).collect()
    }

    pub(super) fn each<'r>(
        &'r self,
        run: Option<&'r RunId>,
        now: Timestamp,
        which: impl Fn(&Cap) -> bool,
    ) -> impl Iterator<Item = Bearing<'r>> {
        let within = self.task.as_ref();
        let Mandate { caps, shadow_caps, .. } = &self.book.mandate;
        let caps = caps.iter().chain(within.and_then(|within| within.own.as_ref()));
        let shadows = shadow_caps.iter().filter(|_| planted::is(Bug::ShadowDenies));
        let own = caps.chain(shadows).map(move |cap| (cap, Owner::Agent(self.book, run)));
        let theirs = self.groups.iter().flat_map(|group| {
            let group: &'r Group = group;
            group.rules.caps.iter().map(move |cap| (cap, Owner::Group(group)))
        });
        let all = own.chain(theirs).filter(move |(cap, _)| which(cap));
        all.map(move |(cap, owner)| self.bear(cap, owner, now))
    }

    fn bear<'r>(&self, cap: &'r Cap, owner: Owner<'r>, now: Timestamp) -> Bearing<'r> {
        let in_task = self.task.as_ref().filter(|_| cap.period == Period::Task);
        let room = match (owner, in_task) {
            (Owner::Agent(..), Some(within)) => within.task.room(cap),
            (Owner::Agent(book, run), None) => book.room(cap, run, now),
            (Owner::Group(group), _) => group.room(cap, now),
        };
        Bearing { cap, room, owner, now }
    }

    /// Every shadow cap, which denies nothing.
    pub fn shadows<'r>(
        &'r self,
        run: Option<&'r RunId>,
        now: Timestamp,
    ) -> impl Iterator<Item = Bearing<'r>> {
        let shadows = self.book.mandate.shadow_caps.iter();
        shadows.map(move |cap| self.bear(cap, Owner::Agent(self.book, run), now))
    }

    /// What can be spent now in `run`, and in the task: the balance, and every cap on all that the
    /// agent, or its groups, spend; nothing in a task that is not open.
    ///
    /// A cap on one service, category or payee leaves the others, so it does not lower this; a
    /// payment that it bears on may be denied with more than its amount available.
    pub fn available(&self, run: Option<&RunId>, now: Timestamp) -> Usd {
        let book = self.book;
        let caps = self.each(run, now, |cap| self.is_on_all(cap));
        let caps = caps.map(|bearing| bearing.room.left);
        let least = caps.chain(book.funds()).min().unwrap_or(Usd::ZERO);
        let expired = book.mandate.expires_at.is_some_and(|at| now >= at);
        let expired = expired && !planted::is(Bug::AvailableAfterExpiry);
        let failed = self.task.as_ref().is_some_and(|within| !within.task.is_open());
        match book.standing {
            Standing::Active if !expired && !failed && book.mandate.is_open(now) => least,
            Standing::Active | Standing::Frozen { .. } | Standing::Revoked { .. } => Usd::ZERO,
        }
    }
}

impl Group {
    /// Its caps, each with its room.
    pub fn bearing(&self, now: Timestamp) -> Vec<Bearing<'_>> {
        let one = |cap| Bearing { cap, room: self.room(cap, now), owner: Owner::Group(self), now };
        self.rules.caps.iter().map(one).collect()
    }
}

impl<'s> Bearing<'s> {
    /// The group whose cap it is; none where it is the agent's own.
    pub fn group(&self) -> Option<&'s Group> {
        match self.owner {
            Owner::Agent(..) => None,
            Owner::Group(group) => Some(group),
        }
    }

    /// Whose cap it is, as answers say it.
    pub fn scope(&self) -> String {
        self.group().map_or("agent".to_owned(), |group| group.name.to_string())
    }

    /// Whether one payment of `asked` fits now.
    pub fn fits(&self, asked: Usd) -> bool {
        match self.cap.bound {
            Bound::Amount(_) => asked <= self.room.left,
            Bound::Count(_) => !self.room.left.is_zero(),
        }
    }

    /// How many payments of `asked` fit now, one after the other.
    pub fn calls(&self, asked: Usd) -> u64 {
        match self.cap.bound {
            Bound::Amount(_) => nanos(self.room.left).checked_div(nanos(asked)).unwrap_or(u64::MAX),
            Bound::Count(most) => {
                u64::from(most).saturating_sub(self.room.paid).saturating_sub(self.room.open)
            }
        }
    }

    /// What is captured and held under it: as much as the cap is on, or as many.
    pub fn spent(&self) -> Bound {
        match self.cap.bound {
            Bound::Amount(_) => Bound::Amount(self.room.used.saturating_plus(self.room.held)),
            Bound::Count(_) => {
                let spent = self.room.paid.saturating_add(self.room.open);
                Bound::Count(u32::try_from(spent).unwrap_or(u32::MAX))
            }
        }
    }

    /// How that stands to so much of the cap.
    pub(super) fn stands_to(&self, part: Percent) -> Ordering {
        part.compare(self.spent().number(), self.cap.bound.number())
    }

    /// When one payment of `asked` fits, as far as time alone brings that about.
    pub fn frees(&self, asked: Usd) -> Option<Timestamp> {
        match self.owner {
            Owner::Agent(book, run) => book.frees(self.cap, asked, run, self.now),
            Owner::Group(group) => group.frees(self.cap, asked, self.now),
        }
    }
}
