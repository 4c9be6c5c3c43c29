//! Proving that an operator asks, for whatever gives an agent more.
//!
//! Once there is a passphrase, `serve` asks for it, whoever speaks to it. Before, all that stands
//! between an agent's shell and its own budget is this look at the environment: a guard rail for
//! agents that mean well, and no wall.

use std::{
    env,
    ffi::OsString,
    fs::{File, Metadata},
    io::{self, ErrorKind, IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use rustix::process::geteuid;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::output::{Failure, note};
use crate::client::{ClientError, Operator, Proof};

/// Where programs find an operator's token. It is not for whatever we start.
pub(super) const TOKEN_VARIABLE: &str = "PETTYCASH_OPERATOR_TOKEN";
/// How shells tell of what Ctrl-C has ended.
const INTERRUPTED: i32 = 130;
/// The longest file with a secret that is read.
const MAX_SECRET: usize = 4 * 1024;
/// What AI agents set in the shells that they run.
const MARKS: [&str; 6] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CURSOR_AGENT",
    "GEMINI_CLI",
    "CLINE_ACTIVE",
    "OPENCODE",
];
/// The beginning of more of them, but for those that people set for themselves.
const MARKS_PREFIX: &str = "CODEX_";
const NO_MARKS: [&str; 2] = ["CODEX_HOME", "CODEX_API_KEY"];

/// How somebody proves that he is an operator.
#[derive(Debug, clap::Args)]
pub(super) struct Proving {
    /// A file with an operator's token that only you can read (0600), for where nobody can type
    /// the passphrase; or have the token in `PETTYCASH_OPERATOR_TOKEN`
    #[arg(long, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
}

impl Proving {
    /// Does what gives an agent more, or spends what it has: as [`Self::prove`], and not for an AI
    /// agent where there is no passphrase.
    pub(super) async fn raise<T>(
        &self,
        operator: &Operator,
        what: impl AsyncFnOnce() -> anyhow::Result<String>,
        act: impl AsyncFn(&Operator) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        guard(operator).await?;
        self.prove(operator, what, act).await
    }

    /// Does what takes a proof once there is a passphrase. Where none was given, and somebody can
    /// be asked, he is told what changes, and types the passphrase.
    pub(super) async fn prove<T>(
        &self,
        operator: &Operator,
        what: impl AsyncFnOnce() -> anyhow::Result<String>,
        act: impl AsyncFn(&Operator) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        let token = self.token()?.map(Proof::Token);
        let shown = token.as_ref().map_or_else(|| operator.clone(), |token| operator.proven(token));
        match act(&shown).await {
            Err(ClientError::Problem(problem))
                if problem.code == "operator_proof_required" && can_be_asked() =>
            {
                note(&what().await?);
                let passphrase = Proof::Passphrase(ask("Operator's passphrase: ")?);
                Ok(act(&operator.proven(&passphrase)).await?)
            }
            done => Ok(done?),
        }
    }

    fn token(&self) -> anyhow::Result<Option<SecretString>> {
        if let Some(file) = &self.operator_token_file {
            return secret_in(file).map(Some);
        }
        let Some(named) = env::var_os(TOKEN_VARIABLE) else { return Ok(None) };
        let named = named.into_string().map(Zeroizing::new);
        match named.as_deref().map(|named| named.trim()) {
            Ok("") => Ok(None),
            Ok(token) if is_a_token(token) => Ok(Some(token.into())),
            Ok(_) | Err(_) => Err(Failure::Usage {
                message: format!("{TOKEN_VARIABLE} is not an operator's token (opr_…)"),
                hint: "set it to what `pettycash operator token` printed, or unset it".to_owned(),
            }
            .into()),
        }
    }
}

/// Whether a text could be an operator's token; `serve` tells whether it is one.
fn is_a_token(text: &str) -> bool {
    text.starts_with("opr_") && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Refuses an AI agent, as far as it can be told, where there is no passphrase to ask for.
pub(super) async fn guard(operator: &Operator) -> anyhow::Result<()> {
    let Some(mark) = marks(env::vars_os()).next() else { return Ok(()) };
    if operator.door().await?.initialised {
        return Ok(());
    }
    Err(Failure::OperatorNeeded {
        message: format!(
            "this is an operator's to do, and it is an AI agent that asks: {mark} is set"
        ),
        hint: "type it in a terminal of your own. This is a guard rail, not a wall; `pettycash \
               operator init` has everybody asked for a passphrase instead"
            .to_owned(),
    }
    .into())
}

/// Whether it is an AI agent that asks, as far as the environment tells.
pub(super) fn is_agent() -> bool {
    marks(env::vars_os()).next().is_some()
}

/// The variables by which AI agents can be told.
pub(super) fn marks(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = String> {
    let told = variables.filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    told.filter_map(|name| name.into_string().ok()).filter(|name| {
        let of_codex = name.starts_with(MARKS_PREFIX) && !NO_MARKS.contains(&name.as_str());
        of_codex || MARKS.contains(&name.as_str())
    })
}

fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret at the terminal, which does not show it.
///
/// # Errors
/// If nobody answers; the terminal is as it was then.
pub(super) fn ask(prompt: &str) -> anyhow::Result<SecretString> {
    // At Ctrl-C the library raises the signal before it gives the terminal its voice back. If
    // nobody listened, that would be the end of us, and the shell would show nothing any more.
    let mut interrupts = signal(SignalKind::interrupt()).context("could not listen for Ctrl-C")?;
    let typed = rpassword::prompt_password(prompt).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => anyhow!("interrupted: nothing was done"),
        ErrorKind::UnexpectedEof => anyhow!("nothing was typed: nothing was done"),
        _ => anyhow!(error).context("could not ask at the terminal"),
    })?;
    // Later on it ends us as ever.
    tokio::spawn(async move {
        interrupts.recv().await;
        std::process::exit(INTERRUPTED)
    });
    Ok(typed.into())
}

/// The secret in a file, without the end of its line; `-` is stdin.
///
/// # Errors
/// If others may read the file, or it holds more than one short line: it is hardly what is meant.
pub(super) fn secret_in(file: &Path) -> anyhow::Result<SecretString> {
    let doing = || format!("could not read `{}`", file.display());
    let most = MAX_SECRET as u64 + 1;
    // It has room for all from the start: a text that grows leaves what it was behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_SECRET));
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_string(&mut text).with_context(doing)?;
    } else {
        let opened = File::open(file).with_context(doing)?;
        ours_alone(file, &opened.metadata().with_context(doing)?)?;
        opened.take(most).read_to_string(&mut text).with_context(doing)?;
    }
    if text.len() > MAX_SECRET {
        return Err(unfit(file, "is longer than 4 KiB").into());
    }
    let line = text.trim_end_matches(['\r', '\n']);
    if line.contains(['\r', '\n']) {
        return Err(unfit(file, "has more than one line").into());
    }
    Ok(line.into())
}

/// Refuses a file that somebody else could have read the secret in, or put another one into. What
/// is no plain file, as a pipe of the shell's, has nobody else's bits to tell.
fn ours_alone(file: &Path, known: &Metadata) -> Result<(), Failure> {
    const OTHERS: u32 = 0o077;
    if !known.is_file() {
        return Ok(());
    }
    let path = file.display();
    let refused = |message: String, hint: String| Err(Failure::Usage { message, hint });
    if ![geteuid().as_raw(), 0].contains(&known.uid()) {
        let message = format!("`{path}` belongs to somebody else, who can read what is in it");
        return refused(message, "have the secret in a file of your own".to_owned());
    }
    if known.mode() & OTHERS != 0 {
        let hint = format!("chmod 600 {path}, and see whether somebody did: then revoke it");
        return refused(format!("others may read or write `{path}`, which holds a secret"), hint);
    }
    Ok(())
}

fn unfit(file: &Path, what: &str) -> Failure {
    let message = format!("`{}` {what}: that is no secret of ours", file.display());
    Failure::Usage { message, hint: "it should hold the secret in one line alone".to_owned() }
}
