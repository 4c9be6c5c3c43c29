//! Which clients are here and how they stand, in `connect`, `--status` and `doctor`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::{CLIENTS, Machine};

#[test]
fn clients_are_found_by_their_files_or_their_program() {
    let machine = Machine::new();
    let found = |machine: &Machine| {
        let told = machine.json("connect");
        let clients = told["clients"].as_array().unwrap().clone();
        let found = clients.iter().filter(|client| client["found"] == true);
        found.map(|client| client["client"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(found(&machine).is_empty());
    assert!(machine.ok("connect").contains("None was found"));
    for dir in [".claude", ".config/Claude", ".config/Code"] {
        fs::create_dir_all(machine.user().join(dir)).unwrap();
    }
    for program in ["codex", "cursor"] {
        fs::write(machine.path("bin").join(program), "").unwrap();
        let file = machine.path("bin").join(program);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(found(&machine), CLIENTS.map(|(client, _)| client));
    let told = machine.ok("connect");
    assert!(told.contains("not connected, would be added"), "{told}");
    assert!(told.contains("Next    pettycash connect claude-code"), "{told}");
    for (client, _) in CLIENTS {
        assert!(!machine.config(client).exists(), "{client}: a look writes nothing");
    }
}

#[test]
fn the_status_of_a_client_has_a_form_that_lasts() {
    let machine = Machine::new();
    let mut status = json!({
        "client": "cursor", "found": false, "config": machine.config("cursor"),
        "state": "not_connected", "problems": [], "would": "add",
    });
    assert_eq!(machine.status("cursor"), status);
    machine.ok("connect cursor --yes");
    status["found"] = json!(true);
    status["state"] = json!("connected");
    status["agent"] = json!("claude");
    status["command"] = json!(super::BINARY);
    status["would"] = json!("nothing");
    assert_eq!(machine.status("cursor"), status);
    assert!(machine.ok("connect --status").contains("connected as `claude`"));
    assert_eq!(machine.json("connect --status")["clients"].as_array().unwrap().len(), 5);
}

#[test]
fn what_would_not_work_is_told() {
    let machine = Machine::new();
    machine.ok("agent create scout --funding prepaid");
    machine.ok("connect cursor --agent scout --yes");
    let text = machine.read("cursor");
    let problem = |machine: &Machine| {
        let status = machine.status("cursor");
        assert_eq!(status["would"], "change", "{status}");
        status["problems"][0].as_str().unwrap_or_default().to_owned()
    };
    machine.write("cursor", &text.replace(super::BINARY, "/nowhere/pettycash"));
    assert_eq!(problem(&machine), "`/nowhere/pettycash` is not there, or cannot be run");
    machine.write("cursor", &text.replace(super::BINARY, "pettycash"));
    assert!(problem(&machine).contains("no absolute path"));
    machine.write("cursor", &text.replace("\"scout\"", "\"ghost\""));
    assert_eq!(problem(&machine), "there is no agent `ghost`");
    machine.write("cursor", &text.replace("/home\"", "/elsewhere\""));
    assert!(problem(&machine).contains("its data is in "));
    machine.write("cursor", &text);
    machine.ok("agent revoke scout --reason over");
    assert_eq!(problem(&machine), "the agent `scout` is revoked");
    assert!(machine.ok("connect").contains("cursor: the agent `scout` is revoked"));
}

#[test]
fn the_doctor_tells_of_clients_that_have_an_entry() {
    let machine = Machine::new();
    let check = |client: &str| {
        let report = machine.json("doctor");
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == client).unwrap_or(Value::Null)
    };
    machine.write("vscode", "{}");
    assert_eq!(check("vscode"), Value::Null);
    machine.ok("connect vscode --yes");
    assert_eq!(check("vscode")["level"], "ok");
    assert_eq!(check("vscode")["found"], "connected as `claude`");
    machine.ok("agent freeze claude");
    assert_eq!(check("vscode")["found"], "the agent `claude` is frozen");
    assert_eq!(check("vscode")["fix"], "pettycash agent unfreeze claude");
    machine.ok("agent unfreeze claude");
    let gone = machine.read("vscode").replace(super::BINARY, "/nowhere/pettycash");
    machine.write("vscode", &gone);
    assert_eq!(check("vscode")["level"], "warn");
    assert_eq!(check("vscode")["fix"], "pettycash connect vscode");
    machine.write("vscode", "{");
    assert_eq!(check("vscode")["level"], "warn");
    assert!(machine.ok("doctor").contains("warn  vscode "));
}
