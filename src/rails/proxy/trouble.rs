//! Why there is no answer, or not all of one: told from the kinds of errors, never from their
//! texts, for those may be an upstream's own or name a URL with a secret in it.

use std::{error::Error, io};

use super::guard::Nowhere;

/// Why nothing was sent: that is proved, not a byte of the request has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The path and query would not arrive as they are written.
    #[error("the path and query would not arrive as they are written")]
    Target,
    /// A header that the secret goes into cannot be sent.
    #[error("a header that the secret goes into cannot be sent")]
    Header,
    /// The host has no address.
    #[error("the host has no address")]
    Unresolved,
    /// No address of the host may be connected to.
    #[error("the host has no address that may be connected to")]
    Refused,
    /// Nobody listens there, or not in time.
    #[error("the host cannot be connected to")]
    Unreachable,
    /// The other side is not who it should be, or speaks no TLS that we do.
    #[error("the host gave no certificate that this machine trusts")]
    Tls,
    /// This machine's certificates cannot be read.
    #[error("the certificates that this machine trusts cannot be read")]
    NoCertificates,
}

/// How a call broke after something was or may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It took longer than it was given.
    #[error("the answer took too long")]
    TimedOut,
    /// The connection ended before an answer began.
    #[error("the connection ended without an answer")]
    Closed,
    /// What came is no answer of HTTP/1.1.
    #[error("what came back is no answer of HTTP")]
    NotHttp,
    /// The head of the answer is longer than is read.
    #[error("the head of the answer is too long")]
    HeadTooLong,
    /// The body ended before its end.
    #[error("the answer was cut short")]
    Cut,
}

impl Unsent {
    /// What an operator looks at then.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Target => "see what its path and query have in them",
            Self::Header => "see what `headers` puts around the secret",
            Self::Unresolved => "see how `base_url` spells it, and whether this machine has a DNS",
            Self::Refused => "it is of a private network, and `base_url` does not name it itself",
            Self::Unreachable => "see whether anybody listens there, and the port of `base_url`",
            Self::Tls => "see whether `base_url` names the host that the certificate is for",
            Self::NoCertificates => "install the system's ca-certificates",
        }
    }

    /// Whether it may be different in a moment.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Unresolved | Self::Unreachable)
    }
}

impl Broken {
    /// What an operator looks at then.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TimedOut => "try again, and see whether `timeout` is long enough for it",
            Self::Closed | Self::NotHttp => "see whether `base_url` names an API, and its port",
            Self::HeadTooLong => "see what the API puts into the headers of its answers",
            Self::Cut => "try again, and see whether the API or something before it breaks off",
        }
    }
}

/// What became of a call without an answer.
pub(super) enum Trouble {
    Unsent(Unsent),
    Broken(Broken),
}

/// What an error of a call without an answer proves.
///
/// An error of connecting does: a connection is made before a request is given to it, and the only
/// request that is ever given to a second one is one that came back from the first untouched.
pub(super) fn before_answer(error: &reqwest::Error) -> Trouble {
    if let Some(nowhere) = find::<Nowhere>(error) {
        return Trouble::Unsent(match nowhere {
            Nowhere::Unresolved => Unsent::Unresolved,
            Nowhere::Refused => Unsent::Refused,
        });
    }
    if error.is_connect() {
        let tls = find::<rustls::Error>(error).is_some();
        return Trouble::Unsent(if tls { Unsent::Tls } else { Unsent::Unreachable });
    }
    Trouble::Broken(match find::<hyper::Error>(error) {
        Some(error) if error.is_parse_too_large() => Broken::HeadTooLong,
        Some(error) if error.is_parse() => Broken::NotHttp,
        _ if error.is_timeout() => Broken::TimedOut,
        _ => Broken::Closed,
    })
}

/// What an error amid a body says.
pub(super) fn amid_body(error: &reqwest::Error) -> Broken {
    if error.is_timeout() { Broken::TimedOut } else { Broken::Cut }
}

/// An error of that kind among the causes of one. An error of input and output hides its own.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    /// More than any error has.
    const MAX_CAUSES: usize = 32;
    let mut next = Some(error);
    for _ in 0..MAX_CAUSES {
        let error = next?;
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = hidden.map(|hidden| hidden as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}
