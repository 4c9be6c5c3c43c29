//! What every request over TCP passes before anybody asks who sends it: a browser that was led here
//! by a foreign page, or by a name that now means this machine, is turned away.

use std::{fmt, net::SocketAddr};

use hyper::{HeaderMap, Request, StatusCode, Uri, header, http::uri::PathAndQuery};
use percent_encoding::percent_decode_str;

use super::problem::Failure;

/// Where MCP's current transport is.
pub(super) const MCP: &str = "/mcp";
/// Where a client of the HTTP+SSE transport of 2024-11-05 opens its stream.
pub(super) const SSE: &str = "/sse";
/// Where it sends its messages.
pub(super) const MESSAGES: &str = "/messages";
/// Below this are the APIs that agents pay for, each under the name of its service.
pub(super) const GATEWAY: &str = "/gateway/";
/// Where anybody learns that somebody listens, and no more.
pub(super) const HEALTHZ: &str = "/healthz";
/// Below this, everything is the operators'.
pub(super) const OPERATOR: &str = "/v1/";

/// The port that no address over plain HTTP names.
const HTTP: u16 = 80;

/// Names of a query's fields that would carry a token.
const TOKEN_FIELDS: [&str; 8] =
    ["token", "access_token", "auth", "authorization", "bearer", "api_key", "apikey", "key"];
/// How our tokens begin, and how many of their digits in a row no name has: one that was cut is
/// still seen.
const TOKEN_STARTS: [&str; 2] = ["agt_", "opr_"];
const TOKEN_DIGITS: usize = 32;

/// The name under which a TLS proxy in front of us is reached, such as `pay.example.com`, with the
/// port if it is not 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyName(String);

/// Why a text is not the name of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is such as pay.example.com, or pay.example.com:8443, without https:// and path")]
pub struct ProxyNameError;

impl std::str::FromStr for ProxyName {
    type Err = ProxyNameError;

    fn from_str(text: &str) -> Result<Self, ProxyNameError> {
        let name = text.to_ascii_lowercase();
        let authority = name.parse::<hyper::http::uri::Authority>().map_err(|_| ProxyNameError)?;
        let port = authority.port();
        let rest = port.map_or(0, |port| port.as_str().len() + 1);
        let plain = authority.host().len() + rest == name.len() && !authority.host().is_empty();
        let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
        if plain && named { Ok(Self(name)) } else { Err(ProxyNameError) }
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names by which we may be called.
#[derive(Debug)]
pub(super) struct Door {
    hosts: Vec<String>,
    origin: Option<String>,
}

impl Door {
    /// The door of a listener, and of the proxy in front of it.
    pub(super) fn new(listener: SocketAddr, proxy: Option<&ProxyName>) -> Self {
        let port = listener.port();
        let mut hosts: Vec<String> =
            ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")).into();
        if listener.ip().is_loopback() {
            hosts.push(listener.to_string());
        }
        if port == HTTP {
            // Clients leave it out.
            let bare = hosts.iter().filter_map(|host| host.strip_suffix(":80")).map(str::to_owned);
            hosts.extend(bare.collect::<Vec<_>>());
        }
        if let Some(ProxyName(name)) = proxy {
            hosts.push(name.clone());
            if !name.rsplit(']').next().unwrap_or_default().contains(':') {
                hosts.push(format!("{name}:443"));
            }
        }
        Self { hosts, origin: proxy.map(|name| format!("https://{name}")) }
    }

    /// Lets a request pass, or says why not.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Failure> {
        self.host(request.uri(), request.headers())?;
        self.origin(request.headers())?;
        tokenless(request.uri())
    }

    /// One `Host`, one of ours, and the target agrees with it.
    fn host(&self, target: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
        let foreign = || {
            let detail = "the Host header is not exactly one that names this server";
            Failure::new(StatusCode::FORBIDDEN, "host_foreign", detail)
                .hint("reach it as 127.0.0.1, localhost or [::1] and its port, or as its proxy")
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(foreign()) };
        let host = host.to_str().map_err(|_| foreign())?;
        let named = self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host));
        let agrees = target.authority().is_none_or(|target| target == host);
        if named && agrees { Ok(()) } else { Err(foreign()) }
    }

    /// No `Origin`, or one of a page of this machine or of the proxy's.
    fn origin(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let ours = is_loopback(origin) || self.origin.as_deref() == Some(origin);
        if ours && origins.next().is_none() {
            return Ok(());
        }
        let detail = "a page of another origin may not use this server";
        Err(Failure::new(StatusCode::FORBIDDEN, "origin_foreign", detail)
            .hint("programs send no Origin header; pages must come from this machine"))
    }
}

/// Whether an origin is a page of this machine, on whatever port, served with TLS or without.
fn is_loopback(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let Some(authority) = authority else { return false };
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|host| {
        authority.strip_prefix(host).is_some_and(|rest| {
            let port = rest.strip_prefix(':');
            let is_port = |port: &str| port.parse::<u16>().is_ok() && !port.starts_with('+');
            rest.is_empty() || port.is_some_and(is_port)
        })
    })
}

/// Addresses end up in logs and histories: no token may be in one, not even a right one.
fn tokenless(target: &Uri) -> Result<(), Failure> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let fields = target.query().unwrap_or_default().split(['&', ';']);
    let named = fields
        .map(|field| decoded(field.split('=').next().unwrap_or_default()))
        .any(|field| TOKEN_FIELDS.iter().any(|name| field.eq_ignore_ascii_case(name)));
    let whole = target.path_and_query().map_or("", PathAndQuery::as_str);
    if !named && !has_token(&decoded(whole)) {
        return Ok(());
    }
    Err(Failure::new(StatusCode::BAD_REQUEST, "token_in_url", "no token may be in an address")
        .hint("send it as `Authorization: Bearer …`, and rotate the one that was in the address"))
}

/// Whether there is anything like one of our tokens in a text.
fn has_token(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    TOKEN_STARTS.into_iter().any(|start| {
        text.match_indices(start).any(|(at, _)| {
            let digits = text.bytes().skip(at + start.len());
            let digits = digits.take_while(|digit| matches!(digit, b'a'..=b'z' | b'2'..=b'7'));
            digits.take(TOKEN_DIGITS).count() == TOKEN_DIGITS
        })
    })
}

#[cfg(test)]
mod tests;
