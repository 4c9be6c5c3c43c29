//! The command line: one file per verb.

mod agent;
mod apply;
mod completions;
mod connect;
mod demo;
mod diff;
mod doctor;
mod endpoint;
mod expiry;
mod export_policy;
mod exposure;
mod group;
mod import;
mod init;
mod ledger;
mod man;
mod mandate;
mod mcp;
mod operator;
mod output;
pub mod owner;
mod pay;
mod policy;
mod preset;
mod prices;
mod program;
mod proof;
mod recover;
mod refund;
mod response;
mod serve;
mod service;
mod service_test;
mod session;
mod settle;
mod task;
mod top_up;
mod verify;
mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use serde_json::json;

use crate::home::Home;
pub use expiry::{Expiry, expiry};
use output::{Output, exit_code, report};
pub use policy::{PolicyMistake, policy_schema};
pub use serve::idle_exit;

/// Petty cash for AI agents: a budget with hard caps, a ledger and an off switch, over MCP.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    /// Print JSON on stdout, and a JSON error on stderr
    #[arg(long, global = true)]
    json: bool,

    /// Where the data is kept, instead of the platform's data directory
    #[arg(long, global = true, env = "PETTYCASH_HOME", value_name = "DIR")]
    home: Option<PathBuf>,

    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
First steps:
  pettycash init
  pettycash service add search --payee \"Acme Search\" --price 0.02
  pettycash agent create scout --cap 5.00/day --per-call 0.25 --funding allowance
  pettycash connect claude-code      or claude-desktop, cursor, vscode, codex

Exit codes: 0 ok, 1 failed (`verify` without a record too), 2 usage, 3 not paid or not yet (`pay`),
4 the record cannot be written, 5 engine unreachable, 6 verification failed, 7 an operator is
needed.
Amounts are dollars as digits with at most one point, such as 0.25.
Environment: PETTYCASH_HOME, PETTYCASH_AGENT, PETTYCASH_OPERATOR_TOKEN,
PETTYCASH_LOG (trace..error).";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Prepare this machine: data directory, a first agent, and the snippet for your MCP client
    Init(init::Args),
    /// Have an MCP client start `pettycash mcp`: find it, show what changes, write it, try it
    Connect(connect::Args),
    /// Undo what `connect` wrote
    Disconnect(connect::disconnect::Args),
    /// Watch an agent pay, be refused, adapt and be revoked, in a throw-away directory
    Demo(demo::Args),
    /// Own the data and answer everybody else; clients start it by themselves
    Serve(serve::Args),
    /// Run the MCP server for one agent on stdin and stdout
    Mcp(mcp::Args),
    /// Create, list, show, freeze, unfreeze and revoke agents
    Agent(agent::Args),
    /// Choose who may give an agent more: a passphrase, and tokens for programs
    Operator(operator::Args),
    /// Show and change what an agent may spend
    Mandate(mandate::Args),
    /// Set agents, mandates and services as a file says, in one step
    Apply(apply::Args),
    /// Say what a policy's file would change, and change nothing
    Diff(diff::Args),
    /// Print the present agents, mandates and services as a policy's file
    ExportPolicy(export_policy::Args),
    /// Say which rule decided on a payment, and what another policy would have done
    Policy(policy::Args),
    /// Say what can still be spent if every cap is reached
    Exposure(exposure::Args),
    /// Add to an agent's balance
    TopUp(top_up::Args),
    /// Pay a service as an agent, to see what it would be told
    Pay(pay::Args),
    /// Write what an API answered to a payment into a file
    Response(response::Args),
    /// Give back what a payment took, or a part of it
    Refund(refund::Args),
    /// Say what became of a payment that is in doubt
    Settle(settle::Args),
    /// Add to the catalogue of services, list it and take from it
    Service(service::Args),
    /// Show what metered calls of language models cost, and renew it from a table
    Prices(prices::Args),
    /// Show groups, whose caps several agents share
    Group(group::Args),
    /// Open, list, finish and resume tasks: units of work with a budget of their own
    Task(task::Args),
    /// Print the ledger, newest first
    Ledger(ledger::Args),
    /// Check the whole record: every link, every sum; silent when all is well
    Verify(verify::Args),
    /// Look at everything that could be wrong, with one line each on what to do
    Doctor(doctor::Args),
    /// Go on from a record that is damaged or an older copy
    Recover(recover::Args),
    /// Print what your shell needs to complete these words
    Completions(completions::Args),
    /// Print the manual page, or write one for every verb
    Man(man::Args),
}

/// Runs the program: arguments in, exit code out.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output { json: cli.json };
    let result = dispatch(cli, output);
    match result {
        Ok(code) => code,
        Err(error) => {
            report(&error, output);
            exit_code(&error)
        }
    }
}

/// Help and version go to stdout and end well; anything else is a usage error, told as ours are.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has gone, as `head` does, is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // A home that the environment names would be told as one that must be typed.
    let text = error.render().to_string().replace(" --home <DIR>", "");
    let mut lines = text.trim().lines().map(str::trim).filter(|line| !line.is_empty());
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else if std::env::args().any(|argument| argument == "--json") {
        let detail = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = lines.collect::<Vec<_>>().join(" ");
        let problem = json!({"error": {"code": "usage", "detail": detail, "hint": hint}});
        let _ = writeln!(io::stderr(), "{problem}");
    } else {
        let told = lines.map(|line| match line.strip_prefix("tip: ") {
            Some(tip) => format!("hint: {tip}"),
            None => line.replace("For more information, try", "hint: for what is right, try"),
        });
        let _ = writeln!(io::stderr(), "{}", told.collect::<Vec<_>>().join("\n"));
    }
    ExitCode::from(output::USAGE)
}

fn dispatch(cli: Cli, output: Output) -> anyhow::Result<ExitCode> {
    let home = || Home::locate(cli.home.clone());
    let existing = || Home::existing(cli.home.clone());
    match cli.verb {
        Verb::Init(args) => init::run(&args, &home()?, output),
        Verb::Connect(args) => connect::run(&args, &home()?, output),
        Verb::Disconnect(args) => connect::disconnect::run(&args, output),
        Verb::Demo(args) => demo::run(args, output),
        Verb::Serve(args) => serve::run(&args, home()?, output),
        Verb::Mcp(args) => mcp::run(args, cli.home.clone()),
        Verb::Agent(args) => agent::run(args, &home()?, output),
        Verb::Operator(args) => operator::run(args, &home()?, output),
        Verb::Mandate(args) => mandate::run(args, &existing()?, output),
        Verb::Apply(args) => apply::run(args, &home()?, output),
        Verb::Diff(args) => diff::run(&args, &home()?, output),
        Verb::ExportPolicy(args) => export_policy::run(&args, &existing()?, output),
        Verb::Policy(args) => policy::run(args, &existing()?, output),
        Verb::Exposure(args) => exposure::run(&args, &existing()?, output),
        Verb::Pay(args) => pay::run(args, &existing()?, output),
        Verb::Response(args) => response::run(args, &existing()?, output),
        Verb::Refund(args) => refund::run(args, &existing()?, output),
        Verb::Settle(args) => settle::run(args, &existing()?, output),
        Verb::Recover(args) => recover::run(args, &existing()?, output),
        Verb::Doctor(args) => doctor::run(&args, existing(), output),
        Verb::Completions(args) => completions::run(args, Cli::command()),
        Verb::Man(args) => man::run(args, Cli::command(), output),
        Verb::TopUp(args) => top_up::run(args, &existing()?, output),
        Verb::Service(args) => service::run(args, &home()?, output),
        Verb::Prices(args) => prices::run(args, &home()?, output),
        Verb::Group(args) => group::run(args, &home()?, output),
        Verb::Task(args) => task::run(args, &existing()?, output),
        Verb::Ledger(args) => ledger::run(&args, &existing()?, output),
        Verb::Verify(args) => verify::run(&args, &existing()?, output),
    }
}
