//! The ledger as it is read: a page at a time, newest first, and only the lines that are asked for.
//!
//! Nothing here needs an index. Lines are found by walking back from the newest, so many at the
//! most for one page; and what a line does not say of itself (which service a capture was for)
//! stands in the payment's first entry, to which its id leads.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    Call, Engine, EngineError,
    detail::detail,
    gates::Asker,
    pages,
    report::{invalid, line, via},
    request::{self, LedgerRequest},
};
use crate::{
    policy::{
        answer::{LedgerAnswer, LedgerLine, Refused, ServiceName, columns},
        denial::Denied,
        entry::{Entry, Fact, Hold},
        moment::Moment,
        names::{Handle, ModelName, PaymentId, RunId, ServiceId},
        task::TaskId,
        terms::{LedgerAsked, LedgerPage, OperatorLine},
        window::{Period, Zone},
    },
    store::{Cursor, Keep, Line, Store, StoreError},
};

/// The longest page an operator may ask for.
const MAX_OPERATOR_PAGE: u32 = 1_000;

/// Every outcome that a line may have.
const OUTCOMES: [&str; 41] = [
    "paid",
    "captured",
    "denied",
    "denied_again",
    "failed",
    "held",
    "sent",
    "in_doubt",
    "voided",
    "expired",
    "refunded",
    "credited",
    "created",
    "mandate_set",
    "frozen",
    "unfrozen",
    "revoked",
    "service_set",
    "service_removed",
    "passphrase_set",
    "policy_applied",
    "token_issued",
    "token_ends",
    "token_revoked",
    "token_used",
    "tail_cut",
    "anchor_adopted",
    "rollback_accepted",
    "damage_cut",
    "clock_jumped",
    "flagged",
    "throttled",
    "group_set",
    "group_removed",
    "task_opened",
    "task_finished",
    "task_failed",
    "task_resumed",
    "repinned",
    "prices_set",
    "service_tested",
];

/// Which lines are asked for; one that says nothing asks for all.
#[derive(Clone, Debug, Default)]
struct Sought {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    service: Option<ServiceId>,
    outcome: Option<String>,
    run: Option<RunId>,
    task: Option<TaskId>,
}

impl Sought {
    /// Whether a line is on the page, as far as it says itself.
    fn keep(&self, line: &LedgerLine) -> Keep {
        // The time of entries never goes back: behind the first that is too old there are none.
        if self.since.is_some_and(|since| line.at < since) {
            return Keep::End;
        }
        let early = self.until.is_none_or(|until| line.at < until);
        let outcome = self.outcome.as_deref().is_none_or(|sought| is(sought, &line.outcome));
        if early && outcome { Keep::Take } else { Keep::Skip }
    }

    /// The same, once all is known of it.
    fn fits(&self, line: &LedgerLine) -> bool {
        let service = line.service_id.as_ref().map(|service| &service.0);
        let run = line.run.as_deref();
        self.service.as_ref().is_none_or(|sought| service == Some(sought))
            && self.run.as_ref().is_none_or(|sought| run == Some(sought.as_str()))
            && self.task.is_none_or(|sought| line.task_id == Some(sought.to_string()))
    }
}

/// Whether an outcome is the one that is sought, in the wider sense that the tools give it.
fn is(sought: &str, outcome: &str) -> bool {
    let wider = match sought {
        "paid" => outcome == "captured",
        "denied" => outcome == "denied_again",
        _ => false,
    };
    wider || sought == outcome
}

/// What the first entry of a payment or refusal says that the later ones do not.
#[derive(Clone, Debug, Default)]
struct About {
    service: Option<ServiceId>,
    code: Option<String>,
    run: Option<RunId>,
    task: Option<TaskId>,
    model: Option<ModelName>,
}

impl About {
    /// What is to be looked up of an entry: the payment that another one began.
    fn sought(entry: &Entry, line: &LedgerLine) -> Option<PaymentId> {
        let mixed = matches!(entry.fact, Fact::DeniedAgain { others, .. } if others > 0);
        line.payment_id.filter(|_| entry.fact.begins().is_none() && !mixed)
    }

    /// Reads it; what was moved away, or is damaged, says nothing here.
    fn find(store: &Store, payment: PaymentId, agent: Option<&Handle>) -> Result<Self, StoreError> {
        let first = match store.first(payment) {
            Err(StoreError::NoRecord { .. } | StoreError::Archived { .. }) => None,
            found => found?,
        };
        let first = first.map(|line| line.entry).filter(|entry| entry.agent.as_ref() == agent);
        Ok(match first.map(|entry| entry.fact) {
            Some(Fact::Held(hold) | Fact::Paid(hold)) => {
                let model = hold.model.map(|model| model.used);
                let Hold { service, run, task, .. } = hold;
                Self { service: Some(service), code: None, run, task, model }
            }
            Some(Fact::Denied(denied)) => {
                let code = Some(denied.refusal.code().word().to_owned());
                let Denied { service, run, task, .. } = *denied;
                Self { service, code, run, task, model: None }
            }
            Some(_) | None => Self::default(),
        })
    }
}

/// The lines of one page, and where the next one begins.
fn seek(
    store: &Store,
    agent: Option<&Handle>,
    from: Cursor,
    limit: usize,
    sought: &Sought,
) -> Result<(Vec<OperatorLine>, Option<Cursor>), StoreError> {
    let mut known: HashMap<PaymentId, About> = HashMap::new();
    let mut lines = Vec::new();
    let page = store.seek(agent, from, limit, |Line { entry, .. }| {
        let mut line = line(entry);
        let keep = sought.keep(&line);
        if keep != Keep::Take {
            return Ok(keep);
        }
        if let Some(payment) = About::sought(entry, &line) {
            let about = match known.get(&payment) {
                Some(about) => about.clone(),
                None => About::find(store, payment, entry.agent.as_ref())?,
            };
            line.service_id = about.service.clone().map(ServiceName);
            line.code = line.code.or_else(|| about.code.clone());
            line.run = about.run.as_ref().map(ToString::to_string);
            line.model.clone_from(&about.model);
            line.task_id = about.task.as_ref().map(ToString::to_string).or(line.task_id);
            known.insert(payment, about);
        }
        if !sought.fits(&line) {
            return Ok(Keep::Skip);
        }
        lines.push(OperatorLine {
            agent: entry.agent.clone(),
            line,
            detail: detail(&entry.fact),
            note: entry.fact.note().cloned(),
            via: via(&entry.fact).cloned(),
        });
        Ok(Keep::Take)
    });
    Ok((lines, page?.next))
}

impl Engine {
    /// Answers `ledger`: the agent's own lines, newest first.
    pub(super) async fn own_ledger(&self, call: Call) -> Result<LedgerAnswer, EngineError> {
        let refused = |refused| LedgerAnswer { refused, ..LedgerAnswer::default() };
        let (agent, run, came) = (call.agent.clone(), call.run.clone(), call.came.clone());
        let sums = self
            .look(move |state, now| {
                state.admit(&agent, &came, now).map(|book| LedgerAnswer {
                    spent_today_usd: Some(book.used(Period::Day, now)),
                    held_usd: Some(book.held),
                    available_usd: Some(state.spender_of(book).available(run.as_ref(), now)),
                    ..LedgerAnswer::default()
                })
            })
            .await?;
        let now = self.clock.now();
        let sums = match sums {
            Ok(sums) => sums,
            Err(denial) => return self.not_let_in(denial).map(refused),
        };
        let request = match LedgerRequest::read(&call.arguments, &OUTCOMES) {
            Ok(request) => request,
            Err(bad) => return Ok(refused(Refused::by(&invalid(bad), now))),
        };
        let LedgerRequest { page, since, until, service, outcome, run, columns: compact, task } =
            request;
        let cursor = page.cursor.clone();
        let who = Asker::Agent(call.agent.clone());
        let asked = LedgerAsked {
            agent: Some(call.agent),
            cursor: page.cursor,
            limit: Some(page.limit),
            since,
            until,
            service_id: service,
            outcome,
            run,
            task_id: task,
        };
        match self.page_of(&who, asked).await {
            Err(EngineError::Cursor) => {
                let got = serde_json::Value::String(cursor.unwrap_or_default());
                Ok(refused(Refused::by(&invalid(request::bad_cursor(&got)), now)))
            }
            Err(error) => Err(error),
            Ok(LedgerPage { entries, next_cursor }) => {
                let lines: Vec<_> = entries.into_iter().map(|entry| entry.line).collect();
                let sums = LedgerAnswer { next_cursor, ..sums };
                Ok(if compact {
                    let (columns, rows) = columns(&lines);
                    LedgerAnswer { columns: Some(columns), rows: Some(rows), ..sums }
                } else {
                    LedgerAnswer { entries: Some(lines), ..sums }
                })
            }
        }
    }

    /// One page of an agent's ledger, or of everybody's and the catalogue's, newest first, with
    /// nothing on it but the lines that are asked for. A page is looked for among so
    /// many entries at the most: it may be empty, and have a next one.
    ///
    /// # Errors
    /// If there is no such agent or outcome, the cursor or limit is wrong, or the record cannot be
    /// read.
    pub async fn ledger(&self, asked: LedgerAsked) -> Result<LedgerPage, EngineError> {
        self.page_of(&Asker::Operator, asked).await
    }

    async fn page_of(&self, who: &Asker, asked: LedgerAsked) -> Result<LedgerPage, EngineError> {
        let LedgerAsked { agent, cursor, limit, since, until, service_id, outcome, run, task_id } =
            asked;
        let limit = limit.unwrap_or(MAX_OPERATOR_PAGE);
        if !(1..=MAX_OPERATOR_PAGE).contains(&limit) {
            return Err(EngineError::Limit { most: MAX_OPERATOR_PAGE });
        }
        if let Some(word) = outcome.as_ref().filter(|word| !OUTCOMES.contains(&word.as_str())) {
            return Err(EngineError::Asked(format!(
                "`{}` is no outcome: there are {}",
                crate::policy::mandate::bounded(word),
                OUTCOMES.join(", ")
            )));
        }
        if [since, until].iter().any(|moment| matches!(moment, Some(Moment::Clock(_)))) {
            return Err(EngineError::Asked("a time of day is of no day: say which".to_owned()));
        }
        let given = cursor.as_deref().map(pages::read).transpose()?;
        let newest = self.newest(agent.clone()).await?;
        let Some(from) = self.start(given, newest)? else {
            return Ok(LedgerPage { entries: Vec::new(), next_cursor: None });
        };
        let whose = agent.clone();
        let (zone, now) = self
            .look(move |state, now| {
                let book = whose.and_then(|agent| state.book(&agent));
                (book.map_or_else(Zone::utc, |book| book.mandate.zone.clone()), now)
            })
            .await?;
        let at = |moment: Option<Moment>| moment.and_then(|moment| moment.past(&zone, now));
        let (since, until) = (at(since), at(until));
        let sought = Sought { since, until, service: service_id, outcome, run, task: task_id };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page = self.search(who, move |store| seek(store, agent.as_ref(), from, limit, &sought));
        let (entries, next) = match page.await {
            Err(EngineError::Store(StoreError::NoRecord { .. })) if given.is_some() => {
                return Err(EngineError::Cursor);
            }
            found => found?,
        };
        Ok(LedgerPage { entries, next_cursor: next.map(pages::written) })
    }
}
