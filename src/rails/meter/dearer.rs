//! Which of two models costs less, whatever a call uses.

use std::collections::BTreeSet;

use super::{
    ModelPrices, PricePerUnit, Unit,
    charge::dearest,
    table::{Rate, Regions, Tiers},
};

impl ModelPrices {
    /// Whether nothing costs more than by `other`: in no tier or region that either of them has,
    /// and at no size of the input. What one of them has no price for is not compared: no call is
    /// bounded that asks for it.
    pub fn is_no_dearer_than(&self, other: &Self) -> bool {
        let rates = || self.all().chain(other.all());
        let (tiers, regions): (BTreeSet<&str>, BTreeSet<Option<&str>>) =
            rates().map(|rate| (rate.tier(), rate.region())).unzip();
        let regions: Vec<Regions> =
            regions.into_iter().map(Regions::Of).chain([Regions::Any]).collect();
        // A size has a price of its own from the token behind a border on.
        let sizes: BTreeSet<u64> =
            rates().flat_map(Rate::borders).map(|size| size.saturating_add(1)).chain([0]).collect();
        let compare = |tiers: Tiers| {
            regions.iter().all(|region| {
                let (mine, theirs) = (self.rates(tiers, *region).0, other.rates(tiers, *region).0);
                sizes.iter().all(|size| is_no_dearer(&mine, &theirs, *size))
            })
        };
        tiers.into_iter().all(|tier| compare(Tiers::Of(&[tier]))) && compare(Tiers::Any)
    }
}

fn is_no_dearer(mine: &[&Rate], theirs: &[&Rate], size: u64) -> bool {
    let due = |rates: &[&Rate], unit| {
        dearest(rates, unit, |rate, unit| rate.at(unit, size), &mut BTreeSet::new())
    };
    let no_dearer = |unit: Unit| {
        let (mine, theirs): (Option<PricePerUnit>, _) = (due(mine, unit), due(theirs, unit));
        mine.zip(theirs).is_none_or(|(mine, theirs)| mine <= theirs)
    };
    Unit::ALL.into_iter().all(no_dearer)
}
