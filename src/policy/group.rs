//! Groups: caps that several agents share. A payment counts in every group above whoever pays.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    calendar::Calendar,
    cap::{Aim, Cap, Dimension},
    counter::{Counter, Place, follow, hold, refund, roll, settle},
    documents::DocKey,
    entry::{Draft, Fact, Hold, Moved, Windows},
    mandate::{MandateError, check_caps},
    money::Usd,
    names::{GroupId, PaymentId},
    operate::{Act, OperateError, operator},
    planted::{self, Bug},
    rooms::{Room, bearable, spent_under},
    state::State,
    tally::Sums,
    window::{Period, Window, Zone},
};

/// How many groups may stand one above the other.
pub const MAX_DEPTH: usize = 8;
/// How many groups there may be in all: a new one takes no proof, and each is kept in memory.
pub const MAX_GROUPS: usize = 10_000;
/// The name that no group may have: answers call the agent's own caps so.
pub const RESERVED: &str = "agent";

/// What an operator says of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRules {
    /// Bounds on what all agents below it spend together.
    pub caps: Vec<Cap>,
    /// The group above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<GroupId>,
    /// The zone whose hours, days, weeks and months the caps mean.
    pub zone: Zone,
}

/// What happened to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupFact {
    /// It was made, or given other rules.
    Set {
        /// Its name.
        group: GroupId,
        /// What holds for it now.
        rules: Box<GroupRules>,
        /// Where the time zone changed: until when the windows that are open stay so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Moved>,
    },
    /// There is none of that name any more.
    Removed {
        /// Its name.
        group: GroupId,
    },
}

impl GroupFact {
    /// The group's name.
    pub fn group(&self) -> &GroupId {
        match self {
            Self::Set { group, .. } | Self::Removed { group } => group,
        }
    }
}

/// A group that a payment counts in, and the windows it counts in there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InGroup {
    /// The group.
    pub group: GroupId,
    /// The windows, in the group's zone.
    pub windows: Windows,
}

/// The present state of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupId,
    /// What holds for it.
    pub rules: GroupRules,
    /// The last change of the time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// The sums of all payments since it was made.
    pub whole: Counter,
    /// The sums of some payments, where a cap is on those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<Dimension, Counter>,
}

impl GroupRules {
    /// Checks what the types cannot, and what takes no other group to know.
    ///
    /// # Errors
    /// As of a mandate's caps.
    pub fn check(&self) -> Result<(), MandateError> {
        if self.caps.iter().any(|cap| cap.period == Period::Run) {
            return Err(MandateError::RunOfGroup);
        }
        if self.caps.iter().any(|cap| cap.period == Period::Task) {
            return Err(MandateError::TaskOfGroup);
        }
        check_caps(&self.caps)
    }
}

impl Group {
    fn calendar(&self) -> Calendar<'_> {
        let rolls = self.rules.caps.iter().any(|cap| matches!(cap.period, Period::Rolling(_)));
        let (zone, moved, tallies) = (&self.rules.zone, self.moved, &self.whole.tallies);
        Calendar { zone, moved, tallies, rolls }
    }

    /// The ids of the windows that a payment placed at `now` counts in.
    pub fn windows(&self, now: Timestamp) -> Windows {
        self.calendar().windows(now)
    }

    /// What a change to `zone` means for the windows that are open at `now`.
    pub(super) fn moved_to(&self, zone: &Zone, now: Timestamp) -> Moved {
        self.calendar().moved_to(zone, now)
    }

    fn window(&self, period: Period, now: Timestamp) -> Window {
        self.calendar().window(period, now)
    }

    fn counter(&self, on: &Dimension) -> Option<&Counter> {
        if on.is_all() { Some(&self.whole) } else { self.parts.get(on) }
    }

    /// What is used, held and left under `cap` at `now`.
    pub fn room(&self, cap: &Cap, now: Timestamp) -> Room {
        let window = || self.window(cap.period, now);
        let (sums, resets_at) = self.counter(&cap.on).map_or_else(
            || (Sums::default(), None),
            |counter| spent_under((&counter.tallies, &counter.rolling), cap, window, now),
        );
        Room::under(cap, sums, resets_at)
    }

    /// When `asked` would have room under `cap`, as far as time alone brings that about.
    pub fn frees(&self, cap: &Cap, asked: Usd, now: Timestamp) -> Option<Timestamp> {
        let Period::Rolling(hours) = cap.period else { return self.room(cap, now).resets_at };
        let rolling = &self.counter(&cap.on)?.rolling;
        rolling.get(&hours)?.frees(hours, bearable(cap, asked)?, now)
    }

    /// Whether what `cap` bounds is counted already.
    pub fn counts(&self, cap: &Cap) -> bool {
        self.counter(&cap.on).is_some_and(|counter| counter.counts(cap.period))
    }

    /// The group as it would be with other rules set at `now`.
    #[must_use]
    pub fn with_rules(&self, rules: &GroupRules, now: Timestamp) -> Self {
        let mut group = self.clone();
        let moved = (rules.zone != self.rules.zone).then(|| self.moved_to(&rules.zone, now));
        // What is not counted yet is not counted by then either.
        group.set(rules, moved, u64::MAX);
        group
    }

    fn set(&mut self, rules: &GroupRules, moved: Option<Moved>, position: u64) {
        self.rules = rules.clone();
        self.moved = moved.or(self.moved);
        roll(&mut self.whole.rolling, &rules.caps, &Dimension::Agent, position);
        follow(&mut self.parts, &rules.caps, position);
    }

    /// The journal position from which on all of its sums count.
    pub(super) fn counts_since(&self) -> u64 {
        let counters = self.parts.values().chain([&self.whole]);
        let since = counters.flat_map(|counter| {
            let rolling = counter.rolling.values().map(|rolling| rolling.since);
            rolling.chain([counter.since])
        });
        since.max().unwrap_or_default()
    }

    /// Counts so many payments at once as held, which come to `amount` together.
    pub(super) fn hold_many(&mut self, (amount, many): (Usd, u32), placed: &Hold) {
        let Some(there) = placed.groups.iter().find(|there| there.group == self.name) else {
            return;
        };
        let (payment, aim) = (placed.payment, Some(Aim::from(placed)));
        let more = u64::from(many).saturating_sub(1);
        self.each_sum(&Place { payment, windows: &there.windows, aim }, |sums| {
            hold(sums, amount);
            sums.open = sums.open.saturating_add(more);
        });
    }

    fn each_sum(&mut self, place: &Place<'_>, mut change: impl FnMut(&mut Sums)) {
        if place.payment.position() <= self.whole.since {
            // A group of that name that is no more.
            return;
        }
        self.whole.each_sum(place, &mut change);
        let parts = self.parts.iter_mut().filter(|(on, _)| place.is_on(on));
        parts.for_each(|(_, counter)| counter.each_sum(place, &mut change));
    }
}

impl State {
    /// A group.
    pub fn group(&self, name: &GroupId) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Every group, by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group and those above it, the nearest first.
    pub fn chain(&self, group: Option<&GroupId>) -> Vec<&Group> {
        let mut chain = Vec::new();
        let mut next = group.and_then(|name| self.groups.get(name));
        while let Some(group) = next.filter(|_| chain.len() < MAX_DEPTH) {
            chain.push(group);
            next = group.rules.parent.as_ref().and_then(|name| self.groups.get(name));
            if planted::is(Bug::OnlyTheNearestGroup) {
                next = None;
            }
        }
        chain
    }

    /// Folds in what happened to a group, by the entry at `position`.
    pub(super) fn fold_group(&mut self, fact: &GroupFact, position: u64) {
        self.touched.insert(DocKey::Group(fact.group().clone()));
        match fact {
            GroupFact::Removed { group } => drop(self.groups.remove(group)),
            GroupFact::Set { group: name, rules, moved } => {
                let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
                    name: name.clone(),
                    rules: (**rules).clone(),
                    moved: None,
                    whole: Counter::since(position),
                    parts: BTreeMap::new(),
                });
                group.set(rules, *moved, position);
            }
        }
    }

    /// What a fact of an agent's means for the groups that its payment counts in.
    pub(super) fn count_in_groups(&mut self, fact: &Fact) {
        if let Fact::Held(held) = fact {
            self.in_each(held, |sums| hold(sums, held.amount));
        } else if let Fact::Paid(paid) = fact {
            self.in_each(paid, |sums| hold(sums, paid.amount));
            self.in_each(paid, |sums| settle(sums, paid.amount, Some(paid.amount)));
        } else if let Fact::Refunded { payment, amount, by: Some(by), .. } = fact {
            let aim = Aim::from(&**by);
            self.in_all(*payment, aim, &by.groups, |sums| refund(sums, *amount));
        } else if let Some(open) = fact.ends().and_then(|payment| self.open.get(&payment)) {
            let held = open.hold.clone();
            let taken = if let Fact::Captured { amount, .. } = fact { Some(*amount) } else { None };
            if !planted::is(Bug::GroupKeepsHold) {
                self.in_each(&held, |sums| settle(sums, held.amount, taken));
            }
        }
    }

    fn in_each(&mut self, hold: &Hold, change: impl FnMut(&mut Sums)) {
        self.in_all(hold.payment, Aim::from(hold), &hold.groups, change);
    }

    fn in_all(
        &mut self,
        payment: PaymentId,
        aim: Aim<'_>,
        groups: &[InGroup],
        mut change: impl FnMut(&mut Sums),
    ) {
        for InGroup { group, windows } in groups {
            if let Some(group) = self.groups.get_mut(group) {
                self.touched.insert(DocKey::Group(group.name.clone()));
                let place = Place { payment, windows, aim: Some(aim) };
                group.each_sum(&place, &mut change);
            }
        }
    }
}

/// Why a group cannot be below another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Nobody is called so.
    #[error("there is no group `{0}`")]
    Unknown(GroupId),
    /// It would be above itself.
    #[error("the group `{0}` would be above itself")]
    Circle(GroupId),
    /// More than a payment is held against.
    #[error("more than 8 groups would stand one above the other")]
    TooDeep,
}

/// What stands above a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above<'g> {
    /// There is no such group.
    Unknown,
    /// Nothing: it is at the top.
    Nothing,
    /// This group.
    Group(&'g GroupId),
}

impl<'g> Above<'g> {
    /// What is above a group with this parent.
    pub fn of(parent: Option<&'g GroupId>) -> Self {
        parent.map_or(Self::Nothing, Self::Group)
    }

    /// The group, if there is one.
    pub fn group(self) -> Option<&'g GroupId> {
        match self {
            Self::Unknown | Self::Nothing => None,
            Self::Group(group) => Some(group),
        }
    }
}

/// Whether the groups from `group` upwards have an end, where `above` says what is above each.
///
/// # Errors
/// If one is not there, is above itself, or there are too many.
pub fn check_chain<'g>(
    group: &'g GroupId,
    above: impl Fn(&GroupId) -> Above<'g>,
) -> Result<(), ChainError> {
    let mut seen: Vec<&GroupId> = Vec::new();
    let mut next = Some(group);
    while let Some(name) = next {
        if seen.contains(&name) {
            return Err(ChainError::Circle(name.clone()));
        }
        if seen.len() >= MAX_DEPTH {
            return Err(ChainError::TooDeep);
        }
        seen.push(name);
        next = match above(name) {
            Above::Unknown => return Err(ChainError::Unknown(name.clone())),
            Above::Nothing => None,
            Above::Group(group) => Some(group),
        };
    }
    Ok(())
}

/// The fact that gives a group these rules; nothing where it has them.
pub(super) fn set_group(
    state: &State,
    group: &GroupId,
    rules: &GroupRules,
    now: Timestamp,
) -> Option<Draft> {
    let present = state.group(group);
    if present.is_some_and(|present| present.rules == *rules) {
        return None;
    }
    let elsewhere = present.filter(|present| present.rules.zone != rules.zone);
    let moved = elsewhere.map(|present| present.moved_to(&rules.zone, now));
    let rules = Box::new(rules.clone());
    Some(operator(None, Fact::Group(GroupFact::Set { group: group.clone(), rules, moved })))
}

/// Takes a group away.
///
/// # Errors
/// If it is not there, or an agent that is not revoked or another group is in it.
pub fn remove_group(state: &State, group: &GroupId) -> Result<Act, OperateError> {
    if state.group(group).is_none() {
        return Err(OperateError::UnknownGroup(group.clone()));
    }
    let agents = state.books().filter(|book| !book.is_revoked());
    let agents = agents.filter(|book| book.mandate.group.as_ref() == Some(group)).count();
    let groups = state.groups().filter(|one| one.rules.parent.as_ref() == Some(group)).count();
    if agents > 0 || groups > 0 {
        return Err(OperateError::GroupInUse { group: group.clone(), agents, groups });
    }
    Ok(Act::Write(vec![operator(None, Fact::Group(GroupFact::Removed { group: group.clone() }))]))
}
