//! What a policy changes, in words.

use crate::{
    cli::{
        endpoint,
        output::{plain, table},
        words::amount,
    },
    policy::{
        change::Change,
        plan,
        terms::{AgentChange, GroupChange, PolicyPlan, ServiceChange, ServiceTerms},
    },
};

/// The most agents that get no more, of which a terminal is told one by one.
const TOLD: usize = 50;

/// What changes, and what became of it.
pub(in crate::cli) fn words(plan: &PolicyPlan) -> String {
    let mut told: Vec<String> = Vec::new();
    // What lets more be spent comes first and is never left out, so that nothing hides it.
    let spends = |one: &&AgentChange| one.gives_more() && !one.starts_at_zero();
    let (more, others): (Vec<_>, Vec<_>) = plan.agents.iter().partition(spends);
    told.extend(plan.services.iter().map(service));
    told.extend(plan.groups.iter().map(group));
    told.extend(more.iter().map(|one| agent(one)));
    told.extend(others.iter().take(TOLD).map(|one| agent(one)));
    told.extend(untold(others.len()));
    told.extend(left(plan.agents_left, "agent"));
    told.extend(left(plan.services_left, "service"));
    told.extend(left(plan.groups_left, "group"));
    told.push(match (plan.applied, plan.is_nothing()) {
        (true, _) => format!("Applied: {}.{}", sum(plan), giving(plan)),
        (false, true) => "Everything is so already: nothing to do.".to_owned(),
        (false, false) => {
            let giving = giving(plan);
            format!("Nothing is applied yet; it would be {}.{giving}", sum(plan))
        }
    });
    told.join("\n")
}

fn sum(policy: &PolicyPlan) -> String {
    let created = policy.agents.iter().filter(|agent| agent.created).count();
    let (services, groups) = (policy.services.len(), policy.groups.len());
    plan::sum(created, policy.agents.len() - created, services, groups)
}

fn untold(count: usize) -> Option<String> {
    let untold = count.saturating_sub(TOLD);
    let agents = if untold == 1 { "agent that spends" } else { "agents that spend" };
    (untold > 0).then(|| format!("… and {untold} other {agents} no more: --json tells all"))
}

/// How many of all that changes give more: services that are set do, but for their price alone.
fn giving(plan: &PolicyPlan) -> String {
    let agents = plan.agents.iter().filter(|agent| agent.gives_more()).count();
    let groups = plan.groups.iter().filter(|group| group.loosens()).count();
    let prices = plan.services.iter().filter(|service| service.is_of_price()).count();
    let more = match agents + groups + plan.services.len() - prices {
        0 if prices > 0 => String::new(),
        0 => " None of it gives more.".to_owned(),
        1 => " 1 of them gives more.".to_owned(),
        count => format!(" {count} of them give more."),
    };
    match prices {
        0 => more,
        1 => format!("{more} 1 of them changes a price."),
        count => format!("{more} {count} of them change prices."),
    }
}

fn left(count: u32, what: &str) -> Option<String> {
    let words = if count == 1 {
        "is not in the file: left as it is"
    } else {
        "are not in the file: left as they are"
    };
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{count} {what}{plural} {words}."))
}

fn service(change: &ServiceChange) -> String {
    let ServiceChange { service_id, from, to } = change;
    match from {
        None => {
            let rows = endpoint::rows(&to.endpoint);
            let rows = rows.into_iter().map(|(what, told)| format!("{what}: {told}"));
            below(format!("+ service {service_id}: {}", paid(to)), rows)
        }
        Some(from) => {
            let way = if change.is_of_price() { "changes the price" } else { "gives more" };
            let first = format!("~ service {service_id}: {} → {}   {way}", paid(from), paid(to));
            below(first, endpoint::differences(&from.endpoint, &to.endpoint))
        }
    }
}

/// A line, and what is told below it.
fn below(first: String, lines: impl IntoIterator<Item = String>) -> String {
    let lines = lines.into_iter().map(|line| format!("    {}", plain(&line)));
    std::iter::once(first).chain(lines).collect::<Vec<_>>().join("\n")
}

fn paid(terms: &ServiceTerms) -> String {
    let ServiceTerms { payee, price, rail, category, endpoint } = terms;
    let price = match price {
        None if !endpoint.operations.is_empty() => "priced by operation".to_owned(),
        Some(price) => format!("{} a call", amount(Some(price.0))),
        None => "at the price the caller names".to_owned(),
    };
    let kind = category.as_ref().map(|category| format!(", category {category}"));
    plain(&format!("{payee}, {price}, by {rail}{}", kind.unwrap_or_default()))
}

fn agent(change: &AgentChange) -> String {
    let AgentChange { handle, created, changes, remarks } = change;
    let rows = changes.iter().map(|change| row(change, *created));
    let (sign, how) = if *created { ("+", ", new") } else { ("~", "") };
    let mut lines = vec![format!("{sign} agent {handle}{how}")];
    lines.extend(table(&[], rows).lines().map(|line| format!("   {line}")));
    lines.extend(remarks.iter().map(|remark| format!("    note: {remark}")));
    lines.join("\n")
}

fn group(change: &GroupChange) -> String {
    let GroupChange { group, created, changes, remarks } = change;
    let rows = changes.iter().map(|change| row(change, *created));
    let (sign, how) = if *created { ("+", ", new") } else { ("~", "") };
    let mut lines = vec![format!("{sign} group {group}{how}")];
    lines.extend(table(&[], rows).lines().map(|line| format!("   {line}")));
    lines.extend(remarks.iter().map(|remark| format!("    note: {remark}")));
    lines.join("\n")
}

fn row(change: &Change, created: bool) -> Vec<String> {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
    if created {
        return vec![change.what.clone(), side(&change.to)];
    }
    let way = match (change.loosens, change.what.as_str()) {
        (true, "time zone") => "may give more",
        // Another span begins to count anew.
        (true, "equal payments") if spans_differ(change) => "may give more",
        (true, _) => "gives more",
        (false, _) => "",
    };
    vec![change.what.clone(), side(&change.from), "→".to_owned(), side(&change.to), way.into()]
}

fn spans_differ(Change { from, to, .. }: &Change) -> bool {
    let span = |side: &Option<String>| {
        let text = side.as_ref()?;
        text.split(['/', ':']).nth(1).map(str::to_owned)
    };
    matches!((span(from), span(to)), (Some(from), Some(to)) if from != to)
}
