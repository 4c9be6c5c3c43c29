//! What APIs answered, kept a while for whoever asks what became of a payment.
//!
//! It is in memory alone: an answer is worth its money, but no record of it, and what an agent was
//! told is nobody else's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::time::Instant;

use crate::{
    policy::{
        answer::ApiResponse,
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
}

impl Told {
    /// Whether that is all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.ended && !self.cut
    }

    /// The same, as a model gets it.
    pub(super) fn shown(&self) -> ApiResponse {
        ApiResponse::of(self.head.status, self.head.content_type(), &self.body, !self.is_whole())
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
#[derive(Debug, Default)]
pub(super) struct Spool(Mutex<Inner>);

impl Spool {
    /// Keeps an answer, and lets go of the oldest where there is no room.
    pub(super) fn keep(&self, agent: &Handle, payment: PaymentId, told: Arc<Told>) {
        let size = told.size();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(Instant::now());
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
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(Instant::now());
        let kept = inner.kept.get(&payment).filter(|kept| kept.agent == *agent)?;
        Some(Arc::clone(&kept.told))
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

/// Reads an answer to its end, and keeps so much of its body. All but the end goes on to whoever
/// else wants it, as it comes.
pub(super) async fn collect(
    reading: &mut Reading,
    to: Option<&Reply>,
    most: usize,
) -> Option<Told> {
    let mut size = 0_u64;
    let (mut head, mut body, mut cut, mut ended) = (None, Vec::new(), false, false);
    let mut to = to;
    while let Some(part) = reading.next().await {
        match &part {
            Part::Head(one) => head = Some(one.clone()),
            Part::Chunk(bytes) => {
                size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                let room = most.saturating_sub(body.len()).min(bytes.len());
                body.extend_from_slice(bytes.get(..room).unwrap_or_default());
                cut |= room < bytes.len();
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
    Some(Told { head: head?, body: body.into(), ended, cut, size })
}
