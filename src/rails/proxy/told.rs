//! Prices as APIs tell them: often what a float came to, with more decimals than money has.

use crate::policy::money::Usd;

/// How many decimals an amount has.
const DECIMALS: usize = 9;

/// The price that a text tells: `0.02`, `1.5e-5`, or what a float printed, which is rounded up to
/// the nano-dollar. Nothing where it is no price.
pub(super) fn price(text: &str) -> Option<Usd> {
    let plain = if text.contains(['e', 'E']) {
        // The shortest text that reads back as the same number, without an exponent.
        text.parse::<f64>().ok().filter(|number| number.is_finite())?.to_string()
    } else {
        text.to_owned()
    };
    let Some((whole, fraction)) = plain.split_once('.') else { return plain.parse().ok() };
    let Some((kept, rest)) = fraction.split_at_checked(DECIMALS) else { return plain.parse().ok() };
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let least: Usd = format!("{whole}.{kept}").parse().ok()?;
    let more = i64::from(rest.bytes().any(|byte| byte != b'0'));
    least.plus(more.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::price;

    #[test]
    fn what_is_finer_than_money_is_rounded_up() {
        for (told, is) in [
            ("0.02", "0.02"),
            ("0", "0.00"),
            ("3", "3.00"),
            ("0.030000000000000027", "0.030000001"),
            ("0.0123456789012", "0.012345679"),
            ("0.1234567890000", "0.123456789"),
            ("0.999999999999", "1.00"),
            ("1.5e-5", "0.000015"),
            ("2E-12", "0.000000001"),
            ("1e2", "100.00"),
        ] {
            let read = price(told).unwrap_or_else(|| panic!("{told}"));
            assert_eq!(read, is.parse().unwrap(), "{told}");
        }
        for told in [
            "",
            "-1",
            "-1e-5",
            "NaN",
            "inf",
            "1e400",
            "0.12345678901x",
            "1.",
            ".5",
            "0x1",
            "1e",
            "$1",
        ] {
            assert_eq!(price(told), None, "{told}");
        }
        assert_eq!(price("99999999999999.99"), None, "more than money goes to");
    }
}
