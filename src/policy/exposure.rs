//! The worst case: what agents can still spend if every cap is reached, in whole numbers.
//!
//! It is never less than what can be set aside with the catalogue as it is, and where nothing
//! bounds a time it says so. What is metered may come to more than was set aside for it: that is
//! taken all the same, and passes what is said here.
//!
//! Caps per run bound nothing, for whoever begins a run names it; nor does a limit per payment
//! alone, for nobody says how many there are. A cap on how many, a rate and a cooldown bound what
//! is spent together with that limit; caps on some services do where together they are on all that
//! the agent may pay. Hours at which nothing is paid are not taken off.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    book::{Book, Standing},
    cap::{Bound, Cap},
    group::Group,
    money::Usd,
    names::{GroupId, Handle},
    planted::{self, Bug},
    rooms::{Room, Spender},
    state::State,
    tally::nanos,
    window::{Hours, Period, Window, Zone},
};

const HOUR: i64 = 60 * 60;

/// Up to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The end of the agent's window of a period of the calendar.
    End(Period),
    /// The end of its mandate, or for ever.
    Expiry,
}

/// From when to when, and whose days they are.
#[derive(Clone, Copy, Debug)]
struct Time<'a> {
    now: Timestamp,
    /// Nothing for ever.
    end: Option<Timestamp>,
    zone: &'a Zone,
}

impl State {
    /// As much of it as a worst case is worked out on: of one agent, or of all.
    #[must_use]
    pub fn for_exposure(&self, agent: Option<&Handle>) -> Self {
        let named = |book: &&Book| agent.is_none_or(|agent| book.handle == *agent);
        let bare = |book: &Book| Book { tasks: book.tasks.clone(), ..book.without_parts() };
        let mut excerpt = Self::default();
        let books = self.books().filter(named).map(bare);
        excerpt.books = books.map(|book| (book.handle.clone(), book)).collect();
        excerpt.services.clone_from(&self.services);
        excerpt.groups.clone_from(&self.groups);
        excerpt.now = self.now;
        excerpt
    }
}

/// What an agent can still spend from now on, what is held included; nothing where nothing bounds
/// it.
pub fn at_most(state: &State, book: &Book, until: Until, now: Timestamp) -> Option<Usd> {
    let more = if may(book, now) {
        let time = Time { now, end: end(book, until, now), zone: &book.mandate.zone };
        more(state, &state.spender_of(book), time)?
    } else {
        Usd::ZERO
    };
    Some(book.held.saturating_plus(more))
}

/// What all of `books`, of which `each` can spend so much, can spend together: their groups bound
/// them too.
pub fn together(
    state: &State,
    each: &[(&Book, Option<Usd>)],
    until: Until,
    now: Timestamp,
) -> Option<Usd> {
    let mut pots: BTreeMap<Option<&GroupId>, Pot> = BTreeMap::new();
    for (book, most) in each {
        let pot = Pot::of(book, *most, until, now);
        pots.entry(book.mandate.group.as_ref()).or_default().add(pot);
    }
    // From the deepest groups upwards, so that what comes from below is there.
    let mut groups: Vec<&Group> = state.groups().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(state.chain(Some(&group.name)).len()));
    for group in groups {
        let Some(pot) = pots.remove(&Some(&group.name)) else { continue };
        pots.entry(group.rules.parent.as_ref()).or_default().add(pot.within(group, now));
    }
    pots.into_values().try_fold(Usd::ZERO, |all, pot| Some(all.saturating_plus(pot.most?)))
}

/// What some agents can spend together.
#[derive(Clone, Copy, Debug)]
struct Pot {
    /// All of it, what is held included; nothing where nothing bounds it.
    most: Option<Usd>,
    held: Usd,
    /// The dearest that one payment may be, where each has a limit.
    call: Option<Usd>,
    /// Until when the last of them may pay.
    end: Option<Timestamp>,
    /// Whether anybody of them may.
    may: bool,
}

impl Default for Pot {
    fn default() -> Self {
        let (most, call, end) = (Some(Usd::ZERO), Some(Usd::ZERO), Some(Timestamp::MIN));
        Self { most, held: Usd::ZERO, call, end, may: false }
    }
}

impl Pot {
    fn of(book: &Book, most: Option<Usd>, until: Until, now: Timestamp) -> Self {
        if !may(book, now) {
            return Self { most, held: book.held, ..Self::default() };
        }
        let (held, call) = (book.held, book.mandate.highest_limit());
        Self { most, held, call, end: end(book, until, now), may: true }
    }

    fn add(&mut self, other: Self) {
        self.most = self.most.zip(other.most).map(|(one, more)| one.saturating_plus(more));
        self.held = self.held.saturating_plus(other.held);
        self.call = self.call.zip(other.call).map(|(one, other)| one.max(other));
        self.end = self.end.zip(other.end).map(|(one, other)| one.max(other));
        self.may |= other.may;
    }

    /// The same where `group` is above all of them.
    fn within(self, group: &Group, now: Timestamp) -> Self {
        if !self.may {
            return self;
        }
        let time = Time { now, end: self.end, zone: &group.rules.zone };
        let caps = group.rules.caps.iter().filter(|cap| cap.on.is_all());
        let caps = caps.filter_map(|cap| under(cap, group.room(cap, now), self.call, time));
        let caps = caps.map(|more| self.held.saturating_plus(more));
        Self { most: self.most.into_iter().chain(caps).min(), ..self }
    }
}

/// Whether an agent may pay at all by now.
fn may(book: &Book, now: Timestamp) -> bool {
    book.standing == Standing::Active && book.mandate.expires_at.is_none_or(|at| now < at)
}

/// Until when it is asked of an agent.
fn end(book: &Book, until: Until, now: Timestamp) -> Option<Timestamp> {
    let end = match until {
        Until::End(period) => book.room(&Cap::of(period, Usd::MAX), None, now).resets_at,
        Until::Expiry => None,
    };
    match (end, book.mandate.expires_at) {
        (Some(end), Some(expires)) => Some(end.min(expires)),
        (end, expires) => end.or(expires),
    }
}

/// What an agent that may pay can set aside.
fn more(state: &State, spender: &Spender<'_>, time: Time<'_>) -> Option<Usd> {
    let book = spender.book;
    let call = book.mandate.highest_limit();
    let all = spender.caps(None, time.now);
    let each: Vec<(&Cap, Option<Usd>)> = all
        .iter()
        .map(|bearing| {
            let zone = bearing.group().map_or(time.zone, |group| &group.rules.zone);
            (bearing.cap, under(bearing.cap, bearing.room, call, Time { zone, ..time }))
        })
        .collect();
    let on_all = each.iter().filter(|(cap, _)| cap.on.is_all()).filter_map(|(_, most)| *most);
    let bounds = on_all.chain(book.funds()).chain(parts(state, book, &each));
    bounds.chain(paces(book, time)).min()
}

/// What the caps on some services leave, where all that the agent may pay is under one of them.
fn parts(state: &State, book: &Book, each: &[(&Cap, Option<Usd>)]) -> Option<Usd> {
    let mut narrow: Vec<(&Cap, Usd)> = each
        .iter()
        .filter(|(cap, _)| !cap.on.is_all())
        .filter_map(|(cap, most)| Some((*cap, (*most)?)))
        .collect();
    if narrow.is_empty() {
        return None;
    }
    narrow.sort_by_key(|(_, most)| *most);
    let mut taken = BTreeSet::new();
    for service in state.services().filter(|service| book.mandate.allows(&service.id)) {
        // The least of those that are on it; each counts once, whatever else it is on.
        taken.insert(narrow.iter().position(|(cap, _)| cap.covers(service))?);
    }
    let taken = narrow.iter().enumerate().filter(|(nth, _)| taken.contains(nth));
    Some(taken.fold(Usd::ZERO, |all, (_, (_, most))| all.saturating_plus(*most)))
}

/// What rates and a cooldown leave, where a limit says how much one payment may be.
fn paces(book: &Book, time: Time<'_>) -> Option<Usd> {
    let (call, end) = (book.mandate.highest_limit()?, time.end?);
    let turns = |seconds: u32, count: u32| {
        let calls = i64::from(turns(i64::from(seconds), end, time.now));
        times(call, calls.saturating_mul(i64::from(count)))
    };
    let rates = book.mandate.rates.iter();
    let rates = rates.filter_map(|rate| turns(rate.span.seconds(), rate.count));
    rates.chain(book.mandate.cooldown.and_then(|span| turns(span.seconds(), 1))).min()
}

/// What one cap leaves, if it bounds that; where it is on how many, of so much at the most each.
fn under(cap: &Cap, room: Room, call: Option<Usd>, time: Time<'_>) -> Option<Usd> {
    let (left, most) = match cap.bound {
        Bound::Amount(most) => (nanos(room.left), nanos(most)),
        Bound::Count(most) => {
            let most = u64::from(most);
            (most.saturating_sub(room.paid).saturating_sub(room.open), most)
        }
    };
    let several = |turns: u32| most.saturating_mul(u64::from(turns));
    let units = match cap.period {
        // Another run, or another task, begins anew.
        Period::Run | Period::Task => return None,
        Period::Lifetime => left,
        Period::Rolling(hours) => {
            let frees = room.resets_at.is_some_and(|at| time.end.is_none_or(|end| at < end));
            let turns = turns(seconds(hours), time.end?, time.now);
            if frees || turns > 1 { several(turns) } else { left }
        }
        Period::Hour | Period::Day | Period::Week | Period::Month => {
            let (end, from) = (time.end?, room.resets_at);
            let windows = from.map_or(0, |from| Window::count(cap.period, time.zone, from, end));
            let windows = windows.saturating_sub(u32::from(planted::is(Bug::ExposureWindowShort)));
            left.saturating_add(several(windows))
        }
    };
    let units = i64::try_from(units).ok()?;
    match cap.bound {
        Bound::Amount(_) => Usd::try_from(units).ok(),
        Bound::Count(_) => times(call?, units),
    }
}

fn seconds(hours: Hours) -> i64 {
    hours.get().saturating_mul(HOUR)
}

/// How often so many seconds begin from now to `end`: within each no more than the cap is spent.
fn turns(span: i64, end: Timestamp, now: Timestamp) -> u32 {
    let begun = end.as_microsecond() > now.as_microsecond();
    // One that begins at the end begins after it.
    let last = Timestamp::from_microsecond(end.as_microsecond().saturating_sub(1)).unwrap_or(end);
    if begun { spans(last, now, span).saturating_add(1) } else { 0 }
}

/// How many whole spans of so many seconds there are from one time to another.
fn spans(end: Timestamp, from: Timestamp, span: i64) -> u32 {
    let micros = end.as_microsecond().saturating_sub(from.as_microsecond()).max(0);
    let spans = micros.checked_div(span.saturating_mul(1_000_000));
    u32::try_from(spans.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// An amount so many times; nothing where that is more than can be written down.
fn times(amount: Usd, count: i64) -> Option<Usd> {
    amount.nanos().checked_mul(count).and_then(|nanos| Usd::try_from(nanos).ok())
}
