//! `pettycash agent token`, `tokens`, `token-rotate` and `token-revoke`: who is let in by what.

use crate::{
    cli::{
        expiry::{Expiry, expiry, overlap},
        output::{Output, note, table},
        proof::Proving,
        words::{self, time},
    },
    client::Operator,
    clock::Clock,
    policy::{
        names::{Handle, Label, RunId, TokenId},
        terms::{NewToken, Rotation, TokenGiven, TokenView},
        token::Power,
    },
};

pub(super) const HELP: &str = "\
Examples:
  pettycash agent token scout --expires 30d --label laptop > scout.token
  pettycash agent token scout --run nightly-7        all it pays counts in that run
  pettycash agent token scout --may open-tasks       for what hands out its tasks
  pettycash agent tokens scout
  pettycash agent token-rotate tok_0123456789ab --overlap 24h
  pettycash agent token-revoke tok_0123456789ab

The token is the only thing on stdout. It is not kept, and cannot be shown again.";

#[derive(Debug, clap::Args)]
pub(super) struct Give {
    /// The agent that it lets in
    handle: Handle,
    /// When it ends: 30d, 12h, 30m or 2026-12-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// The run that all it does belongs to, for caps per run
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// What it lets its agent do beyond the rest: open-tasks, which is for an orchestrator
    #[arg(long, value_name = "WHAT")]
    may: Vec<Power>,
    /// What you call it, to know it again
    #[arg(long)]
    label: Option<Label>,
    #[command(flatten)]
    proving: Proving,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pettycash agent token-rotate tok_0123456789ab --overlap 1h")]
pub(super) struct Rotate {
    /// The old token's id, `tok_…`: see `pettycash agent tokens`
    id: TokenId,
    /// How long the old one goes on: 24h, 30m, 7d, or 0 to end it at once
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = overlap)]
    overlap: u32,
    /// When the new one ends, instead of living as long as the old one was to
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) async fn give(asked: Give, operator: &Operator, output: Output) -> anyhow::Result<()> {
    let Give { handle, expires, run, may, label, proving } = asked;
    let expires_at = expires.map(|expiry| expiry.at(&Clock::System, "token")).transpose()?;
    let new = NewToken { run, label, expires_at, may: may.into_iter().collect() };
    let terms = words::token(&new);
    let what = async || Ok(format!("This makes a token that lets {handle} in, {terms}."));
    let act = async |operator: &Operator| operator.issue_token(&handle, &new).await;
    given(&proving.raise(operator, what, act).await?, output)
}

pub(super) async fn rotate(
    asked: Rotate,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<()> {
    let Rotate { id, overlap, expires, proving } = asked;
    let expires_at = expires.map(|expiry| expiry.at(&Clock::System, "token")).transpose()?;
    let rotation = Rotation { overlap_s: overlap, expires_at };
    let ends = expires_at.map(|at| format!(", until {}", time(at))).unwrap_or_default();
    let what = async || {
        Ok(format!("This makes a token in place of {id}{ends}; {id} goes on for {overlap} s."))
    };
    let act = async |operator: &Operator| operator.rotate_token(&id, &rotation).await;
    given(&proving.raise(operator, what, act).await?, output)
}

/// Prints a token, alone, and tells what it is where only people look.
pub(in crate::cli) fn given(given: &TokenGiven, output: Output) -> anyhow::Result<()> {
    output.print(given, || given.token.expose().to_owned())?;
    if !output.json {
        let TokenView { token_id, agent, expires_at, .. } = &given.view;
        let whom = agent.as_ref().map_or("an operator".to_owned(), ToString::to_string);
        let until =
            expires_at.map_or("until it is revoked".to_owned(), |at| format!("until {}", time(at)));
        note(&format!("{token_id} lets in {whom} {until}. It is not shown again."));
        if let Some(old) = &given.replaces {
            note(&format!("{} goes on until {}.", old.token_id, time(old.ends_at)));
        }
        for remark in &given.remarks {
            note(&format!("note: {remark}"));
        }
    }
    Ok(())
}

pub(super) fn list(handle: &Handle, tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return format!("{handle} has no tokens. Give it one: pettycash agent token {handle}");
    }
    rows(tokens)
}

/// A line for each token.
pub(in crate::cli) fn rows(tokens: &[TokenView]) -> String {
    let or = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    let rows = tokens.iter().map(|view| {
        let over = if view.expired { " (over)" } else { "" };
        let ends = view.expires_at.map(|at| format!("{}{over}", time(at)));
        vec![
            view.token_id.to_string(),
            or(view.label.as_ref().map(ToString::to_string), "-"),
            or(view.run.as_ref().map(ToString::to_string), "-"),
            or(view.may.first().map(ToString::to_string), "-"),
            time(view.created_at),
            or(view.last_used_at.map(time), "never"),
            or(ends, "never"),
        ]
    });
    table(&["TOKEN", "LABEL", "RUN", "MAY", "CREATED", "LAST USED", "EXPIRES"], rows)
}

pub(in crate::cli) fn revoked(view: &TokenView) -> String {
    format!("Revoked {}. It lets nobody in any more.", view.token_id)
}
