//! Amounts: what is taken is digits with at most one point, means what it says, and is printed so
//! that it is read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pettycash::policy::money::Usd;

/// The nano-dollars of a text, read another way than the parser does.
fn nanos(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|byte| *byte == b'.');
    let decimals = point.map_or(0, |point| text.len() - point - 1);
    let starts = text.first()?.is_ascii_digit() && text.last()?.is_ascii_digit();
    if !starts || decimals > 9 {
        return None;
    }
    let mut total = 0_i128;
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => total = (total * 10 + i128::from(byte - b'0')).min(1 << 90),
            b'.' if Some(place) == point => {}
            _ => return None,
        }
    }
    let scale = 10_i128.pow(9 - u32::try_from(decimals).ok()?);
    i64::try_from(total * scale).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = text.parse::<Usd>();
    assert_eq!(parsed.ok().map(Usd::nanos), nanos(bytes), "{text:?}");
    let Ok(amount) = parsed else { return };
    let shown = amount.decimal();
    assert_eq!(shown.parse(), Ok(amount), "{text:?} is shown as {shown}");
    let (_, decimals) = shown.split_once('.').expect("a point");
    let canonical = decimals.len() == 2 || (decimals.len() > 2 && !decimals.ends_with('0'));
    assert!(canonical, "{shown}");
    assert_eq!(Usd::try_from(amount.nanos()), Ok(amount));
    for other in [Usd::MAX, amount] {
        let sum = amount.nanos().checked_add(other.nanos());
        assert_eq!(amount.plus(other).map(Usd::nanos), sum);
        assert_eq!(amount.plus(other).and_then(|sum| sum.minus(other)), sum.map(|_| amount));
    }
});
