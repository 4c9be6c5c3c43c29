//! Whom an agent may pay, as the operator says it and is told it.

use serde_json::{Value, json};

use super::Desk;

#[test]
fn a_payee_that_is_pinned_is_shown_changed_and_told_when_it_differs() {
    let desk = Desk::new();
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok(r#"agent create scout --cap 5.00/day --funding allowance --pin "search=Acme Search""#);
    assert!(desk.ok("agent show scout").contains("search pays Acme Search"));
    desk.ok("pay scout search");
    desk.ok("service add search --payee Evil --price 0.02 --replace");
    let told: Value = serde_json::from_slice(&desk.run("pay scout search --json").stdout).unwrap();
    assert_eq!(told["code"], "payee_changed");
    assert_eq!(told["advice"], "ask_operator");
    let message = told["message"].as_str().unwrap();
    assert!(!message.contains("Evil") && !message.contains("Acme"), "{message}");
    let line = &desk.json("ledger scout --json")["entries"][0];
    assert_eq!(line["detail"], "it would be Evil, and Acme Search is pinned");
    let denied = told["payment_id"].as_str().unwrap();
    let explained = desk.ok(&format!("policy explain {denied}"));
    assert!(
        explained.contains("\n    it would be Evil, and Acme Search is pinned\n"),
        "{explained}"
    );
    let explained = desk.json(&format!("policy explain {denied} --json"));
    assert_eq!(explained["reasons"][0]["detail"], line["detail"]);
    assert_eq!(desk.json("agent show scout --json")["spent_usd"], "0.02");

    let told = desk.ok("mandate set scout --pin search=Evil --dry-run");
    assert!(told.contains("payee of `search`  Acme Search  →  Evil  gives more"), "{told}");
    desk.ok("mandate set scout --no-pin search");
    assert_eq!(desk.json("mandate show scout --json").get("pinned"), None);
    desk.ok("pay scout search");
    let told = desk.ok("mandate set scout --pin search=Other --pin maps=Maps");
    for remark in ["`search` pays Evil: nothing is paid for it", "has no service `maps`"] {
        assert!(told.contains(remark), "{remark} is not in\n{told}");
    }
    let pinned = json!({"maps": "Maps", "search": "Other"});
    assert_eq!(desk.json("export-policy --json")["policy"]["agents"]["scout"]["pinned"], pinned);
    let exported = desk.ok("export-policy");
    let applied = desk.apply(&exported);
    assert!(applied.contains("so already"), "{applied}");
    desk.fails("mandate set scout --pin search=Evil --no-pin search", 1);
    desk.fails("mandate set scout --pin search", 2);
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn the_first_payee_stays_over_a_restart_until_an_operator_says_otherwise() {
    let desk = Desk::new();
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok("agent create scout --cap 5.00/day --funding allowance --first-payee locked");
    desk.ok("pay scout search");
    let shown = desk.ok("agent show scout");
    assert!(shown.contains("paid first") && shown.contains("search pays Acme Search"), "{shown}");
    desk.ok("service add search --payee Evil --price 0.02 --replace");
    desk.end_serve();
    assert_eq!(desk.run("pay scout search").status.code(), Some(3));
    let policy = "schema = 1\n[agents.scout]\nfunding = \"allowance\"\ncaps = [\"9.00/day\"]\n";
    desk.apply(&format!("{policy}first_payee = \"locked\"\n"));
    assert_eq!(desk.run("pay scout search").status.code(), Some(3));
    let line = &desk.json("ledger scout --json")["entries"][0];
    assert_eq!(line["detail"], "it would be Evil, and Acme Search was paid first");

    let told = desk.ok("agent repin scout search");
    assert_eq!(told, "search of scout is held to Evil from now on, and to nobody else.\n");
    assert!(desk.ok("agent repin scout search").contains("already: nothing to do"));
    desk.ok("pay scout search");
    let line = &desk.json("ledger scout --json")["entries"][1];
    assert_eq!(
        (&line["outcome"], &line["detail"]),
        (&json!("repinned"), &json!("search pays Evil"))
    );
    let told = desk.ok("agent repin scout search --payee Other");
    assert!(told.contains("the catalogue has search pay Evil"), "{told}");
    let told = desk.ok("mandate set scout --pin search=Evil");
    assert!(told.contains("search` was paid to Other first"), "{told}");
    assert_eq!(desk.run("pay scout search").status.code(), Some(3), "a pin frees nobody");
    desk.ok("agent repin scout search");
    desk.ok("pay scout search");
    let told = desk.ok("agent repin scout search --payee Other");
    assert!(told.contains("the mandate pins search to Evil"), "{told}");
    assert_eq!(desk.run("pay scout search").status.code(), Some(3), "nor the other way");
    desk.ok("mandate set scout --no-pin search");
    desk.ok("agent repin scout search");
    desk.fails("agent repin scout ghost", 2);
    desk.fails("agent repin scout ghost --payee Acme", 1);
    let told = desk.ok("mandate set scout --first-payee free");
    assert!(told.contains("first payee  locked  →  free  gives more"), "{told}");
    assert!(desk.fails("agent repin scout search", 1).contains("first payees"));
    assert_eq!(desk.ok("verify"), "");
}
