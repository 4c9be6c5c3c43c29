//! What can be told of a payment that is there.

use jiff::Timestamp;

use crate::policy::{
    answer::PayAnswer,
    book::Book,
    money::Usd,
    names::{PaymentId, RunId, ServiceId},
    state::{OpenPayment, Stage, State},
    task::TaskId,
    warning::Warning,
};

/// A payment that was made, with what the book has left now, and whether that is little.
pub(super) fn paid_by(
    state: &State,
    book: &Book,
    within: (Option<&RunId>, Option<TaskId>),
    (payment, service, charged): (PaymentId, &ServiceId, Usd),
    now: Timestamp,
) -> PayAnswer {
    let (available, warning) = left(state, book, within, Some(service), now);
    PayAnswer::paid(payment, service, charged, available).warning(warning)
}

/// What can be spent now, and whether little is left for a service.
pub(in crate::engine) fn left(
    state: &State,
    book: &Book,
    (run, task): (Option<&RunId>, Option<TaskId>),
    service: Option<&ServiceId>,
    now: Timestamp,
) -> (Usd, Option<Warning>) {
    let spender = state.spender_of(book).in_task(task);
    let service = service.and_then(|id| state.service(id));
    (spender.available(run, now), spender.warning(service, run, now))
}

/// What can be said of a payment that is not settled.
pub(super) fn still_open(payment: PaymentId, open: Option<&OpenPayment>) -> PayAnswer {
    match open {
        Some(open) if open.stage == Stage::InDoubt => PayAnswer::in_doubt(&open.hold),
        Some(_) | None => PayAnswer::in_progress(Some(payment), None),
    }
}
