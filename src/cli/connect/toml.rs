//! A configuration in TOML, edited where it stands: what others wrote stays as they wrote it.

use std::ops::Range;

use serde_json::{Map, Value};
use toml_edit::{
    Array, Document, DocumentMut, InlineTable, Item, Table, TableLike, Value as Toml, value,
};

use super::{entry::NAME, secrets::Part, text::Broken};

/// The table of all servers.
const SERVERS: &str = "mcp_servers";

/// Our entry, if there is one.
pub(super) fn entry(text: &str) -> Result<Option<Value>, Broken> {
    let document: DocumentMut = parse(text)?;
    Ok(servers(document.as_table())?.and_then(|servers| servers.get(NAME)).map(json))
}

/// All that a text says, and where in it.
pub(super) fn part(text: &str) -> Result<Part, Broken> {
    let document = Document::parse(text).map_err(|error| broken(&error))?;
    Ok(table_part(document.as_table()))
}

/// The text with our entry as it should be.
pub(super) fn with(text: &str, entry: &Map<String, Value>) -> Result<String, Broken> {
    let mut document = parse(text)?;
    let present = servers(document.as_table())?.and_then(|servers| servers.get(NAME)).is_some();
    if !present {
        // At the end nothing that is there moves, and no comment changes its neighbour. Where the
        // servers are not in tables of their own, TOML does not allow it there.
        let added = appended(text, entry);
        if self::entry(&added).is_ok_and(|found| found == Some(Value::Object(entry.clone()))) {
            return Ok(added);
        }
    }
    let table = document.as_table_mut().entry(SERVERS).or_insert_with(Item::default);
    let servers = table.as_table_like_mut().ok_or_else(no_table)?;
    if let Some(found) = servers.get_mut(NAME).and_then(Item::as_table_like_mut) {
        sync(found, entry);
    } else {
        let mut table = InlineTable::new();
        sync(&mut table, entry);
        servers.insert(NAME, value(table));
    }
    Ok(endings(text, &document.to_string()))
}

/// The text without our entry.
pub(super) fn without(text: &str) -> Result<String, Broken> {
    let document = Document::parse(text).map_err(|error| broken(&error))?;
    let found = servers(document.as_table())?.and_then(|servers| servers.get(NAME));
    let table = found.and_then(Item::as_table).filter(|table| table.span().is_some());
    let Some(table) = table.filter(|table| !table.is_dotted()) else {
        let mut document = parse(text)?;
        let servers = document.get_mut(SERVERS).and_then(Item::as_table_like_mut);
        servers.and_then(|servers| servers.remove(NAME));
        return Ok(endings(text, &document.to_string()));
    };
    let mut parts = Vec::new();
    spans(table, &mut parts);
    Ok(cut(text, parts))
}

/// Our entry and nothing else.
pub(super) fn alone(entry: &Map<String, Value>) -> String {
    let mut server = Table::new();
    sync(&mut server, entry);
    let mut servers = Table::new();
    servers.set_implicit(true);
    servers.insert(NAME, Item::Table(server));
    let mut document = DocumentMut::new();
    document.insert(SERVERS, Item::Table(servers));
    document.to_string()
}

fn appended(text: &str, entry: &Map<String, Value>) -> String {
    let newline = newline(text);
    let mut added = text.to_owned();
    if !added.is_empty() {
        // An empty line between, and the end of a last line that has none.
        let ends = if added.ends_with('\n') { 1 } else { 2 };
        added += &newline.repeat(ends);
    }
    added + &alone(entry).replace('\n', newline)
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The new text with the ends of lines that the old one has: the editor ends all of them alike.
fn endings(old: &str, new: &str) -> String {
    let old_lines: Vec<&str> = old.split_inclusive('\n').collect();
    let new_lines: Vec<&str> = new.split_inclusive('\n').collect();
    let bare = |line: &str| line.trim_end_matches('\n').trim_end_matches('\r').to_owned();
    let same = |(a, b): &(&&str, &&str)| bare(a) == bare(b);
    let head = old_lines.iter().zip(&new_lines).take_while(same).count();
    let rest = old_lines.len().min(new_lines.len()) - head;
    let backwards = old_lines.iter().rev().zip(new_lines.iter().rev()).take(rest);
    let tail = backwards.take_while(same).count();
    let changed = new_lines.get(head..new_lines.len() - tail).unwrap_or_default();
    let ending = |nth: usize| match old_lines.get(head + nth) {
        Some(line) if line.ends_with('\n') && !line.ends_with("\r\n") => "\n",
        Some(_) | None => newline(old),
    };
    let changed = changed.iter().enumerate().map(|(nth, line)| {
        let end = if line.ends_with('\n') { ending(nth) } else { "" };
        bare(line) + end
    });
    let before = old_lines.iter().take(head).map(|line| (*line).to_owned());
    let after = old_lines.iter().skip(old_lines.len() - tail).map(|line| (*line).to_owned());
    before.chain(changed).chain(after).collect()
}

fn parse(text: &str) -> Result<DocumentMut, Broken> {
    text.parse().map_err(|error| broken(&error))
}

fn broken(error: &toml_edit::TomlError) -> Broken {
    // The first line says where, the last one what.
    let told = error.to_string();
    let place = told.lines().next().unwrap_or_default().trim_start_matches("TOML parse error ");
    Broken(format!("{} {place}", error.message()))
}

fn no_table() -> Broken {
    Broken(format!("`{SERVERS}` is no table"))
}

fn servers(top: &Table) -> Result<Option<&dyn TableLike>, Broken> {
    top.get(SERVERS).map(|found| found.as_table_like().ok_or_else(no_table)).transpose()
}

/// Makes a table say what it should, and touches nothing that says it already.
fn sync(table: &mut dyn TableLike, wanted: &Map<String, Value>) {
    let stale: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    for name in stale.iter().filter(|name| !wanted.contains_key(*name)) {
        table.remove(name);
    }
    for (name, wanted) in wanted {
        match (table.get_mut(name), wanted) {
            (Some(found), _) if json(found) == *wanted => {}
            (Some(found), Value::Object(wanted)) if found.is_table_like() => {
                if let Some(found) = found.as_table_like_mut() {
                    sync(found, wanted);
                }
            }
            (Some(found), _) => replace(found, toml(wanted)),
            (None, _) => {
                table.insert(name, value(toml(wanted)));
            }
        }
    }
}

/// Puts another value in the place of one, with the comments that stand around it.
fn replace(item: &mut Item, new: Toml) {
    let around = item.as_value().map(|old| old.decor().clone());
    *item = value(new);
    if let (Some(around), Some(new)) = (around, item.as_value_mut()) {
        *new.decor_mut() = around;
    }
}

/// The values that an entry of ours can have.
fn toml(value: &Value) -> Toml {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Array(values) => values.iter().map(toml).collect::<Array>().into(),
        Value::Object(values) => {
            let mut table = InlineTable::new();
            for (name, value) in values {
                table.insert(name, toml(value));
            }
            table.into()
        }
        Value::String(text) => text.into(),
        Value::Null | Value::Number(_) => value.to_string().into(),
    }
}

/// What an item says, dates and the like as they are written.
fn json(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => json_value(value),
        Item::Table(table) => {
            table.iter().map(|(name, item)| (name.to_owned(), json(item))).collect()
        }
        Item::ArrayOfTables(tables) => {
            let one = |table: &Table| json(&Item::Table(table.clone()));
            tables.iter().map(one).collect()
        }
    }
}

fn json_value(value: &Toml) -> Value {
    match value {
        Toml::String(text) => Value::String(text.value().clone()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Value::from(*number.value()),
        Toml::Boolean(value) => Value::Bool(*value.value()),
        Toml::Datetime(date) => Value::String(date.value().to_string()),
        Toml::Array(values) => values.iter().map(json_value).collect(),
        Toml::InlineTable(table) => {
            table.iter().map(|(name, value)| (name.to_owned(), json_value(value))).collect()
        }
    }
}

fn table_part(table: &dyn TableLike) -> Part {
    let placed = |item: &Item| match item {
        Item::None => Part::List(Vec::new()),
        Item::Value(value) => value_part(value),
        Item::Table(table) => table_part(table),
        Item::ArrayOfTables(tables) => {
            Part::List(tables.iter().map(|table| table_part(table)).collect())
        }
    };
    Part::Table(table.iter().map(|(name, item)| (name.to_owned(), placed(item))).collect())
}

fn value_part(value: &Toml) -> Part {
    let place = || value.span().unwrap_or_default();
    match value {
        Toml::String(text) => Part::Text(text.value().clone(), place()),
        Toml::Array(values) => Part::List(values.iter().map(value_part).collect()),
        Toml::InlineTable(table) => table_part(table),
        Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) | Toml::Datetime(_) => {
            Part::Plain(place())
        }
    }
}

/// Where a table and all tables below it stand, header and values.
fn spans(table: &Table, parts: &mut Vec<Range<usize>>) {
    let Some(mut part) = table.span() else { return };
    for (_, item) in table {
        match item {
            Item::Table(below) if !below.is_dotted() => spans(below, parts),
            Item::ArrayOfTables(all) => all.iter().for_each(|below| spans(below, parts)),
            Item::Table(below) => part.end = part.end.max(last(below)),
            Item::Value(_) | Item::None => part.end = part.end.max(end(item)),
        }
    }
    parts.push(part);
}

/// Where the last value of a table that is written with dots ends.
fn last(table: &Table) -> usize {
    let ends = table.iter().map(|(_, item)| match item {
        Item::Table(below) => last(below),
        Item::None | Item::Value(_) | Item::ArrayOfTables(_) => end(item),
    });
    ends.max().unwrap_or(0)
}

fn end(item: &Item) -> usize {
    item.span().map_or(0, |span| span.end)
}

/// The text without the lines of these parts, nor the empty line that each of them leaves.
fn cut(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|part| std::cmp::Reverse(part.start));
    let mut text = text.to_owned();
    for part in parts {
        let start = text[..part.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[part.end..].find('\n').map_or(text.len(), |at| part.end + at + 1);
        text.replace_range(start..end, "");
        let before = text.get(..start).unwrap_or_default();
        let crlf = before.ends_with("\r\n\r\n");
        let empty_before = if crlf { 2 } else { usize::from(before.ends_with("\n\n")) };
        let after = text.get(start..).unwrap_or_default();
        if after.is_empty() || after.starts_with(['\r', '\n']) {
            text.replace_range(start - empty_before..start, "");
        }
    }
    text
}
