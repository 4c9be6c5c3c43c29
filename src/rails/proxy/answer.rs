//! What came back: a head, and a body that is read chunk by chunk by whoever wants it.

use std::fmt;

use hyper::{
    body::Bytes,
    http::{
        HeaderMap, HeaderName,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::{
    scrub::Scrub,
    trouble::{Broken, amid_body},
};
use crate::rails;

/// The longest value of a header that is handed on, in bytes.
const MAX_VALUE: usize = 4 << 10;
/// The longest type of a body that is handed on, in bytes.
const MAX_TYPE: usize = 256;
/// How many headers are handed on, and how many bytes of them.
const MAX_HEADERS: usize = 64;
const MAX_ALL: usize = 16 << 10;

/// An answer: its head, and what is to be read of it.
#[derive(Debug)]
pub struct Answer {
    /// What came first.
    pub head: Head,
    /// What comes then.
    pub body: Body,
}

/// The head of an answer, without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status: 200 to 999, and 101 if the other side is confused.
    pub status: u16,
    /// What the body is, where it says so.
    pub content_type: Option<String>,
    /// Those of the headers that were asked for, the printable ones, as often as they came; then
    /// those that are handed on, as many as there is room for.
    pub headers: Vec<(HeaderName, String)>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was read.
    Whole,
    /// It was longer than is read. The connection is closed, and what came before was handed on.
    Truncated,
    /// It is packed, though it was asked not to be: nobody could say what is in it, so nothing of
    /// it was read.
    Packed,
}

/// A body that is read as it comes. No more is kept than the chunk at hand: while nobody asks for
/// the next, the other side waits.
pub struct Body {
    /// None when there is no more to come.
    from: Option<Response>,
    scrub: Scrub,
    deadline: Instant,
    left: u64,
    end: End,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Answer {
    pub(super) fn new(
        response: Response,
        keep: &[HeaderName],
        scrub: Scrub,
        deadline: Instant,
        max_body: u64,
    ) -> Self {
        let headers = response.headers();
        let head = Head {
            status: response.status().as_u16(),
            content_type: values(headers, &CONTENT_TYPE, &scrub)
                .find(|text| text.len() <= MAX_TYPE),
            headers: asked(headers, keep, &scrub).chain(passing(headers, keep, &scrub)).collect(),
        };
        let packed = headers.get_all(CONTENT_ENCODING).iter().any(|value| {
            let value = value.as_bytes().trim_ascii();
            !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
        });
        let end = if packed { End::Packed } else { End::Whole };
        let from = (!packed).then_some(response);
        Self { head, body: Body { from, scrub, deadline, left: max_body, end } }
    }
}

/// The headers that were asked for.
fn asked<'a>(
    headers: &'a HeaderMap,
    keep: &'a [HeaderName],
    scrub: &'a Scrub,
) -> impl Iterator<Item = (HeaderName, String)> + use<'a> {
    keep.iter().flat_map(|name| values(headers, name, scrub).map(|value| (name.clone(), value)))
}

/// The others that are handed on. The type is told apart from them.
fn passing<'a>(
    headers: &'a HeaderMap,
    keep: &'a [HeaderName],
    scrub: &'a Scrub,
) -> impl Iterator<Item = (HeaderName, String)> + use<'a> {
    let names = headers.keys().filter(|name| rails::Head::hands_on(name.as_str()));
    let names = names.filter(|name| **name != CONTENT_TYPE && !keep.contains(name));
    let all = names.flat_map(|name| values(headers, name, scrub).map(|one| (name.clone(), one)));
    let room = all.scan(MAX_ALL, |room, (name, value)| {
        *room = room.checked_sub(name.as_str().len().saturating_add(value.len()))?;
        Some((name, value))
    });
    room.take(MAX_HEADERS)
}

/// The values of a header that can be shown, without the secret.
fn values<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    scrub: &'a Scrub,
) -> impl Iterator<Item = String> + use<'a> {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let found = headers
        .get_all(name)
        .iter()
        .filter(move |value| value.len() <= MAX_VALUE && value.as_bytes().iter().all(printable));
    found.filter_map(|value| String::from_utf8(scrub.text(value.as_bytes())).ok())
}

impl Body {
    /// The next bytes, without the secret; none at the end. After that it is asked no more.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut out = Vec::new();
        while let Some(response) = &mut self.from {
            let read = timeout_at(self.deadline, response.chunk()).await;
            let read = read.map_err(|_| Broken::TimedOut);
            match read.and_then(|read| read.map_err(|error| amid_body(&error))) {
                Err(broken) => {
                    self.from = None;
                    return Err(broken);
                }
                Ok(None) => {
                    self.from = None;
                    self.scrub.finish(&mut out);
                }
                Ok(Some(bytes)) => self.take(&bytes, &mut out),
            }
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    /// How it ended, once there is no more to come.
    pub fn end(&self) -> Option<End> {
        self.from.is_none().then_some(self.end)
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let fits = bytes.get(..most);
        self.scrub.feed(fits.unwrap_or(bytes), out);
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if fits.is_some_and(|fits| fits.len() < bytes.len()) {
            self.scrub.cut(out);
            self.end = End::Truncated;
            self.from = None;
        }
    }
}
