//! Words that several verbs share.

use jiff::Timestamp;

use crate::policy::{money::Usd, names::Handle, terms::AgentView, window::Period};

/// The mandate in one line.
pub(super) fn bounds(view: &AgentView) -> String {
    let caps = view.balance.caps.iter().flatten().map(|cap| short(cap.cap_usd, cap.period));
    let mut parts: Vec<String> = std::iter::once(view.funding.to_string()).chain(caps).collect();
    if let Some(limit) = view.balance.per_call_limit_usd {
        parts.push(format!("at most {limit} per payment"));
    }
    parts.join(", ")
}

/// A cap in words.
pub(super) fn short(amount: Usd, period: Period) -> String {
    format!("{amount} {}", period.during())
}

/// A time to the second: what is finer is for programs.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
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
