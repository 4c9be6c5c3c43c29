//! `pettycash policy explain`: which rule decided on a payment.

use std::process::ExitCode;

use crate::{
    cli::{
        output::{Output, plain, table, wait},
        owner,
        words::{amount, time},
    },
    home::Home,
    policy::{
        names::PaymentId,
        terms::{BoundView, Explained, ReasonView},
    },
};

/// `pettycash policy explain PAYMENT`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash policy explain pay_00000000052b8c1f
  pettycash policy explain pay_00000000052b8c1f --json

The agent's ledger is read from its beginning up to the payment, and decided on once more: the
numbers are those of that moment, and where that decision is not the one on record, it says so.")]
pub(super) struct Args {
    /// The payment or refusal: `pay_` and 16 hexadecimal digits, from the ledger
    payment: PaymentId,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let explained = operator.explain(args.payment).await?;
        output.print(&explained, || words(&explained))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn words(explained: &Explained) -> String {
    let mut told = vec![what(explained), why(explained)];
    if !explained.bounds.is_empty() {
        let heading = ["", "MOST", "USED", "HELD", "LEFT", ""];
        told.push(table(&heading, explained.bounds.iter().map(row)));
    }
    told.extend(explained.granted.as_ref().map(|granted| format!("The mandate then: {granted}.")));
    told.push(match (&explained.differs, explained.replayed) {
        (Some(differs), _) => format!(
            "Decided on once more, {differs}. The record is damaged, was written by another \
             version, or a freeze was in force before it could be recorded: see `pettycash verify`."
        ),
        (None, true) => String::new(),
        (None, false) => "The beginning of this record was moved away: these numbers are those \
                          that were written down then."
            .to_owned(),
    });
    told.retain(|line| !line.is_empty());
    told.join("\n")
}

fn what(explained: &Explained) -> String {
    let Explained { payment_id, agent, at, outcome, .. } = explained;
    let service = explained.service_id.as_ref().map(|id| format!(" for {}", id.0));
    let asked = explained.asked_usd.map(|asked| format!(", {asked}"));
    let run = explained.run.as_ref().map(|run| format!(" in the run {run}"));
    let task = explained.task_id.as_ref().map(|task| format!(" in the task {task}"));
    let more = [service, asked, run, task].into_iter().flatten().collect::<String>();
    plain(&format!("{payment_id} of {agent} was {outcome} at {}{more}.", time(*at)))
}

fn why(explained: &Explained) -> String {
    let rule = explained.rule.clone().unwrap_or_default();
    if explained.reasons.is_empty() {
        return match rule.as_str() {
            "" => "No rule of its mandate bore on it.".to_owned(),
            rule => format!("Every rule allowed it; what left the least was the {rule}."),
        };
    }
    let mut lines = vec![format!("Decided by: {rule}.")];
    for ReasonView { code, message, detail, .. } in &explained.reasons {
        lines.push(plain(&format!("  {code}: {message}")));
        lines.extend(detail.as_ref().map(|detail| plain(&format!("    {detail}"))));
    }
    if explained.repeated > 0 {
        let (times, s) = (explained.repeated, if explained.repeated == 1 { "" } else { "s" });
        lines.push(format!("It was refused {times} time{s} more, right after."));
    }
    lines.join("\n")
}

fn row(bound: &BoundView) -> Vec<String> {
    let fits = match (bound.fits, bound.resets_at) {
        (false, _) if bound.shadow => "would have denied".to_owned(),
        (true, _) => String::new(),
        (false, Some(at)) => format!("too little, until {}", time(at)),
        (false, None) => "too little".to_owned(),
    };
    let numbers = match (bound.cap_count, bound.used_count, bound.held_count) {
        (Some(most), Some(used), Some(held)) => {
            let left = most.saturating_sub(used).saturating_sub(held);
            [most, used, held, left].map(|number| number.to_string())
        }
        _ => [bound.cap_usd, bound.used_usd, bound.held_usd, bound.left_usd].map(amount),
    };
    std::iter::once(bound.rule.clone()).chain(numbers).chain([fits]).collect()
}
