//! What is odd about caps on some of the payments.

use super::{Agent, Review, SEARCHED};
use crate::policy::{
    cap::{Cap, Dimension},
    mandate::{MAX_CAPS, Mandate},
    terms::{FaultCode, Place, Severity},
};

/// What is said of a cap on what is never paid.
const NEVER: &str = "this can never match";

/// Whose caps are looked at, an agent's or a group's, and where each of them stands.
pub(super) struct Holder<'h> {
    pub(super) name: &'h str,
    pub(super) caps: Vec<&'h Cap>,
    pub(super) place: &'h dyn Fn(&Cap, &str) -> Place,
}

impl Review<'_> {
    /// Caps that never come to bear: on what nobody is paid for, or above another that counts all
    /// that they count.
    pub(super) fn caps(&mut self, holder: &Holder<'_>) {
        self.caps_on_nothing(holder);
        // Of more than there may be, that is what is told.
        for cap in holder.caps.iter().filter(|_| holder.caps.len() <= MAX_CAPS) {
            let others = holder.caps.iter().filter(|other| other.key() != cap.key());
            let before = others.filter(|other| other.comes_before(cap));
            if let Some(before) = before.min_by_key(|other| other.bound) {
                self.never_binds(holder, cap, before);
            }
        }
    }

    /// Caps on what is not known.
    pub(super) fn caps_on_nothing(&mut self, holder: &Holder<'_>) {
        for cap in holder.caps.iter().filter(|cap| !cap.on.is_all()) {
            if !self.after().services().any(|service| cap.covers(&service)) {
                self.on_nothing(holder, cap);
            }
        }
    }

    /// Caps, and shadow caps, on what the agent may not pay at all.
    pub(super) fn caps_on_what_is_not_paid(&mut self, agent: &Agent<'_>) {
        let Mandate { caps, shadow_caps, .. } = agent.mandate;
        for cap in caps {
            self.on_what_is_not_paid(agent, (cap, "cap"), || agent.cap(cap, NEVER));
        }
        for cap in shadow_caps {
            self.on_what_is_not_paid(agent, (cap, "shadow cap"), || agent.shadow(cap, NEVER));
        }
    }

    fn on_what_is_not_paid(
        &mut self,
        agent: &Agent<'_>,
        (cap, kind): (&Cap, &str),
        place: impl FnOnce() -> Place,
    ) {
        let (mandate, after) = (agent.mandate, self.after());
        let mut covered = after.services().filter(|service| cap.covers(service)).peekable();
        if cap.on.is_all()
            || covered.peek().is_none()
            || covered.any(|service| mandate.allows(&service.id))
        {
            return;
        }
        let denied = |id| mandate.deny.contains(id);
        let bars = match &cap.on {
            Dimension::Service(id) if denied(id) => agent.service("deny", id, "it is denied"),
            Dimension::Service(_) | Dimension::Category(_) | Dimension::Payee(_)
                if !mandate.allow.is_empty() =>
            {
                agent.place("allow", Some("nothing else is paid".to_owned()))
            }
            Dimension::Agent
            | Dimension::Service(_)
            | Dimension::Category(_)
            | Dimension::Payee(_)
            | Dimension::TaskType(_) => agent.place("deny", Some("this is never paid".to_owned())),
        };
        let at = vec![place(), bars];
        self.tell(Severity::Warning, FaultCode::CapNeverMatches, at, |_| {
            let (handle, own) = (agent.handle, cap.in_words());
            let message =
                format!("the {kind} of {own} of `{handle}` is on what it may not pay at all");
            (message, "take it out, or allow what it is on")
        });
    }

    fn on_nothing(&mut self, holder: &Holder<'_>, cap: &Cap) {
        let at = vec![(holder.place)(cap, "not known")];
        let (code, what) = match &cap.on {
            Dimension::Agent | Dimension::TaskType(_) => return,
            Dimension::Service(id) => {
                return self.tell(Severity::Warning, FaultCode::ServiceUnknown, at, |review| {
                    let message = format!("there is no service `{id}` that could be capped");
                    (message, review.nearest(id))
                });
            }
            Dimension::Category(name) => {
                (FaultCode::CategoryUnknown, format!("no service is of the category `{name}`"))
            }
            Dimension::Payee(payee) => {
                (FaultCode::PayeeUnknown, format!("no service pays the payee `{payee}`"))
            }
        };
        self.tell(Severity::Warning, code, at, |review| {
            let hint = match review.nearest_of(&cap.on) {
                Some(near) => format!("there is `{near}`"),
                None => "give a service this one, or take the cap out".to_owned(),
            };
            (what, hint)
        });
    }

    /// A category or payee that is there and spelled nearly like the one that is not.
    fn nearest_of(&self, on: &Dimension) -> Option<String> {
        let all = self.after().services().take(SEARCHED).map(std::borrow::Cow::into_owned);
        let (meant, names): (&str, Vec<String>) = match on {
            Dimension::Agent | Dimension::Service(_) | Dimension::TaskType(_) => return None,
            Dimension::Category(name) => {
                (name.as_str(), all.filter_map(|one| Some(one.category?.to_string())).collect())
            }
            Dimension::Payee(payee) => {
                (payee.as_str(), all.map(|one| one.payee.to_string()).collect())
            }
        };
        let far = |known: &String| (self.around.distance)(known, meant);
        let most = super::NEAR.min(meant.len() / 2);
        names.into_iter().min_by_key(far).filter(|near| far(near) <= most)
    }

    fn never_binds(&mut self, holder: &Holder<'_>, cap: &Cap, before: &Cap) {
        let first = format!("the {} is spent first", before.key().named());
        let place = holder.place;
        let at = vec![place(cap, "this never comes to bear"), place(before, &first)];
        self.tell(Severity::Warning, FaultCode::CapNeverBinds, at, |_| {
            let name = holder.name;
            let (own, other) = (cap.in_words(), before.in_words());
            let message = format!("the cap of {own} of `{name}` is above its cap of {other}");
            (message, "lower it, or take it out")
        });
    }
}
