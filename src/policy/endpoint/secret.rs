//! Where a secret is found. The secret itself is in none of it.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::policy::names::is_hidden;

/// The longest name of a variable or of an entry in a keyring, in bytes.
const MAX_NAME: usize = 128;
/// The longest path of a file, and the longest argument of a command, in bytes.
const MAX_TEXT: usize = 512;
/// The most arguments of a command, itself among them.
const MAX_ARGUMENTS: usize = 16;

/// What keys of well-known vendors begin with.
const KEY_PREFIXES: [&str; 24] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "xox",
    "xapp-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "hf_",
    "r8_",
    "gsk_",
    "xai-",
    "tvly-",
    "SG.",
    "pplx-",
];

/// Where a secret is found: `{ env = "NAME" }`, `{ file = "/path" }`, `{ command = ["…"] }` or
/// `{ keyring = "name" }`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// A variable of the environment that `serve` runs in.
    Env(String),
    /// A file that only its owner can read, by its absolute path.
    File(String),
    /// What a command prints: itself and its arguments, run without a shell.
    Command(Vec<String>),
    /// An entry of the keyring of the operator's account, in a build that reads one.
    Keyring(String),
}

/// Why a reference is none. What was written is in no message: it may be the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Anything but one of the four.
    #[error(
        "a secret is never written here, only where it is found: {{ env = \"NAME\" }}, \
         {{ file = \"/path\" }}, {{ command = [\"program\", \"argument\"] }} or \
         {{ keyring = \"name\" }}"
    )]
    NotOne,
    /// The text looks like a key of some vendor.
    #[error(
        "this looks like a key itself: change it at its vendor, for it was written down here, \
         and name where the new one is found"
    )]
    Key,
    /// A variable that is none.
    #[error("a variable's name is 1 to 128 letters, digits and `_`, and starts with no digit")]
    Env,
    /// A path that depends on who looks.
    #[error("a file of a secret is named by its whole path, which starts with `/`, without `..`")]
    File,
    /// A command that is none.
    #[error(
        "a command is a list of 1 to 16 texts: a program, by its name or whole path, and its \
         arguments"
    )]
    Command,
    /// A name that is none.
    #[error("an entry of a keyring is 1 to 128 letters, digits, `_`, `-`, `.`, `:` and `/`")]
    Keyring,
}

impl SecretRef {
    /// The reference by its kind and what it names.
    fn of(kind: &str, name: String) -> Result<Self, SecretError> {
        if is_key(&name) {
            return Err(SecretError::Key);
        }
        match kind {
            "env" if is_variable(&name) => Ok(Self::Env(name)),
            "env" => Err(SecretError::Env),
            "file" if is_path(&name) => Ok(Self::File(name)),
            "file" => Err(SecretError::File),
            "keyring" if is_entry(&name) => Ok(Self::Keyring(name)),
            "keyring" => Err(SecretError::Keyring),
            _ => Err(SecretError::NotOne),
        }
    }

    fn command(arguments: Vec<String>) -> Result<Self, SecretError> {
        if arguments.iter().any(|argument| is_key(argument)) {
            return Err(SecretError::Key);
        }
        let named = arguments.first().is_some_and(|program| {
            !program.is_empty() && (program.starts_with('/') || !program.contains('/'))
        });
        let fits = |argument: &String| argument.len() <= MAX_TEXT && !argument.contains(is_hidden);
        let few = arguments.len() <= MAX_ARGUMENTS;
        let right = named && few && arguments.iter().all(fits);
        right.then_some(Self::Command(arguments)).ok_or(SecretError::Command)
    }

    /// Whether this build reads it. A record may have one that it does not: of another build.
    pub(super) fn is_read(&self) -> bool {
        cfg!(feature = "keyring") || !matches!(self, Self::Keyring(_))
    }

    /// What kind of place it is: `env`, `file`, `command` or `keyring`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Command(_) => "command",
            Self::Keyring(_) => "keyring",
        }
    }
}

/// Whether a text looks like a key of some vendor, as a whole or in its last word.
pub fn is_key(text: &str) -> bool {
    let word = text.rsplit([' ', '=', ':']).next().unwrap_or(text);
    let known = KEY_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let (mut upper, mut lower, mut digit) = (false, false, false);
    for byte in word.bytes() {
        upper |= byte.is_ascii_uppercase();
        lower |= byte.is_ascii_lowercase();
        digit |= byte.is_ascii_digit();
    }
    let dense = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+=".contains(&byte));
    (known && word.len() >= 12) || (word.len() >= 28 && dense && digit && lower && upper)
}

fn is_variable(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    starts && name.len() <= MAX_NAME && name.bytes().all(plain)
}

fn is_path(path: &str) -> bool {
    let climbs = path.split('/').any(|part| part == "..");
    let named = path.starts_with('/') && !path.ends_with('/');
    named && !climbs && path.len() <= MAX_TEXT && !path.contains(is_hidden)
}

fn is_entry(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

impl fmt::Display for SecretRef {
    /// As a document in TOML has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{ env = {name:?} }}"),
            Self::File(path) => write!(f, "{{ file = {path:?} }}"),
            Self::Command(arguments) => write!(f, "{{ command = {arguments:?} }}"),
            Self::Keyring(name) => write!(f, "{{ keyring = {name:?} }}"),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        match self {
            Self::Command(arguments) => map.serialize_entry("command", arguments)?,
            Self::Env(name) | Self::File(name) | Self::Keyring(name) => {
                map.serialize_entry(self.kind(), name)?;
            }
        }
        map.end()
    }
}

/// A text or a list, whatever else is not repeated.
#[derive(Deserialize)]
#[serde(untagged)]
enum Found {
    Text(String),
    Texts(Vec<String>),
}

struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a reference: {}", SecretError::NotOne)
    }

    // A text, which serde would repeat in its own message.
    fn visit_str<E: Error>(self, text: &str) -> Result<SecretRef, E> {
        Err(E::custom(if is_key(text) { SecretError::Key } else { SecretError::NotOne }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let one = || A::Error::custom(SecretError::NotOne);
        let kind: String = map.next_key()?.ok_or_else(one)?;
        let found: Found = map.next_value().map_err(|_| one())?;
        let read = match found {
            Found::Texts(arguments) if kind == "command" => SecretRef::command(arguments),
            Found::Text(name) if kind != "command" => SecretRef::of(&kind, name),
            Found::Text(_) => Err(SecretError::Command),
            Found::Texts(_) => Err(SecretError::NotOne),
        };
        let read = read.map_err(A::Error::custom)?;
        if map.next_key::<String>()?.is_some() { Err(one()) } else { Ok(read) }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reference)
    }
}

impl JsonSchema for SecretRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "env": {"type": "string"},
                "file": {"type": "string"},
                "command": {"type": "array", "items": {"type": "string"}},
                "keyring": {"type": "string"}
            },
            "description": SecretError::NotOne.to_string()
        })
    }
}
