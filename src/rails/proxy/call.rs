//! One call as it is asked for, and the request that becomes of it.

use std::time::Duration;

use hyper::{
    body::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{
            ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST,
            PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
        },
    },
};
use url::Url;
use zeroize::Zeroizing;

use super::{secret::Secret, site::Site, trouble::Unsent};

/// What programs of ours call themselves.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pettycash/", env!("CARGO_PKG_VERSION")));

/// What is the connection's own, or says who asks for whom: never taken from a call.
const NEVER: [HeaderName; 18] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// One call: where, what, with which secret, and how much may come of it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The only place that it may go to.
    pub site: &'a Site,
    /// How it asks.
    pub method: Method,
    /// The path and query there, percent-encoded, without the secret.
    pub target: &'a str,
    /// The headers that go with it. What belongs to the connection is left out of them.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
    /// The secret, and where it goes.
    pub secret: Option<Carried<'a>>,
    /// How long all of it may take, to the last byte of the answer.
    pub within: Duration,
    /// How many bytes of the answer's body are read.
    pub max_body: u64,
    /// The headers of the answer that are needed, besides those that are handed on anyway.
    pub keep: &'a [HeaderName],
}

/// A secret, and where in a call it goes.
#[derive(Debug)]
pub struct Carried<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// Where it goes: most often into one header.
    pub places: Vec<Place>,
}

/// Where a secret goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a header, behind some text: `Bearer `.
    Header {
        /// Its name.
        name: HeaderName,
        /// What stands before the secret.
        before: String,
    },
    /// Into the query, as the value of a name.
    Query {
        /// The name.
        name: String,
        /// What stands before the secret.
        before: String,
    },
}

impl Call<'_> {
    /// The request, in which the secret comes last.
    pub(super) fn request(&self) -> Result<reqwest::Request, Unsent> {
        let mut url = self.site.url(self.target).map_err(|_| Unsent::Target)?;
        let mut headers = self.headers.clone();
        for name in &NEVER {
            headers.remove(name);
        }
        headers.entry(USER_AGENT).or_insert(AGENT);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(carried) = &self.secret {
            carried.put(&mut url, &mut headers)?;
        }
        let mut request = reqwest::Request::new(self.method.clone(), url);
        *request.headers_mut() = headers;
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.clone().into());
        }
        Ok(request)
    }
}

impl Carried<'_> {
    fn put(&self, url: &mut Url, headers: &mut HeaderMap) -> Result<(), Unsent> {
        for place in &self.places {
            match place {
                Place::Header { name, before } => {
                    let value = self.behind(before);
                    let mut value = HeaderValue::from_str(&value).map_err(|_| Unsent::Header)?;
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                Place::Query { name, before } => {
                    url.query_pairs_mut().append_pair(name, &self.behind(before));
                }
            }
        }
        Ok(())
    }

    fn behind(&self, before: &str) -> Zeroizing<String> {
        let secret = self.secret.expose();
        let mut text = Zeroizing::new(String::with_capacity(before.len() + secret.len()));
        text.push_str(before);
        text.push_str(secret);
        text
    }
}

#[cfg(test)]
mod tests;
