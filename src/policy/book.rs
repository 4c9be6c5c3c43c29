//! Books: the present state of one agent, as the fold of its entries.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    entry::{Hash, Windows},
    mandate::{Cap, Funding, Mandate},
    money::Usd,
    names::{Handle, Note, PaymentId, Reason},
    window::{Period, Window},
};

/// Whether an agent may pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may, within its mandate.
    Active,
    /// It never may again.
    Revoked {
        /// Why, for programs.
        reason: Reason,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Since when (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
}

/// What a tally counts: a period, and which payments within it.
///
/// The agent as a whole is the only dimension yet; services, payees and tasks are to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TallyKey {
    /// The kind of window.
    pub period: Period,
    /// Which payments.
    pub dimension: Dimension,
}

/// Which payments a tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Every payment of the agent.
    Agent,
}

impl fmt::Display for TallyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dimension {
            Dimension::Agent => write!(f, "{}", self.period),
        }
    }
}

impl From<TallyKey> for String {
    fn from(key: TallyKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for TallyKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let period = Period::from_str(&text).map_err(|()| format!("`{text}` is no tally"))?;
        Ok(Self { period, dimension: Dimension::Agent })
    }
}

/// What was spent in the newest window of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The window's id; it never goes back.
    pub window: i64,
    /// Captured, less what was refunded while the window was open.
    pub used: Usd,
    /// Set aside and not yet settled.
    pub held: Usd,
    /// Payments captured.
    pub count: u64,
}

impl Tally {
    fn empty(window: i64) -> Self {
        Self { window, used: Usd::ZERO, held: Usd::ZERO, count: 0 }
    }
}

/// The newest entry of an agent: where the next one links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in the agent's ledger, from 1.
    pub n: u64,
    /// The journal position of its record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Identical denials one after the other, which share one id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialRow {
    /// What makes two denials the same.
    pub fingerprint: String,
    /// The id they share.
    pub payment: PaymentId,
    /// How many there were, as far as they are recorded.
    pub times: u64,
}

/// Room under one cap at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Captured in the current window.
    pub used: Usd,
    /// Held in the current window.
    pub held: Usd,
    /// What is left.
    pub left: Usd,
    /// When the window ends.
    pub resets_at: Option<Timestamp>,
}

/// The present state of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Whose it is.
    pub handle: Handle,
    /// Since when (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub opened_at: Timestamp,
    /// What it may spend.
    pub mandate: Mandate,
    /// Whether it may.
    pub standing: Standing,
    /// All that the operator added.
    pub credited: Usd,
    /// All that was captured.
    pub captured: Usd,
    /// All that came back of it.
    pub refunded: Usd,
    /// All that is set aside.
    pub held: Usd,
    /// The sums of the newest windows.
    pub tallies: BTreeMap<TallyKey, Tally>,
    /// The newest entry.
    pub link: Link,
    /// The denials just before now, if the last thing was a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<DenialRow>,
}

impl Book {
    /// Credited, less what was captured and did not come back; nothing for an allowance.
    pub fn balance(&self) -> Option<Usd> {
        match self.mandate.funding {
            Funding::Prepaid => {
                Some(self.credited.saturating_plus(self.refunded).less(self.captured))
            }
            Funding::Allowance => None,
        }
    }

    /// The balance less the holds; nothing for an allowance.
    pub fn funds(&self) -> Option<Usd> {
        self.balance().map(|balance| balance.less(self.held))
    }

    /// What can be spent now, balance and every cap considered.
    pub fn available(&self, now: Timestamp) -> Usd {
        let caps = self.mandate.caps.iter().map(|cap| self.room(*cap, now).left);
        let least = caps.chain(self.funds()).min().unwrap_or(Usd::ZERO);
        let expired = self.mandate.expires_at.is_some_and(|at| now >= at);
        match self.standing {
            Standing::Active if !expired => least,
            Standing::Active | Standing::Revoked { .. } => Usd::ZERO,
        }
    }

    /// What is used, held and left under `cap` at `now`.
    pub fn room(&self, cap: Cap, now: Timestamp) -> Room {
        let window = self.window(cap.period, now);
        let (used, held) = self.spent_in(cap.period, window.id());
        let left = cap.amount.less(used.saturating_plus(held));
        Room { used, held, left, resets_at: window.end }
    }

    /// What was captured in the window of `period` that contains `now`.
    pub fn used(&self, period: Period, now: Timestamp) -> Usd {
        self.spent_in(period, self.window(period, now).id()).0
    }

    /// The ids of the windows that a payment placed at `now` counts in.
    pub fn windows(&self, now: Timestamp) -> Windows {
        let id = |period| self.window(period, now).id();
        Windows {
            hour: id(Period::Hour),
            day: id(Period::Day),
            week: id(Period::Week),
            month: id(Period::Month),
        }
    }

    /// The window of `period` at `now`, but never one before the newest that was ever used:
    /// a clock that goes back, or a move to another zone, reopens nothing.
    fn window(&self, period: Period, now: Timestamp) -> Window {
        let window = Window::containing(now, period, &self.mandate.zone);
        let newest = self.tally(period).map(|tally| tally.window);
        match newest {
            Some(newest) if newest > window.id() => {
                let opened = Timestamp::from_second(newest).unwrap_or(Timestamp::MAX);
                let end = Window::containing(opened, period, &self.mandate.zone).end;
                Window { start: opened, end }
            }
            Some(_) | None => window,
        }
    }

    fn tally(&self, period: Period) -> Option<&Tally> {
        self.tallies.get(&TallyKey { period, dimension: Dimension::Agent })
    }

    fn spent_in(&self, period: Period, window: i64) -> (Usd, Usd) {
        let tally = self.tally(period).filter(|tally| tally.window == window);
        tally.map_or((Usd::ZERO, Usd::ZERO), |tally| (tally.used, tally.held))
    }

    /// Changes the tallies that still stand at the window the payment counts in.
    ///
    /// A newer window replaces an older tally; an older window no longer counts anywhere.
    fn tallies_of(&mut self, windows: &Windows, mut change: impl FnMut(&mut Tally)) {
        for period in Period::ALL {
            let id = windows.id(period);
            let key = TallyKey { period, dimension: Dimension::Agent };
            let tally = self.tallies.entry(key).or_insert_with(|| Tally::empty(id));
            if tally.window < id {
                *tally = Tally::empty(id);
            }
            if tally.window == id {
                change(tally);
            }
        }
    }

    /// Folds in money set aside.
    pub(super) fn hold(&mut self, amount: Usd, windows: &Windows) {
        self.held = self.held.saturating_plus(amount);
        self.tallies_of(windows, |tally| tally.held = tally.held.saturating_plus(amount));
    }

    /// Folds in the end of a hold: `taken` of it captured, the rest returned.
    pub(super) fn settle(&mut self, held: Usd, taken: Usd, windows: &Windows) {
        self.held = self.held.less(held);
        self.captured = self.captured.saturating_plus(taken);
        self.tallies_of(windows, |tally| {
            tally.held = tally.held.less(held);
            tally.used = tally.used.saturating_plus(taken);
            if !taken.is_zero() {
                tally.count = tally.count.saturating_add(1);
            }
        });
    }

    /// Folds in captured money that came back.
    pub(super) fn refund(&mut self, amount: Usd, windows: &Windows) {
        self.refunded = self.refunded.saturating_plus(amount);
        self.tallies_of(windows, |tally| tally.used = tally.used.less(amount));
    }
}
