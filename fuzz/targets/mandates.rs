//! What operators type: what is taken is printed so that it is read back the same.
#![no_main]

use std::{
    fmt::{Debug, Display},
    str::FromStr,
    time::Duration,
};

use jiff::SignedDuration;
use libfuzzer_sys::fuzz_target;
use pettycash::{
    cli::{Expiry, expiry, idle_exit},
    policy::{
        mandate::{Bound, Cap, CapKey, Funding},
        money::Usd,
        names::{Handle, IdempotencyKey, Note, Payee, PaymentId, Reason, RunId, ServiceId},
        terms::NewAgent,
        window::{Period, Zone},
    },
};

fn is_read_back<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    let shown = value.to_string();
    assert_eq!(shown.parse::<T>().expect("what is shown is read"), value, "{text:?}: {shown}");
    Some(value)
}

fn is_kept<T: FromStr<Err: Debug> + Display>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        assert_eq!(name.to_string(), text);
    }
}

fn cap(text: &str) {
    let Some(cap) = is_read_back::<Cap>(text) else { return };
    is_read_back::<CapKey>(&cap.key().to_string()).expect("what tells it apart");
    let (most, rest) = text.split_once('/').expect("AMOUNT/PERIOD");
    match cap.bound {
        Bound::Amount(amount) => assert_eq!(most.parse::<Usd>(), Ok(amount)),
        Bound::Count(count) => assert_eq!(most, format!("{count}x")),
    }
    assert_eq!(rest.split(' ').next().expect("a period").parse(), Ok(cap.period));
    assert_eq!(rest.contains(' '), !cap.on.is_all());
}

fn ends(text: &str) {
    match expiry(text) {
        Ok(Expiry::At(at)) => {
            let shown = at.to_string();
            assert!(matches!(expiry(&shown), Ok(Expiry::At(same)) if same == at), "{shown}");
        }
        Ok(Expiry::In(span)) => {
            assert!(span > SignedDuration::ZERO);
            let seconds = span.as_secs();
            let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
            // The finest unit in which the number is not too great.
            let shown = units.iter().find_map(|(unit, of)| {
                let number = u32::try_from(seconds / of).ok()?;
                (seconds % of == 0).then(|| format!("{number}{unit}"))
            });
            let shown = shown.unwrap();
            assert!(matches!(expiry(&shown), Ok(Expiry::In(same)) if same == span), "{shown}");
        }
        Err(_) => {}
    }
}

fn idles(text: &str) {
    let Ok(time) = idle_exit(text) else { return };
    assert!(time > Duration::ZERO);
    let shown = SignedDuration::try_from(time).expect("it came from one").to_string();
    assert_eq!(idle_exit(&shown), Ok(time), "{shown}");
}

fn agent(text: &str) {
    let Ok(new) = serde_json::from_str::<NewAgent>(text) else { return };
    let _ = new.mandate().check();
    let shown = serde_json::to_string(&new).expect("it is JSON");
    let same = serde_json::from_str::<NewAgent>(&shown).expect("what is shown is read");
    assert_eq!(same, new, "{shown}");
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    cap(text);
    ends(text);
    idles(text);
    agent(text);
    is_read_back::<Period>(text);
    if let Ok(zone) = text.parse::<Zone>() {
        assert_eq!(zone.name().parse(), Ok(zone));
    }
    is_kept::<Funding>(text);
    is_kept::<Handle>(text);
    is_kept::<ServiceId>(text);
    is_kept::<Payee>(text);
    is_kept::<RunId>(text);
    is_kept::<IdempotencyKey>(text);
    is_kept::<Reason>(text);
    is_kept::<Note>(text);
    is_kept::<PaymentId>(text);
});
