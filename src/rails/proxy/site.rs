//! What may be asked of a place that is registered.

use std::{fmt, net::IpAddr};

use url::Url;

use super::guard::Reach;
use crate::policy::endpoint::{MAX_TARGET, Origin};

/// A place that calls may go to: a scheme, a host, a port, and what every path there begins with.
#[derive(Clone, PartialEq, Eq)]
pub struct Site(Origin);

/// A path and query that is not below the base URL, or would not arrive as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path is below the base URL, percent-encoded, and has no `..`, `//`, `%2f`, `\\` or `#`")]
pub struct TargetError;

impl Site {
    /// The site that a base URL is of.
    pub fn of(origin: &Origin) -> Self {
        Self(origin.clone())
    }

    /// Where it may be.
    pub fn reach(&self) -> Reach {
        if self.0.is_loopback() { Reach::Loopback } else { Reach::Global }
    }

    /// The address that its host is, where it is none by a name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.0.host().trim_matches(['[', ']']).parse().ok()
    }

    /// Whether nobody on the way can read along.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of a path and query there, the path with what every one begins with. This is the
    /// last look at it, and trusts nobody who looked before: what the parser of URLs would mend is
    /// refused. As it is written it arrives, or it is not sent.
    pub fn url(&self, target: &str) -> Result<Url, TargetError> {
        let below = target.strip_prefix(self.0.prefix());
        if !below.is_some_and(|rest| rest.starts_with('/')) || target.len() > MAX_TARGET {
            return Err(TargetError);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        check(path)?;
        if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(TargetError);
        }
        let text = format!("{}{target}", self.0.root());
        let url = Url::parse(&text).map_err(|_| TargetError)?;
        if url.as_str() == text && self.is_of(&url) { Ok(url) } else { Err(TargetError) }
    }

    /// Whether a URL leads there and nowhere else.
    fn is_of(&self, url: &Url) -> bool {
        let host = url.host_str() == Some(self.0.host());
        let port = url.port_or_known_default() == Some(self.0.port());
        host && port && url.scheme() == self.0.scheme()
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", self.0)
    }
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
