//! Money: whole nano-dollars, parsed strictly, added with care.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Nano-dollars in one dollar.
const NANOS: i64 = 1_000_000_000;
/// Digits after the point that a nano-dollar can express.
const MAX_DECIMALS: usize = 9;
/// Digits after the point that are always shown.
const MIN_DECIMALS: usize = 2;

/// An amount of US dollars, kept as whole nano-dollars (1e-9), never negative.
///
/// Everything that can be priced fits exactly: a token of an LLM, a unit of USDC. There is no
/// conversion from or to a float and no division.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Usd(i64);

impl Usd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The most that can be written down: about $9.2 billion.
    pub const MAX: Self = Self(i64::MAX);

    /// The sum, or nothing where it would not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or nothing where it would be below zero.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).filter(|nanos| *nanos >= 0).map(Self)
    }

    /// What is left after taking `other` away, at least nothing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        self.minus(other).unwrap_or(Self::ZERO)
    }

    /// The sum, held at [`Usd::MAX`].
    ///
    /// For totals that only ever refuse more the larger they are; a cap is compared with
    /// [`Usd::plus`].
    #[must_use]
    pub fn saturating_plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Whether this is no money at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount in whole nano-dollars.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// The amount as a plain decimal string for the wire: at least two decimals, no zeros beyond.
    pub fn decimal(self) -> String {
        let whole = self.0.checked_div(NANOS).unwrap_or_default();
        let nanos = self.0.checked_rem(NANOS).unwrap_or_default();
        let mut digits = format!("{nanos:09}");
        while digits.len() > MIN_DECIMALS && digits.ends_with('0') {
            digits.pop();
        }
        format!("{whole}.{digits}")
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.decimal())
    }
}

/// Why a text is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Anything but digits with at most one point between them.
    #[error("an amount is digits with at most one point, such as 0.25")]
    NotDecimal,
    /// Finer than a nano-dollar.
    #[error("an amount has at most 9 decimals")]
    TooFine,
    /// More than fits, about $9.2 billion.
    #[error("an amount is at most 9223372036.854775807")]
    TooLarge,
}

impl FromStr for Usd {
    type Err = AmountError;

    /// Reads `digits[.digits]` and nothing else: no sign, space, exponent, separator or currency.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(AmountError::NotDecimal),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(AmountError::NotDecimal);
        }
        if fraction.len() > MAX_DECIMALS {
            return Err(AmountError::TooFine);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| AmountError::NotDecimal)?;
        let total = whole.checked_mul(NANOS).and_then(|whole| whole.checked_add(nanos));
        total.map(Self).ok_or(AmountError::TooLarge)
    }
}

impl TryFrom<i64> for Usd {
    type Error = &'static str;

    fn try_from(nanos: i64) -> Result<Self, Self::Error> {
        if nanos < 0 { Err("an amount is never negative") } else { Ok(Self(nanos)) }
    }
}

impl From<Usd> for i64 {
    fn from(amount: Usd) -> Self {
        amount.0
    }
}

impl schemars::JsonSchema for Usd {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]{1,9})?$",
            "description": "US dollars as a decimal string such as 0.25, to nine decimals"
        })
    }
}

/// Writes an amount as the decimal string that the wire carries; for `#[serde(with = …)]`.
pub mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Usd;

    /// Serializes `0.25`, in quotes.
    pub fn serialize<S: Serializer>(amount: &Usd, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&amount.decimal())
    }

    /// Reads what [`serialize`] wrote, as strictly as [`Usd`] parses.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Usd, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    /// The same for an amount that may be left out.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        use super::Usd;

        /// Serializes the decimal string, or nothing.
        pub fn serialize<S: Serializer>(amount: &Option<Usd>, to: S) -> Result<S::Ok, S::Error> {
            match amount {
                Some(amount) => super::serialize(amount, to),
                None => to.serialize_none(),
            }
        }

        /// Reads what [`serialize`] wrote.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Usd>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}
