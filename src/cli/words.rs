//! Words that several verbs share.

use jiff::Timestamp;

use crate::policy::{
    money::Usd,
    names::Handle,
    pace::{Rate, Span},
    stop::{Burst, Streak},
    terms::{AgentView, CapTerms, NewAgent, NewToken},
};

/// The mandate in one line.
pub(super) fn bounds(view: &AgentView) -> String {
    let caps = view.balance.caps.iter().flatten().filter_map(|view| Some(view.cap()?.in_words()));
    let mut parts: Vec<String> = std::iter::once(view.funding.to_string()).chain(caps).collect();
    if let Some(limit) = view.balance.per_call_limit_usd {
        parts.push(format!("at most {limit} per payment"));
    }
    parts.join(", ")
}

/// The mandate that is asked for in one line, all of it.
pub(super) fn asked(new: &NewAgent) -> String {
    let caps = new.caps.iter().map(|CapTerms(cap)| cap.in_words());
    let mut parts: Vec<String> = std::iter::once(new.funding.to_string()).chain(caps).collect();
    parts.extend(new.per_call_limit_usd.map(|limit| format!("at most {limit} per payment")));
    parts.push(format!("time zone {}", new.timezone.name()));
    if !new.allow.is_empty() || !new.deny.is_empty() {
        parts.push(format!("services {}", new.mandate().services()));
    }
    parts.extend(new.expires_at.map(|at| format!("until {}", time(at))));
    if !new.local.is_allowed() {
        parts.push(format!("local clients {}", new.local));
    }
    parts.join(", ")
}

/// When the token that is asked for ends, its run and its label.
pub(super) fn token(new: &NewToken) -> String {
    let ends = new.expires_at.map(|at| format!("until {}", time(at)));
    let run = new.run.as_ref().map(|run| format!("in the run {run}"));
    let label = new.label.as_ref().map(|label| format!("called {label}"));
    let parts = [Some(ends.unwrap_or_else(|| "until it is revoked".to_owned())), run, label];
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
        cooldown.map(|span| ("cooldown", format!("{} between two payments", span.long())));
    cooldown.into_iter().chain(hours.map(|hours| ("hours", hours))).collect()
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
