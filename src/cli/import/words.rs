//! What is made of a document's texts: names by our rules, and remarks that nothing can hide in.

use crate::policy::{
    money::Usd,
    names::{ServiceId, is_hidden},
};

/// The longest text of a document that is repeated.
const MAX_REMARK: usize = 100;
/// The longest name that is made of a text; what tells it from others may follow.
const MAX_MADE: usize = 50;

/// A text of the document, on one line and with nothing hidden in it.
pub(super) fn remark(text: &str) -> String {
    let plain = |c: char| if is_hidden(c) { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = if words.chars().nth(MAX_REMARK).is_some() { "…" } else { "" };
    words.chars().take(MAX_REMARK).chain(end.chars()).collect()
}

/// A name such as services and operations have; nothing where nothing of the text fits one.
pub(super) fn name(text: &str) -> Option<String> {
    let mut made = String::new();
    let mut before = ' ';
    for c in text.chars().take(4 * MAX_MADE) {
        // `getPetById` is read as `get-pet-by-id`.
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            made.push('-');
        }
        before = c;
        let fits = c.is_ascii_alphanumeric() || c == '_';
        if fits {
            made.push(c.to_ascii_lowercase());
        } else if !made.ends_with('-') {
            made.push('-');
        }
        if made.len() >= MAX_MADE {
            break;
        }
    }
    let made = made.trim_matches(['-', '_']).to_owned();
    made.parse::<ServiceId>().is_ok().then_some(made)
}

/// The name, or the first with a number behind it that none has yet.
pub(super) fn untaken(made: String, taken: impl Fn(&str) -> bool) -> String {
    if !taken(&made) {
        return made;
    }
    let mut numbered = (2_u32..).map(|n| format!("{made}-{n}"));
    numbered.find(|name| !taken(name)).unwrap_or(made)
}

/// A path whose parameters are called as ours are: `{petId}` is `{pet_id}`.
pub(super) fn path(text: &str) -> String {
    let segments = text.split('/').map(|segment| {
        let param = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match param.and_then(name) {
            Some(param) => format!("{{{}}}", param.replace('-', "_")),
            None => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// So many of the smallest unit of a currency, in dollars: digits alone, and above zero.
pub(super) fn base_units(digits: &str, decimals: usize) -> Option<Usd> {
    let plain =
        (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain {
        return None;
    }
    let padded = format!("{digits:0>width$}", width = decimals.saturating_add(1));
    let (whole, fraction) = padded.split_at_checked(padded.len().checked_sub(decimals)?)?;
    above_zero(&format!("{whole}.{fraction}"))
}

/// A price in dollars that is above zero.
pub(super) fn above_zero(text: &str) -> Option<Usd> {
    text.parse().ok().filter(|price: &Usd| !price.is_zero())
}
