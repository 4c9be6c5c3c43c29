//! What an operator looks up and tries: the ledger by what its lines say, and dry runs.

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
    let wrong = desk.fails("ledger scout --outcome succeeded", 2);
    assert!(wrong.contains("`succeeded` is no outcome: there are paid, captured"), "{wrong}");
    for moment in ["yesterday", "18:00", "2026-11-21T10:00:00"] {
        let wrong = desk.fails(&format!("ledger --since {moment}"), 2);
        assert!(wrong.contains("--since"), "{wrong}");
    }
}

#[test]
fn a_dry_run_says_what_a_payment_would_come_to_and_does_nothing() {
    let desk = desk();
    let told = desk.ok("pay scout search --dry-run");
    let would = "search would be paid, for $0.02: scout has $1.00 left. Nothing was charged.\n";
    assert_eq!(told, would);
    let told = desk.json("pay scout search --dry-run --json");
    assert_eq!((&told["outcome"], &told["dry_run"]), (&"allowed".into(), &true.into()));
    let refused = desk.run("pay scout report 0.40 --dry-run");
    assert_eq!(refused.status.code(), Some(3));
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.starts_with("denied, per_call_limit_exceeded: $0.40 is over"), "{refused}");
    let page = desk.json("ledger scout --json");
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "{page}");
    for amount in ["0.25", "0.25", "0.25"] {
        assert_eq!(desk.ok(&format!("pay scout report {amount}")).lines().count(), 1);
    }
    let near = desk.ok("pay scout report 0.05");
    let note = "$0.80 of today's cap of $1.00 is spent: finish the essential part first.";
    assert_eq!(near.lines().nth(1), Some(note));
}

#[test]
fn refusals_that_were_only_counted_say_what_they_were_of() {
    let desk = desk();
    for _ in 0..3 {
        desk.run("pay scout report 0.40");
    }
    let counted = || {
        let page = desk.json("ledger scout --outcome denied_again --json");
        page["entries"][0].clone()
    };
    let again = (0..500).map(|_| counted()).find(|entry| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        !entry.is_null()
    });
    let again = again.unwrap();
    let said = [&again["service_id"], &again["code"]];
    assert_eq!(said, ["report", "per_call_limit_exceeded"]);
}
