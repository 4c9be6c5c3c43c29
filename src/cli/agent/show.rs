//! `pettycash agent list` and `show`: what is known of agents, in words.

use crate::{
    cli::{
        output::table,
        words::{amount, bounds, stops, time, when},
    },
    policy::{answer::CapView, hours, names::ServiceId, terms::AgentView, window::Period},
};

pub(super) fn list(agents: &[AgentView]) -> String {
    if agents.is_empty() {
        return "No agents yet. Create one: pettycash agent create scout --cap 5.00/day \
                --per-call 0.25 --funding allowance"
            .to_owned();
    }
    let rows = agents.iter().map(|view| {
        vec![
            view.handle().to_owned(),
            view.balance.standing.clone().unwrap_or_default(),
            amount(view.balance.available_usd),
            amount(view.balance.held_usd),
            view.spent_usd.to_string(),
            bounds(view),
        ]
    });
    table(&["AGENT", "STANDING", "AVAILABLE", "HELD", "SPENT", "MANDATE"], rows)
}

pub(super) fn show(view: &AgentView) -> String {
    let mut lines = vec![
        ("agent", view.handle().to_owned()),
        ("standing", standing(view)),
        ("funding", view.funding.to_string()),
        ("available", amount(view.balance.available_usd)),
    ];
    if view.balance.balance_usd.is_some() {
        lines.push(("balance", amount(view.balance.balance_usd)));
    }
    lines.push(("held", amount(view.balance.held_usd)));
    lines.push(("spent", view.spent_usd.to_string()));
    if let Some(limit) = view.balance.per_call_limit_usd {
        lines.push(("per call", format!("at most {limit}")));
    }
    lines.extend(view.balance.caps.iter().flatten().map(|view| ("cap", cap(view))));
    lines.extend(stops(&view.rates, view.burst, view.denials));
    let hours = hours::words(view.hours.as_ref(), view.days).map(|hours| {
        let until = view.balance.opens_at.map(|at| format!(", opens {}", time(at)));
        format!("{hours}{}", until.unwrap_or_default())
    });
    lines.extend(when(view.cooldown, hours));
    lines.extend(view.group.as_ref().map(|group| ("group", group.to_string())));
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("services", services(view)));
    if let Some(at) = view.balance.expires_at {
        lines.push(("expires", time(at)));
    }
    if !view.local.is_allowed() {
        lines.push(("local clients", view.local.to_string()));
    }
    lines.push(("created", time(view.created_at)));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn standing(view: &AgentView) -> String {
    let standing = view.balance.standing.clone().unwrap_or_default();
    let reason = view.balance.reason.as_ref().map(|reason| format!(" ({reason})"));
    let since = view.stopped_at.map(|at| format!(" since {}", time(at)));
    let note = view.note.as_ref().map(|note| format!(": {note}"));
    [Some(standing), reason, since, note].into_iter().flatten().collect()
}

/// A cap in words, with what counts under it.
pub(in crate::cli) fn cap(cap: &CapView) -> String {
    let count = |number: Option<u64>| number.unwrap_or_default().to_string();
    let (used, held) = if cap.cap_count.is_some() {
        (count(cap.used_count), count(cap.held_count))
    } else {
        (amount(cap.used_usd), amount(cap.held_usd))
    };
    let until = cap.resets_at.map(|at| match cap.period {
        Period::Rolling(_) => format!(", some of it until {}", time(at)),
        // Named runs have sums of their own, which are nobody's who asks without a name.
        Period::Run => " today outside of named runs".to_owned(),
        Period::Hour | Period::Day | Period::Week | Period::Month | Period::Lifetime => {
            format!(", resets {}", time(at))
        }
    });
    let until = until.unwrap_or_default();
    let bound = cap.cap().map(|cap| cap.in_words()).unwrap_or_default();
    let of = if cap.scope == "agent" { String::new() } else { format!(" of {}", cap.scope) };
    format!("{bound}{of}: {used} used, {held} held{until}")
}

fn services(view: &AgentView) -> String {
    let names = |ids: &std::collections::BTreeSet<ServiceId>| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    match (view.allow.is_empty(), view.deny.is_empty()) {
        (true, true) => "all".to_owned(),
        (true, false) => format!("all but {}", names(&view.deny)),
        (false, true) => names(&view.allow),
        (false, false) => format!("{}; never {}", names(&view.allow), names(&view.deny)),
    }
}
