//! The second opinion on groups: what counts in each, payment by payment.

use std::collections::BTreeMap;

use super::{
    CALENDAR, Cap, Kind, Model, On, Payment, Room,
    caps::{bucket, fits_beside, room_of},
    operator::Done,
};

/// How many groups may stand one above the other.
const DEEP: usize = 8;

/// What is said of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupTerms {
    pub(crate) caps: Vec<Cap>,
    pub(crate) parent: Option<u8>,
    pub(crate) zone: &'static str,
}

#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) terms: GroupTerms,
    /// How many payments there were when it was made.
    born: usize,
    kept: Option<[(i64, i64); 4]>,
    /// How many payments there were when something began to be counted.
    since: BTreeMap<(On, Option<Kind>), usize>,
}

impl Model {
    /// The groups above an agent, the nearest first.
    fn above(&self, agent: u8) -> Vec<u8> {
        let mut chain = Vec::new();
        let mut next = self.agents[&agent].terms.group;
        while let Some(group) = next.filter(|group| self.groups.contains_key(group)) {
            chain.push(group);
            next = self.groups[&group].terms.parent;
        }
        chain
    }

    /// Every cap of every group above an agent.
    pub(crate) fn shared(&self, agent: u8) -> Vec<(u8, Cap)> {
        let caps = |group: u8| {
            self.groups[&group].terms.caps.iter().map(move |cap| (group, *cap)).collect::<Vec<_>>()
        };
        self.above(agent).into_iter().flat_map(caps).collect()
    }

    /// Where a payment of an agent's counts if it is placed now.
    pub(super) fn places(&self, agent: u8) -> Vec<(u8, [i64; 4])> {
        let opened = |group: u8| CALENDAR.map(|kind| self.group_window(group, kind).0);
        self.above(agent).into_iter().map(|group| (group, opened(group))).collect()
    }

    /// The window of a kind of the calendar that a group is in.
    fn group_window(&self, group: u8, kind: Kind) -> (i64, i64) {
        let Group { terms, kept, .. } = &self.groups[&group];
        let (start, end) = self.calendar.window(terms.zone, kind, self.now());
        let place = CALENDAR.iter().position(|other| *other == kind).unwrap();
        match kept {
            Some(kept) if self.now() < kept[place].1 => kept[place],
            Some(kept) => (start.max(kept[place].1), end),
            None => (start, end),
        }
    }

    fn counted_in(&self, group: u8, cap: Cap) -> Vec<&Payment> {
        let of = &self.groups[&group];
        let since = match (cap.on, cap.kind) {
            (On::All, Kind::Rolling(_)) => of.since[&(On::All, Some(cap.kind))],
            (On::All, _) => of.born,
            (on, Kind::Rolling(_)) => of.since[&(on, Some(cap.kind))],
            (on, _) => of.since[&(on, None)],
        };
        let counts = |payment: &Payment| {
            let opened = payment.groups.iter().find(|(name, _)| *name == group);
            let Some((_, opened)) = opened.filter(|_| payment.is_on(cap.on)) else { return false };
            match cap.kind {
                Kind::Lifetime => true,
                Kind::Run => unreachable!("a group has no runs"),
                Kind::Rolling(hours) => {
                    bucket(payment.placed, hours) >= bucket(self.now(), hours) - 60
                }
                kind => {
                    let place = CALENDAR.iter().position(|other| *other == kind).unwrap();
                    opened[place] == self.group_window(group, kind).0
                }
            }
        };
        self.payments.iter().skip(since.max(of.born)).filter(|payment| counts(payment)).collect()
    }

    pub(crate) fn room_in(&self, group: u8, cap: Cap) -> Room {
        room_of(&self.counted_in(group, cap), cap, || Some(self.group_window(group, cap.kind).1))
    }

    pub(super) fn fits_in(&self, group: u8, cap: Cap, asked: i128) -> Option<i64> {
        if !matches!(cap.kind, Kind::Rolling(_)) {
            return self.room_in(group, cap).resets;
        }
        fits_beside(&self.counted_in(group, cap), cap, asked)
    }

    /// Makes a group, or gives it other rules.
    pub(crate) fn set_group(&mut self, name: u8, terms: &GroupTerms) -> Done {
        let above = |group: u8| {
            if group == name {
                Some(terms.parent)
            } else {
                Some(self.groups.get(&group)?.terms.parent)
            }
        };
        for group in self.groups.keys().copied().chain([name]) {
            let (mut next, mut deep) = (Some(group), 0);
            while let Some(one) = next {
                deep += 1;
                next = above(one).filter(|_| deep <= DEEP).ok_or("chain")?;
            }
        }
        if self.groups.get(&name).is_some_and(|group| group.terms == *terms) {
            return Ok(false);
        }
        let moves = self.groups.get(&name).is_some_and(|group| group.terms.zone != terms.zone);
        let kept = moves.then(|| {
            CALENDAR.map(|kind| {
                let (start, end) = self.group_window(name, kind);
                let (before, after) = self.calendar.window(terms.zone, kind, end);
                let nearest = if after - end < end - before { after } else { before };
                (start, if nearest > self.now() { nearest } else { end })
            })
        });
        let payments = self.payments.len();
        let group = self.groups.entry(name).or_insert_with(|| Group {
            terms: terms.clone(),
            born: payments,
            kept: None,
            since: BTreeMap::new(),
        });
        group.terms = terms.clone();
        group.kept = kept.or(group.kept);
        let begins = |cap: &Cap| {
            let rolls = matches!(cap.kind, Kind::Rolling(_)).then_some((cap.on, Some(cap.kind)));
            let some = (cap.on != On::All).then_some((cap.on, None));
            [rolls, some].into_iter().flatten().collect::<Vec<_>>()
        };
        let named: Vec<_> = terms.caps.iter().flat_map(begins).collect();
        group.since.retain(|what, _| named.contains(what));
        for what in named {
            group.since.entry(what).or_insert(payments);
        }
        Ok(self.done())
    }

    /// Takes a group away that nobody is in.
    pub(crate) fn remove_group(&mut self, name: u8) -> Done {
        if !self.groups.contains_key(&name) {
            return Err("unknown_group");
        }
        let agents = self.agents.values().filter(|book| book.standing != super::Standing::Revoked);
        let below = self.groups.values().any(|group| group.terms.parent == Some(name));
        if below || agents.into_iter().any(|book| book.terms.group == Some(name)) {
            return Err("group_in_use");
        }
        self.groups.remove(&name);
        Ok(self.done())
    }
}
