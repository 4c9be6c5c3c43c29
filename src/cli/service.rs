//! `pettycash service`: what agents may pay for.

use std::process::ExitCode;

use clap::{ArgGroup, Subcommand};

use super::{
    endpoint, import,
    output::{Output, above_zero, table, wait},
    owner,
    proof::Proving,
    service_test,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        money::Usd,
        names::{Category, Payee, RailName, ServiceId},
        terms::{EndpointTerms, NewService, ServiceEntry},
    },
};

/// `pettycash service …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a service to the catalogue
    #[command(after_help = ADD_HELP)]
    Add(Add),
    /// List the catalogue
    #[command(after_help = "Example:\n  pettycash service list")]
    List,
    /// Show one service: whom it pays, how, and what of it can be called
    #[command(after_help = "Example:\n  pettycash service show search")]
    Show {
        /// The service
        id: ServiceId,
    },
    /// Call a service yourself, with its key, and see what an agent would be charged
    #[command(after_help = TEST_HELP)]
    Test(service_test::Test),
    /// Print a policy's file out of what an API's own document says; nothing is applied
    #[command(after_help = IMPORT_HELP)]
    Import(import::Import),
    /// Take a service out of the catalogue: nobody can pay it any more
    #[command(after_help = "Example:\n  pettycash service remove search\n\n\
        What was paid stays as it is. Mandates that name it keep the name.")]
    Remove {
        /// The service
        id: ServiceId,
    },
}

const TEST_HELP: &str = "\
Examples:
  pettycash service test weather
  pettycash service test weather now --request '{\"params\": {\"place\": \"Lyon\"}}'

It is your own call, made by `serve` as an agent's would be, with the same key: nothing is held, no
agent is charged, and it is an entry of the ledger. The API's side may charge you. Without an
operation, the first that only reads and takes no parameters in its path is called. What comes back
is shown as data, whatever it says. Exit code 0 where an agent would have been charged.";

const IMPORT_HELP: &str = "\
Examples:
  pettycash service import openapi.json > weather.toml
  pettycash service import x402.json
  pettycash diff weather.toml              what it would change, once you have looked at it

FILE is an OpenAPI 3 document, with `x-payment-info` where it tells prices, or what an API has at
/.well-known/x402.json; in JSON (for YAML: `yq -o json openapi.yaml`). Nothing is fetched and
nothing applied. What it says is what somebody claims: see where it leads and what it costs before
you apply it, and where its key is found. What it gives no price has to be given one before it can
be applied. What does not fit is listed at the end.";

const ADD_HELP: &str = "\
Examples:
  pettycash service add search --payee \"Acme Search\" --price 0.02
  pettycash service add report --payee \"Acme Reports\" --no-price --category research";

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("cost").required(true).args(["price", "no_price"])))]
struct Add {
    /// Its name: a-z, 0-9, `-` and `_`, at most 63
    id: ServiceId,
    /// Who gets the money
    #[arg(long)]
    payee: Payee,
    /// The fixed price of one call, in dollars
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    price: Option<Usd>,
    /// Without a price of its own: what the caller asks is the price
    #[arg(long)]
    no_price: bool,
    /// What kind of service it is, for caps such as `20x/hour category=llm`
    #[arg(long, value_name = "NAME")]
    category: Option<Category>,
    /// Take the place of a service of this name with another payee, price or category
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::Add(Add { price: Some(Usd::ZERO), .. }) => return Err(above_zero().into()),
            Verb::Add(Add { id, payee, price, category, replace, proving, .. }) => {
                let (price_usd, rail) = (price, RailName::iou());
                let endpoint = EndpointTerms::default();
                let new = NewService { id, payee, price_usd, rail, replace, category, endpoint };
                let priced = price_words(price);
                let what = async || Ok(format!("This has {} paid, {priced}.", new.payee));
                let act = async |operator: &Operator| operator.add_service(&new).await;
                let view = proving.raise(&operator, what, act).await?;
                output.print(&view, || {
                    let (id, payee) = (&view.service_id.0, &view.payee);
                    format!("{id} pays {payee}, {}.", price_words(view.price_usd))
                })?;
            }
            Verb::List => {
                let services = operator.services().await?;
                output.print(&services, || list(&services.services, home))?;
            }
            Verb::Show { id } => {
                let service = operator.service(&id).await?;
                output.print(&service, || show(&service, home))?;
            }
            Verb::Import(import) => return import::run(&import, output),
            Verb::Test(test) => return service_test::run(test, &operator, output).await,
            Verb::Remove { id } => {
                let view = operator.remove_service(&id).await?;
                output.print(&view, || {
                    format!("Removed {id}, which paid {}: nobody can pay it any more.", view.payee)
                })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn price_words(price: Option<Usd>) -> String {
    price.map_or("at the price the caller names".to_owned(), |price| format!("{price} a call"))
}

/// Where a program that speaks no MCP reaches an API: its base URL.
fn gateway(service: &str, home: &Home) -> String {
    let listening = home.serving().and_then(|serving| serving.listen);
    match listening {
        Some(address) => format!("http://{address}/gateway/{service}"),
        None => format!(
            "http://127.0.0.1:7402/gateway/{service} (while `pettycash serve --listen` runs)"
        ),
    }
}

fn list(services: &[ServiceEntry], home: &Home) -> String {
    if services.is_empty() {
        return "No services yet. Add one: pettycash service add search --payee \"Acme Search\" \
                --price 0.02"
            .to_owned();
    }
    let rows = services.iter().map(|service| {
        let category = service.category.as_ref().map_or("-".to_owned(), ToString::to_string);
        let rail = match &service.endpoint.base_url {
            Some(base_url) => format!("{} to {base_url}", service.rail),
            None => service.rail.to_string(),
        };
        let id = service.service_id.0.to_string();
        vec![id, service.payee.clone(), cost(service), category, rail]
    });
    let table = table(&["SERVICE", "PAYEE", "PRICE", "CATEGORY", "RAIL"], rows);
    if services.iter().all(|service| service.endpoint.base_url.is_none()) {
        return table;
    }
    format!("{table}\n\nFor programs that speak no MCP: {}", gateway("SERVICE", home))
}

/// What a call costs, in a few words.
fn cost(service: &ServiceEntry) -> String {
    let operations = service.endpoint.operations.len();
    match (service.price_usd, operations) {
        (Some(price), 0) => price.to_string(),
        (None, 0) => "named by the caller".to_owned(),
        (_, 1) => "1 operation".to_owned(),
        (_, several) => format!("{several} operations"),
    }
}

/// All that is known of one, the secret's place but not the secret.
fn show(service: &ServiceEntry, home: &Home) -> String {
    let mut rows = vec![
        ("service", service.service_id.0.to_string()),
        ("payee", service.payee.clone()),
        ("price", price_words(service.price_usd)),
        ("rail", service.rail.to_string()),
    ];
    rows.extend(service.category.iter().map(|category| ("category", category.to_string())));
    rows.extend(endpoint::rows(&service.endpoint));
    if service.endpoint.base_url.is_some() {
        rows.push(("gateway", gateway(service.service_id.0.as_str(), home)));
    }
    table(&[], rows.into_iter().map(|(what, told)| vec![what.to_owned(), told]))
}
