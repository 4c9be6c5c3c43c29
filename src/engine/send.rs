//! What was held goes to its rail, and what the rail says is recorded.
//!
//! It runs on tasks of its own, so that a payment comes to its end whatever becomes of whoever
//! asked for it. What cannot be said for sure stays held and is in doubt.

use std::{
    any::Any,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Counted, Engine,
    pay::{self, Decided},
    seats::Seat,
    spool::{Told, collect},
};
use crate::{
    policy::{
        answer::PayAnswer,
        entry::{CaptureFlag, Draft, Fact, VoidCause},
        models::Models,
        money::Usd,
        names::{Handle, PaymentId, RunId},
        settle::{self, SettleError},
        state::{OpenPayment, Stage, State},
    },
    rails::{Order, Part, Rail, Reading, Reply, Verdict},
    store::{Decision, Purpose, StoreError},
};

/// How long a caller waits for a payment: its answer must be back within 25 s.
const WAIT: Duration = Duration::from_secs(20);
/// How long until an outcome is recorded again that a full disk had no room for.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a rail that broke off may take to let go of what it was answered.
const LET_GO: Duration = Duration::from_secs(1);
/// How many payments a log names.
const NAMED: usize = 20;

/// A payment whose hold is durable: its rail is to be called now.
pub(super) struct Sending {
    pub(super) rail: Arc<dyn Rail>,
    pub(super) order: Order,
    pub(super) run: Option<RunId>,
    /// The language model of the call.
    pub(super) model: Option<Models>,
    /// What has no answer by then is in doubt.
    pub(super) within: Duration,
    /// Let go of when it has answered.
    pub(super) seat: Seat,
}

/// Where what the payee's side answers goes.
struct Way {
    reply: Reply,
    /// As much of it as is kept.
    answered: Option<JoinHandle<Option<Told>>>,
    /// Let go of once what became of the payment is before the writer: of whoever is passed the
    /// answer.
    settling: Option<oneshot::Sender<()>>,
}

/// What holds a place until a payment has come to its end.
pub(super) type Room = Box<dyn Any + Send>;

/// A payment whose answer is passed on as it comes.
pub(super) struct Passing {
    pub(super) payment: PaymentId,
    pub(super) model: Option<Models>,
    pub(super) reading: Reading,
    /// Ends when what became of it counts for whatever is asked next.
    pub(super) settled: oneshot::Receiver<()>,
    pub(super) ended: JoinHandle<PayAnswer>,
}

/// What a payment whose answer is passed on begins with.
pub(super) enum Begun {
    /// It is not sent.
    Not(Box<PayAnswer>),
    /// It is.
    Sent(Passing),
}

impl Engine {
    /// Makes a payment up to its end, and waits for that as long as its caller may wait.
    pub(super) async fn begin(
        &self,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> Decision<Decided> + Send + 'static,
    ) -> Result<PayAnswer, StoreError> {
        // Where no rail is ever called the commit is all there is, and no caller can break it off.
        if self.rails.only_record() {
            return Ok(self.store.commit(Purpose::Spend, decide).await?.answer);
        }
        let until = Instant::now() + WAIT;
        let (engine, counted) = (self.clone(), self.under_way.count());
        let begun = tokio::spawn(async move {
            let Decided { answer, sending } = engine.store.commit(Purpose::Spend, decide).await?;
            let sent = sending.map(|sending| {
                let (reply, mut reading) = Reply::channel();
                let spool = Arc::clone(&engine.spool);
                let read = async move { collect(&mut reading, None, Some(spool.long())).await };
                let answered = Some(tokio::spawn(read));
                let way = Way { reply, answered, settling: None };
                tokio::spawn(engine.send(sending, way, counted))
            });
            Ok((answer, sent))
        });
        let gone = |_| StoreError::Uncertain { cause: "the payment broke off".to_owned() };
        let (answer, sent) = begun.await.map_err(gone)??;
        let Some(sent) = sent else { return Ok(answer) };
        match timeout_at(until, sent).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) | Err(_) => Ok(answer),
        }
    }

    /// The same, for a caller who gets what the payee's side answers as it comes. Of an answer
    /// that is `kept` it can be read again later; `room` is let go of with the payment.
    pub(super) async fn begin_passing(
        &self,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> Decision<Decided> + Send + 'static,
        kept: bool,
        room: Option<Room>,
    ) -> Result<Begun, StoreError> {
        let (engine, counted) = (self.clone(), self.under_way.count());
        let begun = tokio::spawn(async move {
            let Decided { answer, sending } = engine.store.commit(Purpose::Spend, decide).await?;
            let Some(sending) = sending else { return Ok((answer, None)) };
            let (payment, model) = (sending.order.payment, sending.model.clone());
            let (to, reading) = Reply::channel();
            let (settling, settled) = oneshot::channel();
            let reply = if kept { engine.kept_for(&sending.order, to) } else { to };
            let way = Way { reply, answered: None, settling: Some(settling) };
            let ended = tokio::spawn(async move {
                let answer = engine.send(sending, way, counted).await;
                drop(room);
                answer
            });
            Ok((answer, Some(Passing { payment, model, reading, settled, ended })))
        });
        let gone = |_| StoreError::Uncertain { cause: "the payment broke off".to_owned() };
        let (answer, passing) = begun.await.map_err(gone)??;
        Ok(passing.map_or_else(|| Begun::Not(answer.into()), Begun::Sent))
    }

    /// A way for an answer on which it is kept, and goes on to whoever waits for it.
    fn kept_for(&self, order: &Order, to: Reply) -> Reply {
        let (reply, mut reading) = Reply::channel();
        let (spool, agent, payment) = (Arc::clone(&self.spool), order.agent.clone(), order.payment);
        tokio::spawn(async move {
            let Some(told) = collect(&mut reading, Some(&to), Some(spool.long())).await else {
                return;
            };
            let ended = told.ended;
            spool.keep(&agent, payment, told.into());
            // Who has read it to its end finds it kept.
            if ended {
                to.send(Part::End).await;
            }
        });
        reply
    }

    /// Calls the rail and records what it says.
    async fn send(self, sending: Sending, way: Way, counted: Counted) -> PayAnswer {
        let Sending { rail, order, run, model: _, within, seat } = sending;
        let Order { payment, agent, .. } = order.clone();
        let mut parked = self.parked.subscribe();
        let Way { reply, answered, settling } = way;
        let status = reply.status();
        let verdict = tokio::select! {
            verdict = ask(rail, order, reply, within) => verdict,
            _ = parked.wait_for(|parked| *parked) => {
                return PayAnswer::in_progress(Some(payment), None);
            }
        };
        tracing::info!(%agent, %payment, ?verdict, "the rail answered");
        let told = match answered {
            // A rail that hangs may not have let go of it.
            Some(answered) => timeout(LET_GO, answered).await.ok(),
            None => None,
        };
        let told = told.and_then(|read| read.ok().flatten()).map(Arc::new);
        if let Some(told) = &told {
            self.spool.keep(&agent, payment, Arc::clone(told));
        }
        let mut recorded = pin!(self.record(agent, run, payment, (verdict, status)));
        let at_once = recorded.as_mut().now_or_never();
        drop(seat);
        // Its turn has come before anything that is asked from now on: whoever reads the answer
        // waits for no disk at its end.
        drop(settling);
        let answer = match at_once {
            Some(answer) => answer,
            None => recorded.await,
        };
        drop(counted);
        PayAnswer { response: told.map(|told| told.shown(payment)), ..answer }
    }

    /// Writes down what became of a payment. A disk that is only full is waited for as long as
    /// this process lives; after any other failure the next start finds it sent, and in doubt.
    async fn record(
        &self,
        agent: Handle,
        run: Option<RunId>,
        payment: PaymentId,
        (verdict, status): (Verdict, Arc<OnceLock<u16>>),
    ) -> PayAnswer {
        let status = status.get().copied();
        let mut told = false;
        loop {
            let run = run.clone();
            let decide = move |state: &State, _, now| {
                settled(state, payment, (verdict, status), run.as_ref(), now)
            };
            match self.store.commit(Purpose::Record, decide).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => {
                    tracing::error!(%agent, %payment, %error, "the outcome does not fit");
                    break;
                }
                Err(StoreError::Full) => {
                    if !told {
                        tracing::error!(%agent, %payment, "no room to record the outcome");
                    }
                    told = true;
                    sleep(RECORD_AGAIN_AFTER).await;
                }
                Err(error) => {
                    tracing::error!(%agent, %payment, %error, "the outcome was not recorded");
                    break;
                }
            }
        }
        PayAnswer::in_progress(Some(payment), None)
    }

    /// Waits until no payment is under way, whether or not anybody waits for its answer.
    pub async fn all_ended(&self) {
        self.under_way.none().await;
    }

    /// Lets go of the payments under way, and says in the log which they are: nobody knows their
    /// end.
    pub(super) async fn park(&self) {
        if self.under_way.now() > 0 {
            let look = |state: &State, _| {
                let named = |open: &OpenPayment| (open.agent.clone(), open.hold.payment);
                let sent = state.all_open().filter(|open| open.stage == Stage::Sent);
                sent.take(NAMED).map(named).collect::<Vec<_>>()
            };
            for (agent, payment) in self.look(look).await.unwrap_or_default() {
                tracing::warn!(%agent, %payment, "left under way: in doubt from the next start on");
            }
        }
        self.parked.send_replace(true);
    }
}

/// Calls the rail, on a task of its own: it may panic, or never come back.
pub(super) async fn ask(
    rail: Arc<dyn Rail>,
    order: Order,
    reply: Reply,
    within: Duration,
) -> Verdict {
    let (agent, payment, held) = (order.agent.clone(), order.payment, order.amount);
    let call = tokio::spawn(async move { rail.pay(&order, reply).await });
    let rest = call.abort_handle();
    match timeout(within, call).await {
        Ok(Ok(verdict)) => match too_much(verdict, held) {
            Some(amount) => {
                let took = "the rail took more than was held";
                tracing::error!(%agent, %payment, %amount, %held, "{took}");
                Verdict::InDoubt
            }
            None => verdict,
        },
        Ok(Err(error)) => {
            // Its text may hold anything.
            tracing::error!(%agent, %payment, panicked = error.is_panic(), "the rail broke off");
            Verdict::InDoubt
        }
        Err(_) => {
            rest.abort();
            tracing::error!(%agent, %payment, ?within, "the rail did not answer in time");
            Verdict::InDoubt
        }
    }
}

/// What a rail says it took, where that is more than it may.
fn too_much(verdict: Verdict, held: Usd) -> Option<Usd> {
    let (amount, flag) = match verdict {
        Verdict::Captured(amount) => (amount, None),
        Verdict::Flagged(amount, flag) => (amount, Some(flag)),
        Verdict::Failed | Verdict::NotSent | Verdict::NotReady | Verdict::InDoubt => return None,
    };
    (amount > held && !flag.is_some_and(CaptureFlag::may_pass)).then_some(amount)
}

/// What a verdict comes to, and the answer that tells it.
fn settled(
    state: &State,
    payment: PaymentId,
    (verdict, status): (Verdict, Option<u16>),
    run: Option<&RunId>,
    now: Timestamp,
) -> Decision<Result<PayAnswer, SettleError>> {
    let draft = match verdict {
        Verdict::Captured(amount) => settle::capture(state, payment, amount, None),
        Verdict::Flagged(amount, flag) => settle::capture(state, payment, amount, Some(flag)),
        Verdict::Failed => settle::fail(state, payment, status),
        Verdict::NotSent => settle::void(state, payment, VoidCause::NotSent),
        Verdict::NotReady => settle::void(state, payment, VoidCause::NotReady),
        Verdict::InDoubt => settle::doubt(state, payment),
    };
    let (Ok(draft), Some(open)) = (&draft, state.open(payment)) else {
        return Decision::Answer(Err(draft.err().unwrap_or(SettleError::NotOpen(payment))));
    };
    let Draft { fact, .. } = draft.clone();
    let (OpenPayment { agent, hold, .. }, run) = (open.clone(), run.cloned());
    let answer = Box::new(move |state: &State| {
        let left = || {
            let (book, run) = (state.book(&agent), (run.as_ref(), hold.task));
            let service = Some(&hold.service);
            book.map(|book| pay::left(state, book, run, service, now)).unwrap_or_default()
        };
        Ok(match fact {
            Fact::Captured { amount, .. } => {
                let (available, warning) = left();
                PayAnswer::paid(payment, &hold.service, amount, available)
                    .by_model(hold.model.as_ref())
                    .warning(warning)
            }
            Fact::Doubted { .. } => PayAnswer::in_doubt(&hold),
            end => PayAnswer::failed(payment, &end),
        })
    });
    Decision::Commit { drafts: vec![draft.clone()], durable: true, answer }
}
