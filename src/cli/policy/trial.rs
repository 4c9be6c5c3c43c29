//! `pettycash policy test`: what a policy would have said to what happened.

use std::{path::PathBuf, process::ExitCode};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::Written;
use crate::{
    cli::{
        expiry::{Expiry, expiry},
        output::{FAILED, Failure, Output, note, plain, table, wait},
        owner,
        words::time,
    },
    clock::Clock,
    home::Home,
    policy::{
        names::{GroupId, Handle},
        terms::{AgentTrial, Otherwise, PolicyAsked, PolicyTrial, Sum, TrialAsked},
    },
};

/// `pettycash policy test FILE`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash policy test policy.toml
  pettycash policy test policy.toml --since 7d
  pettycash policy test policy.toml --since 2026-11-01 --fail-if-denied

The ledgers of the agents in the file are lived through once more under its mandates: what it
denies is not spent there, and what it allows is, also where it was denied. Amounts and times are as
they were; that a denied call was made again counts for nothing. Nothing is changed. Agents and
groups of the file of which nothing is recorded are named: there was nothing to try it on.

Exit codes: 0 told, 1 failed, or --fail-if-denied is given and something would have been denied, or
there was nothing to try it on, 2 usage, or a mistake in the file.")]
pub(super) struct Args {
    /// The policy, in TOML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// From when on it is thought to hold: 7d, 12h, 2026-11-01 (UTC) or 2026-11-01T00:00:00Z;
    /// without it, from the beginning
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// End with exit code 1 if anything that was paid would have been denied, or there was
    /// nothing to try it on
    #[arg(long)]
    fail_if_denied: bool,
}

/// A time that has been, or a span before now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since(Expiry);

/// Reads one, for clap.
pub(super) fn since(text: &str) -> Result<Since, String> {
    let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-01".len());
    let day = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    if let Some(day) = day {
        return Ok(Since(Expiry::At(day.timestamp())));
    }
    let wrong = || {
        format!(
            "`{text}` is neither a span such as 7d or 12h, nor a day such as 2026-11-01, nor a \
             time such as 2026-11-01T00:00:00Z"
        )
    };
    expiry(text).map(Since).map_err(|_| wrong())
}

impl Since {
    /// The time.
    pub(super) fn at(self, clock: &Clock) -> Result<Timestamp, Failure> {
        let at = match self.0 {
            Expiry::At(at) => Some(at),
            Expiry::In(span) => clock.now().checked_sub(span).ok(),
        };
        let wrong = match at {
            Some(_) => "`--since` is a time that has been",
            None => "`--since` goes back further than any calendar",
        };
        at.filter(|at| *at <= clock.now()).ok_or_else(|| Failure::Usage {
            message: wrong.to_owned(),
            hint: "give one such as `--since 7d`".to_owned(),
        })
    }
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let since = args.since.map(|since| since.at(&Clock::System)).transpose()?;
    let written = Written::load(&args.file)?;
    let operator = owner::operator(home);
    wait(async {
        let policy = written.terms.clone();
        let asked = PolicyAsked { policy, dry_run: true, ..PolicyAsked::default() };
        written.tell(&operator.apply_policy(&asked).await?, output)?;
        let asked = TrialAsked { policy: asked.policy, since };
        let trial = operator.try_policy(&asked).await?;
        output.print(&trial, || told(&trial))?;
        // What is right of no payment at all is right of a file with a slip in a name, too.
        let untried = trial.paid.count == 0 && trial.denied == 0;
        if untried {
            let when = since.map(|at| format!(" since {at}")).unwrap_or_default();
            note(&format!(
                "warning: nothing that agents in the file did{when} is recorded: it was tried on \
                 nothing"
            ));
        } else if !trial.unknown_agents.is_empty() {
            let names: Vec<&str> = trial.unknown_agents.iter().map(Handle::as_str).collect();
            note(&format!("warning: nothing is recorded of the agents {}", names.join(" ")));
        }
        let fails = args.fail_if_denied && (untried || trial.would_deny.count > 0);
        Ok(ExitCode::from(if fails { FAILED } else { 0 }))
    })
}

/// What came of it, and what of the file it could not be tried on.
fn told(trial: &PolicyTrial) -> String {
    let mut lines = vec![words(trial)];
    let mut unknown = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            lines.push(format!("Nothing is recorded of {what} {}.", names.join(" ")));
        }
    };
    unknown("the agents", trial.unknown_agents.iter().map(Handle::as_str).collect());
    unknown("the groups", trial.unknown_groups.iter().map(GroupId::as_str).collect());
    lines.join("\n")
}

pub(super) fn words(trial: &PolicyTrial) -> String {
    let since = trial.since.map(|at| format!(" since {}", time(at))).unwrap_or_default();
    let PolicyTrial { paid, would_deny, denied, would_pay, .. } = trial;
    let mut told = vec![format!(
        "Would have denied {} of {}{since}, {}.",
        thousands(would_deny.count),
        counted(paid.count, "payment"),
        would_deny.sum_usd
    )];
    if would_pay.count > 0 {
        let of = counted(*denied, "refusal");
        told.push(format!(
            "Would have paid {} of {of}, {}.",
            thousands(would_pay.count),
            would_pay.sum_usd
        ));
    }
    let differs = |agent: &&AgentTrial| agent.would_deny.count > 0 || agent.would_pay.count > 0;
    told.extend(trial.agents.iter().filter(differs).map(agent));
    told.join("\n")
}

fn agent(agent: &AgentTrial) -> String {
    let AgentTrial { handle, paid, rules, would_pay, examples, .. } = agent;
    let mut lines = vec![format!("{handle}, {}, {}", counted(paid.count, "payment"), paid.sum_usd)];
    let row = |rule: String, Sum { count, sum_usd }: &Sum| {
        vec![format!("  {rule}"), thousands(*count), sum_usd.to_string()]
    };
    let mut rows: Vec<_> =
        rules.iter().map(|(rule, sum)| row(format!("denied by {rule}"), sum)).collect();
    rows.extend((would_pay.count > 0).then(|| row("paid after all".to_owned(), would_pay)));
    lines.push(table(&[], rows));
    lines.extend(examples.iter().map(|one| format!("    {}", example(one))));
    lines.join("\n")
}

fn example(one: &Otherwise) -> String {
    let Otherwise { payment_id, at, service_id, amount_usd, message } = one;
    let why = message.as_deref().unwrap_or("It would have been paid.");
    plain(&format!("{payment_id} {} {} {amount_usd}: {why}", time(*at), service_id.0))
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// A number as people read it: 3,210.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}
