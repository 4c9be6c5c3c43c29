//! However many processes an agent is started in, it has one budget.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::proc_home::{TestHome, text};

#[test]
fn n_processes_have_one_budget_and_not_n() {
    let home = TestHome::new();
    let run = |line: &[&str]| home.command(line).output().unwrap();
    let made = run(&["service", "add", "search", "--payee", "Acme", "--price", "0.02"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let made = run(&[
        "agent",
        "create",
        "scout",
        "--funding",
        "allowance",
        "--cap",
        "0.10/day",
        "--cap",
        "4x/hour service=search",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let pay = || {
        let mut command = home.command(&["pay", "scout", "search", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let processes: Vec<Child> = (0..12).map(|_| pay()).collect();
    let ended = processes.into_iter().map(|process| process.wait_with_output().unwrap());
    let codes: Vec<Option<i32>> = ended.map(|output| output.status.code()).collect();
    let ended_with = |code: i32| codes.iter().filter(|one| **one == Some(code)).count();
    assert_eq!((ended_with(0), ended_with(3)), (4, 8), "{codes:?}");
    let shown = run(&["agent", "show", "scout", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["caps"][0]["used_usd"], "0.08");
    assert_eq!(shown["caps"][1]["used_count"], json!(4));
}
