//! What is wrong with the groups of a policy.

use super::{Agent, Review, place, severity_of};
use crate::policy::{
    cap::Cap,
    group::{Above, ChainError, GroupRules, MAX_DEPTH, RESERVED, check_chain},
    mandate::{MAX_CAPS, MAX_ROLLING, MandateError},
    names::GroupId,
    terms::{CapText, FaultCode, GroupTerms, Place, Severity},
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
        match check_chain(name, |one| self.above(one)) {
            Ok(()) => self.wider_than_its_parent(name, terms),
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
        let (policy, state) = (self.policy, self.state);
        let ours = policy.groups.get(name).map(|terms| Above::of(terms.parent.as_ref()));
        let there = || state.group(name).map(|group| Above::of(group.rules.parent.as_ref()));
        ours.or_else(there).unwrap_or(Above::Unknown)
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

    /// A cap that the one of its kind above it leaves nothing to do.
    fn wider_than_its_parent(&mut self, name: &GroupId, terms: &GroupTerms) {
        let Some(parent) = terms.parent.as_ref() else { return };
        let ours = self.policy.groups.get(parent).map(GroupTerms::rules);
        let rules = ours.or_else(|| self.state.group(parent).map(|group| group.rules.clone()));
        let Some(rules) = rules else { return };
        for (index, CapText(cap)) in terms.caps.iter().enumerate() {
            let above = rules.caps.iter().enumerate();
            let mut above =
                above.filter(|(_, one)| one.key() == cap.key() && one.bound < cap.bound);
            let Some((there, tighter)) = above.next() else { continue };
            let first = format!("the group `{parent}` has spent it first");
            let mut at = vec![cap_place(name, index, "this never comes to bear")];
            if self.policy.groups.contains_key(parent) {
                at.push(cap_place(parent, there, &first));
            }
            self.tell(Severity::Warning, FaultCode::CapAboveGroup, at, |_| {
                let (own, theirs) = (cap.in_words(), tighter.in_words());
                let message =
                    format!("the cap of {own} of `{name}` is above that of {theirs} of `{parent}`");
                (message, "lower it, or take it out")
            });
        }
    }

    /// The group of an agent, and what its caps leave of the agent's own.
    pub(super) fn group_of(&mut self, agent: &Agent<'_>) {
        let Some(group) = agent.mandate.group.as_ref() else { return };
        let at = || vec![agent.place("group", None)];
        if self.above(group) == Above::Unknown {
            return self.unknown_group(severity_of(agent.so_already), group, at());
        }
        let ours = self.policy.groups.get(group).map(GroupTerms::rules);
        let rules = ours.or_else(|| self.state.group(group).map(|one| one.rules.clone()));
        for cap in &agent.mandate.caps {
            let tighter = |one: &&Cap| one.key() == cap.key() && one.bound < cap.bound;
            let Some(theirs) = rules.as_ref().and_then(|rules| rules.caps.iter().find(tighter))
            else {
                continue;
            };
            let at = vec![agent.cap(cap, "this never comes to bear"), agent.place("group", None)];
            self.tell(Severity::Warning, FaultCode::CapAboveGroup, at, |_| {
                let (own, theirs, handle) = (cap.in_words(), theirs.in_words(), agent.handle);
                let message = format!(
                    "the cap of {own} of `{handle}` is above that of {theirs} of `{group}`"
                );
                (message, "lower it, or take it out")
            });
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
        | MandateError::TooManyServices => {
            let at = of(&|cap| cap.bound.is_zero(), "nothing could be paid");
            let hint = "to stop agents: `pettycash agent freeze`";
            (FaultCode::Zero, hint.to_owned(), at)
        }
    }
}
