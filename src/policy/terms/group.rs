//! Groups as operators write and read them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CapText;
use crate::policy::{
    answer::CapView,
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
    /// The zone whose hours, days, weeks and months the caps mean; UTC unless said.
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

    /// The rules, not yet checked.
    pub fn rules(&self) -> GroupRules {
        GroupRules {
            caps: self.caps.iter().map(|CapText(cap)| cap.clone()).collect(),
            parent: self.parent.clone(),
            zone: self.timezone.clone().unwrap_or_else(Zone::utc),
        }
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
    /// Whether those below it may do more than before.
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
        Self {
            group: name.clone(),
            parent: group.rules.parent.clone(),
            timezone: group.rules.zone.clone(),
            caps: group.bearing(now).iter().map(CapView::of).collect(),
            agents: agents.map(|book| book.handle.clone()).collect(),
            groups: below.map(|group| group.name.clone()).collect(),
        }
    }
}

/// Every group, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<GroupView>,
}
