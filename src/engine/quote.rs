//! What `get_balance` says of payments that are planned.

use jiff::{SignedDuration, Timestamp};

use super::{
    kin::nearest,
    request::{self, QuoteRequest},
};
use crate::policy::{
    answer::QuoteView,
    authorize::{Payment, Wanted},
    book::Book,
    denial::BadField,
    group::Group,
    moment::Moment,
    names::{PaymentId, RunId},
    quote::{MAX_CALLS, quote},
    rooms::Spender,
    state::State,
    task::TaskId,
};

/// How far ahead it is counted: the longest window that rolls.
const AHEAD: SignedDuration = SignedDuration::from_hours(31 * 24);

/// A quote that is asked for, with all that it takes to give it: it may take a while, for
/// which no payment should wait.
pub(super) struct Planned {
    book: Book,
    groups: Vec<Group>,
    payment: Payment,
    calls: u32,
    by: Option<Timestamp>,
    now: Timestamp,
}

impl Planned {
    /// Takes what it needs out of the state.
    ///
    /// # Errors
    /// What is wrong about the question, in this agent's zone and with this catalogue.
    pub(super) fn of(
        asked: QuoteRequest,
        (run, task): (Option<RunId>, Option<TaskId>),
        state: &State,
        book: &Book,
        now: Timestamp,
    ) -> Result<Self, BadField> {
        let QuoteRequest { service, amount, calls, by } = asked;
        let wanted = match state.service(&service) {
            Some(known) if known.price.is_none() && amount.is_none() => {
                return Err(request::missing_amount());
            }
            Some(known) => Wanted::Known(known.clone()),
            None => Wanted::Unknown { nearest: nearest(state, book, &service), service },
        };
        let last = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let to_come = |at: &Timestamp| *at > now && *at <= last;
        let at = |by: Moment| {
            by.future(&book.mandate.zone, now).filter(to_come).ok_or_else(|| request::bad_by(by))
        };
        let by = by.map(at).transpose()?;
        let id = PaymentId::new(0, 0);
        let payment = Payment { id, wanted, amount, estimate: false, binding: None, run, task };
        let calls = calls.unwrap_or(MAX_CALLS);
        let groups = state.chain(book.mandate.group.as_ref()).into_iter().cloned().collect();
        Ok(Self { book: book.excerpt(&payment), groups, payment, calls, by, now })
    }

    /// Counts.
    pub(super) fn told(&self) -> QuoteView {
        let Self { book, groups, payment, calls, by, now } = self;
        let spender = Spender { book, groups: groups.iter().collect(), task: None };
        QuoteView::of(&quote(&spender, payment, *calls, *by, *now), payment)
    }
}
