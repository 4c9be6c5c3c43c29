//! `pettycash doctor`: what could be wrong, and one line each on what to do about it.

mod books;
mod clients;
mod machine;
mod serving;

use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::{
    output::{FAILED, Output, plain, wait},
    owner,
};
use crate::home::{Home, HomeError};

/// `pettycash doctor`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash doctor
  pettycash doctor --json

One line for each thing that is looked at: ok, warn or fail, and after an arrow what to do.
Exit code 1 when something fails. It changes nothing, but starts `serve` where none runs.")]
pub(super) struct Args {}

/// The least room for what is looked at.
const NARROW: usize = 8;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    #[serde(rename = "check")]
    what: &'static str,
    level: Level,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, level: Level::Ok, found: found.into(), fix: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, level: Level::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(what, found, fix) }
    }

    /// What an error says, and its remedy or else `fix`.
    fn failed(what: &'static str, error: impl Into<anyhow::Error>, fix: &str) -> Self {
        let error = error.into();
        let found: Vec<String> = error.chain().map(ToString::to_string).collect();
        Self::fail(what, found.join(": "), owner::hint(&error).unwrap_or_else(|| fix.to_owned()))
    }
}

pub(super) fn run(
    _: &Args,
    home: Result<Home, HomeError>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let checks = wait(async { Ok(examine(home).await) })?;
    let fails = checks.iter().any(|check| check.level == Level::Fail);
    output.print(&json!({"ok": !fails, "checks": checks}), || words(&checks))?;
    Ok(if fails { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

async fn examine(home: Result<Home, HomeError>) -> Vec<Check> {
    let mut checks = Vec::new();
    match home {
        Err(error) => checks.push(Check::failed("home", error, "")),
        Ok(home) => {
            checks.push(Check::ok("home", format!("{} is yours alone", home.dir().display())));
            checks.push(machine::disk(&home));
            let operator = owner::operator(&home);
            match operator.health().await {
                Err(error) => {
                    let see = format!("see {}", home.log().display());
                    checks.push(Check::failed("serve", error, &see));
                }
                Ok(health) => {
                    checks.extend(serving::checks(&health));
                    checks.extend(books::checks(&operator).await);
                    checks.extend(clients::checks(&home, &operator).await);
                }
            }
            checks.push(machine::log(&home));
        }
    }
    checks.push(machine::path());
    checks
}

fn words(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0).max(NARROW);
    let line = |Check { what, level, found, fix }: &Check| {
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let fix = fix.as_ref().map(|fix| format!("  → {fix}")).unwrap_or_default();
        plain(&format!("{level:<4}  {what:<width$}  {found}{fix}"))
    };
    let mut lines: Vec<String> = checks.iter().map(line).collect();
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    lines.push(match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "All is well.".to_owned(),
        (fails, warns) => format!("{fails} to mend, {warns} to look at."),
    });
    lines.join("\n")
}
