//! What is wrong with a policy, as programs read it.

use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};

use super::Desk;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn warnings_and_errors_say_alike_to_programs_what_is_wrong_and_where() {
    let desk = Desk::new();
    let policy = |cap: &str| {
        format!("schema = 1\n[agents.scout]\ncaps = [\"{cap}\"]\nper_call = \"9.00\"\n")
    };
    let told = desk.fed("diff - --json", policy("0.50/day").as_bytes());
    let plan: Value = serde_json::from_slice(&told.stdout).unwrap();
    let warning = plan["faults"].as_array().unwrap().last().unwrap();
    let told = desk.fed("diff - --json", policy("0.50/dya").as_bytes());
    let error: Value = serde_json::from_slice(&told.stderr).unwrap();
    let error = &error["error"]["faults"][0];
    assert_eq!((&warning["severity"], &error["severity"]), (&json!("warning"), &json!("error")));
    assert_eq!(keys(warning), keys(error));
    assert_eq!(keys(error), ["severity", "code", "message", "hint", "at"]);
    assert_eq!(error["at"], json!([{"line": 3, "column": 9}]));
    let places = warning["at"].as_array().unwrap().iter();
    let places: Vec<_> = places.map(|at| (&at["pointer"], &at["line"], &at["column"])).collect();
    let place = |pointer, line, column| (json!(pointer), json!(line), json!(column));
    let right = [place("/agents/scout/per_call", 4, 12), place("/agents/scout/caps/0", 3, 9)];
    let right: Vec<_> = right.iter().map(|(at, line, column)| (at, line, column)).collect();
    assert_eq!(places, right);
}

#[test]
fn a_plan_lists_the_groups_that_change_also_where_none_do() {
    let desk = Desk::new();
    let told = desk.fed("diff - --json", b"schema = 1\n");
    let plan: Value = serde_json::from_slice(&told.stdout).unwrap();
    for what in ["groups", "agents", "services"] {
        assert_eq!(plan[what], json!([]), "{what}");
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let desk = Desk::new();
    let pipe = desk.home().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for verb in ["diff", "apply"] {
        let mut command = desk.command(&format!("{verb} {}", pipe.display()));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ended = (0..1_000).find_map(|_| {
            sleep(Duration::from_millis(20));
            child.try_wait().unwrap()
        });
        if ended.is_none() {
            child.kill().unwrap();
        }
        let told = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(2), "{told}");
        let whole = format!(
            "error: could not read `{0}`\ncause: `{0}` is a pipe that nobody writes to\n\
             hint: write to standard input, and name it `-`: make-policy | pettycash diff -\n",
            pipe.display()
        );
        assert_eq!(told, whole);
    }
    // One that somebody writes to is read, however late.
    let mut command = desk.command("diff /dev/stdin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    sleep(Duration::from_millis(300));
    std::io::Write::write_all(&mut input, b"schema = 1\n").unwrap();
    drop(input);
    let told = child.wait_with_output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn days_are_written_in_a_file_as_on_the_command_line() {
    let desk = Desk::new();
    desk.apply("schema = 1\n[agents.one]\ndays = \"mon-fri\"\n[agents.two]\ndays = [\"sun\"]\n");
    let written = desk.ok("export-policy");
    for days in ["days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]", "days = [\"sun\"]"] {
        assert!(written.contains(days), "{days} is not in\n{written}");
    }
}

#[test]
fn spans_are_exported_and_shown_as_they_are_typed() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/24h --cooldown 1h --funding allowance");
    desk.ok("agent create other --cap 5.00/744h --cooldown 1min");
    let written = desk.ok("export-policy");
    for line in [
        "caps = [\"5.00/24h\"]",
        "cooldown = \"1h\"",
        "caps = [\"5.00/744h\"]",
        "cooldown = \"1min\"",
    ] {
        assert!(written.contains(line), "{line} is not in\n{written}");
    }
    fs::write(desk.home().join("policy.toml"), &written).unwrap();
    desk.ok(&format!("diff {}", desk.home().join("policy.toml").display()));
    let told = desk.ok("mandate set scout --cooldown 30s --dry-run");
    assert!(told.contains("cooldown  1h  →  30s"), "{told}");
    assert!(desk.ok("agent show scout").contains("1h between two payments"));
}

#[test]
fn whom_a_service_or_a_group_lets_pay_without_end_is_told_whoever_is_named() {
    let desk = Desk::new();
    let told = |policy: &str| {
        let told = desk.fed("apply -", format!("schema = 1\n{policy}").as_bytes());
        assert!(told.status.success(), "{told:?}");
        String::from_utf8(told.stderr).unwrap()
    };
    let scout = "[agents.scout]\nfunding = \"allowance\"\ncaps = [\"5.00/day\"]\n";
    let paced = "[agents.paced]\nrates = [\"9/min\"]\n";
    assert_eq!(told(&format!("{scout}{paced}")), "");
    let report = |price: &str| format!("[services.report]\npayee = \"Acme\"\n{price}");
    assert_eq!(told(&report("price = \"0.10\"\n")), "");
    let endless =
        "`report` has no price, and nothing bounds any more how many payments are made by";
    let is_told = |told: &str, whom: &str| {
        assert!(told.starts_with("warning[number_unbounded]: "), "{told}");
        assert!(told.contains(&format!("{endless} {whom}\n")), "{told}");
    };
    is_told(&told(&report("")), "`scout`");
    assert_eq!(told(&report("")), "", "they were so before");

    // One that is unchanged, and one that changes in something else.
    told(&report("price = \"0.10\"\n"));
    is_told(&told(&format!("{}{scout}", report(""))), "`scout`");
    told(&report("price = \"0.10\"\n"));
    is_told(&told(&format!("{}{scout}per_call = \"1.00\"\n", report(""))), "`scout`");

    // A group that no longer counts, or is no longer below one that does.
    let org = "[groups.org]\ncaps = [\"90x/day\"]\n";
    let teams = |parent: &str| {
        let below =
            ["a", "b", "c", "d"].map(|handle| format!("[agents.{handle}]\ngroup = \"team\"\n"));
        format!("{org}[groups.team]\n{parent}{}", below.concat())
    };
    assert_eq!(told(&teams("parent = \"org\"\n")), "");
    is_told(&told("[groups.org]\ncaps = [\"90.00/day\"]\n"), "`a`, `b`, `c` and 1 more");
    assert_eq!(told(org), "");
    is_told(&told("[groups.team]\n"), "`a`, `b`, `c` and 1 more");
    // Of what is in the file the group did it, and not the service, which is as it was.
    assert_eq!(told(&teams("parent = \"org\"\n")), "");
    let moved = told(&format!("[groups.team]\n{}", report("")));
    is_told(&moved, "`a`, `b`, `c` and 1 more");
    assert!(moved.contains("[groups.team]\n  |         ^^^^"), "{moved}");
}

#[test]
fn what_hangs_on_the_moment_is_told_as_it_is() {
    let desk = Desk::new();
    let now = pettycash::clock::Clock::System.now();
    let ends = (now + jiff::SignedDuration::from_hours(1)).strftime("%Y-%m-%dT%H:%M:%SZ");
    let day = now + jiff::SignedDuration::from_hours(72);
    let day = day.strftime("%a").to_string().to_lowercase();
    let policy = format!("schema = 1\n[agents.scout]\ndays = [\"{day}\"]\nexpires = \"{ends}\"\n");
    let told = desk.fed("apply -", policy.as_bytes());
    assert_eq!(told.status.code(), Some(2));
    let whole = format!(
        "error[never_open]: the hours of `scout`, {day}, never open before it ends\n \
         --> standard input:3:8\n  |\n\
         3 | days = [\"{day}\"]\n  |        ^^^^^^^\n\
         4 | expires = \"{ends}\"\n  |           ---------------------- the end\n  |\n  \
         = hint: let it end later, or open on another day\n\n\
         error: a mistake in `standard input`: nothing was changed\n"
    );
    assert_eq!(String::from_utf8(told.stderr).unwrap(), whole);
}

#[test]
fn what_is_too_much_for_one_policy_is_told_as_it_is() {
    let desk = Desk::new();
    let told = |policy: &str| {
        let told = desk.fed("apply -", policy.as_bytes());
        assert!(!told.status.success());
        String::from_utf8(told.stderr).unwrap()
    };
    let groups = |from: usize, to: usize| {
        let groups = (from..to).map(|number| format!("[groups.g{number}]\n"));
        format!("schema = 1\n{}", groups.collect::<String>())
    };
    let too_many = "error: it names 10001 groups: one policy names at most 10000\n\
                    hint: nothing was done; apply it in two files\n";
    assert_eq!(told(&groups(0, 10_001)), too_many);
    let names: Vec<String> = (0..900).map(|number| format!("\"s{number:060}\"")).collect();
    let agents: Vec<String> = (0..200).map(|number| format!("[agents.a{number}]\n")).collect();
    let large =
        format!("schema = 1\n[defaults]\nallow = [{}]\n{}", names.join(","), agents.concat());
    let too_large = "error: it says more than one step can change: 11545600 bytes or more\n\
                     hint: nothing was done; apply it in two files\n";
    assert_eq!(told(&large), too_large);
    desk.apply(&groups(0, 9_999));
    let too_many = "error: there would be 10001 groups: there are at most 10000 in all\n\
                    hint: nothing was done; `pettycash group remove` takes away \
                    those nobody is in\n";
    assert_eq!(told(&groups(9_999, 10_001)), too_many);
}
