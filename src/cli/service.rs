//! `pettycash service`: what agents may pay for.

use std::process::ExitCode;

use clap::{ArgGroup, Subcommand};

use super::{
    output::{Output, above_zero, table, wait},
    owner,
    proof::Proving,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        answer::ServiceView,
        money::Usd,
        names::{Category, Payee, RailName, ServiceId},
        terms::NewService,
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
    /// Take a service out of the catalogue: nobody can pay it any more
    #[command(after_help = "Example:\n  pettycash service remove search\n\n\
        What was paid stays as it is. Mandates that name it keep the name.")]
    Remove {
        /// The service
        id: ServiceId,
    },
}

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
                let new = NewService { id, payee, price_usd, rail, replace, category };
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
                output.print(&services, || list(&services.services))?;
            }
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

fn list(services: &[ServiceView]) -> String {
    if services.is_empty() {
        return "No services yet. Add one: pettycash service add search --payee \"Acme Search\" \
                --price 0.02"
            .to_owned();
    }
    let rows = services.iter().map(|service| {
        let price = service.price_usd.map_or("named by the caller".to_owned(), |p| p.to_string());
        let category = service.category.as_ref().map_or("-".to_owned(), ToString::to_string);
        vec![service.service_id.0.to_string(), service.payee.clone(), price, category]
    });
    table(&["SERVICE", "PAYEE", "PRICE", "CATEGORY"], rows)
}
