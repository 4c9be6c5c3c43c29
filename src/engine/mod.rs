//! The engine: the only room that waits. It loads, decides, commits and answers.
//!
//! `pay.rs` is the story of a payment, `gateway.rs` of one that a plain HTTP request is, `send.rs`
//! of what becomes of it at its rail, `operate.rs` that of an operator's act (`mandate.rs`,
//! `policy.rs`, `refund.rs`, `tasks.rs` and `tokens.rs` of those that take more telling),
//! `bodies.rs` hands out what APIs answered, `doors.rs` knows whom a token lets in, `proof.rs` who
//! is an operator, `gates.rs` whose turn it is for what takes a while, `report.rs` what agents and
//! operators read, `recover.rs` what is put right at open. Decisions themselves are policy's; they
//! run on the store's writer thread, in order, on the newest state.

mod bodies;
mod called;
mod detail;
mod doors;
mod explain;
mod exposure;
mod gates;
mod gateway;
mod groups;
mod health;
mod kin;
mod ledger;
mod malformed;
mod mandate;
mod operate;
mod pages;
mod pay;
mod policy;
pub mod prices;
mod proof;
mod quote;
pub mod recover;
mod refund;
mod rehearse;
mod report;
mod request;
mod seats;
mod secret;
mod send;
mod service_test;
mod settle;
mod spool;
mod tally;
mod tasks;
mod tokens;
mod trial;
pub mod verify;

use std::sync::Arc;

use jiff::Timestamp;
pub use policy::PolicyError;
pub use prices::PricesError;
pub use proof::{Proof, ProofError};
pub use refund::RefundError;
pub use secret::{Kind as TokenKind, TokenError, digest as token_digest};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use doors::Doors;
use gates::Gates;
pub use gateway::{BrokenOff, Flow, GatewayCall, Head, Passed, Through};
use proof::Turns;
use seats::Seats;
use spool::Spool;
pub(crate) use tally::{Counted, Tally};
pub use tokens::Principal;

// What surfaces see of the record: they know no store.
pub use crate::store::{LOW_WATER, StoreError};

use crate::{
    clock::Clock,
    policy::{
        answer::{
            BalanceAnswer, FinishTaskAnswer, LedgerAnswer, OpenTaskAnswer, PayAnswer, Refused,
            ServicesAnswer,
        },
        came::Came,
        denial::{Advice, Code},
        names::{Handle, IdempotencyKey, PaymentId, RailName, RunId},
        operate::OperateError,
        proof::Proven,
        settle::SettleError,
        state::State,
        terms::{PatchError, Problem},
        via::Via,
    },
    rails::Rails,
    store::{Condition, Store},
};

/// Decides and records payments. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    rails: Rails,
    clock: Clock,
    /// The payments that have not come to their end, whether or not anybody waits for it.
    under_way: Tally,
    /// Of those, the ones that may be at their rails.
    seats: Seats,
    /// Set when this process gives them up, on its way to its own end.
    parked: watch::Sender<bool>,
    /// Who is let in by which token.
    doors: Arc<Doors>,
    /// Whose turn it is for what takes a while.
    gates: Arc<Gates>,
    /// Whether uses of tokens are being written down.
    noting: Tally,
    /// What was answered to payments lately.
    spool: Arc<Spool>,
    /// Who has passphrases looked at, one after the other.
    turns: Arc<Turns>,
    /// By what whoever asks was taken for an operator, where he was asked: see [`Engine::prove`].
    proven: Option<Proven>,
}

/// One call of a tool, as it reaches the engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Who calls. Never named by the model.
    pub agent: Handle,
    /// The run it belongs to, as the operator named it.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The id of the call, the same when a transport sends it again.
    #[serde(default)]
    pub call_id: Option<IdempotencyKey>,
    /// The arguments, as the model sent them.
    #[serde(default)]
    pub arguments: Value,
    /// What the client says of where it comes from, which decides nothing.
    #[serde(default)]
    pub via: Option<Via>,
    /// How whoever asks came, which must still let him in when it is decided. No call from outside
    /// says so: who comes by a socket of ours is local.
    #[serde(skip, default = "local")]
    pub came: Came,
}

fn local() -> Came {
    Came::Local
}

/// Why the engine could not do as an operator asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The act itself is refused.
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// The change of a mandate is refused.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The refund is refused.
    #[error(transparent)]
    Refund(#[from] RefundError),
    /// A payment is not settled.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The policy is not applied.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There are no such prices.
    #[error(transparent)]
    Prices(#[from] PricesError),
    /// It takes an operator's proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page was asked for with a cursor that no page gave.
    #[error("the cursor is not one that an earlier page gave")]
    Cursor,
    /// A service is to be paid by a rail that there is not.
    #[error("there is no rail `{rail}`: there is {known}")]
    UnknownRail {
        /// Its name.
        rail: RailName,
        /// The names there are.
        known: String,
    },
    /// A hold is not open and its end was not found.
    #[error("the end of {0} was not found among the newest entries")]
    Unsettled(PaymentId),
    /// Nothing is kept of what was answered to a payment.
    #[error("no response of {0} is kept")]
    NoResponse(PaymentId),
    /// What was asked for is nothing that there could be.
    #[error("{0}")]
    Asked(String),
    /// A page was asked for that is too long or empty.
    #[error("a page has 1 to {most} entries")]
    Limit {
        /// The longest page.
        most: u32,
    },
}

impl EngineError {
    /// The answer to an operator.
    pub fn problem(&self) -> Problem {
        let (status, code, hint) = match self {
            Self::Operate(error) => operate::problem(error),
            Self::Patch(error) => mandate::problem(error),
            Self::Refund(error) => refund::problem(*error),
            Self::Settle(error) => settle::problem(*error),
            Self::Policy(error) => policy::problem(error),
            Self::Prices(error) => prices::problem(error),
            Self::Proof(error) => proof::problem(*error),
            Self::Store(error @ StoreError::Uncertain { .. }) => (
                503,
                store_code(error).word(),
                Some("it may have been done: look before you repeat it"),
            ),
            Self::Store(error) => (503, store_code(error).word(), error.remedy()),
            Self::Cursor | Self::Asked(_) | Self::Limit { .. } => (400, "invalid_request", None),
            Self::UnknownRail { .. } => (422, "rail_unknown", None),
            Self::NoResponse(_) => (
                404,
                "response_gone",
                Some("one waits 15 minutes, and does not outlive a restart of `serve`"),
            ),
            Self::Unsettled(_) => (500, "internal_error", None),
        };
        let hint = hint.map(str::to_owned);
        Problem { status, code: code.to_owned(), detail: self.to_string(), hint }
    }

    /// The answer to a model, which learns nothing of files and machines.
    fn refused(&self) -> Refused {
        let code = match self {
            Self::Store(error) => store_code(error),
            Self::Operate(_)
            | Self::Patch(_)
            | Self::Refund(_)
            | Self::Settle(_)
            | Self::Policy(_)
            | Self::Prices(_)
            | Self::Proof(_)
            | Self::Cursor
            | Self::Asked(_)
            | Self::Limit { .. }
            | Self::UnknownRail { .. }
            | Self::NoResponse(_)
            | Self::Unsettled(_) => Code::InternalError,
        };
        match code {
            Code::LedgerUnwritable => Refused::plain(
                code,
                "The ledger cannot be written, so nothing is paid. This call charged nothing.",
                Advice::AskOperator,
            ),
            Code::LedgerDamaged => Refused::plain(
                code,
                "The ledger cannot be read where it must be. This call charged nothing.",
                Advice::AskOperator,
            ),
            Code::EngineUnavailable => Refused::engine_unavailable(),
            _ => Refused::internal_error(),
        }
    }
}

/// The code that stands for a failure of the record.
fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::Full
        | StoreError::Low { .. }
        | StoreError::InMemory { .. }
        | StoreError::Poisoned { .. }
        | StoreError::Uncertain { .. }
        | StoreError::Io { .. } => Code::LedgerUnwritable,
        StoreError::Damaged { .. }
        | StoreError::Lost { .. }
        | StoreError::OlderThanDesk { .. }
        | StoreError::OlderThanAnchor { .. }
        | StoreError::UnknownFormat { .. }
        | StoreError::NoRecord { .. }
        | StoreError::Archived { .. }
        | StoreError::Beheaded { .. }
        | StoreError::Unsafe { .. } => Code::LedgerDamaged,
        StoreError::Closed | StoreError::InUse { .. } => Code::EngineUnavailable,
        StoreError::Panicked | StoreError::TooLarge { .. } | StoreError::NothingToAccept => {
            Code::InternalError
        }
    }
}

impl Engine {
    /// Answers one call of a tool: the JSON that the model gets, or nothing for an unknown tool.
    ///
    /// Whoever stops waiting takes nothing back: a payment that was begun comes to its end.
    pub async fn call(&self, tool: &str, call: Call) -> Option<Value> {
        let handle = call.agent.clone();
        let answer = match tool {
            "pay_for_api_call" => {
                let refused = |refused| PayAnswer { refused, ..PayAnswer::default() };
                json(&self.pay(call).await.unwrap_or_else(|error| refused(error.refused())))
            }
            "get_balance" => {
                let refused = |refused| BalanceAnswer { refused, ..BalanceAnswer::default() };
                json(&self.balance(call).await.unwrap_or_else(|error| refused(error.refused())))
            }
            "ledger" => {
                let refused = |refused| LedgerAnswer { refused, ..LedgerAnswer::default() };
                json(&self.own_ledger(call).await.unwrap_or_else(|error| refused(error.refused())))
            }
            "list_services" => {
                let refused = |refused| ServicesAnswer { refused, ..ServicesAnswer::default() };
                json(&self.catalogue(call).await.unwrap_or_else(|error| refused(error.refused())))
            }
            "open_task" => {
                let refused = |refused| OpenTaskAnswer { refused, ..OpenTaskAnswer::default() };
                json(&self.open_task(call).await.unwrap_or_else(|error| refused(error.refused())))
            }
            "finish_task" => {
                let refused = |refused| FinishTaskAnswer { refused, ..FinishTaskAnswer::default() };
                json(&self.finish_task(call).await.unwrap_or_else(|e| refused(e.refused())))
            }
            _ => return None,
        };
        let word = |field| answer.get(field).and_then(Value::as_str);
        let (outcome, payment) = (word("outcome"), word("payment_id"));
        tracing::debug!(agent = %handle, tool, outcome, payment, "answered");
        Some(answer)
    }

    /// How the record is now.
    pub fn condition(&self) -> Condition {
        self.store.condition()
    }

    /// Gives up what is under way, writes what is still counted or coalesced, and ends the store's
    /// threads. The next start finds what was given up sent, and in doubt.
    pub async fn close(&self) {
        self.park().await;
        self.noting.none().await;
        self.store.close().await;
    }

    /// Reads the state as it is, with the time that decisions would take for now.
    async fn look<R: Send + 'static>(
        &self,
        read: impl FnOnce(&State, Timestamp) -> R + Send + 'static,
    ) -> Result<R, EngineError> {
        let clock = self.clock.clone();
        let read = move |state: &State, _| read(state, clock.now().max(state.now()));
        Ok(self.store.read(read).await?)
    }
}

/// The JSON of an answer; one that cannot be written down is a fault of ours.
fn json(answer: &impl serde::Serialize) -> Value {
    serde_json::to_value(answer)
        .or_else(|_| serde_json::to_value(Refused::internal_error()))
        .unwrap_or_default()
}
