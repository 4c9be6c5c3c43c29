//! Files that cannot be edited: told with the place, and left as they are.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use super::{CLIENTS, Machine, mode};
use crate::support::set_mode;

#[test]
fn a_broken_file_is_told_with_its_place_and_left_as_it_is() {
    let machine = Machine::new();
    for (client, text, place) in [
        ("claude-code", "{\n  \"mcpServers\": {\n", "line 3 column 0"),
        ("claude-code", "{\n  // no JSON\n}\n", "line 2 column 3"),
        ("claude-code", "{\"mcpServers\": {},}\n", "line 1 column 19"),
        ("claude-desktop", "[]\n", "no object"),
        ("cursor", "{\n\n  'a': 1\n}\n", "line 3 column 3"),
        ("cursor", "{\"mcpServers\": []}", "`mcpServers` is no object"),
        ("cursor", "{\"mcpServers\": {}, \"mcpServers\": {}}", "`mcpServers` twice"),
        ("vscode", "{\"servers\": {\"pettycash\": 1, \"pettycash\": 2}}", "`pettycash` twice"),
        ("codex", "[mcp_servers.a]\ncommand = \n", "line 2, column 11"),
        ("codex", "mcp_servers = 1\n", "`mcp_servers` is no table"),
    ] {
        machine.write(client, text);
        for verb in ["connect", "disconnect"] {
            let told = machine.fails(&format!("{verb} {client} --yes"), 1);
            assert!(told.contains(place), "{verb} {client} {text:?}: {told}");
            assert!(told.contains("left as it is") && told.contains("hint: "), "{told}");
            let path = machine.config(client).display().to_string();
            assert!(told.contains(&path), "{told}");
        }
        assert_eq!(machine.read(client), text, "{client}");
        let status = machine.status(client);
        assert_eq!(status["state"], "unreadable", "{client} {text:?}");
        assert!(status["problems"][0].as_str().unwrap().contains(place));
        assert!(machine.ok(&format!("connect {client} --print")).contains("pettycash"));
    }
}

#[test]
fn a_file_that_is_no_text_or_no_file_is_left_as_it_is() {
    let machine = Machine::new();
    let path = machine.write("cursor", "");
    fs::write(&path, b"{\n\"a\": \"\xff\"}").unwrap();
    assert!(machine.fails("connect cursor --yes", 1).contains("not UTF-8 on line 2"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(machine.fails("connect cursor --yes", 1).contains("is not a plain file"));
    fs::remove_dir(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    assert!(machine.fails("connect cursor --yes", 1).contains("a file that is not there"));
    assert!(fs::read_link(&path).is_ok());
    let told = machine.fails("connect cursor --yes --json", 1);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["code"], "client_config");
}

#[test]
fn a_file_that_is_read_only_is_left_as_it_is() {
    let machine = Machine::new();
    for (client, _) in CLIENTS {
        let path = machine.write(client, "");
        set_mode(&path, 0o444);
        let told = machine.fails(&format!("connect {client} --yes"), 1);
        assert!(told.contains("is read only") && told.contains("chmod u+w"), "{told}");
        assert_eq!((machine.read(client), mode(&path)), (String::new(), 0o444));
        set_mode(&path, 0o644);
        machine.ok(&format!("connect {client} --yes"));
        set_mode(&path, 0o444);
        let before = machine.read(client);
        let told = machine.fails(&format!("disconnect {client} --yes"), 1);
        assert!(told.contains("is read only"), "{told}");
        assert_eq!((machine.read(client), mode(&path)), (before, 0o444));
    }
}
