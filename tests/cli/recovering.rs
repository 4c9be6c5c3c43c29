//! `recover`.

use std::{fs, path::Path};

use serde_json::Value;

use super::Desk;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A desk whose journal is an older copy: a payment and a revocation are forgotten.
fn rolled_back() -> Desk {
    let desk = Desk::new();
    desk.ok("service add search --payee Acme --price 0.02");
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    desk.ok("agent create thief --cap 5.00/day --funding allowance");
    desk.end_serve();
    let (journal, aside) = (desk.home().join("journal"), desk.home().join("older"));
    copy(&journal, &aside);
    desk.ok("pay scout search");
    desk.ok("agent revoke thief --reason theft");
    desk.end_serve();
    copy(&aside, &journal);
    desk
}

#[test]
fn an_older_copy_goes_on_with_every_agent_frozen() {
    let desk = rolled_back();
    assert_eq!(desk.run("pay scout search").status.code(), Some(3), "nothing is paid before");
    let told = desk.ok("recover accept-rollback --yes --note \"restored from Sunday\"");
    assert!(told.starts_with("Went on from record "), "{told}");
    assert!(told.contains("2 agents are frozen (recovered)"), "{told}");
    assert!(told.ends_with("pettycash agent unfreeze HANDLE, or --all\n"), "{told}");
    for agent in ["scout", "thief"] {
        let shown = desk.json(&format!("agent show {agent} --json"));
        let (standing, reason) = (&shown["standing"], &shown["reason"]);
        assert_eq!((standing, reason), (&"frozen".into(), &"recovered".into()));
    }
    let ledger = desk.json("ledger --json");
    let entries = ledger["entries"].as_array().unwrap();
    let told = entries.iter().find(|entry| entry["outcome"] == "rollback_accepted").unwrap();
    assert_eq!(told["note"], "restored from Sunday");
    desk.ok("agent unfreeze scout");
    desk.ok("pay scout search");
    assert_eq!(desk.ok("verify"), "");
    let told = desk.fails("recover accept-rollback --yes", 1);
    assert!(told.contains("there is nothing to accept"), "{told}");
}

#[test]
fn an_older_copy_by_one_record_verifies_once_it_is_accepted() {
    let desk = Desk::new();
    desk.ok("agent create intern");
    desk.end_serve();
    let (journal, aside) = (desk.home().join("journal"), desk.home().join("older"));
    copy(&journal, &aside);
    desk.ok("top-up intern 2.00");
    desk.end_serve();
    copy(&aside, &journal);
    desk.ok("recover accept-rollback --yes");
    // What tells of it has the number of the record that was lost.
    assert_eq!(desk.ok("verify"), "");
    assert_eq!(desk.json("agent show intern --json")["balance_usd"], "0.00");
}

#[test]
fn a_recovery_says_what_is_lost_and_must_be_meant() {
    let desk = rolled_back();
    for line in ["recover accept-rollback", "recover cut"] {
        let told = desk.fails(line, 2);
        assert!(told.contains("Lost: ") && told.contains("Kept: "), "{told}");
        assert!(told.contains("hint: if you mean it, say `--yes`"), "{told}");
    }
    let told = desk.fails("recover cut --yes", 1);
    assert!(told.contains("pettycash recover accept-rollback"), "the other is meant: {told}");
    assert_eq!(desk.run("pay scout search").status.code(), Some(3), "and nothing was changed");
    assert!(desk.fails("recover", 2).contains("hint: "));
}

#[test]
fn where_nothing_is_left_a_recovery_says_so_and_what_to_do() {
    for (what, verb) in [("gone", "accept-rollback"), ("headless", "cut")] {
        let desk = Desk::new();
        desk.ok("agent create intern");
        desk.end_serve();
        let journal = desk.home().join("journal");
        let segment = journal.join("0000000000000000.journal");
        if what == "gone" {
            fs::remove_file(&segment).unwrap();
        } else {
            let mut bytes = fs::read(&segment).unwrap();
            bytes[..64].fill(b'x');
            fs::write(&segment, bytes).unwrap();
            fs::remove_dir_all(desk.home().join("desk")).unwrap();
        }
        let told = desk.fails(&format!("recover {verb} --yes"), 1);
        assert!(told.contains("nothing that could be gone on from"), "{what}: {told}");
        assert!(told.contains("begin anew with `pettycash init`"), "{what}: {told}");
        assert!(!told.contains("recover"), "no way round: {told}");
    }
}

#[test]
fn what_is_damaged_is_cut_and_kept_aside() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    desk.ok("agent create intern");
    desk.ok("top-up intern 2.00");
    desk.ok("top-up intern 3.00");
    desk.end_serve();
    let segment = desk.home().join("journal/0000000000000000.journal");
    let mut bytes = fs::read(&segment).unwrap();
    let sum = b"2000000000";
    let at = bytes.windows(sum.len()).position(|window| window == sum).unwrap();
    bytes[at] = b'9';
    fs::write(&segment, bytes).unwrap();
    fs::remove_dir_all(desk.home().join("desk")).unwrap();
    let told: Value = serde_json::from_str(&desk.ok("recover cut --yes --json")).unwrap();
    assert!(told["incident"]["damage_cut"]["bytes"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(told["frozen"], 2);
    let aside = told["aside"][0].as_str().unwrap();
    assert!(desk.home().join("journal").join(aside).exists(), "{told}");
    assert_eq!(desk.json("agent show intern --json")["balance_usd"], "0.00");
    assert_eq!(desk.ok("verify"), "");
    desk.ok("agent unfreeze --all");
    assert_eq!(desk.json("doctor --json")["ok"], true);
}

#[test]
fn a_sound_record_is_left_alone_whether_or_not_it_is_served() {
    let desk = Desk::new();
    desk.ok("agent create scout");
    for line in ["recover cut --yes", "recover accept-rollback --yes"] {
        assert!(desk.fails(line, 1).contains("there is nothing to accept"), "{line}");
    }
    desk.end_serve();
    assert!(desk.fails("recover cut --yes", 1).contains("there is nothing to accept"));
    assert_eq!(desk.json("agent show scout --json")["standing"], "active");
}
