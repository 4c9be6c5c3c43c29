//! `pettycash agent repin`: whom a service is to pay where the first payees stay.

use crate::{
    cli::{
        output::{Failure, Output},
        proof::Proving,
    },
    client::Operator,
    policy::{
        names::{Handle, Payee, ServiceId},
        terms::{self, AgentView},
    },
};

pub(super) const HELP: &str = "\
Examples:
  pettycash agent repin scout search                     who the catalogue has now
  pettycash agent repin scout search --payee \"Acme Inc\"

It is for agents with `--first-payee locked`: until then their payments are `payee_changed`. What
`--pin` names is changed by `pettycash mandate set`; where both hold a service, both must be so.";

#[derive(Debug, clap::Args)]
pub(super) struct Repin {
    /// The agent
    handle: Handle,
    /// The service
    service: ServiceId,
    /// Who may get the money; without it, who the catalogue has now
    #[arg(long)]
    payee: Option<Payee>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) async fn repin(asked: Repin, operator: &Operator, output: Output) -> anyhow::Result<()> {
    let Repin { handle, service, payee, proving } = asked;
    let found = in_catalogue(&service, operator).await?;
    let unknown = || Failure::Usage {
        message: format!("there is no service `{service}`"),
        hint: "`pettycash service list` shows the catalogue".to_owned(),
    };
    let payee = payee.or_else(|| found.clone()).ok_or_else(unknown)?;
    let before = operator.agent(&handle).await?;
    let first = before.first_paid.get(&service);
    let first = first.map(|payee| format!(", not {payee}")).unwrap_or_default();
    let against = against(&before, &service, &payee, found.as_ref());
    let body = terms::Repin { service_id: service.clone(), payee: payee.clone() };
    let what = async || {
        let first = format!("This has {service} of {handle} pay {payee}{first}, and nobody else.");
        Ok(lines(first, &against))
    };
    let act = async |operator: &Operator| operator.repin(&handle, &body).await;
    let acted = proving.raise(operator, what, act).await?;
    output.print(&acted, || {
        let done = if acted.changed {
            format!("{service} of {handle} is held to {payee} from now on, and to nobody else.")
        } else {
            format!("{service} of {handle} is held to {payee} already: nothing to do.")
        };
        lines(done, &against)
    })
}

fn lines(first: String, notes: &[String]) -> String {
    let notes = notes.iter().map(|note| format!("note: {note}"));
    std::iter::once(first).chain(notes).collect::<Vec<_>>().join("\n")
}

/// Why nothing is paid for `service` though it is held to `payee`.
fn against(
    agent: &AgentView,
    service: &ServiceId,
    payee: &Payee,
    found: Option<&Payee>,
) -> Vec<String> {
    let pinned = agent.pinned.get(service).filter(|pinned| *pinned != payee).map(|pinned| {
        let handle = agent.handle();
        format!(
            "the mandate pins {service} to {pinned}: nothing is paid for it until \
             `pettycash mandate set {handle}` says so with --pin or --no-pin"
        )
    });
    let elsewhere = found.filter(|found| *found != payee);
    let elsewhere = elsewhere.map(|found| {
        format!("the catalogue has {service} pay {found}: nothing is paid for it as it is")
    });
    pinned.into_iter().chain(elsewhere).collect()
}

/// Who gets the money of a service now, where there is such a service.
async fn in_catalogue(service: &ServiceId, operator: &Operator) -> anyhow::Result<Option<Payee>> {
    let catalogue = operator.services().await?.services;
    let found = catalogue.into_iter().find(|view| view.service_id.0 == *service);
    Ok(found.map(|view| view.payee.parse()).transpose()?)
}
