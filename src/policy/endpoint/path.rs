//! Paths: what an operation's looks like, which ones are of it, and how values get into it.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::policy::names::is_hidden;

/// The longest path of an operation, in bytes.
const MAX_PATH: usize = 512;
/// The most segments of a path.
const MAX_SEGMENTS: usize = 32;
/// The longest value of a parameter, in bytes.
pub const MAX_PARAM: usize = 512;
/// All but letters, digits, `-`, `.`, `_` and `~` is percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What some servers overlook at the end of a segment.
const ENDS: [char; 2] = ['.', ' '];

/// A text percent-encoded, so that it is one segment, name or value of a URL.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Whether a text is a segment as it stands, with nothing that has to be encoded.
pub(super) fn is_literal(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    !segment.is_empty() && segment.bytes().all(plain) && !climbs(segment)
}

/// Whether a server may take a segment as none, or as this or the upper folder; some cut it at `;`,
/// and some overlook points and spaces at its end.
fn climbs(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name.trim_end_matches(ENDS).is_empty()
}

/// What is wrong with the value of a parameter, if anything.
///
/// What is percent-encoded already is refused: after it is encoded once more, servers differ in
/// how often they decode it.
pub(super) fn wrong_value(value: &str) -> Option<&'static str> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let mut rests = value.split('%').skip(1).map(str::as_bytes);
    match () {
        () if value.is_empty() => Some("a value that is not empty"),
        () if value.len() > MAX_PARAM => Some("a value of at most 512 bytes"),
        () if value.chars().any(is_hidden) => Some("a value without control characters"),
        () if value.contains(['/', '\\']) => Some("a value without `/` and `\\`"),
        () if climbs(value) => Some("a value of more than points, spaces and what is behind `;`"),
        () if rests.any(|rest| hex(rest.first()) && hex(rest.get(1))) => {
            Some("a plain value: it is percent-encoded for you")
        }
        () => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    /// Stands in the path as it is. Before a parameter where both would do.
    Literal(String),
    /// Whatever the caller gives.
    Param(String),
}

/// The path of an operation: `/v1/things/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path {
    segments: Vec<Segment>,
    /// Whether it ends with `/` after its segments; of no segments it is `/`.
    slash: bool,
}

/// Why a text is no path of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Anything but segments.
    #[error(
        "a path is `/` and segments such as /v1/things/{{id}}, without `%`, `..`, `//`, `?` or `\\`"
    )]
    NotOne,
    /// A parameter that is none.
    #[error("a parameter is a whole segment, {{ and 1 to 40 of a-z, 0-9 and `_` and }}")]
    BadParam,
    /// Two of one name.
    #[error("each parameter of a path has a name of its own")]
    ParamTwice,
    /// More than fits.
    #[error("a path has at most 32 segments and 512 bytes")]
    TooLong,
}

impl Path {
    /// The names of the parameters, in their order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// Whether both are the same for whoever calls them.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let same = |(one, other): (&Segment, &Segment)| match (one, other) {
            (Segment::Param(_), Segment::Param(_)) => true,
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Param(_), Segment::Literal(_)) | (Segment::Literal(_), Segment::Param(_)) => {
                false
            }
        };
        let long = self.segments.len() == other.segments.len() && self.slash == other.slash;
        long && self.segments.iter().zip(&other.segments).all(same)
    }

    /// Which segments are parameters, in order: of two paths that a call fits, the one with the
    /// lesser answer is nearer to it.
    pub(super) fn looseness(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| matches!(segment, Segment::Param(_))).collect()
    }

    /// The values of the parameters in the path of a call, decoded; nothing if it is no path of
    /// this operation, or one that servers could take in another way.
    pub fn values(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let rest = path.strip_prefix('/')?;
        let (rest, slash) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        let given: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        if slash != self.slash || given.len() != self.segments.len() {
            return None;
        }
        let mut values = BTreeMap::new();
        for (segment, given) in self.segments.iter().zip(given) {
            let value = decoded(given)?;
            match segment {
                Segment::Literal(text) if *text == value => {}
                Segment::Literal(_) => return None,
                Segment::Param(name) => {
                    values.insert(name.clone(), value);
                }
            }
        }
        Some(values)
    }

    /// Whether a server may take this path, with these values, as one of the other: where that says
    /// a text itself, the value here is the same but for what some servers overlook.
    pub(super) fn may_be_taken_as(&self, other: &Self, values: &BTreeMap<String, String>) -> bool {
        let mut overlooked = false;
        let same = |(mine, theirs): (&Segment, &Segment)| match (mine, theirs) {
            (_, Segment::Param(_)) => true,
            (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
            (Segment::Param(name), Segment::Literal(theirs)) => {
                overlooked = true;
                values.get(name).is_some_and(|value| may_be(value, theirs))
            }
        };
        let long = self.segments.len() == other.segments.len();
        long && self.segments.iter().zip(&other.segments).all(same) && overlooked
    }

    /// The path with these values in it, each encoded as one segment.
    ///
    /// # Errors
    /// The name of a parameter, and what its value should be.
    pub(super) fn fill(
        &self,
        values: &BTreeMap<String, String>,
    ) -> Result<String, (String, &'static str)> {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(text),
                Segment::Param(name) => {
                    let value = values.get(name).ok_or((name.clone(), "a value for it"))?;
                    if let Some(right) = wrong_value(value) {
                        return Err((name.clone(), right));
                    }
                    path.push_str(&encoded(value));
                }
            }
        }
        if self.slash {
            path.push('/');
        }
        Ok(path)
    }
}

/// Whether some servers take a value for that literal: they overlook the case of letters, what
/// stands behind `;`, `?` or `#`, the name of a format behind a point, and points and spaces at the
/// end.
fn may_be(value: &str, theirs: &str) -> bool {
    let told_apart = |segment: &str| {
        let name = segment.split([';', '?', '#']).next().unwrap_or_default();
        name.trim_end_matches(ENDS).to_lowercase()
    };
    let (value, theirs) = (told_apart(value), told_apart(theirs));
    value.strip_prefix(&theirs).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A segment of a call's path, decoded; nothing if it is not good.
fn decoded(segment: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let mut escapes = segment.split('%').skip(1).map(str::as_bytes);
    let hex = |rest: &[u8]| rest.len() > 1 && rest.iter().take(2).all(u8::is_ascii_hexdigit);
    if !segment.bytes().all(plain) || !escapes.all(hex) {
        return None;
    }
    let value = percent_decode_str(segment).decode_utf8().ok()?;
    wrong_value(&value).is_none().then(|| value.into_owned())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.slash { f.write_str("/") } else { Ok(()) }
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(PathError::NotOne)?;
        if rest.is_empty() {
            return Ok(Self { segments: Vec::new(), slash: true });
        }
        let (rest, slash) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
        let segments: Vec<Segment> = rest.split('/').map(segment).collect::<Result<_, _>>()?;
        if segments.len() > MAX_SEGMENTS {
            return Err(PathError::TooLong);
        }
        let path = Self { segments, slash };
        let mut names: Vec<&str> = path.params().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(PathError::ParamTwice);
        }
        Ok(path)
    }
}

fn segment(text: &str) -> Result<Segment, PathError> {
    if is_literal(text) {
        return Ok(Segment::Literal(text.to_owned()));
    }
    if !text.contains(['{', '}']) {
        return Err(PathError::NotOne);
    }
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let name = name.filter(|name| (1..=40).contains(&name.len()) && name.bytes().all(plain));
    name.map(|name| Segment::Param(name.to_owned())).ok_or(PathError::BadParam)
}

impl TryFrom<String> for Path {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OperationPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": PathError::NotOne.to_string()})
    }
}
