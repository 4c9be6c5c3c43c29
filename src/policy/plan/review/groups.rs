//! What is wrong with the groups of a policy.

use super::{
    super::after::{After, tighter},
    Agent, Holder, Review, place, severity_of,
};
use crate::policy::{
    cap::Cap,
    group::{Above, ChainError, Group, GroupRules, MAX_DEPTH, RESERVED, check_chain},
    mandate::{MAX_CAPS, MAX_ROLLING, MandateError},
    names::GroupId,
    terms::{CapText, FaultCode, GroupTerms, Place, PolicyTerms, Severity},
    window::Period,
};

impl<'a> Review<'a> {
    pub(in crate::policy::plan) fn group(
        &mut self,
        name: &'a GroupId,
        terms: &'a GroupTerms,
        rules: &GroupRules,
    ) {
        let at = |key: &str| vec![place(format!("/groups/{name}{key}"), None)];
        if name.as_str() == RESERVED {
            self.tell(Severity::Error, FaultCode::GroupNameTaken, at(""), |_| {
                let message = format!("no group can be called `{RESERVED}`");
                (message, "answers call an agent's own caps so: take another name")
            });
        }
        if let Err(wrong) = rules.check() {
            let (code, hint, at) = contradicts(name, terms, &wrong);
            self.tell(Severity::Error, code, at, |_| (format!("`{name}`: {wrong}"), hint));
        }
        let caps = || terms.caps.iter().map(|CapText(cap)| cap);
        let place = |cap: &Cap, label: &str| {
            let index = caps().position(|one| one == cap).unwrap_or_default();
            cap_place(name, index, label)
        };
        self.caps(&Holder { name: name.as_str(), caps: caps().collect(), place: &place });
        match check_chain(name, |one| self.above(one)) {
            Ok(()) => self.wider_than_those_above(name, terms),
            Err(ChainError::Unknown(unknown)) => {
                // Told where it is named.
                if terms.parent.as_ref() == Some(&unknown) {
                    self.unknown_group(Severity::Error, &unknown, at("/parent"));
                }
            }
            Err(wrong @ (ChainError::Circle(_) | ChainError::TooDeep)) => {
                let code = match wrong {
                    ChainError::TooDeep => FaultCode::GroupTooDeep,
                    ChainError::Circle(_) | ChainError::Unknown(_) => FaultCode::GroupCircle,
                };
                self.tell(Severity::Error, code, at("/parent"), |_| {
                    (format!("`{name}`: {wrong}"), "give it another `parent`, or none")
                });
            }
        }
    }

    /// Groups that the document does not name, and that stand too deep once it is applied.
    pub(in crate::policy::plan) fn depths(&mut self) {
        let named = |name: &GroupId| self.policy.groups.contains_key(name);
        let others = self.state.groups().map(|group| &group.name).filter(|name| !named(name));
        let deep =
            |name: &&GroupId| check_chain(name, |one| self.above(one)) == Err(ChainError::TooDeep);
        let deep: Vec<&GroupId> = others.filter(deep).collect();
        for name in deep {
            let above = std::iter::successors(Some(name), |one| self.above(one).group());
            let changed = above.take(MAX_DEPTH).find(|one| self.policy.groups.contains_key(*one));
            let Some(changed) = changed else { continue };
            let at = vec![place(format!("/groups/{changed}/parent"), None)];
            self.tell(Severity::Error, FaultCode::GroupTooDeep, at, |_| {
                let message = format!("`{name}`: {}", ChainError::TooDeep);
                (message, "give it another `parent`, or none")
            });
        }
    }

    /// What stands above a group when the policy is applied.
    fn above(&self, name: &GroupId) -> Above<'a> {
        self.after().above(name)
    }

    fn unknown_group(&mut self, severity: Severity, unknown: &GroupId, at: Vec<Place>) {
        self.tell(severity, FaultCode::GroupUnknown, at, |review| {
            let there = review.state.groups().map(|group| &group.name);
            let known = review.policy.groups.keys().chain(there).take(super::SEARCHED);
            let far = |one: &&GroupId| (review.around.distance)(one.as_str(), unknown.as_str());
            let most = super::NEAR.min(unknown.as_str().len() / 2);
            let hint = match known.min_by_key(far).filter(|near| far(near) <= most) {
                Some(near) => format!("there is `{near}`"),
                None => format!("add it, as [groups.{unknown}], or take it out"),
            };
            (format!("there is no group `{unknown}`"), hint)
        });
    }

    /// Caps that those of the groups above leave nothing to do.
    fn wider_than_those_above(&mut self, name: &GroupId, terms: &'a GroupTerms) {
        let after = self.after();
        let zone = terms.zone(&self.policy.defaults);
        let above = after.caps_as_in(&zone, &after.chain(terms.parent.as_ref()));
        for (index, CapText(cap)) in terms.caps.iter().enumerate() {
            let Some((group, theirs)) = tighter(cap, &above) else { continue };
            let first = format!("the group `{group}` has spent it first");
            let parent = || place(format!("/groups/{name}/parent"), None);
            let there = self.group_cap(group, theirs, &first).unwrap_or_else(parent);
            let at = vec![cap_place(name, index, "this never comes to bear"), there];
            self.wider(name.as_str(), cap, (group, theirs), at);
        }
    }

    /// Caps of groups that the document does not name, which those that it lowers leave nothing
    /// to do.
    pub(in crate::policy::plan) fn lowered(&mut self) {
        let (after, nothing) = (self.after(), PolicyTerms::default());
        let before = After { policy: &nothing, ..after };
        let named = |group: &&Group| self.policy.groups.contains_key(&group.name);
        let others: Vec<&Group> = self.state.groups().filter(|group| !named(group)).collect();
        for Group { name, rules, .. } in others {
            let parent = rules.parent.as_ref();
            let above = after.caps_as_in(&rules.zone, &after.chain(parent));
            let was = before.caps_as_in(&rules.zone, &before.chain(parent));
            for cap in rules.caps.iter().filter(|cap| tighter(cap, &was).is_none()) {
                let Some((group, theirs)) = tighter(cap, &above) else { continue };
                let spent = format!("`{name}`, which is not in the file, has more");
                let Some(there) = self.group_cap(group, theirs, &spent) else { continue };
                self.wider(name.as_str(), cap, (group, theirs), vec![there]);
            }
        }
    }

    fn wider(&mut self, whose: &str, cap: &Cap, above: (&GroupId, &Cap), at: Vec<Place>) {
        self.tell(Severity::Warning, FaultCode::CapAboveGroup, at, |_| {
            let (own, group, theirs) = (cap.in_words(), above.0, above.1.in_words());
            let message =
                format!("the cap of {own} of `{whose}` is above that of {theirs} of `{group}`");
            (message, "lower it, or take it out")
        });
    }

    /// Where a group's cap stands, if the document has it.
    fn group_cap(&self, group: &GroupId, cap: &Cap, label: &str) -> Option<Place> {
        let caps = &self.policy.groups.get(group)?.caps;
        let index = caps.iter().position(|CapText(one)| one == cap)?;
        Some(cap_place(group, index, label))
    }

    /// The same, or else where the agent says that it is below the group.
    pub(super) fn shared_cap(
        &self,
        agent: &Agent<'_>,
        group: &GroupId,
        cap: &Cap,
        label: &str,
    ) -> Place {
        let below = || agent.place("group", Some(format!("{label}, of `{group}`")));
        self.group_cap(group, cap, label).unwrap_or_else(below)
    }

    /// The group of an agent, and what its caps, and those above it, leave of the agent's own.
    pub(super) fn group_of(&mut self, agent: &Agent<'_>) {
        let Some(group) = agent.mandate.group.as_ref() else { return };
        if self.above(group) == Above::Unknown {
            let at = vec![agent.place("group", None)];
            return self.unknown_group(severity_of(agent.so_already), group, at);
        }
        let after = self.after();
        let above = after.caps_as_in(&agent.mandate.zone, &after.chain(Some(group)));
        for cap in &agent.mandate.caps {
            let Some((group, theirs)) = tighter(cap, &above) else { continue };
            let mut at =
                vec![agent.cap(cap, "this never comes to bear"), agent.place("group", None)];
            let first = format!("the group `{group}` has spent it first");
            at.extend(self.group_cap(group, theirs, &first));
            self.wider(agent.handle.as_str(), cap, (group, theirs), at);
        }
    }
}

fn cap_place(group: &GroupId, index: usize, label: &str) -> Place {
    place(format!("/groups/{group}/caps/{index}"), Some(label.to_owned()))
}

fn contradicts(
    name: &GroupId,
    terms: &GroupTerms,
    wrong: &MandateError,
) -> (FaultCode, String, Vec<Place>) {
    let of = |which: &dyn Fn(&Cap) -> bool, label: &str| -> Vec<Place> {
        let caps = terms.caps.iter().enumerate().filter(|(_, CapText(cap))| which(cap));
        caps.map(|(index, _)| cap_place(name, index, label)).collect()
    };
    let all = || vec![place(format!("/groups/{name}/caps"), None)];
    match wrong {
        MandateError::CapTwice(key) => {
            let at = of(&|cap| cap.key() == *key, "given here");
            (FaultCode::CapTwice, "keep one of the two".to_owned(), at)
        }
        MandateError::RunOfGroup => {
            let at = of(&|cap| cap.period == Period::Run, "of whose run?");
            (FaultCode::RunOfGroup, "give each agent a cap per run".to_owned(), at)
        }
        MandateError::TaskOfGroup => {
            let at = of(&|cap| cap.period == Period::Task, "of whose task?");
            (FaultCode::TaskOfGroup, "give each agent a cap per task".to_owned(), at)
        }
        MandateError::TooManyRolling => {
            let hint = format!("keep {MAX_ROLLING} of those that count any hours in a row");
            (FaultCode::TooManyRolling, hint, all())
        }
        MandateError::TooManyCaps => {
            (FaultCode::TooManyCaps, format!("keep {MAX_CAPS} of them"), all())
        }
        MandateError::Zero(_)
        | MandateError::AllowanceWithoutCap
        | MandateError::RateTwice(_)
        | MandateError::TooManyRates
        | MandateError::CapOnPartOfTask(_)
        | MandateError::TooManyPinned
        | MandateError::TierBelow(_)
        | MandateError::TierWithoutLimit
        | MandateError::TooManyTiers
        | MandateError::DowngradeInHalf { .. }
        | MandateError::ShadowTwice(_)
        | MandateError::ShadowZero
        | MandateError::ShadowOnPartOfTask(_)
        | MandateError::TooManyServices => {
            let at = of(&|cap| cap.bound.is_zero(), "nothing could be paid");
            let hint = "to stop agents: `pettycash agent freeze`";
            (FaultCode::Zero, hint.to_owned(), at)
        }
    }
}
