//! What a payee's side answers, on its way from a rail to whoever asked.

use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;
use tokio::sync::mpsc;

/// How many pieces may be on their way: whoever writes waits for whoever reads.
const ON_THE_WAY: usize = 16;
/// How long one is at most: longer ones are cut, so that whoever reads nothing has little kept, and
/// what is there already is read as one up to that.
const AT_ONCE: usize = 64 * 1024;
/// The headers that are handed on, and how the names of others begin that are.
const NAMES: [&str; 7] = [
    "cache-control",
    "content-type",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-should-retry",
];
const BEGINNINGS: [&str; 4] = ["anthropic-", "openai-", "ratelimit-", "x-ratelimit-"];
/// Of those, the ones that say whose account the key is of: that is the operator's alone.
const OWNERS: [&str; 3] = ["anthropic-organization-id", "openai-organization", "openai-project"];

/// The beginning of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its HTTP status.
    pub status: u16,
    /// Its headers that may be handed on, each name in small letters.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Whether a header of an answer is handed on: what says what a body is, when to come again,
    /// and what a vendor tells of a call. Whatever acts on a client (cookies, redirects, policies)
    /// or tells of a server, or of whose account it is, stays behind.
    pub fn hands_on(name: &str) -> bool {
        let told = || BEGINNINGS.iter().any(|begin| name.starts_with(begin));
        NAMES.contains(&name) || (told() && !OWNERS.contains(&name))
    }

    /// What it says its body is.
    pub fn content_type(&self) -> Option<&str> {
        let named = |(name, _): &&(String, String)| name == "content-type";
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It begins.
    Head(Head),
    /// More of its body.
    Chunk(Bytes),
    /// That was all of it. Where this is missing, it broke off.
    End,
}

/// Where a rail writes what it is answered. Whoever reads may have gone away: a rail reads on
/// itself, for what it is answered may be what it charges by.
#[derive(Clone, Debug)]
pub struct Reply {
    parts: mpsc::Sender<Part>,
    why: Arc<OnceLock<String>>,
    status: Arc<OnceLock<u16>>,
}

/// Where it is read. It ends when the rail lets go of its [`Reply`].
#[derive(Debug)]
pub struct Reading {
    parts: mpsc::Receiver<Part>,
    /// What was found behind the bytes that were read last.
    behind: Option<Part>,
    why: Arc<OnceLock<String>>,
}

impl Reply {
    /// A way for one answer.
    pub fn channel() -> (Self, Reading) {
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        let why = Arc::<OnceLock<String>>::default();
        (
            Self { parts: sender, why: Arc::clone(&why), status: Arc::default() },
            Reading { parts: receiver, behind: None, why },
        )
    }

    /// Hands a piece on, and waits until there is room for it. Says whether anybody reads.
    pub async fn send(&self, part: Part) -> bool {
        if let Part::Head(head) = &part {
            let _ = self.status.set(head.status);
        }
        let Part::Chunk(mut bytes) = part else { return self.parts.send(part).await.is_ok() };
        while bytes.len() > AT_ONCE {
            let piece = bytes.split_to(AT_ONCE);
            if self.parts.send(Part::Chunk(piece)).await.is_err() {
                return false;
            }
        }
        self.parts.send(Part::Chunk(bytes)).await.is_ok()
    }

    /// Where the status of the answer will stand, if there is one.
    pub fn status(&self) -> Arc<OnceLock<u16>> {
        Arc::clone(&self.status)
    }

    /// Says for the operator why there is no answer, or not all of one: in words of ours, with
    /// nothing in them that came from outside. What is said first stays.
    pub fn explain(&self, why: String) {
        let _ = self.why.set(why);
    }
}

impl Reading {
    /// The next piece, with all of the body that is there already: a stream that comes faster than
    /// it is read is not handed on crumb by crumb. Nothing at the end.
    pub async fn next(&mut self) -> Option<Part> {
        let part = match self.behind.take() {
            Some(part) => part,
            None => self.parts.recv().await?,
        };
        let Part::Chunk(first) = part else { return Some(part) };
        let Ok(part) = self.parts.try_recv() else { return Some(Part::Chunk(first)) };
        let (mut bytes, mut next) = (Vec::from(first), Some(part));
        while let Some(Part::Chunk(more)) = &next {
            if bytes.len().saturating_add(more.len()) > AT_ONCE {
                break;
            }
            bytes.extend_from_slice(more);
            next = self.parts.try_recv().ok();
        }
        self.behind = next;
        Some(Part::Chunk(bytes.into()))
    }

    /// Where it will stand why there is no answer, if there is none.
    pub fn why(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.why)
    }
}
