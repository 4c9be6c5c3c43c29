//! What a mandate says of calls of language models: how much one may put out, and which cheaper
//! model is used once so much of a cap is spent.
//!
//! What a model costs nobody here knows. That the model named in a mandate is never used in place
//! of one that costs less is for the rail to see to, which has the prices.

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    change::Change,
    mandate::{Mandate, MandateError, Service},
    names::{ModelName, RunId},
    planted::{self, Bug},
    rooms::Spender,
    state::State,
};

/// The most output tokens that a mandate may allow a call.
pub const MAX_OUTPUT_TOKENS: u32 = 10_000_000;
/// The whole, in percent.
const WHOLE: u8 = 100;

/// Gives a whole number within bounds its form on disk and on the wire.
macro_rules! number {
    ($type:ident, $of:ty, $range:expr, $rule:literal) => {
        impl TryFrom<i64> for $type {
            type Error = String;

            fn try_from(number: i64) -> Result<Self, String> {
                let number = <$of>::try_from(number).ok().filter(|number| $range.contains(number));
                number.map(Self).ok_or_else(|| $rule.to_owned())
            }
        }

        impl From<$type> for i64 {
            fn from(number: $type) -> Self {
                number.0.into()
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let digits = text.bytes().all(|digit| digit.is_ascii_digit());
                let number = text.parse::<i64>().ok().filter(|_| digits && !text.starts_with('0'));
                number.ok_or_else(|| $rule.to_owned()).and_then(Self::try_from)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let (least, most) = ($range.start(), $range.end());
                json_schema!({"type": "integer", "minimum": least, "maximum": most})
            }
        }
    };
}

/// A part of something, in percent: 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Percent(u8);

number!(Percent, u8, (1..=99_u8), "a percentage is a whole number from 1 to 99");

impl Percent {
    /// Four fifths: from there on it is told that a cap is nearly used up.
    pub(super) const EIGHTY: Self = Self(80);

    /// How `spent` stands to this part of `most`. Nothing is rounded.
    pub(super) fn compare(self, spent: u64, most: u64) -> Ordering {
        let times = |number: u64, by: u8| u128::from(number).saturating_mul(u128::from(by));
        times(spent, WHOLE).cmp(&times(most, self.0))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// The most tokens that a model may put out in one call: 1 to 10,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct OutputTokens(u32);

number!(
    OutputTokens,
    u32,
    (1..=MAX_OUTPUT_TOKENS),
    "the most output tokens of a call are a whole number from 1 to 10000000"
);

impl OutputTokens {
    /// How many.
    pub fn number(self) -> u64 {
        self.0.into()
    }
}

impl fmt::Display for OutputTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From which part of a cap on which cheaper model is used: `80%:claude-haiku-4-5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// The part.
    pub at: Percent,
    /// The model.
    pub to: ModelName,
}

impl FromStr for Downgrade {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "a downgrade is PERCENT%:MODEL such as 80%:claude-haiku-4-5: from 80 % of a cap on, \
             that model"
                .to_owned()
        };
        let (at, to) = text.split_once("%:").ok_or_else(wrong)?;
        let to = to.parse().map_err(|rule| format!("{}: {rule}", wrong()))?;
        Ok(Self { at: at.parse().map_err(|_| wrong())?, to })
    }
}

impl Mandate {
    /// What no downgrade may be: half of one.
    pub(super) fn check_downgrade(&self) -> Result<(), MandateError> {
        let half = |given, missing| Err(MandateError::DowngradeInHalf { given, missing });
        match (self.downgrade_at, &self.downgrade_to) {
            (Some(_), None) => half("downgrade_at", "downgrade_to"),
            (None, Some(_)) => half("downgrade_to", "downgrade_at"),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    /// The cheaper model, and from which part of a cap on it is used.
    pub fn downgrade(&self) -> Option<(Percent, &ModelName)> {
        self.downgrade_at.zip(self.downgrade_to.as_ref())
    }

    /// What it says of models, a line each.
    pub fn models(&self) -> impl Iterator<Item = String> {
        models(self.max_output_tokens, self.downgrade_at, self.downgrade_to.as_ref())
    }

    /// What differs in what models may put out, and in which one is used. What another model costs
    /// is not known here, so that it is not surely less.
    pub(super) fn changes_of_models(&self, to: &Self) -> impl Iterator<Item = Change> {
        let most = (self.max_output_tokens, to.max_output_tokens);
        let most = Change::of_bound("output tokens per call".to_owned(), most.0, most.1);
        let later =
            self.downgrade_at.is_some_and(|from| to.downgrade_at.is_none_or(|to| to > from));
        let another = self.downgrade_to.is_some() && self.downgrade_to != to.downgrade_to;
        let words = |one: &Self| cheaper(one.downgrade_at, one.downgrade_to.as_ref());
        let (from, what) = (words(self), "cheaper model".to_owned());
        let differs = from != words(to);
        let cheaper =
            differs.then(|| Change { what, from, to: words(to), loosens: later || another });
        most.into_iter().chain(cheaper)
    }
}

/// What a mandate says of models, a line each.
pub fn models(
    most: Option<OutputTokens>,
    at: Option<Percent>,
    to: Option<&ModelName>,
) -> impl Iterator<Item = String> {
    let most = most.map(|most| format!("at most {most} output tokens per call"));
    most.into_iter().chain(cheaper(at, to))
}

/// `claude-haiku-4-5 from 80% of a cap on`; of half of it that half.
fn cheaper(at: Option<Percent>, to: Option<&ModelName>) -> Option<String> {
    let from = at.map(|at| format!("from {at} of a cap on"));
    let words: Vec<String> = to.map(ToString::to_string).into_iter().chain(from).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

impl Spender<'_> {
    /// The cheaper model of the mandate, where so much of any cap that a payment for `service`
    /// counts under is used and held; exactly so much is enough.
    pub fn downgrades(
        &self,
        service: &Service,
        run: Option<&RunId>,
        now: Timestamp,
    ) -> Option<&ModelName> {
        let (at, to) = self.book.mandate.downgrade()?;
        let aim = self.aim(service);
        let late = planted::is(Bug::DowngradeIsLate);
        let mut bearing = self.each(run, now, |cap| cap.on.covers(&aim));
        let spent = bearing.any(|bearing| match bearing.stands_to(at) {
            Ordering::Less => false,
            Ordering::Equal => !late,
            Ordering::Greater => true,
        });
        spent.then_some(to)
    }
}

impl State {
    /// What an operator should know of a cheaper model where there is no cap of which so much could
    /// be spent, the agent's own or a group's.
    pub(super) fn remark_on_downgrade(&self, mandate: &Mandate) -> Option<String> {
        let (at, to) = mandate.downgrade()?;
        let groups = self.chain(mandate.group.as_ref());
        let mut shared = groups.into_iter().flat_map(|group| &group.rules.caps);
        let capped = !mandate.caps.is_empty() || shared.next().is_some();
        (!capped).then(|| {
            format!("there is no cap to be {at} spent: {to} is used only in tasks with a cap")
        })
    }
}
