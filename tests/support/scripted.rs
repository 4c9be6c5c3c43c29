//! A rail that does as it is told: it answers, late or never, panics, and keeps what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, pending};
use pettycash::{
    policy::{mandate::Service, names::RailName},
    rails::{Dispatch, Head, Order, Part, Rail, Rails, Reply, Verdict},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// The longest that a test waits for a call.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that a call waits for its cue: more than any caller waits for its answer.
const CUE_PATIENCE: Duration = Duration::from_secs(120);

/// What the rail does with one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// It takes all that is held.
    Take,
    /// It says this.
    Say(Verdict),
    /// It takes all that is held, so much later.
    TakeAfter(Duration),
    /// It waits until the test says what it says.
    OnCue,
    /// It hands on an answer of this status, type and body, and says this.
    Answer(u16, &'static str, &'static [u8], Verdict),
    /// It hands on the beginning of an answer, and never ends it.
    HangAnswering,
    /// It never answers.
    Hang,
    /// It keeps its thread so long, then takes all.
    Block(Duration),
    /// It breaks.
    Panic,
}

/// What is so at the moment of a call, as a test sees it.
type Witness = Box<dyn Fn(&Order) -> bool + Send + Sync>;

struct Inner {
    within: Duration,
    acts: Mutex<VecDeque<Act>>,
    calls: watch::Sender<Vec<Order>>,
    cue: watch::Sender<Option<Verdict>>,
    witness: Mutex<Option<Witness>>,
    witnessed: Mutex<Vec<bool>>,
}

/// The rail `scripted`. Clones are the same rail.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Inner>);

impl Scripted {
    /// A rail that does one act after the other, the last one again and again.
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self::within(Duration::from_secs(180), acts)
    }

    /// The same with a deadline of its own.
    pub(crate) fn within(within: Duration, acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Arc::new(Inner {
            within,
            acts: Mutex::new(acts.into_iter().collect()),
            calls: watch::Sender::default(),
            cue: watch::Sender::default(),
            witness: Mutex::default(),
            witnessed: Mutex::default(),
        }))
    }

    /// The rails of an engine that has this one too.
    pub(crate) fn rails(&self) -> Rails {
        Rails::default().with(Arc::new(self.clone()))
    }

    /// From now on each call asks first whether something is so.
    pub(crate) fn witness(&self, is_so: impl Fn(&Order) -> bool + Send + Sync + 'static) {
        *self.0.witness.lock().unwrap() = Some(Box::new(is_so));
    }

    /// What was seen at each call.
    pub(crate) fn witnessed(&self) -> Vec<bool> {
        self.0.witnessed.lock().unwrap().clone()
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Order> {
        self.0.calls.borrow().clone()
    }

    /// Waits until there were so many calls.
    pub(crate) async fn called(&self, times: usize) {
        let mut calls = self.0.calls.subscribe();
        let called = calls.wait_for(|calls| calls.len() >= times);
        timeout(PATIENCE, called).await.expect("a call").unwrap();
    }

    /// What every call that waits for its cue answers.
    pub(crate) fn cue(&self, verdict: Verdict) {
        self.0.cue.send_replace(Some(verdict));
    }

    fn next(&self) -> Act {
        let mut acts = self.0.acts.lock().unwrap();
        let next = *acts.front().expect("an act");
        if acts.len() > 1 {
            acts.pop_front();
        }
        next
    }
}

impl Rail for Scripted {
    fn name(&self) -> RailName {
        "scripted".parse().unwrap()
    }

    fn dispatch(&self, _: &Service) -> Dispatch {
        Dispatch::Called { within: self.0.within }
    }

    fn pay<'a>(&'a self, order: &'a Order, reply: Reply) -> BoxFuture<'a, Verdict> {
        let seen = self.0.witness.lock().unwrap().as_ref().map(|is_so| is_so(order));
        self.0.witnessed.lock().unwrap().extend(seen);
        self.0.calls.send_modify(|calls| calls.push(order.clone()));
        let act = self.next();
        let all = Verdict::Captured(order.amount);
        Box::pin(async move {
            match act {
                Act::Take => all,
                Act::Say(verdict) => verdict,
                Act::TakeAfter(time) => {
                    sleep(time).await;
                    all
                }
                Act::OnCue => {
                    let mut cue = self.0.cue.subscribe();
                    let cued = timeout(CUE_PATIENCE, cue.wait_for(Option::is_some)).await;
                    cued.expect("a cue").unwrap().unwrap()
                }
                Act::Answer(status, kind, body, verdict) => {
                    reply.send(Part::Head(head(status, kind))).await;
                    for bytes in body.chunks(7) {
                        reply.send(Part::Chunk(bytes.into())).await;
                    }
                    reply.send(Part::End).await;
                    verdict
                }
                Act::HangAnswering => {
                    reply.send(Part::Head(head(200, "text/plain"))).await;
                    reply.send(Part::Chunk(b"so far".as_slice().into())).await;
                    pending().await
                }
                Act::Hang => pending().await,
                Act::Block(time) => {
                    std::thread::sleep(time);
                    all
                }
                Act::Panic => panic!("as the script says"),
            }
        })
    }
}

fn head(status: u16, kind: &str) -> Head {
    Head { status, headers: vec![("content-type".to_owned(), kind.to_owned())] }
}
