//! The worst case, as operators read it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    book::{Book, Standing},
    exposure::{Until, at_most, together},
    money::{Usd, decimal},
    names::Handle,
    state::State,
    window::Period,
};

/// What can still be spent from now on if every cap is reached, what is held included. A field that
/// is left out is not bounded. Hours and days at which nothing may be paid are not taken off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtMost {
    /// Until each agent's day ends.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub today_usd: Option<Usd>,
    /// Until its week ends.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub this_week_usd: Option<Usd>,
    /// Until its month ends.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub this_month_usd: Option<Usd>,
    /// Until its mandate ends, or for ever.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub until_expiry_usd: Option<Usd>,
}

/// The worst case of one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentExposure {
    /// Its name.
    pub handle: Handle,
    /// `active`, `frozen` or `revoked`: who may not pay now is counted with what is held.
    pub standing: String,
    /// What is held, of what is told.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub held_usd: Usd,
    /// The most that can still be spent.
    #[serde(flatten)]
    pub at_most: AtMost,
    /// When its mandate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub expires_at: Option<Timestamp>,
}

/// The worst case of some agents, or of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// When this was so.
    pub at: Timestamp,
    /// All of them together, with what their groups leave them; not bounded where one of them is
    /// not, and no group of its is.
    pub all: AtMost,
    /// Each, by handle.
    pub agents: Vec<AgentExposure>,
}

impl AgentExposure {
    /// The worst case of `book`, one of `state`, at `now`.
    pub fn of(state: &State, book: &Book, now: Timestamp) -> Self {
        let until = |until| at_most(state, book, until, now);
        Self {
            handle: book.handle.clone(),
            standing: match &book.standing {
                Standing::Active => "active",
                Standing::Frozen { .. } => "frozen",
                Standing::Revoked { .. } => "revoked",
            }
            .to_owned(),
            held_usd: book.held,
            at_most: AtMost {
                today_usd: until(Until::End(Period::Day)),
                this_week_usd: until(Until::End(Period::Week)),
                this_month_usd: until(Until::End(Period::Month)),
                until_expiry_usd: until(Until::Expiry),
            },
            expires_at: book.mandate.expires_at,
        }
    }
}

impl Exposure {
    /// The worst case of everybody in `state` at `at`.
    pub fn of(state: &State, at: Timestamp) -> Self {
        let told = state.books().map(|book| (book, AgentExposure::of(state, book, at)));
        let told: Vec<(&Book, AgentExposure)> = told.collect();
        let all = |until, of: fn(&AtMost) -> Option<Usd>| {
            let each = told.iter().map(|(book, agent)| (*book, of(&agent.at_most)));
            together(state, &each.collect::<Vec<_>>(), until, at)
        };
        let all = AtMost {
            today_usd: all(Until::End(Period::Day), |most| most.today_usd),
            this_week_usd: all(Until::End(Period::Week), |most| most.this_week_usd),
            this_month_usd: all(Until::End(Period::Month), |most| most.this_month_usd),
            until_expiry_usd: all(Until::Expiry, |most| most.until_expiry_usd),
        };
        Self { at, all, agents: told.into_iter().map(|(_, agent)| agent).collect() }
    }
}
