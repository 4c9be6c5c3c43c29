//! The end of a hold: what may be taken, released or given back.
//!
//! A hold ends once, by exactly one of capture, void and expire; what was captured can come back
//! in parts, never more than was taken.

use super::{
    entry::{By, CaptureFlag, CountedBy, Draft, Fact, Hold, VoidCause},
    money::Usd,
    names::{Handle, Note, PaymentId},
    planted::{self, Bug},
    state::{OpenPayment, Stage, State},
};

/// Why a hold cannot be settled as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// It was settled before, or never was.
    #[error("{0} is not an open payment")]
    NotOpen(PaymentId),
    /// Taking more than was set aside is an overrun, which only what is metered may be.
    #[error("{asked} is more than the {held} that is held")]
    MoreThanHeld {
        /// What was to be taken.
        asked: Usd,
        /// What is there.
        held: Usd,
    },
    /// What was handed to a rail settles to the truth.
    #[error("{0} was sent to its rail and can no longer be voided")]
    Sent(PaymentId),
    /// Nothing was sent yet that could fail or be in doubt.
    #[error("{0} was not sent to its rail")]
    NotSent(PaymentId),
    /// Only what nobody knows the end of takes an operator's word for it.
    #[error("{0} is not in doubt")]
    NotInDoubt(PaymentId),
    /// Giving nothing back is a slip.
    #[error("an amount of zero changes nothing")]
    Zero,
    /// More would come back than was taken.
    #[error("{asked} is more than the {left} that can still come back")]
    MoreThanCaptured {
        /// What was to come back.
        asked: Usd,
        /// What can.
        left: Usd,
    },
}

fn open(state: &State, payment: PaymentId) -> Result<&OpenPayment, SettleError> {
    state.open(payment).ok_or(SettleError::NotOpen(payment))
}

fn engine(agent: &Handle, fact: Fact) -> Draft {
    Draft { agent: Some(agent.clone()), by: By::Engine, fact }
}

/// Takes `amount` of a hold; the rest goes back in the same entry. More than is held may be taken
/// only by a flag that says so: it is a debt by then, and counts whatever it passes.
///
/// # Errors
/// If the payment is not open, or `amount` is more than it holds and may not be.
pub fn capture(
    state: &State,
    payment: PaymentId,
    amount: Usd,
    flag: Option<CaptureFlag>,
) -> Result<Draft, SettleError> {
    let OpenPayment { agent, hold, .. } = open(state, payment)?;
    if amount > hold.amount && !flag.is_some_and(CaptureFlag::may_pass) {
        return Err(SettleError::MoreThanHeld { asked: amount, held: hold.amount });
    }
    let amount = writable(state, agent, hold, amount);
    Ok(engine(agent, Fact::Captured { payment, amount, flag }))
}

/// As much of an amount that, whatever a payee claims, all that was taken and is held can be
/// written down.
fn writable(state: &State, agent: &Handle, hold: &Hold, amount: Usd) -> Usd {
    let book = state.book(agent);
    let others =
        book.map_or(Usd::ZERO, |book| book.captured.saturating_plus(book.held.less(hold.amount)));
    amount.min(Usd::MAX.less(others)).max(amount.min(hold.amount))
}

/// Releases a hold. One that was sent can be voided only by proof that nothing was.
///
/// # Errors
/// If the payment is not open, or was sent and `cause` is no such proof.
pub fn void(state: &State, payment: PaymentId, cause: VoidCause) -> Result<Draft, SettleError> {
    let OpenPayment { agent, stage, .. } = open(state, payment)?;
    let held = *stage == Stage::Held || planted::is(Bug::SentIsVoided);
    if !held && !matches!(cause, VoidCause::NotSent | VoidCause::NotReady) {
        return Err(SettleError::Sent(payment));
    }
    Ok(engine(agent, Fact::Voided { payment, cause }))
}

/// Releases a hold that was never sent and whose time is up.
///
/// # Errors
/// If the payment is not open, or was sent.
pub fn expire(state: &State, payment: PaymentId) -> Result<Draft, SettleError> {
    let OpenPayment { agent, stage, .. } = open(state, payment)?;
    if *stage != Stage::Held {
        return Err(SettleError::Sent(payment));
    }
    Ok(engine(agent, Fact::Expired { payment }))
}

/// Hands a hold to its rail. From here on it settles to the truth.
///
/// # Errors
/// If the payment is not open, or was sent before.
pub fn send(state: &State, payment: PaymentId) -> Result<Draft, SettleError> {
    let OpenPayment { agent, stage, .. } = open(state, payment)?;
    if *stage != Stage::Held {
        return Err(SettleError::Sent(payment));
    }
    Ok(engine(agent, Fact::Sent { payment }))
}

/// Releases a hold that the rail said no to, with a status of HTTP where it was one.
///
/// # Errors
/// If the payment is not open, or was not sent.
pub fn fail(state: &State, payment: PaymentId, status: Option<u16>) -> Result<Draft, SettleError> {
    let OpenPayment { agent, .. } = sent(state, payment)?;
    Ok(engine(agent, Fact::Failed { payment, status }))
}

/// Keeps a hold of which the rail said neither yes nor no. Where nothing is held there is nothing
/// to find out.
///
/// # Errors
/// If the payment is not open, or was not sent.
pub fn doubt(state: &State, payment: PaymentId) -> Result<Draft, SettleError> {
    Ok(undecided(sent(state, payment)?))
}

/// A payment of which nobody knows how it ended: it is in doubt, unless it costs nothing however
/// it ended.
fn undecided(OpenPayment { agent, hold, .. }: &OpenPayment) -> Draft {
    let payment = hold.payment;
    engine(
        agent,
        if hold.amount.is_zero() && !hold.is_metered() {
            Fact::Captured { payment, amount: Usd::ZERO, flag: None }
        } else {
            Fact::Doubted { payment }
        },
    )
}

/// Ends a hold that is in doubt as the operator found out it ended: `charged` of it was taken, all
/// of it unless that is said, or nothing. What is metered may have come to more than its hold,
/// which is a guess: that counts in full, as it does where its vendor says so.
///
/// # Errors
/// If the payment is not in doubt, or `charged` is more than it holds and it is not metered.
pub fn found_out(
    state: &State,
    payment: PaymentId,
    charged: Option<Usd>,
) -> Result<Draft, SettleError> {
    let OpenPayment { agent, hold, stage } = open(state, payment)?;
    if *stage != Stage::InDoubt {
        return Err(SettleError::NotInDoubt(payment));
    }
    let amount = charged.unwrap_or(hold.amount);
    let flag = (amount > hold.amount).then_some(CaptureFlag::Overrun);
    if flag.is_some() && !hold.is_metered() {
        return Err(SettleError::MoreThanHeld { asked: amount, held: hold.amount });
    }
    let fact = if amount.is_zero() {
        Fact::Failed { payment, status: None }
    } else {
        Fact::Captured { payment, amount: writable(state, agent, hold, amount), flag }
    };
    Ok(Draft { agent: Some(agent.clone()), by: By::Operator, fact })
}

fn sent(state: &State, payment: PaymentId) -> Result<&OpenPayment, SettleError> {
    let open = open(state, payment)?;
    if open.stage == Stage::Held { Err(SettleError::NotSent(payment)) } else { Ok(open) }
}

/// Sent payments of which no outcome was recorded when the engine last stopped: nobody knows what
/// became of them. At most [`MAX_VOIDS`]; ask again until there are none.
pub fn doubt_sent(state: &State) -> Vec<Draft> {
    let sent = state.all_open().filter(|open| open.stage == Stage::Sent);
    sent.take(MAX_VOIDS).map(undecided).collect()
}

/// Gives back `amount` of what `captured` says was taken of `hold`.
///
/// # Errors
/// If more would come back, over all refunds, than was taken.
pub fn refund(
    state: &State,
    agent: &Handle,
    (hold, captured): (&Hold, Usd),
    amount: Usd,
    note: Option<Note>,
) -> Result<Draft, SettleError> {
    let left = captured.less(state.refunded(hold.payment));
    if amount.is_zero() {
        return Err(SettleError::Zero);
    }
    if amount > left {
        return Err(SettleError::MoreThanCaptured { asked: amount, left });
    }
    let (payment, windows, run) = (hold.payment, hold.windows, hold.run.clone());
    let Hold { service, payee, category, groups, task_type, .. } = hold.clone();
    let by = Some(Box::new(CountedBy { service, payee, category, groups, task_type }));
    let fact = Fact::Refunded { payment, amount, windows, run, note, by, task: hold.task };
    Ok(Draft { agent: Some(agent.clone()), by: By::Operator, fact })
}

/// How many holds one record releases.
pub const MAX_VOIDS: usize = 256;

/// Holds of which nothing was sent, as they must be released after a stop or on revocation: at
/// most [`MAX_VOIDS`], so that one record holds them; ask again until there are none.
pub fn void_unsent(state: &State, agent: Option<&Handle>, cause: VoidCause) -> Vec<Draft> {
    let every = planted::is(Bug::RevokeVoidsSent) && cause == VoidCause::Revoked;
    let unsent = state.all_open().filter(|open| open.stage == Stage::Held || every);
    let theirs = unsent.filter(|open| agent.is_none_or(|agent| open.agent == *agent));
    theirs
        .take(MAX_VOIDS)
        .map(|open| engine(&open.agent, Fact::Voided { payment: open.hold.payment, cause }))
        .collect()
}
