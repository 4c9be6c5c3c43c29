//! `pettycash agent create`: a handle and a mandate.

use crate::{
    cli::{
        expiry::{Expiry, expiry},
        output::Failure,
        preset::Preset,
        proof::Proving,
        words::bounds,
    },
    clock::Clock,
    policy::{
        downgrade::{Downgrade, OutputTokens},
        hours::{ActiveDays, ActiveHours},
        mandate::{Cap, Funding, LocalUse},
        money::Usd,
        names::{GroupId, Handle, ServiceId},
        pace::{Rate, Span},
        payee::{FirstPayee, Pin},
        stop::{Burst, Streak},
        task::TasksBy,
        terms::{AgentTerms, AgentView, NewAgent},
        tier::Tier,
        window::Zone,
    },
};

pub(super) const HELP: &str = "\
Examples:
  pettycash agent create scout --cap 5.00/day --per-call 0.25 --funding allowance
  pettycash agent create intern          prepaid, starts at zero: see `pettycash top-up`
  pettycash agent create night --cap 1.00/hour --cap 5.00/day --timezone Europe/Paris \\
      --funding allowance --allow search --expires 30d
  pettycash agent create batch --cap 20.00/24h --cap 1.00/run --funding allowance
  pettycash agent create eager --cap 5.00/day --funding allowance --rate 20/min \\
      --burst 5/min:freeze --denials 10:throttle
  pettycash agent create prober --cap 5.00/day --cap 20x/hour --cap '1.00/day service=search' \\
      --funding allowance
  pettycash agent create clerk --cap 5.00/day --funding allowance --timezone Europe/Paris \\
      --days mon-fri --hours 09:00-18:00 --cooldown 30s
  pettycash agent create helper --cap 0.50/task --cap 5.00/day --tasks agent \\
      --funding allowance
  pettycash agent create writer --cap 5.00/day --funding allowance \\
      --max-output-tokens 4096 --downgrade 80%:claude-haiku-4-5
  pettycash agent create reader --preset summariser --cap 2.00/day
  pettycash agent create remote --cap 5.00/day --funding allowance --no-local   by token only";

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its name: a-z, 0-9, `-` and `_`, at most 63; never given twice
    handle: Handle,
    /// A bound on the sum of a period: 5.00/day (or hour, week, month, lifetime), 5.00/24h (any 24
    /// hours in a row), 1.00/run (see `pettycash mcp --run`), 0.50/task (see `pettycash task`); on
    /// how many: 100x/day; on some: `1.00/day service=search`, `20x/hour category=llm`,
    /// `9.00/month payee=Acme`; repeatable
    #[arg(long = "cap", value_name = "AMOUNT/PERIOD", allow_hyphen_values = true)]
    caps: Vec<Cap>,
    /// The most for one payment, in dollars
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    per_call: Option<Usd>,
    /// `prepaid` (a balance that starts at zero, unless said) or `allowance` (bounded by its caps
    /// alone)
    #[arg(long)]
    funding: Option<Funding>,
    /// The time zone whose hours, days, weeks and months the caps mean, such as Europe/Paris
    /// [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Zone>,
    /// A service it may pay, and then no others but those named so; repeatable
    #[arg(long, value_name = "SERVICE")]
    allow: Vec<ServiceId>,
    /// A service it may not pay; repeatable
    #[arg(long, value_name = "SERVICE")]
    deny: Vec<ServiceId>,
    /// When its mandate ends: 30d, 12h, 30m or 2026-12-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// Keep it from local clients: `mcp --agent` does not know it, it takes one of its tokens
    #[arg(long)]
    no_local: bool,
    /// The most payments in so long a time, such as 20/min, 100/hour or 5/10s; repeatable
    #[arg(long = "rate", value_name = "NUMBER/TIME")]
    rates: Vec<Rate>,
    /// What happens when more equal payments are made in a time: 5/min:flag, :throttle or :freeze
    #[arg(long, value_name = "NUMBER/TIME:ACTION")]
    burst: Option<Burst>,
    /// What happens at so many denials in a row: 10:flag, 10:throttle or 10:freeze
    #[arg(long, value_name = "NUMBER:ACTION")]
    denials: Option<Streak>,
    /// The times of the day at which it may pay: 09:00-18:00, 22:00-06:00, 09:00-12:00,13:00-17:00
    #[arg(long, value_name = "HOURS")]
    hours: Option<ActiveHours>,
    /// The days on which it may pay, by the day on which its hours begin: mon-fri or mon,wed
    #[arg(long, value_name = "DAYS")]
    days: Option<ActiveDays>,
    /// How long it must wait after a payment that was let through: 30s, 5min or hour
    #[arg(long, value_name = "TIME")]
    cooldown: Option<Span>,
    /// The group whose caps bound it too: see `pettycash group list`
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupId>,
    /// Who opens its tasks: `operator` (and tokens made with `--may open-tasks`), or `agent` too
    #[arg(long, value_name = "WHO")]
    tasks: Option<TasksBy>,
    /// The payee that a service must pay, such as `search=Acme Search`: if the catalogue ever has
    /// another nothing is paid; repeatable
    #[arg(long = "pin", value_name = "SERVICE=PAYEE")]
    pins: Vec<Pin>,
    /// `locked`: a service may pay only who it paid first; see `pettycash agent repin`
    #[arg(long, value_name = "free|locked")]
    first_payee: Option<FirstPayee>,
    /// A higher limit per payment once there is a track record without an incident, such as
    /// 50x/7d:0.50: after 50 captured payments over 7 days, each of at least a tenth of --per-call;
    /// repeatable, the lowest first
    #[arg(long = "tier", value_name = "PAYMENTSx/DAYSd:AMOUNT")]
    tiers: Vec<Tier>,
    /// Give it no tiers, whatever the preset has
    #[arg(long, conflicts_with = "tiers")]
    no_tiers: bool,
    /// The most tokens that a language model may put out in one call
    #[arg(long, value_name = "NUMBER")]
    max_output_tokens: Option<OutputTokens>,
    /// From which part of any cap on which model is used where it is cheaper than the one that is
    /// asked for: 80%:claude-haiku-4-5
    #[arg(long, value_name = "PERCENT:MODEL")]
    downgrade: Option<Downgrade>,
    /// What one of the usual agents may spend: summariser, enricher, booker or orchestrator; what
    /// is named beside it goes before it; see `pettycash agent presets`
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    #[command(flatten)]
    proving: Proving,
}

/// The terms that were typed, with what is wrong in them told before anything is sent.
pub(super) fn terms(create: Create) -> Result<(NewAgent, Proving), Failure> {
    let ends = create.expires.map(|expiry| expiry.at(&Clock::System, "mandate")).transpose()?;
    let blank = || AgentTerms::default().mandate(&AgentTerms::default());
    let mut to = create.preset.as_ref().map_or_else(blank, Preset::mandate);
    // What is typed goes before what is preset, a cap or a rate before the one of its kind.
    to.caps.retain(|cap| !create.caps.iter().any(|typed| typed.key() == cap.key()));
    to.caps.extend(create.caps);
    to.rates.retain(|rate| !create.rates.iter().any(|typed| typed.span == rate.span));
    to.rates.extend(create.rates);
    to.funding = create.funding.unwrap_or(to.funding);
    to.zone = create.timezone.unwrap_or(to.zone);
    to.per_call_limit = create.per_call.or(to.per_call_limit);
    to.allow.extend(create.allow);
    to.deny.extend(create.deny);
    to.expires_at = ends.or(to.expires_at);
    to.local = if create.no_local { LocalUse::Barred } else { to.local };
    to.burst = create.burst.or(to.burst);
    to.denials = create.denials.or(to.denials);
    to.hours = create.hours.or(to.hours);
    to.days = create.days.or(to.days);
    to.cooldown = create.cooldown.or(to.cooldown);
    to.group = create.group.or(to.group);
    to.pinned.extend(create.pins.into_iter().map(|pin| (pin.service, pin.payee)));
    to.first_payee = create.first_payee.unwrap_or(to.first_payee);
    to.tasks = create.tasks.unwrap_or(to.tasks);
    to.tiers = if create.tiers.is_empty() && !create.no_tiers { to.tiers } else { create.tiers };
    to.max_output_tokens = create.max_output_tokens.or(to.max_output_tokens);
    if let Some(Downgrade { at, to: model }) = create.downgrade {
        (to.downgrade_at, to.downgrade_to) = (Some(at), Some(model));
    }
    let of_preset = create.preset.filter(|preset| preset.mandate().tiers == to.tiers);
    to.check().map_err(|error| Failure::Usage {
        message: error.to_string(),
        hint: of_preset
            .and_then(|preset| preset.hint(&error))
            .unwrap_or_else(|| "`pettycash agent create --help` has examples".to_owned()),
    })?;
    Ok((NewAgent::of(create.handle, to), create.proving))
}

pub(super) fn created(view: &AgentView) -> String {
    let handle = view.handle();
    let next = match view.funding {
        Funding::Prepaid => format!("It starts at zero: pettycash top-up {handle} 2.00"),
        Funding::Allowance if !view.local.is_allowed() => {
            format!("Give it a token: pettycash agent token {handle}")
        }
        Funding::Allowance => format!("Attach it: pettycash mcp --agent {handle}"),
    };
    format!("Created {handle}: {}.\n{next}", bounds(view))
}
