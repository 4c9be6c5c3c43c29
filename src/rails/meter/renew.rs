//! A table that is to renew prices: one of our own form, or litellm's, of which our part is taken.

use std::{borrow::Cow, collections::BTreeMap};

use sha2::{Digest, Sha256};

use super::{
    Prices, TableError, extract,
    extract::{Fields, MAX_TABLE},
    table::wrong,
};

/// Models with their prices, as a table of our own form writes each, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The models.
    pub prices: Prices,
    /// What stands in the table for each.
    pub models: BTreeMap<String, String>,
    /// The digest of the table that somebody published, or of this one.
    pub sha256: [u8; 32],
}

/// The table in our own form, whichever it is. Of litellm's, `source` and `priced_at` tell which it
/// is and of which day.
///
/// # Errors
/// What is wrong, with the name of the model.
pub fn own_form<'t>(
    text: &'t str,
    source: &str,
    priced_at: &str,
) -> Result<Cow<'t, str>, TableError> {
    let table = fields("the table", text)?;
    match table.get("models") {
        Some(_) => Ok(Cow::Borrowed(text)),
        None => extract(text, source, priced_at).map(Cow::Owned),
    }
}

impl Renewal {
    /// Reads a table of our own form.
    ///
    /// # Errors
    /// What is wrong, with the name of the model.
    pub fn read(text: &str) -> Result<Self, TableError> {
        let prices = Prices::parse(text)?;
        let table = fields("the table", text)?;
        let models = fields("models", table.get("models").unwrap_or("{}"))?;
        // Between two models that are called so, nobody knows which is meant.
        let models: BTreeMap<_, _> =
            models.0.into_iter().map(|(name, model)| (name, plain(model.get()))).collect();
        if models.is_empty() {
            return wrong("models", "there is none");
        }
        let digest = match table.text("sha256") {
            Some(told) => told_digest(&told),
            None => Some(Sha256::digest(text.as_bytes()).into()),
        };
        match digest {
            Some(sha256) => Ok(Self { prices, models, sha256 }),
            None => wrong("sha256", "it has to be 64 hexadecimal digits"),
        }
    }
}

fn fields<'t>(at: &str, text: &'t str) -> Result<Fields<'t>, TableError> {
    if text.len() > MAX_TABLE {
        return wrong(at, format!("it is longer than {MAX_TABLE} bytes"));
    }
    match serde_json::from_str(text) {
        Ok(fields) => Ok(fields),
        Err(error) => wrong(at, format!("it is no JSON of a table: {error}")),
    }
}

/// The same JSON without what stands between its words.
fn plain(json: &str) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(json);
    value.map_or_else(|_| json.to_owned(), |value| value.to_string())
}

fn told_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let mut pairs = text.as_bytes().chunks_exact(2);
    for byte in &mut digest {
        let pair = std::str::from_utf8(pairs.next()?).ok()?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    let over = pairs.next().is_some() || !pairs.remainder().is_empty();
    (!over).then_some(digest)
}
