//! What the stories say of whom an agent may pay.

use pettycash::policy::{
    entry::{By, Draft, Fact, Incident},
    payee,
};

use super::{Story, words::seconds};

/// The words that begin a rule which is neither a cap nor a limit.
pub(super) const RULES: [&str; 19] = [
    "burst",
    "unburst",
    "denials",
    "undenials",
    "hours",
    "unhours",
    "days",
    "undays",
    "cooldown",
    "uncooldown",
    "pin",
    "unpin",
    "first-payee",
    "tier",
    "untier",
    "max-output",
    "unmax-output",
    "downgrade",
    "undowngrade",
];

impl Story {
    /// The clock is set forward, as the store writes it down before anything is decided by it.
    pub(super) fn jump(&mut self, span: &str) -> String {
        let from = self.bench.engine_now();
        self.bench.pass(seconds(span));
        let fact = Fact::Incident(Incident::ClockJumped { from, to: self.bench.now });
        self.bench.write(vec![Draft { agent: None, by: By::Engine, fact }]);
        "ok".to_owned()
    }

    /// The limit for one payment now, and what the next tier takes.
    pub(super) fn limit(&self) -> String {
        let (book, now) = (self.bench.state.book(&self.agent).unwrap(), self.bench.engine_now());
        let limit = book.limit(now).map_or("none".to_owned(), |limit| limit.to_string());
        let next = book.next_tier(now).map(|next| {
            let from = next.not_before.map(|at| format!(" from {at}")).unwrap_or_default();
            format!("; {} after {} more{from}", next.per_call_limit_usd, next.payments)
        });
        format!("{limit}{}", next.unwrap_or_default())
    }

    pub(super) fn repin(&mut self, service: &str, payee: &[&str]) -> String {
        let (service, payee) = (service.parse().unwrap(), payee.join(" ").parse().unwrap());
        let act = payee::repin(&self.bench.state, &self.agent, &service, &payee);
        self.done(act)
    }

    /// Sets whom the agent may pay.
    pub(super) fn trust(&mut self, words: &[&str]) -> Option<String> {
        let pinned = &mut self.mandate.pinned;
        match words {
            ["pin", service, payee @ ..] => {
                let payee = payee.join(" ").parse().unwrap();
                drop(pinned.insert(service.parse().unwrap(), payee));
            }
            ["unpin", service] => drop(pinned.remove(&service.parse().unwrap())),
            ["first-payee", first] => self.mandate.first_payee = first.parse().unwrap(),
            ["tier", tier] => match tier.parse() {
                Ok(tier) => self.mandate.tiers.push(tier),
                Err(error) => return Some(error),
            },
            ["untier"] => self.mandate.tiers.clear(),
            other => return self.models(other),
        }
        None
    }
}
