//! What changes in a file, and nothing of what does not: the rest may hold secrets.

use std::fmt::Write;

use super::{
    clients::Client,
    text::{self, Broken},
};

/// A line longer than this is shown only around what changes in it.
const WIDE: usize = 200;
/// How much of a long line is shown before and after what changes.
const AROUND: usize = 16;

/// The lines that go and the lines that come, under the number of the first, without the secrets
/// that the client's documents are known to hold. `public` is what may be shown in any case.
///
/// # Errors
/// If one of them is no document of this client's: what is secret in it is not known then.
pub(super) fn diff(client: Client, old: &str, new: &str, public: &str) -> Result<String, Broken> {
    let (of_old, of_new) = (text::secrets(client, old)?, text::secrets(client, new)?);
    let (shown_old, shown_new) = (of_old.hide(old), of_new.hide(new));
    let secrets = of_old.and(&of_new);
    Ok(told((old, &shown_old), (new, &shown_new), |line| secrets.hide_in(line, public)))
}

/// Compares the lines as they are, and shows them as they may be shown.
fn told(
    (old, shown_old): (&str, &str),
    (new, shown_new): (&str, &str),
    hidden: impl Fn(&str) -> String,
) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    let changed = |shown: &str, lines: usize| -> Vec<String> {
        shown.lines().take(lines - tail).skip(head).map(&hidden).collect()
    };
    let (went, came) = (changed(shown_old, old.len()), changed(shown_new, new.len()));
    let mut told = format!("line {}:", head + 1);
    let (went, came) = if went.iter().chain(&came).any(|line| line.chars().count() > WIDE) {
        narrow(&went.join("\n"), &came.join("\n"))
    } else {
        (went, came)
    };
    for (sign, lines) in [('-', went), ('+', came)] {
        for line in lines {
            // Writing to a string does not fail.
            let _ = write!(told, "\n{sign} {line}");
        }
    }
    told
}

/// What differs between two texts, and a little around it.
fn narrow(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let backwards = old.iter().rev().zip(new.iter().rev()).take(rest);
    let tail = backwards.take_while(|(a, b)| a == b).count();
    let part = |text: &[char]| {
        let from = head.saturating_sub(AROUND);
        let to = (text.len() - tail + AROUND).min(text.len());
        let shown: String = text.get(from..to).unwrap_or_default().iter().collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if to < text.len() { "…" } else { "" };
        format!("{before}{shown}{after}").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    (part(&old), part(&new))
}

#[cfg(test)]
mod tests {
    use super::{Client, told};

    fn diff(old: &str, new: &str) -> String {
        told((old, old), (new, new), str::to_owned)
    }

    #[test]
    fn only_the_lines_that_change_are_shown() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\ny\nc\n"), "line 2:\n- b\n+ x\n+ y");
        assert_eq!(diff("", "a\n"), "line 1:\n+ a");
        assert_eq!(diff("a\na\n", "a\n"), "line 2:\n- a");
    }

    #[test]
    fn of_a_long_line_only_what_changes_is_shown() {
        let line = |what: &str| format!("{}{what}{}", "s".repeat(300), "e".repeat(300));
        let told = diff(&line(""), &line("NEW"));
        assert!(told.contains("sNEWe") && told.chars().count() < 100, "{told}");
        assert!(told.contains("…ssss"), "{told}");
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_shown() {
        for client in [Client::Cursor, Client::Codex] {
            assert!(super::diff(client, "{", "", "").is_err(), "{client:?}");
        }
    }
}
