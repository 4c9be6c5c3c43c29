//! The table as the README takes it.

use std::fmt::Write;

/// What a target asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// The parts of the table, each with its own columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    text: String,
    missed: Vec<String>,
}

impl Table {
    /// Begins a part, with a sentence that says what its floor is.
    pub(crate) fn part(&mut self, title: &str, floor: &str, columns: &[&str]) {
        let _ = write!(self.text, "\n**{title}.** {floor}\n\n");
        self.row(columns);
        self.row(&vec!["---"; columns.len()]);
    }

    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// A target, and whether `value` keeps it.
    pub(crate) fn judge(&mut self, what: &str, value: f64, target: Target) -> String {
        let (kept, said) = match target {
            Target::AtLeast(least) => (value >= least, format!("≥ {least}")),
            Target::AtMost(most) => (value <= most, format!("≤ {most}")),
        };
        if kept {
            return format!("{said} ✓");
        }
        self.missed.push(format!("{what}: {value:.2}, not {said}"));
        format!("{said} **missed**")
    }

    /// The whole text, and what was missed.
    pub(crate) fn end(self) -> (String, Vec<String>) {
        (self.text, self.missed)
    }
}
