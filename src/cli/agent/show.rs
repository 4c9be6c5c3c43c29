//! `pettycash agent list` and `show`: what is known of agents, in words.

use crate::{
    cli::{
        output::table,
        words::{amount, bounds, cap_of, pinned, stops, time, when},
    },
    policy::{
        answer::CapView,
        downgrade::models,
        hours,
        money::Usd,
        names::ServiceId,
        terms::{AgentView, ShadowView, Sum},
        tier::NextTier,
        window::Period,
    },
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
    lines.extend(view.tiers.iter().map(|tier| ("tier", tier.in_words())));
    lines.extend(view.balance.next_tier.map(|next| ("next tier", next_tier(next))));
    lines.extend(view.balance.caps.iter().flatten().map(|view| ("cap", cap(view))));
    lines.extend(view.shadow_caps.iter().map(|view| ("shadow cap", shadow(view))));
    lines.extend(stops(&view.rates, view.burst, view.denials));
    let hours = hours::words(view.hours.as_ref(), view.days).map(|hours| {
        let until = view.balance.opens_at.map(|at| format!(", opens {}", time(at)));
        format!("{hours}{}", until.unwrap_or_default())
    });
    lines.extend(when(view.cooldown, hours));
    let cheaper = (view.downgrade_at, view.downgrade_to.as_ref());
    lines.extend(
        models(view.max_output_tokens, cheaper.0, cheaper.1).map(|words| ("models", words)),
    );
    lines.extend(view.group.as_ref().map(|group| ("group", group.to_string())));
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("services", services(view)));
    lines.extend(pinned(&view.pinned, view.first_payee));
    let first = view.first_paid.iter().map(|(service, payee)| format!("{service} pays {payee}"));
    lines.extend(first.map(|words| ("paid first", words)));
    if let Some(at) = view.balance.expires_at {
        lines.push(("expires", time(at)));
    }
    if !view.local.is_allowed() {
        lines.push(("local clients", view.local.to_string()));
    }
    lines.extend(tasks(view).map(|tasks| ("tasks", tasks)));
    lines.push(("created", time(view.created_at)));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

/// What the next tier gives, and what it still takes.
fn next_tier(NextTier { per_call_limit_usd, payments, not_before }: NextTier) -> String {
    let more = (payments > 0).then(|| format!(" after {payments} more payments"));
    let from = not_before.map(|at| format!(", not before {}", time(at)));
    [Some(per_call_limit_usd.to_string()), more, from].into_iter().flatten().collect()
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
    if let Some(each) = cap.cap().filter(|cap| cap.period == Period::Task) {
        // Each task has sums of its own: `task list` has them.
        return format!("{}, each", each.in_words());
    }
    let Sums { used, held, left } = sums(cap);
    let until = cap.resets_at.map(|at| match cap.period {
        Period::Rolling(_) => format!(", some of it until {}", time(at)),
        // Named runs have sums of their own, which are nobody's who asks without a name.
        Period::Run => " today outside of named runs".to_owned(),
        Period::Task
        | Period::Hour
        | Period::Day
        | Period::Week
        | Period::Month
        | Period::Lifetime => {
            format!(", resets {}", time(at))
        }
    });
    let until = until.unwrap_or_default();
    format!("{}: {used} used, {held} held, {left} left{until}", cap_of(cap))
}

/// What counts under a cap and what is left of it, as dollars or how many payments.
pub(in crate::cli) struct Sums {
    pub(in crate::cli) used: String,
    pub(in crate::cli) held: String,
    pub(in crate::cli) left: String,
}

pub(in crate::cli) fn sums(cap: &CapView) -> Sums {
    if let Some(most) = cap.cap_count {
        let (used, held) = (cap.used_count.unwrap_or_default(), cap.held_count.unwrap_or_default());
        let left = u64::from(most).saturating_sub(used.saturating_add(held));
        return Sums { used: used.to_string(), held: held.to_string(), left: left.to_string() };
    }
    let (used, held) = (cap.used_usd.unwrap_or(Usd::ZERO), cap.held_usd.unwrap_or(Usd::ZERO));
    // A cap may have been lowered below what counts under it already.
    let left = cap.cap_usd.unwrap_or(Usd::ZERO).less(used).less(held);
    Sums { used: used.to_string(), held: held.to_string(), left: left.to_string() }
}

/// A shadow cap in words, with what it would have denied.
fn shadow(view: &ShadowView) -> String {
    let Sum { count, sum_usd } = view.would_deny;
    let told = match count {
        0 => "would have denied nothing".to_owned(),
        1 => format!("would have denied 1 payment, {sum_usd}"),
        many => format!("would have denied {many} payments, {sum_usd}"),
    };
    format!("{}; {told}", cap(&view.cap))
}

/// Who opens its tasks, and how many there are, where there is something to say.
fn tasks(view: &AgentView) -> Option<String> {
    let by = (!view.tasks.is_operator()).then(|| format!("opened by the {} too", view.tasks));
    let open = (view.open_tasks > 0).then(|| format!("{} open", view.open_tasks));
    let failed = (view.failed_tasks > 0).then(|| format!("{} failed", view.failed_tasks));
    let told: Vec<String> = [open, failed, by].into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join(", "))
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
