//! `pettycash mandate`: what an agent may spend, read and changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use clap::{ArgGroup, Subcommand};

use super::{
    expiry::{Expiry, expiry},
    output::{Failure, Output, table, wait},
    owner,
    proof::{Proving, guard, is_agent},
    words::{amount, cap_of, is_shared, pinned, stops, time, when},
};
use crate::{
    client::Operator,
    clock::Clock,
    home::Home,
    policy::{
        downgrade::{Downgrade, OutputTokens, models},
        hours::{self, ActiveDays, ActiveHours},
        mandate::{Cap, CapKey, LocalUse, Mandate},
        money::Usd,
        names::{GroupId, Handle, ServiceId},
        pace::{Rate, Span},
        payee::{FirstPayee, Pin},
        stop::{Burst, Streak},
        task::TasksBy,
        terms::{AgentView, Amount, CapTerms, Edit, MandateChanged, MandatePatch, MandateView},
        tier::Tier,
        window::Zone,
    },
};

/// `pettycash mandate …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what an agent may spend, for what, and until when
    #[command(after_help = "Example:\n  pettycash mandate show scout")]
    Show {
        /// The agent
        handle: Handle,
    },
    /// Change what is named, leave the rest, and say what changes
    #[command(after_help = SET_HELP)]
    Set(Box<Set>),
}

const SET_HELP: &str = "\
Examples:
  pettycash mandate set scout --cap 3.00/day
  pettycash mandate set scout --cap 5.00/24h --no-cap day --dry-run
  pettycash mandate set scout --cap '1.00/day service=search' --cap 100x/day
  pettycash mandate set scout --per-call 0.10 --deny report --expires 30d
  pettycash mandate set scout --allow-all --allow search      search, and nothing else
  pettycash mandate set scout --max-output-tokens 4096 --downgrade 80%:claude-haiku-4-5
  pettycash mandate set scout --rate 20/min --burst 5/min:freeze --denials 10:throttle

A cap below what is used already is allowed: then nothing more is paid until its window ends.
What was spent stays spent, and a payment under way ends as it ends.
A rate counts payments that are let through, also those that fail or come back; refused calls
are counted by --denials. What is frozen stays so until `pettycash agent unfreeze`.";

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag that takes something away")]
#[command(group(ArgGroup::new("limit").args(["per_call", "no_per_call"])))]
#[command(group(ArgGroup::new("end").args(["expires", "no_expiry"])))]
#[command(group(ArgGroup::new("local_use").args(["local", "no_local"])))]
struct Set {
    /// The agent
    handle: Handle,
    /// Set the cap of a period, such as 3.00/day, 5.00/24h (any 24 hours), 1.00/run, 0.50/task,
    /// 100x/day (so many payments) or `1.00/day service=search` (also category=, payee=, type=);
    /// repeatable
    #[arg(long = "cap", value_name = "AMOUNT/PERIOD", allow_hyphen_values = true)]
    caps: Vec<Cap>,
    /// Take a cap away: day, 24h, run, task, x/day (on how many) or `day service=search`;
    /// repeatable
    #[arg(long = "no-cap", value_name = "PERIOD")]
    no_caps: Vec<CapKey>,
    /// The most for one payment, in dollars
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    per_call: Option<Usd>,
    /// Take the limit per payment away
    #[arg(long)]
    no_per_call: bool,
    /// The time zone of the caps; windows that are open end near where they would have ended
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
    /// Add a service to those it may pay; once there is one, it may pay no others; repeatable
    #[arg(long, value_name = "SERVICE")]
    allow: Vec<ServiceId>,
    /// Take a service from those it may pay; repeatable
    #[arg(long, value_name = "SERVICE")]
    no_allow: Vec<ServiceId>,
    /// Forget which services it may pay: all, or those that `--allow` names beside it
    #[arg(long)]
    allow_all: bool,
    /// Add a service to those it may not pay; repeatable
    #[arg(long, value_name = "SERVICE")]
    deny: Vec<ServiceId>,
    /// Take a service from those it may not pay; repeatable
    #[arg(long, value_name = "SERVICE")]
    no_deny: Vec<ServiceId>,
    /// When the mandate ends: 30d, 12h, 30m or 2026-12-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// Let the mandate never end
    #[arg(long)]
    no_expiry: bool,
    /// Let local clients use it: `pettycash mcp --agent HANDLE` is enough
    #[arg(long)]
    local: bool,
    /// Keep it from local clients: it takes one of its tokens
    #[arg(long)]
    no_local: bool,
    /// Set the most payments in so long a time, such as 20/min, 100/hour or 5/10s; repeatable
    #[arg(long = "rate", value_name = "NUMBER/TIME")]
    rates: Vec<Rate>,
    /// Take the rate of a time away, such as min, hour or 10s; repeatable
    #[arg(long = "no-rate", value_name = "TIME")]
    no_rates: Vec<Span>,
    /// What happens when more equal payments are made in a time: 5/min:flag, :throttle or :freeze
    #[arg(long, value_name = "NUMBER/TIME:ACTION")]
    burst: Option<Burst>,
    /// Let equal payments be as many as they are
    #[arg(long, conflicts_with = "burst")]
    no_burst: bool,
    /// What happens at so many denials in a row: 10:flag, 10:throttle or 10:freeze
    #[arg(long, value_name = "NUMBER:ACTION")]
    denials: Option<Streak>,
    /// Let denials in a row be as many as they are
    #[arg(long, conflicts_with = "denials")]
    no_denials: bool,
    /// The times of the day at which it may pay: 09:00-18:00, 22:00-06:00, 09:00-12:00,13:00-17:00
    #[arg(long, value_name = "HOURS")]
    hours: Option<ActiveHours>,
    /// Let it pay at any time of the day
    #[arg(long, conflicts_with = "hours")]
    no_hours: bool,
    /// The days on which it may pay, by the day on which its hours begin: mon-fri or mon,wed
    #[arg(long, value_name = "DAYS")]
    days: Option<ActiveDays>,
    /// Let it pay on any day
    #[arg(long, conflicts_with = "days")]
    no_days: bool,
    /// How long it must wait after a payment that was let through: 30s, 5min or hour
    #[arg(long, value_name = "TIME")]
    cooldown: Option<Span>,
    /// Let payments follow each other at once
    #[arg(long, conflicts_with = "cooldown")]
    no_cooldown: bool,
    /// Put it into a group, whose caps bound it too
    #[arg(long, value_name = "GROUP", conflicts_with = "no_group")]
    group: Option<GroupId>,
    /// Take it out of its group
    #[arg(long)]
    no_group: bool,
    /// Who opens its tasks: `operator` (and tokens made with `--may open-tasks`), or `agent` too
    #[arg(long, value_name = "WHO")]
    tasks: Option<TasksBy>,
    /// Pin the payee of a service, such as `search=Acme Search`: if the catalogue ever has another
    /// nothing is paid; repeatable
    #[arg(long = "pin", value_name = "SERVICE=PAYEE")]
    pins: Vec<Pin>,
    /// Let a service pay whoever the catalogue has; repeatable
    #[arg(long = "no-pin", value_name = "SERVICE")]
    no_pins: Vec<ServiceId>,
    /// `locked`: a service may pay only who it paid first; `free`: whoever the catalogue has
    #[arg(long, value_name = "free|locked")]
    first_payee: Option<FirstPayee>,
    /// Set the higher limits per payment for a track record without an incident, in place of those
    /// there are, such as 50x/7d:0.50: after 50 captured payments over 7 days; repeatable
    #[arg(long = "tier", value_name = "PAYMENTSx/DAYSd:AMOUNT")]
    tiers: Vec<Tier>,
    /// Take all tiers away
    #[arg(long, conflicts_with = "tiers")]
    no_tiers: bool,
    /// The most tokens that a language model may put out in one call
    #[arg(long, value_name = "NUMBER")]
    max_output_tokens: Option<OutputTokens>,
    /// Let models put out as much as is asked for
    #[arg(long, conflicts_with = "max_output_tokens")]
    no_max_output_tokens: bool,
    /// From which part of any cap on which model is used where it is cheaper than the one that is
    /// asked for: 80%:claude-haiku-4-5
    #[arg(long, value_name = "PERCENT:MODEL")]
    downgrade: Option<Downgrade>,
    /// Use the model that is asked for however much is spent
    #[arg(long, conflicts_with = "downgrade")]
    no_downgrade: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::Show { handle } => {
                let view = operator.mandate(&handle).await?;
                // Its own mandate is what a program asks for; people ask what bounds the agent.
                let shared = match &view.group {
                    Some(_) if !output.json => shared(&operator.agent(&handle).await?),
                    Some(_) | None => Vec::new(),
                };
                output.print(&view, || show(&view, shared))?;
            }
            Verb::Set(set) => {
                let (handle, patch, proving) = patch(*set)?;
                let changed = change(&handle, &patch, &proving, &operator).await?;
                output.print(&changed, || set_words(&changed))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Changes a mandate; what gives more takes an operator, who is shown first what changes.
async fn change(
    handle: &Handle,
    patch: &MandatePatch,
    proving: &Proving,
    operator: &Operator,
) -> anyhow::Result<MandateChanged> {
    let dry = MandatePatch { dry_run: true, ..patch.clone() };
    if !patch.dry_run && is_agent() {
        let would = operator.change_mandate(handle, &dry).await?;
        if would.changes.iter().any(|change| change.loosens) {
            guard(operator).await?;
        }
    }
    let what = async || Ok(differences(&operator.change_mandate(handle, &dry).await?).join("\n"));
    let act = async |operator: &Operator| operator.change_mandate(handle, patch).await;
    proving.prove(operator, what, act).await
}

/// What was typed, with what is wrong in it told before anything is sent.
fn patch(set: Set) -> Result<(Handle, MandatePatch, Proving), Failure> {
    let Set { per_call, no_per_call, expires, no_expiry, allow_all, dry_run, .. } = set;
    let set_of = |ids: Vec<ServiceId>| ids.into_iter().collect::<BTreeSet<_>>();
    let caps = set.caps.into_iter().map(CapTerms);
    let ends = expires.map(|expiry| expiry.at(&Clock::System, "mandate")).transpose()?;
    let cheaper = set.downgrade.map(|Downgrade { at, to }| (at, to)).unzip();
    let local = set.local.then_some(LocalUse::Allowed);
    let patch = MandatePatch {
        per_call_limit_usd: edit(per_call.map(Amount), no_per_call),
        caps: caps.collect(),
        no_caps: set.no_caps,
        timezone: set.timezone,
        allow_all,
        allow: set_of(set.allow),
        no_allow: set_of(set.no_allow),
        deny: set_of(set.deny),
        no_deny: set_of(set.no_deny),
        expires_at: edit(ends, no_expiry),
        local: local.or(set.no_local.then_some(LocalUse::Barred)),
        rates: set.rates,
        no_rates: set.no_rates,
        burst: edit(set.burst, set.no_burst),
        denials: edit(set.denials, set.no_denials),
        hours: edit(set.hours, set.no_hours),
        days: edit(set.days, set.no_days),
        cooldown: edit(set.cooldown, set.no_cooldown),
        dry_run,
        group: edit(set.group, set.no_group),
        tasks: set.tasks,
        pinned: set.pins.into_iter().map(|pin| (pin.service, pin.payee)).collect(),
        no_pinned: set_of(set.no_pins),
        first_payee: set.first_payee,
        tiers: (set.no_tiers || !set.tiers.is_empty()).then_some(set.tiers),
        max_output_tokens: edit(set.max_output_tokens, set.no_max_output_tokens),
        downgrade_at: edit(cheaper.0, set.no_downgrade),
        downgrade_to: edit(cheaper.1, set.no_downgrade),
    };
    if patch.is_empty() {
        return Err(Failure::Usage {
            message: "nothing is named that should change".to_owned(),
            hint: "`pettycash mandate set --help` has examples".to_owned(),
        });
    }
    Ok((set.handle, patch, set.proving))
}

fn edit<T>(value: Option<T>, clear: bool) -> Edit<T> {
    match value {
        Some(value) => Edit::Set(value),
        None if clear => Edit::Clear,
        None => Edit::Keep,
    }
}

/// The caps of the groups above an agent, each with whose it is.
fn shared(view: &AgentView) -> Vec<String> {
    let caps = view.balance.caps.iter().flatten();
    caps.filter(|cap| is_shared(cap)).map(cap_of).collect()
}

fn show(view: &MandateView, shared: Vec<String>) -> String {
    let limit = view.per_call_limit_usd;
    let mut lines = vec![
        ("agent", view.handle.to_string()),
        ("funding", view.funding.to_string()),
        ("per call", limit.map_or("no limit".to_owned(), |limit| format!("at most {limit}"))),
    ];
    lines.extend(view.tiers.iter().map(|tier| ("tier", tier.in_words())));
    lines.extend(view.caps.iter().map(|CapTerms(cap)| ("cap", cap.in_words())));
    if view.caps.is_empty() {
        lines.push(("cap", "none".to_owned()));
    }
    lines.extend(shared.into_iter().map(|cap| ("cap", cap)));
    let shadows = view.shadow_caps.iter().map(|CapTerms(cap)| cap.in_words());
    lines.extend(shadows.map(|cap| ("shadow cap", cap)));
    lines.extend(stops(&view.rates, view.burst, view.denials));
    lines.extend(when(view.cooldown, hours::words(view.hours.as_ref(), view.days)));
    let cheaper = (view.downgrade_at, view.downgrade_to.as_ref());
    lines.extend(
        models(view.max_output_tokens, cheaper.0, cheaper.1).map(|words| ("models", words)),
    );
    lines.extend(view.group.as_ref().map(|group| ("group", group.to_string())));
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("services", services(view)));
    lines.extend(pinned(&view.pinned, view.first_payee));
    lines.push(("expires", view.expires_at.map_or("never".to_owned(), time)));
    if !view.local.is_allowed() {
        lines.push(("local clients", view.local.to_string()));
    }
    if !view.tasks.is_operator() {
        lines.push(("tasks", format!("opened by the {} too", view.tasks)));
    }
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn services(view: &MandateView) -> String {
    Mandate {
        funding: view.funding,
        per_call_limit: None,
        caps: Vec::new(),
        zone: view.timezone.clone(),
        allow: view.allow.clone(),
        deny: view.deny.clone(),
        expires_at: None,
        local: LocalUse::Allowed,
        rates: Vec::new(),
        burst: None,
        denials: None,
        hours: None,
        days: None,
        cooldown: None,
        group: None,
        tasks: TasksBy::Operator,
        pinned: BTreeMap::new(),
        first_payee: FirstPayee::Free,
        tiers: Vec::new(),
        shadow_caps: Vec::new(),
        max_output_tokens: None,
        downgrade_at: None,
        downgrade_to: None,
    }
    .services()
}

/// What differs, and what is to be known of it.
fn differences(changed: &MandateChanged) -> Vec<String> {
    let MandateChanged { changes, remarks, .. } = changed;
    let rows = changes.iter().map(|change| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
        let way = match (change.loosens, change.what.as_str()) {
            (true, "time zone") => "may give more",
            (true, _) => "gives more",
            (false, _) => "",
        };
        vec![change.what.clone(), side(&change.from), "→".to_owned(), side(&change.to), way.into()]
    });
    let mut told = if changes.is_empty() { Vec::new() } else { vec![table(&[], rows)] };
    told.extend(remarks.iter().map(|remark| format!("note: {remark}")));
    told
}

fn set_words(changed: &MandateChanged) -> String {
    let MandateChanged { applied, changes, agent, .. } = changed;
    let handle = agent.handle();
    let mut told = differences(changed);
    let available = amount(agent.balance.available_usd);
    told.push(match (applied, changes.is_empty()) {
        (true, _) => format!("Set. {handle} can spend {available} now."),
        (false, true) => format!("The mandate of {handle} is so already: nothing to do."),
        (false, false) => "Nothing is set: this was a dry run.".to_owned(),
    });
    told.join("\n")
}
