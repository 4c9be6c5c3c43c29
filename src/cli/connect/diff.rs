//! What changes in a file, and nothing of what does not: the rest may hold secrets.

use std::fmt::Write;

/// A line longer than this is shown only around what changes in it.
const WIDE: usize = 200;
/// How much of a long line is shown before and after what changes.
const AROUND: usize = 16;
/// A run of letters and digits that is as long as this may be a key; so much of it is shown.
const LONG: usize = 24;
const LEFT: usize = 4;

/// The lines that go and the lines that come, under the number of the first.
pub(super) fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    let (went, came) = (
        old.get(head..old.len() - tail).unwrap_or_default(),
        new.get(head..new.len() - tail).unwrap_or_default(),
    );
    let mut told = format!("line {}:", head + 1);
    let (went, came) = if went.iter().chain(came).any(|line| line.chars().count() > WIDE) {
        let (went, came) = (went.join("\n"), came.join("\n"));
        let (went, came) = narrow(&went, &came);
        (went, came)
    } else {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        (owned(went), owned(came))
    };
    for (sign, lines) in [('-', went), ('+', came)] {
        for line in lines {
            // Writing to a string does not fail.
            let _ = write!(told, "\n{sign} {}", masked(&line));
        }
    }
    told
}

/// A line without what may be somebody's key: of every long run of letters and digits, as tokens
/// and keys are and hardly a word is, only how it begins.
fn masked(line: &str) -> String {
    let of_a_key = |c: char| c.is_ascii_alphanumeric() || "_-+=~.".contains(c);
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(from) = rest.find(of_a_key) {
        let (before, run) = rest.split_at(from);
        let (run, after) = run.split_at(run.find(|c| !of_a_key(c)).unwrap_or(run.len()));
        let has = |kind: fn(&char) -> bool| run.chars().any(|c| kind(&c));
        let key = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
        shown.push_str(before);
        match run.get(..LEFT).filter(|_| key && run.len() >= LONG) {
            Some(begins) => {
                shown.push_str(begins);
                shown.push('…');
            }
            None => shown.push_str(run),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
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
    use super::diff;

    #[test]
    fn only_the_lines_that_change_are_shown() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\ny\nc\n"), "line 2:\n- b\n+ x\n+ y");
        assert_eq!(diff("", "a\n"), "line 1:\n+ a");
        assert_eq!(diff("a\na\n", "a\n"), "line 2:\n- a");
    }

    #[test]
    fn no_key_is_shown_on_either_side() {
        let key = "agt_4x7q2m5n8p3r6s9t2v5w8y3z";
        let line =
            format!("\"Authorization\": \"Bearer {key}\", \"API\": \"sk-{}\"", "a1".repeat(20));
        let told = diff(&line, "\"command\": \"/usr/local/bin/pettycash\"");
        let shown = "- \"Authorization\": \"Bearer agt_…\", \"API\": \"sk-a…\"\n";
        assert!(told.contains(shown), "{told}");
        assert!(told.ends_with("+ \"command\": \"/usr/local/bin/pettycash\""), "{told}");
    }

    #[test]
    fn of_a_long_line_only_what_changes_is_shown() {
        let line = |what: &str| format!("{}{what}{}", "s".repeat(300), "e".repeat(300));
        let told = diff(&line(""), &line("NEW"));
        assert!(told.contains("sNEWe") && told.chars().count() < 100, "{told}");
        assert!(told.contains("…ssss"), "{told}");
    }
}
