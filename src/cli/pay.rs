//! `pettycash pay`: the operator's test payment, on the same road as the model's.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use super::{
    output::{NOT_PAID, Output, PAID, UNWRITABLE, note, plain, wait},
    owner,
    proof::Proving,
    response::Target,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        answer::{ApiCall, ApiResponse, Outcome, PayAnswer, Refused},
        code::Code,
        denial::Advice,
        money::Usd,
        names::{Handle, IdempotencyKey, PaymentId, ServiceId},
        task::TaskId,
        terms::PaymentTerms,
    },
};

/// `pettycash pay HANDLE SERVICE [AMOUNT]`
#[derive(Debug, clap::Args)]
#[command(after_help = r#"Examples:
  pettycash pay scout search
  pettycash pay scout report 0.40 --key monday-report --json
  pettycash pay scout search --dry-run
  pettycash pay scout weather --request '{"operation": "now", "params": {"place": "Lyon"}}'
  pettycash pay scout maps --request '{"operation": "tile"}' --output tile.png

It is a payment as any other of this agent: decided, charged and written down the same way.
Exit code 3 when it is not paid, or not yet (denied, failed, in doubt or in progress), 4 when the
record cannot be written. --json prints what the model would get. With --dry-run it is decided the
same way, and nothing is charged, held or written down; exit code 0 where it would be paid.
With --output what the API answers is written to a file that nobody else may read. Of what is
neither JSON nor text only the size is printed: `pettycash response` has it for 15 minutes."#)]
pub(super) struct Args {
    /// The agent that pays
    handle: Handle,
    /// What it pays for
    service: ServiceId,
    /// The price where the service has none; else the most to pay, in dollars
    #[arg(allow_negative_numbers = true)]
    amount: Option<Usd>,
    /// A name of yours for the payment: with the same one it is paid once
    #[arg(long)]
    key: Option<IdempotencyKey>,
    /// Say what would come of it, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The open task that it belongs to
    #[arg(long, value_name = "TASK")]
    task: Option<TaskId>,
    /// What to call, of a service that is an API: the tool's `request`, in JSON
    #[arg(long, value_name = "JSON")]
    request: Option<ApiCall>,
    /// Write what the API answers to a file
    #[arg(long, value_name = "FILE", requires = "request", conflicts_with = "dry_run")]
    output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { handle, service, amount, key, dry_run, task, request, proving, .. } = args;
    // Before anything is paid that could not be written down then.
    let target = args.output.map(|path| Target::new(path, args.force)).transpose()?;
    // So that a connection that breaks does not leave it open whether it was paid.
    let call_id = format!("operator-{:032x}", u128::from_le_bytes(random()?)).parse().ok();
    let payment = PaymentTerms {
        service_id: service.clone(),
        amount_usd: amount,
        idempotency_key: key,
        call_id,
        dry_run,
        task_id: task,
        request,
    };
    let operator = owner::operator(home);
    wait(async {
        let price = amount.map_or("its price".to_owned(), |amount| format!("at most {amount}"));
        let what = async || Ok(format!("This pays {service} {price} from the budget of {handle}."));
        let act = async |operator: &Operator| operator.pay(&handle, &payment).await;
        let answer = if dry_run {
            act(&operator).await?
        } else {
            proving.raise(&operator, what, act).await?
        };
        output.print(&answer, || {
            let answered = answered(&answer, target.is_none()).unwrap_or_default();
            format!("{}\n{answered}", words(&answer, &handle, &service).trim_end())
        })?;
        if let (Some(target), Some(payment)) = (&target, answer.payment_id) {
            write_down(target, &operator, &answer, payment).await?;
        }
        Ok(ExitCode::from(code(&answer.refused)))
    })
}

/// The exit code that an answer deserves.
fn code(answer: &Refused) -> u8 {
    match answer {
        Refused { code: Some(Code::LedgerUnwritable), .. } => UNWRITABLE,
        Refused { outcome: Some(Outcome::Paid | Outcome::Allowed), .. } => PAID,
        _ => NOT_PAID,
    }
}

fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn words(answer: &PayAnswer, handle: &Handle, service: &ServiceId) -> String {
    let refused = &answer.refused;
    let id = answer.payment_id.map(|id| format!(" ({id})")).unwrap_or_default();
    if refused.outcome == Some(Outcome::Paid) {
        let charged = answer.charged_usd.unwrap_or_default();
        let available = answer.available_usd.unwrap_or_default();
        let again = if answer.replayed == Some(true) { " before, with the same key" } else { "" };
        let note = answer.note.as_ref().map(|note| format!("\n{note}")).unwrap_or_default();
        return format!(
            "Paid {charged} for {service}{again}{id}: {handle} has {available} left.{note}"
        );
    }
    if refused.outcome == Some(Outcome::Allowed) {
        let price = answer.price_usd.unwrap_or_default();
        let available = answer.available_usd.unwrap_or_default();
        return format!(
            "{service} would be paid, for {price}: {handle} has {available} left. Nothing was \
             charged."
        );
    }
    let message = refused.message.clone().unwrap_or_default();
    let outcome = refused.outcome.and_then(word).unwrap_or_else(|| "denied".to_owned());
    let code = refused.code.map(|code| format!(", {}", code.word())).unwrap_or_default();
    let mut told = format!("{outcome}{code}{id}: {message}\n");
    if let Some(advice) = refused.advice.and_then(word) {
        let _ = write!(told, "advice: {advice}");
        let most = answer.max_affordable_usd.filter(|_| refused.advice == Some(Advice::Shrink));
        let most = most.map(|most| format!(", {most} at the most"));
        let wait = refused.retry_after_s.map(|seconds| format!(", in {seconds} s"));
        let _ = writeln!(told, "{}", [most, wait].into_iter().flatten().collect::<String>());
    }
    let nearest: Vec<_> = answer.nearest.iter().map(|name| name.0.to_string()).collect();
    let others = answer.alternatives.iter();
    let others = others.map(|other| format!("{} at {}", other.service_id.0, other.price_usd));
    for (what, names) in [("did you mean", nearest), ("instead", others.collect())] {
        if !names.is_empty() {
            let _ = writeln!(told, "{what}: {}", names.join(", "));
        }
    }
    told
}

/// Writes what was answered to a file, or says why there is nothing in it.
async fn write_down(
    target: &Target,
    operator: &Operator,
    answer: &PayAnswer,
    payment: PaymentId,
) -> anyhow::Result<()> {
    if answer.response.is_some() {
        note(&target.fetch(operator, payment).await?.words());
    } else if answer.refused.outcome == Some(Outcome::InProgress) {
        note(&format!(
            "Nothing is written yet: once it is paid, `pettycash response {payment}` does that."
        ));
    }
    Ok(())
}

/// What the API answered, each line with nothing hidden in it: its body only if that is `shown`.
fn answered(answer: &PayAnswer, shown: bool) -> Option<String> {
    let response = answer.response.as_ref()?;
    let ApiResponse { status, content_type, body, bytes, truncated, resource, .. } = response;
    let kind = content_type.as_ref().map(|kind| format!(", {kind}")).unwrap_or_default();
    let size = bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    let cut = if truncated.is_some() { ", the first of it" } else { "" };
    let text = match body {
        Some(body) => body.as_str().map_or_else(|| format!("{body:#}"), str::to_owned),
        None => String::new(),
    };
    let mut lines: Vec<String> = text.lines().filter(|_| shown).map(plain).collect();
    if let (true, Some(_), Some(payment)) = (shown, resource, answer.payment_id) {
        lines.push(format!(
            "It is no text. For 15 minutes `pettycash response {payment} --output FILE` has it."
        ));
    }
    Some(format!("answered {status}{kind}{size}{cut}\n{}", lines.join("\n")))
}

/// The word that programs get.
fn word(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Code, NOT_PAID, Outcome, PAID, Refused, UNWRITABLE, code};

    #[test]
    fn only_what_was_paid_ends_as_paid() {
        let of = |outcome, code| Refused { outcome, code, ..Refused::default() };
        assert_eq!(code(&of(Some(Outcome::Paid), None)), PAID);
        for outcome in [Outcome::Denied, Outcome::InProgress, Outcome::InDoubt, Outcome::Failed] {
            assert_eq!(code(&of(Some(outcome), None)), NOT_PAID, "{outcome:?}");
        }
        assert_eq!(code(&of(None, None)), NOT_PAID);
        let unwritable = of(Some(Outcome::Denied), Some(Code::LedgerUnwritable));
        assert_eq!(code(&unwritable), UNWRITABLE);
    }
}
