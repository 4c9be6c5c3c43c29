//! Where a configuration keeps what is nobody else's business, and how it is shown without it.
//!
//! The document itself tells most of it: what stands below `env` and `headers`, what follows
//! `--token`, what is called a secret. What else looks like a key is cut short as well: a net for
//! what no rule knew, in a comment as much as in a text.

use std::{cmp::Reverse, collections::BTreeSet, ops::Range};

use super::entry::STATE_VARIABLE;
use crate::home::HOME_VARIABLE;

/// What stands in the place of something that is not shown.
const HIDDEN: &str = "…";
/// Tables whose every value is taken for a secret.
const HOLDERS: [&str; 4] = ["auth", "env", "headers", "http_headers"];
/// How the name of a secret ends, in flags, in fields and before a `=`.
const NAMES: [&str; 7] =
    ["credential", "key", "passphrase", "passwd", "password", "secret", "token"];
/// Flags that a header of HTTP follows.
const HEADER_FLAGS: [&str; 2] = ["--header", "-H"];
/// Flags of one letter that no secret follows; behind any other may be a password.
const HARMLESS: [&str; 2] = ["-m", "-y"];
/// A value as long as this is hidden wherever else it stands too; a shorter one may be a word.
const TELLING: usize = 6;
/// A run of letters and digits that is as long as this may be a key; so much of it is shown.
const LONG: usize = 24;
const LEFT: usize = 4;

/// A document, and where in its text each value stands.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A text as it reads, and where it stands, quotes included.
    Text(String, Range<usize>),
    /// A number and the like.
    Plain(Range<usize>),
    /// Values in order.
    List(Vec<Part>),
    /// Values by name.
    Table(Vec<(String, Part)>),
}

/// What of a text is not shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    places: Vec<Range<usize>>,
    values: BTreeSet<String>,
}

impl Secrets {
    /// Those of a document that was read from `text`.
    pub(super) fn of(document: &Part, text: &str) -> Self {
        let mut found = Self::default();
        found.look(document, text);
        found.places.sort_by_key(|place| place.start);
        found
    }

    /// With the values of others, which may stand in the same lines.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.values.extend(other.values.iter().cloned());
        self
    }

    /// Their text with every secret hidden where it stands, in as many lines as it has.
    pub(super) fn hide(&self, text: &str) -> String {
        let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
        for place in &self.places {
            shown += text.get(at..place.start).unwrap_or_default();
            let secret = text.get(place.clone()).unwrap_or_default();
            shown += &secret.split('\n').map(|_| HIDDEN).collect::<Vec<_>>().join("\n");
            at = place.end;
        }
        shown + text.get(at..).unwrap_or_default()
    }

    /// A line without any of their values, wherever it comes from, and without what looks like a
    /// key. A value that stands in `public` too is hidden in its place only.
    pub(super) fn hide_in(&self, line: &str, public: &str) -> String {
        let secret = |value: &&String| line.contains(&**value) && !public.contains(&**value);
        let mut values: Vec<_> = self.values.iter().filter(secret).collect();
        // One may be a part of another.
        values.sort_by_key(|value| Reverse(value.len()));
        let hidden = |line: String, value: &String| line.replace(value, HIDDEN);
        without_keys(&values.into_iter().fold(line.to_owned(), hidden))
    }

    fn look(&mut self, part: &Part, text: &str) {
        match part {
            Part::Table(fields) => fields.iter().for_each(|(name, part)| {
                let name = name.to_lowercase();
                match part {
                    _ if HOLDERS.contains(&&*name) || is_secret(&name) => self.all(part, text),
                    Part::List(arguments) if name == "args" => self.arguments(arguments, text),
                    Part::Text(value, place) if name.ends_with("url") => {
                        self.behind(value, place, text, after_the_host);
                    }
                    Part::Text(..) | Part::Plain(_) | Part::List(_) | Part::Table(_) => {
                        self.look(part, text);
                    }
                }
            }),
            Part::List(parts) => parts.iter().for_each(|part| self.look(part, text)),
            Part::Text(..) | Part::Plain(_) => {}
        }
    }

    /// Every value, but for where our own data is.
    fn all(&mut self, part: &Part, text: &str) {
        match part {
            Part::Text(value, place) => self.add(value, place, text),
            Part::Plain(place) => self.places.push(place.clone()),
            Part::List(parts) => parts.iter().for_each(|part| self.all(part, text)),
            Part::Table(fields) => {
                let ours = |name: &str| [HOME_VARIABLE, STATE_VARIABLE].contains(&name);
                let others = fields.iter().filter(|(name, _)| !ours(name));
                others.for_each(|(_, part)| self.all(part, text));
            }
        }
    }

    /// What follows `--token` or a flag of one letter, and what stands behind `--token=` or
    /// `API_KEY=`.
    fn arguments(&mut self, arguments: &[Part], text: &str) {
        let (mut secret_follows, mut after_letter) = (false, false);
        for argument in arguments {
            let Part::Text(value, place) = argument else { continue };
            let (name, has_value) =
                value.split_once('=').map_or((&**value, false), |(name, _)| (name, true));
            if secret_follows {
                self.add(value, place, text);
            } else if has_value && (is_secret(name) || HEADER_FLAGS.contains(&name)) {
                self.behind(value, place, text, |value| value.find('=').map(|at| at + 1));
            } else if value.contains("://") {
                self.behind(value, place, text, after_the_host);
            }
            // A flag of one letter may take no value: then what follows it is a flag as well.
            let value_of_a_flag = secret_follows && !after_letter;
            let flag = name.starts_with('-') && !has_value && !value_of_a_flag;
            after_letter = flag && is_a_letter(name);
            let named = is_secret(name) || HEADER_FLAGS.contains(&name);
            secret_follows = after_letter || (flag && named);
        }
    }

    fn add(&mut self, value: &str, place: &Range<usize>, text: &str) {
        self.behind(value, place, text, |_| Some(0));
    }

    /// Hides a value from where `begins` says; all of it where its text has no such place.
    fn behind(
        &mut self,
        value: &str,
        place: &Range<usize>,
        text: &str,
        begins: impl Fn(&str) -> Option<usize>,
    ) {
        let Some(secret) = begins(value).and_then(|at| value.get(at..)) else { return };
        let inner = inside_the_quotes(place, text);
        let written = text.get(inner.clone()).unwrap_or_default();
        self.places.push(inner.start + begins(written).unwrap_or(0)..inner.end);
        let lines = secret.lines().filter(|line| line.len() >= TELLING);
        self.values.extend(lines.map(str::to_owned));
    }
}

/// Whether something of that name is a secret; `bearer_token_env_var` only says where one is.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|ending| name.trim_end_matches('s').ends_with(ending))
}

/// Whether a flag is one letter that says nothing of what follows.
fn is_a_letter(flag: &str) -> bool {
    flag.len() == 2
        && flag.ends_with(|c: char| c.is_ascii_alphabetic())
        && !HARMLESS.contains(&flag)
}

/// Where the rest of an address begins: keys are passed in paths and queries, and before an `@`.
fn after_the_host(address: &str) -> Option<usize> {
    let host = address.find("://")? + 3;
    let rest = address.get(host..)?;
    let ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = if rest.get(..ends)?.contains('@') { host } else { host + ends };
    (at < address.len()).then_some(at)
}

fn inside_the_quotes(place: &Range<usize>, text: &str) -> Range<usize> {
    let written = text.get(place.clone()).unwrap_or_default();
    let quote = |c: char| c == '"' || c == '\'';
    let triple = ["\"\"\"", "'''"].iter().any(|quotes| written.starts_with(quotes));
    let quotes =
        if triple && written.len() >= 6 { 3 } else { usize::from(written.starts_with(quote)) };
    if written.len() < 2 * quotes {
        place.clone()
    } else {
        place.start + quotes..place.end - quotes
    }
}

/// A line without what may be somebody's key: of every long run of letters and digits, as tokens
/// and keys are and hardly a word is, only how it begins.
fn without_keys(line: &str) -> String {
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
                shown.push_str(HIDDEN);
            }
            None => shown.push_str(run),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::{Secrets, after_the_host, is_secret, without_keys};

    #[test]
    fn the_name_tells_a_secret_from_where_one_is() {
        for name in ["--token", "API_KEY", "clientSecret", "db-password", "tokens", "--pass-key"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["bearer_token_env_var", "--token-file", "keyboard", "command", "passage"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn of_an_address_what_is_behind_the_host_may_be_a_key() {
        let shown =
            |address: &'static str| &address[..after_the_host(address).unwrap_or(address.len())];
        for (address, host) in [
            ("http://x", "http://x"),
            ("https://x:1/mcp", "https://x:1"),
            ("https://x?key=1", "https://x"),
            ("https://u:p@x/mcp", "https://"),
            ("x/y", "x/y"),
        ] {
            assert_eq!(shown(address), host, "{address}");
        }
    }

    #[test]
    fn what_looks_like_a_key_is_cut_where_no_rule_knows_it() {
        let key = "agt_4x7q2m5n8p3r6s9t2v5w8y3z";
        let line = format!("// \"Bearer {key}\", sk-{}, /usr/local/bin/pettycash", "a1".repeat(20));
        let shown = Secrets::default().hide_in(&line, "");
        assert_eq!(shown, "// \"Bearer agt_…\", sk-a…, /usr/local/bin/pettycash");
        assert_eq!(without_keys("\u{e4}\u{f6}\u{fc}"), "\u{e4}\u{f6}\u{fc}");
    }
}
