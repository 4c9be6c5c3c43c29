//! Quotes as a story asks for them and tells them.

use std::fmt::Write as _;

use jiff::Timestamp;
use pettycash::policy::{
    authorize::Payment,
    moment::Moment,
    money::Usd,
    quote::{Later, MAX_CALLS, quote},
    rooms::Spender,
    window::Zone,
};

/// What `[AMOUNT] [calls N] [by MOMENT]` asks.
pub(crate) struct Asked {
    pub(crate) amount: Option<Usd>,
    calls: u32,
    by: Option<Timestamp>,
}

impl Asked {
    pub(crate) fn read(words: &[&str], zone: &Zone, now: Timestamp) -> Self {
        let mut asked = Self { amount: None, calls: MAX_CALLS, by: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().expect("a value");
            match *word {
                "calls" => asked.calls = next().parse().unwrap(),
                "by" => asked.by = next().parse::<Moment>().unwrap().future(zone, now),
                amount => asked.amount = Some(amount.parse().unwrap()),
            }
        }
        asked
    }

    pub(crate) fn told(&self, spender: &Spender<'_>, payment: &Payment, now: Timestamp) -> String {
        let quote = quote(spender, payment, self.calls, self.by, now);
        let mut told = format!("{} fit", quote.fits);
        if let Some(limit) = quote.limit {
            write!(told, ", then {}: {}", limit.code().word(), limit.sentence()).unwrap();
        }
        if let Some(at) = quote.frees_at {
            write!(told, " Room at {at}.").unwrap();
        }
        if let Some(Later { by, fits }) = quote.later {
            write!(told, " By {by} {fits} fit.").unwrap();
        }
        told
    }
}
