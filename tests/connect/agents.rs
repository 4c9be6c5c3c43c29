//! Whom a client is connected as.

use std::fs;

use serde_json::{Value, json};

use super::{CLIENTS, Machine};
use crate::support::set_mode;

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
fn an_agent_that_local_clients_may_not_use_is_refused_with_the_way_out() {
    let machine = Machine::bare();
    machine.ok("agent create far --cap 1.00/day --funding allowance --no-local");
    for line in ["--agent far --yes", "--yes", "--agent far --print"] {
        let told = machine.fails(&format!("connect cursor {line}"), 2);
        assert!(told.contains("local clients may not use the agent `far`"), "{line}: {told}");
        for way in ["mandate set far --local", "agent token far"] {
            assert!(told.contains(way), "{line}: {told}");
        }
    }
    assert!(!machine.config("cursor").exists());
    // One that is kept from them later is told of wherever it is looked at.
    machine.ok("mandate set far --local");
    machine.ok("connect cursor --yes");
    machine.ok("mandate set far --no-local");
    let problem = "local clients may not use the agent `far`";
    assert_eq!(machine.status("cursor")["problems"], json!([problem]));
    let told = machine.ok("connect --status");
    assert!(told.contains(&format!("cursor: {problem}")), "{told}");
    assert!(!told.contains("connected as `far`"), "{told}");
    let told = machine.ok("doctor");
    let mends = format!("{problem}  → pettycash mandate set far --local");
    assert!(told.lines().any(|line| line.ends_with(&mends)), "{told}");
    machine.fails("connect cursor --yes", 2);
    machine.ok("mandate set far --local");
    assert_eq!(machine.status("cursor")["problems"], json!([]));
}

#[test]
fn a_client_that_pays_as_another_agent_takes_an_operator() {
    let machine = Machine::new();
    machine.ok("agent create scout --funding prepaid");
    let machine = machine.with("CLAUDECODE", "1");
    let foreign = "{\"mcpServers\": {\"pettycash\": {\"url\": \"http://x\"}}}";
    machine.write("claude-desktop", foreign);
    // What pays as nobody yet is given nothing that it could not have had.
    for (client, _) in CLIENTS.iter().filter(|(client, _)| *client != "claude-desktop") {
        machine.ok(&format!("connect {client} --yes"));
    }
    for (client, _) in CLIENTS {
        let before = machine.read(client);
        let told = machine.fails(&format!("connect {client} --agent scout --yes"), 7);
        for word in ["CLAUDECODE is set", "guard rail, not a wall"] {
            assert!(told.contains(word), "{client}: {told}");
        }
        assert_eq!(machine.read(client), before, "{client}");
        assert!(machine.ok(&format!("connect {client} --agent scout --print")).contains("scout"));
    }
    // The same agent by another path is the same payer.
    let moved = machine.read("cursor").replace(super::BINARY, "/nowhere/pettycash");
    machine.write("cursor", &moved);
    machine.ok("connect cursor --yes");
    // The same name in another place is another.
    let moved = machine.read("cursor").replace("/home\"", "/elsewhere\"");
    machine.write("cursor", &moved);
    machine.fails("connect cursor --yes", 7);

    let machine = machine.with("CLAUDECODE", "");
    machine.ok("connect vscode --agent scout --yes");
    let token = machine.json("operator token")["token"].as_str().unwrap().to_owned();
    let file = machine.path("passphrase");
    fs::write(&file, "correct horse battery").unwrap();
    set_mode(&file, 0o600);
    // What is shown with it goes on.
    let machine = machine.with("PETTYCASH_OPERATOR_TOKEN", token.as_str());
    machine.ok(&format!("operator init --passphrase-file {}", file.display()));
    let machine = machine.with("PETTYCASH_OPERATOR_TOKEN", "");
    let told = machine.fails("connect codex --agent scout --yes", 7);
    assert!(told.contains("takes an operator's proof"), "{told}");
    assert_eq!(machine.entry("codex")["args"][2], "claude");
    machine.ok("disconnect cursor --yes");
    machine.ok("connect cursor --agent scout --yes");
    let machine = machine.with("PETTYCASH_OPERATOR_TOKEN", token);
    machine.ok("connect codex --agent scout --yes");
    assert_eq!(machine.entry("codex")["args"][2], "scout");
    let machine = machine.with("PETTYCASH_OPERATOR_TOKEN", "opr_nothing");
    machine.fails("connect codex --agent claude --yes", 7);
    assert_eq!(machine.entry("codex")["args"][2], "scout");
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
