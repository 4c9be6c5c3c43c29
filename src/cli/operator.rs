//! `pettycash operator`: who may give an agent more.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};

use super::{
    agent,
    expiry::{Expiry, expiry},
    output::{Failure, Output, wait},
    owner,
    proof::{Proving, ask, secret_in},
    words,
};
use crate::{
    client::Operator,
    clock::Clock,
    home::Home,
    policy::{
        names::{Label, TokenId},
        terms::{NewPassphrase, NewToken, PassphraseGiven, Secret, TokenView},
    },
};

/// How many tokens and agents are named, of as many as there may be.
const NAMED: usize = 20;

/// `pettycash operator …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Choose a passphrase: from then on whatever gives an agent more asks for it
    #[command(after_help = INIT_HELP)]
    Init(Init),
    /// Print an operator's token, this one time: the proof for where nobody types a passphrase
    #[command(after_help = TOKEN_HELP)]
    Token(Token),
    /// List the operators' tokens: what they are called, until when they last, when they were used
    #[command(after_help = "Example:\n  pettycash operator tokens")]
    Tokens,
    /// Have an operator's token prove nothing any more, at once
    #[command(after_help = "Example:\n  pettycash operator token-revoke tok_0123456789ab")]
    TokenRevoke {
        /// The token's id, `tok_…`: see `pettycash operator tokens`
        id: TokenId,
    },
}

const INIT_HELP: &str = "\
Examples:
  pettycash operator init                          asks for it twice
  pettycash operator init --passphrase-file FILE   or `-` for stdin; FILE is yours alone (0600)
  pettycash operator init --replace                another one, once the present one is proven
  PETTYCASH_OPERATOR_TOKEN=$(cat operator.token) pettycash operator init --passphrase-file FILE

Operators' tokens from before the first passphrase end with it, for anybody could have one made; the
one that is shown with it, as in the last line, stays. `--replace` leaves them all. Agents' tokens
stay, for what they pay is bounded by the mandate: it says which agents have some.

What asks for it: top-up, refund, pay, mandate changes that give more, unfreeze, new agents, tokens
and services. Freezing, revoking and tightening never ask. Nobody can read it back: keep it.";

const TOKEN_HELP: &str = "\
Examples:
  (umask 077; pettycash operator token --label ci --expires 7d > operator.token)
  pettycash top-up intern 2.00 --operator-token-file operator.token
  PETTYCASH_OPERATOR_TOKEN=$(cat operator.token) pettycash agent unfreeze scout

A file with a token is taken only if nobody else can read it: hence the `umask`.
The token is the only thing on stdout. It is not kept, and cannot be shown again.";

#[derive(Debug, clap::Args)]
struct Init {
    /// Where the passphrase is, instead of asking: a file that only you can read, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Set another one in place of the present one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    proving: Proving,
}

#[derive(Debug, clap::Args)]
struct Token {
    /// When it ends: 30d, 12h, 30m or 2026-12-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// What you call it, to know it again
    #[arg(long)]
    label: Option<Label>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::Init(asked) => init(asked, &operator, output).await?,
            Verb::Token(Token { expires, label, proving }) => {
                let ends = expires.map(|expiry| expiry.at(&Clock::System, "token")).transpose()?;
                let new = NewToken { label, expires_at: ends, ..NewToken::default() };
                let terms = words::token(&new);
                let what =
                    async || Ok(format!("This makes a token that proves an operator, {terms}."));
                let act = async |operator: &Operator| operator.issue_operator_token(&new).await;
                let given = proving.raise(&operator, what, act).await?;
                agent::given(&given, output)?;
            }
            Verb::Tokens => {
                let list = operator.operator_tokens().await?;
                output.print(&list, || tokens(&list.tokens))?;
            }
            Verb::TokenRevoke { id } => {
                let view = operator.revoke_token(&id).await?;
                output.print(&view, || agent::revoked_token(&view))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn init(asked: Init, operator: &Operator, output: Output) -> anyhow::Result<()> {
    let Init { passphrase_file, replace, proving } = asked;
    if operator.door().await?.initialised && !replace {
        let message = "there is a passphrase already".to_owned();
        let hint = "`--replace` sets another one, once the present one is proven".to_owned();
        return Err(Failure::Usage { message, hint }.into());
    }
    super::proof::guard(operator).await?;
    let passphrase = match &passphrase_file {
        Some(file) => secret_in(file)?,
        None if io::stdin().is_terminal() => chosen()?,
        None => {
            let hint = "say where the passphrase is: `--passphrase-file FILE`, or `-` for stdin";
            let message = "there is no terminal to ask at".to_owned();
            return Err(Failure::Usage { message, hint: hint.to_owned() }.into());
        }
    };
    let new = NewPassphrase { passphrase: Secret(passphrase) };
    let what = async || Ok("This replaces the operators' passphrase.".to_owned());
    let act = async |operator: &Operator| operator.set_passphrase(&new).await;
    let given = proving.prove(operator, what, act).await?;
    output.print(&given, || initialised(&given))
}

/// What became of whoever could prove something before.
fn initialised(given: &PassphraseGiven) -> String {
    let PassphraseGiven { ended, kept, agents, .. } = given;
    let mut told =
        vec!["The passphrase is set: whatever gives an agent more asks for it from now on.".into()];
    if !ended.is_empty() {
        let many = ended.len();
        told.push(format!("Operators' tokens that were made before it prove nothing now: {many}."));
    }
    let names: Vec<String> = kept.iter().take(NAMED).map(named).collect();
    let more = kept.len().saturating_sub(NAMED);
    let others = if more == 0 { String::new() } else { format!(" and {more} more") };
    told.push(match kept.len() {
        0 => "For programs: pettycash operator token --label ci --expires 30d".to_owned(),
        many => format!(
            "Operators' tokens that go on: {many}, {}{others}.\n\
             Revoke what is not yours: pettycash operator tokens, operator token-revoke ID.",
            names.join(", ")
        ),
    });
    let names: Vec<String> =
        agents.iter().take(NAMED).map(|a| format!("{} {}", a.agent, a.tokens)).collect();
    let more = agents.len().saturating_sub(NAMED);
    let others = if more == 0 { String::new() } else { format!(" and {more} agents more") };
    if !names.is_empty() {
        told.push(format!(
            "Agents' tokens that were made before it go on, within the mandates: {}{others}.\n\
             Revoke what is not yours: pettycash agent tokens HANDLE, agent token-revoke ID.",
            names.join(", ")
        ));
    }
    told.join("\n")
}

fn named(token: &TokenView) -> String {
    let label = token.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
    format!("{}{label}", token.token_id)
}

/// A passphrase that was typed twice, the same.
fn chosen() -> anyhow::Result<SecretString> {
    let (one, two) = (ask("New passphrase: ")?, ask("Once more: ")?);
    if one.expose_secret() == two.expose_secret() {
        return Ok(one);
    }
    let message = "the two are not the same".to_owned();
    Err(Failure::Usage { message, hint: "nothing was set: try again".to_owned() }.into())
}

fn tokens(tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return "The operators have no tokens. Make one: pettycash operator token --expires 30d"
            .to_owned();
    }
    agent::token_rows(tokens)
}
