//! What an operator reads of an entry beyond its line, in words.

use std::collections::BTreeSet;

use crate::policy::{
    denial::Denial,
    entry::{Applied, CaptureFlag, Fact, Hold, Incident, VoidCause},
    group::GroupFact,
    mandate::Mandate,
    names::ServiceId,
    payee::Repinned,
    plan::sum,
    prices::PricesSet,
    service_test::ServiceTested,
    shadow::Passed,
    task::{TaskFact, TaskOpened},
    tier::Tier,
    token::{Issued, TokenFact},
};

/// What there is to say of a fact, if there is anything.
pub(super) fn detail(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Opened { mandate } | Fact::MandateSet { mandate, .. } => in_words(mandate),
        Fact::Held(hold) | Fact::Paid(hold) => of_hold(hold)?,
        Fact::Voided { cause, .. } => voided(*cause).to_owned(),
        Fact::Captured { flag: Some(flag), .. } => flagged(*flag).to_owned(),
        Fact::Doubted { .. } => "the rail said neither yes nor no: the money stays held".to_owned(),
        Fact::Failed { status: Some(status), .. } => format!("the rail said no: HTTP {status}"),
        Fact::Failed { status: None, .. } => "the rail said no".to_owned(),
        Fact::DeniedAgain { others, .. } if *others > 0 => {
            format!("{others} of them were for other reasons or amounts")
        }
        Fact::Tripped { until: Some(until), .. } => format!("it must wait until {until}"),
        Fact::ServiceSet(service) => format!("paid to {} by {}", service.payee, service.rail),
        Fact::Token(fact) => of_token(fact),
        Fact::PolicyApplied(applied) => of_policy(applied),
        Fact::PricesSet(set) => of_prices(set),
        Fact::ServiceTested(tested) => of_test(tested),
        Fact::Incident(incident) => happened(incident),
        Fact::Task(fact) => of_task(fact),
        Fact::Denied(denied) => denied.refusal.denials.iter().find_map(Denial::payees)?.to_string(),
        Fact::Credited { .. }
        | Fact::Sent { .. }
        | Fact::Captured { .. }
        | Fact::Expired { .. }
        | Fact::Refunded { .. }
        | Fact::DeniedAgain { .. }
        | Fact::Tripped { .. }
        | Fact::Frozen { .. }
        | Fact::Unfrozen { .. }
        | Fact::Revoked { .. }
        | Fact::ServiceRemoved { .. }
        | Fact::PassphraseSet { .. } => return None,
        Fact::Group(fact) => of_group(fact),
        Fact::Repinned(Repinned { service, payee }) => format!("{service} pays {payee}"),
    })
}

fn flagged(flag: CaptureFlag) -> &'static str {
    match flag {
        CaptureFlag::Overrun => "more than was held, for it is metered at the end",
        CaptureFlag::OutcomeUnknown => {
            "nobody knows whether it was charged: the service has it count"
        }
        CaptureFlag::UsageIncomplete => "not all that was used was told: at least what was held",
        CaptureFlag::AboveCeiling => "the answer said more than its ceiling, which was taken",
    }
}

/// Which other model was asked for, and what shadow caps would have said.
fn of_hold(hold: &Hold) -> Option<String> {
    let asked = hold.model.as_ref().and_then(|model| model.asked.as_ref());
    let asked = asked.map(|asked| format!("{asked} was asked for"));
    let shadow = (!hold.shadow.is_empty()).then(|| passed(hold));
    let told: Vec<String> = asked.into_iter().chain(shadow).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// What shadow caps would have said to a payment.
fn passed(paid: &Hold) -> String {
    let caps = paid.shadow.iter().map(|Passed { cap, used, held, count }| {
        let (used, held) = match count {
            None => (used.to_string(), held.to_string()),
            Some(count) => (count.used.to_string(), count.held.to_string()),
        };
        format!("{} ({used} used, {held} held)", cap.in_words())
    });
    let caps = caps.collect::<Vec<_>>().join(" and ");
    format!("would have been denied by the shadow cap of {caps}")
}

fn of_group(fact: &GroupFact) -> String {
    let GroupFact::Set { group, rules, .. } = fact else { return fact.group().to_string() };
    let mut words = vec![group.to_string()];
    words.extend(rules.caps.iter().map(ToString::to_string));
    words.extend(rules.parent.as_ref().map(|parent| format!("below {parent}")));
    words.push(format!("days of {}", rules.zone.name()));
    words.join(", ")
}

fn of_token(fact: &TokenFact) -> String {
    match fact {
        TokenFact::Issued(issued) => given_out(issued),
        TokenFact::Ends { token, at } => format!("{token} ends at {at}"),
        TokenFact::Revoked { token } => format!("{token} lets nobody in any more"),
        TokenFact::Used { token, at } => format!("{token} was used at {at}"),
    }
}

fn of_task(fact: &TaskFact) -> String {
    match fact {
        TaskFact::Opened(TaskOpened { task_type, cap, token, .. }) => {
            let cap = cap.map(|cap| format!("at most {cap}"));
            let by = token.as_ref().map(|token| format!("shown {token}"));
            let parts = [Some(task_type.to_string()), cap, by];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        TaskFact::Finished { outcome, used, .. } => format!("{}, {used} spent", outcome.word()),
        TaskFact::Failed { payment, .. } => format!("it ran out by {payment}"),
        TaskFact::Resumed { cap: Some(cap), .. } => format!("at most {cap} from now on"),
        TaskFact::Resumed { cap: None, .. } => "with the cap it had".to_owned(),
    }
}

fn of_policy(applied: &Applied) -> String {
    let Applied { services, created, changed, groups, token, .. } = applied;
    let by = token.as_ref().map(|token| format!(", shown {token}")).unwrap_or_default();
    let count = |number: &u32| usize::try_from(*number).unwrap_or(usize::MAX);
    format!("{}{by}", sum(count(created), count(changed), count(services), count(groups)))
}

fn of_test(tested: &ServiceTested) -> String {
    let ServiceTested { operation, outcome, status, token, .. } = tested;
    let status = status.map(|status| format!("answered {status}"));
    let by = token.as_ref().map(|token| format!("shown {token}"));
    let parts = [Some(operation.to_string()), status, Some(outcome.in_words().to_owned()), by];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn of_prices(set: &PricesSet) -> String {
    let PricesSet { origin, models, token, .. } = set;
    let by = token.as_ref().map(|token| format!(", shown {token}")).unwrap_or_default();
    let of = origin.source.as_ref().map(|source| format!(" of {source}")).unwrap_or_default();
    match models.len() {
        1 => format!("1 model{of}{by}"),
        several => format!("{several} models{of}{by}"),
    }
}

fn given_out(issued: &Issued) -> String {
    let label = issued.label.as_ref().map(|label| format!("`{label}`"));
    let run = issued.run.as_ref().map(|run| format!("for the run {run}"));
    let until = issued.expires_at.map(|at| format!("until {at}"));
    let may = issued.may.iter().next().map(|may| format!("may {may}"));
    let parts = [Some(issued.token.to_string()), label, run, may, until];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn voided(cause: VoidCause) -> &'static str {
    match cause {
        VoidCause::Revoked => "the agent was revoked before anything was sent",
        VoidCause::Recovery => "the engine stopped before anything was sent",
        VoidCause::NotSent => "the rail proved that nothing was sent",
        VoidCause::NotReady => {
            "nothing was sent: the service is not set up here, see `pettycash service test`"
        }
    }
}

fn happened(incident: &Incident) -> String {
    match incident {
        Incident::TailCut { file, offset, bytes } => {
            format!("{bytes} bytes of `{file}` from offset {offset} on, never synced, were cut")
        }
        Incident::AnchorAdopted => {
            "there was no head anchor to hold the record against: this one was taken as it is"
                .to_owned()
        }
        Incident::RollbackAccepted { known, reached, .. } => {
            format!("record {known} was known, and a record that ends at {reached} was accepted")
        }
        Incident::DamageCut { file, offset, bytes, .. } => {
            format!("{bytes} bytes of `{file}` from offset {offset} on were put aside as damaged")
        }
        Incident::ClockJumped { from, to } => format!("the clock went from {from} to {to}"),
    }
}

/// What a mandate grants: `prepaid, 5.00/day, at most $0.25 a payment`.
pub(super) fn in_words(mandate: &Mandate) -> String {
    let mut words = vec![mandate.funding.to_string()];
    words.extend(mandate.caps.iter().map(ToString::to_string));
    words.extend(mandate.shadow_caps.iter().map(|cap| format!("shadow {cap}")));
    words.extend(mandate.per_call_limit.map(|limit| format!("at most {limit} a payment")));
    words.extend(mandate.tiers.iter().map(Tier::in_words));
    words.extend(named("only", &mandate.allow));
    words.extend(named("never", &mandate.deny));
    words.extend(mandate.payees());
    words.extend(mandate.stops());
    words.extend(mandate.models());
    words.extend(mandate.expires_at.map(|at| format!("until {at}")));
    words.extend(mandate.group.as_ref().map(|group| format!("in the group {group}")));
    if !mandate.tasks.is_operator() {
        words.push(format!("tasks opened by {}", mandate.tasks));
    }
    words.push(format!("days of {}", mandate.zone.name()));
    words.join(", ")
}

fn named(how: &str, services: &BTreeSet<ServiceId>) -> Option<String> {
    let names: Vec<&str> = services.iter().map(ServiceId::as_str).collect();
    (!names.is_empty()).then(|| format!("{how} {}", names.join(" ")))
}
