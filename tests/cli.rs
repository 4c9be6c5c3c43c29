//! The command line, as an operator types it.

mod archiving;
mod asking;
mod bodies;
mod doctoring;
mod exiting;
mod explaining;
mod faults;
mod freezing;
mod groups;
mod importing;
mod mandates;
mod models;
mod payees;
mod paying;
mod policies;
mod presets;
mod prices;
mod proving;
mod reading;
mod recovering;
mod schema;
mod shell;
mod tasks;
mod testing;
mod tiers;
mod tokens;

use std::{
    future::ready,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use futures_util::FutureExt;
use pettycash::{client::Operator, home::Home};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    as_operator,
    canary::{Searched, keyless},
    house::House,
    private_dir,
};

/// A home of its own; whatever serves it ends when it is gone.
struct Desk(Searched);

impl Desk {
    fn new() -> Self {
        Self(private_dir())
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, line: &str) -> Output {
        Self::done(&mut self.command(line))
    }

    /// What a command says, up to its end.
    fn done(command: &mut Command) -> Output {
        let output = command.output().unwrap();
        keyless(&output.stdout);
        keyless(&output.stderr);
        output
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pettycash"));
        self.furnish(command.args(words(line)).stdin(Stdio::null()));
        command
    }

    /// Has a command work at this desk, as an operator's.
    fn furnish(&self, command: &mut Command) {
        as_operator(command);
        command.env("PETTYCASH_HOME", self.home()).env("PETTYCASH_IDLE_EXIT", "2s");
        command.env("XDG_STATE_HOME", self.home().join("state"));
        // Whatever clients this machine has are no business of a test.
        command.env("HOME", self.home().join("user")).env_remove("XDG_CONFIG_HOME");
        command.env_remove("CLAUDE_CONFIG_DIR").env_remove("CODEX_HOME");
    }

    /// What a line prints when it works.
    fn ok(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.run(line);
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{line}: {stderr}");
        assert_eq!(stderr, "", "{line}");
        String::from_utf8(stdout).unwrap()
    }

    /// What a line says on stderr when it does not, and that it ends with `code`.
    fn fails(&self, line: &str, code: i32) -> String {
        let Output { status, stdout, stderr } = self.run(line);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{line}: {stderr}");
        assert_eq!(String::from_utf8(stdout).unwrap(), "", "{line}");
        stderr
    }

    /// Ends the `serve` that the first command started.
    fn end_serve(&self) {
        let serving = Home::at(self.home()).unwrap().serving().unwrap();
        let pid = Pid::from_raw(i32::try_from(serving.pid).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let gone = || Home::at(self.home()).unwrap().serving().is_none();
        assert!((0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            gone()
        }));
    }

    /// The operators' side of its `serve`, which is started.
    fn operator(&self) -> Operator {
        self.ok("agent list");
        let serving = Home::at(self.home()).unwrap().serving().unwrap();
        Operator::new(Arc::new(move || ready(Ok(serving.sockets.clone())).boxed()))
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }
}

/// Splits a line at spaces outside quotes, as a shell would.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(nth, part)| match nth % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

#[test]
fn the_lines_of_the_readme_work_as_written() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --per-call 0.25 --funding allowance");
    desk.ok("agent create intern");
    desk.ok("top-up intern 2.00");
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    desk.ok("agent revoke scout --reason compromised");
    let ledger = desk.json("ledger scout --json --limit 1000000");
    let outcomes: Vec<_> = ledger["entries"].as_array().unwrap().iter().collect();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0]["outcome"], "revoked");
    assert_eq!(outcomes[0]["code"], "compromised");
    let intern = desk.json("agent show intern --json");
    assert_eq!(intern["balance_usd"], "2.00");
    assert_eq!(intern["funding"], "prepaid");
    let scout = desk.json("agent show scout --json");
    assert_eq!(scout["standing"], "revoked");
    assert_eq!(scout["available_usd"], "0.00");
    assert_eq!(desk.ok("verify"), "");
}

/// Every line of the README that starts with `pettycash`, without its comment.
fn readme_lines() -> Vec<String> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("pettycash "));
    lines.map(|line| line.split(" # ").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let desk = Desk::new();
    let lines = readme_lines();
    assert!(lines.len() >= 10, "{lines:?}");
    // Those with a file are tried with one, by a shell.
    for line in lines.into_iter().filter(|line| !line.contains("policy.toml")) {
        // A secret is told of beside it.
        let Output { status, stderr, .. } = desk.run(&line);
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{line}: {stderr}");
        assert!(stderr.is_empty() || line.starts_with("agent token "), "{line}: {stderr}");
    }
}

#[tokio::test]
async fn a_long_ledger_is_paged_inside() {
    let house = House::new().await;
    house.agent(serde_json::json!({"handle": "intern", "funding": "prepaid"})).await;
    for _ in 0..1_200 {
        house.top_up("intern", "1.00").await;
    }
    house.engine.close().await;
    let House { dir, engine, .. } = house;
    drop(engine);
    let desk = Desk(dir);
    let all = desk.json("ledger intern --json --limit 1000000");
    assert_eq!(all["entries"].as_array().unwrap().len(), 1_201);
    assert_eq!(all.get("next_cursor"), None);
    let some = desk.json("ledger --json --limit 1100");
    assert_eq!(some["entries"].as_array().unwrap().len(), 1_100);
    assert!(some["next_cursor"].is_string());
    assert!(desk.ok("ledger intern --limit 2").contains("these are the newest 2"));
}

#[test]
fn a_journal_that_is_gone_does_not_verify() {
    let desk = Desk::new();
    let told = desk.fails("verify", 1);
    assert!(told.contains("there is no record in the data directory"), "{told}");
    desk.ok("agent create intern");
    desk.end_serve();
    std::fs::rename(desk.home().join("journal"), desk.home().join("elsewhere")).unwrap();
    let told = desk.fails("verify", 6);
    assert!(told.contains("the journal is missing"), "{told}");
}

#[test]
fn a_home_that_is_not_there_is_neither_verified_nor_made() {
    let desk = Desk::new();
    let missing = desk.home().join("slip");
    for verb in ["verify", "recover cut --yes", "ledger", "pay scout search"] {
        let told = desk.fails(&format!("{verb} --home {}", missing.display()), 1);
        assert!(told.contains("there is no data directory"), "{told}");
        assert!(told.contains("--home"), "{told}");
        assert!(!missing.exists(), "{verb}");
    }
    assert_eq!(desk.run(&format!("doctor --home {}", missing.display())).status.code(), Some(1));
    assert!(!missing.exists());
}

#[test]
fn init_names_a_home_that_is_not_the_platforms() {
    let desk = Desk::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pettycash"));
    as_operator(&mut command).args(["init", "--json", "--home"]).arg(desk.home());
    command.stdin(Stdio::null()).env_remove("PETTYCASH_HOME").env("PETTYCASH_IDLE_EXIT", "2s");
    command.env("XDG_STATE_HOME", desk.home().join("state"));
    let told: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let home = &told["config"]["mcpServers"]["pettycash"]["env"]["PETTYCASH_HOME"];
    assert_eq!(home, &told["home"]);
    assert!(home.is_string());
}

#[test]
fn what_the_readme_says_keeps_a_trial_apart_leaves_nothing_elsewhere() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.unwrap();
    let (_, rest) = readme.split_once("`export ").expect("how to try it apart");
    let export = rest.split_once('`').unwrap().0;
    let desk = Desk::new();
    for dir in ["user", "trial"] {
        std::fs::create_dir(desk.home().join(dir)).unwrap();
    }
    let script =
        format!("export {export}; \"$0\" init --json && \"$0\" connect cursor --yes --json >&2");
    let mut command = Command::new("sh");
    desk.furnish(command.args(["-c", &script, env!("CARGO_BIN_EXE_pettycash")]));
    command.env_remove("PETTYCASH_HOME").env_remove("XDG_STATE_HOME");
    let done = command.env("TMPDIR", desk.home().join("trial")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let env = told["config"]["mcpServers"]["pettycash"]["env"].as_object().unwrap();
    assert_eq!(env.keys().collect::<Vec<_>>(), ["PETTYCASH_HOME", "XDG_STATE_HOME"]);
    for dir in env.values() {
        assert!(Path::new(dir.as_str().unwrap()).starts_with(desk.home().join("trial")), "{dir}");
    }
    let left = std::fs::read_dir(desk.home().join("user")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".cursor"], "but for the client's own file");
}

#[test]
fn what_is_there_is_shown_and_what_is_not_is_said() {
    let desk = Desk::new();
    assert!(desk.ok("agent list").starts_with("No agents yet. Create one: pettycash agent create"));
    assert!(desk.ok("service list").starts_with("No services yet. Add one: pettycash service add"));
    assert_eq!(desk.ok("ledger"), "Nothing has happened yet.\n");
    desk.ok("agent create night --cap 1.00/hour --cap 5.00/day --timezone Europe/Paris \
             --funding allowance --allow search --deny report --expires 30d");
    let shown = desk.ok("agent show night");
    for word in ["$1.00 per hour", "$5.00 per day", "Europe/Paris", "search; never report"] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
    assert!(desk.ok("agent list").contains("night"));
    assert!(desk.ok("ledger night").contains("created"));
    desk.json("agent token night --expires 30d --json");
    let at = desk.ok("ledger night").lines().nth(1).unwrap().trim().find(' ');
    assert_eq!(at, Some(20), "to the second");
    for line in ["agent show night", "agent tokens night", "mandate show night"] {
        let shown = desk.ok(line);
        let times = shown.split_whitespace().filter(|word| word.starts_with("20"));
        let times: Vec<&str> = times.filter(|word| word.ends_with('Z')).collect();
        assert!(!times.is_empty(), "{line}: {shown}");
        assert!(times.iter().all(|time| time.len() == 20), "to the second: {line}: {shown}");
    }
}

#[test]
fn init_can_be_run_again_and_asks_nothing_without_a_terminal() {
    let desk = Desk::new();
    let first = desk.json("init --json");
    assert_eq!(first["created"], true);
    let server = &first["config"]["mcpServers"]["pettycash"];
    assert!(Path::new(server["command"].as_str().unwrap()).is_absolute());
    assert_eq!(server["args"], serde_json::json!(["mcp", "--agent", "claude"]));
    let again = desk.json("init --json");
    assert_eq!(again["created"], false);
    assert_eq!(desk.json("agent list --json")["agents"].as_array().unwrap().len(), 1);
    let told = desk.ok("init");
    assert!(told.contains("was there already"), "{told}");
    assert!(told.contains("\"mcpServers\""), "{told}");
    assert!(told.contains("Next    pettycash connect claude-code\n"), "{told}");
}

#[test]
fn a_slip_is_a_usage_error_with_a_hint() {
    let desk = Desk::new();
    for line in [
        "agent create Scout",
        "agent create scout --cap 5.00/fortnight",
        "agent create scout --cap 5,00/day",
        "agent create scout --cap -5.00/day",
        "agent create scout --per-call $1",
        "agent create scout --funding credit",
        "agent create scout --funding allowance",
        "agent create scout --timezone Mars/Olympus",
        "agent create scout --cap 1.00/day --cap 2.00/day",
        "agent create scout --per-call 0",
        "agent create scout --expires yesterday",
        "agent create scout --expires 2020-01-01T00:00:00Z",
        "agent creat scout",
        "agent revoke scout",
        "agent revoke scout --reason \"No Spaces\"",
        "top-up scout",
        "top-up scout 1e3",
        "top-up scout -1",
        "top-up scout 0",
        "service add search --payee Acme --price 0",
        "service add search --payee \u{202e}emcA --price 1",
        "service add search --payee Acme",
        "service add search --payee Acme --price 0.02 --no-price",
        "service add search --payee Acme --price free",
        "ledger scout --limit 0",
        "mcp --agent SCOUT",
        "nonsense",
    ] {
        let told = desk.fails(line, 2);
        assert!(told.starts_with("error: "), "{line}: {told}");
        assert!(told.contains("hint: "), "{line}: {told}");
    }
    let told = desk.fails("--json agent create Scout", 2);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["code"], "usage");
}

#[test]
fn what_cannot_be_done_is_said_with_what_can() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    for (line, code) in [
        ("agent create scout", "handle_taken"),
        ("agent show ghost", "agent_unknown"),
        ("agent revoke ghost --reason x", "agent_unknown"),
        ("top-up ghost 1.00", "agent_unknown"),
        ("top-up scout 1.00", "no_balance"),
        ("ledger ghost", "agent_unknown"),
    ] {
        let told = desk.fails(line, 1);
        assert!(told.starts_with("error: ") && told.contains("hint: "), "{line}: {told}");
        let told: Value = serde_json::from_str(&desk.fails(&format!("{line} --json"), 1)).unwrap();
        assert_eq!(told["error"]["code"], code, "{line}");
    }
    desk.ok("agent revoke scout --reason looping --note \"it looped over the weekend\"");
    assert!(desk.ok("agent revoke scout --reason again").contains("revoked before (looping)"));
    assert!(desk.ok("agent show scout").contains("it looped over the weekend"));
}

#[test]
fn a_service_is_given_a_new_price_only_on_purpose() {
    let desk = Desk::new();
    desk.ok("service add search --payee Acme --price 0.02");
    desk.ok("service add search --payee Acme --price 0.02");
    let told = desk.fails("service add search --payee Acme --price 0.03", 1);
    assert!(told.contains("--replace"), "{told}");
    desk.ok("service add search --payee Acme --price 0.03 --replace");
    let services = desk.json("service list --json");
    assert_eq!(services["services"][0]["price_usd"], "0.03");
}

#[test]
fn a_record_that_was_tampered_with_does_not_verify() {
    let desk = Desk::new();
    desk.ok("agent create intern");
    desk.ok("top-up intern 2.00");
    desk.ok("verify");
    let segment = std::fs::read_dir(desk.home().join("journal")).unwrap();
    let segment = segment.map(|file| file.unwrap().path()).find(|path| path.extension().is_some());
    let path = segment.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let sum = b"2000000000";
    let at = bytes.windows(sum.len()).position(|window| window == sum).unwrap();
    bytes[at] = b'9';
    std::fs::write(&path, bytes).unwrap();
    let told = desk.fails("verify", 6);
    assert!(told.contains("does not verify") && told.contains("offset"), "{told}");
    let told: Value = serde_json::from_str(&desk.fails("verify --json", 6)).unwrap();
    assert_eq!(told["error"]["code"], "verification_failed");
}
