//! `pettycash prices`, as an operator types it.

use std::fs;

use pettycash::policy::entry::Hash;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Desk;

const THEIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails/litellm.json");

/// The words alone, however wide their columns are.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A table with one model in it, as a file.
fn ours(desk: &Desk, input: &str) -> String {
    let file = desk.home().join("ours.json");
    let table = format!(
        r#"{{"models": {{"our-model": {{"rates": {{"standard":
            {{"input": "{input}", "output": "0.000005"}}}}}}}}}}"#
    );
    fs::write(&file, table).unwrap();
    file.display().to_string()
}

#[test]
fn a_table_is_shown_before_it_is_set_and_told_ever_after() {
    let desk = Desk::new();
    let shown = flat(&desk.ok("prices show"));
    assert!(shown.contains("MODEL INPUT CACHED OUTPUT"), "{shown}");
    assert!(shown.contains("claude-haiku-4-5 1.00 0.10 5.00"), "{shown}");
    assert!(shown.contains("window_backup.json, of 2026-11-22, sha256 8f80"), "{shown}");
    assert!(shown.contains("litellm 1.109.1") && shown.contains("8f8060d8ce7a40c9"), "{shown}");
    let file = ours(&desk, "0.000001");
    let plan = desk.ok(&format!("prices update {file} --dry-run"));
    assert!(plan.starts_with("This sets the prices of 1 model: 1 new."), "{plan}");
    assert!(flat(&plan).contains("our-model new 1.00 5.00"), "{plan}");
    assert!(desk.fails("prices show our-model", 1).contains("there is no price for the model"));
    let set = desk.ok(&format!("prices update {file} --note \"a contract\""));
    assert!(set.starts_with("Set the prices of 1 model: 1 new."), "{set}");
    assert_eq!(
        desk.ok(&format!("prices update {file}")),
        "1 model costs that already: nothing changes.\n"
    );
    let file = ours(&desk, "0.0000005");
    let set = desk.json(&format!("prices update {file} --json"));
    assert_eq!((&set["applied"], &set["cheaper"]), (&true.into(), &1.into()), "{set}");
    assert_eq!(set["changes"][0]["from"]["input_usd"], "1.00");

    desk.end_serve();
    let shown = flat(&desk.ok("prices show our-model"));
    assert!(shown.contains("standard input 0.50 standard output 5.00"), "{shown}");
    assert!(shown.contains("ours.json, set at 20"), "{shown}");
    let all = desk.ok("prices show");
    assert!(all.contains("our-model") && all.contains("[2]"), "{all}");
    let told = desk.fails("prices show our-modell", 1);
    assert!(told.contains("use `our-model`") && told.contains("hint: `pettycash prices"), "{told}");
    let ledger = desk.json("ledger --json");
    let lines: Vec<&Value> = ledger["entries"].as_array().unwrap().iter().collect();
    assert_eq!(lines[0]["outcome"], "prices_set");
    assert_eq!(lines[0]["detail"], "1 model of ours.json");
    assert_eq!(lines[1]["note"], "a contract");
    assert_eq!(
        desk.json("ledger --outcome prices_set --json")["entries"].as_array().unwrap().len(),
        2
    );
    assert!(!desk.ok("export-policy").contains("our-model"), "prices are no part of a policy");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn litellms_own_table_is_taken_as_it_is_published() {
    let desk = Desk::new();
    let plan = desk.ok(&format!("prices update {THEIRS} --dry-run"));
    assert!(
        plan.starts_with("This sets the prices of 2 models: 2 new; 13 stay as they are."),
        "{plan}"
    );
    desk.ok(&format!("prices update {THEIRS}"));
    let one = desk.json("prices show odd-rounding --json");
    assert_eq!(one["models"][0]["output_usd"], "0.166667");
    let source = &one["tables"][1];
    assert_eq!((&source["source"], &source["models"]), (&"litellm.json".into(), &15.into()));
    let digest = source["sha256"].as_str().unwrap();
    let file = Hash(Sha256::digest(fs::read(THEIRS).unwrap()).into()).to_string();
    assert_eq!(digest, file, "what was published, and not our part of it");
}

#[test]
fn a_file_that_is_no_table_changes_nothing() {
    let desk = Desk::new();
    let wrong = [
        ("", "ours.json: the table of prices is not taken: the table: it is no JSON"),
        ("[1]", "it is no JSON of a table"),
        (r#"{"models": {"m": {"rates": {}}}}"#, "m: rates: there has to be one named `standard`"),
        (
            r#"{"m": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": -1}}"#,
            "m: input_cost_per_token: `-1` is no price in dollars",
        ),
    ];
    for (table, told) in wrong {
        let file = desk.home().join("ours.json");
        fs::write(&file, table).unwrap();
        let error = desk.fails(&format!("prices update {}", file.display()), 2);
        assert!(error.contains(told) && error.contains("hint: nothing was changed"), "{error}");
    }
    fs::write(desk.home().join("ours.json"), [0xff, 0xfe]).unwrap();
    let file = desk.home().join("ours.json");
    assert!(
        desk.fails(&format!("prices update {}", file.display()), 2).contains("no text in UTF-8")
    );
    desk.fails("prices update /nonexistent/prices.json", 1);
    assert_eq!(desk.json("ledger --json")["entries"].as_array().unwrap().len(), 0);
}
