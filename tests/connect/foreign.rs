//! Entries that are there already: ours once more, ours with a change, and somebody else's.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::json;

use super::{BINARY, CLIENTS, Machine};

#[test]
fn a_second_connect_changes_nothing_and_says_so() {
    let machine = Machine::new();
    for (client, _) in CLIENTS {
        machine.ok(&format!("connect {client} --yes"));
        let written = fs::metadata(machine.config(client)).unwrap();
        // Without --yes too: there is nothing to ask.
        let told = machine.ok(&format!("connect {client}"));
        assert!(told.contains("connected as `claude` already"), "{client}: {told}");
        assert!(told.contains("It answers with 4 tools."), "{client}: {told}");
        assert_eq!(machine.json(&format!("connect {client}"))["changed"], false);
        let now = fs::metadata(machine.config(client)).unwrap();
        assert_eq!((now.ino(), now.mtime_nsec()), (written.ino(), written.mtime_nsec()));
    }
}

#[test]
fn another_agent_is_shown_as_a_change_and_undone_to_what_was_there_at_first() {
    let machine = Machine::new();
    machine.ok("agent create scout --cap 1.00/day --funding allowance");
    for (client, _) in CLIENTS {
        let text = if client == "codex" { "# mine\r\n" } else { "{\"z\":   1}\n" };
        machine.write(client, text);
        machine.ok(&format!("connect {client} --yes"));
        let told = machine.fails(&format!("connect {client} --agent scout"), 2);
        assert!(told.contains("nothing was changed"), "{client}: {told}");
        let told = machine.json(&format!("connect {client} --agent scout --yes"));
        let diff = told["diff"].as_str().unwrap();
        assert!(diff.contains("\n- ") && diff.contains("scout"), "{client}: {diff}");
        assert_eq!(machine.entry(client)["args"], json!(["mcp", "--agent", "scout"]));
        let ends = machine.read(client).matches('\n').count();
        assert!(client != "codex" || machine.read(client).matches("\r\n").count() == ends);
        let told = machine.json(&format!("connect {client}"));
        assert_eq!(told["changed"], false, "the agent that is named there is meant: {told}");
        machine.ok(&format!("disconnect {client} --yes"));
        assert_eq!(machine.read(client), text, "{client}");
    }
}

#[test]
fn an_entry_that_somebody_else_wrote_is_shown_and_goes_only_with_a_yes() {
    let machine = Machine::new();
    for (client, text) in [
        ("cursor", "{\"mcpServers\": {\"pettycash\": {\"url\": \"http://x\"}, \"a\": {}}}\n"),
        ("vscode", "{\"servers\": {\n\"pettycash\": {\"command\": \"npx\"}, \"a\": {}}} // c\n"),
        (
            "codex",
            "[mcp_servers.pettycash]\nurl = \"http://x\"\n\n[mcp_servers.a]\ncommand=\"x\"\n",
        ),
    ] {
        machine.write(client, text);
        assert_eq!(machine.status(client)["state"], "other", "{client}");
        let told = machine.fails(&format!("disconnect {client}"), 1);
        assert!(told.contains("not as `pettycash connect` wrote it"), "{client}: {told}");
        assert!(told.contains("--yes"), "{client}: {told}");
        let shown = machine.run(&format!("disconnect {client}")).stdout;
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("http://x") || shown.contains("npx"), "{client}: {shown}");
        assert_eq!(machine.read(client), text, "{client}");
        let told = machine.json(&format!("disconnect {client} --yes"));
        assert_eq!((&told["ours"], &told["changed"]), (&json!(false), &json!(true)));
        let servers = machine.servers(client);
        let names: Vec<_> = servers.as_object().unwrap().keys().collect();
        assert_eq!(names, ["a"], "{client}");

        machine.write(client, text);
        machine.fails(&format!("connect {client}"), 2);
        assert_eq!(machine.read(client), text, "{client}");
        let told = machine.json(&format!("connect {client} --yes"));
        assert_eq!(machine.entry(client)["command"], BINARY, "{client}");
        assert_eq!(machine.entry(client).get("url"), None, "{client}");
        let backup = fs::read_to_string(told["backup"].as_str().unwrap()).unwrap();
        assert_eq!(backup, text, "{client}");
        let told = machine.ok(&format!("disconnect {client} --yes"));
        assert_eq!(machine.entry(client), json!(null), "{client}");
        assert!(told.contains("wrote over is kept in"), "{client}: {told}");
    }
}

#[test]
fn an_entry_of_ours_that_somebody_changed_is_not_ours_any_more() {
    let machine = Machine::new();
    machine.ok("agent create scout --funding prepaid");
    for (client, _) in CLIENTS {
        machine.ok(&format!("connect {client} --yes"));
        let changed = match client {
            "codex" => machine.read(client) + "timeout = \"9\" # s\n",
            _ => machine.read(client).replacen("\"args\"", "\"timeout\": \"9\", \"args\"", 1),
        };
        machine.write(client, &changed);
        machine.fails(&format!("disconnect {client}"), 1);
        assert_eq!(machine.read(client), changed, "{client}");
        // What somebody set there is his, and no reason to write anything.
        let told = machine.json(&format!("connect {client} --agent claude"));
        assert_eq!(told["changed"], false, "{client}");
        machine.ok(&format!("connect {client} --agent scout --yes"));
        let entry = machine.entry(client);
        assert_eq!((&entry["timeout"], &entry["args"][2]), (&json!("9"), &json!("scout")));
        assert!(client != "codex" || machine.read(client).contains("\"9\" # s\n"));
        let told = machine.json(&format!("disconnect {client} --yes"));
        assert_eq!((&told["ours"], &told["restored"]), (&json!(true), &json!(false)), "{client}");
        assert!(!machine.read(client).contains("pettycash"), "{client}");
    }
}

#[test]
fn an_entry_written_by_hand_that_is_right_is_left_as_it_is() {
    let machine = Machine::new();
    let env = json!({"PETTYCASH_HOME": machine.home(), "XDG_STATE_HOME": machine.path("state")});
    let entry = json!({"env": env, "args": ["mcp", "--agent", "claude"], "command": BINARY});
    let text = json!({"mcpServers": {"pettycash": entry}}).to_string();
    machine.write("claude-code", &text);
    assert_eq!(machine.json("connect claude-code")["changed"], false);
    assert_eq!(machine.read("claude-code"), text);
    assert!(machine.fails("disconnect claude-code", 1).contains("--yes"));
}

#[test]
fn a_project_that_has_a_pettycash_of_its_own_is_told() {
    let machine = Machine::new();
    let text = "{\"projects\": {\"/p\": {\"mcpServers\": {\"pettycash\": {}}}, \"/q\": {}}}";
    machine.write("claude-code", text);
    let told = machine.ok("connect claude-code --yes");
    assert!(told.contains("note: `/p` has a `pettycash` of its own"), "{told}");
    assert!(!told.contains("`/q`"), "{told}");
}

#[test]
fn a_comment_in_our_entry_stays_when_the_entry_changes() {
    let machine = Machine::new();
    machine.ok("agent create scout --funding prepaid");
    machine.ok("connect vscode --yes");
    let list = "\"tools\": [ // few\n\"a\"], \"args\"";
    let changed = machine.read("vscode").replacen("\"args\"", list, 1);
    machine.write("vscode", &changed);
    machine.ok("connect vscode --agent scout --yes");
    assert_eq!(machine.entry("vscode")["args"][2], "scout");
    assert!(machine.read("vscode").contains("[ // few\n\"a\"]"), "{}", machine.read("vscode"));
}
