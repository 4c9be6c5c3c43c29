//! Groups as operators write and read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AgentTerms, CapText};
use crate::policy::{
    answer::CapView,
    book::Book,
    change::Change,
    group::{Group, GroupRules},
    names::{GroupId, Handle},
    state::State,
    window::Zone,
};

/// What a document says of one group of agents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupTerms {
    /// Bounds on what all agents below it spend together; none unless said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapText>,
    /// The group above it, whose caps bound it too; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GroupId")]
    pub parent: Option<GroupId>,
    /// The zone whose hours, days, weeks and months the caps mean; that of the defaults, or UTC,
    /// unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Zone")]
    pub timezone: Option<Zone>,
}

impl GroupTerms {
    /// What holds for a group, all of it but what goes without saying.
    pub fn of(rules: &GroupRules) -> Self {
        Self {
            caps: rules.caps.iter().cloned().map(CapText).collect(),
            parent: rules.parent.clone(),
            timezone: (rules.zone != Zone::utc()).then(|| rules.zone.clone()),
        }
    }

    /// The rules, in the zone that `defaults` say where this says none; not yet checked.
    pub fn rules(&self, defaults: &AgentTerms) -> GroupRules {
        GroupRules {
            caps: self.caps.iter().map(|CapText(cap)| cap.clone()).collect(),
            parent: self.parent.clone(),
            zone: self.zone(defaults),
        }
    }
}

impl GroupTerms {
    /// The zone of its caps, which is that of the agents' unless said.
    pub fn zone(&self, defaults: &AgentTerms) -> Zone {
        let zone = self.timezone.as_ref().or(defaults.timezone.as_ref());
        zone.cloned().unwrap_or_else(Zone::utc)
    }
}

/// A group that is made or gets other rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupChange {
    /// Its name.
    pub group: GroupId,
    /// Whether there was none.
    pub created: bool,
    /// What differs.
    pub changes: Vec<Change>,
    /// What an operator should know of it.
    pub remarks: Vec<String>,
}

impl GroupChange {
    /// Whether those below it may do more than before; nobody is below a new one yet.
    pub fn loosens(&self) -> bool {
        !self.created && self.changes.iter().any(|change| change.loosens)
    }
}

/// A group as operators read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// Its name.
    pub group: GroupId,
    /// The group above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<GroupId>,
    /// The zone of its caps.
    pub timezone: Zone,
    /// Its caps, with what all agents below it have used and hold.
    pub caps: Vec<CapView>,
    /// The agents right below it that are not revoked.
    pub agents: Vec<Handle>,
    /// The groups right below it.
    pub groups: Vec<GroupId>,
}

impl GroupView {
    /// What `group` says at `now`.
    pub fn of(state: &State, group: &Group, now: Timestamp) -> Self {
        let name = &group.name;
        let below = state.groups().filter(|one| one.rules.parent.as_ref() == Some(name));
        let agents = state.books().filter(|book| book.mandate.group.as_ref() == Some(name));
        let agents = agents.filter(|book| !book.is_revoked());
        let agents = agents.map(|book| book.handle.clone()).collect();
        Self::with(group, agents, below.map(|group| group.name.clone()).collect(), now)
    }

    fn with(group: &Group, agents: Vec<Handle>, groups: Vec<GroupId>, now: Timestamp) -> Self {
        Self {
            group: group.name.clone(),
            parent: group.rules.parent.clone(),
            timezone: group.rules.zone.clone(),
            caps: group.bearing(now).iter().map(CapView::of).collect(),
            agents,
            groups,
        }
    }
}

/// Every group as it is, and who is in which: what it takes to say what they say, so that nobody
/// who pays waits for that.
#[derive(Debug)]
pub struct GroupRoll {
    groups: Vec<Group>,
    members: Vec<(GroupId, Handle)>,
    now: Timestamp,
}

impl GroupRoll {
    /// Takes it out of `state`.
    pub fn of(state: &State, now: Timestamp) -> Self {
        let books = state.books().filter(|book| !book.is_revoked());
        let member = |book: &Book| Some((book.mandate.group.clone()?, book.handle.clone()));
        let members = books.filter_map(member).collect();
        Self { groups: state.groups().cloned().collect(), members, now }
    }

    /// What they say.
    pub fn views(self) -> Groups {
        let Self { groups, members, now } = self;
        let mut agents: BTreeMap<GroupId, Vec<Handle>> = BTreeMap::new();
        for (group, handle) in members {
            agents.entry(group).or_default().push(handle);
        }
        let mut below: BTreeMap<&GroupId, Vec<GroupId>> = BTreeMap::new();
        for group in &groups {
            if let Some(parent) = &group.rules.parent {
                below.entry(parent).or_default().push(group.name.clone());
            }
        }
        let view = |group: &Group| {
            let agents = agents.remove(&group.name).unwrap_or_default();
            let below = below.remove(&group.name).unwrap_or_default();
            GroupView::with(group, agents, below, now)
        };
        Groups { groups: groups.iter().map(view).collect() }
    }
}

/// Every group, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<GroupView>,
}
