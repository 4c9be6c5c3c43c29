//! `pettycash agent`: who may spend, and how much.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};

use super::{
    output::{Failure, Output, table, wait},
    owner,
};
use crate::{
    clock::Clock,
    home::Home,
    policy::{
        answer::CapView,
        mandate::{Cap, Funding},
        money::Usd,
        names::{Handle, Note, Reason, ServiceId},
        terms::{AgentView, CapTerms, NewAgent, Revocation},
        window::{Period, Zone},
    },
};

/// `pettycash agent …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a new agent a handle and a mandate
    #[command(after_help = CREATE_HELP)]
    Create(Create),
    /// List every agent, what it has left and how it stands
    List,
    /// Show one agent: balance, limit, caps and services
    Show {
        /// The agent
        handle: Handle,
    },
    /// End an agent's right to pay, for good and at once
    Revoke {
        /// The agent
        handle: Handle,
        /// Why, for programs: a-z, 0-9, `-` and `_`, such as `compromised`
        #[arg(long)]
        reason: Reason,
        /// Why, in your own words
        #[arg(long)]
        note: Option<Note>,
    },
}

const CREATE_HELP: &str = "\
Examples:
  pettycash agent create scout --cap 5.00/day --per-call 0.25 --funding allowance
  pettycash agent create intern          prepaid, starts at zero: see `pettycash top-up`
  pettycash agent create night --cap 1.00/hour --cap 5.00/day --timezone Europe/Paris \\
      --funding allowance --allow search --expires 30d";

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name: a-z, 0-9, `-` and `_`, at most 63; never given twice
    handle: Handle,
    /// A bound on the sum of a period (hour, day, week, month, lifetime), such as 5.00/day;
    /// repeatable
    #[arg(long = "cap", value_name = "AMOUNT/PERIOD", allow_hyphen_values = true)]
    caps: Vec<Cap>,
    /// The most for one payment, in dollars
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    per_call: Option<Usd>,
    /// `prepaid` (a balance that starts at zero) or `allowance` (bounded by its caps alone)
    #[arg(long, default_value = "prepaid")]
    funding: Funding,
    /// The time zone whose hours, days, weeks and months the caps mean, such as Europe/Paris
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    timezone: Zone,
    /// A service it may pay, and then no others but those named so; repeatable
    #[arg(long, value_name = "SERVICE")]
    allow: Vec<ServiceId>,
    /// A service it may not pay; repeatable
    #[arg(long, value_name = "SERVICE")]
    deny: Vec<ServiceId>,
    /// When its mandate ends: 30d, 12h or 2026-12-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
}

/// When a mandate ends, as people type it.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    At(Timestamp),
    In(SignedDuration),
}

fn expiry(text: &str) -> Result<Expiry, String> {
    let wrong = || {
        format!(
            "`{text}` is neither a span such as 30d or 12h nor a time such as 2026-12-31T00:00:00Z"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Expiry::At(at));
    }
    let span = text
        .strip_suffix('d')
        .map(|days| (days, 24))
        .or(text.strip_suffix('h').map(|hours| (hours, 1)));
    let (number, hours) = span.ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let hours =
        i64::from(number).checked_mul(hours).filter(|hours| *hours > 0).ok_or_else(wrong)?;
    SignedDuration::try_from_hours(hours).map(Expiry::In).ok_or_else(wrong)
}

impl Expiry {
    fn at(self, clock: &Clock) -> Result<Timestamp, Failure> {
        let at = match self {
            Self::At(at) => Ok(at),
            Self::In(span) => clock.now().checked_add(span),
        };
        let usage = |message: &str| Failure::Usage {
            message: message.to_owned(),
            hint: "give a time to come, such as `--expires 30d`".to_owned(),
        };
        match at {
            Ok(at) if at > clock.now() => Ok(at),
            Ok(_) => Err(usage("the mandate would be over before it begins")),
            Err(_) => Err(usage("the mandate would end beyond the calendar")),
        }
    }
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::Create(create) => {
                let new = terms(create)?;
                let view = operator.create_agent(&new).await?;
                output.print(&view, || created(&view))?;
            }
            Verb::List => {
                let agents = operator.agents().await?;
                output.print(&agents, || list(&agents.agents))?;
            }
            Verb::Show { handle } => {
                let view = operator.agent(&handle).await?;
                output.print(&view, || show(&view))?;
            }
            Verb::Revoke { handle, reason, note } => {
                let asked = reason.to_string();
                let view = operator.revoke(&handle, &Revocation { reason, note }).await?;
                output.print(&view, || revoked(&view, &asked))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The terms that were typed, with what is wrong in them told before anything is sent.
fn terms(create: Create) -> Result<NewAgent, Failure> {
    let expires_at = create.expires.map(|expiry| expiry.at(&Clock::System)).transpose()?;
    let caps = create.caps.iter().map(|cap| CapTerms { period: cap.period, cap_usd: cap.amount });
    let new = NewAgent {
        handle: create.handle,
        funding: create.funding,
        per_call_limit_usd: create.per_call,
        caps: caps.collect(),
        timezone: create.timezone,
        allow: create.allow.into_iter().collect(),
        deny: create.deny.into_iter().collect(),
        expires_at,
    };
    new.mandate().check().map_err(|error| Failure::Usage {
        message: error.to_string(),
        hint: "`pettycash agent create --help` has examples".to_owned(),
    })?;
    Ok(new)
}

fn created(view: &AgentView) -> String {
    let handle = view.handle();
    let next = match view.funding {
        Funding::Prepaid => format!("It starts at zero: pettycash top-up {handle} 2.00"),
        Funding::Allowance => format!("Attach it: pettycash mcp --agent {handle}"),
    };
    format!("Created {handle}: {}.\n{next}", bounds(view))
}

/// The mandate in one line.
fn bounds(view: &AgentView) -> String {
    let caps = view.balance.caps.iter().flatten().map(|cap| short(cap.cap_usd, cap.period));
    let mut parts: Vec<String> = std::iter::once(view.funding.to_string()).chain(caps).collect();
    if let Some(limit) = view.balance.per_call_limit_usd {
        parts.push(format!("at most {limit} per payment"));
    }
    parts.join(", ")
}

fn short(amount: Usd, period: Period) -> String {
    match period {
        Period::Lifetime => format!("{amount} in all"),
        Period::Rolling(hours) => format!("{amount} in any {} h", hours.get()),
        Period::Hour | Period::Day | Period::Week | Period::Month | Period::Run => {
            format!("{amount} per {period}")
        }
    }
}

fn list(agents: &[AgentView]) -> String {
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

fn amount(amount: Option<Usd>) -> String {
    amount.map_or("-".to_owned(), |amount| amount.to_string())
}

fn show(view: &AgentView) -> String {
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
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("services", services(view)));
    if let Some(at) = view.balance.expires_at {
        lines.push(("expires", at.to_string()));
    }
    lines.push(("created", view.created_at.to_string()));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn standing(view: &AgentView) -> String {
    let standing = view.balance.standing.clone().unwrap_or_default();
    let reason = view.balance.reason.as_ref().map(|reason| format!(" ({reason})"));
    let since = view.stopped_at.map(|at| format!(" since {at}"));
    let note = view.note.as_ref().map(|note| format!(": {note}"));
    [Some(standing), reason, since, note].into_iter().flatten().collect()
}

fn cap(cap: &CapView) -> String {
    let resets = cap.resets_at.map(|at| format!(", resets {at}")).unwrap_or_default();
    let (used, held) = (cap.used_usd, cap.held_usd);
    format!("{}: {used} used, {held} held{resets}", short(cap.cap_usd, cap.period))
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

fn revoked(view: &AgentView, asked: &str) -> String {
    let handle = view.handle();
    match &view.balance.reason {
        Some(reason) if reason != asked => format!("{handle} was revoked before ({reason})."),
        Some(_) | None => format!("Revoked {handle} ({asked}). It can never pay again."),
    }
}
