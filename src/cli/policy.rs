//! Policies as files: read with the place of everything in them, told, and written.
//!
//! What may stand in a file is what [`crate::policy::terms::PolicyTerms`] takes; nothing here names
//! its keys, but where a hint says more than the key does.

mod export;
mod mistake;
mod reader;
mod told;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::Context;

use super::output::{Failure, Output};
use crate::policy::terms::{PolicyPlan, PolicyTerms};
use mistake::{Mistake, Mistakes, Source};
use reader::{Places, read};

pub use export::policy_schema;
pub(super) use export::toml;
pub use mistake::Code as PolicyMistake;
pub(super) use told::words;

/// The longest file: it has ten thousand agents, and room.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// A policy as somebody wrote it.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) terms: PolicyTerms,
    source: Source,
    places: Places,
}

impl Written {
    /// Reads the policy in a file; `-` is standard input.
    pub(super) fn load(file: &Path) -> anyhow::Result<Self> {
        let doing = || format!("could not read `{}`", file.display());
        let (name, bytes) = if file == Path::new("-") {
            ("standard input".to_owned(), bounded(io::stdin().lock()).with_context(doing)?)
        } else {
            let opened = File::open(file).with_context(doing)?;
            (file.display().to_string(), bounded(opened).with_context(doing)?)
        };
        Ok(Self::parse(&name, bytes)?)
    }

    fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        let source = Source::new(name, bytes)?;
        let mut mistakes = Mistakes::default();
        let (terms, places) = read(source.text(), &mut mistakes);
        match terms.filter(|_| !mistakes.stand_in_the_way()) {
            Some(terms) => Ok(Self { terms, source, places }),
            None => Err(source.failure(&mistakes)),
        }
    }

    /// Tells what `plan` finds wrong, where it stands; an error where it stands in the way.
    pub(super) fn tell(&self, plan: &PolicyPlan, output: Output) -> Result<(), Failure> {
        let mut mistakes = Mistakes::default();
        for fault in &plan.faults {
            mistakes.push(Mistake::of(fault, |pointer| self.places.find(pointer)));
        }
        mistakes.leave_out(plan.faults_untold);
        mistakes.leave_out_warnings(plan.warnings_untold);
        let mistakes = mistakes.sorted();
        if mistakes.stand_in_the_way() {
            return Err(self.source.failure(&mistakes));
        }
        if !output.json && !mistakes.is_empty() {
            super::output::note(&self.source.render(&mistakes));
        }
        Ok(())
    }
}

/// All of it, but no more than one byte over the longest there may be.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
