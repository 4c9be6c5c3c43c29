//! A key that stands twice: the parser says where it is the second time, and this where the first.

use std::ops::Range;

use toml_edit::{Document, Item, Key, TableLike, TomlError};

use super::mistake::{Code, Mistake};
use crate::policy::mandate::bounded;

/// A name for the second of two equal keys, to find the table that both are in.
const SECOND: &str = "the-second-of-two-equal-keys";
/// What may follow that name, so that the text before it is a document: a value, or the end of a
/// heading.
const ENDS: [&str; 4] = [" = 0", "]", "]]", " = 0 }"];

/// The mistake, if that is what the parser found.
pub(super) fn find(text: &str, error: &TomlError) -> Option<Mistake> {
    if !error.message().contains("duplicate key") {
        return None;
    }
    let at = error.span()?;
    let written = text.get(at.clone())?;
    let name = Key::parse(written).ok()?.pop()?;
    let message = format!("the key `{}` stands there twice", bounded(name.get()));
    let hint = "keep one of them: nothing else is looked at before this is right";
    let mut mistake = Mistake::new(Code::TomlSyntax, message, hint, at.clone());
    if let Some(first) = first(text, &at, name.get()) {
        mistake.at.push((first, "the first".to_owned()));
    }
    Some(mistake)
}

fn first(text: &str, second: &Range<usize>, name: &str) -> Option<Range<usize>> {
    let before = text.get(..second.start).filter(|before| !before.contains(SECOND))?;
    let mut documents = ENDS.iter().map(|end| format!("{before}{SECOND}{end}\n"));
    let document = documents.find_map(|text| Document::parse(text).ok())?;
    beside(document.as_table(), name)
}

/// The place of a key in the table that has the second.
fn beside(table: &dyn TableLike, name: &str) -> Option<Range<usize>> {
    if table.contains_key(SECOND) {
        return table.key(name)?.span();
    }
    let within = |item: &Item| {
        let mut tables = item.as_array_of_tables().into_iter().flatten();
        let one = item.as_table_like().and_then(|table| beside(table, name));
        one.or_else(|| tables.find_map(|table| beside(table, name)))
    };
    table.iter().find_map(|(_, item)| within(item))
}
