//! What agents and operators read: balances, the catalogue, and what a line of the ledger says.

use super::{
    Call, Engine, EngineError,
    gates::{Asker, Gate},
    quote::Planned,
    request::{self, PageRequest, QuoteRequest},
};
use crate::policy::{
    answer::{BalanceAnswer, LedgerLine, Refused, ServiceName, ServiceView, ServicesAnswer},
    book::Book,
    denial::{BadField, Denial, Denied, Refusal},
    entry::{Entry, Fact, Hold, Incident},
    group::GroupFact,
    mandate::Service,
    money::Usd,
    names::{PaymentId, ServiceId},
    payee::Repinned,
    state::State,
    stop::Stop,
    task::TaskFact,
    token::TokenFact,
    via::Via,
};

/// The most services and operations of a page of the catalogue.
const MAX_TOLD: usize = 200;

pub(super) fn invalid(bad: BadField) -> Refusal {
    Refusal::only(Denial::InvalidRequest(bad))
}

impl Engine {
    /// Answers `get_balance`.
    pub(super) async fn balance(&self, call: Call) -> Result<BalanceAnswer, EngineError> {
        let refused = |refused| BalanceAnswer { refused, ..BalanceAnswer::default() };
        let asked = QuoteRequest::read(&call.arguments);
        let who = Asker::Agent(call.agent.clone());
        let answer = self.look(move |state, now| {
            let book = state.admit(&call.agent, &call.came, now)?;
            let no = |refusal: &Refusal| (refused(Refused::by(refusal, now)), None);
            let task = match QuoteRequest::read_task(&call.arguments) {
                Err(bad) => return Ok(no(&invalid(bad))),
                Ok(task) => task,
            };
            let spender = state.spender_of(book).in_task(task);
            if task.is_some() && spender.task.is_none() {
                return Ok(no(&Refusal::only(Denial::TaskUnknown { task })));
            }
            let within = (call.run.clone(), task);
            let plan = |asked| Planned::of(asked, within, state, book, now);
            let planned = asked.and_then(|asked| asked.map(plan).transpose());
            Ok(match planned {
                Err(bad) => no(&invalid(bad)),
                Ok(planned) => (BalanceAnswer::of(&spender, call.run.as_ref(), now), planned),
            })
        });
        match answer.await? {
            Err(denial) => self.not_let_in(denial).map(refused),
            Ok((answer, None)) => Ok(answer),
            Ok((answer, Some(planned))) => {
                let told = move || planned.told();
                let quote = self.gates.pass(&who, Gate::Working, told).await?;
                Ok(BalanceAnswer { quote: Some(quote), ..answer })
            }
        }
    }

    /// Answers `list_services`: what this agent may pay, by name, a page at a time.
    pub(super) async fn catalogue(&self, call: Call) -> Result<ServicesAnswer, EngineError> {
        let refused = |refused| ServicesAnswer { refused, ..ServicesAnswer::default() };
        let page = PageRequest::read(&call.arguments);
        let list = move |state: &State, book: &Book, now| match page {
            Err(bad) => refused(Refused::by(&invalid(bad), now)),
            Ok(PageRequest { cursor: Some(cursor), .. })
                if !cursor.parse().is_ok_and(|id| state.service(&id).is_some()) =>
            {
                let got = serde_json::Value::String(cursor);
                refused(Refused::by(&invalid(request::bad_cursor(&got)), now))
            }
            Ok(page) => {
                let after = page.cursor.as_deref().unwrap_or_default();
                let allowed = state.services().filter(|service| book.mandate.allows(&service.id));
                let mut rest = allowed.filter(|service| service.id.as_str() > after).peekable();
                let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
                let mut told = 0;
                // A page ends early where it would be long for a model.
                let mut fits = |service: &&Service| {
                    let first = told == 0;
                    told += 1 + service.endpoint.as_ref().map_or(0, |one| one.operations.len());
                    first || told <= MAX_TOLD
                };
                let page = std::iter::from_fn(|| rest.next_if(&mut fits)).take(limit);
                let services: Vec<_> = page.map(ServiceView::from).collect();
                let last = services.last().map(|service| service.service_id.0.to_string());
                let next_cursor = rest.peek().and(last);
                ServicesAnswer { services: Some(services), next_cursor, ..Default::default() }
            }
        };
        let answer = self.look(move |state, now| {
            let book = state.admit(&call.agent, &call.came, now)?;
            Ok(list(state, book, now))
        });
        answer.await?.or_else(|denial| self.not_let_in(denial).map(refused))
    }

    pub(super) fn not_let_in(&self, why: Denial) -> Result<Refused, EngineError> {
        self.turned_away(why).map(|refusal| Refused::by(&refusal, self.clock.now()))
    }
}

pub(super) fn via(fact: &Fact) -> Option<&Via> {
    match fact {
        Fact::Held(hold) | Fact::Paid(hold) => hold.via.as_ref(),
        Fact::Denied(denied) => denied.via.as_ref(),
        _ => None,
    }
}

/// One entry as agents and operators read it.
pub(super) fn line(entry: &Entry) -> LedgerLine {
    let bare = |outcome: &str| LedgerLine {
        at: entry.at,
        outcome: outcome.to_owned(),
        payment_id: None,
        service_id: None,
        amount_usd: None,
        code: None,
        times: None,
        run: None,
        task_id: None,
        model: None,
    };
    let of =
        |outcome, payment: PaymentId| LedgerLine { payment_id: Some(payment), ..bare(outcome) };
    let sum = |outcome, payment, amount: Usd| LedgerLine {
        amount_usd: Some(amount),
        ..of(outcome, payment)
    };
    match &entry.fact {
        Fact::Opened { .. } => bare("created"),
        Fact::Credited { amount, .. } => {
            LedgerLine { amount_usd: Some(*amount), ..bare("credited") }
        }
        Fact::Held(hold) => hold_line(hold, of("held", hold.payment)),
        Fact::Paid(hold) => hold_line(hold, of("paid", hold.payment)),
        Fact::Sent { payment } => of("sent", *payment),
        Fact::Captured { payment, amount, .. } => sum("captured", *payment, *amount),
        Fact::Voided { payment, .. } => of("voided", *payment),
        Fact::Expired { payment } => of("expired", *payment),
        Fact::Failed { payment, .. } => of("failed", *payment),
        Fact::Doubted { payment } => of("in_doubt", *payment),
        Fact::Refunded { payment, amount, task, .. } => {
            let task_id = task.as_ref().map(ToString::to_string);
            LedgerLine { task_id, ..sum("refunded", *payment, *amount) }
        }
        Fact::Denied(denied) => denied_line(denied, of("denied", denied.payment)),
        Fact::DeniedAgain { payment, times, .. } => {
            LedgerLine { times: Some(*times), ..of("denied_again", *payment) }
        }
        Fact::Tripped { stop, until, service, amount } => {
            let line = bare(if until.is_some() { "throttled" } else { "flagged" });
            tripped_line(*stop, service.as_ref(), *amount, line)
        }
        Fact::MandateSet { .. } => bare("mandate_set"),
        Fact::Frozen { reason, .. } => {
            LedgerLine { code: Some(reason.to_string()), ..bare("frozen") }
        }
        Fact::Unfrozen { .. } => bare("unfrozen"),
        Fact::Revoked { reason, .. } => {
            LedgerLine { code: Some(reason.to_string()), ..bare("revoked") }
        }
        Fact::ServiceRemoved { service } => priced(service, None, bare("service_removed")),
        Fact::Repinned(Repinned { service, .. }) => priced(service, None, bare("repinned")),
        Fact::PassphraseSet { .. } => bare("passphrase_set"),
        Fact::PolicyApplied(_) => bare("policy_applied"),
        Fact::PricesSet(_) => bare("prices_set"),
        Fact::ServiceTested(tested) => {
            priced(&tested.service, tested.charge, bare("service_tested"))
        }
        Fact::Group(GroupFact::Set { .. }) => bare("group_set"),
        Fact::Group(GroupFact::Removed { .. }) => bare("group_removed"),
        Fact::Token(fact) => bare(token_word(fact)),
        Fact::Incident(incident) => bare(incident_word(incident)),
        Fact::Task(fact) => task_line(fact, bare(task_word(fact))),
        Fact::ServiceSet(service) => priced(&service.id, service.price, bare("service_set")),
    }
}

/// A line of a service, with its amount if there is one.
fn priced(service: &ServiceId, amount_usd: Option<Usd>, line: LedgerLine) -> LedgerLine {
    LedgerLine { service_id: Some(ServiceName(service.clone())), amount_usd, ..line }
}

fn incident_word(incident: &Incident) -> &'static str {
    match incident {
        Incident::TailCut { .. } => "tail_cut",
        Incident::AnchorAdopted => "anchor_adopted",
        Incident::RollbackAccepted { .. } => "rollback_accepted",
        Incident::DamageCut { .. } => "damage_cut",
        Incident::ClockJumped { .. } => "clock_jumped",
    }
}

fn token_word(fact: &TokenFact) -> &'static str {
    match fact {
        TokenFact::Issued(_) => "token_issued",
        TokenFact::Ends { .. } => "token_ends",
        TokenFact::Revoked { .. } => "token_revoked",
        TokenFact::Used { .. } => "token_used",
    }
}

fn hold_line(hold: &Hold, line: LedgerLine) -> LedgerLine {
    LedgerLine {
        service_id: Some(ServiceName(hold.service.clone())),
        amount_usd: Some(hold.amount),
        run: hold.run.as_ref().map(ToString::to_string),
        task_id: hold.task.as_ref().map(ToString::to_string),
        model: hold.model.as_ref().map(|model| model.used.clone()),
        ..line
    }
}

fn tripped_line(
    stop: Stop,
    service: Option<&ServiceId>,
    amount_usd: Option<Usd>,
    line: LedgerLine,
) -> LedgerLine {
    let service_id = service.cloned().map(ServiceName);
    LedgerLine { service_id, amount_usd, code: Some(stop.word().to_owned()), ..line }
}

fn denied_line(denied: &Denied, line: LedgerLine) -> LedgerLine {
    LedgerLine {
        service_id: denied.service.clone().map(ServiceName),
        amount_usd: denied.asked,
        code: Some(denied.refusal.code().word().to_owned()),
        run: denied.run.as_ref().map(ToString::to_string),
        task_id: denied.task.as_ref().map(ToString::to_string),
        ..line
    }
}

fn task_word(fact: &TaskFact) -> &'static str {
    match fact {
        TaskFact::Opened(_) => "task_opened",
        TaskFact::Finished { .. } => "task_finished",
        TaskFact::Failed { .. } => "task_failed",
        TaskFact::Resumed { .. } => "task_resumed",
    }
}

fn task_line(fact: &TaskFact, line: LedgerLine) -> LedgerLine {
    let line = LedgerLine { task_id: Some(fact.task().to_string()), ..line };
    match fact {
        TaskFact::Opened(opened) => LedgerLine { amount_usd: opened.cap, ..line },
        TaskFact::Finished { outcome, used, .. } => {
            LedgerLine { amount_usd: Some(*used), code: Some(outcome.word().to_owned()), ..line }
        }
        TaskFact::Failed { payment, .. } => LedgerLine { payment_id: Some(*payment), ..line },
        TaskFact::Resumed { cap, .. } => LedgerLine { amount_usd: *cap, ..line },
    }
}
