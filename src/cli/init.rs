//! `pettycash init`: a data directory, a first agent, and the snippet for an MCP client.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

use super::{
    connect,
    output::{Output, wait},
    owner,
    proof::Proving,
    words::asked,
};
use crate::{
    client::{ClientError, Operator},
    home::Home,
    policy::{
        mandate::{Cap, Funding, LocalUse},
        money::Usd,
        names::Handle,
        terms::{CapTerms, NewAgent},
        window::Zone,
    },
};

/// `pettycash init`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash init
  pettycash init --agent scout --cap 2.00/day --per-call 0.10 --yes

Run it as often as you like: what is there already is left as it is.")]
pub(super) struct Args {
    /// The first agent's name
    #[arg(long, default_value = "claude", value_name = "HANDLE")]
    agent: Handle,
    /// Its cap
    #[arg(long, default_value = "5.00/day", value_name = "AMOUNT/PERIOD")]
    cap: Cap,
    /// The most for one of its payments, in dollars
    #[arg(long, default_value = "0.25", value_name = "AMOUNT", allow_negative_numbers = true)]
    per_call: Usd,
    /// Ask nothing, even at a terminal
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let present = match operator.agent(&args.agent).await {
            Ok(_) => true,
            Err(ClientError::Problem(problem)) if problem.code == "agent_unknown" => false,
            Err(error) => return Err(error.into()),
        };
        let wanted = present || args.yes || output.json || agreed(args)?;
        if wanted && !present {
            let new = terms(args);
            let terms = asked(&new);
            let what = async || Ok(format!("This creates the agent {}: {terms}.", new.handle));
            let act = async |operator: &Operator| operator.create_agent(&new).await;
            args.proving.raise(&operator, what, act).await?;
        }
        let snippet = connect::common_snippet(home, &args.agent)?;
        let created = wanted && !present;
        let told = json!({
            "home": home.dir(), "agent": args.agent, "created": created, "config": snippet,
        });
        output.print(&told, || words(args, home, (present, created), &snippet))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks at a terminal; without one the answer is yes.
fn agreed(args: &Args) -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    let Args { agent, cap, per_call, .. } = args;
    let question = format!(
        "Create the agent `{agent}` with {}, at most {per_call} per payment? [Y/n] ",
        cap.in_words()
    );
    io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

fn terms(args: &Args) -> NewAgent {
    NewAgent {
        handle: args.agent.clone(),
        funding: Funding::Allowance,
        per_call_limit_usd: Some(args.per_call),
        caps: vec![CapTerms(args.cap.clone())],
        timezone: Zone::utc(),
        allow: BTreeSet::new(),
        deny: BTreeSet::new(),
        expires_at: None,
        local: LocalUse::Allowed,
        rates: Vec::new(),
        burst: None,
        denials: None,
        hours: None,
        days: None,
        cooldown: None,
        group: None,
    }
}

fn words(args: &Args, home: &Home, (present, created): (bool, bool), snippet: &Value) -> String {
    let agent = &args.agent;
    let state = match (present, created) {
        (true, _) => "was there already and is left as it is".to_owned(),
        (_, true) => {
            format!("created: {}, at most {} per payment", args.cap.in_words(), args.per_call)
        }
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
