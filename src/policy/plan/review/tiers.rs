//! What is wrong with the tiers of a mandate.

use super::{Agent, Review};
use crate::policy::{
    mandate::MandateError,
    terms::{FaultCode, Place, Severity},
    tier::{MAX_TIERS, Tier, tightest},
};

impl Review<'_> {
    /// Tiers that no payment gets to, for a cap stands before them, its own or a group's.
    pub(super) fn tiers(&mut self, agent: &Agent<'_>) {
        if agent.mandate.tiers.is_empty() {
            return;
        }
        let after = self.after();
        let shared = after.caps_of(&after.chain(agent.mandate.group.as_ref()));
        let own = agent.mandate.caps.iter().map(|cap| (None, cap));
        let caps = own.chain(shared.into_iter().map(|(group, cap)| (Some(group), cap)));
        let Some((most, group, cap)) = tightest(caps) else { return };
        for tier in agent.mandate.tiers.iter().filter(|tier| tier.limit > most) {
            let least = format!("no payment above {most} is ever made");
            let first = match group {
                None => agent.cap(cap, "the cap"),
                Some(group) => self.shared_cap(agent, group, cap, "the cap"),
            };
            let at = vec![agent.tier(tier, &least), first];
            self.tell(Severity::Warning, FaultCode::TierAboveCap, at, |_| {
                let (handle, during, limit) = (agent.handle, cap.period.during(), tier.limit);
                let whose = match group {
                    None => format!("its cap of {most} {during}"),
                    Some(group) => format!("the cap of {most} {during} of `{group}`"),
                };
                let message =
                    format!("the limit of {limit} of a tier of `{handle}` is above {whose}");
                (message, "lower the tier, or raise the cap")
            });
        }
    }
}

impl Agent<'_> {
    pub(super) fn tier(&self, tier: &Tier, label: &str) -> Place {
        let tiers = self.own.tiers.as_ref().or(self.defaults.tiers.as_ref());
        let index = tiers.and_then(|tiers| tiers.iter().position(|one| one == tier));
        self.item("tiers", index, label)
    }

    pub(super) fn contradicts_by_tiers(
        &self,
        wrong: &MandateError,
    ) -> (FaultCode, String, Vec<Place>) {
        if let MandateError::TierBelow(tier) = wrong {
            let hint = "name the lowest tier first, and none that is not above `per_call`";
            let at = vec![
                self.tier(tier, "no higher than what is before it"),
                self.place("per_call", Some("the limit without a track record".to_owned())),
            ];
            return (FaultCode::TierBelow, hint.to_owned(), at);
        }
        if *wrong == MandateError::TierWithoutLimit {
            let hint = "give it one, such as `per_call = \"0.25\"`, or take the tiers out";
            let at = vec![self.place("tiers", None)];
            return (FaultCode::TierWithoutLimit, hint.to_owned(), at);
        }
        let at = vec![self.place("tiers", None)];
        (FaultCode::TooManyTiers, format!("keep {MAX_TIERS} of them"), at)
    }
}
