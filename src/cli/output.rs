//! What the terminal shows: data on stdout, everything else on stderr, as text or as JSON.

use std::{
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::owner;
use crate::{
    client::ClientError,
    policy::names::unhidden,
    serve::{ServeError, outlive_limits},
};

/// All went well; a payment was made.
pub(super) const PAID: u8 = 0;
/// The arguments were wrong.
pub(super) const USAGE: u8 = 2;
/// It did not work, or something is wrong.
pub(super) const FAILED: u8 = 1;
/// A payment is not made, or not yet: denied, failed, in doubt or in progress.
pub(super) const NOT_PAID: u8 = 3;
/// The record cannot be written.
pub(super) const UNWRITABLE: u8 = 4;
const UNREACHABLE: u8 = 5;
const UNVERIFIED: u8 = 6;
/// It takes an operator, who was not proven.
const OPERATOR_NEEDED: u8 = 7;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

/// An error with what to do about it, and the exit code it deserves.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What was typed does not make sense.
    #[error("{message}")]
    Usage { message: String, hint: String },
    /// A client's configuration cannot be read or changed.
    #[error("{message}")]
    Config { message: String, hint: String },
    /// A file cannot be written.
    #[error("{message}")]
    File { message: String, hint: String },
    /// It takes an operator.
    #[error("{message}")]
    OperatorNeeded { message: String, hint: String },
    /// A policy's file has mistakes.
    #[error("{message}")]
    Policy { message: String, rendered: String, faults: Vec<Value> },
    /// The record does not verify.
    #[error("the record does not verify: {}", problems.join("; "))]
    Unverified { problems: Vec<String> },
}

/// An amount of nothing where something is meant.
pub(super) fn above_zero() -> Failure {
    let hint = "give dollars as digits with at most one point, such as 0.25".to_owned();
    Failure::Usage { message: "the amount must be above zero".to_owned(), hint }
}

impl Output {
    /// Prints a value as JSON, or in words.
    pub(super) fn print(
        self,
        value: &impl Serialize,
        words: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { words() };
        say(text.trim_end())
    }

    /// Prints words that a program has no use for.
    pub(super) fn words(self, text: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { say(text) }
    }
}

/// Prints a line on stdout.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    print_all(format!("{text}\n").as_bytes())
}

/// Says something on stderr that is for people only.
pub(super) fn note(text: &str) {
    // Where stderr is gone nobody reads it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints bytes on stdout as they are; a reader that has gone, as `head` does, is no error.
pub(super) fn print_all(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The longest word that a column is always as wide as: an id, a handle, an amount or a time.
const WORD: usize = 63;

/// Rows under a heading, as wide as the terminal is.
pub(super) fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let table = filled(heading, rows);
    let width = table.width();
    laid_out(table, width)
}

fn filled(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !heading.is_empty() {
        table.set_header(heading.iter().copied());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    table
}

/// A table that breaks its lines between words, so that what is copied from it is whole: where even
/// that is too wide, it is the terminal's to break. A terminal of no width has not said how wide it
/// is.
fn laid_out(mut table: Table, width: Option<u16>) -> String {
    let Some(width) = width.filter(|width| *width > 0) else {
        return table.set_content_arrangement(ContentArrangement::Disabled).trim_fmt();
    };
    let mut widest: Vec<usize> = Vec::new();
    for row in table.header().into_iter().chain(table.row_iter()) {
        for (at, cell) in row.cell_iter().enumerate() {
            let text = cell.content();
            let words = text.split_whitespace().map(|word| word.chars().count());
            let word = words.max().unwrap_or(0).min(WORD);
            match widest.get_mut(at) {
                Some(widest) => *widest = word.max(*widest),
                None => widest.push(word),
            }
        }
    }
    table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    for (column, widest) in table.column_iter_mut().zip(widest) {
        let least =
            u16::try_from(widest).unwrap_or(u16::MAX).saturating_add(column.padding_width());
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
    table.trim_fmt()
}

/// A text that came from somebody, without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    unhidden(text, |_, hidden, told| {
        told.push(char::REPLACEMENT_CHARACTER);
        hidden.len_utf8()
    })
}

/// Says on stderr what went wrong, why, and what to do about it.
pub(super) fn report(error: &anyhow::Error, output: Output) {
    let (code, hint) = (word(error), hint(error));
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let text = if output.json {
        let mut problem = json!({"code": code, "detail": error.to_string()});
        if !causes.is_empty() {
            problem["cause"] = json!(causes.join(": "));
        }
        if let Some(hint) = hint {
            problem["hint"] = json!(hint);
        }
        if let Some(Failure::Policy { faults, .. }) = failure(error) {
            problem["faults"] = json!(faults);
        }
        format!("{}\n", json!({"error": problem}))
    } else {
        let mut text = String::new();
        if let Some(Failure::Policy { rendered, .. }) = failure(error) {
            let _ = writeln!(text, "{rendered}\n");
        }
        let _ = writeln!(text, "error: {}", plain(&error.to_string()));
        for cause in causes {
            let _ = writeln!(text, "cause: {}", plain(&cause));
        }
        if let Some(hint) = hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    };
    // Where even stderr is gone there is nobody left to tell.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The exit code that an error deserves.
pub(super) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let serve = error.chain().find_map(|cause| cause.downcast_ref());
    if let Some(ServeError::Unwritable { .. }) = serve {
        return ExitCode::from(UNWRITABLE);
    }
    ExitCode::from(match (failure(error), client(error)) {
        (Some(Failure::Usage { .. } | Failure::Policy { .. }), _) => USAGE,
        (Some(Failure::Unverified { .. }), _) => UNVERIFIED,
        (Some(Failure::OperatorNeeded { .. }), _) => OPERATOR_NEEDED,
        (None, Some(ClientError::Problem(problem)))
            if problem.code.starts_with("operator_proof_") =>
        {
            OPERATOR_NEEDED
        }
        (None, Some(ClientError::Problem(problem))) if problem.code == "ledger_unwritable" => {
            UNWRITABLE
        }
        // What only the engine can tell of what was typed.
        (None, Some(ClientError::Problem(problem))) if problem.code == "invalid_request" => USAGE,
        (Some(Failure::Config { .. } | Failure::File { .. }), _)
        | (None, Some(ClientError::Problem(_)) | None) => FAILED,
        (None, Some(_)) => UNREACHABLE,
    })
}

fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn client(error: &anyhow::Error) -> Option<&ClientError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn word(error: &anyhow::Error) -> String {
    match (failure(error), client(error)) {
        (Some(Failure::Usage { .. }), _) => "usage".to_owned(),
        (Some(Failure::Config { .. }), _) => "client_config".to_owned(),
        (Some(Failure::File { .. }), _) => "file_unwritable".to_owned(),
        (Some(Failure::Policy { .. }), _) => "policy_invalid".to_owned(),
        (Some(Failure::Unverified { .. }), _) => "verification_failed".to_owned(),
        (Some(Failure::OperatorNeeded { .. }), _) => "operator_needed".to_owned(),
        (_, Some(ClientError::Problem(problem))) => problem.code.clone(),
        (_, Some(_)) => "engine_unavailable".to_owned(),
        (None, None) => "failed".to_owned(),
    }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    match failure(error) {
        Some(
            Failure::Usage { hint, .. }
            | Failure::Config { hint, .. }
            | Failure::File { hint, .. }
            | Failure::OperatorNeeded { hint, .. },
        ) => Some(hint.clone()),
        Some(Failure::Unverified { .. }) => Some(
            "keep a copy of the data directory, and bring the damaged file back from an \
                 earlier one"
                .to_owned(),
        ),
        Some(Failure::Policy { .. }) => None,
        None => owner::hint(error),
    }
}

/// Runs the few requests of a verb to their end.
pub(super) fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        outlive_limits()?;
        work.await
    })
}

#[cfg(test)]
mod tests {
    use super::{filled, laid_out};

    const ID: &str = "pay_000000003e72f036";
    const AT: &str = "2026-11-22T10:46:56Z";
    const NOTE: &str = "it looped over the weekend and nobody looked at what it asked for";

    fn shown(width: Option<u16>) -> String {
        let row = [AT, "scout", "captured", ID, NOTE].map(str::to_owned).to_vec();
        laid_out(filled(&["AT", "AGENT", "WHAT", "PAYMENT", ""], [row]), width)
    }

    #[test]
    fn a_table_breaks_no_word_however_narrow_the_terminal_is() {
        for width in [1, 20, 60, 80, 100] {
            let shown = shown(Some(width));
            for word in [AT, "scout", "captured", ID].into_iter().chain(NOTE.split(' ')) {
                assert!(shown.split_whitespace().any(|shown| shown == word), "{width}:\n{shown}");
            }
        }
        let shown = shown(Some(80));
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.lines().count() > 3, "the note takes what is left:\n{shown}");
    }

    #[test]
    fn a_terminal_without_a_width_has_every_row_in_a_line() {
        for unknown in [None, Some(0)] {
            assert_eq!(shown(unknown).lines().count(), 2, "{unknown:?}");
        }
    }
}
