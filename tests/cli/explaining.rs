//! `policy explain`.

use std::fs;

use serde_json::{Value, json};

use super::Desk;

#[test]
fn explain_says_which_rule_decided_and_with_which_numbers() {
    let desk = Desk::new();
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    desk.ok("agent create scout --cap 1.00/day --per-call 0.50 --funding allowance");
    desk.ok("pay scout report 0.50");
    let denied = desk.run("pay scout report 0.55 --json");
    let denied: Value = serde_json::from_slice(&denied.stdout).unwrap();
    let denied = denied["payment_id"].as_str().unwrap();
    desk.ok("mandate set scout --cap 9.00/day --no-per-call");
    let told = desk.ok(&format!("policy explain {denied}"));
    for line in [
        "was denied at",
        "for report, $0.55.",
        "Decided by: limit per payment.",
        "  per_call_limit_exceeded: $0.55 is over the limit of $0.50 for one payment.",
        "  cap_exceeded: $0.55 would pass today's cap of $1.00: $0.50 is used.",
        "cap per day        $1.00  $0.50  $0.00  $0.50  too little, until ",
        "The mandate then: allowance, 1.00/day, at most $0.50 a payment, days of UTC.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let told = desk.json(&format!("policy explain {denied} --json"));
    assert_eq!((&told["replayed"], &told["rule"]), (&json!(true), &json!("limit per payment")));
    assert_eq!(told["mandate"]["caps"], json!(["1.00/day"]));
    let paid = desk.json("ledger scout --json --limit 1000");
    let paid = paid["entries"].as_array().unwrap().iter().find(|one| one["outcome"] == "paid");
    let paid = paid.unwrap()["payment_id"].as_str().unwrap();
    let told = desk.ok(&format!("policy explain {paid}"));
    let least = "Every rule allowed it; what left the least was the limit per payment.";
    assert!(told.contains(least), "{told}");

    let told = desk.fails("policy explain pay_ffffffffffffffff", 1);
    assert!(told.contains("there is no payment pay_ffffffffffffffff"), "{told}");
    assert!(told.contains("hint: `pettycash ledger` shows the ids"), "{told}");
    desk.fails("policy explain scout", 2);
}

#[test]
fn test_says_what_a_file_would_have_denied_and_changes_nothing() {
    let desk = Desk::new();
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    desk.ok("agent create scout --cap 1.00/day --funding allowance");
    desk.ok("pay scout report 0.30");
    desk.ok("pay scout report 0.20");
    desk.run("pay scout report 0.90");
    let before = desk.ok("ledger --json");
    let file = |cap: &str| {
        format!("schema = 1\n[agents.scout]\nfunding = \"allowance\"\ncaps = [\"{cap}/day\"]\n")
    };
    let fed = |line: &str, cap: &str| {
        let told = desk.fed(line, file(cap).as_bytes());
        let (out, err) = (told.stdout, String::from_utf8(told.stderr).unwrap());
        (told.status.code(), String::from_utf8(out).unwrap(), err)
    };
    let (code, told, _) = fed("policy test -", "0.40");
    assert_eq!(code, Some(0));
    for line in [
        "Would have denied 1 of 2 payments, $0.20.\n",
        "scout, 2 payments, $0.50\n",
        "denied by cap per day  1  $0.20",
        "report $0.20: $0.20 would pass today's cap of $0.40: $0.30 is used.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let (code, told, _) = fed("policy test - --since 1d", "9.00");
    assert!(told.contains("Would have paid 1 of 1 refusal, $0.90."), "{told}");
    assert_eq!((code, fed("policy test - --fail-if-denied", "9.00").0), (Some(0), Some(0)));
    assert_eq!(fed("policy test - --fail-if-denied", "0.40").0, Some(1));
    let slip = file("0.40").replace("scout", "scuot");
    for (flag, code) in [("", Some(0)), (" --fail-if-denied", Some(1))] {
        let told = desk.fed(&format!("policy test -{flag}"), slip.as_bytes());
        let out = String::from_utf8(told.stdout).unwrap();
        assert!(out.ends_with("Nothing is recorded of the agents scuot.\n"), "{out}");
        let err = String::from_utf8(told.stderr).unwrap();
        assert!(err.contains("it was tried on nothing"), "{err}");
        assert_eq!(told.status.code(), code, "{flag}");
    }
    let told = desk.fed("policy test - --since 1h", slip.as_bytes());
    let err = String::from_utf8(told.stderr).unwrap();
    assert!(err.contains("nothing that agents in the file did since 20"), "{err}");
    let other = format!("{}{}", file("0.40"), slip.trim_start_matches("schema = 1\n"));
    let told = desk.fed("policy test -", other.as_bytes());
    let err = String::from_utf8(told.stderr).unwrap();
    assert_eq!(
        err.lines().last(),
        Some("warning: nothing is recorded of the agents scuot"),
        "{err}"
    );
    let told = desk.fed("policy test - --json", slip.as_bytes()).stdout;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["unknown_agents"], json!(["scuot"]));
    let (code, _, said) = fed("policy test - --since 2999-01-01", "9.00");
    assert_eq!(code, Some(2));
    assert!(said.contains("`--since` is a time that has been"), "{said}");
    assert_eq!(fed("policy test - --since yesterday", "9.00").0, Some(2));
    let (code, _, said) = fed("policy test - --since 9999999d", "9.00");
    assert!(code == Some(2) && said.contains("further than any calendar"), "{said}");
    let (code, _, said) = fed("policy test -", "0");
    assert_eq!(code, Some(2));
    assert!(said.contains("error[zero]") && said.contains("4 | caps"), "{said}");
    assert_eq!(desk.ok("ledger --json"), before);
}

#[test]
fn exposure_says_the_worst_case_and_what_is_not_bounded() {
    let desk = Desk::new();
    desk.ok("agent list");
    assert_eq!(desk.ok("exposure"), "No agents yet: nothing can be spent.\n");
    desk.ok("agent create scout --cap 1.00/day --funding allowance --expires 1h");
    desk.ok("agent create batch --cap 2.00/month --cap 1.00/run --funding allowance");
    let told = desk.ok("exposure");
    let row = |name: &str| {
        let line = told.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.collect::<Vec<_>>().join("|")
    };
    assert!(row("batch").contains("$2.00|not bounded|never expires"), "{told}");
    assert!(row("scout").contains("$1.00"), "{told}");
    assert!(row("all").contains("not bounded"), "{told}");
    assert!(!desk.ok("exposure scout").contains("batch"));
    let told = desk.fails("exposure nobody", 1);
    assert!(told.contains("there is no agent `nobody`"), "{told}");
}

#[test]
fn shadow_caps_deny_nothing_and_operators_are_told_of_them() {
    let desk = Desk::new();
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    let file = "schema = 1\n[agents.scout]\nfunding = \"allowance\"\ncaps = [\"5.00/day\"]\n\
                shadow_caps = [\"1.00/day\", \"1x/day service=report\"]\n";
    desk.ok("agent create other --cap 5.00/day --funding allowance");
    desk.ok("pay other report 0.40");
    assert!(desk.ok("policy shadow").starts_with("No agent has shadow caps: "));
    assert_eq!(desk.json("policy shadow --json")["with_shadow_caps"], 0);
    let told = desk.fed("apply -", file.as_bytes());
    assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
    // What was paid by one that has none is not added up.
    assert_eq!(desk.ok("policy shadow"), "Would have denied 0 of 0 payments, $0.00.\n");
    desk.ok("pay scout report 0.80");
    let paid = desk.json("pay scout report 0.30 --json");
    assert!(!paid.to_string().contains("shadow") && !paid.to_string().contains("1.00"), "{paid}");

    let told = desk.ok("policy shadow");
    for line in [
        "Would have denied 1 of 2 payments, $0.30.\n",
        "scout, 2 payments, $1.10\n",
        "denied by cap on payments per day service=report  1  $0.30",
        "denied by cap per day                             1  $0.30",
        "report $0.30: $0.30 would pass today's cap of $1.00: $0.80 is used.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    assert!(desk.ok("policy shadow --since 1s").contains("Would have denied"));
    let shown = desk.json("agent show scout --json");
    let at = |number: usize| {
        let at = shown["shadow_caps"][number]["resets_at"].as_str().unwrap();
        at.parse::<jiff::Timestamp>().unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let told = desk.ok("agent show scout");
    let lines = told.lines().filter_map(|line| line.trim().strip_prefix("shadow cap"));
    let lines: Vec<&str> = lines.map(str::trim).collect();
    let denied = "would have denied 1 payment, $0.30";
    let whole =
        format!("$1.00 per day: $1.10 used, $0.00 held, $0.00 left, resets {}; {denied}", at(0));
    let part = format!(
        "1 payment per day service=report: 2 used, 0 held, 0 left, resets {}; {denied}",
        at(1)
    );
    assert_eq!(lines, [whole, part]);
    assert_eq!(shown["shadow_caps"][0]["would_deny"], json!({"count": 1, "sum_usd": "0.30"}));
    assert!(shown["shadow_caps"][1]["left_count"] == 0, "{shown}");
    assert!(desk.ok("mandate show scout").contains("shadow cap  $1.00 per day"));
    let ledger = desk.ok("ledger scout --json");
    let flagged = "would have been denied by the shadow cap of $1.00 per day ($0.80 used, $0.00 \
                   held)";
    assert_eq!(ledger.matches(flagged).count(), 1, "{ledger}");
    let payment = paid["payment_id"].as_str().unwrap();
    let told = desk.ok(&format!("policy explain {payment}"));
    assert!(told.contains("what left the least was the cap per day"), "{told}");
    assert!(told.contains("shadow cap per day"), "{told}");
    assert!(told.contains("$0.20  would have denied"), "{told}");
    let exported = desk.ok("export-policy");
    assert!(exported.contains("shadow_caps = ["), "{exported}");
    let again = desk.fed("diff -", exported.as_bytes());
    assert!(
        String::from_utf8_lossy(&again.stdout).contains("Everything is so already"),
        "{again:?}"
    );

    // What it would have denied is kept, and is what the journal alone comes to.
    desk.end_serve();
    assert_eq!(desk.json("agent show scout --json")["shadow_caps"], shown["shadow_caps"]);
    desk.end_serve();
    fs::remove_dir_all(desk.home().join("desk")).unwrap();
    assert_eq!(desk.json("agent show scout --json")["shadow_caps"], shown["shadow_caps"]);
    desk.ok("pay scout report 0.10");
    let told = desk.json("agent show scout --json")["shadow_caps"][0]["would_deny"].clone();
    assert_eq!(told, json!({"count": 2, "sum_usd": "0.40"}));

    desk.ok("mandate set scout --cap 6.00/day");
    assert!(desk.ok("mandate show scout").contains("shadow cap  $1.00 per day"));
}
