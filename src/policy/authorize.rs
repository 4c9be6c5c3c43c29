//! The decision: may this agent make this payment now?

use jiff::Timestamp;

use super::{
    book::{Book, Standing},
    cap::{Bound, Cap, Dimension},
    denial::{Denial, Payments, Refusal},
    entry::{Binding, Hold},
    group::{Group, InGroup},
    mandate::{Mandate, Service},
    money::Usd,
    names::{PaymentId, RunId, ServiceId},
    planted::{self, Bug},
    rooms::{Bearing, Room, Spender},
    shadow::passed,
    stop::velocity,
    task::{self, TaskId},
};

/// A payment that is asked for, with the catalogue's answer to its service.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// The id it would have.
    pub id: PaymentId,
    /// What is to be paid for.
    pub wanted: Wanted,
    /// With a priced service the most the caller would pay; else the price.
    pub amount: Option<Usd>,
    /// Whether the price is an estimate from what is asked for, which less of that makes less.
    pub estimate: bool,
    /// The key it answers to.
    pub binding: Option<Binding>,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The task it is named to belong to.
    pub task: Option<TaskId>,
}

/// What the catalogue says of the service that was named.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// It is there.
    Known(Service),
    /// It is not.
    Unknown {
        /// What was named.
        service: ServiceId,
        /// The closest names, nearest first.
        nearest: Vec<ServiceId>,
    },
}

impl Payment {
    /// What it costs: the catalogue's price, or what the caller asked.
    pub fn cost(&self) -> Usd {
        if planted::is(Bug::MaximumIsCharged) {
            return self.amount.or(self.price()).unwrap_or(Usd::ZERO);
        }
        self.price().or(self.amount).unwrap_or(Usd::ZERO)
    }

    /// What was named, known or not.
    pub fn service(&self) -> &ServiceId {
        match &self.wanted {
            Wanted::Known(service) => &service.id,
            Wanted::Unknown { service, .. } => service,
        }
    }

    fn price(&self) -> Option<Usd> {
        match &self.wanted {
            Wanted::Known(service) => service.price,
            Wanted::Unknown { .. } => None,
        }
    }
}

/// Decides whether `spender` may make `payment` at `now`, and sets the money aside if it does.
///
/// The checks run from the widest to the narrowest: who, until when and at what hours, in which
/// task, whom, how much at once, how much in all, whether the money is there, and only then how
/// often. Every breach is reported. A payment that brings the sum exactly to a cap or limit is
/// allowed.
///
/// # Errors
/// The refusal, with every reason.
pub fn authorize(
    spender: &Spender<'_>,
    payment: &Payment,
    now: Timestamp,
) -> Result<Hold, Refusal> {
    let in_task =
        (spender.task_id() != payment.task).then(|| spender.clone().in_task(payment.task));
    let spender = in_task.as_ref().unwrap_or(spender);
    let book = spender.book;
    let mandate = &book.mandate;
    let asked = payment.cost();
    let mut denials = Vec::new();
    // What an unknown service costs is not known either.
    let mut affordable = Usd::ZERO;

    denials.extend(standing(book));
    let late = planted::is(Bug::ExpiryIsLate);
    if let Some(at) = mandate.expires_at.filter(|at| now > *at || now == *at && !late) {
        denials.push(Denial::MandateExpired { at });
    }
    if !mandate.is_open(now) {
        denials.push(Denial::OutsideActiveHours { opens_at: mandate.opens(now) });
    }
    denials.extend(spender.against_task(payment.task));
    if let Wanted::Unknown { service, nearest } = &payment.wanted {
        let (service, nearest) = (service.clone(), nearest.clone());
        denials.push(Denial::ServiceUnknown { service, nearest });
    } else if !mandate.allows(payment.service()) {
        denials.push(Denial::ServiceNotAllowed { service: payment.service().clone() });
    }
    if let Wanted::Known(service) = &payment.wanted
        && let Some(payee) = book.other_payee(service)
    {
        let (service, payee) = (service.id.clone(), Box::new(payee));
        denials.push(Denial::PayeeChanged { service, payee });
    }
    if let (Some(price), Some(maximum)) = (payment.price(), payment.amount)
        && price > maximum
    {
        denials.push(Denial::PriceAboveMaximum { price, maximum });
    }
    if let Wanted::Known(service) = &payment.wanted {
        affordable = weigh(spender, payment, service, now, &mut denials);
        velocity(spender.book, payment, now, &mut denials);
    }

    match &payment.wanted {
        Wanted::Known(service) if denials.is_empty() => Ok(Hold {
            payment: payment.id,
            service: service.id.clone(),
            payee: service.payee.clone(),
            amount: asked,
            windows: book.windows(now),
            binding: payment.binding.clone(),
            run: payment.run.clone(),
            via: None,
            category: service.category.clone(),
            groups: spender.groups.iter().map(|group| counted_in(group, now)).collect(),
            task: payment.task,
            task_type: spender.task.as_ref().map(|within| within.task.opened.task_type.clone()),
            shadow: passed(spender, (service, asked), payment.run.as_ref(), now),
            request: None,
            model: None,
        }),
        Wanted::Known(_) | Wanted::Unknown { .. } => {
            let estimate = payment.estimate;
            let fixed_price = payment.price().is_some() && !estimate;
            if let Some(out) = task::runs_out(spender, asked, &denials, fixed_price) {
                denials.insert(0, out);
            }
            if planted::is(Bug::FirstBreachOnly) {
                denials.truncate(1);
            }
            Err(Refusal { denials, asked, affordable, fixed_price, estimate })
        }
    }
}

fn counted_in(group: &Group, now: Timestamp) -> InGroup {
    InGroup { group: group.name.clone(), windows: group.windows(now) }
}

/// What the agent's own standing says against any payment at all.
fn standing(book: &Book) -> Option<Denial> {
    match &book.standing {
        Standing::Active => None,
        Standing::Frozen { .. } if planted::is(Bug::FrozenPays) => None,
        Standing::Frozen { reason, .. } => Some(Denial::AgentFrozen { reason: reason.clone() }),
        Standing::Revoked { reason, .. } => Some(Denial::AgentRevoked { reason: reason.clone() }),
    }
}

/// Refuses what is not even a payment; an agent that may not pay is told that first.
pub fn refuse(book: &Book, denial: Denial) -> Refusal {
    let denials = standing(book).into_iter().chain([denial]).collect();
    let nothing = Usd::ZERO;
    Refusal { denials, asked: nothing, affordable: nothing, fixed_price: true, estimate: false }
}

/// Whether what is asked is more than a cap leaves.
pub(super) fn passes(asked: Usd, cap: &Cap, room: &Room) -> bool {
    let Bound::Amount(most) = cap.bound else { return room.left.is_zero() };
    if planted::is(Bug::CapPassedByANano) {
        return asked.nanos().saturating_sub(1) > room.left.nanos();
    }
    if planted::is(Bug::CapRefusesExact) {
        return asked >= room.left;
    }
    if planted::is(Bug::SumHeldAtTheMost) {
        let spent = room.used.saturating_plus(room.held);
        return spent.saturating_plus(asked) > most;
    }
    asked > room.left
}

/// The reason against a payment of `asked` that a cap does not leave room for.
fn exceeded(bearing: &Bearing<'_>, asked: Usd, mandate: &Mandate) -> Denial {
    let Room { used, held, paid, open, .. } = bearing.room;
    let count = match bearing.cap.bound {
        Bound::Amount(_) => None,
        Bound::Count(_) => Some(Payments { used: paid, held: open }),
    };
    let cap = Box::new(bearing.cap.clone());
    let resets_at = bearing.frees(asked).and_then(|frees| mandate.opens(frees));
    let group = bearing.group().map(|group| group.name.clone());
    Denial::CapExceeded { cap, used, held, resets_at, count, group }
}

/// Holds the amount against the limit, every cap and the balance; says the most they allow.
fn weigh(
    spender: &Spender<'_>,
    payment: &Payment,
    service: &Service,
    now: Timestamp,
    denials: &mut Vec<Denial>,
) -> Usd {
    let book = spender.book;
    let mandate = &book.mandate;
    let (asked, run) = (payment.cost(), payment.run.as_ref());
    let mut affordable = Usd::MAX;

    if let Some(limit) = book.limit(now) {
        affordable = affordable.min(limit);
        if asked > limit || planted::is(Bug::LimitRefusesExact) && asked == limit {
            denials.push(Denial::PerCallLimitExceeded { limit });
        }
    }
    let mut before = Vec::new();
    let aim = spender.aim(service);
    let covers = |cap: &Cap| {
        let blind = planted::is(Bug::TypeCapIgnored) && matches!(cap.on, Dimension::TaskType(_));
        cap.on.covers(&aim) && !blind
    };
    for bearing in spender.each(run, now, covers) {
        if planted::is(Bug::FirstCapOfAPeriod) && bearing.group().is_none() {
            if before.contains(&bearing.cap.period) {
                continue;
            }
            before.push(bearing.cap.period);
        }
        let Bearing { cap, room, .. } = &bearing;
        if !planted::is(Bug::CountShrinks) || cap.amount().is_some() {
            affordable = affordable.min(room.left);
        }
        if passes(asked, cap, room) {
            denials.push(exceeded(&bearing, asked, mandate));
        }
    }
    if let Some(funds) = book.funds() {
        affordable = affordable.min(funds);
        if asked > funds {
            denials.push(Denial::InsufficientBalance { funds });
        }
    }
    affordable
}
