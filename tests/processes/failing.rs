//! A `serve` that can write nothing any more: what goes on, what is in force, and how it ends.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use super::proc_home::{Running, TestHome, terminate, text, until};
use crate::support::as_operator;

/// Fails whatever a process writes to a file from now on.
fn fail_writes(process: &Running) {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    prlimit(pid, Resource::Fsize, nothing).unwrap();
}

/// What a line says on stdout and stderr, and its exit code.
fn run(home: &TestHome, line: &str) -> (String, String, i32) {
    let Output { status, stdout, stderr } = home.run(&line.split_whitespace().collect::<Vec<_>>());
    (text(&stdout), text(&stderr), status.code().unwrap())
}

/// What a line says that ends with this exit code, as JSON: on stdout, or on stderr where it fails.
fn told(home: &TestHome, line: &str, code: i32) -> Value {
    let (stdout, stderr, ended) = run(home, &format!("{line} --json"));
    assert_eq!(ended, code, "{line}: {stdout} {stderr}");
    let text = if stdout.is_empty() { stderr } else { stdout };
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {text}"))
}

fn standing(home: &TestHome, agent: &str) -> Value {
    told(home, &format!("agent show {agent}"), 0)["standing"].clone()
}

/// A home with a service and three agents, and nobody who serves it.
fn furnished() -> TestHome {
    let home = TestHome::new();
    told(&home, "service add search --payee Acme --price 0.02", 0);
    for agent in ["scout", "intern", "clerk"] {
        told(&home, &format!("agent create {agent} --cap 5.00/day --funding allowance"), 0);
    }
    let serving = home.serving().unwrap();
    terminate(serving.pid);
    until("it has ended", || home.serving().is_none());
    home
}

/// Ends a `serve`, and gives back its exit code and what it said last.
fn end(mut serve: Running) -> (Option<i32>, String) {
    terminate(serve.pid());
    let status = serve.0.wait().unwrap();
    let mut said = String::new();
    serve.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

/// That nothing is recorded, that what takes power away is in force all the same, that nobody ends
/// this `serve` on his own, and that its exit code tells.
fn assert_it_goes_on_without_its_record(home: &TestHome, serve: Running) {
    // The one that meets the failure may be on the disk or not.
    assert_eq!(told(home, "pay scout search", 3)["outcome"], "in_progress");
    // What this one may have in its books and the disk not is no damage.
    let (_, stderr, code) = run(home, "verify");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("note: the record cannot be written, so the books"), "{stderr}");
    assert_eq!(told(home, "pay scout search", 4)["code"], "ledger_unwritable");
    for line in ["mandate set scout --cap 9.00/day", "agent create late", "agent freeze intern"] {
        assert_eq!(told(home, line, 4)["error"]["code"], "ledger_unwritable", "{line}");
    }
    let told_all = told(home, "agent freeze --all", 4);
    assert!(told_all["error"]["detail"].as_str().unwrap().starts_with("it is in force"));
    // To end it would undo what is in force in it alone.
    for line in ["recover cut --yes", "recover accept-rollback --yes"] {
        let (_, stderr, code) = run(home, line);
        assert_eq!(code, 1, "{line}");
        assert!(stderr.contains("there is nothing to accept"), "{line}: {stderr}");
    }
    for agent in ["scout", "intern", "clerk"] {
        assert_eq!(standing(home, agent), "frozen", "{agent}");
    }
    assert_eq!(told(home, "doctor", 1)["ok"], false);
    let (code, said) = end(serve);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("error: the record could not be written any more: "), "{said}");
    assert!(said.contains("hint: see to the disk, start `serve` again"), "{said}");
    // The next one begins with what the disk holds.
    assert_eq!(standing(home, "clerk"), "active");
    assert_eq!(told(home, "pay scout search", 0)["outcome"], "paid");
    assert_eq!(run(home, "verify"), (String::new(), String::new(), 0));
}

#[test]
fn a_serve_whose_writes_fail_goes_on_and_ends_with_code_4() {
    let home = furnished();
    let serve = Running(home.command(&["serve"]).spawn().unwrap());
    until("it serves", || home.serving().is_some_and(|serving| serving.pid == serve.pid()));
    assert_eq!(told(&home, "pay scout search", 0)["outcome"], "paid");
    fail_writes(&serve);
    assert_it_goes_on_without_its_record(&home, serve);
}

#[test]
fn a_serve_that_can_write_nothing_from_the_start_goes_on_and_ends_with_code_4() {
    let home = furnished();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" serve", env!("CARGO_BIN_EXE_pettycash")]);
    home.furnish(&mut command);
    let serve = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    until("it listens", || home.path().join("agent.sock").exists());
    assert_it_goes_on_without_its_record(&home, serve);
}

/// What a line says that may write to no file, and its exit code; none if a signal ended it.
fn run_without_writing(home: &TestHome, line: &str) -> (String, Option<i32>) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pettycash")]);
    home.furnish(as_operator(command.args(line.split_whitespace())));
    command.env("HOME", home.beside().join("user")).env_remove("XDG_CONFIG_HOME");
    let Output { status, stderr, .. } = command.output().unwrap();
    (text(&stderr), status.code())
}

#[test]
fn no_verb_is_killed_where_no_file_may_get_longer() {
    let home = furnished();
    let _serve = home.serve_by_hand();
    fs::create_dir_all(home.beside().join("user/.cursor")).unwrap();
    for line in ["agent list", "pay scout search", "verify"] {
        assert_eq!(run_without_writing(&home, line), (String::new(), Some(0)), "{line}");
    }
    let pages = format!("man {}", home.beside().join("pages").display());
    for line in ["connect cursor --agent scout --yes", &pages] {
        let (said, code) = run_without_writing(&home, line);
        assert_eq!(code, Some(1), "{line}: {said}");
        assert!(said.contains("could not ") && said.contains("File too large"), "{said}");
    }
    let elsewhere = TestHome::new();
    let (said, code) = run_without_writing(&elsewhere, "recover cut --yes");
    assert!(code.is_some() && !said.is_empty(), "{said}");
}

#[test]
fn a_home_behind_what_cannot_be_entered_is_told_as_that() {
    let place = TestHome::new();
    let at = |name: &str| place.beside().join(name);
    fs::write(at("file"), "").unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    fs::create_dir_all(at("shut/home")).unwrap();
    let shut = |mode| fs::set_permissions(at("shut"), fs::Permissions::from_mode(mode)).unwrap();
    shut(0o000);
    // Nothing is shut to root.
    let root = fs::read_dir(at("shut")).is_ok();
    let parents = ["file", "loop", "shut"];
    for parent in &parents[..if root { 2 } else { 3 }] {
        let home = at(parent).join("home");
        for line in ["verify", "ledger", "agent list", "init --yes", "serve"] {
            let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
            let Output { status, stderr, .. } =
                command.env("PETTYCASH_HOME", &home).output().unwrap();
            let said = text(&stderr);
            assert_eq!(status.code(), Some(1), "{line}: {said}");
            let told = format!("the data directory `{}`", home.display());
            assert!(said.contains(&told) && said.contains("cause: "), "{line}: {said}");
            assert!(said.contains("hint: see whether PETTYCASH_HOME names"), "{line}: {said}");
            assert!(!said.contains("there is no data directory"), "nobody knows that: {said}");
        }
    }
    shut(0o700);
}

#[test]
fn a_serve_that_could_write_to_its_end_ends_with_code_0() {
    let home = furnished();
    let serve = Running(home.command(&["serve"]).spawn().unwrap());
    until("it serves", || home.serving().is_some_and(|serving| serving.pid == serve.pid()));
    told(&home, "pay scout search", 0);
    assert_eq!(end(serve).0, Some(0));
}
