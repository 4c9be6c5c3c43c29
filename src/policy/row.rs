//! Denials in a row: which of them share an entry, and when they are a loop.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    code::{Advice, Code},
    denial::{Denial, Denied, Refusal},
    entry::{By, Draft, Fact},
    names::{Handle, IdempotencyKey, PaymentId},
    planted::{self, Bug},
    state::State,
    stop::trip,
    task::failing,
};

/// From which of identical denials in a row on they are a loop.
const LOOP: u64 = 3;
/// The denials that stay what they are however often they are given: what they ask for is patience.
const KEPT: [Code; 4] =
    [Code::PossibleDuplicate, Code::PaymentInDoubt, Code::EngineUnavailable, Code::RateLimited];
/// How many denials of one row have entries of their own, whatever they are about: an agent that
/// tries every amount there is must not fill the disk.
const WRITTEN_IN_A_ROW: u32 = 16;
/// What part of a row is counted and not written down yet, at the most: a sixteenth.
const COUNTED_PART: u64 = 16;
/// How often a smaller part is passed over before it is written down all the same. The writer
/// looks once a second, so a minute: whoever reads the ledger after a loop reads all of it.
const PASSED_OVER: u32 = 60;

/// Denials one after the other; those that are only counted share one id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialRow {
    /// What makes two denials the same.
    pub fingerprint: String,
    /// The id they share.
    pub payment: PaymentId,
    /// How many there were, as far as they are recorded.
    pub times: u64,
    /// How many of the row have an entry of their own.
    pub written: u32,
    /// Their codes.
    pub codes: BTreeSet<Code>,
    /// How many there were in all, as far as they are recorded; a row of before that was counted
    /// never tells, and nothing looks at it: it was begun before any mandate bounds denials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<u64>,
    /// How many there were when a stop of the mandate last took hold of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tripped: u64,
    /// The identical ones at its end; a row of before they were counted tells of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<Alike>,
    /// How often a stop of the mandate had the agent wait for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttles: u64,
    /// The call that the last of them was the answer to, where its transport named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<IdempotencyKey>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Identical denials, one right after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// What was asked, and why it was refused.
    pub likeness: String,
    /// How many there were.
    pub times: u64,
}

/// One more denial that is only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// How it stands to the one that is counted.
    pub how: Repeated,
    /// What was asked, and why it was refused.
    pub likeness: String,
    /// The call that it is the answer to, where its transport named it.
    pub call: Option<IdempotencyKey>,
}

/// How a denial stands to the one whose id it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// It is that one again.
    Same,
    /// It is another, in a row too long to write each down.
    Other,
}

/// Denials that are counted and not yet written down.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repeats {
    payment: PaymentId,
    times: u64,
    others: u64,
    /// How the row ends with them.
    alike: Option<Alike>,
    /// Whether they do no more than go on with how the row ends.
    go_on: bool,
    /// The call that the last of them was the answer to.
    call: Option<IdempotencyKey>,
    /// How often they were left for later.
    passed_over: u32,
}

/// What is done about a refusal.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It was told before: its transport sent the call once more, and nothing is counted.
    Again(Denied),
    /// It is only counted: it shares the id of an earlier one.
    Counted(Denied, Repeat),
    /// It is written down.
    Written(Denied, Vec<Draft>),
}

/// Decides how a refusal is told, and what of it is written down.
///
/// Identical ones in a row share an entry; from the third on they are a loop, unless they say
/// already to stop, or ask for no more than patience. A call that its transport sends once more is
/// the one that it was.
pub fn tell(state: &State, book: &Book, by: By, mut denied: Denied, now: Timestamp) -> Told {
    let likeness = denied.likeness();
    let alike = state.alike(book).filter(|alike| alike.likeness == likeness);
    // A client may give every call one id: only what is refused alike is the same call.
    let same_call = denied.call.is_some() && state.last_call(book) == denied.call.as_ref();
    let sent_again = same_call && alike.is_some();
    let nth = alike.map_or(0, |alike| alike.times).saturating_add(u64::from(!sent_again));
    let late = u64::from(planted::is(Bug::LoopIsLate));
    let loops = nth >= LOOP.saturating_add(late) && denied.refusal.may_loop();
    let fails = failing(&book.handle, &denied);
    // By which a task runs out must be written down, whatever else it is.
    let row = book.row.as_ref().filter(|_| sent_again && fails.is_none());
    let tripped = if row.is_some() {
        None
    } else {
        trip(book, &mut denied.refusal, state.in_row(book).saturating_add(1), now)
    };
    if loops {
        denied.refusal.denials.insert(0, Denial::LoopDetected);
    }
    if let Some(row) = row {
        denied.payment = row.payment;
        return Told::Again(denied);
    }
    let call = denied.call.clone();
    let repeats = book.repeats(&denied);
    let fact = match (repeats, tripped.is_some() || fails.is_some()) {
        (Some((payment, how)), false) => {
            denied.payment = payment;
            return Told::Counted(denied, Repeat { how, likeness, call });
        }
        (Some((payment, how)), true) => {
            denied.payment = payment;
            let others = u64::from(how == Repeated::Other);
            let alike = Some(Alike { likeness, times: nth });
            Fact::DeniedAgain { payment, times: 1, others, alike, call }
        }
        (None, _) => Fact::Denied(Box::new(denied.clone())),
    };
    let told = Draft { agent: Some(book.handle.clone()), by, fact };
    let done = |fact| Draft { agent: Some(book.handle.clone()), by: By::Engine, fact };
    let fails = failing(&book.handle, &denied);
    let drafts = std::iter::once(told).chain(fails).chain(tripped.map(done));
    Told::Written(denied, drafts.collect())
}

impl Refusal {
    /// Whether it becomes a loop when it is given again and again.
    fn may_loop(&self) -> bool {
        let stops = self.advice() == Advice::Stop && !planted::is(Bug::LoopHidesRevoked);
        !stops && !KEPT.contains(&self.code())
    }
}

impl State {
    /// The identical denials that `book` ends with now, written down or only counted.
    pub(super) fn alike<'s>(&'s self, book: &'s Book) -> Option<&'s Alike> {
        let counted = self.repeats.get(&book.handle);
        match counted.filter(|_| !planted::is(Bug::LoopForgetsCounted)) {
            Some(repeats) => repeats.alike.as_ref(),
            None => book.row.as_ref()?.alike.as_ref(),
        }
    }

    /// How many denials `book` ends with now, written down or only counted.
    fn in_row(&self, book: &Book) -> u64 {
        let counted = self.repeats.get(&book.handle).map_or(0, |repeats| repeats.times);
        let counted = if planted::is(Bug::LoopForgetsCounted) { 0 } else { counted };
        book.row.as_ref().and_then(|row| row.all).unwrap_or_default().saturating_add(counted)
    }

    /// The call that `book`'s last denial was the answer to, if the last thing was a denial.
    fn last_call<'s>(&'s self, book: &'s Book) -> Option<&'s IdempotencyKey> {
        match self.repeats.get(&book.handle) {
            Some(repeats) => repeats.call.as_ref(),
            None => book.row.as_ref()?.call.as_ref(),
        }
    }

    /// Counts one more denial with those that `agent` was given last; written down later.
    pub fn repeat(&mut self, agent: &Handle, repeat: Repeat) {
        let row = self.books.get(agent).and_then(|book| book.row.as_ref());
        let Some(row) = row else { return };
        let (payment, alike) = (row.payment, row.alike.clone());
        let first = Repeats {
            payment,
            times: 0,
            others: 0,
            alike,
            go_on: true,
            call: None,
            passed_over: 0,
        };
        let counted = self.repeats.entry(agent.clone()).or_insert(first);
        counted.call = repeat.call;
        counted.times = counted.times.saturating_add(1);
        let other = repeat.how == Repeated::Other;
        counted.others = counted.others.saturating_add(u64::from(other));
        match &mut counted.alike {
            Some(alike) if alike.likeness == repeat.likeness => {
                alike.times = alike.times.saturating_add(1);
            }
            Some(_) | None => {
                counted.go_on = false;
                counted.alike = Some(Alike { likeness: repeat.likeness, times: 1 });
            }
        }
    }

    /// The counted denials of one agent, or of all, as facts to be written down now.
    pub fn take_repeats(&mut self, agent: Option<&Handle>) -> Vec<Draft> {
        match agent {
            Some(agent) => {
                let repeats = self.repeats.remove(agent);
                repeats.map(|repeats| repeats.draft(agent.clone())).into_iter().collect()
            }
            None => std::mem::take(&mut self.repeats)
                .into_iter()
                .map(|(agent, repeats)| repeats.draft(agent))
                .collect(),
        }
    }

    /// Of the counted denials those that are to be written down by now. While a row is short that
    /// is all of them; of a long one some wait, but not for long, so that a loop that goes on all
    /// night is told in few entries and all of it in the end.
    pub fn take_due_repeats(&mut self) -> Vec<Draft> {
        let mut due = Vec::new();
        for (agent, repeats) in &mut self.repeats {
            let row = self.books.get(agent).and_then(|book| book.row.as_ref());
            let told = row.map_or(0, |row| row.times);
            repeats.passed_over = repeats.passed_over.saturating_add(1);
            let many = repeats.times.saturating_mul(COUNTED_PART) >= told;
            if many || repeats.passed_over >= PASSED_OVER {
                due.push(agent.clone());
            }
        }
        due.iter().flat_map(|agent| self.take_repeats(Some(agent))).collect()
    }

    /// Whether there are counted denials that are to be written down yet.
    pub fn counts_repeats(&self) -> bool {
        !self.repeats.is_empty()
    }
}

impl Repeats {
    fn draft(self, agent: Handle) -> Draft {
        let Self { payment, times, others, alike, go_on, call, passed_over: _ } = self;
        let alike = alike.filter(|_| !go_on || others > 0);
        let fact = Fact::DeniedAgain { payment, times, others, alike, call };
        Draft { agent: Some(agent), by: By::Agent, fact }
    }
}

impl Book {
    /// Whether both are the fold of the same entries. A row of before identical denials were
    /// counted does not tell of them.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let rows = || [self, other].into_iter().filter_map(|book| book.row.as_ref());
        let (ends, sums) =
            (rows().all(|row| row.alike.is_some()), rows().all(|row| row.all.is_some()));
        let bare = |book: &Self| {
            let row = book.row.clone().map(|row| DenialRow {
                alike: row.alike.filter(|_| ends),
                all: row.all.filter(|_| sums),
                ..row
            });
            Self { row, ..book.clone() }
        };
        self == other || bare(self) == bare(other)
    }

    /// The id of an earlier denial that this one is only counted with, and how it stands to it.
    fn repeats(&self, denied: &Denied) -> Option<(PaymentId, Repeated)> {
        let row = self.row.as_ref()?;
        if row.fingerprint == denied.fingerprint() {
            return Some((row.payment, Repeated::Same));
        }
        let told = row.written >= WRITTEN_IN_A_ROW && row.codes.contains(&denied.refusal.code());
        told.then_some((row.payment, Repeated::Other))
    }

    /// Folds in a denial that has an entry of its own.
    pub(super) fn deny(&mut self, denied: &Denied) {
        let row = self.row.take();
        let all = row.as_ref().map_or(Some(0), |row| row.all).map(|all| all.saturating_add(1));
        let (tripped, throttles) = row.as_ref().map_or((0, 0), |row| (row.tripped, row.throttles));
        let (written, mut codes, alike) =
            row.map_or((0, BTreeSet::new(), None), |row| (row.written, row.codes, row.alike));
        codes.insert(denied.refusal.code());
        let (fingerprint, payment) = (denied.fingerprint(), denied.payment);
        let likeness = denied.likeness();
        let known = alike.filter(|alike| alike.likeness == likeness);
        let times = known.map_or(0, |alike| alike.times).saturating_add(1);
        let alike = Some(Alike { likeness, times });
        let written = written.saturating_add(1);
        self.row = Some(DenialRow {
            fingerprint,
            payment,
            times: 1,
            written,
            codes,
            all,
            tripped,
            alike,
            throttles,
            call: denied.call.clone(),
        });
    }

    /// Folds in denials that were only counted.
    pub(super) fn deny_again(
        &mut self,
        payment: PaymentId,
        (times, others): (u64, u64),
        ends: Option<&Alike>,
        call: Option<&IdempotencyKey>,
    ) {
        let Some(row) = self.row.as_mut().filter(|row| row.payment == payment) else { return };
        row.call = call.cloned();
        row.times = row.times.saturating_add(times);
        row.all = row.all.map(|all| all.saturating_add(times));
        match (&mut row.alike, ends) {
            (alike, Some(ends)) => *alike = Some(ends.clone()),
            (Some(alike), None) if others == 0 => alike.times = alike.times.saturating_add(times),
            // Written before it was told how such a row ends.
            (alike, None) => *alike = None,
        }
    }
}
