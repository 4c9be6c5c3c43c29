//! Words that several verbs share.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::policy::{
    answer::CapView,
    downgrade::models,
    money::Usd,
    names::{Handle, Payee, ServiceId},
    pace::{Rate, Span},
    payee::FirstPayee,
    stop::{Burst, Streak},
    terms::{AgentView, CapTerms, NewAgent, NewToken},
    tier::Tier,
};

/// The scope of a cap that no group has.
const OWN: &str = "agent";

/// The mandate in one line.
pub(super) fn bounds(view: &AgentView) -> String {
    let caps = view.balance.caps.iter().flatten().map(cap_of);
    let mut parts: Vec<String> = std::iter::once(view.funding.to_string()).chain(caps).collect();
    if let Some(limit) = view.balance.per_call_limit_usd {
        parts.push(format!("at most {limit} per payment"));
    }
    parts.extend(view.tiers.iter().map(Tier::in_words));
    parts.extend(rules(&view.rates, (view.burst, view.denials), view.cooldown));
    parts.extend(pinned(&view.pinned, view.first_payee).into_iter().map(in_one_line));
    parts.extend(models(view.max_output_tokens, view.downgrade_at, view.downgrade_to.as_ref()));
    parts.join(", ")
}

/// A cap and, where it is shared, the group whose it is: `$9.00 per day of team`.
pub(super) fn cap_of(view: &CapView) -> String {
    let bound = view.cap().map(|cap| cap.in_words()).unwrap_or_default();
    if is_shared(view) { format!("{bound} of {}", view.scope) } else { bound }
}

/// Whether it is a group's.
pub(super) fn is_shared(view: &CapView) -> bool {
    view.scope != OWN
}

/// How often may be paid, and what is done about loops, for one line.
pub(super) fn rules(
    rates: &[Rate],
    (burst, denials): (Option<Burst>, Option<Streak>),
    cooldown: Option<Span>,
) -> Vec<String> {
    let lines = stops(rates, burst, denials).into_iter().chain(when(cooldown, None));
    lines.map(in_one_line).collect()
}

fn in_one_line((name, words): (&'static str, String)) -> String {
    match name {
        "rate" | "cooldown" => words,
        "denials" => words.replace(" in a row", " denials in a row"),
        _ => format!("{name} {words}"),
    }
}

/// The mandate that is asked for in one line, all of it.
pub(super) fn asked(new: &NewAgent) -> String {
    let caps = new.caps.iter().map(|CapTerms(cap)| cap.in_words());
    let mut parts: Vec<String> = std::iter::once(new.funding.to_string()).chain(caps).collect();
    parts.extend(new.per_call_limit_usd.map(|limit| format!("at most {limit} per payment")));
    parts.extend(new.tiers.iter().map(Tier::in_words));
    parts.extend(rules(&new.rates, (new.burst, new.denials), new.cooldown));
    parts.push(format!("time zone {}", new.timezone.name()));
    if !new.allow.is_empty() || !new.deny.is_empty() {
        parts.push(format!("services {}", new.mandate().services()));
    }
    parts.extend(new.mandate().payees());
    parts.extend(new.mandate().models());
    parts.extend(new.expires_at.map(|at| format!("until {}", time(at))));
    if !new.local.is_allowed() {
        parts.push(format!("local clients {}", new.local));
    }
    if !new.tasks.is_operator() {
        parts.push(format!("tasks opened by {}", new.tasks));
    }
    parts.join(", ")
}

/// When the token that is asked for ends, its run and its label.
pub(super) fn token(new: &NewToken) -> String {
    let ends = new.expires_at.map(|at| format!("until {}", time(at)));
    let run = new.run.as_ref().map(|run| format!("in the run {run}"));
    let label = new.label.as_ref().map(|label| format!("called {label}"));
    let may = new.may.iter().next().map(|may| format!("which may {may}"));
    let parts = [Some(ends.unwrap_or_else(|| "until it is revoked".to_owned())), run, label, may];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A time to the second: what is finer is for programs.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How often may be paid, and what is done about loops, a line each.
pub(super) fn stops(
    rates: &[Rate],
    burst: Option<Burst>,
    denials: Option<Streak>,
) -> Vec<(&'static str, String)> {
    let rates = rates
        .iter()
        .map(|rate| ("rate", format!("at most {} payments in {}", rate.count, rate.span.any())));
    let burst = burst.map(|Burst { rate, action }| {
        ("burst", format!("{action} at more than {} equal in {}", rate.count, rate.span.any()))
    });
    let denials = denials
        .map(|Streak { count, action }| ("denials", format!("{action} at {count} in a row")));
    rates.chain(burst).chain(denials).collect()
}

/// How soon after each other, and at what hours, may be paid, a line each.
pub(super) fn when(cooldown: Option<Span>, hours: Option<String>) -> Vec<(&'static str, String)> {
    let cooldown =
        cooldown.map(|span| ("cooldown", format!("{} between two payments", span.counted())));
    cooldown.into_iter().chain(hours.map(|hours| ("hours", hours))).collect()
}

/// The payees that are pinned, and whether the first ones stay, a line each.
pub(super) fn pinned(
    pins: &BTreeMap<ServiceId, Payee>,
    first: FirstPayee,
) -> Vec<(&'static str, String)> {
    let pin = |(service, payee): (&ServiceId, &Payee)| format!("{service} pays {payee}");
    let pins = pins.iter().map(pin).map(|words| ("pinned", words));
    let locked = (!first.is_free()).then(|| ("first payee", first.to_string()));
    pins.chain(locked).collect()
}

/// An amount, where there is one.
pub(super) fn amount(amount: Option<Usd>) -> String {
    amount.map_or("-".to_owned(), |amount| amount.to_string())
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn names(handles: &[Handle]) -> String {
    match handles {
        [] => "nobody".to_owned(),
        [only] => only.to_string(),
        [all @ .., last] => {
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            format!("{} and {last}", all.join(", "))
        }
    }
}
