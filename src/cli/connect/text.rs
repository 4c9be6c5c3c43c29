//! What a client's configuration says of us, whatever its format.

use serde_json::{Map, Value};

use super::{
    clients::{Client, Format},
    json::{self, Json},
    secrets::Secrets,
    toml,
};

/// Why a text cannot be edited, and where in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

/// What some editors put in front of a text.
const MARK: char = '\u{feff}';

/// Our entry in a text, if there is one.
pub(super) fn entry(client: Client, text: &str) -> Result<Option<Value>, Broken> {
    let (_, text) = unmarked(text);
    match client.format() {
        Format::Json { servers, comments } => Json { servers, comments }.entry(text),
        Format::Toml => toml::entry(text),
    }
}

/// The text with our entry as it should be.
pub(super) fn with(
    client: Client,
    text: &str,
    entry: &Map<String, Value>,
) -> Result<String, Broken> {
    let (mark, text) = unmarked(text);
    let text = match client.format() {
        Format::Json { servers, comments } => Json { servers, comments }.with(text, entry)?,
        Format::Toml => toml::with(text, entry)?,
    };
    Ok(mark.to_owned() + &text)
}

/// The text without our entry; with `servers_too` without what held it, if that is empty then.
pub(super) fn without(client: Client, text: &str, servers_too: bool) -> Result<String, Broken> {
    let (mark, text) = unmarked(text);
    let text = match client.format() {
        Format::Json { servers, comments } => {
            Json { servers, comments }.without(text, servers_too)?
        }
        Format::Toml => toml::without(text)?,
    };
    Ok(mark.to_owned() + &text)
}

/// What of a text is shown to nobody.
pub(super) fn secrets(client: Client, text: &str) -> Result<Secrets, Broken> {
    // Another character is put where the mark is, so that every place stays what it is.
    let (mark, unmarked) = unmarked(text);
    let blank = " ".repeat(mark.len()) + unmarked;
    let part = match client.format() {
        Format::Json { .. } => json::part(&blank)?,
        Format::Toml => toml::part(&blank)?,
    };
    Ok(Secrets::of(&part, &blank))
}

/// Our entry alone, as one would paste it.
pub(super) fn snippet(client: Client, entry: &Map<String, Value>) -> String {
    match client.format() {
        Format::Json { servers, comments } => {
            format!("{:#}\n", Json { servers, comments }.alone(entry))
        }
        Format::Toml => toml::alone(entry),
    }
}

/// Whether the key that holds the servers is in the text.
pub(super) fn has_servers(client: Client, text: &str) -> bool {
    let (_, text) = unmarked(text);
    match client.format() {
        Format::Json { servers, comments } => {
            let document = Json { servers, comments }.document(text);
            document.is_ok_and(|document| document.get(servers).is_some())
        }
        Format::Toml => true,
    }
}

/// The projects whose own servers hide ours: only Claude Code keeps them in the same file.
pub(super) fn hidden_in(client: Client, text: &str) -> Vec<String> {
    let (_, text) = unmarked(text);
    let Format::Json { servers, comments } = client.format() else { return Vec::new() };
    let document = Json { servers, comments }.document(text).unwrap_or_default();
    let projects = document.get("projects").and_then(Value::as_object).into_iter().flatten();
    let hides = |project: &Value| {
        let named = project.get(servers).and_then(|servers| servers.get(super::entry::NAME));
        named.is_some()
    };
    projects.filter(|(_, project)| hides(project)).map(|(path, _)| path.clone()).collect()
}

fn unmarked(text: &str) -> (&str, &str) {
    let plain = text.strip_prefix(MARK).unwrap_or(text);
    text.split_at(text.len() - plain.len())
}
