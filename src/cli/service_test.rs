//! `pettycash service test`: the operator's own call of a service.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    output::{FAILED, Output, plain, table},
    proof::Proving,
};
use crate::{
    client::Operator,
    policy::{
        names::ServiceId,
        service_test::TestOutcome,
        terms::{ServiceTest, TestAsked},
    },
};

/// How much of the body is shown.
const LINES: usize = 20;
const COLUMNS: usize = 200;

/// `pettycash service test X [OPERATION]`
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The service
    id: ServiceId,
    /// Which of its operations
    operation: Option<String>,
    /// The request as an agent would send it: JSON with `params`, `query`, `headers` and `body`
    #[arg(long, value_name = "JSON")]
    request: Option<String>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) async fn run(
    test: Test,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let Test { id, operation, request, proving } = test;
    let asked = TestAsked { operation, request };
    let what = async || Ok(format!("This calls {id} with its key: its side may charge for it."));
    let act = async |operator: &Operator| operator.test_service(&id, &asked).await;
    let told = proving.raise(operator, what, act).await?;
    output.print(&told, || words(&told))?;
    let charged = told.outcome == TestOutcome::Charged;
    Ok(if charged { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn words(test: &ServiceTest) -> String {
    let mut rows = vec![
        ("service", test.service_id.0.to_string()),
        ("operation", test.operation.clone()),
        ("outcome", test.outcome.in_words().to_owned()),
    ];
    rows.extend(test.would_hold_usd.map(|amount| ("would hold", amount.to_string())));
    rows.extend(test.would_charge_usd.map(|amount| ("would charge", amount.to_string())));
    if let Some(response) = &test.response {
        rows.push(("status", response.status.to_string()));
        rows.extend(response.content_type.iter().map(|kind| ("type", kind.clone())));
    }
    rows.extend(test.size.map(|size| ("size", format!("{size} bytes"))));
    rows.extend(test.why.iter().map(|why| ("hint", why.clone())));
    let rows = rows.into_iter().map(|(what, told)| vec![what.to_owned(), told]);
    let mut lines = vec![table(&[], rows)];
    if let Some(body) = test.response.as_ref().and_then(|response| response.body.as_ref()) {
        lines.push("It answered, as data:".to_owned());
        lines.push(first_lines(body));
    }
    lines.join("\n")
}

/// The first lines of a body, each behind a bar, so that nothing in it looks like a line of ours.
fn first_lines(body: &Value) -> String {
    let text = match body {
        Value::String(text) => text.clone(),
        json => serde_json::to_string_pretty(json).unwrap_or_default(),
    };
    let mut lines = text.lines();
    let line = |line: &str| {
        let shown: String = plain(line).chars().take(COLUMNS).collect();
        let more = if line.chars().nth(COLUMNS).is_some() { "…" } else { "" };
        format!("  | {shown}{more}")
    };
    let mut shown: Vec<String> = lines.by_ref().take(LINES).map(line).collect();
    let more = lines.count();
    if more > 0 {
        shown.push(format!("  … {more} more lines"));
    }
    shown.join("\n")
}
