//! `pettycash apply`: agents, mandates and services as a file says, in one step.

use std::{path::PathBuf, process::ExitCode};

use super::{
    output::{Output, wait},
    owner,
    policy::{Written, words},
    proof::{Proving, guard},
};
use crate::{
    client::Operator,
    home::Home,
    policy::{names::Note, terms::PolicyAsked},
};

/// `pettycash apply …`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The policy, in TOML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, in your own words: it is written down with what changes
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

const HELP: &str = "\
Examples:
  pettycash apply policy.toml --dry-run
  pettycash apply policy.toml --note \"search is cheaper now\"
  pettycash export-policy > policy.toml       to begin with what there is

A file:
  schema = 1

  [defaults]                      for every agent below; what it says itself wins
  per_call = \"0.25\"               money in quotes, so that it stays exact

  [services.search]
  payee = \"Acme Search\"
  price = \"0.02\"                  without it, what the caller asks is the price
  category = \"web\"                what a cap such as \"10.00/day category=web\" is on

  [services.acme]                 an API that is called for the agent, with its key
  payee = \"Acme\"
  rail = \"proxy\"
  base_url = \"https://api.acme.example\"
  headers = { authorization = \"Bearer {secret}\" }
  secret = { env = \"ACME_KEY\" }   where its key is; see below
  operations = [{ name = \"now\", method = \"GET\", path = \"/now\" }]
  price = \"0.02\"

  [agents.scout]
  funding = \"allowance\"           or \"prepaid\", which begins at zero; it never changes
  caps = [\"5.00/day\", \"20.00/month\"]
  timezone = \"Europe/Paris\"
  allow = [\"search\"]              and `deny`; without `allow`, every service
  expires = 2030-12-31T00:00:00Z
  local = \"barred\"                by token only
  rates = [\"20/min\"]             the most payments in any such time
  burst = \"5/min:freeze\"         more equal payments than these: flag, throttle or freeze
  denials = \"10:throttle\"        so many denials in a row
  hours = \"09:00-18:00\"          when it may pay, by the clocks of its timezone
  days = \"mon-fri\"              on which days, or a list of them: [\"mon\", \"tue\"]
  cooldown = \"30s\"               at least so long between two payments
  group = \"team\"
  tasks = \"agent\"                it opens its tasks itself
  tiers = [\"50x/7d:0.50\"]         0.50 a payment after 50 captured over 7 days
  first_payee = \"locked\"          a service may pay only who it paid first
  max_output_tokens = 4096        the most that a language model puts out in one call
  downgrade_at = 80               from 80 % of a cap on this model, if it is cheaper:
  downgrade_to = \"claude-haiku-4-5\"
  pinned = { search = \"Acme Search\" }    nothing is paid if search pays another payee
  shadow_caps = [\"2.00/day\"]      deny nothing: see `pettycash policy shadow`

  [groups.team]
  caps = [\"30.00/day\"]            what its agents spend together; also `parent`, `timezone`

An agent gets all that the file says of it, and nothing else: what is left out is as with a new
agent. A group has the `timezone` of the defaults, unless it says one. What is not in the file stays
as it is, and so do balances. It is done in one step: all of it, or nothing.

The `secret` of a service with `rail = \"proxy\"` is one of
  { env = \"ACME_KEY\" }           a variable of the environment that `serve` is started with
  { file = \"/etc/acme.key\" }     a file of the user who runs `serve`, of mode 0600
  { command = [\"pass\", \"acme\"] }   what a program prints; no shell reads it
  { keyring = \"acme\" }           an entry of the keyring, in a build with `--features keyring`";

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { file, dry_run, note, proving } = args;
    let written = Written::load(&file)?;
    let operator = owner::operator(home);
    wait(async {
        let terms = written.terms.clone();
        let asked = PolicyAsked { policy: terms, plan: None, note, dry_run: true };
        let plan = operator.apply_policy(&asked).await?;
        written.tell(&plan, output)?;
        if dry_run || plan.is_nothing() {
            written.print(&plan, output)?;
            return Ok(ExitCode::SUCCESS);
        }
        if plan.lets_spend_more() {
            guard(&operator).await?;
        }
        // What is changed must be what was shown.
        let asked = PolicyAsked { plan: Some(plan.plan.clone()), dry_run: false, ..asked };
        let what = async || Ok(words(&plan));
        let act = async |operator: &Operator| operator.apply_policy(&asked).await;
        let applied = proving.prove(&operator, what, act).await?;
        written.print(&applied, output)?;
        Ok(ExitCode::SUCCESS)
    })
}
