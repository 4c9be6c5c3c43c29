//! Limits that rise, as the operator says and is told them.

use serde_json::json;

use super::Desk;

#[test]
fn tiers_are_shown_with_what_the_next_one_takes_and_kept_over_a_restart() {
    let desk = Desk::new();
    desk.ok("service add report --payee Acme --no-price");
    let tiers = "--tier 2x/1d:0.50 --tier 9x/2d:1.00";
    let cap = "--cap 5.00/day --funding allowance";
    desk.ok(&format!("agent create scout {cap} --per-call 0.10 {tiers}"));
    let shown = desk.json("agent show scout --json");
    assert_eq!(shown["tiers"], json!(["2x/1d:0.50", "9x/2d:1.00"]));
    assert_eq!(shown["next_tier"], json!({"per_call_limit_usd": "0.50", "payments": 2}));
    desk.ok("pay scout report 0.10");
    desk.end_serve();
    let shown = desk.json("agent show scout --json");
    assert_eq!((&shown["next_tier"]["payments"]), &json!(1));
    assert_eq!(shown["per_call_limit_usd"], "0.10");
    assert!(shown["next_tier"]["not_before"].is_string(), "{shown}");
    let told = desk.ok("agent show scout");
    assert!(told.contains("$0.50 after 1 more payments, not before"), "{told}");
    assert_eq!(desk.run("pay scout report 0.11").status.code(), Some(3));
    let exported = desk.ok("export-policy");
    assert!(exported.contains(r#"tiers = ["2x/1d:0.50", "9x/2d:1.00"]"#), "{exported}");
    let told = desk.ok("mandate set scout --tier 2x/1d:0.60");
    assert!(told.contains("2x/1d:0.50, 9x/2d:1.00  →  2x/1d:0.60  gives more"), "{told}");
    assert!(desk.fails("mandate set scout --no-per-call", 1).contains("tiers raise"));
    desk.ok("agent freeze scout");
    assert_eq!(desk.json("agent show scout --json")["next_tier"]["payments"], 2);
    desk.ok("mandate set scout --no-tiers");
    assert_eq!(desk.json("agent show scout --json").get("next_tier"), None);
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn prices_are_held_against_the_highest_tier_and_tiers_against_every_cap() {
    let desk = Desk::new();
    desk.ok("service add trains --payee Rail --price 0.40");
    let policy = |cap: &str, tier: &str| {
        format!(
            "schema = 1\n[groups.team]\ncaps = [\"{cap}/day\"]\n[agents.scout]\n\
             funding = \"allowance\"\ngroup = \"team\"\ncaps = [\"90.00/week\"]\n\
             per_call = \"0.10\"\ntiers = [\"5x/1d:{tier}\"]\nallow = [\"trains\"]\n"
        )
    };
    let warnings = |policy: &str| {
        String::from_utf8(desk.fed("apply - --dry-run", policy.as_bytes()).stderr).unwrap()
    };
    assert_eq!(warnings(&policy("5.00", "0.40")), "", "a tier reaches it");
    let told = warnings(&policy("5.00", "0.30"));
    assert!(told.contains("above the highest limit of $0.30"), "{told}");
    assert!(told.contains("take it out of `allow`, or raise the last of `tiers`"), "{told}");
    let told = warnings(&policy("0.40", "0.50"));
    assert!(told.contains("the cap of $0.40 per day of `team`"), "{told}");

    desk.apply(&policy("0.40", "0.40"));
    let told = desk.ok("mandate set scout --tier 5x/1d:0.60 --dry-run");
    let note = "note: the tier 5x/1d:0.60 is above the cap of $0.40 per day of `team`";
    assert!(told.contains(note), "{told}");
    assert!(!desk.ok("mandate set scout --expires 3d --dry-run").contains("note"));
}
