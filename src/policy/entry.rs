//! Entries: the immutable lines of the ledger. They hold facts, never commands.

mod applied;
mod binding;
mod counted;
mod flag;
mod hash;
mod windows;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::incident::Incident;
use super::{
    denial::Denied,
    group::{GroupFact, InGroup},
    mandate::{Mandate, Service},
    models::Models,
    money::Usd,
    names::{
        Category, Handle, IdempotencyKey, Note, Payee, PaymentId, Reason, RunId, ServiceId,
        TaskType,
    },
    payee::Repinned,
    prices::PricesSet,
    proof::Phc,
    row::Alike,
    service_test::ServiceTested,
    shadow::Passed,
    stop::Stop,
    task::{TaskFact, TaskId},
    token::TokenFact,
    via::Via,
};

pub use applied::Applied;
pub use binding::Binding;
pub use counted::CountedBy;
pub use flag::CaptureFlag;
pub use hash::Hash;
pub use windows::{Moved, Windows};

/// Who brought a fact about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The agent, through a tool.
    Agent,
    /// The operator.
    Operator,
    /// The engine itself: recovery, time.
    Engine,
}

/// Money set aside for one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The payment.
    pub payment: PaymentId,
    /// What is paid for.
    pub service: ServiceId,
    /// Who gets the money.
    pub payee: Payee,
    /// How much is set aside.
    pub amount: Usd,
    /// The windows it counts in.
    pub windows: Windows,
    /// The key it answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What the client said of where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// What kind of service it was when the money was set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The groups it counts in, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<InGroup>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// What kind of work that task is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<TaskType>,
    /// The shadow caps that it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<Passed>,
    /// The digest of the call of an API that is paid for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Hash>,
    /// The language model that is called, where it is one that is metered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Models>,
}

impl Hold {
    /// Whether what is held is a guess, for it costs what is counted at its end.
    pub fn is_metered(&self) -> bool {
        self.model.is_some()
    }
}

/// Why held money was released without being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidCause {
    /// The agent was revoked before anything was sent.
    Revoked,
    /// The engine stopped before anything was sent.
    Recovery,
    /// The rail proved that nothing was sent.
    NotSent,
    /// Nothing was sent, for what the rail needs is not there: the key of an API, say.
    NotReady,
}

/// What one entry says happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// An agent was created with a mandate.
    Opened {
        /// What it may spend.
        mandate: Box<Mandate>,
    },
    /// The operator added to the balance.
    Credited {
        /// How much.
        amount: Usd,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// Money was set aside.
    Held(Hold),
    /// A hold was handed to its rail: from here on it settles to the truth.
    Sent {
        /// The payment.
        payment: PaymentId,
    },
    /// A hold was taken, or less than it, and the rest went back; or more, by a flag.
    Captured {
        /// The payment.
        payment: PaymentId,
        /// How much was taken.
        amount: Usd,
        /// What an operator should know of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<CaptureFlag>,
    },
    /// Money was set aside and taken in one step.
    Paid(Hold),
    /// A hold was released.
    Voided {
        /// The payment.
        payment: PaymentId,
        /// Why.
        cause: VoidCause,
    },
    /// A hold was released because its time was up.
    Expired {
        /// The payment.
        payment: PaymentId,
    },
    /// The rail said no: nothing was taken, and the hold was released.
    Failed {
        /// The payment.
        payment: PaymentId,
        /// With which status of HTTP, where it was an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// The rail said neither yes nor no: the hold stays until somebody knows.
    Doubted {
        /// The payment.
        payment: PaymentId,
    },
    /// Captured money came back.
    Refunded {
        /// The payment.
        payment: PaymentId,
        /// How much came back.
        amount: Usd,
        /// The windows the payment counted in: only those still open give room back.
        windows: Windows,
        /// The run it belonged to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// What else it was counted by; older entries do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Box<CountedBy>>,
        /// The task it belonged to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// A payment was refused.
    Denied(Box<Denied>),
    /// More refusals were given, right after the one of this id.
    DeniedAgain {
        /// The id that all of them share.
        payment: PaymentId,
        /// How many.
        times: u64,
        /// How many of them differed from it, in a row too long to write each down.
        #[serde(default, skip_serializing_if = "is_zero")]
        others: u64,
        /// How the row ends with them, where they do not just go on with how it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alike: Option<Alike>,
        /// The call that the last of them was the answer to, where its transport named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<IdempotencyKey>,
    },
    /// A stop that the mandate names took hold, short of a freeze.
    Tripped {
        /// Which.
        stop: Stop,
        /// Until when the agent must wait; nothing where only the operator is told (µs since
        /// 1970).
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::timestamp::microsecond::optional"
        )]
        until: Option<Timestamp>,
        /// Of equal payments, what they are for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ServiceId>,
        /// Of equal payments, how much each is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Usd>,
    },
    /// The operator gave the agent another mandate.
    MandateSet {
        /// What it may spend now.
        mandate: Box<Mandate>,
        /// Where the time zone changed: until when the windows that are open stay so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Moved>,
        /// Whether it gives the agent no more than it had: the denials in a row go on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        tightens: bool,
    },
    /// The agent may not pay for now.
    Frozen {
        /// Why, for programs.
        reason: Reason,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The agent may pay again.
    Unfrozen {
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The agent may never pay again.
    Revoked {
        /// Why, for programs.
        reason: Reason,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The catalogue gained a service, or one was given a new payee or price.
    ServiceSet(Service),
    /// The catalogue lost a service.
    ServiceRemoved {
        /// Its name.
        service: ServiceId,
    },
    /// Something happened to a token: an agent's, or, in nobody's ledger, an operator's.
    Token(TokenFact),
    /// The operators were given a passphrase, or another one.
    PassphraseSet {
        /// The hash of it.
        hash: Phc,
    },
    /// A policy was applied: what it changed stands behind this, in the same record.
    PolicyApplied(Applied),
    /// Something happened to the record itself, or to the clock.
    Incident(Incident),
    /// Something happened to a group of agents.
    Group(GroupFact),
    /// Something happened to a task.
    Task(TaskFact),
    /// The operator said whom a service is to pay.
    Repinned(Repinned),
    /// The operator set prices of metered calls.
    PricesSet(Box<PricesSet>),
    /// The operator called a service himself.
    ServiceTested(Box<ServiceTested>),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Fact {
    /// What the operator noted.
    pub fn note(&self) -> Option<&Note> {
        match self {
            Self::Credited { note, .. }
            | Self::Refunded { note, .. }
            | Self::Frozen { note, .. }
            | Self::Unfrozen { note }
            | Self::Task(TaskFact::Resumed { note, .. })
            | Self::Revoked { note, .. }
            | Self::Incident(
                Incident::RollbackAccepted { note, .. } | Incident::DamageCut { note, .. },
            ) => note.as_ref(),
            Self::PolicyApplied(applied) => applied.note.as_ref(),
            Self::PricesSet(set) => set.note.as_ref(),
            Self::Opened { .. }
            | Self::Held(_)
            | Self::Sent { .. }
            | Self::Captured { .. }
            | Self::Paid(_)
            | Self::Voided { .. }
            | Self::Expired { .. }
            | Self::Failed { .. }
            | Self::Doubted { .. }
            | Self::Denied(_)
            | Self::DeniedAgain { .. }
            | Self::Tripped { .. }
            | Self::MandateSet { .. }
            | Self::ServiceSet(_)
            | Self::ServiceRemoved { .. }
            | Self::Token(_)
            | Self::PassphraseSet { .. }
            | Self::Group(_)
            | Self::Task(_)
            | Self::Repinned(_)
            | Self::ServiceTested(_)
            | Self::Incident(_) => None,
        }
    }

    /// The payment or refusal that this is the first entry of.
    pub fn begins(&self) -> Option<PaymentId> {
        match self {
            Self::Held(hold) | Self::Paid(hold) => Some(hold.payment),
            Self::Denied(denied) => Some(denied.payment),
            Self::Opened { .. }
            | Self::Credited { .. }
            | Self::Sent { .. }
            | Self::Doubted { .. }
            | Self::Refunded { .. }
            | Self::DeniedAgain { .. }
            | Self::Tripped { .. }
            | Self::MandateSet { .. }
            | Self::Frozen { .. }
            | Self::Unfrozen { .. }
            | Self::Revoked { .. }
            | Self::ServiceSet(_)
            | Self::ServiceRemoved { .. }
            | Self::Token(_)
            | Self::PassphraseSet { .. }
            | Self::PolicyApplied(_)
            | Self::Group(_)
            | Self::Task(_)
            | Self::Repinned(_)
            | Self::PricesSet(_)
            | Self::ServiceTested(_)
            | Self::Incident(_)
            | Self::Captured { .. }
            | Self::Voided { .. }
            | Self::Expired { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// The hold that this is the end of.
    pub fn ends(&self) -> Option<PaymentId> {
        match self {
            Self::Captured { payment, .. }
            | Self::Voided { payment, .. }
            | Self::Expired { payment }
            | Self::Failed { payment, .. } => Some(*payment),
            Self::Opened { .. }
            | Self::Credited { .. }
            | Self::Sent { .. }
            | Self::Doubted { .. }
            | Self::Refunded { .. }
            | Self::DeniedAgain { .. }
            | Self::Tripped { .. }
            | Self::MandateSet { .. }
            | Self::Frozen { .. }
            | Self::Unfrozen { .. }
            | Self::Revoked { .. }
            | Self::ServiceSet(_)
            | Self::ServiceRemoved { .. }
            | Self::Token(_)
            | Self::PassphraseSet { .. }
            | Self::PolicyApplied(_)
            | Self::Group(_)
            | Self::Task(_)
            | Self::Repinned(_)
            | Self::PricesSet(_)
            | Self::ServiceTested(_)
            | Self::Incident(_)
            | Self::Held(_)
            | Self::Paid(_)
            | Self::Denied(_) => None,
        }
    }
}

/// A fact that the engine decided on and the store has not yet put in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Whose ledger it belongs to; the catalogue is nobody's.
    pub agent: Option<Handle>,
    /// Who brought it about.
    pub by: By,
    /// What happened.
    pub fact: Fact,
}

impl Draft {
    /// Whether it is a stop: an older copy of the record must not let what it stopped go on.
    pub fn stops(&self) -> bool {
        matches!(self.fact, Fact::Frozen { .. } | Fact::Task(TaskFact::Failed { .. }))
    }
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When (µs since 1970).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Whose ledger it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Handle>,
    /// Its place in the agent's ledger and the link to the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// Who brought it about.
    pub by: By,
    /// What happened.
    pub fact: Fact,
}

/// An entry's place in its agent's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its number, from 1.
    pub n: u64,
    /// The journal position of the record that holds the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// The hash of the one before; zeros for the first.
    pub prev_hash: Hash,
}
