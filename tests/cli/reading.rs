//! What an operator looks up: the ledger by time, service, outcome and run.

use serde_json::Value;

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    desk.ok("agent create scout --cap 1.00/day --per-call 0.25 --funding allowance");
    desk
}

#[test]
fn the_ledger_is_looked_through_by_what_its_lines_say() {
    let desk = desk();
    desk.ok("pay scout search");
    desk.ok("pay scout report 0.10");
    desk.run("pay scout report 0.40");
    let what = |line: &str| {
        let page = desk.json(&format!("ledger {line} --json"));
        let entries = page["entries"].as_array().unwrap().clone();
        let of = |entry: &Value| {
            let word = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
            format!("{} {}", word("outcome"), word("service_id"))
        };
        entries.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(what("scout --service report"), ["denied report", "paid report"]);
    assert_eq!(what("--service report --outcome paid"), ["paid report"]);
    assert_eq!(what("scout --outcome denied"), ["denied report"]);
    assert_eq!(what("scout --since 1h").len(), 4);
    assert_eq!(what("scout --until 1h"), [""; 0]);
    assert_eq!(what("scout --since 2020-01-01 --until 2020-01-02"), [""; 0]);
    assert_eq!(what("scout --run nightly"), [""; 0]);
    assert_eq!(what("scout --service report --limit 1"), ["denied report"]);

    assert_eq!(desk.ok("ledger scout --run nightly"), "Nothing fits what is asked.\n");
    let shown = desk.ok("ledger scout --outcome paid --limit 1");
    assert!(shown.contains("paid") && shown.contains("there is more"), "{shown}");
    let wrong = desk.fails("ledger scout --outcome succeeded", 1);
    assert!(wrong.contains("`succeeded` is no outcome: there are paid, captured"), "{wrong}");
    for moment in ["yesterday", "18:00", "2026-11-21T10:00:00"] {
        let wrong = desk.fails(&format!("ledger --since {moment}"), 2);
        assert!(wrong.contains("--since"), "{wrong}");
    }
}
