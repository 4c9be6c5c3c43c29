//! Why a payment was made or refused, with the numbers of that moment: its agent's book and groups
//! as they were then, decided on once more.
//!
//! A rule that is not known here by name is told all the same where it refuses: the decision is the
//! one that every payment gets, and nothing here decides.

use jiff::Timestamp;

use super::{
    authorize::{Payment, Wanted, authorize},
    book::Book,
    cap::Cap,
    denial::{Denial, Denied, Refusal},
    entry::{By, Entry, Fact, Hash, Hold},
    mandate::Service,
    money::Usd,
    names::{GroupId, Payee, PaymentId, RailName, RunId},
    pace::Rate,
    planted::{self, Bug},
    rooms::{Bearing, Spender},
    row::{Told, tell},
    state::State,
    stop,
    tally::nanos,
    task::TaskId,
};

/// What bears on a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The limit of one payment.
    PerCall,
    /// A cap; of a group where one is named.
    Cap(Cap, Option<GroupId>),
    /// What there is.
    Balance,
    /// How soon, or how often in a short time.
    Pace(stop::Bound),
    /// A shadow cap, which denies nothing.
    Shadow(Cap),
}

/// How much, or how many, a rule lets be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// How much.
    Amount {
        /// The most: of a cap for the window, of a balance all that is credited.
        most: Usd,
        /// Captured under it.
        used: Usd,
        /// Held under it.
        held: Usd,
        /// What it left for this payment.
        left: Usd,
    },
    /// How many.
    Count {
        /// The most.
        most: u64,
        /// Captured under it; of a pace, let through.
        used: u64,
        /// Held under it.
        held: u64,
    },
}

impl Extent {
    /// How many payments of `asked` it left room for.
    pub fn calls(&self, asked: Usd) -> u64 {
        match self {
            Self::Amount { left, .. } => nanos(*left).checked_div(nanos(asked)).unwrap_or(u64::MAX),
            Self::Count { most, used, held } => most.saturating_sub(*used).saturating_sub(*held),
        }
    }
}

/// One rule that bore on a payment, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Which.
    pub rule: Rule,
    /// How much it lets be, and how much there was.
    pub extent: Extent,
    /// When there is more, by time alone.
    pub resets_at: Option<Timestamp>,
    /// Whether the payment fitted.
    pub fits: bool,
}

/// A recorded decision, to be held against the state it was made on.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// The money was set aside.
    Allowed(Box<Hold>),
    /// It was refused.
    Denied(Box<Denied>),
}

impl Decided {
    /// The decision that a fact tells, if it is one about `payment`.
    pub fn of(fact: &Fact, payment: PaymentId) -> Option<Self> {
        if fact.begins() != Some(payment) {
            return None;
        }
        if let Fact::Held(hold) | Fact::Paid(hold) = fact {
            return Some(Self::Allowed(Box::new(hold.clone())));
        }
        if let Fact::Denied(denied) = fact { Some(Self::Denied(denied.clone())) } else { None }
    }

    /// What it cost, or would have, as far as that is known.
    pub fn asked(&self) -> Option<Usd> {
        match self {
            Self::Allowed(hold) => Some(hold.amount),
            Self::Denied(denied) => denied.asked,
        }
    }

    /// The run it belongs to.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Allowed(hold) => hold.run.as_ref(),
            Self::Denied(denied) => denied.run.as_ref(),
        }
    }

    /// The task it belongs to.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Allowed(hold) => hold.task,
            Self::Denied(denied) => denied.task,
        }
    }

    /// What was asked for, as far as an entry and the catalogue of `state` tell: the payment that
    /// is decided on again. Nothing where no mandate was looked at, for what was asked was no
    /// payment, or one that was there.
    pub fn payment(&self, state: &State) -> Option<Payment> {
        match self {
            Self::Allowed(hold) => Some(Payment {
                id: hold.payment,
                wanted: Wanted::Known(Service {
                    id: hold.service.clone(),
                    payee: hold.payee.clone(),
                    price: Some(hold.amount),
                    rail: RailName::iou(),
                    category: hold.category.clone(),
                    endpoint: None,
                }),
                amount: None,
                estimate: hold.is_metered(),
                binding: hold.binding.clone(),
                run: hold.run.clone(),
                task: hold.task,
            }),
            Self::Denied(denied) => denied_payment(denied, state),
        }
    }
}

fn denied_payment(denied: &Denied, state: &State) -> Option<Payment> {
    let Refusal { denials, asked, fixed_price, estimate, .. } = &denied.refusal;
    let (estimate, priced) = (*estimate, *fixed_price || *estimate);
    if denied.refusal.is_of_failures() || denials.iter().any(is_no_matter_of_books) {
        return None;
    }
    let service = denied.service.clone()?;
    let nearest = denials.iter().find_map(Denial::nearest);
    let maximum = denials.iter().find_map(maximum_of);
    let (wanted, amount) = if let Some(nearest) = nearest {
        (Wanted::Unknown { service, nearest: nearest.to_vec() }, Some(*asked))
    } else {
        let price = priced.then_some(*asked);
        let amount = if priced { maximum } else { Some(*asked) };
        // Whom it would have paid, and what kind of service it was, the catalogue knows.
        let known = if let Some(known) = state.service(&service) {
            Service { price, ..known.clone() }
        } else {
            let payee: Payee = service.as_str().parse().ok()?;
            let (rail, category) = (RailName::iou(), None);
            Service { id: service, payee, price, rail, category, endpoint: None }
        };
        (Wanted::Known(known), amount)
    };
    let (id, run, task) = (denied.payment, denied.run.clone(), denied.task);
    Some(Payment { id, wanted, amount, estimate, binding: None, run, task })
}

fn maximum_of(denial: &Denial) -> Option<Usd> {
    if let Denial::PriceAboveMaximum { maximum, .. } = denial { Some(*maximum) } else { None }
}

/// Whether a reason was found before anybody looked into a book's mandate. That a refusal was given
/// so often is no reason of its own: the others stand beside it.
pub(super) fn is_no_matter_of_books(denial: &Denial) -> bool {
    match denial {
        Denial::InvalidRequest(_)
        | Denial::IdempotencyKeyReused { .. }
        | Denial::PossibleDuplicate { .. }
        | Denial::AgentUnknown { .. }
        | Denial::TaskNotAllowed
        | Denial::TooManyTasks { .. }
        | Denial::TokenEnded => true,
        Denial::LoopDetected
        | Denial::AgentRevoked { .. }
        | Denial::AgentFrozen { .. }
        | Denial::MandateExpired { .. }
        | Denial::OutsideActiveHours { .. }
        | Denial::ServiceUnknown { .. }
        | Denial::ServiceNotAllowed { .. }
        | Denial::PriceAboveMaximum { .. }
        | Denial::PerCallLimitExceeded { .. }
        | Denial::CapExceeded { .. }
        | Denial::InsufficientBalance { .. }
        | Denial::TaskUnknown { .. }
        | Denial::TaskFailed { .. }
        | Denial::TaskRanOut { .. }
        | Denial::PayeeChanged { .. }
        | Denial::RateLimited { .. } => false,
    }
}

/// Every rule with numbers that a payment of `asked` for `service` met at `now`, in the order of
/// the decision.
pub fn bearings(
    spender: &Spender<'_>,
    (service, asked): (&Service, Usd),
    run: Option<&RunId>,
    now: Timestamp,
) -> Vec<Met> {
    let book = spender.book;
    let mut all = Vec::new();
    if let Some(most) = book.limit(now) {
        let (used, held) = (Usd::ZERO, Usd::ZERO);
        let extent = Extent::Amount { most, used, held, left: most };
        all.push(Met { rule: Rule::PerCall, extent, resets_at: None, fits: asked <= most });
    }
    let late = planted::is(Bug::ExplainsADayLate);
    let then = if late { a_day_after(now) } else { now };
    all.extend(spender.bearing(service, run, then).iter().map(|cap| under(cap, asked)));
    if let Some(left) = book.funds() {
        let (used, held) = (book.captured.less(book.refunded), book.held);
        let extent = Extent::Amount { most: book.credited, used, held, left };
        all.push(Met { rule: Rule::Balance, extent, resets_at: None, fits: asked <= left });
    }
    all.extend(paces(book, (service, asked), now));
    let aim = spender.aim(service);
    let shadows = spender.shadows(run, then).filter(|bearing| bearing.cap.on.covers(&aim));
    all.extend(shadows.map(|bearing| {
        let rule = Rule::Shadow(bearing.cap.clone());
        Met { rule, ..under(&bearing, asked) }
    }));
    all
}

fn under(bearing: &Bearing<'_>, asked: Usd) -> Met {
    let room = bearing.room;
    let extent = match bearing.cap.bound {
        super::cap::Bound::Amount(most) => {
            Extent::Amount { most, used: room.used, held: room.held, left: room.left }
        }
        super::cap::Bound::Count(most) => {
            Extent::Count { most: most.into(), used: room.paid, held: room.open }
        }
    };
    Met {
        rule: Rule::Cap(bearing.cap.clone(), bearing.group().map(|group| group.name.clone())),
        extent,
        resets_at: bearing.frees(asked),
        fits: bearing.fits(asked),
    }
}

/// How soon, and how often in a short time.
fn paces(book: &Book, (service, asked): (&Service, Usd), now: Timestamp) -> Vec<Met> {
    let mandate = &book.mandate;
    let met = |bound, (most, used): (u32, u32), until: Option<Timestamp>| Met {
        rule: Rule::Pace(bound),
        extent: Extent::Count { most: most.into(), used: used.into(), held: 0 },
        resets_at: until,
        fits: until.is_none(),
    };
    let rates = mandate.rates.iter().map(|rate| {
        let until = book.paced(*rate, now).map(|(_, until)| until);
        met(stop::Bound::Payments(*rate), (rate.count, book.let_through(*rate, now)), until)
    });
    let cooldown = mandate.cooldown.map(|cooldown| {
        let until = book.cools_until(cooldown, now);
        met(stop::Bound::Cooldown(cooldown), (1, u32::from(until.is_some())), until)
    });
    let equal = mandate.burst.map(|burst| burst.rate).map(|rate: Rate| {
        let kind = (&service.id, asked);
        let until = book.burst(rate, kind, now).map(|(_, until)| until);
        met(stop::Bound::EqualPayments(rate), (rate.count, book.let_alike(rate, kind, now)), until)
    });
    let streak = mandate.denials.map(|streak| {
        let until = book.throttled.filter(|until| now < *until);
        let row = book.row.as_ref();
        let since = row.and_then(|row| Some(row.all?.saturating_sub(row.tripped)));
        let given = u32::try_from(since.unwrap_or_default()).unwrap_or(u32::MAX);
        met(stop::Bound::Denials(streak.count), (streak.count, given), until)
    });
    rates.chain(cooldown).chain(equal).chain(streak).collect()
}

fn a_day_after(now: Timestamp) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_hours(24)).unwrap_or(now)
}

/// Whether `book`, one of `state`, which is as it was then, decides so once more; what differs if
/// it does not. Nothing is said of what no book decides.
pub fn differs(state: &State, book: &Book, decided: &Decided, at: Timestamp) -> Option<String> {
    let again = authorize(&state.spender_of(book), &decided.payment(state)?, at);
    match (decided, again) {
        (Decided::Allowed(hold), Ok(again)) => {
            let same = (hold.amount, hold.windows) == (again.amount, again.windows)
                && hold.groups == again.groups;
            if !same {
                return Some("it counts in other windows than are recorded".to_owned());
            }
            (hold.shadow != again.shadow).then(|| "it passes other shadow caps".to_owned())
        }
        (Decided::Denied(denied), Err(again)) => {
            let again = told(state, book, Denied { refusal: again, ..(**denied).clone() }, at);
            let same = denied.refusal.denials == again.denials;
            let codes = || again.denials.iter().map(|one| one.code().word()).collect::<Vec<_>>();
            (!same).then(|| format!("it is denied for other reasons: {}", codes().join(", ")))
        }
        (Decided::Allowed(_), Err(again)) => {
            Some(format!("it is denied ({}): {}", again.code().word(), again.sentence()))
        }
        (Decided::Denied(_), Ok(_)) => Some("it is allowed".to_owned()),
    }
}

/// A refusal with what its row adds: that it is a loop, or that it froze the agent.
fn told(state: &State, book: &Book, denied: Denied, at: Timestamp) -> Refusal {
    match tell(state, book, By::Agent, denied, at) {
        Told::Again(denied) | Told::Counted(denied, _) | Told::Written(denied, _) => denied.refusal,
    }
}

impl State {
    /// Folds in an entry of what was, to look at it: no key is kept, for nobody asks for one, and
    /// nothing is noted for the desk.
    pub fn relive(&mut self, entry: &Entry, position: u64) {
        if let Fact::Token(_) | Fact::PassphraseSet { .. } = entry.fact {
            return;
        }
        if let Fact::Held(hold) | Fact::Paid(hold) = &entry.fact
            && hold.binding.is_some()
        {
            let hold = Hold { binding: None, ..hold.clone() };
            let in_steps = matches!(entry.fact, Fact::Held(_));
            let fact = if in_steps { Fact::Held(hold) } else { Fact::Paid(hold) };
            self.apply(&Entry { fact, ..entry.clone() }, position, Hash::default());
        } else {
            self.apply(entry, position, Hash::default());
        }
        self.touched.clear();
        self.refunded.clear();
    }
}
