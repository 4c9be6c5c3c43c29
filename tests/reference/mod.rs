//! A second opinion: the rules of the house, written down a second time and as plainly as can be.
//!
//! Nothing here is shared with `policy`, and nothing is kept but what happened: the whole history
//! is a list, and whatever a decision needs is added up from it anew. Amounts are whole
//! nano-dollars without a bound, times are seconds since 1970.

mod calendar;
mod came;
mod caps;
mod exposure;
mod groups;
mod hours;
mod models;
mod operator;
mod outright;
mod planning;
mod shadow;
mod stops;
mod task;
mod tightening;
mod trust;

use std::collections::{BTreeMap, BTreeSet};

use calendar::Calendar;
pub(crate) use came::{Came, Token};
pub(crate) use caps::{Cap, On, Room, Service};
pub(crate) use groups::{Group, GroupTerms};
pub(crate) use models::Models;
pub(crate) use operator::{Done, Settle};
pub(crate) use planning::{Quoted, Warning, nearly_used_up};
pub(crate) use stops::Measure;
use stops::Refused;
pub(crate) use task::{State, Task};

/// The most that can be written down.
pub(crate) const MOST: i128 = i64::MAX as i128;
const DAY: i64 = 86_400;

/// What a cap adds up over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Hour,
    Day,
    Week,
    Month,
    Lifetime,
    Run,
    Task,
    /// So many hours.
    Rolling(i64),
}

/// The kinds that have windows in the calendar.
pub(crate) const CALENDAR: [Kind; 4] = [Kind::Hour, Kind::Day, Kind::Week, Kind::Month];

/// What an agent may spend. Services are numbers here.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own, on or off")]
pub(crate) struct Terms {
    pub(crate) prepaid: bool,
    pub(crate) limit: Option<i128>,
    pub(crate) caps: Vec<Cap>,
    pub(crate) zone: &'static str,
    pub(crate) allow: BTreeSet<u8>,
    pub(crate) deny: BTreeSet<u8>,
    pub(crate) expires: Option<i64>,
    /// Whether naming it on its own machine is enough.
    pub(crate) local: bool,
    /// So many payments in so many seconds.
    pub(crate) rates: Vec<(i64, i64)>,
    /// So many equal ones, and what is done about one more.
    pub(crate) burst: Option<(i64, i64, Measure)>,
    /// So many denials in a row, and what is done about them.
    pub(crate) denials: Option<(i64, Measure)>,
    /// The minutes of the day from and to which it may pay; none is all.
    pub(crate) hours: Vec<(i64, i64)>,
    /// The days from Monday on; none is all.
    pub(crate) days: Vec<i64>,
    /// So many seconds between two payments.
    pub(crate) cooldown: Option<i64>,
    pub(crate) group: Option<u8>,
    /// Whether it opens its tasks itself.
    pub(crate) tasks: bool,
    /// The payees that some services must pay.
    pub(crate) pinned: BTreeMap<u8, u8>,
    /// Whether a service may pay only who it paid first.
    pub(crate) locked: bool,
    /// So many captured payments, so many days, and the limit then.
    pub(crate) tiers: Vec<(i64, i64, i128)>,
    /// Caps that deny nothing.
    pub(crate) shadow: Vec<Cap>,
    pub(crate) models: Models,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Frozen,
    Revoked,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Held,
    Sent,
    Doubted,
    Captured,
    Voided,
    Expired,
    Failed,
}

/// One payment that was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) agent: u8,
    pub(crate) asked: Asked,
    pub(crate) amount: i128,
    pub(crate) fate: Fate,
    pub(crate) taken: i128,
    pub(crate) back: i128,
    pub(crate) placed: i64,
    /// When the windows began in which it was placed, in the order of [`CALENDAR`].
    opened: [i64; 4],
    /// The number of the payment that began its run.
    run_began: usize,
    /// The service as it was then.
    was: Service,
    /// The groups it counts in, and when their windows began.
    groups: Vec<(u8, [i64; 4])>,
    /// What kind of task it belongs to.
    task_type: Option<u8>,
    /// Whether the first payees were to stay then.
    locked: bool,
}

impl Payment {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.fate, Fate::Held | Fate::Sent | Fate::Doubted)
    }

    fn held(&self) -> i128 {
        if self.is_open() { self.amount } else { 0 }
    }
}

#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) terms: Terms,
    pub(crate) standing: Standing,
    credited: i128,
    /// After a change of zone: when the windows began that were open, and until when they stay so.
    kept: Option<[(i64, i64); 4]>,
    /// How many payments there were when something began to be counted.
    since: BTreeMap<(On, Option<Kind>), usize>,
    /// What was refused since something else last happened.
    pub(crate) row: Vec<Refused>,
    /// How many of them there were when something was last done about them.
    pub(crate) tripped: usize,
    /// Until when it must wait for that.
    pub(crate) throttled: Option<i64>,
    /// How often it had to in this row.
    throttles: u32,
    /// Which equal payments the operator was told of.
    flagged: BTreeSet<(u8, i128)>,
    /// How many payments there were when it was first to let time pass between two.
    cooled: usize,
    /// How many payments there were when each rate, by its seconds, was set.
    paced: BTreeMap<i64, usize>,
    /// The same for bursts.
    burst_since: usize,
    /// What the operator said last of whom a service is to pay.
    repinned: BTreeMap<u8, u8>,
    /// When each payment was captured since the last incident, where that counts.
    captures: Vec<i64>,
}

/// What a caller asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) service: u8,
    pub(crate) amount: Option<i128>,
    pub(crate) key: Option<u8>,
    pub(crate) run: Option<u8>,
    pub(crate) task: Option<usize>,
}

/// One reason against a payment, with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breach {
    pub(crate) code: &'static str,
    pub(crate) kind: Option<Kind>,
    pub(crate) on: Option<On>,
    pub(crate) counts: bool,
    pub(crate) group: Option<u8>,
    pub(crate) numbers: Vec<i128>,
}

/// What comes of asking.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is payment so-and-so; this much can be spent now.
    Granted { payment: usize, amount: i128, available: i128, shadow: Vec<[i128; 3]> },
    /// The key stands for a payment; this became of it.
    Again { payment: usize, fate: Fate, taken: i128 },
    Denied {
        breaches: Vec<Breach>,
        advice: &'static str,
        affordable: Option<i128>,
        resets: Option<i64>,
        /// Whether the task fails by it.
        ran_out: bool,
    },
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) agents: BTreeMap<u8, Agent>,
    /// The catalogue.
    pub(crate) services: BTreeMap<u8, Service>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) groups: BTreeMap<u8, Group>,
    pub(crate) tasks: Vec<Task>,
    /// What the clock says.
    pub(crate) wall: i64,
    /// The latest time that was written down.
    pub(crate) latest: i64,
    calendar: Calendar,
    /// From when to when hours were last found to be shut.
    shut: std::cell::RefCell<BTreeMap<Hours, (i64, i64)>>,
    /// How often the operator was only told.
    pub(crate) flags: usize,
}

/// How strict an advice is.
const ADVICE: [&str; 5] = ["fix_request", "shrink", "wait", "ask_operator", "stop"];

impl Model {
    /// The time that counts: it never goes back.
    pub(crate) fn now(&self) -> i64 {
        self.wall.max(self.latest)
    }

    fn theirs(&self, agent: u8) -> impl DoubleEndedIterator<Item = (usize, &Payment)> {
        self.payments.iter().enumerate().filter(move |(_, payment)| payment.agent == agent)
    }

    /// The window of a kind of the calendar that `agent` is in.
    pub(crate) fn window(&self, agent: u8, kind: Kind) -> (i64, i64) {
        let book = &self.agents[&agent];
        let (start, end) = self.calendar.window(book.terms.zone, kind, self.now());
        let place = CALENDAR.iter().position(|other| *other == kind).unwrap();
        match book.kept {
            Some(kept) if self.now() < kept[place].1 => kept[place],
            Some(kept) => (start.max(kept[place].1), end),
            None => (start, end),
        }
    }

    pub(crate) fn balance(&self, agent: u8) -> Option<i128> {
        let book = &self.agents[&agent];
        let spent: i128 = self.theirs(agent).map(|(_, p)| p.taken - p.back).sum();
        // An overrun may have taken more than there was.
        book.terms.prepaid.then_some((book.credited - spent).max(0))
    }

    /// What is there for another payment. All that was ever taken must fit into what can be
    /// written down.
    fn funds(&self, agent: u8) -> Option<i128> {
        let taken: i128 = self.theirs(agent).map(|(_, payment)| payment.taken).sum();
        let most = |balance: i128| (balance.min(MOST - taken) - self.held(agent)).max(0);
        self.balance(agent).map(most)
    }

    pub(crate) fn held(&self, agent: u8) -> i128 {
        self.theirs(agent).map(|(_, payment)| payment.held()).sum()
    }

    pub(crate) fn available(&self, agent: u8, run: Option<u8>) -> i128 {
        let book = &self.agents[&agent];
        let over = book.terms.expires.is_some_and(|at| self.now() >= at);
        if book.standing != Standing::Active || over || self.is_shut(agent) {
            return 0;
        }
        let caps = book.terms.caps.iter().filter(|cap| cap.on == On::All);
        let caps = caps.map(|cap| self.room(agent, *cap, run).left);
        let shared = self.shared(agent).into_iter().filter(|(_, cap)| cap.on == On::All);
        let caps = caps.chain(shared.map(|(group, cap)| self.room_in(group, cap).left));
        caps.chain(self.funds(agent)).min().unwrap()
    }

    /// The payment that a key stands for: for 30 days and while it is open, but not once voided.
    pub(crate) fn bound(&self, agent: u8, key: u8) -> Option<usize> {
        let mut named = self.theirs(agent).filter(|(_, payment)| payment.asked.key == Some(key));
        let (number, last) = named.next_back()?;
        let fresh = self.now() < last.placed + 30 * DAY && last.fate != Fate::Voided;
        (fresh || last.is_open()).then_some(number)
    }

    /// Decides, and writes down what was decided: a hold, or a payment made in one step.
    pub(crate) fn ask(&mut self, agent: u8, came: Came, asked: &Asked, hold: bool) -> Verdict {
        if let Some(code) = self.turns_away(agent, came) {
            return denied(vec![plain(code)], "stop");
        }
        if let Some(number) = asked.key.and_then(|key| self.bound(agent, key)) {
            let Payment { asked: first, fate, taken, .. } = &self.payments[number];
            let same_task = first.task.is_none() || first.task == asked.task;
            if same_task && (first.service, first.amount) == (asked.service, asked.amount) {
                return Verdict::Again { payment: number, fate: *fate, taken: *taken };
            }
            self.latest = self.now();
            let reused = denied(vec![plain("idempotency_key_reused")], "fix_request");
            return self.refused(agent, asked, asked.amount, reused);
        }
        let verdict = self.weigh(agent, asked);
        self.latest = self.now();
        let shadow = self.passed(agent, asked, &verdict);
        let Verdict::Granted { payment, amount, .. } = verdict else {
            let price = self.services.get(&asked.service).and_then(|service| service.price);
            if let (Verdict::Denied { ran_out: true, .. }, Some(task)) = (&verdict, asked.task) {
                self.tasks[task].state = State::Failed;
            }
            return self.refused(agent, asked, price.or(asked.amount), verdict);
        };
        let before = self.flags;
        self.flag_burst(agent, asked, amount);
        let flagged = self.flags > before;
        self.other_than_refused(agent);
        let opened = CALENDAR.map(|kind| self.window(agent, kind).0);
        let placed = self.now();
        let run_began = self.run(agent, asked.run, opened[1]).unwrap_or(payment);
        let (fate, taken) = if hold { (Fate::Held, 0) } else { (Fate::Captured, amount) };
        let asked = asked.clone();
        let (run, service, task) = (asked.run, asked.service, asked.task);
        self.payments.push(Payment {
            agent,
            asked,
            amount,
            fate,
            taken,
            back: 0,
            placed,
            opened,
            run_began,
            was: self.services[&service],
            groups: self.places(agent),
            task_type: task.map(|task| self.tasks[task].kind),
            locked: self.agents[&agent].terms.locked,
        });
        if !hold {
            self.captured(agent, amount);
        }
        if flagged {
            self.incident(agent);
        }
        let available = self.available_in(agent, run, task);
        Verdict::Granted { payment, amount, available, shadow }
    }

    /// Every bound on what may be spent: its code, its cap, what it leaves, and its numbers.
    pub(crate) fn bounds(&self, agent: u8, asked: &Asked) -> Vec<Bound> {
        let mut bounds = Vec::new();
        if let Some(limit) = self.limit(agent) {
            bounds.push(("per_call_limit_exceeded", None, limit, vec![limit]));
        }
        let service = &self.services[&asked.service];
        let kind = self.kind(agent, asked.task);
        let caps = self.caps_in(agent, asked.task);
        for cap in caps.into_iter().filter(|cap| cap.on.covers(asked.service, service, kind)) {
            let Room { used, held, left, paid, open, .. } =
                self.room_within(agent, cap, asked.run, asked.task);
            let (used, held) = if cap.counts { (paid, open) } else { (used, held) };
            bounds.push(("cap_exceeded", Some((None, cap)), left, vec![cap.most, used, held]));
        }
        let shared = self.shared(agent).into_iter();
        for (group, cap) in shared.filter(|(_, cap)| cap.on.covers(asked.service, service, kind)) {
            let Room { used, held, left, paid, open, .. } = self.room_in(group, cap);
            let (used, held) = if cap.counts { (paid, open) } else { (used, held) };
            let numbers = vec![cap.most, used, held];
            bounds.push(("cap_exceeded", Some((Some(group), cap)), left, numbers));
        }
        if let Some(funds) = self.funds(agent) {
            bounds.push(("insufficient_balance", None, funds, vec![funds]));
        }
        bounds
    }

    /// What is told of a bound afterwards: used, held and left.
    pub(crate) fn told(&self, agent: u8, (code, _, left, numbers): &Bound) -> [i128; 3] {
        match (*code, numbers.as_slice()) {
            ("cap_exceeded", [_, used, held]) => [*used, *held, *left],
            ("insufficient_balance", _) => {
                let spent = self.theirs(agent).map(|(_, p)| p.taken - p.back).sum();
                [spent, self.held(agent), *left]
            }
            _ => [0, 0, *left],
        }
    }

    pub(super) fn weigh(&self, agent: u8, asked: &Asked) -> Verdict {
        let (mut breaches, mut advised): (Vec<_>, Vec<_>) =
            self.outright(agent, asked).into_iter().unzip();
        let (shut, opens) = (self.is_shut(agent), self.next_opening(agent));
        let cured = breaches.len() == usize::from(shut);
        let price = self.services.get(&asked.service).map(|service| service.price);
        let fixed = price.flatten();
        let Some(cost) = fixed.or(asked.amount).filter(|_| price.is_some()) else {
            return settled(breaches, &advised, None, None);
        };
        let bounds = self.bounds(agent, asked);
        let full = self.full(agent, asked.service, cost);
        let only_money = cured && !shut && full.is_empty();
        let affordable = bounds.iter().map(|(_, _, left, _)| *left).min().unwrap_or(0);
        let shrinks = fixed.is_none() && affordable > 0 && only_money;
        let (mut resets, mut time_cures) = (opens, cured && shut == opens.is_some());
        for (code, cap, _, numbers) in bounds.into_iter().filter(|(_, _, left, _)| cost > *left) {
            let moment = cap.filter(|(_, cap)| cap.could_bear(cost));
            let moment = moment.and_then(|(group, cap)| match group {
                None => self.fits(agent, cap, cost, asked.run),
                Some(group) => self.fits_in(group, cap, cost),
            });
            let moment = moment.and_then(|at| self.opens(agent, at));
            let (group, cap) = cap.map_or((None, None), |(group, cap)| (group, Some(cap)));
            time_cures &= moment.is_some();
            resets = resets.max(moment);
            advised.push(match moment {
                _ if shrinks => "shrink",
                Some(_) => "wait",
                None => "ask_operator",
            });
            let numbers = numbers.into_iter().chain([cost]).collect();
            breaches.push(Breach {
                kind: cap.map(|cap| cap.kind),
                on: cap.map(|cap| cap.on),
                counts: cap.is_some_and(|cap| cap.counts),
                group,
                numbers,
                ..plain(code)
            });
        }
        for (breach, moment) in full {
            (resets, time_cures) = (resets.max(moment), time_cures && moment.is_some());
            advised.push(if moment.is_some() { "wait" } else { "ask_operator" });
            breaches.push(breach);
        }
        if breaches.is_empty() && self.freezes_burst(agent, asked.service, cost) {
            return settled(vec![plain("agent_frozen")], &["ask_operator"], None, None);
        }
        if breaches.is_empty() {
            let payment = self.payments.len();
            return Verdict::Granted { payment, amount: cost, available: 0, shadow: Vec::new() };
        }
        if only_money && self.runs_out(agent, asked.task, &breaches, (cost, fixed.is_some())) {
            breaches.insert(0, plain("task_failed"));
            let (advice, affordable, resets) = ("stop", None, None);
            return Verdict::Denied { breaches, advice, affordable, resets, ran_out: true };
        }
        let (affordable, resets) =
            (Some(affordable).filter(|_| shrinks), resets.filter(|_| time_cures));
        settled(breaches, &advised, affordable, resets)
    }
}

/// A zone, and hours and days in it.
type Hours = (&'static str, Vec<(i64, i64)>, Vec<i64>);
pub(crate) type Bound = (&'static str, Option<(Option<u8>, Cap)>, i128, Vec<i128>);

fn plain(code: &'static str) -> Breach {
    Breach { code, kind: None, on: None, counts: false, group: None, numbers: Vec::new() }
}

fn denied(breaches: Vec<Breach>, advice: &'static str) -> Verdict {
    Verdict::Denied { breaches, advice, affordable: None, resets: None, ran_out: false }
}

/// The strictest advice wins; a time is told only where waiting is of use.
fn settled(
    breaches: Vec<Breach>,
    advised: &[&'static str],
    affordable: Option<i128>,
    resets: Option<i64>,
) -> Verdict {
    let advice = ADVICE.iter().rev().find(|advice| advised.contains(advice)).unwrap();
    let resets = resets.filter(|_| ["wait", "shrink"].contains(advice));
    Verdict::Denied { breaches, advice, affordable, resets, ran_out: false }
}
