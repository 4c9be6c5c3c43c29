//! What a program can tell from how a command ends.

use std::collections::BTreeMap;

use super::*;

/// The table of exit codes that a text has, by code.
fn table(text: &str) -> BTreeMap<i32, String> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = words.split_once("Exit codes: ").expect("a table of exit codes").1;
    let rows = rest.split_once(" is needed.").expect("its end").0.split(", ");
    let split = |row: &str| {
        row.split_once(' ').map(|(code, told)| (code.parse().unwrap(), told.to_owned()))
    };
    rows.map(|row| split(row).unwrap()).collect()
}

#[test]
fn a_command_ends_as_the_table_says() {
    let desk = Desk::new();
    let told = table(&desk.ok("--help"));
    let ends = |line: &str, environment: (&str, &str), code: i32, word: &str| {
        let done = desk.command(line).env(environment.0, environment.1).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{line}: {said}");
        assert!(told[&code].contains(word), "{code} is for {}, not for {word}", told[&code]);
    };
    let plain = ("LANG", "C");
    ends("verify", plain, 1, "`verify` without a record");
    ends("agent list", plain, 0, "ok");
    ends("agent show ghost", plain, 1, "failed");
    ends("agent shwo", plain, 2, "usage");
    desk.ok("agent create scout --cap 5.00/day --per-call 0.25 --funding allowance");
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    ends("pay scout search", plain, 0, "ok");
    ends("pay scout nothing", plain, 3, "not paid or not yet (`pay`)");
    ends("top-up scout 1.00", ("CLAUDECODE", "1"), 7, "an operator");
    // 4, that the record cannot be written, is tried where there are disks that fail.
    assert!(told[&4].contains("cannot be written"));
    desk.end_serve();
    std::fs::remove_file(desk.home().join("start.lock")).unwrap();
    std::fs::create_dir(desk.home().join("start.lock")).unwrap();
    ends("agent list", plain, 5, "engine unreachable");
    std::fs::remove_dir(desk.home().join("start.lock")).unwrap();
    std::fs::rename(desk.home().join("journal"), desk.home().join("elsewhere")).unwrap();
    ends("verify", plain, 6, "verification failed");
}
