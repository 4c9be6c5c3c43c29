//! What may happen to a house, drawn from a seed. An operation names nothing that has to exist, so
//! that a history stays one when operations are left out.

use std::collections::BTreeSet;

use pettycash::policy::entry::CaptureFlag as Flag;

use super::{
    caps::{self, caps, group, shadows},
    models::models,
    paces::{DONE, open_days, open_hours, pace},
    quotes,
    tasks::{self, OnTask, Task},
    trust::{pinned, tiers},
};
use crate::reference::{CALENDAR, GroupTerms, Kind, MOST, Measure, Service, Terms};

/// The agents: the last is the whale, whose amounts are as large as can be written down.
pub(crate) const AGENTS: u8 = 5;
pub(crate) const WHALE: u8 = AGENTS - 1;
pub(crate) const SERVICES: u8 = 6;
pub(crate) const KINDS: u8 = 2;
pub(crate) const GROUPS: u8 = 4;
pub(crate) const PAYEES: u8 = 2;
const KEYS: u64 = 5;
const RUNS: u64 = 2;
pub(super) const CENT: i128 = 10_000_000;

/// How many operations a history has.
pub(crate) const LENGTH: usize = 400;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Ask {
        agent: u8,
        came: By,
        service: u8,
        amount: Amount,
        key: Option<u8>,
        run: Option<u8>,
        hold: bool,
        task: Option<Task>,
    },
    /// The `nth` newest ask of a payment that was granted, once more.
    Again {
        nth: usize,
    },
    /// What the agent asked last, so many times more.
    Insist {
        agent: u8,
        times: u8,
    },
    /// The `nth` newest payment that can be settled so, or of all.
    Settle {
        nth: usize,
        of_all: bool,
        how: How,
    },
    TopUp {
        agent: u8,
        amount: i128,
    },
    Freeze {
        agent: Option<u8>,
    },
    Unfreeze {
        agent: Option<u8>,
    },
    Revoke {
        agent: u8,
    },
    /// The terms tell how long they last, not until when.
    Open {
        agent: u8,
        terms: Terms,
    },
    Mandate {
        agent: u8,
        terms: Terms,
    },
    /// The agent's terms, but for one thing that is less.
    Tighten {
        agent: u8,
        what: u8,
    },
    Service {
        id: u8,
        service: Service,
        replace: bool,
    },
    Remove {
        id: u8,
    },
    /// A token that lasts so long.
    Give {
        agent: u8,
        lasts: Option<i64>,
        may: bool,
    },
    /// The `nth` newest token is revoked.
    Take {
        nth: usize,
    },
    /// It is planned, and written down so many seconds later.
    Group {
        group: u8,
        terms: GroupTerms,
        waits: i64,
    },
    Ungroup {
        group: u8,
    },
    /// Whom a service of an agent is to pay.
    Repin(u8, u8, u8),
    Clock(Clock),
    /// Keys whose time is up are forgotten, as the store does now and then.
    Forget,
    /// What is done when a record is opened.
    Recover,
    /// The record is closed, or the power cut, and it is opened again.
    Reopen {
        cut: Option<u64>,
    },
    /// How many such payments fit, now and for so long.
    Quote {
        agent: u8,
        service: u8,
        amount: Amount,
        run: Option<u8>,
        calls: u32,
        lasts: i64,
        task: Option<Task>,
    },
    OnTask(OnTask),
}

impl Op {
    /// The same with terms that begin `now`.
    pub(crate) fn begun(&self, now: i64) -> Self {
        let mut begun = self.clone();
        if let Self::Open { terms, .. } | Self::Mandate { terms, .. } = &mut begun {
            terms.expires = terms.expires.map(|lasts| now + lasts);
        }
        begun
    }
}

/// `terms` that begin `now`, but for one thing that is less.
pub(crate) fn tighter(mut terms: Terms, what: u8, now: i64) -> Terms {
    match what {
        0 => terms.limit = Some(terms.limit.map_or(100 * CENT, |limit| (limit - CENT).max(1))),
        1 => terms.caps.iter_mut().for_each(|cap| cap.most = (cap.most - 1).max(1)),
        2 => {
            let (most, done) = terms.denials.unwrap_or((9, Measure::Flag));
            let stricter = match done {
                Measure::Flag => Measure::Throttle,
                Measure::Throttle | Measure::Freeze => Measure::Freeze,
            };
            let done = if most % 2 == 0 { stricter } else { done };
            terms.denials = Some(((most - 1).max(2), done));
        }
        5 => terms.cooldown = Some(terms.cooldown.map_or(30, |long| (long * 2).min(86_400))),
        3 => terms.rates.iter_mut().for_each(|(most, _)| *most = (*most - 1).max(1)),
        _ => terms.local = false,
    }
    terms.expires = terms.expires.map(|at| at - now);
    terms
}

/// How somebody comes who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Name,
    /// The `nth` newest token of the agent's, or of anybody's.
    Token {
        nth: usize,
        of_all: bool,
    },
    Operator,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    None,
    Of(i128),
    /// So much more than can be spent, or than the limit for one payment.
    Edge {
        more: i128,
        of_limit: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Send,
    Doubt,
    Fail,
    Expire,
    Void {
        not_sent: bool,
    },
    /// All of it and so much, or another amount; one below zero is so many parts of it.
    Capture(i128, i128),
    /// So much more than all of it, and what is said of that.
    Overrun(Flag, i128),
    Refund(i128, i128),
}

/// Where the clock is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    By(i64),
    /// Near the end of a window of the agent's.
    Window {
        agent: u8,
        kind: Kind,
        off: i64,
    },
    /// Near the moment at which its `nth` cap gives room again.
    Cap {
        agent: u8,
        nth: usize,
        off: i64,
    },
    /// Near the moment at which its first rate gives room again.
    Rate {
        agent: u8,
        off: i64,
    },
    /// Near the next opening of its hours, if they are shut.
    Opening {
        agent: u8,
        off: i64,
    },
    /// Near the end of its mandate.
    Expiry {
        agent: u8,
        off: i64,
    },
    /// Near the end of the `nth` newest token.
    Token {
        nth: usize,
        off: i64,
    },
    /// Thirty days after a payment: keys and runs end.
    Month {
        nth: usize,
        off: i64,
    },
}

/// Random numbers that are the same for the same seed (`SplitMix64`).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, many: u64) -> u64 {
        self.next() % many
    }

    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from(high - low).unwrap())).unwrap()
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(super) fn byte(&mut self, many: u8) -> u8 {
        u8::try_from(self.below(many.into())).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn near(&mut self) -> i64 {
        self.pick(&[-1, 0, 0, 1, 60, -60])
    }
}

/// Zones, and a moment in each some hours before its clocks do something odd.
pub(crate) const NIGHTS: [(&str, &str); 15] = [
    ("UTC", "2026-12-31T22:00:00Z"),
    ("Europe/Paris", "2027-03-27T22:30:00Z"),
    ("Europe/Paris", "2027-10-30T21:00:00Z"),
    ("America/New_York", "2027-03-14T04:30:00Z"),
    ("America/New_York", "2027-11-07T03:30:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T13:10:00Z"),
    ("Australia/Lord_Howe", "2027-10-02T14:10:00Z"),
    ("Pacific/Apia", "2011-12-30T08:20:00Z"),
    ("America/St_Johns", "2009-11-01T02:10:00Z"),
    ("America/St_Johns", "2010-11-07T02:10:00Z"),
    ("Antarctica/Troll", "2027-03-27T23:00:00Z"),
    ("Antarctica/Troll", "2027-10-30T23:00:00Z"),
    ("Asia/Kolkata", "2026-11-30T17:00:00Z"),
    ("Pacific/Chatham", "2027-04-03T12:30:00Z"),
    ("Africa/Casablanca", "2027-02-06T23:00:00Z"),
];

/// When a history begins, and what happens in it.
pub(crate) fn history(seed: u64) -> (&'static str, Vec<Op>) {
    let dice = &mut Dice(seed);
    let (zone, at) = dice.pick(&NIGHTS);
    let mut ops: Vec<Op> = (0..SERVICES - 1).map(|id| caps::service(dice, id)).collect();
    for number in [0, 1] {
        ops.push(group(dice, number, zone));
    }
    for agent in [0, 1, 2, WHALE] {
        ops.push(Op::Open { agent, terms: terms(dice, agent, zone) });
        ops.push(Op::TopUp { agent, amount: caps::top_up(dice, agent) });
        ops.push(Op::Give { agent, lasts: None, may: dice.one_in(2) });
        ops.push(tasks::first(dice, agent));
    }
    while ops.len() < LENGTH {
        let op = op(dice, zone);
        ops.push(op);
    }
    (at, ops)
}

/// Each agent as often as the others, but the whale, and those who may not be there.
fn agent(dice: &mut Dice) -> u8 {
    match dice.below(12) {
        0 => dice.byte(AGENTS + 1),
        1 => WHALE,
        _ => dice.byte(2),
    }
}

fn op(dice: &mut Dice, zone: &'static str) -> Op {
    let agent = agent(dice);
    match dice.below(1090) {
        0..370 => ask(dice, agent),
        370..400 => Op::Insist { agent, times: 1 + dice.byte(4) },
        400..450 => Op::Again { nth: usize::try_from(dice.below(8)).unwrap() },
        450..462 => quotes::draw(dice, agent),
        462..690 => {
            let (nth, of_all, how) = (usize::from(dice.byte(10)), dice.one_in(4), how(dice));
            // The same payment is given back again, or one of long ago.
            let nth = match how {
                How::Refund(..) if of_all => nth * 2,
                How::Refund(..) => nth / 4,
                _ => nth,
            };
            Op::Settle { nth, of_all, how }
        }
        690..694 if dice.one_in(3) => Op::Ungroup { group: dice.byte(GROUPS) },
        690..694 => {
            let number = dice.byte(GROUPS);
            group(dice, number, zone)
        }
        694..730 => Op::TopUp { agent, amount: caps::top_up(dice, agent) },
        730..739 => Op::Freeze { agent: Some(agent) },
        739..785 => Op::Unfreeze { agent: Some(agent) },
        785..788 => Op::Freeze { agent: None },
        788..798 => Op::Unfreeze { agent: None },
        798..801 => Op::Revoke { agent: dice.byte(AGENTS + 1) },
        801..808 => {
            let agent = dice.byte(AGENTS);
            Op::Open { agent, terms: terms(dice, agent, zone) }
        }
        808..824 => Op::Mandate { agent, terms: terms(dice, agent, zone) },
        824..832 => Op::Tighten { agent, what: dice.byte(6) },
        832..852 => {
            let id = dice.byte(SERVICES);
            caps::service(dice, id)
        }
        852..858 => Op::Remove { id: dice.byte(SERVICES) },
        858..868 => {
            let lasts = [0, 60, 3_600, 40_000, 1_000_000];
            let lasts = (!dice.one_in(3)).then(|| dice.pick(&lasts));
            Op::Give { agent, lasts, may: dice.one_in(2) }
        }
        868..873 => Op::Take { nth: usize::from(dice.byte(6)) },
        873..980 => Op::Clock(clock(dice, agent)),
        980..984 => Op::Forget,
        984..990 => Op::Repin(agent, dice.byte(SERVICES), dice.byte(PAYEES)),
        990..994 => Op::Recover,
        994..1000 => Op::Reopen { cut: dice.one_in(2).then(|| dice.next()) },
        _ => tasks::op(dice, agent),
    }
}

pub(super) fn by(dice: &mut Dice) -> By {
    match dice.below(10) {
        0..5 => By::Name,
        5..8 => By::Token { nth: usize::from(dice.byte(2)), of_all: dice.one_in(8) },
        _ => By::Operator,
    }
}

pub(super) fn ask(dice: &mut Dice, agent: u8) -> Op {
    let of_limit = dice.one_in(3);
    let amount = match dice.below(20) {
        0..2 => Amount::None,
        2..6 => Amount::Edge { more: dice.pick(&[-1, 0, 0, 1]), of_limit },
        6 if agent == WHALE => Amount::Of(MOST - i128::from(dice.byte(2))),
        6 => Amount::Of(MOST),
        7..10 if agent == WHALE => Amount::Of(MOST / i128::from(2 + dice.byte(3))),
        7..10 => Amount::Of(cents(dice, 1, 300)),
        10..12 => Amount::Of(cents(dice, 1, 60) + i128::from(dice.byte(9))),
        // Few amounts, so that keys meet the same one again.
        _ => Amount::Of(CENT * i128::from(1 + dice.byte(3)) * 5),
    };
    let few = |dice: &mut Dice, often: u64, many: u64| {
        dice.one_in(often).then(|| u8::try_from(dice.below(many)).unwrap())
    };
    let (service, hold) = (dice.byte(SERVICES), dice.below(5) < 2);
    let (came, key, run) = (by(dice), few(dice, 3, KEYS), few(dice, 2, RUNS));
    let task = Task { nth: usize::from(dice.byte(2)), of_all: dice.one_in(16) };
    let task = dice.one_in(2).then_some(task);
    Op::Ask { agent, came, service, amount, key, run, hold, task }
}

fn how(dice: &mut Dice) -> How {
    match dice.below(32) {
        0..6 => How::Send,
        6..12 => How::Doubt,
        12..17 => How::Fail,
        17..19 => How::Expire,
        19..21 => How::Void { not_sent: false },
        21..23 => How::Void { not_sent: true },
        23..25 => How::Capture(0, 0),
        25..27 => How::Capture(dice.pick(&[0, 1, -1, -CENT]), cents(dice, 0, 50)),
        27 => How::Refund(0, 0),
        31 => {
            let flags = [Flag::Overrun, Flag::OutcomeUnknown, Flag::AboveCeiling];
            How::Overrun(dice.pick(&flags), cents(dice, 1, 60))
        }
        28 => How::Refund(dice.pick(&[0, 0, 1]), -dice.pick(&[2, 2, 3])),
        _ => How::Refund(dice.pick(&[0, 1, -1, -CENT]), cents(dice, 0, 50)),
    }
}

fn clock(dice: &mut Dice, agent: u8) -> Clock {
    const DAY: i64 = 86_400;
    let off = dice.near();
    match dice.below(21) {
        0..4 => Clock::By(dice.between(1, 7_200)),
        4..6 => Clock::By(dice.between(3_600, 3 * DAY)),
        6 => Clock::By(dice.between(DAY, 40 * DAY)),
        7 if dice.one_in(3) => Clock::By(-dice.between(3_600, 40 * DAY)),
        7 => Clock::By(-dice.between(1, 7_200)),
        8..10 => Clock::Opening { agent, off },
        10..12 => Clock::Window { agent, kind: dice.pick(&CALENDAR[..3]), off },
        12..14 => Clock::Rate { agent, off },
        14..16 => Clock::Cap { agent, nth: usize::from(dice.byte(5)), off },
        16..18 => Clock::Expiry { agent, off },
        18..20 => Clock::Token { nth: usize::from(dice.byte(3)), off },
        _ => Clock::Month { nth: usize::from(dice.byte(12)), off },
    }
}

pub(super) fn cents(dice: &mut Dice, low: i64, high: i64) -> i128 {
    i128::from(dice.between(low, high)) * CENT
}

fn terms(dice: &mut Dice, agent: u8, zone: &'static str) -> Terms {
    let caps = caps(dice, agent);
    let other = dice.pick(&NIGHTS).0;
    let some = |dice: &mut Dice| -> BTreeSet<u8> {
        let often = if dice.one_in(8) { 3 } else { 99 };
        (0..SERVICES).filter(|_| dice.one_in(often)).collect()
    };
    Terms {
        prepaid: agent.is_multiple_of(2) != dice.one_in(16),
        limit: dice.one_in(2).then(|| if agent == WHALE { MOST } else { cents(dice, 10, 80) }),
        caps,
        zone: if dice.one_in(2) { zone } else { other },
        allow: some(dice),
        deny: some(dice),
        expires: dice.one_in(5).then(|| dice.between(3_600, 90 * 86_400)),
        local: !dice.one_in(5),
        rates: (0..dice.below(8) / 3).map(|_| pace(dice, 2, 9)).collect(),
        burst: dice.one_in(2).then(|| {
            let (most, long) = pace(dice, 1, 4);
            (most, long, dice.pick(&DONE))
        }),
        denials: dice.one_in(3).then(|| (dice.between(2, 12), dice.pick(&DONE))),
        hours: if dice.one_in(5) { open_hours(dice) } else { Vec::new() },
        days: if dice.one_in(7) { open_days(dice) } else { Vec::new() },
        cooldown: dice.one_in(6).then(|| dice.pick(&[1, 30, 60, 3_600])),
        // The whale's sums fit in no group.
        group: (agent != WHALE && dice.one_in(2)).then(|| dice.byte(GROUPS)),
        tasks: dice.one_in(2),
        pinned: pinned(dice),
        locked: dice.one_in(3),
        tiers: tiers(dice, agent),
        shadow: shadows(dice, agent),
        models: models(dice),
    }
}
