//! `pettycash operator`: who may give an agent more.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
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
};
use crate::{
    client::Operator,
    clock::Clock,
    home::Home,
    policy::{
        names::{Label, TokenId},
        terms::{NewPassphrase, NewToken, Secret, TokenView},
    },
};

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
    Tokens,
    /// Have an operator's token prove nothing any more, at once
    TokenRevoke {
        /// The token's id, `tok_…`: see `pettycash operator tokens`
        id: TokenId,
    },
}

const INIT_HELP: &str = "\
Examples:
  pettycash operator init                          asks for it twice
  pettycash operator init --passphrase-file FILE   or `-` for stdin
  pettycash operator init --replace                another one, once the present one is proven

What asks for it: top-up, refund, pay, mandate changes that give more, unfreeze, new agents, tokens
and services. Freezing, revoking and tightening never ask. Nobody can read it back: keep it.";

const TOKEN_HELP: &str = "\
Examples:
  pettycash operator token --label ci --expires 7d > operator.token
  pettycash top-up intern 2.00 --operator-token-file operator.token
  PETTYCASH_OPERATOR_TOKEN=$(cat operator.token) pettycash agent unfreeze scout

The token is the only thing on stdout. It is not kept, and cannot be shown again.";

#[derive(Debug, clap::Args)]
struct Init {
    /// Where the passphrase is, instead of asking: a file, or `-` for stdin
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
    /// When it ends: 30d, 12h or 2026-12-31T00:00:00Z
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
                let new = NewToken { run: None, label, expires_at: ends };
                let what = async || Ok("This makes a token that proves an operator.".to_owned());
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
        None => secret_in(Path::new("-"))?,
    };
    let new = NewPassphrase { passphrase: Secret(passphrase) };
    let what = async || Ok("This replaces the operators' passphrase.".to_owned());
    let act = async |operator: &Operator| operator.set_passphrase(&new).await;
    let door = proving.prove(operator, what, act).await?;
    // Until now nobody had to prove anything to get one.
    let tokens = operator.operator_tokens().await?.tokens.len();
    output.print(&door, || {
        let set = "The passphrase is set: whatever gives an agent more asks for it from now on.";
        let before = format!(
            "{tokens} operators' tokens do as well: revoke those that are not yours\n\
             (pettycash operator tokens, pettycash operator token-revoke ID)."
        );
        let programs = "For programs: pettycash operator token --label ci --expires 30d";
        if tokens == 0 { format!("{set}\n{programs}") } else { format!("{set}\n{before}") }
    })
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
