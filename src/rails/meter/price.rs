//! What one unit of work costs.

use std::{fmt, str::FromStr};

/// Pico-dollars in one dollar.
const PICOS: u64 = 1_000_000_000_000;
/// Digits after the point that a pico-dollar can express.
const MAX_DECIMALS: usize = 12;
/// The most a unit may cost. So priced, no call that [`super::Usage`] can tell overflows a sum.
const MAX_PICOS: u64 = 1_000_000 * PICOS;

/// What a vendor counts and has a price for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A token of the input that was neither read from a cache nor written to one.
    Input,
    /// A token of sound in the input.
    InputAudio,
    /// A token read from a cache.
    CacheRead,
    /// A token written to a cache for the shorter time: 5 minutes, 30 minutes.
    CacheWrite,
    /// A token written to a cache for the longer time: an hour, 12 hours.
    CacheWriteLong,
    /// A token of the output; what a model thinks is output.
    Output,
    /// A token of sound in the output.
    OutputAudio,
    /// A search of the web that the vendor made.
    WebSearch,
}

impl Unit {
    /// Every unit there is.
    pub const ALL: [Self; 8] = [
        Self::Input,
        Self::InputAudio,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWriteLong,
        Self::Output,
        Self::OutputAudio,
        Self::WebSearch,
    ];

    /// Its name in a table of prices.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::InputAudio => "input_audio",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWriteLong => "cache_write_long",
            Self::Output => "output",
            Self::OutputAudio => "output_audio",
            Self::WebSearch => "web_search",
        }
    }

    /// The unit of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// Whether it is a part of the input, whose size decides which prices are due.
    pub fn is_input(self) -> bool {
        match self {
            Self::Input
            | Self::InputAudio
            | Self::CacheRead
            | Self::CacheWrite
            | Self::CacheWriteLong => true,
            Self::Output | Self::OutputAudio | Self::WebSearch => false,
        }
    }

    /// What stands in for it, dearest of them, where a model has no price for it.
    pub(super) fn likes(self) -> &'static [Self] {
        match self {
            Self::Input
            | Self::InputAudio
            | Self::CacheRead
            | Self::CacheWrite
            | Self::CacheWriteLong => {
                &[Self::Input, Self::CacheRead, Self::CacheWrite, Self::CacheWriteLong]
            }
            Self::Output | Self::OutputAudio => &[Self::Output, Self::OutputAudio],
            Self::WebSearch => &[],
        }
    }
}

/// What one unit costs: whole pico-dollars (1e-12), at most a million dollars.
///
/// A price per million tokens in dollars is the same number in micro-dollars per million, so
/// $0.80 per million tokens are 800,000 pico-dollars each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PricePerUnit(u64);

impl PricePerUnit {
    /// A price of so many pico-dollars.
    pub(super) fn of_picos(picos: u64) -> Result<Self, PriceError> {
        if picos <= MAX_PICOS { Ok(Self(picos)) } else { Err(PriceError::TooLarge) }
    }

    /// What a million of them cost, in dollars, exactly: how vendors tell prices.
    pub fn per_million(self) -> String {
        const MICROS: u64 = 1_000_000;
        let whole = self.0.checked_div(MICROS).unwrap_or_default();
        let rest = format!("{:06}", self.0.checked_rem(MICROS).unwrap_or_default());
        let decimals = rest.trim_end_matches('0');
        format!("{whole}.{decimals:0<2}")
    }

    /// The price in whole pico-dollars.
    pub fn picos(self) -> u64 {
        self.0
    }
}

/// Why a text is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Anything but digits with at most one point between them.
    #[error("a price is dollars per token, digits with at most one point, such as 0.0000025")]
    NotDecimal,
    /// Finer than a pico-dollar.
    #[error("a price has at most 12 decimals")]
    TooFine,
    /// More than a million dollars.
    #[error("a price is at most 1000000")]
    TooLarge,
}

impl FromStr for PricePerUnit {
    type Err = PriceError;

    /// Reads dollars as `digits[.digits]` and nothing else: no sign, space, exponent or currency.
    fn from_str(text: &str) -> Result<Self, PriceError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(PriceError::NotDecimal),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(PriceError::NotDecimal);
        }
        if fraction.len() > MAX_DECIMALS {
            return Err(PriceError::TooFine);
        }
        let whole: u64 = whole.parse().map_err(|_| PriceError::TooLarge)?;
        let picos: u64 = format!("{fraction:0<12}").parse().map_err(|_| PriceError::NotDecimal)?;
        let total = whole.checked_mul(PICOS).and_then(|whole| whole.checked_add(picos));
        total.ok_or(PriceError::TooLarge).and_then(Self::of_picos)
    }
}

impl fmt::Display for PricePerUnit {
    /// Dollars as a plain decimal, with no zeros at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.checked_div(PICOS).unwrap_or_default();
        let picos = self.0.checked_rem(PICOS).unwrap_or_default();
        let digits = format!("{picos:012}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}
