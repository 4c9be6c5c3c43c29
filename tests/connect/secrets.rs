//! What is shown of a configuration, and what nobody gets to see.

use super::Machine;

/// Keys that look like none: short, of letters alone, with signs between.
const KEYS: [&str; 8] =
    ["hush", "a/b+c/d", "correcthorse", "QWER/tyui", "q\u{df}", "x'y", "zu\u{e4}rich", "0042"];

/// An entry `pettycash` that somebody else wrote, full of secrets, and all that it hides.
fn full(client: &str, key: &str) -> String {
    match client {
        "codex" => format!(
            "[mcp_servers.a]\ncommand = \"npx\"\nenv = {{ A = \"hush\" }}\n\n\
             [mcp_servers.pettycash]\n# was \"{key}-and-longer\"\nurl = \"https://h.example/s/{key}\"\n\
             bearer_token_env_var = \"MY_TOKEN\"\nenv = {{ B = \"\"\"{key}\n{key}\"\"\", N = 4711 }}\n\
             args = [\"--port\", \"80\", \"--api-key\", \"{key}\", \"--token={key}\"]\n\
             [mcp_servers.pettycash.http_headers]\nX = \"{key}-and-longer\"\n"
        ),
        "cursor" => format!(
            "{{\"mcpServers\": {{\n\"pettycash\": {{\n// was {key}-and-longer\n\"url\": \
             \"https://u:{key}@h.example\",\n\"apiKey\": \"{key}\",\n\"headers\": {{\"X\": \
             \"{key}-and-longer\"}},\n\"env\": {{\"B\": \"{key}\", \"N\": 4711}},\n\"args\": [\"--port\", \
             \"80\", \"--header\", \"X: {key}\", \"-e\", \"A_TOKEN={key}\", \
             \"https://h.example/s?k={key}\"]}}, \"a\": {{\"env\": {{\"A\": \"hush\"}}}}}}}}\n"
        ),
        _ => format!(
            "{{\"mcpServers\":{{\"a\":{{\"env\":{{\"A\":\"hush\"}}}},\"pettycash\":{{\"url\":\
             \"https://h.example/s/{key}\",\"headers\":{{\"X\":\"Bearer {key}\"}},\"env\":{{\"B\":\
             \"{key}\",\"N\":4711}},\"args\":[\"--password\",\"{key}\"]}}}}}}\n"
        ),
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
