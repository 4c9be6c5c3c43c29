//! What is shown of a configuration, and what nobody gets to see.

use super::Machine;

/// Keys that look like none: short, of letters alone, with signs between.
const KEYS: [&str; 8] =
    ["hush", "a/b+c/d", "correcthorse", "QWER/tyui", "q\u{df}", "x'y", "zu\u{e4}rich", "0042"];

/// An entry `pettycash` that somebody else wrote, full of secrets, and all that it hides.
const TOML: &str = r#"[mcp_servers.a]
command = "npx"
env = { A = "hush" }

[mcp_servers.pettycash]
# was "KEY-and-longer"
url = "https://h.example/s/KEY"
bearer_token_env_var = "MY_TOKEN"
env = { B = """KEY
KEY""", N = 4711 }
args = ["--port", "80", "--api-key", "KEY", "--token=KEY"]
[mcp_servers.pettycash.http_headers]
X = "KEY-and-longer"
"#;
const JSONC: &str = r#"{"mcpServers": {
"pettycash": {
// was KEY-and-longer
"url": "https://u:KEY@h.example",
"apiKey": "KEY",
"headers": {"X": "KEY-and-longer"},
"env": {"B": "KEY", "N": 4711},
"args": ["--port", "80", "--header", "X: KEY", "-e", "A_TOKEN=KEY", "https://h.example/s?k=KEY"]
}, "a": {"env": {"A": "hush"}}}}
"#;
/// As a program writes it, in one line.
const JSON: [&str; 2] = [
    r#"{"mcpServers":{"a":{"env":{"A":"hush"}},"pettycash":{"url":"https://h.example/s/KEY","#,
    r#""headers":{"X":"Bearer KEY"},"env":{"B":"KEY","N":4711},"args":["--password","KEY"]}}}"#,
];

fn full(client: &str, key: &str) -> String {
    match client {
        "codex" => TOML.replace("KEY", key),
        "cursor" => JSONC.replace("KEY", key),
        _ => JSON.concat().replace("KEY", key),
    }
}

#[test]
fn no_value_of_an_environment_a_header_or_a_secret_argument_is_shown() {
    let machine = Machine::new();
    for client in ["codex", "cursor", "claude-code", "claude-desktop"] {
        for key in KEYS {
            let text = full(client, key);
            machine.write(client, &text);
            let run = |line: &str| {
                let done = machine.run(line);
                String::from_utf8([done.stdout, done.stderr].concat()).unwrap()
            };
            let shown = run(&format!("connect {client}"))
                + &run(&format!("disconnect {client} --print"))
                + &run(&format!("disconnect {client} --print --json"))
                + &run(&format!("connect {client} --yes --json"));
            assert!(!shown.contains(key), "{client} {key}: {shown}");
            assert!(!shown.contains("hush") && !shown.contains("4711"), "{client}: {shown}");
            for public in ["--port", "80", "h.example"] {
                let long = client.starts_with("claude");
                assert!(long || shown.contains(public), "{client}: {public} is not in {shown}");
            }
            machine.run(&format!("disconnect {client} --yes"));
        }
    }
}

#[test]
fn what_connect_writes_itself_is_shown_whatever_others_call_a_secret() {
    let machine = Machine::new();
    let home = machine.home().display().to_string();
    let text = format!(
        "{{\"mcpServers\": {{\"a\": {{\"env\": {{\"A\": \"{home}\", \"B\": \
                        \"--agent\", \"C\": \"{}\"}}}}}}}}\n",
        super::BINARY
    );
    machine.write("cursor", &text);
    let told = machine.json("connect cursor --yes")["diff"].as_str().unwrap().to_owned();
    for written in [&*home, "--agent", super::BINARY] {
        let came = told.lines().filter(|line| line.starts_with("+ ") && line.contains(written));
        assert!(came.count() > 0, "{written} is not in {told}");
    }
}

#[test]
fn what_follows_a_flag_of_one_letter_is_not_shown() {
    let machine = Machine::new();
    for args in [
        r#""-p", "hunter2secret""#,
        r#""-v", "-p", "hunter2secret""#,
        r#""-v", "--token", "hunter2secret""#,
        r#""-p", "-hunter2secret""#,
        r#""-U", "root", "-P", "hunter2secret", "db""#,
    ] {
        let entry = format!(r#"{{"command": "npx", "args": ["-y", "some-server", {args}]}}"#);
        machine.write("cursor", &format!("{{\"mcpServers\": {{\"pettycash\":\n{entry}}}}}\n"));
        let shown = machine.json("connect cursor --yes")["diff"].as_str().unwrap().to_owned();
        assert!(!shown.contains("hunter2"), "{args}: {shown}");
        assert!(shown.contains("some-server"), "{args}: {shown}");
    }
}
