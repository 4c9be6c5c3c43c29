//! The second opinion on caps: what each counts, payment by payment.

use super::{CALENDAR, DAY, Fate, Kind, MOST, Model, Payment};

/// Which payments a cap counts. Categories and payees are numbers here, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum On {
    All,
    Service(u8),
    Category(u8),
    Payee(u8),
    Type(u8),
}

/// A cap: so many nano-dollars, or so many payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) kind: Kind,
    pub(crate) on: On,
    pub(crate) counts: bool,
    pub(crate) most: i128,
}

impl Cap {
    /// What no two caps of one agent share.
    pub(crate) fn key(self) -> (Kind, On, bool) {
        (self.kind, self.on, self.counts)
    }

    /// What is left of it beside what was spent, and how often.
    pub(super) fn leaves(self, spent: i128, made: i128) -> i128 {
        if !self.counts {
            (self.most - spent).max(0)
        } else if made < self.most {
            MOST
        } else {
            0
        }
    }

    /// Whether one payment fits into an empty window.
    pub(crate) fn could_bear(self, cost: i128) -> bool {
        if self.counts { self.most > 0 } else { cost <= self.most }
    }
}

/// A service of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) price: Option<i128>,
    pub(crate) payee: u8,
    pub(crate) category: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    pub(crate) used: i128,
    pub(crate) held: i128,
    pub(crate) left: i128,
    pub(crate) resets: Option<i64>,
    pub(crate) paid: i128,
    pub(crate) open: i128,
}

impl On {
    pub(crate) fn covers(self, id: u8, service: &Service, task_type: Option<u8>) -> bool {
        match self {
            On::All => true,
            On::Service(service) => service == id,
            On::Category(category) => service.category == Some(category),
            On::Payee(payee) => service.payee == payee,
            On::Type(kind) => task_type == Some(kind),
        }
    }
}

impl Payment {
    pub(super) fn is_on(&self, on: On) -> bool {
        on.covers(self.asked.service, &self.was, self.task_type)
    }

    /// How much of it counts under a cap.
    fn weighs(&self, cap: Cap) -> i128 {
        if cap.counts {
            i128::from(self.is_open() || self.fate == Fate::Captured)
        } else {
            self.held() + self.taken - self.back
        }
    }
}

impl Model {
    /// What counts under a cap now, payment by payment.
    fn counted(&self, agent: u8, cap: Cap, run: Option<u8>) -> Vec<&Payment> {
        let (book, kind, on) = (&self.agents[&agent], cap.kind, cap.on);
        let since = |of: Option<Kind>| book.since[&(on, of)];
        let all = self.theirs(agent).filter(|(_, payment)| payment.is_on(on));
        let from = |number: usize| on == On::All || number >= since(None);
        match kind {
            Kind::Lifetime => all.filter(|(n, _)| from(*n)).map(|(_, payment)| payment).collect(),
            Kind::Task => Vec::new(),
            Kind::Run => {
                let of_run = self.run(agent, run, self.window(agent, Kind::Day).0);
                let Some(began) = of_run else { return Vec::new() };
                let same = all.filter(|(n, payment)| {
                    let from = on == On::All || *n >= since(Some(Kind::Run));
                    payment.run_began == began && from
                });
                same.map(|(_, payment)| payment).collect()
            }
            Kind::Rolling(hours) => {
                let now = bucket(self.now(), hours);
                let since = since(Some(kind));
                let recent = |payment: &Payment| bucket(payment.placed, hours) >= now - 60;
                let those = all.filter(|(number, payment)| *number >= since && recent(payment));
                those.map(|(_, payment)| payment).collect()
            }
            Kind::Hour | Kind::Day | Kind::Week | Kind::Month => {
                let start = self.window(agent, kind).0;
                let place = CALENDAR.iter().position(|other| *other == kind).unwrap();
                let same = all.filter(|(n, payment)| payment.opened[place] == start && from(*n));
                same.map(|(_, payment)| payment).collect()
            }
        }
    }

    /// The payment that began the run that still goes on, if one does: without a name, the day's.
    pub(super) fn run(&self, agent: u8, run: Option<u8>, day: i64) -> Option<usize> {
        let since = *self.agents[&agent].since.get(&(On::All, Some(Kind::Run)))?;
        let in_run = |payment: &Payment| {
            payment.asked.run == run && (run.is_some() || payment.opened[1] == day)
        };
        let mut paid = self.theirs(agent).filter(|(n, p)| *n >= since && in_run(p));
        let (_, last) = paid.next_back()?;
        let same: Vec<&Payment> =
            self.theirs(agent).map(|(_, p)| p).filter(|p| p.run_began == last.run_began).collect();
        let goes_on = same.iter().any(|p| p.is_open()) || self.now() - last.placed < 30 * DAY;
        goes_on.then_some(last.run_began)
    }

    /// What is left under a cap, and when time alone gives more.
    pub(crate) fn room(&self, agent: u8, cap: Cap, run: Option<u8>) -> Room {
        let counted = self.counted(agent, cap, run);
        room_of(&counted, cap, || match cap.kind {
            Kind::Run => run.is_none().then(|| self.window(agent, Kind::Day).1),
            _ => Some(self.window(agent, cap.kind).1),
        })
    }

    /// When `asked` fits under a cap that it does not fit under now.
    pub(super) fn fits(&self, agent: u8, cap: Cap, asked: i128, run: Option<u8>) -> Option<i64> {
        if !matches!(cap.kind, Kind::Rolling(_)) {
            return self.room(agent, cap, run).resets;
        }
        fits_beside(&self.counted(agent, cap, run), cap, asked)
    }

    /// Caps over hours, per run, and on some payments count from the moment they are set.
    pub(super) fn count_anew(&mut self, agent: u8) {
        let payments = self.payments.len();
        let book = self.agents.get_mut(&agent).unwrap();
        let mut kept = Vec::new();
        for cap in book.terms.caps.iter().chain(&book.terms.shadow) {
            let from_now = matches!(cap.kind, Kind::Run | Kind::Rolling(_));
            kept.extend(from_now.then_some((cap.on, Some(cap.kind))));
            kept.extend((cap.on != On::All).then_some((cap.on, None)));
            // Runs are told apart as soon as one cap is on them.
            kept.extend((cap.kind == Kind::Run).then_some((On::All, Some(Kind::Run))));
        }
        book.since.retain(|what, _| kept.contains(what));
        for what in kept {
            book.since.entry(what).or_insert(payments);
        }
    }
}

/// What is left beside what counts under a cap; `ends` says when its window does.
pub(super) fn room_of(counted: &[&Payment], cap: Cap, ends: impl FnOnce() -> Option<i64>) -> Room {
    let held: i128 = counted.iter().map(|payment| payment.held()).sum();
    let used: i128 = counted.iter().map(|payment| payment.taken - payment.back).sum();
    let open = counted.iter().filter(|payment| payment.is_open()).count() as i128;
    let paid = counted.iter().filter(|payment| payment.fate == Fate::Captured).count() as i128;
    let resets = match cap.kind {
        Kind::Lifetime | Kind::Task => None,
        Kind::Rolling(hours) => {
            let costly = counted.iter().filter(|payment| payment.weighs(cap) > 0);
            costly.map(|payment| leaves(payment, hours)).min()
        }
        Kind::Hour | Kind::Day | Kind::Week | Kind::Month | Kind::Run => ends(),
    };
    let left = cap.leaves(used + held, paid + open);
    Room { used, held, left, resets, paid, open }
}

/// When `asked` fits into a rolling window beside what counts in it.
pub(super) fn fits_beside(counted: &[&Payment], cap: Cap, asked: i128) -> Option<i64> {
    let Kind::Rolling(hours) = cap.kind else { return None };
    let mut moments: Vec<i64> = counted.iter().map(|p| leaves(p, hours)).collect();
    moments.sort_unstable();
    let more = if cap.counts { 1 } else { asked };
    moments.into_iter().find(|moment| {
        let stays = counted.iter().filter(|p| leaves(p, hours) > *moment);
        stays.map(|p| p.weighs(cap)).sum::<i128>() + more <= cap.most
    })
}

/// The stretch of a sixtieth of so many hours that a moment lies in.
pub(super) fn bucket(at: i64, hours: i64) -> i64 {
    at.div_euclid(60 * hours)
}

/// When a payment no longer counts in the last so many hours.
fn leaves(payment: &Payment, hours: i64) -> i64 {
    (bucket(payment.placed, hours) + 61) * 60 * hours
}
