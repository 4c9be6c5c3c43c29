//! What every tool says when it does not do as asked.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::policy::denial::{Advice, BadField, Code, Denial, Refusal};

/// Why a call was not answered as asked; left out of an answer that was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// How the call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Code")]
    pub code: Option<Code>,
    /// Why, in a sentence or two, and whether money moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub message: Option<String>,
    /// What to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Advice")]
    pub advice: Option<Advice>,
    /// The argument that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub field: Option<String>,
    /// What came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub got: Option<String>,
    /// What is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub expected: Option<String>,
    /// A value that would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub example: Option<String>,
    /// How long to wait, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub retry_after_s: Option<u64>,
}

impl Refused {
    /// A denial with nothing but its code, its sentence and its advice.
    pub fn plain(code: Code, message: &str, advice: Advice) -> Self {
        Self {
            outcome: Some(Outcome::Denied),
            code: Some(code),
            message: Some(message.to_owned()),
            advice: Some(advice),
            ..Self::default()
        }
    }

    /// The denial of a call that never reached the engine.
    pub fn engine_unavailable() -> Self {
        let message = "The payment engine cannot be reached. Nothing was charged; try again soon.";
        let plain = Self::plain(Code::EngineUnavailable, message, Advice::Wait);
        Self { retry_after_s: Some(5), ..plain }
    }

    /// The denial of a call that broke something inside.
    pub fn internal_error() -> Self {
        let message = "Something broke inside pettycash. Read `ledger` before you pay again.";
        Self::plain(Code::InternalError, message, Advice::Wait)
    }

    /// The denial that policy gave.
    pub fn by(refusal: &Refusal, now: Timestamp) -> Self {
        let advice = refusal.advice();
        // Whoever is told to stop is not told to come back.
        let resets_at = refusal.opens_at().filter(|_| advice != Advice::Stop);
        let refused = Self {
            retry_after_s: resets_at.map(|at| seconds_until(at, now)),
            ..Self::plain(refusal.code(), &refusal.sentence(), advice)
        };
        match refusal.denials.as_slice() {
            [Denial::InvalidRequest(bad), ..]
            | [Denial::LoopDetected, Denial::InvalidRequest(bad), ..] => refused.with_field(bad),
            _ => refused,
        }
    }

    fn with_field(self, bad: &BadField) -> Self {
        Self {
            field: Some(bad.field.clone()),
            got: Some(bad.got.clone()),
            expected: Some(bad.expected.clone()),
            example: Some(bad.example.clone()).filter(|example| !example.is_empty()),
            ..self
        }
    }
}

/// Whole seconds from `now` until `at`, rounded up, at least one.
fn seconds_until(at: Timestamp, now: Timestamp) -> u64 {
    let micros = at.as_microsecond().saturating_sub(now.as_microsecond());
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000_000).max(1)
}
