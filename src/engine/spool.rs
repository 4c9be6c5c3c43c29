//! What APIs answered, kept a while for whoever asks what became of a payment.
//!
//! It is in memory alone: an answer is worth its money, but no record of it, and what an agent was
//! told is nobody else's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    policy::{
        answer::{ApiResponse, MAX_BODY},
        names::{Handle, PaymentId},
    },
    rails::{Part, Reading},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How many bytes all of them may take.
const MAX_ALL: usize = 64 * 1024 * 1024;
/// How many there may be.
const MAX_KEPT: usize = 4_096;
/// How many bytes those of one agent may take.
const MAX_EACH: usize = 16 * 1024 * 1024;

#[derive(Debug)]
struct Kept {
    agent: Handle,
    until: Instant,
    response: Arc<ApiResponse>,
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
    pub(super) fn keep(&self, agent: &Handle, payment: PaymentId, response: ApiResponse) {
        let size = response.size();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(Instant::now());
        inner.let_go(payment);
        let until = Instant::now() + KEPT;
        let agent = agent.clone();
        inner.bytes = inner.bytes.saturating_add(size);
        let each = inner.each.entry(agent.clone()).or_default();
        *each = each.saturating_add(size);
        inner.order.push_back(payment);
        inner.kept.insert(payment, Kept { agent: agent.clone(), until, response: response.into() });
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
    pub(super) fn get(&self, agent: &Handle, payment: PaymentId) -> Option<ApiResponse> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(Instant::now());
        let kept = inner.kept.get(&payment).filter(|kept| kept.agent == *agent)?;
        Some(ApiResponse::clone(&kept.response))
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
        let Some(Kept { agent, response, .. }) = self.kept.remove(&payment) else { return };
        self.order.retain(|one| *one != payment);
        self.bytes = self.bytes.saturating_sub(response.size());
        if let Some(each) = self.each.get_mut(&agent) {
            *each = each.saturating_sub(response.size());
            if *each == 0 {
                self.each.remove(&agent);
            }
        }
    }
}

/// Reads an answer to its end, and keeps as much of it as is handed to a model.
pub(super) async fn collect(mut reading: Reading) -> Option<ApiResponse> {
    let (mut head, mut body, mut cut, mut whole) = (None, Vec::new(), false, false);
    while let Some(part) = reading.next().await {
        match part {
            Part::Head(one) => head = Some(one),
            Part::Chunk(bytes) => {
                let room = MAX_BODY.saturating_sub(body.len()).min(bytes.len());
                body.extend_from_slice(bytes.get(..room).unwrap_or_default());
                cut |= room < bytes.len();
            }
            Part::End => whole = true,
        }
    }
    let head = head?;
    Some(ApiResponse::of(head.status, head.content_type(), &body, cut || !whole))
}
