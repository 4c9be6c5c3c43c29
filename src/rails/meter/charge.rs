//! What a usage comes to.

use std::collections::BTreeSet;

use super::{
    Flag, ModelPrices, PricePerUnit, Unit, Usage,
    table::{Rate, Regions, Tiers},
};
use crate::policy::money::Usd;

/// Pico-dollars in one nano-dollar.
const PICOS_PER_NANO: i128 = 1_000;

/// What a call costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// All of it that has a price, rounded up once.
    pub amount: Usd,
    /// Whether all of it has one.
    pub complete: bool,
    /// What was odd about the usage or its prices.
    pub flags: BTreeSet<Flag>,
}

/// What `usage` comes to by the prices of one model: the exact sum, rounded up to a nano-dollar.
///
/// The size of the whole input, cached or not, decides which prices are due, and they are due for
/// every token of the call. That is how OpenAI bills more than 272K tokens of input
/// (<https://developers.openai.com/api/docs/pricing>), and Anthropic more than 100K of Haiku 5.5's
/// (<https://platform.claude.com/docs/en/about-claude/pricing>). What has no price of its own is
/// flagged and taken at the dearest that might be meant.
pub fn charge(prices: &ModelPrices, usage: &Usage) -> Charge {
    let size = usage.input_size();
    let tier = usage.tier.as_deref().unwrap_or("standard");
    let tiers = [tier];
    let (rates, mut flags) = prices.rates(Tiers::Of(&tiers), Regions::Of(usage.region.as_deref()));
    flags.extend(usage.flags.iter().copied());
    let (mut sum, mut complete) = (Sum::default(), !flags.contains(&Flag::UnpricedTool));
    for (&unit, &count) in usage.counts.iter().filter(|(_, count)| **count > 0) {
        let price = dearest(&rates, unit, |rate, unit| rate.at(unit, size), &mut flags);
        complete &= price.is_some();
        sum.add(count, price);
    }
    Charge { amount: sum.amount(&mut flags), complete, flags }
}

/// The dearest price of a unit among `rates`, or of what stands in for it.
pub(super) fn dearest(
    rates: &[&Rate],
    unit: Unit,
    price: impl Fn(&Rate, Unit) -> Option<PricePerUnit>,
    flags: &mut BTreeSet<Flag>,
) -> Option<PricePerUnit> {
    let of = |unit: Unit| rates.iter().filter_map(|rate| price(rate, unit)).max();
    of(unit).or_else(|| {
        flags.insert(Flag::NoPrice(unit));
        unit.likes().iter().filter_map(|like| of(*like)).max()
    })
}

/// A sum of prices, exact until it is asked for.
#[derive(Default)]
pub(super) struct Sum {
    picos: i128,
}

impl Sum {
    /// Adds so many units.
    pub(super) fn add(&mut self, count: u64, price: Option<PricePerUnit>) {
        let picos = price.map_or(0, PricePerUnit::picos);
        self.picos = self.picos.saturating_add(i128::from(count).saturating_mul(picos.into()));
    }

    /// The sum in nano-dollars, rounded up.
    pub(super) fn amount(&self, flags: &mut BTreeSet<Flag>) -> Usd {
        let up = PICOS_PER_NANO.saturating_sub(1);
        let nanos = self.picos.saturating_add(up).checked_div(PICOS_PER_NANO);
        let nanos = nanos.and_then(|nanos| i64::try_from(nanos).ok());
        nanos.and_then(|nanos| Usd::try_from(nanos).ok()).unwrap_or_else(|| {
            flags.insert(Flag::TooLarge);
            Usd::MAX
        })
    }
}
