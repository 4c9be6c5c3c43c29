//! What is odd about shadow caps.

use super::{Agent, Holder, Review};
use crate::policy::{
    cap::{Cap, CapKey},
    mandate::{MAX_CAPS, MandateError},
    terms::{CapText, FaultCode, Place, Severity},
};

/// What is said of one that a cap keeps from being passed.
const UNTOLD: &str = "nothing is ever told of it";

impl Review<'_> {
    /// Shadow caps on what is not known, and those of which nothing is ever told, for a cap stands
    /// before them: its own or a group's.
    pub(super) fn shadows(&mut self, agent: &Agent<'_>) {
        let (name, caps) = (agent.handle.as_str(), agent.mandate.shadow_caps.iter().collect());
        let place = |cap: &Cap, label: &str| agent.shadow(cap, label);
        self.caps_on_nothing(&Holder { name, caps, place: &place });
        let after = self.after();
        let chain = after.chain(agent.mandate.group.as_ref());
        let above = after.caps_as_in(&agent.mandate.zone, &chain);
        // Of more than there may be, that is what is told.
        let bounded = agent.mandate.counted().count() <= MAX_CAPS;
        for shadow in agent.mandate.shadow_caps.iter().filter(|_| bounded) {
            let first = |cap: &Cap| cap.counts_all_of(shadow) && cap.bound <= shadow.bound;
            let mut at = vec![agent.shadow(shadow, UNTOLD)];
            let own = agent.mandate.caps.iter().filter(|cap| first(cap));
            let cap = if let Some(cap) = own.min_by_key(|cap| cap.bound) {
                at.push(agent.cap(cap, "the cap"));
                format!("its cap of {}", cap.in_words())
            } else if let Some((group, cap)) = above.iter().find(|(_, cap)| first(cap)) {
                at.push(self.shared_cap(agent, group, cap, "the cap"));
                format!("the cap of {} of `{group}`", cap.in_words())
            } else {
                continue;
            };
            self.tell(Severity::Warning, FaultCode::ShadowAboveCap, at, |_| {
                let (handle, own) = (agent.handle, shadow.in_words());
                let message = format!("the shadow cap of {own} of `{handle}` is not below {cap}");
                (message, "lower the shadow cap, or raise the cap")
            });
        }
    }
}

impl Agent<'_> {
    fn shadow_caps(&self) -> &[CapText] {
        let caps = self.own.shadow_caps.as_ref().or(self.defaults.shadow_caps.as_ref());
        caps.map_or(&[], Vec::as_slice)
    }

    fn those(&self, label: &str, which: impl Fn(&Cap) -> bool) -> Vec<Place> {
        let caps = self.shadow_caps().iter().enumerate().filter(|(_, CapText(cap))| which(cap));
        caps.map(|(index, _)| self.item("shadow_caps", Some(index), label)).collect()
    }

    /// Where a shadow cap stands.
    pub(super) fn shadow(&self, cap: &Cap, label: &str) -> Place {
        let index = self.shadow_caps().iter().position(|CapText(one)| one == cap);
        self.item("shadow_caps", index, label)
    }

    /// Where all that a book counts stands: caps, and shadow caps if it has any.
    pub(super) fn all_caps(&self) -> Vec<Place> {
        let (caps, shadows) = (!self.caps().is_empty(), !self.shadow_caps().is_empty());
        let label = caps.then(|| "these count too".to_owned());
        let caps = caps.then(|| self.place("caps", None));
        let shadows = shadows.then(|| self.place("shadow_caps", label));
        caps.into_iter().chain(shadows).collect()
    }

    /// That shadow caps are among them, if it has any.
    pub(super) fn with_shadows(&self) -> &'static str {
        let shadows = !self.shadow_caps().is_empty();
        if shadows { ", those of `shadow_caps` among them" } else { "" }
    }

    pub(super) fn contradicts_by_shadows(
        &self,
        wrong: &MandateError,
    ) -> (FaultCode, String, Vec<Place>) {
        let given = |key: &CapKey| self.those("given here", |cap| cap.key() == *key);
        if let MandateError::ShadowTwice(key) = wrong {
            return (FaultCode::CapTwice, "keep one of the two".to_owned(), given(key));
        }
        if let MandateError::ShadowOnPartOfTask(key) = wrong {
            let hint = "leave out what it is on, or cap that over another period".to_owned();
            return (FaultCode::CapOnPartOfTask, hint, given(key));
        }
        let at = self.those("everything passes it", |cap| cap.bound.is_zero());
        (FaultCode::Zero, "take it out, or give it an amount or a number".to_owned(), at)
    }
}
