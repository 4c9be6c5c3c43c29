//! Policies as files: `apply`, `diff` and `export-policy`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use pettycash::{cli::PolicyMistake, client::ClientError, policy::terms::FaultCode};
use serde_json::{Value, json};

use super::Desk;
use crate::support::set_mode;

/// Ends the policy of a case; what is said of it follows.
const SAID: &str = "----\n";

impl Desk {
    /// Two services, an agent with an allowance, one with a balance, and one that is revoked.
    fn with_a_state() -> Self {
        let desk = Self::new();
        desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
        desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
        desk.ok("agent create old --cap 5.00/day --funding allowance --allow ghost");
        desk.ok("agent create intern");
        desk.ok("agent create gone");
        desk.ok("agent revoke gone --reason theft");
        desk
    }

    /// Runs a line with something on its standard input.
    pub(super) fn fed(&self, line: &str, input: &[u8]) -> Output {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that reads no more than it needs leaves the rest.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What a policy that is applied says.
    pub(super) fn apply(&self, policy: &str) -> String {
        let Output { status, stdout, stderr } = self.fed("apply -", policy.as_bytes());
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{stderr}");
        String::from_utf8(stdout).unwrap()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/policy")
}

/// What is no text, or too long to be kept as one.
fn made() -> Vec<(&'static str, Vec<u8>)> {
    let head = b"schema = 1\n\n[agents.scout]\nfunding = \"".to_vec();
    let deep = |open: &str| format!("schema = 1\nx = {}", open.repeat(100_000)).into_bytes();
    let dotted = format!("schema = 1\n{}x = 1\n", "x.".repeat(100_000)).into_bytes();
    vec![
        ("made_of_bytes", [head.clone(), vec![0xff, 0xfe, 0x00], b"\"\n".to_vec()].concat()),
        ("made_of_zeros", vec![0; 4096]),
        ("made_too_long", [head.clone(), vec![b'x'; 4 * 1024 * 1024]].concat()),
        ("made_too_deep", deep("[")),
        ("made_too_deep_in_tables", deep("{a=")),
        ("made_too_deep_in_dots", dotted),
        ("made_of_one_long_line", [head, vec![b'x'; 100_000], b"\" 5\n".to_vec()].concat()),
    ]
}

#[test]
fn every_mistake_is_told_with_its_place_and_changes_nothing() {
    let desk = Desk::with_a_state();
    let before = desk.ok("ledger --json");
    let mut files: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let made = made();
    let mut codes = BTreeSet::new();
    for file in files {
        let kept = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let (policy, _) = kept.split_once(SAID).unwrap();
        let bytes = made.iter().find(|(made, _)| *made == name).map(|(_, bytes)| bytes.clone());
        let bytes = bytes.unwrap_or_else(|| policy.as_bytes().to_vec());
        let told = desk.fed("apply - --dry-run", &bytes);
        let (out, err) =
            (String::from_utf8(told.stdout).unwrap(), String::from_utf8(told.stderr).unwrap());
        let said = format!("{policy}{SAID}{err}{out}");
        if std::env::var_os("UPDATE").is_some() && std::env::var_os("CI").is_none() {
            fs::write(&file, &said).unwrap();
        } else {
            assert_eq!(kept, said, "{name} differs: UPDATE=1 cargo test policies");
        }
        let obeyed: Vec<char> = err.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(obeyed.is_empty(), "{name}: {obeyed:?}");
        assert!(!err.contains(['\u{2028}', '\u{202e}', '\u{e0041}']), "{name}");
        let all: Vec<String> = err.lines().filter_map(code_of).collect();
        assert!(!all.is_empty(), "{name} says nothing: {err}");
        let refused = err.contains("error[");
        assert_eq!(told.status.code(), Some(if refused { 2 } else { 0 }), "{name}: {err}");
        codes.extend(all);
    }
    let word = |code: Value| code.as_str().unwrap().to_owned();
    let text = PolicyMistake::ALL.iter().map(|code| word(json!(code)));
    // Whether hours open before a mandate ends depends on the moment: `faults` shows it.
    let faults = FaultCode::ALL.iter().filter(|code| **code != FaultCode::NeverOpen);
    let faults = faults.map(|code| word(json!(code)));
    assert_eq!(codes, text.chain(faults).collect(), "a mistake that no file shows");
    assert_eq!(desk.ok("ledger --json"), before, "nothing was changed");
}

#[test]
fn what_is_wrong_is_repeated_in_part_however_long_it_is() {
    let desk = Desk::new();
    let long = "x".repeat(200_000);
    let digits = "1".repeat(1_000);
    let policies = [
        format!("schema = 1\n{long} = 1\n"),
        format!("schema = 1\n[agents.{long}]\n"),
        format!("schema = 1\n[agents.{long}]\ncap = 1\n[agents.a]\n{long} = 1\n"),
        format!("schema = 1\n[agents]\n{long} = 1\n"),
        format!("schema = 1\n[agents.a]\nfunding = \"{long}\"\n"),
        format!("schema = 1\n[agents.a]\nallow = [\"{long}\"]\ntimezone = \"{long}\"\n"),
        format!("schema = 1\n[agents.a]\nper_call = 0.{digits}\n"),
    ];
    for policy in policies {
        for line in ["apply - --dry-run", "apply - --dry-run --json"] {
            let told = desk.fed(line, policy.as_bytes());
            assert_eq!(told.status.code(), Some(2), "{}", &policy[..40]);
            let told = String::from_utf8(told.stderr).unwrap();
            assert!(told.len() < 4_000, "{} bytes of {}", told.len(), &policy[..40]);
        }
    }
}

#[test]
fn warnings_that_are_not_told_are_no_mistakes() {
    let desk = Desk::new();
    let over = |n| format!("[agents.a{n}]\nexpires = 2020-01-01T00:00:00Z\n");
    let over = (0..30).map(over).collect::<String>();
    let policy = format!("schema = 1\n{over}[agents.zero]\nper_call = \"0\"\n");
    let told = desk.fed("apply - --dry-run", policy.as_bytes());
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("error: a mistake in `standard input`"), "{told}");
    assert!(told.contains("… and 11 more"), "{told}");
}

#[test]
fn what_is_meant_is_not_looked_for_where_nobody_reads_it_or_for_keys_that_are_none() {
    let desk = Desk::new();
    let hint = |key: &str| {
        let policy = format!("schema = 1\n{key} = 1\n");
        let told = desk.fed("apply - --dry-run --json", policy.as_bytes());
        let told: Value = serde_json::from_slice(&told.stderr).unwrap();
        told["error"]["faults"][0]["hint"].as_str().unwrap().to_owned()
    };
    assert_eq!(hint("agent"), "there is `agents`");
    assert_eq!(hint(&format!("{}_agents", "x".repeat(50))), "there is `agents`");
    assert!(hint(&format!("{}_agents", "x".repeat(60))).starts_with("there are `schema`"));
    let long = |n| format!("{}{n} = 1\n", "_x".repeat(4_000));
    let many = (0..400).map(long).collect::<String>();
    let told = desk.fed("apply - --dry-run", format!("schema = 1\n{many}").as_bytes());
    assert!(String::from_utf8(told.stderr).unwrap().contains("error: 400 mistakes in"));
}

/// The code in `error[code]: …`.
fn code_of(line: &str) -> Option<String> {
    let rest = line.strip_prefix("error[").or_else(|| line.strip_prefix("warning["))?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// A policy of the state that [`Desk::with_a_state`] makes.
const AS_IT_IS: &str = r#"schema = 1
[services.search]
payee = "Acme Search"
price = "0.02"
[agents.intern]
[agents.old]
funding = "allowance"
caps = ["5.00/day"]
allow = ["ghost"]
"#;

fn entries(desk: &Desk) -> Vec<Value> {
    desk.json("ledger --json --limit 1000")["entries"].as_array().unwrap().clone()
}

#[test]
fn a_policy_is_one_step_with_one_entry_and_leaves_alone_what_it_does_not_name() {
    let desk = Desk::with_a_state();
    desk.ok("top-up intern 2.00");
    let before = entries(&desk).len();
    let policy = r#"schema = 1
[defaults]
per_call = "0.10"
[services.search]
payee = "Acme Search"
price = "0.01"
[agents.intern]
deny = ["report"]
[agents.fresh]
funding = "allowance"
per_call = "0.20"
caps = ["1.00/day"]
"#;
    let line = r#"apply - --json --note "cheaper now""#;
    let told = desk.fed(line, policy.as_bytes());
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["applied"], &told["gives_more"]), (&json!(true), &json!(true)));
    assert_eq!((&told["agents_left"], &told["services_left"]), (&json!(1), &json!(1)));
    let after = entries(&desk);
    let outcomes: Vec<&str> = after[..after.len() - before]
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["mandate_set", "created", "service_set", "policy_applied"]);
    let applied = &after[3];
    assert_eq!(applied["note"], "cheaper now");
    assert_eq!(applied["detail"], "1 agent created, 1 agent changed, 1 service set");
    let times: BTreeSet<_> = after[..4].iter().map(|entry| entry["at"].to_string()).collect();
    assert_eq!(times.len(), 1, "in one record");
    let intern = desk.json("mandate show intern --json");
    assert_eq!(
        (&intern["per_call_limit_usd"], &intern["deny"]),
        (&json!("0.10"), &json!(["report"]))
    );
    let fresh = desk.json("mandate show fresh --json");
    assert_eq!(fresh["per_call_limit_usd"], "0.20", "what it says itself wins");
    assert_eq!(desk.json("agent show intern --json")["balance_usd"], "2.00");
    assert_eq!(desk.json("mandate show old --json")["caps"][0]["cap_usd"], "5.00");
    assert_eq!(desk.json("service list --json")["services"].as_array().unwrap().len(), 2);

    let again = desk.apply(policy);
    assert!(again.contains("Everything is so already: nothing to do."), "{again}");
    assert!(again.contains("1 agent is not in the file: left as it is."), "{again}");
    assert_eq!(entries(&desk), after, "and nothing is written");
    assert_eq!(desk.ok("verify"), "");
    desk.end_serve();
    assert_eq!(desk.json("mandate show fresh --json"), fresh);
}

#[test]
fn diff_says_what_would_change_and_changes_nothing() {
    let desk = Desk::with_a_state();
    let before = entries(&desk);
    let same = desk.fed("diff -", AS_IT_IS.as_bytes());
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stderr));
    let other = AS_IT_IS.replace("5.00/day", "6.00/day").replace("Acme Search", "Somebody");
    let differs = desk.fed("diff -", other.as_bytes());
    let told = String::from_utf8(differs.stdout).unwrap();
    assert_eq!(differs.status.code(), Some(1), "{told}");
    for line in [
        "~ service search: Acme Search, $0.02 a call, by iou → Somebody, $0.02 a call, by iou",
        "cap per day  $5.00  →  $6.00  gives more",
        "it would be 1 agent changed, 1 service set.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let wrong = desk.fed("diff -", b"schema = 1\nx = 1\n");
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(desk.fails("diff no-such-file", 2).lines().count(), 2);
    let told = desk.fed("diff - --json", b"schema = 1\nx = 1\n");
    let told: Value = serde_json::from_slice(&told.stderr).unwrap();
    assert_eq!(told["error"]["code"], "policy_invalid");
    let mistake = &told["error"]["faults"][0];
    assert_eq!((&mistake["code"], &mistake["at"][0]["line"]), (&json!("key_unknown"), &json!(2)));
    assert_eq!(entries(&desk), before);
}

#[test]
fn what_gives_more_is_told_however_much_else_changes() {
    let desk = Desk::new();
    let policy = |cap: &str, last: &str, more: &str| {
        let agent =
            |n, cap| format!("[agents.a{n:02}]\nfunding = \"allowance\"\ncaps = [\"{cap}/day\"]\n");
        let agents = (0..60).map(|n| agent(n, cap)).chain([agent(60, last)]).collect::<String>();
        format!("schema = 1\n{agents}{more}")
    };
    desk.apply(&policy("5.00", "5.00", ""));
    let zoe = "[agents.zoe]\nfunding = \"allowance\"\ncaps = [\"9.00/day\"]\n[agents.poor]\n";
    let told = desk.fed("diff -", policy("4.00", "6.00", zoe).as_bytes());
    let told = String::from_utf8(told.stdout).unwrap();
    let first: Vec<_> = told
        .lines()
        .filter(|line| {
            line.contains(" agent a60")
                || line.contains(" agent zoe")
                || line.contains(" agent a00")
        })
        .collect();
    assert_eq!(first, ["~ agent a60", "+ agent zoe, new", "~ agent a00"], "{told}");
    assert!(told.starts_with("~ agent a60\n"), "{told}");
    for line in [
        "cap per day  $5.00  →  $6.00  gives more",
        "… and 11 other agents that spend no more: --json tells all",
        "it would be 2 agents created, 61 agents changed. 3 of them give more.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn what_is_exported_changes_nothing_where_it_is_applied() {
    let desk = Desk::with_a_state();
    desk.ok(
        "agent create odd --allow search --deny search --per-call 9 --cap 1.00/day --no-local \
             --cap 0.50/hour --expires 2099-01-01T00:00:00.123456Z --timezone Asia/Tokyo",
    );
    desk.ok("agent freeze odd");
    let payee = "Łódź \\ 'x' \"y\" #";
    let text = format!("schema = 1\n[services.a]\npayee = {}\n", toml_edit_text(payee));
    desk.apply(&text);
    let before = entries(&desk);
    let exported = desk.ok("export-policy");
    let caps = "caps = [\"1.00/day\", \"0.50/hour\"]";
    for line in ["1 revoked agent is left out", "# Frozen", caps] {
        assert!(exported.contains(line), "{line} is not in\n{exported}");
    }
    assert!(desk.apply(&exported).ends_with("nothing to do.\n"));
    assert_eq!(desk.fed("diff -", exported.as_bytes()).status.code(), Some(0));
    assert_eq!(entries(&desk), before);
    let present = desk.json("export-policy --json");
    assert_eq!(present["policy"]["services"]["a"]["payee"], payee);
    let empty = Desk::new();
    empty.ok("agent list");
    let exported = empty.ok("export-policy");
    assert!(exported.contains("no agents and no services yet"), "{exported}");
    assert!(empty.apply(&exported).contains("nothing to do"));
}

fn toml_edit_text(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// The file that the README shows.
pub(super) fn readme_policy() -> &'static str {
    readme_file(1)
}

fn readme_file(nth: usize) -> &'static str {
    let readme = include_str!("../../README.md");
    readme.split("```toml\n").nth(nth).unwrap().split("```").next().unwrap()
}

#[test]
fn the_api_of_the_readme_is_applied_as_written_and_given_back_the_same() {
    let (policy, desk) = (readme_file(2), Desk::new());
    let told = desk.apply(policy);
    assert!(told.contains("Applied: 1 service set."), "{told}");
    assert!(desk.apply(policy).contains("nothing to do"));
    let shown = desk.ok("service show weather");
    for told in ["https://api.acme.example/v2", "GET", "/now/{place}", "ACME_KEY"] {
        assert!(shown.contains(told), "{told} is not in\n{shown}");
    }
    let written = desk.ok("export-policy");
    let there = desk.apply(&written);
    assert!(there.contains("nothing to do"), "{there}");
}

#[test]
fn the_language_model_of_the_readme_is_applied_as_written_and_metered() {
    let (policy, desk) = (readme_file(3), Desk::new());
    assert!(desk.apply(policy).contains("Applied: 1 service set."));
    assert!(desk.apply(policy).contains("nothing to do"));
    let shown = desk.ok("service show claude");
    assert!(shown.contains("metered as anthropic_messages"), "{shown}");
    assert!(desk.apply(&desk.ok("export-policy")).contains("nothing to do"));
}

#[test]
fn the_gateway_of_the_readme_is_applied_as_written_and_counting_costs_nothing() {
    let (policy, desk) = (readme_file(4), Desk::new());
    assert!(desk.apply(policy).contains("Applied: 2 services set."));
    let shown = desk.ok("service show anthropic") + &desk.ok("service show openai");
    for told in ["as anthropic_messages", "/count_tokens", "as openai_chat", "GET /v1/models"] {
        assert!(shown.contains(told) && shown.contains("$0.00"), "{told} is not in\n{shown}");
    }
    assert!(desk.apply(&desk.ok("export-policy")).contains("nothing to do"));
}

#[test]
fn the_policy_of_the_readme_is_applied_as_written() {
    let policy = readme_policy();
    let desk = Desk::new();
    let told = desk.apply(policy);
    assert!(told.contains("Applied: 2 agents created, 2 services set, 1 group set."), "{told}");
    assert!(desk.apply(policy).contains("nothing to do"));
    let lines = super::readme_lines().into_iter().filter(|line| line.contains("policy.toml"));
    let lines: Vec<String> = lines.collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        let mut command = desk.command("");
        let program = command.get_program().to_owned();
        let mut shell = Command::new("sh");
        for (name, value) in command.stdin(Stdio::null()).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let script = format!("pettycash() {{ \"$PROGRAM\" \"$@\"; }}; pettycash {line}");
        let done = shell.arg("-c").arg(script).env("PROGRAM", program).current_dir(desk.home());
        let done = done.output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let help = desk.ok("apply --help");
    let example =
        help.split("A file:\n").nth(1).unwrap().split("\n\nAn agent gets").next().unwrap();
    // What is said beside the values has no `#` before it.
    let plain = example.lines().map(|line| line.trim().split("   ").next().unwrap());
    let plain = plain.collect::<Vec<_>>().join("\n");
    assert!(desk.fed("apply - --dry-run", plain.as_bytes()).status.success(), "{plain}");
}

#[test]
fn once_there_is_a_passphrase_only_a_policy_that_tightens_takes_no_proof() {
    let desk = Desk::with_a_state();
    let token = desk.json("operator token --json");
    let token = token["token"].as_str().unwrap().to_owned();
    let file = desk.home().join("passphrase");
    fs::write(&file, "correct horse battery\n").unwrap();
    set_mode(&file, 0o600);
    let mut init = desk.command(&format!("operator init --passphrase-file {}", file.display()));
    assert!(init.env("PETTYCASH_OPERATOR_TOKEN", &token).output().unwrap().status.success());
    let looser = AS_IT_IS.replace("5.00/day", "6.00/day");
    let newer = format!("{AS_IT_IS}[agents.fresh]\n");
    let service = AS_IT_IS.replace("0.02", "0.01");
    let mixed = AS_IT_IS.replace("5.00/day", "4.00/day") + "[agents.fresh]\n";
    let before = entries(&desk);
    for policy in [&looser, &newer, &service, &mixed] {
        let told = desk.fed("apply -", policy.as_bytes());
        assert_eq!(told.status.code(), Some(7), "{policy}");
        assert!(desk.fed("apply - --dry-run", policy.as_bytes()).status.success());
    }
    assert_eq!(entries(&desk), before, "nothing was done");
    assert!(desk.apply(&AS_IT_IS.replace("5.00/day", "4.00/day")).contains("1 agent changed"));
    let mut child = desk.command("apply -");
    child.env("PETTYCASH_OPERATOR_TOKEN", &token).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(looser.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let applied = entries(&desk).into_iter().find(|entry| entry["outcome"] == "policy_applied");
    let detail = applied.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1 agent changed") && detail.contains("shown tok_"), "{detail}");
    assert!(!detail.contains(&token));
}

#[test]
fn an_agent_gives_nobody_more_by_a_policy_where_there_is_no_passphrase() {
    let desk = Desk::with_a_state();
    let run = |policy: &str| {
        let mut command = desk.command("apply -");
        command.env("CLAUDECODE", "1").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(policy.as_bytes()).unwrap();
        child.wait_with_output().unwrap().status.code()
    };
    assert_eq!(run(&AS_IT_IS.replace("5.00/day", "6.00/day")), Some(7));
    assert_eq!(run(&AS_IT_IS.replace("0.02", "0.01")), Some(7));
    let rich = "[agents.rich]\nfunding = \"allowance\"\ncaps = [\"9.00/day\"]\n";
    assert_eq!(run(&format!("{AS_IT_IS}{rich}")), Some(7));
    assert_eq!(run(&AS_IT_IS.replace("5.00/day", "4.00/day")), Some(0));
    assert_eq!(run("schema = 1\n[agents.poor]\n"), Some(0), "it starts at zero");
}

#[test]
fn what_is_applied_is_what_was_shown_or_nothing() {
    let desk = Desk::with_a_state();
    let operator = desk.operator();
    let policy = json!({"schema": 1, "agents": {"intern": {"per_call": "0.10"}}});
    let asked = |more: Value| {
        let mut asked = json!({"policy": policy});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(asked).unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |more| runtime.block_on(operator.apply_policy(&asked(more)));
    let shown = ask(json!({"dry_run": true})).unwrap();
    assert!(!shown.applied && shown.plan.len() == 64);
    desk.ok("mandate set intern --per-call 0.20");
    let before = entries(&desk);
    let late = ask(json!({"plan": shown.plan})).unwrap_err();
    let ClientError::Problem(problem) = late else { panic!("{late}") };
    assert_eq!((problem.status, problem.code.as_str()), (409, "policy_changed"));
    assert_eq!(entries(&desk), before);
    desk.ok("top-up intern 1.00");
    let shown = ask(json!({"dry_run": true})).unwrap();
    desk.ok("agent create other");
    assert!(ask(json!({"plan": shown.plan})).unwrap().applied, "what else changes is no matter");
    let rail = json!({"a": {"payee": "A", "rail": "x"}});
    let wrong = json!({"schema": 1, "agents": {"gone": {}}, "services": rail});
    let wrong = serde_json::from_value(json!({"policy": wrong})).unwrap();
    let refused = runtime.block_on(operator.apply_policy(&wrong)).unwrap_err();
    let ClientError::Problem(problem) = refused else { panic!("{refused}") };
    assert_eq!((problem.status, problem.code.as_str()), (422, "policy_refused"));
    assert!(problem.detail.ends_with("(and 1 more)"), "{}", problem.detail);
}
