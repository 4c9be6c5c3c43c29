//! Whom a client is connected as.

use serde_json::{Value, json};

use super::Machine;

#[test]
fn without_a_name_the_only_agent_or_claude_is_meant() {
    let machine = Machine::bare();
    let told = machine.fails("connect cursor --yes", 2);
    assert!(told.contains("no agent yet") && told.contains("hint: create one: pettycash init"));
    machine.ok("agent create scout --funding prepaid");
    assert_eq!(machine.json("connect cursor --print")["entry"]["args"][2], "scout");
    machine.ok("agent create night --funding prepaid");
    let told = machine.fails("connect cursor --yes", 2);
    assert!(told.contains("which agent is meant? There are night, scout"), "{told}");
    assert!(told.contains("hint: name it: --agent night"), "{told}");
    assert!(!machine.config("cursor").exists());
    machine.ok("agent create claude --funding prepaid");
    assert_eq!(machine.json("connect cursor --print")["entry"]["args"][2], "claude");
    machine.ok("agent revoke claude --reason over");
    assert!(machine.fails("connect cursor --yes", 2).contains("which agent is meant?"));
}

#[test]
fn an_agent_that_is_not_there_or_can_never_pay_is_refused() {
    let machine = Machine::new();
    let told = machine.fails("connect cursor --agent ghost --yes --json", 1);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["code"], "agent_unknown");
    assert!(told["error"]["hint"].as_str().unwrap().contains("agent list"));
    machine.fails("connect --status --agent ghost", 1);
    machine.ok("agent revoke claude --reason over");
    assert!(machine.fails("connect cursor --agent claude --yes", 2).contains("is revoked"));
    assert!(!machine.config("cursor").exists());
}

#[test]
fn an_agent_that_is_frozen_is_connected_and_it_is_said() {
    let machine = Machine::new();
    machine.ok("agent freeze claude");
    let told = machine.json("connect cursor --yes");
    let frozen = json!("`claude` is frozen: it pays nothing for now");
    assert!(told["notes"].as_array().unwrap().contains(&frozen), "{told}");
}

#[test]
fn a_slip_in_a_clients_name_gets_the_nearest_names() {
    let machine = Machine::bare();
    for (typed, meant) in
        [("claude-cod", "claude-code"), ("claud-desktop", "claude-desktop"), ("coursor", "cursor")]
    {
        for verb in ["connect", "disconnect"] {
            let told = machine.fails(&format!("{verb} {typed}"), 2);
            assert!(told.contains("hint: ") && told.contains(&format!("'{meant}'")), "{told}");
        }
    }
    let told = machine.fails("connect emacs --json", 2);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["code"], "usage");
    machine.fails("disconnect", 2);
    machine.fails("connect --print", 2);
    machine.fails("connect cursor --print --status", 2);
}
