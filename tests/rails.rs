//! What rails are made of: the meter of calls of language models, and the wire of the proxy.

mod bounding;
mod charging;
mod comparing;
mod extracting;
mod prices;
pub(crate) mod proxy;
mod reading;
mod referring;
mod rewriting;
mod streaming;

use std::{collections::BTreeMap, sync::LazyLock};

use pettycash::rails::meter::{Prices, Unit, Usage};

/// The table that comes with the program.
fn table() -> &'static Prices {
    static TABLE: LazyLock<Prices> = LazyLock::new(|| Prices::bundled().unwrap());
    &TABLE
}

/// A usage of that many of each unit, and nothing odd about it.
fn used(counts: &[(Unit, u64)]) -> Usage {
    let counts = counts.iter().copied().filter(|(_, count)| *count > 0);
    Usage { counts: counts.collect::<BTreeMap<_, _>>(), complete: true, ..Usage::default() }
}
