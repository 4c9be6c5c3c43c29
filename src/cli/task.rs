//! `pettycash task`: units of work with a budget of their own.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    output::{Output, above_zero, note, table, wait},
    owner,
    proof::Proving,
    words::time,
};
use crate::{
    client::{ClientError, Operator},
    home::Home,
    policy::{
        entry::By,
        money::Usd,
        names::{Handle, Note, TaskType},
        task::{TaskId, TaskOutcome},
        terms::{FinishTask, NewTask, ResumeTask, TaskActed, TaskList, TaskStanding, TaskView},
    },
};

/// `pettycash task …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List an agent's open and failed tasks
    #[command(after_help = "Examples:\n  pettycash task list scout\n  pettycash task list scout \
                            --all      also those finished a moment ago; the ledger has the rest")]
    List {
        /// The agent
        handle: Handle,
        /// Also those that are finished, as long as they are not forgotten
        #[arg(long)]
        all: bool,
    },
    /// Show one task: what it may spend, what it spent, and how it stands
    #[command(after_help = "Example:\n  pettycash task show task_00000000052b8c1f")]
    Show {
        /// The task: `task_` and 16 hexadecimal digits
        task: TaskId,
    },
    /// Open a task of an agent's and print its id
    #[command(after_help = OPEN_HELP)]
    Open(Open),
    /// End a task, or all of an agent's: nothing more is paid in it
    #[command(after_help = "Examples:\n  pettycash task finish task_00000000052b8c1f --outcome \
                            abandoned\n  pettycash task finish --all scout --json")]
    Finish {
        /// The task
        #[arg(required_unless_present = "all")]
        task: Option<TaskId>,
        /// All tasks of this agent that are open or failed
        #[arg(long, value_name = "HANDLE", conflicts_with = "task")]
        all: Option<Handle>,
        /// How it came out: success, failed or abandoned
        #[arg(long, default_value = "abandoned")]
        outcome: TaskOutcome,
    },
    /// Let a task that ran out go on
    #[command(after_help = RESUME_HELP)]
    Resume(Resume),
}

const OPEN_HELP: &str = "\
Examples:
  pettycash task open scout --type research --cap 0.50
  task=$(pettycash task open scout --type research)

An agent opens tasks itself where its mandate says so (`mandate set scout --tasks agent`), and
whoever has a token made with `agent token scout --may open-tasks`.";

const RESUME_HELP: &str = "\
Examples:
  pettycash task resume task_00000000052b8c1f --cap 1.00
  pettycash task resume task_00000000052b8c1f --cap 1.00 --note \"worth another look\"

What was spent stays spent: the cap is on all of the task. A cap of the mandate on each task holds
beside it; where that one ran out, raise it first: `pettycash mandate set HANDLE --cap 1.00/task`.";

#[derive(Debug, clap::Args)]
struct Open {
    /// The agent
    handle: Handle,
    /// What kind of work it is: a-z, 0-9, `-` and `_`, such as research
    #[arg(long = "type", value_name = "TYPE")]
    task_type: TaskType,
    /// The most that may be spent in it, in dollars; the mandate's caps on each task hold too
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    cap: Option<Usd>,
    #[command(flatten)]
    proving: Proving,
}

#[derive(Debug, clap::Args)]
struct Resume {
    /// The task
    task: TaskId,
    /// The most that may be spent in all of it from now on, in dollars
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    cap: Option<Usd>,
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::List { handle, all } => {
                let list = operator.tasks(&handle, all).await?;
                output.print(&list, || rows(&handle, &list))?;
            }
            Verb::Show { task } => {
                let view = operator.task(task).await?;
                output.print(&view, || show(&view))?;
            }
            Verb::Open(asked) => open(asked, &operator, output).await?,
            Verb::Finish { task, all, outcome } => {
                let finish = FinishTask { outcome };
                if let Some(task) = task {
                    let acted = operator.finish_task(task, &finish).await?;
                    output.print(&acted, || finished(&acted))?;
                }
                if let Some(handle) = all {
                    finish_all(&handle, &finish, &operator, output).await?;
                }
            }
            Verb::Resume(asked) => resume(asked, &operator, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn open(asked: Open, operator: &Operator, output: Output) -> anyhow::Result<()> {
    let Open { handle, task_type, cap, proving } = asked;
    if cap.is_some_and(Usd::is_zero) {
        return Err(above_zero().into());
    }
    // So that a connection that breaks opens no second one.
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let call_id = format!("operator-{:032x}", u128::from_le_bytes(bytes)).parse().ok();
    let new = NewTask { task_type, cap_usd: cap, call_id };
    let most = cap.map(|cap| format!(", at most {cap}")).unwrap_or_default();
    let what = async || Ok(format!("This opens a {} task of {handle}{most}.", new.task_type));
    let act = async |operator: &Operator| operator.open_task(&handle, &new).await;
    let acted = proving.raise(operator, what, act).await?;
    output.print(&acted, || acted.task.task_id.to_string())?;
    remark(&acted, output);
    Ok(())
}

/// What `task finish --all` came to.
#[derive(serde::Serialize)]
struct FinishedAll {
    /// Those that it finished.
    tasks: Vec<TaskActed>,
    /// Those that somebody else did, after they were listed and before their turn.
    already_finished: Vec<TaskId>,
}

/// Finishes what the agent has of tasks now: there are never more than so many. One that somebody
/// else finishes meanwhile, however it came out, is over as well.
async fn finish_all(
    handle: &Handle,
    finish: &FinishTask,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<()> {
    let mut all = FinishedAll { tasks: Vec::new(), already_finished: Vec::new() };
    let mut failed = None;
    for TaskView { task_id, .. } in operator.tasks(handle, false).await?.tasks {
        match operator.finish_task(task_id, finish).await {
            Ok(acted) if acted.changed => all.tasks.push(acted),
            Ok(_) => all.already_finished.push(task_id),
            Err(ClientError::Problem(problem)) if problem.code == "task_unknown" => {
                all.already_finished.push(task_id);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // What was done stays done, whatever broke it off.
    if failed.is_none() || !all.tasks.is_empty() {
        output.print(&all, || finished_all(handle, finish.outcome, &all))?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn finished_all(handle: &Handle, outcome: TaskOutcome, all: &FinishedAll) -> String {
    let FinishedAll { tasks, already_finished } = all;
    let done = match (tasks.len(), already_finished.len()) {
        (0, 0) => return format!("{handle} has no open task: nothing to do."),
        (0, _) => None,
        (1, _) => Some(format!("1 task of {handle} is finished ({}).", outcome.word())),
        (many, _) => Some(format!("{many} tasks of {handle} are finished ({}).", outcome.word())),
    };
    let others = match already_finished.len() {
        0 => None,
        1 => Some(format!("1 task of {handle} was finished by somebody else meanwhile.")),
        many => Some(format!("{many} tasks of {handle} were finished by somebody else meanwhile.")),
    };
    done.into_iter().chain(others).collect::<Vec<_>>().join("\n")
}

/// What is worth knowing, beside the answer: a script reads the id alone.
fn remark(acted: &TaskActed, output: Output) {
    for remark in acted.remarks.iter().filter(|_| !output.json) {
        note(&format!("note: {remark}"));
    }
}

async fn resume(asked: Resume, operator: &Operator, output: Output) -> anyhow::Result<()> {
    let Resume { task, cap, note, proving } = asked;
    if cap.is_some_and(Usd::is_zero) {
        return Err(above_zero().into());
    }
    let resume = ResumeTask { cap_usd: cap, note };
    let most = cap.map(|cap| format!(", up to {cap} in all")).unwrap_or_default();
    let what = async || Ok(format!("This lets {task} be charged again{most}."));
    let act = async |operator: &Operator| operator.resume_task(task, &resume).await;
    let acted = proving.raise(operator, what, act).await?;
    output.print(&acted, || resumed(&acted))?;
    remark(&acted, output);
    Ok(())
}

/// How it stands, in a word or two.
fn standing(view: &TaskView) -> String {
    match (view.state, view.outcome) {
        (TaskStanding::Open, _) => "open".to_owned(),
        (TaskStanding::Failed, _) => "failed".to_owned(),
        (TaskStanding::Finished, Some(outcome)) => format!("finished ({})", outcome.word()),
        (TaskStanding::Finished, None) => "finished".to_owned(),
    }
}

fn cap(view: &TaskView) -> String {
    view.cap_usd.map_or("none".to_owned(), |cap| cap.to_string())
}

fn rows(handle: &Handle, list: &TaskList) -> String {
    if list.tasks.is_empty() {
        return format!(
            "{handle} has no open task. Open one: pettycash task open {handle} --type research"
        );
    }
    let rows = list.tasks.iter().map(|view| {
        vec![
            view.task_id.to_string(),
            view.task_type.to_string(),
            standing(view),
            cap(view),
            view.used_usd.to_string(),
            view.held_usd.to_string(),
            time(view.opened_at),
        ]
    });
    table(&["TASK", "TYPE", "STATE", "CAP", "USED", "HELD", "OPENED"], rows)
}

fn show(view: &TaskView) -> String {
    let by = match (view.opened_by, &view.token_id) {
        (By::Agent, Some(token)) => format!("the agent, shown {token}"),
        (By::Agent, None) => "the agent".to_owned(),
        (By::Operator | By::Engine, _) => "the operator".to_owned(),
    };
    let mut lines = vec![
        ("task", view.task_id.to_string()),
        ("agent", view.agent.to_string()),
        ("type", view.task_type.to_string()),
        ("state", standing(view)),
        ("cap", cap(view)),
    ];
    lines.extend(view.own_cap_usd.map(|own| ("its own cap", own.to_string())));
    lines.push(("used", view.used_usd.to_string()));
    lines.push(("held", view.held_usd.to_string()));
    lines.push(("opened", format!("{} by {by}", time(view.opened_at))));
    lines.extend(view.ended_at.map(|at| ("ended", time(at))));
    lines.extend(view.payment_id.map(|payment| ("ran out by", payment.to_string())));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn finished(TaskActed { changed, task, .. }: &TaskActed) -> String {
    let (id, how) = (task.task_id, standing(task));
    if *changed {
        return format!("{id} is {how}: {} spent, {} held.", task.used_usd, task.held_usd);
    }
    format!("{id} is {how} already: nothing to do.")
}

fn resumed(TaskActed { changed, task, .. }: &TaskActed) -> String {
    let (id, used) = (task.task_id, task.used_usd);
    if *changed {
        return format!("{id} is open: {used} of {} is spent.", cap(task));
    }
    format!("{id} is open: nothing to do.")
}
