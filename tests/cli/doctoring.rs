//! `doctor`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use super::Desk;

/// What is said of one thing, and whether the whole is fine.
fn check(report: &Value, what: &str) -> Option<(String, String)> {
    let checks = report["checks"].as_array().unwrap().iter();
    let mut those = checks.filter(|check| check["check"] == what);
    let found = those.next()?;
    assert_eq!(those.next(), None, "{what} is said once");
    let word = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((word("level"), format!("{} → {}", word("found"), word("fix"))))
}

fn warned(desk: &Desk, what: &str) -> String {
    let (level, told) = check(&desk.json("doctor --json"), what).expect(what);
    assert_eq!(level, "warn", "{told}");
    told
}

#[test]
fn a_house_in_order_is_said_to_be_so() {
    let desk = Desk::new();
    desk.ok("init");
    desk.ok("service add search --payee Acme --price 0.02");
    let report = desk.json("doctor --json");
    assert_eq!(report["ok"], true);
    // How much room the disk has is the machine's affair, not this house's.
    check(&report, "disk").expect("disk");
    for what in ["home", "serve", "record", "anchor", "clock", "services", "agents", "log"] {
        let (level, told) = check(&report, what).expect(what);
        assert_eq!(level, "ok", "{what}: {told}");
    }
    let told = desk.ok("doctor");
    assert!(told.contains("ok    record    sound"), "{told}");
    assert!(told.lines().all(|line| !line.contains("  → ") || line.starts_with("warn")), "{told}");
}

#[test]
fn what_an_operator_forgot_is_told_with_the_line_that_mends_it() {
    let desk = Desk::new();
    let told = warned(&desk, "services");
    assert!(told.contains("→ pettycash service add"), "{told}");
    assert!(warned(&desk, "agents").contains("→ pettycash init"));
    desk.ok("agent create intern");
    let told = warned(&desk, "empty");
    assert_eq!(told, "prepaid, and no balance: intern → pettycash top-up intern 2.00");
    desk.ok("top-up intern 2.00");
    let told = warned(&desk, "bounds");
    assert!(told.ends_with("intern → pettycash mandate set intern --per-call 0.25"), "{told}");
    desk.ok("mandate set intern --per-call 0.25");
    desk.ok("agent create ann --per-call 1");
    desk.ok("agent freeze intern");
    let told = warned(&desk, "frozen");
    assert_eq!(told, "intern → pettycash agent unfreeze intern");
    desk.ok("agent freeze ann");
    let told = warned(&desk, "frozen");
    assert_eq!(told, "ann and intern → pettycash agent unfreeze --all");
    desk.ok("agent unfreeze --all");
    let report = desk.json("doctor --json");
    for gone in ["frozen", "bounds", "expired"] {
        assert_eq!(check(&report, gone), None);
    }
}

#[test]
fn a_mandate_that_is_over_is_told() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let patch = serde_json::json!({"expires_at": "2026-01-01T00:00:00Z"});
    let patch = serde_json::from_value(patch).unwrap();
    let (operator, scout) = (desk.operator(), "scout".parse().unwrap());
    runtime.block_on(async { operator.change_mandate(&scout, &patch).await }).unwrap();
    let told = warned(&desk, "expired");
    assert!(told.ends_with("scout → pettycash mandate set scout --expires 30d"), "{told}");
}

#[test]
fn a_home_that_is_open_to_others_fails_with_the_command_that_mends_it() {
    let desk = Desk::new();
    fs::set_permissions(desk.home(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = desk.run("doctor --json");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let (level, told) = check(&report, "home").unwrap();
    assert!(level == "fail" && told.contains("→ chmod 700 "), "{told}");
    assert_eq!(check(&report, "serve"), None, "what rests on it is not looked at");
    fs::set_permissions(desk.home(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_serve_that_does_not_start_fails_with_its_cause() {
    let desk = Desk::new();
    fs::create_dir(desk.home().join("journal")).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(desk.home().join("journal"), open).unwrap();
    let output = desk.run("doctor");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    let line = told.lines().find(|line| line.starts_with("fail  serve")).unwrap();
    assert!(line.contains("is open to others") && line.contains("→ chmod 700 "), "{line}");
    assert!(told.lines().any(|line| line.starts_with("warn  log")), "{told}");
}

#[test]
fn a_record_that_is_sealed_fails_and_the_rest_is_still_looked_at() {
    let desk = Desk::new();
    desk.ok("agent create intern");
    desk.ok("top-up intern 2.00");
    desk.end_serve();
    let journal = desk.home().join("journal");
    let aside = desk.home().join("aside");
    fs::create_dir(&aside).unwrap();
    for file in fs::read_dir(&journal).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), aside.join(file.file_name())).unwrap();
    }
    desk.ok("top-up intern 1.00");
    desk.end_serve();
    for file in fs::read_dir(&aside).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), journal.join(file.file_name())).unwrap();
    }
    let output = desk.run("doctor --json");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (level, told) = check(&report, "record").unwrap();
    assert!(level == "fail" && told.contains("pettycash recover"), "{told}");
    assert!(check(&report, "agents").is_some());
}

#[test]
fn payments_without_number_are_told_wherever_a_mandate_is_set() {
    let desk = Desk::new();
    desk.ok("service add search --payee Acme --price 0.02");
    let told = desk.ok("init --agent quiet");
    assert!(!told.contains("note:"), "what has a price bounds them: {told}");
    assert_eq!(check(&desk.json("doctor --json"), "number"), None);
    desk.ok("service add report --payee Acme --no-price --category web");
    let note = "note: nothing bounds how many payments it makes: `report` has no price";
    assert!(desk.ok("init --agent claude").contains(note));
    let told = warned(&desk, "number");
    let whom =
        "`report` has no price, and nothing bounds how many payments are made: claude and quiet";
    assert_eq!(told, format!("{whom} → pettycash mandate set claude --rate 20/min"));
    for (bound, gone) in [
        ("--rate 20/min", "--no-rate min"),
        ("--cap 1000x/day", "--no-cap x/day"),
        ("--cap \"50x/hour category=web\"", "--no-cap \"x/hour category=web\""),
        ("--cooldown 5s", "--no-cooldown"),
        ("--deny report", "--no-deny report"),
        ("--allow search", "--allow-all"),
    ] {
        let told = desk.ok(&format!("mandate set claude {bound}"));
        assert!(!told.contains("nothing bounds"), "{bound}: {told}");
        let told = warned(&desk, "number");
        assert!(told.contains("made: quiet →"), "{bound}: {told}");
        let told = desk.ok(&format!("mandate set claude {gone}"));
        assert!(told.contains(note), "{gone}: {told}");
    }
    let told = desk.ok("mandate set claude --cap 9x/run");
    assert!(told.contains(note), "whoever begins a run names it: {told}");
    // A group's bound is one for those below it, however high up.
    let of = |agent: &str| {
        format!(
            "schema = 1\n[groups.org]\ncaps = [\"90x/day\"]\n[groups.team]\nparent = \"org\"\n\
             [agents.{agent}]\nfunding = \"allowance\"\ncaps = [\"5.00/day\"]\n"
        )
    };
    assert!(desk.apply(&of("claude")).contains(note));
    assert!(!desk.apply(&format!("{}group = \"team\"\n", of("claude"))).contains(note));
    assert!(!desk.apply(&format!("{}group = \"team\"\n", of("quiet"))).contains(note));
    assert_eq!(check(&desk.json("doctor --json"), "number"), None);
}
