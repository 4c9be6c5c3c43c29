//! What is registered, and what may be asked of it.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

use super::guard::Reach;

/// The longest path and query, in bytes.
const MAX_TARGET: usize = 8 << 10;

/// A place that calls may go to: a scheme, a host, a port, and what every path begins with.
#[derive(Clone, PartialEq, Eq)]
pub struct Site {
    /// Without a slash at its end.
    root: String,
    url: Url,
    reach: Reach,
}

/// Why a text is no site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// Not what a site looks like.
    #[error("a site is https://, a host, and perhaps a port and a path, without `@`, `?` or `#`")]
    NotOne,
    /// Not encrypted.
    #[error("a site is https; http is for 127.0.0.1, [::1] and localhost")]
    Plain,
    /// An address that no call may go to.
    #[error("the host is an address that is neither of the Internet at large nor of this machine")]
    Refused,
}

/// A path and query that would not arrive as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path begins with one `/`, is percent-encoded, and has no `..`, `//`, `%2f`, `\\` or `#`"
)]
pub struct TargetError;

impl Site {
    /// Reads the base URL of a site.
    pub fn parse(text: &str) -> Result<Self, SiteError> {
        let strange = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if text.contains(strange) {
            return Err(SiteError::NotOne);
        }
        let url = Url::parse(text).map_err(|_| SiteError::NotOne)?;
        let bare = url.username().is_empty() && url.password().is_none() && !text.contains('@');
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(SiteError::NotOne);
        }
        let reach = match url.host().ok_or(SiteError::NotOne)? {
            Host::Domain(name) => Reach::of_name(name),
            Host::Ipv4(address) => reach_of(address.into())?,
            Host::Ipv6(address) => reach_of(address.into())?,
        };
        match url.scheme() {
            "https" => {}
            "http" if reach == Reach::Loopback => {}
            "http" => return Err(SiteError::Plain),
            _ => return Err(SiteError::NotOne),
        }
        let root = url.as_str().trim_end_matches('/').to_owned();
        if check(url.path().trim_end_matches('/')).is_err() {
            return Err(SiteError::NotOne);
        }
        Ok(Self { root, url, reach })
    }

    /// Where it may be.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The address that its host is, where it is none by a name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    /// Whether nobody on the way can read along.
    pub(super) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL of a path and query there. What the parser of URLs would mend is refused: as it is
    /// written it arrives, or it is not sent.
    pub fn url(&self, target: &str) -> Result<Url, TargetError> {
        if !target.starts_with('/') || target.len() > MAX_TARGET {
            return Err(TargetError);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        check(path)?;
        if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(TargetError);
        }
        let text = format!("{}{target}", self.root);
        let url = Url::parse(&text).map_err(|_| TargetError)?;
        let same_origin = url.origin() == self.url.origin();
        if url.as_str() == text && same_origin { Ok(url) } else { Err(TargetError) }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", self.root)
    }
}

fn reach_of(address: IpAddr) -> Result<Reach, SiteError> {
    let covers = |reach: &Reach| reach.covers(address);
    [Reach::Global, Reach::Loopback].into_iter().find(covers).ok_or(SiteError::Refused)
}

/// Whether a path is what it looks like, to whoever reads it next too: servers differ in what they
/// take for a slash, and in when they walk up.
fn check(path: &str) -> Result<(), TargetError> {
    let hidden = ["//", "\\", "#"].iter().any(|part| path.contains(part));
    let lower = path.to_ascii_lowercase();
    let encoded = ["%2f", "%5c", "%00"].iter().any(|part| lower.contains(part));
    let dots = |segment: &str| {
        // What follows a `;` is a parameter of the segment, which some servers look past.
        let name = segment.split(';').next().unwrap_or_default().replace("%2e", ".");
        matches!(name.as_str(), "." | "..")
    };
    let walks = lower.split('/').any(dots);
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    if hidden || encoded || walks || !plain { Err(TargetError) } else { Ok(()) }
}
