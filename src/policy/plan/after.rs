//! What there is once a policy is applied: what it says, and where it says nothing what is there.

use std::{borrow::Cow, collections::BTreeMap};

use crate::policy::{
    cap::Cap,
    group::{Above, MAX_DEPTH},
    mandate::Service,
    names::{GroupId, ServiceId},
    state::State,
    terms::{CapText, PolicyTerms},
    window::{Period, Zone},
};

/// A state in the light of a policy.
#[derive(Clone, Copy)]
pub(super) struct After<'a> {
    pub(super) state: &'a State,
    pub(super) policy: &'a PolicyTerms,
}

impl<'a> After<'a> {
    /// What stands above a group.
    pub(super) fn above(self, name: &GroupId) -> Above<'a> {
        let ours = self.policy.groups.get(name).map(|terms| Above::of(terms.parent.as_ref()));
        let there = || self.state.group(name).map(|group| Above::of(group.rules.parent.as_ref()));
        ours.or_else(there).unwrap_or(Above::Unknown)
    }

    /// A group and those above it, the nearest first.
    pub(super) fn chain(self, group: Option<&'a GroupId>) -> Vec<&'a GroupId> {
        let upwards = std::iter::successors(group, |one| self.above(one).group());
        upwards.take(MAX_DEPTH).collect()
    }

    /// The caps of a group.
    pub(super) fn caps(self, group: &GroupId) -> Vec<&'a Cap> {
        if let Some(terms) = self.policy.groups.get(group) {
            return terms.caps.iter().map(|CapText(cap)| cap).collect();
        }
        self.state.group(group).map(|group| group.rules.caps.iter().collect()).unwrap_or_default()
    }

    /// The caps of these groups, each with whose it is.
    pub(super) fn caps_of(self, chain: &[&'a GroupId]) -> Vec<(&'a GroupId, &'a Cap)> {
        let caps = |group: &&'a GroupId| {
            let group: &'a GroupId = group;
            self.caps(group).into_iter().map(move |cap| (group, cap))
        };
        chain.iter().flat_map(caps).collect()
    }

    /// The zone of a group's caps.
    pub(super) fn zone(self, group: &GroupId) -> Option<Cow<'a, Zone>> {
        if let Some(terms) = self.policy.groups.get(group) {
            return Some(Cow::Owned(terms.zone(&self.policy.defaults)));
        }
        self.state.group(group).map(|group| Cow::Borrowed(&group.rules.zone))
    }

    /// The caps of these groups whose windows are those of a cap in `zone`: days that begin
    /// elsewhere are other days, of which each may have its turn.
    pub(super) fn caps_as_in(
        self,
        zone: &Zone,
        chain: &[&'a GroupId],
    ) -> Vec<(&'a GroupId, &'a Cap)> {
        let mut caps = self.caps_of(chain);
        caps.retain(|(group, cap)| match cap.period {
            Period::Rolling(_) | Period::Lifetime | Period::Task => true,
            Period::Hour | Period::Day | Period::Week | Period::Month | Period::Run => {
                self.zone(group).is_some_and(|theirs| *theirs == *zone)
            }
        });
        caps
    }

    /// Every service.
    pub(super) fn services(self) -> impl Iterator<Item = Cow<'a, Service>> {
        let ours = self.policy.services.iter();
        let ours = ours.map(|(id, terms)| Cow::Owned(terms.service(id)));
        let kept = move |service: &&Service| !self.policy.services.contains_key(&service.id);
        ours.chain(self.state.services().filter(kept).map(Cow::Borrowed))
    }

    /// Those without a price.
    pub(super) fn unpriced(self) -> BTreeMap<ServiceId, Service> {
        let unpriced = self.services().filter(|service| service.least_price().is_none());
        unpriced.map(|service| (service.id.clone(), service.into_owned())).collect()
    }

    /// One service.
    pub(super) fn service(self, id: &ServiceId) -> Option<Cow<'a, Service>> {
        let ours = self.policy.services.get(id).map(|terms| Cow::Owned(terms.service(id)));
        ours.or_else(|| self.state.service(id).map(Cow::Borrowed))
    }
}

/// The lowest of `caps` below which `cap` never comes to bear: the nearest of those that are equal.
pub(super) fn tighter<'a>(
    cap: &Cap,
    caps: &[(&'a GroupId, &'a Cap)],
) -> Option<(&'a GroupId, &'a Cap)> {
    let before = caps.iter().filter(|(_, one)| one.comes_before(cap));
    before.min_by_key(|(_, one)| one.bound).copied()
}
