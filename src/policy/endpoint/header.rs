//! Headers: their names, which of them nobody but the rail sets, and what goes into them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::secret::is_key;

/// The longest name of a header, in bytes.
const MAX_NAME: usize = 64;
/// The longest value of a header or of a parameter of the query that an endpoint sets, in bytes.
const MAX_TEMPLATE: usize = 512;
/// What stands for the secret.
const SECRET: &str = "{secret}";

/// Headers of the connection and of the message's frame, and those that servers take for another
/// address, method, host or sender than the request's own.
const OURS: [&str; 36] = [
    "accept-encoding",
    "alt-used",
    "client-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "date",
    "expect",
    "forwarded",
    "front-end-https",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-cluster-client-ip",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(String);

/// Why a text is no name of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header's name is 1 to 64 letters, digits and `-`, such as x-api-key")]
pub struct HeaderError;

impl HeaderName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only the rail sets it, whatever an operator says.
    pub fn is_ours(&self) -> bool {
        OURS.contains(&self.as_str()) || self.0.starts_with("x-forwarded")
    }

    /// Whether it says who calls: an operator may set it, with a secret, and the agent never.
    pub fn is_credential(&self) -> bool {
        ["authorization", "cookie"].contains(&self.as_str())
    }
}

impl FromStr for HeaderName {
    type Err = HeaderError;

    /// Reads it in either case. `_`, which HTTP allows, many servers take for `-`: it is refused.
    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_ascii_lowercase())).ok_or(HeaderError)
    }
}

impl TryFrom<String> for HeaderName {
    type Error = HeaderError;
    fn try_from(text: String) -> Result<Self, HeaderError> {
        text.parse()
    }
}

impl From<HeaderName> for String {
    fn from(name: HeaderName) -> Self {
        name.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for HeaderName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeaderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"})
    }
}

/// What an endpoint puts into a header or a parameter of the query: a text, at whose end the secret
/// may stand: `Bearer {secret}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    secret: bool,
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Anything but a line, or more than fits.
    #[error("what a header or parameter is set to is one line of 1 to 512 plain characters")]
    NotOne,
    /// Braces that stand for nothing.
    #[error("`{{secret}}` stands for the secret, once and at the end: \"Bearer {{secret}}\"")]
    Braces,
    /// A key, where only its place may stand.
    #[error(
        "this looks like a key itself: change it at its vendor, for it was written down here; \
         write {{secret}} in its place, and in `secret` where it is found"
    )]
    Key,
}

impl Template {
    /// What stands in front of the secret, or all of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the secret follows.
    pub fn takes_secret(&self) -> bool {
        self.secret
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let (start, secret) = text.strip_suffix(SECRET).map_or((text, false), |text| (text, true));
        let spaced = text.starts_with(' ') || text.ends_with(' ');
        if text.is_empty() || text.len() > MAX_TEMPLATE || !plain || spaced {
            return Err(TemplateError::NotOne);
        }
        if start.contains(['{', '}']) {
            return Err(TemplateError::Braces);
        }
        if is_key(start) {
            return Err(TemplateError::Key);
        }
        Ok(Self { text: start.to_owned(), secret })
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;
    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.secret { SECRET } else { "" })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({self})")
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_TEMPLATE,
            "description": "a text, at whose end {secret} may stand for the secret"
        })
    }
}
