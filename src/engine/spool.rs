//! What APIs answered, kept a while for whoever asks what became of a payment.
//!
//! It is in memory alone: an answer is worth its money, but no record of it, and what an agent was
//! told is nobody else's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    policy::{
        answer::{ApiResponse, MAX_BODY, resource},
        names::{Handle, PaymentId},
    },
    rails::{Head, Part, Reading, Reply},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How many bytes all of them may take.
const MAX_ALL: usize = 64 * 1024 * 1024;
/// How many there may be.
const MAX_KEPT: usize = 4_096;
/// How many bytes those of one agent may take.
const MAX_EACH: usize = 16 * 1024 * 1024;
/// How much of one answer is kept: of what is shown no more than is shown.
const MAX_ONE: usize = 4 * 1024 * 1024;
/// How many answers that are longer than what is shown may be on their way at once, so that what
/// they take is bounded too; of those that come then, only the first is kept.
const MAX_LONG: usize = 32;

/// What an API answered, as far as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) head: Head,
    pub(super) body: Bytes,
    /// Whether its end came.
    pub(super) ended: bool,
    /// Whether there was more than is kept.
    cut: bool,
    /// How many bytes there were in all.
    pub(super) size: u64,
    /// Whether it is neither JSON nor text, once that was looked at.
    binary: OnceLock<bool>,
}

impl Told {
    /// Whether that is all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.ended && !self.cut
    }

    /// The same, as it is told without a word of where its body is.
    pub(super) fn response(&self) -> ApiResponse {
        let (status, kind) = (self.head.status, self.head.content_type());
        let response = ApiResponse::of(status, kind, &self.body, !self.is_whole());
        let bytes = response.bytes.map(|_| self.size);
        let _ = self.binary.set(bytes.is_some());
        ApiResponse { bytes, ..response }
    }

    /// The same, as a model gets it.
    pub(super) fn shown(&self, payment: PaymentId) -> ApiResponse {
        let response = self.response();
        let resource = self.is_resource().then(|| resource(payment));
        ApiResponse { resource, ..response }
    }

    /// Whether its body can be read as what it is: neither JSON nor text, and all here.
    pub(super) fn is_resource(&self) -> bool {
        let looked = || self.response().is_binary();
        self.is_whole() && self.binary.get().copied().unwrap_or_else(looked)
    }

    /// About how much memory it takes.
    fn size(&self) -> usize {
        let lengths = self.head.headers.iter().map(|(name, value)| name.len() + value.len());
        lengths.sum::<usize>().saturating_add(self.body.len()).saturating_add(size_of::<Self>())
    }
}

#[derive(Debug)]
struct Kept {
    agent: Handle,
    until: Instant,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<PaymentId, Kept>,
    /// The oldest first.
    order: VecDeque<PaymentId>,
    bytes: usize,
    each: HashMap<Handle, usize>,
}

/// The answers that are kept.
#[derive(Debug)]
pub(super) struct Spool {
    inner: Mutex<Inner>,
    long: Semaphore,
}

impl Default for Spool {
    fn default() -> Self {
        Self { inner: Mutex::default(), long: Semaphore::new(MAX_LONG) }
    }
}

impl Spool {
    /// Keeps an answer, and lets go of the oldest where there is no room.
    pub(super) fn keep(&self, agent: &Handle, payment: PaymentId, told: Arc<Told>) {
        let size = told.size();
        let mut inner = self.fresh();
        inner.let_go(payment);
        let until = Instant::now() + KEPT;
        let agent = agent.clone();
        inner.bytes = inner.bytes.saturating_add(size);
        let each = inner.each.entry(agent.clone()).or_default();
        *each = each.saturating_add(size);
        inner.order.push_back(payment);
        inner.kept.insert(payment, Kept { agent: agent.clone(), until, told });
        while inner.each.get(&agent).is_some_and(|bytes| *bytes > MAX_EACH) {
            let theirs = |id: &&PaymentId| inner.kept.get(id).is_some_and(|one| one.agent == agent);
            let Some(oldest) = inner.order.iter().find(theirs).copied() else { break };
            inner.let_go(oldest);
        }
        while inner.bytes > MAX_ALL || inner.order.len() > MAX_KEPT {
            let Some(oldest) = inner.order.front().copied() else { break };
            inner.let_go(oldest);
        }
    }

    /// What was answered to a payment of `agent`, if that is still here.
    pub(super) fn get(&self, agent: &Handle, payment: PaymentId) -> Option<Arc<Told>> {
        let inner = self.fresh();
        let kept = inner.kept.get(&payment).filter(|kept| kept.agent == *agent)?;
        Some(Arc::clone(&kept.told))
    }

    /// The same of whichever agent's payment.
    pub(super) fn of_anybody(&self, payment: PaymentId) -> Option<Arc<Told>> {
        Some(Arc::clone(&self.fresh().kept.get(&payment)?.told))
    }

    /// All that was answered to payments of `agent`, of those before `before` if that is said.
    pub(super) fn all_of(
        &self,
        agent: &Handle,
        before: Option<PaymentId>,
    ) -> Vec<(PaymentId, Arc<Told>)> {
        let inner = self.fresh();
        let asked = |id: &PaymentId| before.is_none_or(|before| *id < before);
        let theirs = inner.kept.iter().filter(|(id, kept)| kept.agent == *agent && asked(id));
        theirs.map(|(id, kept)| (*id, Arc::clone(&kept.told))).collect()
    }

    /// Whether anything is kept.
    pub(super) fn holds_any(&self) -> bool {
        !self.fresh().kept.is_empty()
    }

    /// Where an answer asks whether it may be longer than what is shown.
    pub(super) fn long(&self) -> &Semaphore {
        &self.long
    }

    /// What is kept now.
    fn fresh(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(Instant::now());
        inner
    }
}

impl Inner {
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front().copied() {
            if self.kept.get(&oldest).is_some_and(|kept| kept.until > now) {
                break;
            }
            self.let_go(oldest);
        }
    }

    fn let_go(&mut self, payment: PaymentId) {
        let Some(Kept { agent, told, .. }) = self.kept.remove(&payment) else { return };
        self.order.retain(|one| *one != payment);
        self.bytes = self.bytes.saturating_sub(told.size());
        if let Some(each) = self.each.get_mut(&agent) {
            *each = each.saturating_sub(told.size());
            if *each == 0 {
                self.each.remove(&agent);
            }
        }
    }
}

/// Reads an answer to its end, and keeps so much of its body: what is shown, and of what is passed
/// on, or is neither JSON nor text, as much as one may have, if it may be `long`. All but the end
/// goes on to whoever else wants it, as it comes.
pub(super) async fn collect(
    reading: &mut Reading,
    to: Option<&Reply>,
    long: Option<&Semaphore>,
) -> Option<Told> {
    let mut size = 0_u64;
    let (mut head, mut body, mut cut, mut ended) = (None, Vec::new(), false, false);
    let (mut most, mut seat, passed_on) = (MAX_BODY, None, to.is_some());
    let mut to = to;
    while let Some(part) = reading.next().await {
        match &part {
            Part::Head(one) => head = Some(one.clone()),
            Part::Chunk(bytes) => {
                size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                let mut rest = fill(&mut body, bytes, most);
                if !rest.is_empty() && seat.is_none() && !cut {
                    let long = long.filter(|_| passed_on || is_binary(head.as_ref(), &body));
                    seat = long.and_then(|long| long.try_acquire().ok());
                    most = seat.as_ref().map_or(most, |_| MAX_ONE);
                    rest = fill(&mut body, rest, most);
                }
                cut |= !rest.is_empty();
            }
            Part::End => {
                ended = true;
                continue;
            }
        }
        if let Some(reply) = to
            && !reply.send(part).await
        {
            // He has gone: what is kept is for when he asks again.
            to = None;
        }
    }
    body.shrink_to_fit();
    let (head, body, binary) = (head?, body.into(), OnceLock::new());
    Some(Told { head, body, ended, cut, size, binary })
}

/// Puts into a body what fits of these bytes, and gives the rest.
fn fill<'a>(body: &mut Vec<u8>, bytes: &'a [u8], most: usize) -> &'a [u8] {
    let room = most.saturating_sub(body.len()).min(bytes.len());
    let (fits, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
    body.extend_from_slice(fits);
    rest
}

/// Whether a body that begins so, and goes on, is neither JSON nor text.
fn is_binary(head: Option<&Head>, begins: &[u8]) -> bool {
    let kind = head.and_then(Head::content_type);
    ApiResponse::of(0, kind, begins, true).is_binary()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of a body of half a megabyte of this type, where so many may be longer than
    /// what is shown.
    async fn kept(kind: &str, seats: usize) -> Told {
        let (reply, mut reading) = Reply::channel();
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let long = Semaphore::new(seats);
        let answers = async move {
            reply.send(Part::Head(Head { status: 200, headers })).await;
            for _ in 0..8 {
                reply.send(Part::Chunk(vec![b'x'; 64 << 10].into())).await;
            }
            reply.send(Part::End).await;
        };
        let (told, ()) = tokio::join!(collect(&mut reading, None, Some(&long)), answers);
        assert_eq!(long.available_permits(), seats, "a seat is given back");
        told.unwrap()
    }

    #[tokio::test]
    async fn where_too_many_long_bodies_come_at_once_one_more_is_cut_and_no_resource() {
        let (kept, cut) = (kept("image/png", 1).await, self::kept("image/png", 0).await);
        assert_eq!((kept.body.len(), kept.is_resource()), (512 << 10, true));
        assert_eq!((cut.body.len(), cut.is_resource()), (MAX_BODY, false));
        assert_eq!((cut.size, cut.response().truncated), (512 << 10, Some(true)));
        let text = self::kept("text/plain", 1).await;
        assert_eq!((text.body.len(), text.is_resource()), (MAX_BODY, false));
    }
}
