//! Numbers: percentiles of one run, the median and the spread over all rounds.

use std::time::Duration;

/// The value below which `part` of them lie; `values` need not be sorted.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list, never below zero"
    )]
    let place = (last as f64 * part).round() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// How long something took, in microseconds.
pub(crate) fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// The same measured in every round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        percentile(&mut self.0.clone(), 0.5)
    }

    /// Each round's value over the same round's value of the floor.
    pub(crate) fn over(&self, floor: &Self) -> Self {
        Self(self.0.iter().zip(&floor.0).map(|(value, floor)| value / floor).collect())
    }

    /// Each round's value and the same round's value of another, added.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(value, other)| value + other).collect())
    }

    /// Each round's value without the same round's value of another.
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(value, other)| value - other).collect())
    }

    /// The median, with the least and the most of all rounds.
    pub(crate) fn spread(&self, decimals: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = self.median();
        format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
    }
}

impl FromIterator<f64> for Rounds {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A count with its thousands, or in thousands where the rest means nothing.
pub(crate) fn count(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.1}k", value / 1_000.0) } else { format!("{value:.0}") }
}

/// Bytes in the unit that people read them in.
pub(crate) fn bytes(value: u64) -> String {
    let value = value as f64;
    if value >= 1024.0 * 1024.0 {
        format!("{:.1} MiB", value / 1024.0 / 1024.0)
    } else {
        format!("{:.1} KiB", value / 1024.0)
    }
}
