//! `pettycash agent`: who may spend, and how much.

mod create;
mod repin;
mod show;
pub(super) use show::{Sums, cap as cap_words, sums};
mod stop;
mod token;

pub(super) use token::{given, revoked as revoked_token, rows as token_rows};

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    output::{Output, wait},
    owner, preset,
    words::asked,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        mandate::Funding,
        names::{Handle, Note, Reason, TokenId},
        terms::{AgentView, Revocation},
    },
};

/// `pettycash agent …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const REVOKE_HELP: &str = "\
Examples:
  pettycash agent revoke scout --reason compromised
  pettycash agent revoke scout --reason looping --note \"it looped over the weekend\"";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a new agent a handle and a mandate
    #[command(after_help = create::HELP)]
    Create(Box<create::Create>),
    /// List every agent, what it has left and how it stands
    #[command(after_help = "Example:\n  pettycash agent list")]
    List,
    /// Show one agent: balance, limit, caps and services
    #[command(after_help = "Example:\n  pettycash agent show scout")]
    Show {
        /// The agent
        handle: Handle,
    },
    /// Stop an agent for now, or every one
    #[command(after_help = stop::FREEZE_HELP)]
    Freeze(stop::Freeze),
    /// Let a frozen agent pay again, or every one
    #[command(after_help = stop::UNFREEZE_HELP)]
    Unfreeze(stop::Unfreeze),
    /// Give an agent a token, its identity beyond this machine, and print it this one time
    #[command(after_help = token::HELP)]
    Token(token::Give),
    /// List an agent's tokens: what they are called, until when they last, when they were used
    #[command(after_help = "Example:\n  pettycash agent tokens scout")]
    Tokens {
        /// The agent
        handle: Handle,
    },
    /// Print a new token in place of one, which goes on for a while
    TokenRotate(token::Rotate),
    /// Have a token let nobody in any more, at once
    #[command(after_help = "Example:\n  pettycash agent token-revoke tok_0123456789ab")]
    TokenRevoke {
        /// The token's id, `tok_…`: see `pettycash agent tokens`
        id: TokenId,
    },
    /// Print what the presets of `agent create --preset` and `init --preset` are, as a policy
    #[command(after_help = "Example:\n  pettycash agent presets > policy.toml")]
    Presets,
    /// Have a service pay another payee than the one that it paid first
    #[command(after_help = repin::HELP)]
    Repin(repin::Repin),
    /// End an agent's right to pay, for good and at once
    #[command(after_help = REVOKE_HELP)]
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

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::Create(create) => {
                let (new, proving) = create::terms(*create)?;
                let terms = asked(&new);
                let what = async || Ok(format!("This creates the agent {}: {terms}.", new.handle));
                let act = async |operator: &Operator| operator.create_agent(&new).await;
                // One that starts at zero can spend nothing until somebody gives it something.
                let view = match new.funding {
                    Funding::Allowance => proving.raise(&operator, what, act).await?,
                    Funding::Prepaid => proving.prove(&operator, what, act).await?,
                };
                output.print(&view, || create::created(&view))?;
            }
            Verb::List => {
                let agents = operator.agents().await?;
                output.print(&agents, || show::list(&agents.agents))?;
            }
            Verb::Show { handle } => {
                let view = operator.agent(&handle).await?;
                output.print(&view, || show::show(&view))?;
            }
            Verb::Revoke { handle, reason, note } => {
                let asked = reason.to_string();
                let view = operator.revoke(&handle, &Revocation { reason, note }).await?;
                output.print(&view, || revoked(&view, &asked))?;
            }
            Verb::Token(asked) => token::give(asked, &operator, output).await?,
            Verb::Tokens { handle } => {
                let list = operator.tokens(&handle).await?;
                output.print(&list, || token::list(&handle, &list.tokens))?;
            }
            Verb::TokenRotate(asked) => token::rotate(asked, &operator, output).await?,
            Verb::TokenRevoke { id } => {
                let view = operator.revoke_token(&id).await?;
                output.print(&view, || token::revoked(&view))?;
            }
            Verb::Presets => {
                let presets = preset::all().map_err(anyhow::Error::msg)?;
                output.print(&presets, || preset::TEXT.trim_end().to_owned())?;
            }
            Verb::Repin(asked) => repin::repin(asked, &operator, output).await?,
            Verb::Freeze(asked) => stop::freeze(asked, &operator, output).await?,
            Verb::Unfreeze(asked) => stop::unfreeze(asked, &operator, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn revoked(view: &AgentView, asked: &str) -> String {
    let handle = view.handle();
    match &view.balance.reason {
        Some(reason) if reason != asked => format!("{handle} was revoked before ({reason})."),
        Some(_) | None => format!("Revoked {handle} ({asked}). It can never pay again."),
    }
}
