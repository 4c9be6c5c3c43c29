//! The second opinion on which language model is used.

use super::{Asked, Model, Terms};

/// What terms say of language models. Models are numbers here, too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Models {
    pub(crate) most_output: Option<i64>,
    /// From so many percent of a cap on.
    pub(crate) cheaper_at: Option<i64>,
    pub(crate) cheaper: Option<u8>,
}

impl Model {
    /// The cheaper model, if a payment for `service` counts under a cap of which so much is spent.
    pub(crate) fn cheaper(&self, agent: u8, asked: &Asked) -> Option<u8> {
        let Models { cheaper_at, cheaper, .. } = self.agents[&agent].terms.models;
        let part = i128::from(cheaper_at?);
        let spent = self.bounds(agent, asked).into_iter().any(|(code, _, _, numbers)| {
            code == "cap_exceeded" && 100 * (numbers[1] + numbers[2]) >= part * numbers[0]
        });
        cheaper.filter(|_| spent)
    }
}

/// Whether models may put out more by `to`, or another may be used, or a cheaper one later.
pub(super) fn dearer(Terms { models: from, .. }: &Terms, Terms { models: to, .. }: &Terms) -> bool {
    let higher =
        |from: Option<i64>, to: Option<i64>| from.unwrap_or(i64::MAX) < to.unwrap_or(i64::MAX);
    higher(from.most_output, to.most_output)
        || higher(from.cheaper_at, to.cheaper_at)
        || (from.cheaper.is_some() && from.cheaper != to.cheaper)
}
