//! One payment, from what the model asked to what it is told.

mod told;

use jiff::{SignedDuration, Timestamp};

use told::{paid_by, still_open};

use super::{
    Call, Engine, EngineError,
    called::{self, Called},
    gates::Asker,
    kin,
    malformed::Malformed,
    request::{self, Misread, PayRequest},
    seats::Seats,
    send::Sending,
};
use crate::{
    policy::{
        answer::PayAnswer,
        authorize::{Payment, Wanted, authorize, refuse},
        book::Book,
        came::Came,
        denial::{Denial, Denied, Refusal},
        entry::{Binding, By, Draft, Fact, Hash, Hold},
        keys::{self, Bound},
        money::Usd,
        names::{Handle, IdempotencyKey, PaymentId, RunId, ServiceId},
        row::{Told, tell},
        state::{OpenPayment, State},
        stop,
        task::TaskId,
        via::Via,
    },
    rails::{Dispatch, Order, Rails},
    store::{Decision, StoreError},
};

pub(super) use told::left;

/// How long a caller's key stands for its payment.
const KEY_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the id of a call stands for its payment, where the caller gave no key.
const CALL_KEPT: SignedDuration = SignedDuration::from_mins(15);

/// Who asks for what, read and ready to be decided.
pub(super) struct Asked {
    pub(super) agent: Handle,
    pub(super) run: Option<RunId>,
    pub(super) came: Came,
    pub(super) service: ServiceId,
    pub(super) amount: Option<Usd>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) call: Option<IdempotencyKey>,
    pub(super) via: Option<Via>,
    pub(super) task: Option<TaskId>,
    /// What tells the request for a call from another.
    pub(super) request: Option<Hash>,
    /// That call, of a service that is called.
    pub(super) called: Option<Called>,
    /// Whether it is a payment of its own however equal another is.
    pub(super) each_its_own: bool,
}

/// What the first commit of a payment comes to.
pub(super) struct Decided {
    /// The answer; of a payment that is sent, what is known of it so far.
    pub(super) answer: PayAnswer,
    /// What is to be done now that it is recorded.
    pub(super) sending: Option<Sending>,
}

impl From<PayAnswer> for Decided {
    fn from(answer: PayAnswer) -> Self {
        Self { answer, sending: None }
    }
}

impl Engine {
    /// Pays, or says why not, or says what became of an earlier payment; with what was answered to
    /// it, as long as that is kept.
    pub(super) async fn pay(&self, call: Call) -> Result<PayAnswer, EngineError> {
        let (agent, calls) = (call.agent.clone(), called::is_asked(&call.arguments));
        let answer = self.with_response(&agent, self.paid_or_not(call).await?);
        Ok(if calls { self.with_model(&agent, answer).await.of_call() } else { answer })
    }

    /// The answer with what was answered to its payment, if that is kept.
    fn with_response(&self, agent: &Handle, answer: PayAnswer) -> PayAnswer {
        let kept = |payment| Some(self.spool.get(agent, payment)?.shown(payment));
        let response = answer.response.clone().or_else(|| kept(answer.payment_id?));
        PayAnswer { response, ..answer }
    }

    async fn paid_or_not(&self, call: Call) -> Result<PayAnswer, EngineError> {
        let Call { agent, run, call_id, arguments, came, via } = call;
        match PayRequest::read(&arguments) {
            Ok(PayRequest::Pay { service, amount, key, dry_run, task, request }) => {
                let again = key.as_ref().or(call_id.as_ref()).map(ToString::to_string);
                let call = call_id;
                let called = match &request {
                    Some(request) => self.called(&agent, &service, request).await?,
                    None => Ok(None),
                };
                let called = match called {
                    Ok(called) => called,
                    Err(bad) => {
                        let bad = Box::new(Misread { bad, service: Some(service), amount });
                        let asked = Malformed { agent, run, came, bad, via, call };
                        return self.refuse(asked, dry_run).await;
                    }
                };
                let request = request.as_deref().map(called::digest);
                let asked = Asked {
                    agent,
                    run,
                    came,
                    service,
                    amount,
                    key,
                    call,
                    via,
                    task,
                    request,
                    called,
                    each_its_own: false,
                };
                let on = (self.rails.clone(), self.seats.clone());
                if dry_run {
                    return self
                        .rehearse(move |state, id, now| {
                            asked.decide((&on.0, &on.1), state, id, now)
                        })
                        .await;
                }
                let decide =
                    move |state: &State, id, now| asked.decide((&on.0, &on.1), state, id, now);
                match self.begin(decide).await {
                    // It may be on disk: to say that nothing was charged could be a lie.
                    Err(StoreError::Uncertain { .. }) => Ok(PayAnswer::in_progress(None, again)),
                    answered => Ok(answered?),
                }
            }
            Ok(PayRequest::Fetch(payment)) => {
                let bad = Box::new(Misread::bare(request::bad_payment(payment)));
                let asked = Malformed { agent, run, came, bad, via, call: call_id };
                match self.fetch(&asked, payment).await? {
                    Some(answer) => Ok(answer),
                    // Also to ask for what is not one's own, again and again, is a loop.
                    None => self.refuse(asked, false).await,
                }
            }
            Err(bad) => {
                let asked = Malformed { agent, run, came, bad, via, call: call_id };
                self.refuse(asked, PayRequest::is_dry(&arguments)).await
            }
        }
    }

    /// What became of one of the agent's own payments; nothing if it is none.
    async fn fetch(
        &self,
        asked: &Malformed,
        payment: PaymentId,
    ) -> Result<Option<PayAnswer>, EngineError> {
        let Malformed { agent, run, came, .. } = asked;
        // Who is not let in takes no turn of whoever he says he is.
        let (who, how) = (agent.clone(), came.clone());
        let admitted = self
            .look(move |state, now| {
                state.admit_payer(&who, &how, now).map(drop).map_err(|e| (e, now))
            })
            .await?;
        if let Err((why, now)) = admitted {
            return Ok(Some(PayAnswer::denied(&self.turned_away(why)?, None, now)));
        }
        let first = self.first_entry(agent, payment).await?;
        let (reader, run, came) = (agent.clone(), run.clone(), came.clone());
        let (service, task, calls) = match &first {
            Some(Fact::Held(hold) | Fact::Paid(hold)) => {
                (Some(hold.service.clone()), hold.task, hold.request.is_some())
            }
            Some(_) | None => (None, None, false),
        };
        let (left, open, now) = self
            .look(move |state, now| {
                let book = state.admit_payer(&reader, &came, now);
                let within = (run.as_ref(), task);
                let left = book.map(|book| left(state, book, within, service.as_ref(), now));
                (left, state.open(payment).cloned(), now)
            })
            .await?;
        let (available, warning) = match left {
            Ok(left) => left,
            Err(why) => return Ok(Some(PayAnswer::denied(&self.turned_away(why)?, None, now))),
        };
        let settled = match &first {
            Some(Fact::Held(_)) if open.is_none() => {
                let who = Asker::Agent(agent.clone());
                Some(self.settlement(&who, agent, payment).await?)
            }
            Some(_) | None => None,
        };
        let replayed = |answer| PayAnswer { replayed: Some(true), ..answer };
        let paid = |hold: &Hold, charged| {
            let paid = PayAnswer::paid(payment, &hold.service, charged, available);
            replayed(paid.by_model(hold.model.as_ref()).warning(warning))
        };
        let answer = match (first, settled) {
            (Some(Fact::Paid(hold)), _) => paid(&hold, hold.amount),
            (Some(Fact::Held(hold)), Some(Fact::Captured { amount, .. })) => paid(&hold, amount),
            (Some(Fact::Held(_)), Some(end)) => replayed(PayAnswer::failed(payment, &end)),
            (Some(Fact::Held(_)), None) => still_open(payment, open.as_ref()),
            (Some(Fact::Denied(denied)), _) => {
                replayed(PayAnswer::denied(&denied.refusal, Some(payment), now))
            }
            (Some(_) | None, _) => return Ok(None),
        };
        let answer = self.with_response(agent, answer);
        Ok(Some(if calls { answer.of_call() } else { answer }))
    }
}

impl Asked {
    pub(super) fn decide(
        mut self,
        (rails, seats): (&Rails, &Seats),
        state: &State,
        id: PaymentId,
        now: Timestamp,
    ) -> Decision<Decided> {
        // Who was let in may have waited until now: the door had no later word.
        let book = match state.admit_payer(&self.agent, &self.came, now) {
            Ok(book) => book,
            Err(why) => return turned_away(why, now),
        };
        let key = self.key.as_ref().or(self.call.as_ref());
        if let Some(bound) = key.and_then(|key| state.bound(&self.agent, key, now)) {
            return self.answer_again(bound, state, book, id, now);
        }
        let calls = state.service(&self.service).filter(|service| service.endpoint.is_some());
        let allowed = book.mandate.allows(&self.service);
        match (calls, &self.called) {
            (Some(service), None) if self.request.is_none() && allowed => {
                let missing = request::missing_request(service);
                let refusal = refuse(book, Denial::InvalidRequest(missing));
                return self.deny(state, book, id, refusal, now);
            }
            // What was read and priced is of the catalogue, and the mandate, as they were then.
            (now, then) if allowed && called::is_stale(then.as_ref(), now, &book.mandate) => {
                return Decision::Answer(PayAnswer::of_changed().into());
            }
            _ => {}
        }
        let spender = state.spender_of(book);
        let (here, run) = (spender.clone().in_task(self.task), self.run.as_ref());
        self.called = self.called.take().map(|called| called.meant(&here, run, now));
        let Some(payment) = self.payment(state, book, id, now) else {
            let refusal = refuse(book, Denial::InvalidRequest(request::missing_amount()));
            return self.deny(state, book, id, refusal, now);
        };
        if let Some(earlier) = self.duplicate(rails, state, book, &payment) {
            let refusal = refuse(book, Denial::PossibleDuplicate { payment: earlier });
            return self.deny(state, book, id, refusal, now);
        }
        match authorize(&spender, &payment, now) {
            Ok(hold) => {
                let (via, request) = (self.via.clone(), self.request);
                let model = self.called.as_ref().and_then(|called| called.call.model.clone());
                let hold = Hold { via, request, model, ..hold };
                if book.fails_again(&hold, now) {
                    let looped = Refusal::only(Denial::LoopDetected);
                    let refusal = Refusal { asked: hold.amount, ..looped };
                    return self.deny(state, book, id, refusal, now);
                }
                let flagged = stop::flag(book, &hold, now);
                self.allowed((rails, seats), state, hold, flagged, now)
            }
            Err(refusal) => self.deny(state, book, id, refusal, now),
        }
    }

    /// An equal payment of the agent's that is not settled, where this one has no key to tell them
    /// apart. What is paid by the record is never open.
    fn duplicate(
        &self,
        rails: &Rails,
        state: &State,
        book: &Book,
        payment: &Payment,
    ) -> Option<PaymentId> {
        let Wanted::Known(service) = &payment.wanted else { return None };
        let recorded = rails.get(&service.rail).map(|rail| rail.dispatch(service));
        let told_apart = self.key.is_some() || self.each_its_own;
        if told_apart || book.held.is_zero() || recorded == Some(Dispatch::Recorded) {
            return None;
        }
        let equal = |open: &&OpenPayment| {
            open.agent == self.agent
                && open.hold.service == service.id
                && open.hold.request == self.request
                // The same request of another model is held at another amount.
                && (open.hold.model.is_some() || open.hold.amount == payment.cost())
        };
        state.all_open().find(equal).map(|open| open.hold.payment)
    }

    /// Pays in the one commit, or holds the money and says that it is sent: the rail is called
    /// once that is durable.
    fn allowed(
        self,
        (rails, seats): (&Rails, &Seats),
        state: &State,
        hold: Hold,
        flagged: Option<Draft>,
        now: Timestamp,
    ) -> Decision<Decided> {
        let service = state.service(&hold.service).cloned();
        let found = service.and_then(|service| Some((rails.get(&service.rail)?, service)));
        let Some((rail, service)) = found else {
            tracing::error!(service = %hold.service, "the rail of this service is not set up");
            return Decision::Answer(PayAnswer::without_rail().into());
        };
        let Dispatch::Called { within } = rail.dispatch(&service) else {
            return paid(self.agent, self.came.who(), hold, flagged, now);
        };
        let seat = match seats.take(&self.agent) {
            Ok(seat) => seat,
            Err(taken) => return Decision::Answer(taken.answer().into()),
        };
        let Hold { payment, amount, .. } = hold;
        let model = hold.model.clone();
        let draft = |by, fact| Draft { agent: Some(self.agent.clone()), by, fact };
        let mut drafts = vec![
            draft(self.came.who(), Fact::Held(hold)),
            draft(By::Engine, Fact::Sent { payment }),
        ];
        drafts.extend(flagged);
        let (request, metering) = self.called.map(Called::sent).unzip();
        let metering = metering.flatten();
        let order = Order { payment, agent: self.agent, service, amount, request, metering };
        let sending = Sending { rail: rail.clone(), order, run: self.run, model, within, seat };
        let answer = PayAnswer::in_progress(Some(payment), None);
        let decided = Decided { answer, sending: Some(sending) };
        Decision::Commit { drafts, durable: true, answer: Box::new(move |_: &State| decided) }
    }

    fn deny(
        self,
        state: &State,
        book: &Book,
        id: PaymentId,
        refusal: Refusal,
        now: Timestamp,
    ) -> Decision<Decided> {
        let by = self.came.who();
        deny(state, book, by, self.denied(id, refusal), now)
    }

    /// The payment that this asks for; nothing where neither side names a price.
    fn payment(
        &self,
        state: &State,
        book: &Book,
        id: PaymentId,
        now: Timestamp,
    ) -> Option<Payment> {
        let wanted = match state.service(&self.service) {
            Some(service) => {
                let service = self.called.as_ref().map_or(service.clone(), Called::priced);
                if service.price.is_none() && self.amount.is_none() {
                    return None;
                }
                Wanted::Known(service)
            }
            None => Wanted::Unknown {
                service: self.service.clone(),
                nearest: kin::nearest(state, book, &self.service),
            },
        };
        let (amount, run, task) = (self.amount, self.run.clone(), self.task);
        let estimate = self.called.as_ref().is_some_and(Called::is_estimated);
        Some(Payment { id, wanted, amount, estimate, binding: self.binding(now), run, task })
    }

    fn binding(&self, now: Timestamp) -> Option<Binding> {
        let (key, kept) = match (&self.key, &self.call) {
            (Some(key), _) => (key, KEY_KEPT),
            (None, Some(call)) => (call, CALL_KEPT),
            (None, None) => return None,
        };
        let until = now.checked_add(kept).unwrap_or(Timestamp::MAX);
        Some(Binding { key: key.clone(), call: self.call.clone(), asked: self.amount, until })
    }

    fn denied(self, payment: PaymentId, refusal: Refusal) -> Denied {
        let asked = Some(refusal.asked).filter(|asked| !asked.is_zero()).or(self.amount);
        Denied {
            payment,
            service: Some(self.service),
            asked,
            refusal,
            run: self.run,
            via: self.via,
            call: self.call,
            task: self.task,
        }
    }

    /// The key was used before: the same payment has the same outcome, another is refused.
    fn answer_again(
        self,
        bound: &Bound,
        state: &State,
        book: &Book,
        id: PaymentId,
        now: Timestamp,
    ) -> Decision<Decided> {
        if !bound.is_for(&self.service, self.amount, self.task, self.request) {
            let denial = Denial::IdempotencyKeyReused { payment: bound.payment };
            return self.deny(state, book, id, Refusal::only(denial), now);
        }
        // The same call again is the transport's retry: its caller has heard nothing yet.
        let heard = !self.call.as_ref().is_some_and(|call| bound.is_of_call(call));
        let answer = match bound.outcome {
            keys::Outcome::Captured(charged) => {
                let taken = (bound.payment, &self.service, charged);
                paid_by(state, book, (self.run.as_ref(), self.task), taken, now)
            }
            keys::Outcome::Open => still_open(bound.payment, state.open(bound.payment)),
            keys::Outcome::Expired => {
                PayAnswer::failed(bound.payment, &Fact::Expired { payment: bound.payment })
            }
            keys::Outcome::Failed(how) => PayAnswer::turned_down(bound.payment, how),
        };
        Decision::Answer(PayAnswer { replayed: heard.then_some(true), ..answer }.into())
    }
}

/// Takes the money in one durable commit: what the IOU rail needs, for it moves nothing.
fn paid(
    agent: Handle,
    by: By,
    hold: Hold,
    flagged: Option<Draft>,
    now: Timestamp,
) -> Decision<Decided> {
    let (payment, service, charged) = (hold.payment, hold.service.clone(), hold.amount);
    let (run, task) = (hold.run.clone(), hold.task);
    let fact = Fact::Paid(hold);
    let paid = Draft { agent: Some(agent.clone()), by, fact };
    let drafts = std::iter::once(paid).chain(flagged).collect();
    let answer = Box::new(move |state: &State| {
        let (run, book) = (run.as_ref(), state.book(&agent));
        let paid =
            book.map(|book| paid_by(state, book, (run, task), (payment, &service, charged), now));
        paid.unwrap_or_else(|| PayAnswer::paid(payment, &service, charged, Usd::ZERO)).into()
    });
    Decision::Commit { drafts, durable: true, answer }
}

/// Refuses, and writes it down unless the agent's last denial was the same.
pub(super) fn deny(
    state: &State,
    book: &Book,
    by: By,
    denied: Denied,
    now: Timestamp,
) -> Decision<Decided> {
    let answer = |denied: &Denied| {
        Decided::from(PayAnswer {
            alternatives: kin::alternatives(state, book, denied, now),
            ..PayAnswer::denied(&denied.refusal, Some(denied.payment), now)
        })
    };
    match tell(state, book, by, denied, now) {
        Told::Again(denied) => Decision::Answer(answer(&denied)),
        Told::Counted(denied, repeat) => {
            let (agent, answer) = (book.handle.clone(), answer(&denied));
            Decision::Repeat { agent, repeat, answer }
        }
        Told::Written(denied, drafts) => {
            let answer = answer(&denied);
            // A denial alone waits for no sync; a freeze or a throttle that comes with it does.
            let durable = drafts.len() > 1;
            Decision::Commit { drafts, durable, answer: Box::new(move |_: &State| answer) }
        }
    }
}

/// Answers somebody who is not let in: nothing of it is recorded.
pub(super) fn turned_away(why: Denial, now: Timestamp) -> Decision<Decided> {
    Decision::Answer(PayAnswer::denied(&Refusal::only(why), None, now).into())
}
