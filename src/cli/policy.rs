//! Policies as files: read with the place of everything in them, told, and written.
//!
//! What may stand in a file is what [`crate::policy::terms::PolicyTerms`] takes; nothing here names
//! its keys, but where a hint says more than the key does.

mod explain;
mod export;
mod mask;
mod mistake;
mod reader;
mod shadow;
mod told;
mod trial;
mod twice;
mod verbs;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use anyhow::Context;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use super::output::{Failure, Output};
use crate::policy::terms::{PolicyPlan, PolicyTerms};
use mistake::{Mistake, Mistakes, Source};
use reader::{Places, read};

pub use export::policy_schema;
pub(super) use export::toml;
pub use mistake::Code as PolicyMistake;
pub(super) use told::words;
pub(super) use verbs::{Args, run};

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
            (file.display().to_string(), bytes_of(file).with_context(doing)?)
        };
        Ok(Self::parse(&name, bytes)?)
    }

    pub(super) fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        let source = Source::new(name, bytes)?;
        let mut mistakes = Mistakes::default();
        let (terms, places) = read(source.text(), &mut mistakes);
        match terms.filter(|_| !mistakes.stand_in_the_way()) {
            Some(terms) => Ok(Self { terms, source, places }),
            None => Err(source.failure(&mistakes)),
        }
    }

    /// Prints what a policy changes; to a program each fault's place says its line and column too.
    pub(super) fn print(&self, plan: &PolicyPlan, output: Output) -> anyhow::Result<()> {
        let mut value = serde_json::to_value(plan)?;
        let faults = value["faults"].as_array_mut().into_iter().flatten();
        for place in faults.filter_map(|fault| fault["at"].as_array_mut()).flatten() {
            let Value::Object(place) = place else { continue };
            let pointer = place.get("pointer").and_then(Value::as_str).unwrap_or_default();
            let range = self.places.find(pointer);
            self.source.locate(place, &range);
        }
        output.print(&value, || words(plan))
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

/// What is in a file, or comes out of a pipe that somebody writes to: one that nobody does would
/// be waited for without end.
fn bytes_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    let opened = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(file)?;
    let is_pipe = opened.metadata()?.file_type().is_fifo();
    let flags = fcntl_getfl(&opened)?;
    fcntl_setfl(&opened, flags.difference(OFlags::NONBLOCK))?;
    let bytes = bounded(opened)?;
    if is_pipe && bytes.is_empty() {
        return Err(Failure::Usage {
            message: format!("`{}` is a pipe that nobody writes to", file.display()),
            hint: "write to standard input, and name it `-`: make-policy | pettycash diff -"
                .to_owned(),
        }
        .into());
    }
    Ok(bytes)
}

/// All of it, but no more than one byte over the longest there may be.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
