//! Numbers of somebody else's table, exactly as they are written: no float has them in between.

use super::{PriceError, PricePerUnit};

/// The most digits a number may have but for the zeros around them.
const MAX_DIGITS: usize = 19;
/// How far from the point its last digit may be.
const MAX_SCALE: i32 = 40;
/// Decimals of a price.
const DECIMALS: i32 = 12;

/// A number that is not negative: so many, moved so many places to the right of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u128,
    scale: i32,
}

impl Decimal {
    /// Reads a number as JSON writes it, `2.5e-06` say. Nothing where it is none, is negative, or
    /// has more digits than any price.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kept = digits.trim_end_matches('0');
        let dropped = i32::try_from(digits.len().checked_sub(kept.len())?).ok()?;
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() {
            return Some(Self { digits: 0, scale: 0 });
        }
        let decimals = i32::try_from(fraction.len()).ok()?;
        let scale = decimals.checked_sub(dropped)?.checked_sub(exponent)?;
        let told = kept.len() <= MAX_DIGITS && (-MAX_SCALE..=MAX_SCALE).contains(&scale);
        let digits = kept.parse().ok().filter(|_| told)?;
        Some(Self { digits, scale })
    }

    /// Whether it is nought.
    pub(super) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The product of the two, exactly. Nothing where it has too many digits.
    pub(super) fn times(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, scale: self.scale.checked_add(other.scale)? })
    }

    /// So many dollars as a price, rounded half up at its last decimal.
    pub(super) fn price(self) -> Result<PricePerUnit, PriceError> {
        let moved = self.scale.saturating_sub(DECIMALS);
        // A power of ten that cannot be written is more than any number here.
        let power = 10_u128.checked_pow(moved.unsigned_abs());
        let picos = if moved <= 0 {
            let scaled = power.and_then(|power| self.digits.checked_mul(power));
            if self.is_zero() { Some(0) } else { scaled }
        } else {
            let half = power.map(|power| power.checked_div(2).unwrap_or_default());
            let raised = half.map_or(Some(0), |half| self.digits.checked_add(half));
            raised.and_then(|raised| raised.checked_div(power.unwrap_or(u128::MAX)))
        };
        let picos = picos.and_then(|picos| u64::try_from(picos).ok());
        picos.ok_or(PriceError::TooLarge).and_then(PricePerUnit::of_picos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_by_its_digits_and_rounded_once() {
        let good = [
            ("0", "0"),
            ("0.000", "0"),
            ("0e-99", "0"),
            ("5e-06", "0.000005"),
            ("1.25E-6", "0.00000125"),
            ("1250e-9", "0.00000125"),
            ("1e+1", "10"),
            ("0.0000000000005", "0.000000000001"),
            ("0.00000000000049999", "0"),
            ("0.0000000000015", "0.000000000002"),
            ("1e-39", "0"),
            ("3.3333333333333e-7", "0.000000333333"),
            ("1000000", "1000000"),
        ];
        for (text, price) in good {
            let read = Decimal::read(text).unwrap().price().unwrap();
            assert_eq!(read.to_string(), price, "{text}");
        }
        for text in
            ["", "-1", "+1", "1e", "e5", ".5", "1 ", "NaN", "null", "1e-41", "1e99999999999"]
        {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
        assert_eq!(Decimal::read("12345678901234567891"), None);
        assert_eq!(Decimal::read("1000001").unwrap().price(), Err(PriceError::TooLarge));
        assert_eq!(Decimal::read("1e30").unwrap().price(), Err(PriceError::TooLarge));
    }

    #[test]
    fn a_factor_is_applied_before_anything_is_rounded() {
        let half = Decimal::read("0.0000000000005").unwrap();
        let by = Decimal::read("1.5").unwrap();
        assert_eq!(half.times(by).unwrap().price().unwrap().picos(), 1);
        let many = Decimal::read("9999999999999999999").unwrap();
        assert_eq!(many.times(many).and_then(|square| square.times(many)), None);
    }
}
