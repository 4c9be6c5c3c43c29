//! How policy is asked: in the order in which the engine asks it, or through the engine itself.

use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use pettycash::{
    engine::Call,
    policy::{
        answer::{Outcome, PayAnswer},
        authorize::{Payment, Wanted, authorize, refuse},
        book::Book,
        denial::{BadField, Denial, Denied, Refusal},
        entry::{Binding, By, Draft, Fact, Hold, VoidCause},
        explain::{self, Decided},
        failures::Failed,
        group, keys,
        money::Usd,
        names::{Handle, PaymentId},
        operate::{self, Act, Existing, OperateError},
        payee,
        plan::{Around, plan},
        row::{self, Repeat, tell},
        settle::{self, SettleError},
        state::State,
        stop,
        task::TaskId,
        terms::PolicyTerms,
    },
};
use serde_json::json;

use super::{
    ops::Op,
    subject::Home,
    words::{self, No, handle, usd},
};
use crate::reference::{Asked, Came, Fate, Settle};

/// What is written down of a decision.
pub(crate) enum Does {
    Write(Vec<Draft>),
    /// One more denial is counted, and written down later.
    Count(Handle, Repeat),
}

/// What policy said to somebody who asked.
#[derive(Debug)]
pub(crate) enum Told {
    Granted {
        hold: Box<Hold>,
        available: Usd,
    },
    Again {
        payment: PaymentId,
        outcome: keys::Outcome,
    },
    No(No),
    /// Decided once more on the same book, it differs from what is on record.
    Unexplained(String),
}

impl Told {
    fn no(refusal: &Refusal, now: Timestamp) -> Self {
        Self::No(No::of(&PayAnswer::denied(refusal, None, now)).unwrap())
    }

    /// What the model is told over a tool.
    pub(crate) fn by_engine(
        home: &Home,
        (agent, came): (u8, Came),
        asked: &Asked,
        task: Option<TaskId>,
    ) -> Self {
        let arguments = json!({
            "service_id": words::service_id(asked.service),
            "amount_usd": asked.amount.map(|amount| usd(amount).decimal()),
            "idempotency_key": asked.key.map(words::key),
            "task_id": task,
        });
        let run = asked.run.map(words::run);
        let answer = home.pay(Call {
            agent: handle(agent),
            came: words::came(came),
            run,
            call_id: None,
            arguments,
            via: None,
        });
        if let Some(no) = No::of(&answer) {
            return Self::No(no);
        }
        let payment = answer.payment_id.unwrap();
        let again = |outcome| Self::Again { payment, outcome };
        match answer.refused.outcome.unwrap() {
            Outcome::Paid if answer.replayed == Some(true) => {
                again(keys::Outcome::Captured(answer.charged_usd.unwrap()))
            }
            Outcome::Paid => {
                let paid = home.facts(payment).into_iter().find_map(|fact| match fact {
                    Fact::Paid(hold) => Some(hold),
                    _ => None,
                });
                let hold = paid.unwrap_or_else(|| panic!("{payment} is not on record"));
                assert_eq!(answer.charged_usd, Some(hold.amount));
                Self::Granted { hold: Box::new(hold), available: answer.available_usd.unwrap() }
            }
            Outcome::InProgress | Outcome::InDoubt => again(keys::Outcome::Open),
            // Expired or failed: the answer does not tell them apart.
            _ => again(keys::Outcome::Failed(Failed::ForNow)),
        }
    }
}

/// What a key's payment came to, in both ways to say it.
pub(crate) fn is(fate: Fate, taken: i128, outcome: keys::Outcome) -> bool {
    match outcome {
        keys::Outcome::Open => matches!(fate, Fate::Held | Fate::Sent | Fate::Doubted),
        keys::Outcome::Captured(amount) => fate == Fate::Captured && amount == usd(taken),
        keys::Outcome::Expired => fate == Fate::Expired,
        keys::Outcome::Failed(_) => matches!(fate, Fate::Failed | Fate::Expired),
    }
}

/// Decides on one payment, as the engine does.
pub(crate) fn decide(
    state: &State,
    (agent, came): (u8, Came),
    (asked, task): (&Asked, Option<TaskId>),
    hold: bool,
    id: PaymentId,
    now: Timestamp,
) -> (Does, Told) {
    let agent = handle(agent);
    let came = words::came(came);
    let book = match state.admit_payer(&agent, &came, now) {
        Ok(book) => book,
        Err(why) => return (Does::Write(Vec::new()), Told::no(&Refusal::only(why), now)),
    };
    let (service, amount, run) =
        (words::service_id(asked.service), asked.amount.map(usd), asked.run.map(words::run));
    let key = asked.key.map(words::key);
    let deny = |refusal: Refusal| {
        let asked = Some(refusal.asked).filter(|asked| !asked.is_zero()).or(amount);
        let service = Some(service.clone());
        let denied = Denied {
            payment: id,
            service,
            asked,
            refusal,
            run: run.clone(),
            via: None,
            call: None,
            task,
        };
        match tell(state, book, came.who(), denied, now) {
            row::Told::Written(denied, drafts) => {
                let decided = Decided::Denied(Box::new(denied.clone()));
                let told = unexplained(state, book, &decided, now);
                let told = told.unwrap_or_else(|| Told::no(&denied.refusal, now));
                (Does::Write(drafts), told)
            }
            row::Told::Again(denied) => (Does::Write(Vec::new()), Told::no(&denied.refusal, now)),
            row::Told::Counted(denied, repeat) => {
                (Does::Count(agent.clone(), repeat), Told::no(&denied.refusal, now))
            }
        }
    };
    if let Some(bound) = key.as_ref().and_then(|key| state.bound(&agent, key, now)) {
        let payment = bound.payment;
        if !bound.is_for(&service, amount, task, None) {
            return deny(Refusal::only(Denial::IdempotencyKeyReused { payment }));
        }
        let again = Told::Again { payment, outcome: bound.outcome };
        return (Does::Write(Vec::new()), again);
    }
    let wanted = match state.service(&service) {
        Some(known) if known.price.is_none() && amount.is_none() => {
            let text = String::new;
            let bad = BadField {
                field: "amount_usd".into(),
                // As the engine says it: what differs is another mistake.
                got: "null".to_owned(),
                expected: text(),
                example: text(),
            };
            return deny(refuse(book, Denial::InvalidRequest(bad)));
        }
        Some(known) => Wanted::Known(known.clone()),
        None => Wanted::Unknown { service: service.clone(), nearest: Vec::new() },
    };
    let until = now.checked_add(SignedDuration::from_hours(30 * 24)).unwrap();
    let binding = key.map(|key| Binding { key, call: None, asked: amount, until });
    let payment = Payment { id, wanted, amount, estimate: false, binding, run: run.clone(), task };
    match authorize(&state.spender_of(book), &payment, now) {
        Ok(granted) => grant(state, book, granted, (came.who(), hold), now),
        Err(refusal) => deny(refusal),
    }
}

fn grant(
    state: &State,
    book: &Book,
    granted: Hold,
    (by, hold): (By, bool),
    now: Timestamp,
) -> (Does, Told) {
    let decided = Decided::Allowed(Box::new(granted.clone()));
    if let Some(told) = unexplained(state, book, &decided, now) {
        return (Does::Write(Vec::new()), told);
    }
    let fact = if hold { Fact::Held } else { Fact::Paid };
    let draft = Draft { agent: Some(book.handle.clone()), by, fact: fact(granted.clone()) };
    // What is left is told from the state with the payment folded in: see `Pair::ask`.
    let drafts = std::iter::once(draft).chain(stop::flag(book, &granted, now)).collect();
    (Does::Write(drafts), Told::Granted { hold: Box::new(granted), available: Usd::ZERO })
}

/// What differs where what is on record of a decision is decided on once more.
fn unexplained(state: &State, book: &Book, decided: &Decided, now: Timestamp) -> Option<Told> {
    explain::differs(state, book, decided, now).map(Told::Unexplained)
}

pub(crate) fn settled(
    state: &State,
    agent: u8,
    hold: &Hold,
    taken: Usd,
    how: Settle,
) -> Result<Draft, SettleError> {
    let payment = hold.payment;
    match how {
        Settle::Send => settle::send(state, payment),
        Settle::Doubt => settle::doubt(state, payment),
        Settle::Fail => settle::fail(state, payment, None),
        Settle::Expire => settle::expire(state, payment),
        Settle::Void { not_sent: true } => settle::void(state, payment, VoidCause::NotSent),
        Settle::Void { not_sent: false } => settle::void(state, payment, VoidCause::Recovery),
        Settle::Capture(amount, flag) => settle::capture(state, payment, usd(amount), flag),
        Settle::Refund(amount) => {
            settle::refund(state, &handle(agent), (hold, taken), usd(amount), None)
        }
    }
}

/// An act of the operator's, as policy decides it.
pub(crate) fn acted(state: &State, op: &Op, now: Timestamp) -> Result<Act, OperateError> {
    let reason = || "enough".parse().unwrap();
    let all =
        |drafts: Vec<Draft>| Ok(if drafts.is_empty() { Act::Nothing } else { Act::Write(drafts) });
    match op {
        Op::Open { agent, terms } => operate::open(state, &handle(*agent), words::mandate(terms)),
        Op::Mandate { agent, terms } => {
            operate::set_mandate(state, &handle(*agent), words::mandate(terms), now)
        }
        Op::TopUp { agent, amount } => operate::top_up(state, &handle(*agent), usd(*amount), None),
        Op::Freeze { agent: Some(agent) } => {
            operate::freeze(state, &handle(*agent), reason(), None)
        }
        Op::Freeze { agent: None } => all(operate::freeze_all(state, &reason(), None)),
        Op::Unfreeze { agent: Some(agent) } => operate::unfreeze(state, &handle(*agent), None),
        Op::Unfreeze { agent: None } => all(operate::unfreeze_all(state, None)),
        Op::Revoke { agent } => operate::revoke(state, &handle(*agent), reason(), None),
        Op::Service { id, service, replace } => {
            let existing = if *replace { Existing::Replace } else { Existing::Keep };
            operate::set_service(state, words::service(*id, service), existing)
        }
        Op::Remove { id } => operate::remove_service(state, &words::service_id(*id)),
        Op::Repin(agent, id, to) => {
            payee::repin(state, &handle(*agent), &words::service_id(*id), &words::payee(*to))
        }
        Op::Ungroup { group } => group::remove_group(state, &words::group(*group)),
        other => unreachable!("{other:?} is no act of the operator's"),
    }
}

/// What a policy that says only this of a group comes to: what is wrong with it, or what changes.
pub(crate) fn grouped(
    state: &State,
    policy: &PolicyTerms,
    now: Timestamp,
) -> Result<Vec<Draft>, &'static str> {
    let around = Around { rails: Vec::new(), distance: |_, _| usize::MAX };
    let planned = plan(state, policy, &around, now);
    if planned.plan.is_refused() { Err("chain") } else { Ok(planned.drafts) }
}

pub(crate) fn same<T: Debug + PartialEq>(what: &str, expected: &T, came: &T) -> Result<(), String> {
    if expected == came {
        return Ok(());
    }
    Err(format!("{what}\n  expected {expected:?}\n  came     {came:?}"))
}
