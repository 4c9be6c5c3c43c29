//! The second opinion on what ends loops.

use super::{Agent, Asked, Breach, Kind, Model, Standing, Verdict, plain};

/// What is done about too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Flag,
    Throttle,
    Freeze,
}

impl Measure {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Throttle => "throttle",
            Self::Freeze => "freeze",
        }
    }
}

/// A refusal: what was asked, what it would have cost, and why not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    service: u8,
    cost: Option<i128>,
    run: Option<u8>,
    task: Option<usize>,
    why: Vec<(&'static str, Option<Kind>, Vec<i128>)>,
    /// The payment that its key stands for.
    stands: Option<usize>,
}

/// How many millionths of a second a fiftieth of so many seconds is.
fn part(long: i64) -> i64 {
    long * 1_000_000 / 50
}

/// The fiftieth that a moment lies in.
fn fiftieth(at: i64, long: i64) -> i64 {
    (at * 1_000_000).div_euclid(part(long))
}

fn count<T>(of: &[T]) -> i64 {
    i64::try_from(of.len()).unwrap()
}

/// When one more is one of so many again.
fn room_at(recent: &[i64], most: i64, long: i64) -> i64 {
    let leaves = recent[recent.len() - usize::try_from(most).unwrap()];
    ((fiftieth(leaves, long) + 51) * part(long)).div_euclid(1_000_000)
}

fn limited(numbers: Vec<i128>) -> Breach {
    Breach { numbers, ..plain("rate_limited") }
}

/// A pace that has no room for one more, and when it has.
fn no_room(of: i128, (most, long): (i64, i64), recent: &[i64]) -> Option<(Breach, Option<i64>)> {
    let numbers = vec![of, most.into(), long.into(), count(recent).into()];
    (count(recent) >= most).then(|| (limited(numbers), Some(room_at(recent, most, long))))
}

impl Model {
    /// When the payments were placed that count in the last so many seconds, oldest first.
    fn recent(&self, agent: u8, long: i64, since: usize, equal: Option<(u8, i128)>) -> Vec<i64> {
        let now = fiftieth(self.now(), long);
        let theirs = self.theirs(agent).filter(|(number, _)| *number >= since);
        let alike = theirs
            .map(|(_, p)| p)
            .filter(|paid| equal.is_none_or(|equal| equal == (paid.asked.service, paid.amount)));
        let placed = alike.map(|paid| paid.placed);
        placed.filter(|placed| fiftieth(*placed, long) >= now - 50).collect()
    }

    /// When the first payment leaves the first rate of an agent.
    pub(crate) fn rate_frees(&self, agent: u8) -> Option<i64> {
        let book = self.agents.get(&agent)?;
        let (_, long) = *book.terms.rates.first()?;
        let recent = self.recent(agent, long, book.paced[&long], None);
        let most = count(&recent);
        (most > 0).then(|| room_at(&recent, most, long))
    }

    /// Every pace that has no room for one more, and when it has.
    pub(super) fn full(&self, agent: u8, service: u8, cost: i128) -> Vec<(Breach, Option<i64>)> {
        let Agent { terms, throttled, paced, burst_since, cooled, .. } = &self.agents[&agent];
        let paced = terms.rates.iter().filter_map(|(most, long)| {
            no_room(0, (*most, *long), &self.recent(agent, *long, paced[long], None))
        });
        let mut full: Vec<_> = paced.collect();
        let last = self.theirs(agent).rfind(|(number, _)| number >= cooled);
        if let (Some(long), Some((_, last))) = (terms.cooldown, last)
            && self.now() < last.placed + long
        {
            let until = last.placed + long;
            full.push((limited(vec![3, 1, long.into(), 1]), Some(until)));
        }
        if let (Some((count, _)), Some(until)) = (terms.denials, throttled)
            && self.now() < *until
        {
            full.push((limited(vec![2, 0, 0, count.into()]), Some(*until)));
        }
        if let Some((most, long, Measure::Throttle)) = terms.burst {
            let recent = self.recent(agent, long, *burst_since, Some((service, cost)));
            full.extend(no_room(1, (most, long), &recent));
        }
        for (_, moment) in &mut full {
            *moment = moment.and_then(|at| self.opens(agent, at));
        }
        full
    }

    /// Whether one more equal payment is one too many.
    fn burst(&self, agent: u8, service: u8, cost: i128, done: Measure) -> bool {
        let book = &self.agents[&agent];
        let Some((most, long, _)) = book.terms.burst.filter(|(.., named)| *named == done) else {
            return false;
        };
        let equal = Some((service, cost));
        count(&self.recent(agent, long, book.burst_since, equal)) >= most
    }

    /// Freezes whoever makes one equal payment too many.
    pub(super) fn freezes_burst(&self, agent: u8, service: u8, cost: i128) -> bool {
        self.burst(agent, service, cost, Measure::Freeze)
    }

    /// Tells the operator of the first equal payment too many.
    pub(super) fn flag_burst(&mut self, agent: u8, asked: &Asked, cost: i128) {
        let equal = (asked.service, cost);
        let book = &self.agents[&agent];
        let recent = book
            .terms
            .burst
            .map(|(_, long, _)| self.recent(agent, long, book.burst_since, Some(equal)).len());
        let too_many = self.burst(agent, asked.service, cost, Measure::Flag);
        let flagged = &mut self.agents.get_mut(&agent).unwrap().flagged;
        // Without any for so long they are forgotten.
        if recent.is_none_or(|recent| recent == 0) {
            flagged.remove(&equal);
        }
        self.flags += usize::from(too_many && flagged.insert(equal));
    }

    /// Rates and bursts count from the moment they are set.
    pub(super) fn pace_anew(&mut self, agent: u8, burst_before: Option<i64>) {
        let payments = self.payments.len();
        let book = self.agents.get_mut(&agent).unwrap();
        let spans: Vec<i64> = book.terms.rates.iter().map(|(_, long)| *long).collect();
        book.paced.retain(|long, _| spans.contains(long));
        for long in spans {
            book.paced.entry(long).or_insert(payments);
        }
        if book.terms.burst.map(|(_, long, _)| long) != burst_before {
            book.burst_since = payments;
            book.flagged.clear();
        }
        if book.terms.denials.is_none() {
            book.throttled = None;
        }
    }

    /// Something else happened than a refusal.
    pub(super) fn other_than_refused(&mut self, agent: u8) {
        if let Some(book) = self.agents.get_mut(&agent) {
            book.row.clear();
            book.tripped = 0;
            book.throttles = 0;
        }
    }

    /// Writes a refusal down; the third in a row that is the same is a loop, and so many in a row
    /// are what the terms say.
    pub(super) fn refused(
        &mut self,
        agent: u8,
        asked: &Asked,
        cost: Option<i128>,
        verdict: Verdict,
    ) -> Verdict {
        let Verdict::Denied { mut breaches, mut advice, mut affordable, mut resets, ran_out } =
            verdict
        else {
            return verdict;
        };
        // What of a reason's numbers makes it another reason.
        let own = |breach: &Breach| match breach.code {
            "price_above_maximum" => breach.numbers[1..].to_vec(),
            "rate_limited" if breach.numbers[0] == 2 => breach.numbers.clone(),
            "rate_limited" => breach.numbers[..3].to_vec(),
            "payee_changed" => vec![i128::from(self.services[&asked.service].payee)],
            _ => Vec::new(),
        };
        let why = breaches.iter().map(|breach| (breach.code, breach.kind, own(breach))).collect();
        let by_key = breaches[0].code == "idempotency_key_reused";
        let stands = asked.key.filter(|_| by_key).and_then(|key| self.bound(agent, key));
        let refused =
            Refused { service: asked.service, cost, run: asked.run, task: asked.task, why, stands };
        let now = self.now();
        let book = self.agents.get_mut(&agent).unwrap();
        book.row.push(refused.clone());
        let third = book.row.iter().rev().take(3).filter(|other| **other == refused).count() == 3;
        let kept = breaches[0].code == "rate_limited" || advice == "stop";
        let active = book.standing == Standing::Active;
        let burst = active && breaches[0].code == "agent_frozen";
        let streak = book
            .terms
            .denials
            .filter(|(most, _)| active && !burst && count(&book.row[book.tripped..]) >= *most);
        let (mut freezes, row) = (burst, (book.tripped, book.throttled));
        match streak {
            Some((_, Measure::Flag)) if book.tripped == 0 => {
                book.tripped = book.row.len();
                self.flags += 1;
            }
            Some((_, Measure::Throttle)) if book.throttled.is_none_or(|until| now >= until) => {
                book.tripped = book.row.len();
                book.throttled = Some(now + (60 << book.throttles.min(9)).min(3_600));
                book.throttles += 1;
            }
            Some((_, Measure::Freeze)) => {
                freezes = true;
                breaches.insert(0, plain("agent_frozen"));
                if advice != "stop" {
                    advice = "ask_operator";
                }
                (affordable, resets) = (None, None);
            }
            _ => {}
        }
        if third && !kept {
            breaches.insert(0, plain("loop_detected"));
            advice = "stop";
        }
        if freezes || row != (book.tripped, book.throttled) {
            book.captures.clear();
        }
        if freezes {
            self.agents.get_mut(&agent).unwrap().standing = Standing::Frozen;
            self.other_than_refused(agent);
        }
        Verdict::Denied { breaches, advice, affordable, resets, ran_out }
    }
}
