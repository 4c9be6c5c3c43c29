//! The bodies of requests that are passed on: read whole, for what they cost must be known before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_ENCODING, EXPECT},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::refusal::Refusal;
use crate::{
    http::problem::Failure,
    policy::{endpoint::Body, names::Handle},
};

/// The longest body, in bytes: the longest that vendors of language models take.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// How many bytes all of them may have that are on their way at once.
const MAX_ALL: usize = 256 * 1024 * 1024;
/// How many those of one agent may have.
const MAX_EACH: usize = 64 * 1024 * 1024;
/// How long one may take to arrive.
const WITHIN: Duration = Duration::from_secs(60);
/// How long what was refused may still arrive, to be thrown away.
const REST_WITHIN: Duration = Duration::from_secs(5);
/// How many seconds whoever finds no room waits.
const AGAIN_AFTER_S: u64 = 2;

/// The room there is for bodies.
pub(super) struct Bodies {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<Handle, Arc<Semaphore>>>,
}

/// What a body takes of it, of its agent's share and of the whole, until it is let go of.
pub(super) type Room = Option<[OwnedSemaphorePermit; 2]>;

impl Default for Bodies {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_ALL)), each: Mutex::default() }
    }
}

impl Bodies {
    /// The share of an agent: one that fills it leaves room to the others.
    fn share(&self, agent: &Handle) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody holds any more is as a new one.
        each.retain(|_, share| Arc::strong_count(share) > 1);
        let new = || Arc::new(Semaphore::new(MAX_EACH));
        Arc::clone(each.entry(agent.clone()).or_insert_with(new))
    }

    /// Reads a body of an agent's to its end; nothing if there is none.
    pub(super) async fn read(
        &self,
        agent: &Handle,
        headers: &HeaderMap,
        mut body: Incoming,
    ) -> Result<(Option<Body>, Room), Refusal> {
        let read = self.whole(agent, headers, &mut body).await;
        if read.is_err() {
            pass_by(headers, body);
        }
        read
    }

    async fn whole(
        &self,
        agent: &Handle,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(Option<Body>, Room), Refusal> {
        let plain = |value: &[u8]| value.eq_ignore_ascii_case(b"identity") || value.is_empty();
        if headers.get_all(CONTENT_ENCODING).iter().any(|value| !plain(value.as_bytes())) {
            return Err(Refusal::plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_encoding",
                "A body that is packed is not passed on: send it as it is, without \
                 content-encoding.",
            ));
        }
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let slow = |_| Refusal::failure(Failure::body_too_slow());
        timeout(WITHIN, self.gather(self.share(agent), body)).await.map_err(slow)?
    }

    async fn gather(
        &self,
        share: Arc<Semaphore>,
        body: &mut Incoming,
    ) -> Result<(Option<Body>, Room), Refusal> {
        let (mut bytes, mut room): (_, Room) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::failure(Failure::invalid("the body broke off"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len().saturating_add(data.len()) > MAX_BODY {
                return Err(too_large());
            }
            let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let take = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_many_owned(count);
            let own = take(&share).map_err(|_| no_room())?;
            let all = take(&self.all).map_err(|_| no_room())?;
            match &mut room {
                None => room = Some([own, all]),
                Some([owns, alls]) => {
                    owns.merge(own);
                    alls.merge(all);
                }
            }
            bytes.extend_from_slice(&data);
        }
        // Whether it is JSON its sender says.
        let body = Some(bytes).filter(|bytes| !bytes.is_empty());
        Ok((body.map(|bytes| Body { bytes: bytes.into(), json: false }), room))
    }
}

/// Throws away for some seconds what still comes of a body that is refused: who sends first and
/// reads then finds no answer on a connection that was closed on what he sends. Who waits to be
/// told that he may send is not.
pub(super) fn pass_by(headers: &HeaderMap, mut body: Incoming) {
    if !headers.contains_key(EXPECT) {
        tokio::spawn(timeout(REST_WITHIN, async move {
            while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
        }));
    }
}

fn too_large() -> Refusal {
    let message = "The body is longer than 32 MiB. Nothing was charged.";
    Refusal::plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

fn no_room() -> Refusal {
    let message = "There is no room for this body beside those that are on their way. Nothing was \
                   charged: send it again soon.";
    Refusal::plain(StatusCode::SERVICE_UNAVAILABLE, "no_room", message).again_after(AGAIN_AFTER_S)
}
