//! `pettycash init`: a data directory, a first agent, and the snippet for an MCP client.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use clap::builder::ArgPredicate;
use serde_json::{Value, json};

use super::{
    connect,
    output::{Failure, Output, wait},
    owner,
    preset::Preset,
    proof::Proving,
    words::{asked, rules},
};
use crate::{
    client::{ClientError, Operator},
    home::Home,
    policy::{
        mandate::{Cap, Funding, Mandate},
        money::Usd,
        names::Handle,
        terms::{AgentTerms, CapTerms, MandatePatch, NewAgent},
        tier::Tier,
    },
};

/// `pettycash init`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash init
  pettycash init --agent scout --cap 2.00/day --per-call 0.10 --yes
  pettycash init --agent reader --preset summariser

Run it as often as you like: what is there already is left as it is.")]
pub(super) struct Args {
    /// The first agent's name
    #[arg(long, default_value = "claude", value_name = "HANDLE")]
    agent: Handle,
    /// Its cap; with a preset, in place of the preset's of that kind
    #[arg(long, default_value = "5.00/day", value_name = "AMOUNT/PERIOD")]
    #[arg(default_value_if("preset", ArgPredicate::IsPresent, None))]
    cap: Option<Cap>,
    /// The most for one of its payments, in dollars; with a preset, in place of the preset's
    #[arg(long, default_value = "0.25", value_name = "AMOUNT", allow_negative_numbers = true)]
    #[arg(default_value_if("preset", ArgPredicate::IsPresent, None))]
    per_call: Option<Usd>,
    /// What one of the usual agents may spend: summariser, enricher, booker or orchestrator; see
    /// `pettycash agent presets`
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// Give it no tiers, whatever the preset has
    #[arg(long)]
    no_tiers: bool,
    /// Ask nothing, even at a terminal
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    let new = terms(args)?;
    wait(async {
        let present = match operator.agent(&args.agent).await {
            Ok(_) => true,
            Err(ClientError::Problem(problem)) if problem.code == "agent_unknown" => false,
            Err(error) => return Err(error.into()),
        };
        let wanted = present || args.yes || output.json || agreed(&new)?;
        if wanted && !present {
            let terms = asked(&new);
            let what = async || Ok(format!("This creates the agent {}: {terms}.", new.handle));
            let act = async |operator: &Operator| operator.create_agent(&new).await;
            args.proving.raise(&operator, what, act).await?;
        }
        let notes = if wanted && !present { notes(&operator, &args.agent).await } else { vec![] };
        let snippet = connect::common_snippet(home, &args.agent)?;
        let created = wanted && !present;
        let told = json!({
            "home": home.dir(), "agent": args.agent, "created": created, "config": snippet,
            "remarks": notes,
        });
        let words = || {
            let notes: Vec<String> = notes.iter().map(|note| format!("note: {note}\n\n")).collect();
            notes.concat() + &words(&new, home, (present, created), &snippet)
        };
        output.print(&told, words)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What an operator should know of an agent that was just created: what a change of its mandate
/// that changes nothing says. The agent is there whether that is told or not.
async fn notes(operator: &Operator, agent: &Handle) -> Vec<String> {
    let nothing = MandatePatch { dry_run: true, ..MandatePatch::default() };
    operator.change_mandate(agent, &nothing).await.map(|told| told.remarks).unwrap_or_default()
}

/// Asks at a terminal; without one the answer is yes.
fn agreed(new: &NewAgent) -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    let question = format!("Create the agent `{}` with {}? [Y/n] ", new.handle, bounds(new));
    io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

/// What is asked for: the preset, if any, and what was typed before it.
fn terms(args: &Args) -> Result<NewAgent, Failure> {
    let blank = || {
        let blank = AgentTerms::default().mandate(&AgentTerms::default());
        Mandate { funding: Funding::Allowance, ..blank }
    };
    let mut mandate = args.preset.as_ref().map_or_else(blank, Preset::mandate);
    mandate.caps.retain(|cap| args.cap.as_ref().is_none_or(|typed| typed.key() != cap.key()));
    mandate.caps.extend(args.cap.clone());
    mandate.per_call_limit = args.per_call.or(mandate.per_call_limit);
    if args.no_tiers {
        mandate.tiers.clear();
    }
    if let Some(preset) = &args.preset {
        mandate.check().map_err(|error| Failure::Usage {
            message: error.to_string(),
            hint: preset
                .hint(&error)
                .unwrap_or_else(|| "`pettycash agent presets` shows what it has".to_owned()),
        })?;
    }
    Ok(NewAgent::of(args.agent.clone(), mandate))
}

/// Its caps, its limit and what else bounds it, in words.
fn bounds(new: &NewAgent) -> String {
    let caps = new.caps.iter().map(|CapTerms(cap)| cap.in_words());
    let limit = new.per_call_limit_usd.map(|limit| format!("at most {limit} per payment"));
    let tiers = new.tiers.iter().map(Tier::in_words);
    let paced = rules(&new.rates, (new.burst, new.denials), new.cooldown);
    let parts = caps.chain(limit).chain(tiers).chain(paced).chain(new.mandate().payees());
    parts.collect::<Vec<_>>().join(", ")
}

fn words(new: &NewAgent, home: &Home, (present, created): (bool, bool), snippet: &Value) -> String {
    let agent = &new.handle;
    let state = match (present, created) {
        (true, _) => "was there already and is left as it is".to_owned(),
        (_, true) => format!("created: {}", bounds(new)),
        (false, false) => "not created".to_owned(),
    };
    let snippet = serde_json::to_string_pretty(snippet).unwrap_or_default();
    format!(
        "Data    {}\nAgent   {agent}, {state}\n\n\
         `pettycash connect` writes this into your MCP client's configuration, or paste it\n\
         yourself (Claude Desktop: claude_desktop_config.json; Claude Code: .mcp.json):\n\n\
         {snippet}\n\n\
         Next    pettycash connect claude-code\n        \
         pettycash service add search --payee \"Acme Search\" --price 0.02\n\
         Watch   pettycash ledger {agent}",
        home.dir().display()
    )
}
