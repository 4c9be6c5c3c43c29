//! Each client's file: written, kept as it was but for us, and given back to the byte.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use super::{BINARY, CLIENTS, Machine, mode};
use crate::support::set_mode;

/// For each client, a file as people and programs leave it, and what in it must stay.
const LIVED_IN: [(&str, &str, &[&str]); 7] = [
    (
        "claude-code",
        "{\n  \"numStartups\": 12,\n  \"mcpServers\": {\n    \"a\": {\"command\": \"x\"}\n  },\n  \
         \"projects\": {\"/p\": {\"mcpServers\": {}}},   \"odd\":1e3}",
        &[
            "\"a\": {\"command\": \"x\"}",
            "\"projects\": {\"/p\": {\"mcpServers\": {}}},   \"odd\":1e3}",
        ],
    ),
    (
        "claude-desktop",
        "{\"globalShortcut\":\"\",\"mcpServers\":{}}\n",
        &["\"globalShortcut\":\"\""],
    ),
    ("claude-desktop", "\u{feff}{\"mcpServers\":{\"b\":{\"command\":\"x\"}}}", &["\u{feff}{"]),
    (
        "cursor",
        "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {\"url\": \"http://x\"}\r\n\t}\r\n}\r\n",
        &["\t\t\"a\": {\"url\": \"http://x\"},\r\n", "\r\n\t\t\"pettycash\": {\r\n\t\t\t"],
    ),
    (
        "vscode",
        "// mine\n{\n  /* ask */ \"inputs\": [],\n  \"servers\": {\n    // the first\n    \"a\": \
         {\"command\": \"x\",}, // after it\n    // at the end\n  },\n}\n",
        &["// mine\n", "/* ask */", "// the first\n", "}, // after it\n", "// at the end\n"],
    ),
    (
        "codex",
        "# mine\nmodel = \"o\"   # odd\n\n[mcp_servers.a]\ncommand='x'\n# after a",
        &["# mine\nmodel = \"o\"   # odd\n\n[mcp_servers.a]\ncommand='x'\n# after a\n"],
    ),
    (
        "codex",
        "mcp_servers = { a = { command = \"x\" } } # all\n[tui]\r\nx = 1\n",
        &["# all\n[tui]\r\nx = 1\n", "a = { command = \"x\" }"],
    ),
];

#[test]
fn each_client_gets_a_file_that_starts_this_program_and_loses_it_again() {
    let machine = Machine::new();
    for (client, _) in CLIENTS {
        let told = machine.json(&format!("connect {client} --yes"));
        assert_eq!(told["changed"], true, "{client}");
        assert_eq!(told["answers"], json!({"tools": 4}), "{client}");
        assert_eq!(told["config"], json!(machine.config(client)), "{client}");
        let passing = told["notes"].to_string().contains("lies in a build or temporary directory");
        assert!(passing, "{client}: this program is a test's");
        assert_eq!(told.get("backup"), None, "{client}: there was nothing before");
        let mut wanted = json!({
            "command": BINARY,
            "args": ["mcp", "--agent", "claude"],
            "env": {"PETTYCASH_HOME": machine.home(), "XDG_STATE_HOME": machine.path("state")},
        });
        if ["claude-code", "cursor", "vscode"].contains(&client) {
            wanted["type"] = json!("stdio");
        }
        assert_eq!(machine.entry(client), wanted, "{client}");
        assert_eq!(mode(&machine.config(client)), 0o600, "{client}");
        let undone = machine.json(&format!("disconnect {client} --yes"));
        assert_eq!((&undone["changed"], &undone["restored"]), (&json!(true), &json!(true)));
        assert!(!machine.config(client).exists(), "{client}");
        let again = machine.json(&format!("disconnect {client} --yes"));
        assert_eq!(again["changed"], false, "{client}");
    }
    let left: Vec<_> = fs::read_dir(machine.path("state/pettycash-clients")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_others_wrote_stays_as_it_is_and_the_file_comes_back_to_the_byte() {
    let machine = Machine::new();
    for (client, text, kept) in LIVED_IN {
        let path = machine.write(client, text);
        set_mode(&path, 0o640);
        let told = machine.ok(&format!("connect {client} --yes"));
        assert!(told.contains("It answers with 4 tools."), "{client}: {told}");
        assert_eq!(machine.entry(client)["command"], BINARY, "{client}\n{text}");
        let now = machine.read(client);
        for part in kept {
            assert!(now.contains(part), "{client}: {part:?} is not in\n{now}");
        }
        assert_eq!(mode(&path), 0o640, "{client}");
        machine.ok(&format!("disconnect {client} --yes"));
        assert_eq!(machine.read(client), text, "{client}");
        assert_eq!(mode(&path), 0o640, "{client}");
    }
}

#[test]
fn what_others_wrote_since_stays_when_ours_is_taken_out() {
    let machine = Machine::new();
    for (client, text, _) in LIVED_IN {
        machine.write(client, text);
        machine.ok(&format!("connect {client} --yes"));
        let since = machine.read(client).replace("\"x\"", "\"y\"").replace("'x'", "'y'") + "\n\n";
        machine.write(client, &since);
        let told = machine.json(&format!("disconnect {client} --yes"));
        assert_eq!((&told["ours"], &told["restored"]), (&json!(true), &json!(false)), "{client}");
        let now = machine.read(client);
        assert_eq!(machine.entry(client), Value::Null, "{client}: {now}");
        let others = |text: &str| text.replace(char::is_whitespace, "");
        let meant = text.replace("\"x\"", "\"y\"").replace("'x'", "'y'");
        assert_eq!(others(&now), others(&meant), "{client}");
    }
}

#[test]
fn a_key_that_connect_added_goes_with_the_entry() {
    let machine = Machine::new();
    machine.write("cursor", "{\n  \"z\": 1\n}\n");
    machine.ok("connect cursor --yes");
    let since = machine.read("cursor").replace("\"z\": 1", "\"z\": 2");
    machine.write("cursor", &since);
    machine.ok("disconnect cursor --yes");
    assert_eq!(machine.read("cursor"), "{\n  \"z\": 2\n}\n");
}

#[test]
fn a_link_stays_a_link_and_the_file_behind_it_is_edited() {
    let machine = Machine::new();
    let real = machine.path("dotfiles.json");
    fs::write(&real, "{}\n").unwrap();
    set_mode(&real, 0o644);
    symlink("../dotfiles.json", machine.config("claude-code")).unwrap();
    machine.ok("connect claude-code --yes");
    let link = fs::read_link(machine.config("claude-code")).unwrap();
    assert_eq!(link.to_str(), Some("../dotfiles.json"));
    assert!(fs::read_to_string(&real).unwrap().contains("pettycash"));
    assert_eq!(mode(&real), 0o644);
    machine.ok("disconnect claude-code --yes");
    assert_eq!(fs::read_to_string(&real).unwrap(), "{}\n");
    assert!(fs::read_link(machine.config("claude-code")).is_ok());
}

#[test]
fn the_environment_says_where_a_configuration_is() {
    for (variable, client, file) in [
        ("CODEX_HOME", "codex", "config.toml"),
        ("CLAUDE_CONFIG_DIR", "claude-code", ".claude.json"),
        ("XDG_CONFIG_HOME", "vscode", "Code/User/mcp.json"),
        ("XDG_CONFIG_HOME", "claude-desktop", "Claude/claude_desktop_config.json"),
    ] {
        let machine = Machine::new();
        let elsewhere = machine.path("elsewhere");
        let machine = machine.with(variable, elsewhere.to_str().unwrap());
        machine.ok(&format!("connect {client} --yes"));
        assert!(elsewhere.join(file).exists(), "{variable}");
        assert!(!machine.config(client).exists(), "{variable}");
    }
}

#[test]
fn nothing_is_written_without_a_yes_nor_by_print() {
    let machine = Machine::new();
    let text = "{\"mcpServers\": {\"a\": {\"env\": {\"KEY\": \"hush\"}}}}\n";
    for (client, _) in CLIENTS.iter().filter(|(client, _)| *client != "codex") {
        machine.write(client, text);
    }
    for (client, _) in CLIENTS {
        let before = fs::read(machine.config(client)).ok();
        let refused = machine.fails(&format!("connect {client}"), 2);
        assert!(refused.contains("nothing was changed"), "{client}: {refused}");
        assert!(refused.contains("hint: add --yes"), "{client}: {refused}");
        let shown = String::from_utf8(machine.run(&format!("connect {client}")).stdout).unwrap();
        assert!(shown.contains("pettycash"), "{client}: the change is shown: {shown}");
        let refused = machine.fails(&format!("connect {client} --json"), 2);
        let refused: Value = serde_json::from_str(&refused).unwrap();
        assert_eq!(refused["error"]["code"], "usage", "{client}");
        let printed = machine.ok(&format!("connect {client} --print"));
        let told = machine.json(&format!("connect {client} --print"));
        assert_eq!(told["snippet"], printed, "{client}");
        assert_eq!(told["entry"]["command"], BINARY, "{client}");
        if client == "codex" {
            assert!(printed.starts_with("[mcp_servers.pettycash]\ncommand = "), "{printed}");
        } else {
            let servers = if client == "vscode" { "servers" } else { "mcpServers" };
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(printed[servers]["pettycash"], told["entry"], "{client}");
        }
        assert_eq!(fs::read(machine.config(client)).ok(), before, "{client}");
    }
    machine.ok("connect vscode --yes");
    let before = machine.read("vscode");
    assert!(machine.fails("disconnect vscode", 2).contains("nothing was changed"));
    let shown = machine.ok("disconnect vscode --print");
    assert!(shown.contains("-     \"pettycash\": {"), "{shown}");
    assert_eq!(machine.read("vscode"), before);
    assert!(!machine.path("state/pettycash-clients").join("cursor").exists());
}

#[test]
fn what_is_written_and_shown_holds_nobodys_secret_and_what_is_kept_is_ours_alone() {
    let machine = Machine::new().with("PETTYCASH_TOKEN", "agt_hush").with("MY_KEY", "hush");
    let server = json!({"mcpServers": {"a": {"env": {"KEY": "hush"}}}});
    let theirs = format!("{server:#}\n");
    machine.write("cursor", &theirs);
    let told = machine.ok("connect cursor --yes")
        + &machine.json("connect cursor").to_string()
        + &machine.ok("connect --status")
        + &machine.ok("disconnect cursor --print");
    assert!(told.contains("+     \"pettycash\": {\n"), "{told}");
    assert!(!told.contains("hush"), "{told}");
    assert!(!machine.entry("cursor").to_string().contains("hush"));
    let kept = machine.path("state/pettycash-clients");
    assert_eq!(mode(&kept), 0o700);
    let files: Vec<_> = fs::read_dir(kept).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn the_program_is_named_as_the_path_names_it_so_that_an_update_is_found() {
    let machine = Machine::new();
    let link = machine.path("bin/pettycash");
    symlink(BINARY, &link).unwrap();
    machine.ok("connect cursor --yes");
    assert_eq!(machine.entry("cursor")["command"], json!(link));
    fs::remove_file(&link).unwrap();
    fs::copy("/bin/sh", &link).unwrap();
    machine.ok("connect cursor --yes");
    assert_eq!(machine.entry("cursor")["command"], BINARY, "another program of that name");
}

#[test]
fn a_home_that_is_the_platforms_is_not_named() {
    let machine = Machine::bare();
    let machine = machine.with("PETTYCASH_HOME", "").with("XDG_STATE_HOME", "");
    machine.ok("init --yes");
    machine.ok("connect codex --yes");
    let entry = machine.entry("codex");
    assert_eq!(entry.get("env"), None, "{entry}");
    assert_eq!(machine.status("codex")["problems"], json!([]));
    machine.ok("disconnect codex --yes");
    // A client with windows does not hand on what a shell sets.
    let data = machine.path("data");
    let machine = machine.with("XDG_DATA_HOME", data.to_str().unwrap());
    machine.ok("init --yes");
    machine.ok("connect codex --yes");
    assert_eq!(machine.entry("codex")["env"], json!({"PETTYCASH_HOME": data.join("pettycash")}));
}
