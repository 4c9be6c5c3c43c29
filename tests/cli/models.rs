//! What an operator says of language models: how much one puts out, and when a cheaper one is used.

use serde_json::json;

use super::Desk;

#[test]
fn what_is_said_of_models_is_shown_changed_exported_and_kept_over_a_restart() {
    let desk = Desk::new();
    let typed = "--max-output-tokens 4096 --downgrade 80%:claude-haiku-4-5";
    let told = desk.ok(&format!("agent create scout --cap 5.00/day --funding allowance {typed}"));
    let words = "at most 4096 output tokens per call, claude-haiku-4-5 from 80% of a cap on";
    assert!(told.contains(words), "{told}");
    desk.end_serve();
    for view in [desk.json("agent show scout --json"), desk.json("mandate show scout --json")] {
        assert_eq!(view["max_output_tokens"], 4096);
        assert_eq!(
            (&view["downgrade_at"], &view["downgrade_to"]),
            (&json!(80), &json!("claude-haiku-4-5"))
        );
    }
    for told in [desk.ok("agent show scout"), desk.ok("mandate show scout"), desk.ok("ledger")] {
        for part in words.split(", ") {
            assert!(told.contains(part), "{told}");
        }
    }
    let exported = desk.ok("export-policy");
    let keys = "max_output_tokens = 4096\ndowngrade_at = 80\ndowngrade_to = \"claude-haiku-4-5\"";
    assert!(exported.contains(keys), "{exported}");
    let diff = desk.fed("diff -", exported.as_bytes());
    assert!(String::from_utf8(diff.stdout).unwrap().contains("nothing"), "it is so already");

    let told = desk.ok("mandate set scout --downgrade 90%:claude-haiku-4-5 --dry-run");
    let later = "claude-haiku-4-5 from 80% of a cap on  →  claude-haiku-4-5 from 90% of a cap on  \
                 gives more";
    assert!(told.contains(later), "{told}");
    let told = desk.ok("mandate set scout --max-output-tokens 1024");
    assert!(told.contains("4096  →  1024") && !told.contains("gives more"), "{told}");
    let told = desk.ok("mandate set scout --no-max-output-tokens --no-downgrade");
    assert_eq!(told.matches("gives more").count(), 2, "{told}");
    let view = desk.json("mandate show scout --json");
    for key in ["max_output_tokens", "downgrade_at", "downgrade_to"] {
        assert_eq!(view.get(key), None);
    }
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn a_downgrade_without_a_cap_or_by_halves_is_told() {
    let desk = Desk::new();
    desk.ok("agent create scout");
    let note = "note: there is no cap to be 80% spent: haiku is used only in tasks with a cap";
    let told = desk.ok("mandate set scout --downgrade 80%:haiku");
    assert!(told.contains(note), "{told}");
    let told = desk.ok("mandate set scout --downgrade 70%:haiku --cap 5.00/day --dry-run");
    assert!(!told.contains("note: there is no cap"), "{told}");
    assert!(!desk.ok("mandate set scout --expires 3d --dry-run").contains("note"));
    let told = desk.fails("mandate set scout --downgrade 80:haiku", 2);
    assert!(told.contains("a downgrade is PERCENT%:MODEL such as 80%:claude-haiku-4-5"), "{told}");
    assert!(
        desk.fails("mandate set scout --downgrade 80%:haiku --no-downgrade", 2).contains("with")
    );
}
