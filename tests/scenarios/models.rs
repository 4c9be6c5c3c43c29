//! Language models in stories: how much they may put out, and when a cheaper one is used.

use pettycash::policy::downgrade::Downgrade;

use super::Story;

impl Story {
    /// Sets what the mandate says of models.
    pub(super) fn models(&mut self, words: &[&str]) -> Option<String> {
        match words {
            ["max-output", most] => match most.parse() {
                Ok(most) => self.mandate.max_output_tokens = Some(most),
                Err(error) => return Some(error),
            },
            ["unmax-output"] => self.mandate.max_output_tokens = None,
            ["downgrade", to] => match to.parse() {
                Ok(Downgrade { at, to }) => {
                    (self.mandate.downgrade_at, self.mandate.downgrade_to) = (Some(at), Some(to));
                }
                Err(error) => return Some(error),
            },
            ["undowngrade", "at"] => self.mandate.downgrade_at = None,
            ["undowngrade", "to"] => self.mandate.downgrade_to = None,
            ["undowngrade"] => {
                (self.mandate.downgrade_at, self.mandate.downgrade_to) = (None, None);
            }
            other => panic!("no such rule: {other:?}"),
        }
        None
    }

    /// The cheaper model that a payment for a service would use.
    pub(super) fn model(&self, service: &str) -> String {
        let spender = self.bench.state.spender(&self.agent).unwrap().in_task(self.task);
        let service = self.bench.state.service(&service.parse().unwrap()).unwrap();
        let to = spender.downgrades(service, self.run.as_ref(), self.bench.engine_now());
        to.map_or("as asked".to_owned(), ToString::to_string)
    }
}
