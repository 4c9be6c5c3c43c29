//! Presets: what the usual agents may spend, to begin with. All of them are data, a policy.

use std::str::FromStr;

use super::policy::Written;
use crate::policy::{
    mandate::{Mandate, MandateError, bounded},
    terms::PolicyTerms,
};

/// All presets, as a policy.
pub(super) const TEXT: &str = include_str!("presets.toml");

/// The mandate that one of them gives.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    name: String,
    mandate: Box<Mandate>,
}

impl Preset {
    /// The mandate.
    pub(super) fn mandate(&self) -> Mandate {
        Mandate::clone(&self.mandate)
    }

    /// What to do where its tiers do not go with what was typed.
    pub(super) fn hint(&self, wrong: &MandateError) -> Option<String> {
        let of_tiers = matches!(wrong, MandateError::TierBelow(_) | MandateError::TierWithoutLimit);
        let Self { name, .. } = self;
        of_tiers.then(|| {
            format!(
                "the tiers are those of the preset `{name}`: name others with `agent create \
                 --tier`, or none with `--no-tiers`"
            )
        })
    }
}

/// All of them, read.
pub(super) fn all() -> Result<PolicyTerms, String> {
    let read = Written::parse("the presets", TEXT.as_bytes().to_vec());
    read.map(|written| written.terms).map_err(|wrong| wrong.to_string())
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let PolicyTerms { agents, defaults, .. } = all()?;
        let found = agents.iter().find(|(name, _)| name.as_str() == text);
        let names = || agents.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let unknown =
            || format!("there is no preset `{}`: there are {}", bounded(text), names().join(", "));
        let (_, own) = found.ok_or_else(unknown)?;
        Ok(Self { name: text.to_owned(), mandate: Box::new(own.mandate(&defaults)) })
    }
}
