//! Statuses of HTTP, as an operator names them: `429`, `5xx`, `400-403`.

use std::{borrow::Cow, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The most texts that name statuses: one for each of them.
const MAX_TEXTS: usize = 400;

/// Some statuses of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Statuses {
    /// First and last of each run, ascending, with a gap between each two.
    runs: Vec<(u16, u16)>,
}

/// Why a text names no statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusesError {
    /// None of the three ways to say it.
    #[error("statuses are such as \"429\", \"5xx\" or \"400-403\", from 200 to 599")]
    NotOne,
    /// More than anybody reads.
    #[error("statuses are named by at most 400 texts")]
    TooMany,
}

impl Statuses {
    /// The statuses of these runs, first and last of each; runs that make no sense are left out.
    fn of(mut runs: Vec<(u16, u16)>) -> Self {
        runs.retain(|(first, last)| first <= last);
        runs.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in runs {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self { runs: merged }
    }

    /// The classes of these first digits: all of `4xx`.
    pub fn classes(digits: impl IntoIterator<Item = u16>) -> Self {
        let run = |digit: u16| {
            let first = digit.saturating_mul(100);
            (first, first.saturating_add(99))
        };
        Self::of(digits.into_iter().map(run).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `status` is among them.
    pub fn contains(&self, status: u16) -> bool {
        self.runs.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// The first status that is in both.
    pub fn overlap(&self, other: &Self) -> Option<u16> {
        let pairs = self.runs.iter().flat_map(|one| other.runs.iter().map(move |two| (one, two)));
        let shared = pairs.filter_map(|((first, last), (other, end))| {
            let begins = *first.max(other);
            (begins <= *last.min(end)).then_some(begins)
        });
        shared.min()
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.runs.clone();
        for (first, last) in &other.runs {
            let cut = |(begin, end): (u16, u16)| {
                let before = (begin, end.min(first.saturating_sub(1)));
                let after = (begin.max(last.saturating_add(1)), end);
                [before, after]
            };
            left = left.into_iter().flat_map(cut).filter(|(begin, end)| begin <= end).collect();
        }
        Self::of(left)
    }

    /// As an operator names them.
    pub fn texts(&self) -> Vec<String> {
        self.runs.iter().flat_map(|run| named(*run)).collect()
    }
}

/// The texts that name one run: whole classes by their digit.
fn named((first, last): (u16, u16)) -> Vec<String> {
    let hundreds = |status: u16| status.checked_div(100).unwrap_or_default();
    let (low, high) = (hundreds(first.saturating_add(99)), hundreds(last.saturating_add(1)));
    let plain = |first: u16, last: u16| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    if low >= high {
        return vec![plain(first, last)];
    }
    let (begin, end) = (low.saturating_mul(100), high.saturating_mul(100));
    let before = (first < begin).then(|| plain(first, begin.saturating_sub(1)));
    let after = (end <= last).then(|| plain(end, last));
    before.into_iter().chain((low..high).map(|class| format!("{class}xx"))).chain(after).collect()
}

fn run(text: &str) -> Result<(u16, u16), StatusesError> {
    let status = |text: &str| {
        let plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = text.parse().ok().filter(|status| (200..=599).contains(status));
        status.filter(|_| plain).ok_or(StatusesError::NotOne)
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Ok((first, first.saturating_add(99)));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    if first <= last { Ok((first, last)) } else { Err(StatusesError::NotOne) }
}

impl FromStr for Statuses {
    type Err = StatusesError;

    /// Reads what one text names.
    fn from_str(text: &str) -> Result<Self, StatusesError> {
        Ok(Self { runs: vec![run(text)?] })
    }
}

impl TryFrom<Vec<String>> for Statuses {
    type Error = StatusesError;

    fn try_from(texts: Vec<String>) -> Result<Self, StatusesError> {
        if texts.len() > MAX_TEXTS {
            return Err(StatusesError::TooMany);
        }
        let runs = texts.iter().map(|text| run(text));
        Ok(Self::of(runs.collect::<Result<_, _>>()?))
    }
}

impl From<Statuses> for Vec<String> {
    fn from(statuses: Statuses) -> Self {
        statuses.texts()
    }
}

impl JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "maxItems": MAX_TEXTS,
            "items": {"type": "string", "pattern": "^[2-5]([0-9]{2}(-[2-5][0-9]{2})?|xx)$"},
            "description": StatusesError::NotOne.to_string()
        })
    }
}
