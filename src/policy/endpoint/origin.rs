//! Where an endpoint is: a scheme, a host, a port, and what every path there begins with.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{
    address::{is_global_v4, is_global_v6},
    path::is_literal,
};
use crate::policy::names::is_hidden;

/// The longest base URL, in bytes.
const MAX_URL: usize = 512;

/// Where an endpoint is, written canonically: `https://api.example.com/v2`.
///
/// It is `https`, or `http` where the host is this machine; it has neither userinfo nor query nor
/// fragment, and an address in it is of the Internet at large or of this machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(Url);

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not a URL of the web.
    #[error("a base URL is https:// and a host, such as https://api.example.com")]
    NotOne,
    /// More than fits.
    #[error("a base URL has at most 512 bytes")]
    TooLong,
    /// Whoever listens on the way would see the secret.
    #[error("a base URL begins with https://; http:// is for 127.0.0.1, [::1] and localhost alone")]
    Plain,
    /// A name or password in front of the host, or what somebody could take for one.
    #[error("a base URL has no `@`: a secret is named by `secret` and put into `headers`")]
    UserInfo,
    /// More than an origin and a path.
    #[error("a base URL has no `?` and no `#`: what every call asks with stands in `query`")]
    Query,
    /// An address written so that it looks like something else.
    #[error("an address in a base URL is written out, such as 203.0.113.7 or [2001:db8::7]")]
    OddAddress,
    /// An address that is not of the Internet at large.
    #[error("a base URL leads to the Internet, or to this machine: not to a private address")]
    NotGlobal,
    /// A name that no certificate is for.
    #[error("the host of a base URL is letters, digits, `-` and `.`, and no `.` ends it")]
    BadHost,
    /// A port that nobody listens on.
    #[error("the port of a base URL is 1 to 65535")]
    BadPort,
    /// A path that is not what it looks like.
    #[error(
        "the path of a base URL is plain segments such as /v1, without `%`, `..`, `//` or `\\`"
    )]
    BadPath,
}

impl Origin {
    /// The scheme: `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The host as a URL has it: a name in punycode, or an address, in brackets if it is IPv6.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port that is connected to.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// What every path begins with: nothing, or `/v2`.
    pub fn prefix(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// Whether the host itself is this machine, by its address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.0.host().is_some_and(|host| is_loopback(&host))
    }

    /// Scheme, host and port, without the path: `https://api.example.com`.
    pub fn root(&self) -> String {
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme(), self.host())
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads it strictly: what the parser of URLs would mend is refused.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.len() > MAX_URL {
            return Err(OriginError::TooLong);
        }
        if text.chars().any(|c| is_hidden(c) || c.is_whitespace()) {
            return Err(OriginError::NotOne);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::NotOne)?;
        if !["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(OriginError::NotOne);
        }
        if rest.contains(['?', '#']) {
            return Err(OriginError::Query);
        }
        if rest.contains(['\\', '%']) {
            return Err(OriginError::BadPath);
        }
        // In a path too: who reads it in another way takes what is before it for a name.
        if rest.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The parser takes any number of slashes for two.
        if authority.is_empty() {
            return Err(OriginError::NotOne);
        }
        let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
        if !path.is_empty() && !segments.all(is_literal) {
            return Err(OriginError::BadPath);
        }
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| refused(authority))?;
        check_host(&url, authority)?;
        Ok(Self(url))
    }
}

/// What is wrong with an authority that no parser takes.
fn refused(authority: &str) -> OriginError {
    let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let named = port.is_some_and(|(_, port)| port.parse::<u16>().is_err() && !port.contains(']'));
    if named { OriginError::BadPort } else { OriginError::BadHost }
}

fn check_host(url: &Url, authority: &str) -> Result<(), OriginError> {
    let host = url.host().ok_or(OriginError::NotOne)?;
    let (given, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let number = |port: &str| {
        !port.starts_with('0') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    if port.is_some_and(|port| !number(port)) {
        return Err(OriginError::BadPort);
    }
    let written_out = || given.eq_ignore_ascii_case(url.host_str().unwrap_or_default());
    let global = match &host {
        Host::Domain(name) => {
            return match () {
                () if !is_domain(name) => Err(OriginError::BadHost),
                () if url.scheme() != "https" && !is_loopback(&host) => Err(OriginError::Plain),
                () => Ok(()),
            };
        }
        Host::Ipv4(address) => is_global_v4(address.octets()),
        Host::Ipv6(address) => is_global_v6(address.octets()),
    };
    if !written_out() {
        return Err(OriginError::OddAddress);
    }
    if is_loopback(&host) {
        return Ok(());
    }
    if !global {
        return Err(OriginError::NotGlobal);
    }
    if url.scheme() == "https" { Ok(()) } else { Err(OriginError::Plain) }
}

/// Whether a name in punycode is one of a host, whose labels are each what certificates have.
fn is_domain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl TryFrom<String> for Origin {
    type Error = OriginError;
    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl JsonSchema for Origin {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": OriginError::NotOne.to_string()})
    }
}
