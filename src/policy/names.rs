//! Names: who spends, what is paid, and the ids that lead back to the record.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest handle or service id.
pub const MAX_NAME: usize = 63;
/// The longest idempotency key, in bytes.
pub const MAX_KEY: usize = 255;
/// The longest run id, in bytes.
pub const MAX_RUN: usize = 128;
/// The longest reason code of a revocation.
pub const MAX_REASON: usize = 40;
/// The longest free text an operator may attach to an act, in bytes.
pub const MAX_LABEL: usize = 60;
const MAX_NOTE: usize = 500;
/// The longest mark, in bytes.
const MAX_MARK: usize = 128;
/// The longest name of a model, in bytes.
const MAX_MODEL: usize = 128;
/// The longest payee name, in bytes.
pub const MAX_PAYEE: usize = 120;

/// Why a text is not a name; the sentence says what one is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(&'static str);

impl NameError {
    /// The error that says this rule.
    pub(super) fn new(rule: &'static str) -> Self {
        Self(rule)
    }
}

const HIDDEN: &str =
    "there is a character in it that shows nothing, turns the text, or is obeyed by terminals";
const NAME_RULE: &str =
    "a name is 1 to 63 of a-z, 0-9, `-` and `_`, and starts with a letter or digit";

fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    starts && text.len() <= MAX_NAME && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

/// Whether `text` is short enough and shows what it is: what operators may write.
fn is_line(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= max && !text.chars().any(is_hidden)
}

/// Whether a character is one that a terminal obeys, or shows nothing of.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// A text that came from somebody, with what is hidden in it told in another way: `tell` gets the
/// text from such a character on, and the character, writes what stands for it, and says how many
/// bytes that was for.
pub fn unhidden(text: &str, mut tell: impl FnMut(&str, char, &mut String) -> usize) -> String {
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(is_hidden) {
        let (before, odd) = rest.split_at(at);
        told.push_str(before);
        let hidden = odd.chars().next().unwrap_or_default();
        let bytes = tell(odd, hidden, &mut told).max(hidden.len_utf8());
        rest = odd.get(bytes..).unwrap_or_default();
    }
    told + rest
}

/// Whether a character shows nothing of itself or turns the text around it: format characters,
/// separators of lines, fillers and tags (Unicode 16, general category Cf, Zl and Zp among them).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError(if text.chars().any(is_hidden) { HIDDEN } else { $rule }))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $rule})
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An agent's unique name, `[a-z0-9][a-z0-9_-]{0,62}`, never given twice.
    Handle,
    is_name,
    NAME_RULE
);
name!(
    /// The name of a catalogue entry, spelled like a handle.
    ServiceId,
    is_name,
    NAME_RULE
);
name!(
    /// A kind of service, as the operator groups them, spelled like a handle.
    Category,
    is_name,
    NAME_RULE
);
name!(
    /// The name of a group of agents, spelled like a handle.
    GroupId,
    is_name,
    NAME_RULE
);
name!(
    /// The name of a way to pay, spelled like a handle.
    RailName,
    is_name,
    NAME_RULE
);
name!(
    /// Who gets the money: one line of text, as the operator wrote it.
    Payee,
    |text| is_line(text, MAX_PAYEE),
    "a payee is one line of 1 to 120 bytes, and not spaces alone"
);
name!(
    /// One invocation of an agent, as the operator names it.
    RunId,
    |text| is_line(text, MAX_RUN),
    "a run id is one line of at most 128 bytes"
);
name!(
    /// The caller's name for a payment, scoped to the agent.
    IdempotencyKey,
    |text| is_line(text, MAX_KEY),
    "an idempotency key is 1 to 255 bytes without control characters"
);
name!(
    /// Why an agent was revoked, for programs: `[a-z0-9_-]{1,40}`.
    Reason,
    |text| (1..=MAX_REASON).contains(&text.len()) && text.bytes().all(is_name_byte),
    "a reason is 1 to 40 of a-z, 0-9, `-` and `_`, such as `compromised`"
);
name!(
    /// Free text an operator attaches to an act.
    Note,
    |text| is_line(text, MAX_NOTE),
    "a note is one line of at most 500 bytes"
);
name!(
    /// What an operator calls a token, to know it again.
    Label,
    |text| is_line(text, MAX_LABEL),
    "a label is one line of at most 60 bytes"
);
name!(
    /// The public name of a token, `tok_` and 12 hexadecimal digits. It lets nobody in.
    TokenId,
    |text| text.strip_prefix("tok_").is_some_and(|hex| hex.len() == 12 && hex.bytes().all(is_hex)),
    "a token's id is `tok_` and 12 hexadecimal digits"
);

name!(
    /// What somebody else calls something of his own: plain, so that it can be shown as it is.
    Mark,
    |text| (1..=MAX_MARK).contains(&text.len()) && text.bytes().all(is_mark_byte),
    "a mark is 1 to 128 letters, digits, `_`, `-`, `.` and `:`"
);

name!(
    /// The name of a language model, as those who offer it write it.
    ModelName,
    |text| (1..=MAX_MODEL).contains(&text.len()) && text.bytes().all(is_model_byte),
    "a model is 1 to 128 letters, digits, `.`, `-`, `_`, `:`, `/` and `@`"
);

name!(
    /// What kind of work a task is, spelled like a handle.
    TaskType,
    is_name,
    NAME_RULE
);

impl TokenId {
    /// The id of these bits; the highest 16 make no difference.
    pub fn new(bits: u64) -> Self {
        Self(format!("tok_{:012x}", bits & 0xffff_ffff_ffff))
    }
}

fn is_mark_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte)
}

fn is_model_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:/@".contains(&byte)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

impl Reason {
    /// A word of our own that is one.
    pub(super) fn plain(word: &'static str) -> Self {
        Self(word.to_owned())
    }
}

impl RailName {
    /// Credit that the operator owes the payee: what a service is paid by unless it says otherwise.
    pub fn iou() -> Self {
        Self("iou".to_owned())
    }

    /// The rail that calls an API with a key that only it has.
    pub fn proxy() -> Self {
        Self("proxy".to_owned())
    }

    /// Whether it is that one.
    pub fn is_iou(&self) -> bool {
        self.0 == "iou"
    }
}

const PAYMENT_RULE: &str = "a payment id is `pay_` and 16 hexadecimal digits";

/// How many low bits of a payment id are salt.
const SALT_BITS: u32 = 16;

/// The id of a payment or denial: where its first entry stands in the record, and a salt.
///
/// Shown as `pay_` and 16 hexadecimal digits. The salt differs each time the record is opened, so
/// an id whose unsynced denial was lost in a power cut does not come to name another payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PaymentId(u64);

impl PaymentId {
    /// The id of what is recorded at `position` (below 2^48).
    pub fn new(position: u64, salt: u16) -> Self {
        Self(position << SALT_BITS | u64::from(salt))
    }

    /// The id in one number, as the desk keeps it.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The id of that number.
    pub(super) fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// The journal position of the payment's first entry.
    pub fn position(self) -> u64 {
        self.0 >> SALT_BITS
    }
}

impl JsonSchema for PaymentId {
    fn schema_name() -> Cow<'static, str> {
        "PaymentId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": PAYMENT_RULE})
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pay_{:016x}", self.0)
    }
}

impl FromStr for PaymentId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rule = NameError(PAYMENT_RULE);
        let hex = text.strip_prefix("pay_");
        let hex = hex.filter(|hex| hex.len() == 16 && hex.bytes().all(is_hex));
        let id = hex.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        id.map(Self).ok_or(rule)
    }
}

impl TryFrom<String> for PaymentId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PaymentId> for String {
    fn from(id: PaymentId) -> Self {
        id.to_string()
    }
}
