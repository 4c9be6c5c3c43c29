//! `pettycash prices`: what metered calls of language models cost.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;

use super::{
    output::{Failure, Output, table, wait},
    owner,
    proof::{Proving, guard},
    words::time,
};
use crate::{
    client::Operator,
    clock::Clock,
    engine::prices::{self, MAX_TABLE},
    home::Home,
    policy::{
        names::Note,
        terms::{
            ModelPrice, PlainPrice, PriceChange, PriceChanges, PriceSource, PriceTable,
            PricesAsked, PricesPlan, PricesWanted,
        },
    },
};

/// What prices are told in, where only the plainest are.
const PER_MILLION: &str = "Dollars per million tokens, in calls of the tier standard.";

/// `pettycash prices …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what a million tokens of each model cost, or all prices of one
    #[command(after_help = "Examples:
  pettycash prices show
  pettycash prices show claude-haiku-4-5

A model that is not listed has no price, and no call of it is paid for: add it with
`pettycash prices update`.")]
    Show {
        /// One model, by the name that the table has for it
        model: Option<String>,
    },
    /// Set the prices that a table has; models that it does not name stay as they are
    #[command(after_help = UPDATE_HELP)]
    Update(Update),
}

const UPDATE_HELP: &str = "\
Examples:
  pettycash prices update model_prices_and_context_window.json --dry-run
  pettycash prices update model_prices_and_context_window.json --note \"November\"
  pettycash prices update ours.json        a model of your own, or a price that was agreed

FILE is litellm's table of model prices, of which the models of Anthropic and OpenAI are taken, or
a table of the program's own form, of which one model is enough:
  {\"source\": \"our contract\", \"models\": {\"some-model\": {\"max_input_tokens\": 200000,
    \"max_output_tokens\": 64000, \"rates\": {\"standard\": {\"input\": \"0.000001\",
      \"cache_read\": \"0.0000001\", \"output\": \"0.000005\"}}}}}
Prices are dollars per token, in quotes. It is a text on this machine: nothing is fetched. A new
model or a lower price gives agents more, so it takes an operator's proof. What is being paid for
goes on at the price that it was held at.";

#[derive(Debug, clap::Args)]
struct Update {
    /// The table, in JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, in your own words: it is written down with the prices
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Show { model } => show(model, home, output),
        Verb::Update(args) => update(args, home, output),
    }
}

fn show(model: Option<String>, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let prices = operator.prices(&PricesWanted { model }).await?;
        output.print(&prices, || match prices.models.as_slice() {
            [one] if !one.rates.is_empty() => all_of(one, &prices),
            models => list(models, &prices),
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

fn update(args: Update, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Update { file, dry_run, note, proving } = args;
    // What is sent is our part of it: it may be much smaller than the file.
    let (source, text) = read(&file)?;
    let day = Clock::System.now().strftime("%Y-%m-%d").to_string();
    let table = prices::table(&text, &source, &day).map_err(|error| Failure::Usage {
        message: format!("{source}: {error}"),
        hint: "nothing was changed; `pettycash prices update --help` shows what a table is"
            .to_owned(),
    })?;
    let operator = owner::operator(home);
    wait(async {
        let asked = PricesAsked { table, source: Some(source), plan: None, note, dry_run: true };
        let plan = operator.set_prices(&asked).await?;
        if dry_run || plan.is_nothing() {
            output.print(&plan, || words(&plan))?;
            return Ok(ExitCode::SUCCESS);
        }
        if plan.gives_more() {
            guard(&operator).await?;
        }
        // What is changed must be what was shown.
        let asked = PricesAsked { plan: Some(plan.plan.clone()), dry_run: false, ..asked };
        let what = async || Ok(words(&plan));
        let act = async |operator: &Operator| operator.set_prices(&asked).await;
        let set = proving.prove(&operator, what, act).await?;
        output.print(&set, || words(&set))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The table, and what it is called.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let doing = || format!("could not read `{}`", file.display());
    let most = u64::try_from(MAX_TABLE).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let name = if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes).with_context(doing)?;
        "standard input".to_owned()
    } else {
        File::open(file)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .with_context(doing)?;
        file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
    };
    let refused = |message: String| Failure::Usage {
        message,
        hint: "a table of prices is JSON, and shorter than 64 MiB".to_owned(),
    };
    if bytes.len() > MAX_TABLE {
        return Err(refused(format!("{name} is longer than {MAX_TABLE} bytes")).into());
    }
    let text = String::from_utf8(bytes);
    Ok((name.clone(), text.map_err(|_| refused(format!("{name} is no text in UTF-8")))?))
}

/// What a table changes, or has changed.
fn words(plan: &PricesPlan) -> String {
    if plan.is_nothing() {
        let are = if plan.unchanged == 1 { "costs" } else { "cost" };
        return format!("{} {are} that already: nothing changes.", models(plan.unchanged));
    }
    let sets = if plan.applied { "Set" } else { "This sets" };
    let kinds = [(plan.added, "new"), (plan.cheaper, "cheaper"), (plan.dearer, "dearer")];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds = kinds.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>();
    let same = match plan.unchanged {
        0 => String::new(),
        1 => "; 1 stays as it is".to_owned(),
        same => format!("; {same} stay as they are"),
    };
    let all = plan.added + plan.cheaper + plan.dearer;
    let first = format!("{sets} the prices of {}: {}{same}.", models(all), kinds.join(", "));
    let rows = plan.changes.iter().map(changed_row);
    let mut lines = vec![first, table(&["MODEL", "", "INPUT", "OUTPUT"], rows)];
    let told = u32::try_from(plan.changes.len()).unwrap_or(u32::MAX);
    lines.extend(
        all.checked_sub(told).filter(|more| *more > 0).map(|more| format!("… and {more} more.")),
    );
    lines.push(PER_MILLION.to_owned());
    lines.join("\n")
}

fn models(count: u32) -> String {
    if count == 1 { "1 model".to_owned() } else { format!("{count} models") }
}

fn changed_row(change: &PriceChange) -> Vec<String> {
    let kind = match change.change {
        PriceChanges::Added => "new",
        PriceChanges::Cheaper => "cheaper",
        PriceChanges::Dearer => "dearer",
    };
    let price = |of: fn(&PlainPrice) -> &String| match &change.from {
        Some(from) if of(from) != of(&change.to) => format!("{} → {}", of(from), of(&change.to)),
        Some(_) | None => of(&change.to).clone(),
    };
    let (input, output) = (price(|plain| &plain.input_usd), price(|plain| &plain.output_usd));
    vec![change.model.clone(), kind.to_owned(), input, output]
}

/// Every model with its plain prices, and where they are from.
fn list(models: &[ModelPrice], prices: &PriceTable) -> String {
    let several = prices.tables.len() > 1;
    let rows = models.iter().map(|model| {
        let PlainPrice { input_usd, cache_read_usd, output_usd } = &model.plain;
        let cached = cache_read_usd.clone().unwrap_or_else(|| "-".to_owned());
        let mut row = vec![model.model.clone(), input_usd.clone(), cached, output_usd.clone()];
        if several {
            row.push(format!("[{}]", model.table + 1));
        }
        row
    });
    let heading = ["MODEL", "INPUT", "CACHED", "OUTPUT", "FROM"];
    let heading = if several { &heading[..] } else { &heading[..4] };
    let sources = prices.tables.iter().enumerate().map(|(at, source)| {
        let number = if several { format!("[{}] ", at + 1) } else { String::new() };
        format!("{number}{}", told(source))
    });
    format!("{}\n{PER_MILLION}\n{}", table(heading, rows), sources.collect::<Vec<_>>().join("\n"))
}

/// Where prices are from.
fn told(source: &PriceSource) -> String {
    let mut parts = vec![source.source.clone().unwrap_or_else(|| "a table".to_owned())];
    parts.extend(source.priced_at.as_ref().map(|day| format!("of {day}")));
    parts.extend(source.set_at.map(|at| format!("set at {}", time(at))));
    parts.extend(source.sha256.as_ref().map(|sha256| format!("sha256 {sha256}")));
    parts.push(models(source.models));
    super::output::plain(&parts.join(", "))
}

/// All prices of one model.
fn all_of(model: &ModelPrice, prices: &PriceTable) -> String {
    let rows = model.rates.iter().flat_map(|rate| {
        let region = rate.region.as_ref().map(|region| format!("/{region}")).unwrap_or_default();
        let named = format!("{}{region}", rate.tier);
        let above = rate.above_tokens.map(|above| format!("above {above}")).unwrap_or_default();
        rate.per_million_usd.iter().map(move |(unit, price)| {
            vec![named.clone(), above.clone(), unit.clone(), price.clone()]
        })
    });
    let at = usize::try_from(model.table).unwrap_or(usize::MAX);
    let most = [("takes", model.max_input_tokens), ("puts out", model.max_output_tokens)];
    let most = most.into_iter().filter_map(|(does, most)| Some(format!("{does} {}", most?)));
    let most: Vec<String> = most.collect();
    let first = match most.as_slice() {
        [] => model.model.clone(),
        most => format!("{}, which {} tokens at most", model.model, most.join(" and ")),
    };
    let mut lines = vec![first, table(&["TIER", "INPUT", "UNIT", "PRICE"], rows)];
    lines.push("Dollars per million tokens, or per million searches.".to_owned());
    lines.extend(prices.tables.get(at).map(told));
    lines.join("\n")
}
