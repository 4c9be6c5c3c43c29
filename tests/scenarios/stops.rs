//! Stops in stories, and calls that are none.

use pettycash::policy::{
    authorize::refuse,
    denial::{BadField, Denial, Denied},
    mandate::Cap,
};

use super::{Story, words::denied_words};

impl Story {
    /// What a mandate says of stops.
    pub(super) fn stops(&mut self, words: &[&str]) -> Option<String> {
        match words {
            ["burst", burst] => match burst.parse() {
                Ok(burst) => self.mandate.burst = Some(burst),
                Err(error) => return Some(error),
            },
            ["unburst"] => self.mandate.burst = None,
            ["denials", streak] => match streak.parse() {
                Ok(streak) => self.mandate.denials = Some(streak),
                Err(error) => return Some(error),
            },
            ["undenials"] => self.mandate.denials = None,
            ["hours", hours] => match hours.parse() {
                Ok(hours) => self.mandate.hours = Some(hours),
                Err(error) => return Some(error),
            },
            ["unhours"] => self.mandate.hours = None,
            ["days", days] => match days.parse() {
                Ok(days) => self.mandate.days = Some(days),
                Err(error) => return Some(error),
            },
            ["undays"] => self.mandate.days = None,
            ["cooldown", long] => match long.parse() {
                Ok(long) => self.mandate.cooldown = Some(long),
                Err(error) => return Some(error),
            },
            ["uncooldown"] => self.mandate.cooldown = None,
            other => return self.trust(other),
        }
        None
    }

    /// A call whose arguments make no payment.
    pub(super) fn malformed(&mut self, field: &str) -> String {
        let bad = BadField {
            field: field.to_owned(),
            got: "1e3".to_owned(),
            expected: "a decimal amount".to_owned(),
            example: "0.25".to_owned(),
        };
        let book = self.bench.state.book(&self.agent).unwrap();
        let refusal = refuse(book, Denial::InvalidRequest(bad));
        let (payment, run) = (self.bench.next_id(), self.run.clone());
        let denied = Denied {
            payment,
            service: None,
            asked: None,
            refusal,
            run,
            via: None,
            call: None,
            task: None,
        };
        let (agent, now) = (self.agent.clone(), self.bench.engine_now());
        denied_words(&self.bench.deny(&agent, denied), now)
    }

    /// Sets a shadow cap in place of the one of its kind; without one there shall be none.
    pub(super) fn shade(&mut self, cap: &str) {
        let shadows = &mut self.mandate.shadow_caps;
        if cap.is_empty() {
            return shadows.clear();
        }
        let cap: Cap = cap.parse().unwrap();
        shadows.retain(|other| other.key() != cap.key());
        shadows.push(cap);
    }
}
