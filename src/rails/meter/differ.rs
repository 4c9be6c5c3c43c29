//! Whether other prices of a model cost more or less.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{ModelPrices, Unit};

/// What other prices of a model come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// Nothing is said otherwise.
    Same,
    /// Something costs more, and nothing is otherwise that could cost less.
    Dearer,
    /// Something costs less, or could: a price, a tier or a bound that only one of the two has may
    /// have a call cost less than it did.
    Cheaper,
}

impl ModelPrices {
    /// What these are beside those that were before.
    pub fn since(&self, before: &Self) -> Differs {
        let rates = |model: &Self| -> BTreeSet<_> {
            let named =
                |tier: &str, region: Option<&str>| (tier.to_owned(), region.map(str::to_owned));
            model.listed().iter().map(|one| named(one.tier, one.region)).collect()
        };
        let all = rates(self);
        let most = |model: &Self| (model.max_input_tokens(), model.max_output_tokens());
        if all != rates(before) || most(self) != most(before) {
            return Differs::Cheaper;
        }
        // Between two sizes at which either of them changes, nothing does.
        let listed = [self.listed(), before.listed()].concat();
        let above = listed.iter().filter_map(|one| one.above);
        let sizes: BTreeSet<u64> = above.map(|size| size.saturating_add(1)).chain([1]).collect();
        let mut found = Differs::Same;
        for (tier, region) in &all {
            for (size, unit) in sizes.iter().flat_map(|size| Unit::ALL.map(|unit| (*size, unit))) {
                let price = |model: &Self| model.price(tier, region.as_deref(), unit, size);
                match (price(before), price(self)) {
                    (Some(before), Some(now)) => match now.cmp(&before) {
                        Ordering::Less => return Differs::Cheaper,
                        Ordering::Equal => {}
                        Ordering::Greater => found = Differs::Dearer,
                    },
                    (None, None) => {}
                    (None, Some(_)) | (Some(_), None) => return Differs::Cheaper,
                }
            }
        }
        found
    }
}
