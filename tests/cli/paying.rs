//! `pay`, `refund` and `service remove`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use serde_json::Value;

use super::Desk;
use crate::support::canary::{KEY, keep};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    desk.ok(r#"service add report --payee "Acme Reports" --no-price"#);
    desk.ok("agent create scout --cap 1.00/day --per-call 0.25 --funding allowance");
    desk
}

/// The id of the newest payment of an agent.
fn newest(desk: &Desk, agent: &str) -> String {
    let ledger = desk.json(&format!("ledger {agent} --json --limit 1"));
    ledger["entries"][0]["payment_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_operators_payment_is_one_as_any_other() {
    let desk = desk();
    let told = desk.ok("pay scout search");
    assert!(told.starts_with("Paid $0.02 for search (pay_"), "{told}");
    assert!(told.ends_with("): scout has $0.98 left.\n"), "{told}");
    let paid = desk.json("pay scout report 0.10 --json");
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&"paid".into(), &"0.10".into()));
    assert_eq!(paid.get("replayed"), None);
    assert_eq!(desk.json("agent show scout --json")["available_usd"], "0.88");
    assert_eq!(desk.ok("verify"), "");
    let journal = fs::read(desk.home().join("journal/0000000000000000.journal")).unwrap();
    let by = br#""by":"operator","fact":{"paid""#;
    let by_operator = journal.windows(by.len()).filter(|window| window == by).count();
    assert_eq!(by_operator, 2, "the record says who paid");
}

#[test]
fn a_payment_with_a_key_is_made_once() {
    let desk = desk();
    let first = desk.json("pay scout search --key monday --json");
    let again = desk.json("pay scout search --key monday --json");
    assert_eq!(first["payment_id"], again["payment_id"]);
    assert_eq!(again["replayed"], true);
    let told = desk.ok("pay scout search --key monday");
    assert!(told.starts_with("Paid $0.02 for search before, with the same key (pay_"), "{told}");
    assert_eq!(desk.json("agent show scout --json")["available_usd"], "0.98");
}

#[test]
fn a_denied_payment_says_why_and_ends_with_3() {
    let desk = desk();
    let denied = |line: &str| {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(3), "{line}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = denied("pay scout report 0.40");
    assert!(told.starts_with("denied, per_call_limit_exceeded (pay_"), "{told}");
    assert!(told.contains("): $0.40 is over the limit of $0.25 for one payment."), "{told}");
    assert!(told.contains("\nadvice: shrink, $0.25 at the most\n"), "{told}");
    let told = denied("pay scout serch");
    assert!(told.contains("\nadvice: fix_request\ndid you mean: search\n"), "{told}");
    let told: Value = serde_json::from_str(&denied("pay scout report --json")).unwrap();
    assert_eq!((&told["outcome"], &told["code"]), (&"denied".into(), &"invalid_request".into()));
    desk.ok("agent freeze scout");
    assert!(denied("pay scout search").contains("agent_frozen"));
    desk.ok("agent unfreeze scout");
    desk.ok("pay scout search");
    let told = desk.fails("pay ghost search", 1);
    assert!(told.contains("there is no agent `ghost`") && told.contains("hint: "), "{told}");
}

#[test]
fn what_was_paid_comes_back_in_parts_and_never_more() {
    let desk = desk();
    desk.ok("pay scout report 0.20");
    let id = newest(&desk, "scout");
    let told = desk.ok(&format!("refund {id} 0.05 --note \"half empty\""));
    assert_eq!(
        told,
        "Gave $0.05 for report back to scout: it can spend $0.85 now. $0.15 of this payment can \
         still come back.\n"
    );
    let told = desk.fails(&format!("refund {id} 0.16"), 1);
    assert!(told.contains("$0.16 is more than the $0.15 that can still come back"), "{told}");
    let rest = desk.json(&format!("refund {id} --json"));
    assert_eq!((&rest["refunded_usd"], &rest["left_usd"]), (&"0.15".into(), &"0.00".into()));
    assert_eq!(rest["agent"]["available_usd"], "1.00");
    for line in [format!("refund {id}"), format!("refund {id} 0.01")] {
        let told = desk.fails(&line, 1);
        assert!(told.contains("came back before"), "{told}");
    }
    let ledger = desk.json("ledger scout --json");
    assert_eq!(ledger["entries"][1]["outcome"], "refunded");
    assert_eq!(ledger["entries"][1]["note"], "half empty");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn a_refund_says_the_balance_of_a_prepaid_agent() {
    let desk = desk();
    desk.ok("agent create intern");
    desk.ok("top-up intern 2.00");
    desk.ok("pay intern search");
    let id = newest(&desk, "intern");
    desk.ok("agent revoke intern --reason gone");
    let told = desk.ok(&format!("refund {id}"));
    assert_eq!(told, "Gave $0.02 for search back to intern: the balance is $2.00.\n");
}

#[test]
fn what_was_not_taken_does_not_come_back() {
    let desk = desk();
    desk.run("pay scout report 0.40");
    let denied = newest(&desk, "scout");
    let told = desk.fails(&format!("refund {denied}"), 1);
    assert!(told.contains("was denied: nothing was taken") && told.contains("hint: "), "{told}");
    for id in ["pay_ffffffffffffffff", "pay_0000000000000001"] {
        let told = desk.fails(&format!("refund {id}"), 1);
        assert!(told.contains(&format!("there is no payment {id}")), "{told}");
        assert!(told.contains("hint: `pettycash ledger`"), "{told}");
    }
    for line in ["refund", "refund monday", "refund pay_1", "refund pay_ffffffffffffffff -1"] {
        assert!(desk.fails(line, 2).contains("hint: "), "{line}");
    }
    let told = desk.fails(&format!("refund {denied} 0"), 2);
    assert!(told.contains("must be above zero"), "{told}");
}

#[test]
fn one_service_is_shown_with_all_that_is_known_of_it() {
    let desk = desk();
    desk.ok("service add maps --payee \"Acme Maps\" --price 0.05 --category geo");
    let told = desk.ok("service show maps");
    let rows: Vec<Vec<&str>> =
        told.lines().map(|line| line.splitn(2, "  ").map(str::trim).collect()).collect();
    let shown = [
        ["service", "maps"],
        ["payee", "Acme Maps"],
        ["price", "$0.05 a call"],
        ["rail", "iou"],
        ["category", "geo"],
    ];
    assert_eq!(rows, shown, "{told}");
    let shown = desk.json("service show maps --json");
    assert_eq!(shown, desk.json("service list --json")["services"][0]);
    let told = desk.fails("service show nowhere", 1);
    assert!(told.contains("there is no service `nowhere`") && told.contains("hint: "), "{told}");
    let told = desk.ok("service list");
    assert!(told.lines().next().unwrap().ends_with("RAIL"), "{told}");
}

#[test]
fn a_removed_service_cannot_be_paid_and_its_payments_stay() {
    let desk = desk();
    desk.ok("pay scout search");
    let id = newest(&desk, "scout");
    let told = desk.ok("service remove search");
    assert_eq!(told, "Removed search, which paid Acme Search: nobody can pay it any more.\n");
    assert!(!desk.ok("service list").contains("search"));
    assert_eq!(desk.run("pay scout search").status.code(), Some(3));
    desk.ok(&format!("refund {id}"));
    let told = desk.fails("service remove search", 1);
    assert!(told.contains("there is no service `search`"), "{told}");
    assert!(told.contains("hint: `pettycash service list`"), "{told}");
    assert_eq!(desk.json("service remove report --json")["payee"], "Acme Reports");
    desk.fails("service remove \"No Name\"", 2);
    desk.ok("service add search --payee Other --price 0.05");
}

#[test]
fn an_api_is_called_and_what_it_answers_is_shown_without_what_is_hidden() {
    let desk = desk();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let key = desk.home().join("api.key");
    keep(KEY, &key);
    let policy = desk.home().join("api.toml");
    let text = format!(
        "schema = 1\n[services.api]\npayee = \"Api\"\nrail = \"proxy\"\nprice = \"0.02\"\n\
         base_url = \"http://{}\"\nsecret = {{ file = \"{}\" }}\n\
         headers = {{ authorization = \"Bearer {{secret}}\" }}\n[[services.api.operations]]\n\
         name = \"now\"\nmethod = \"GET\"\npath = \"/now/{{place}}\"\n",
        listener.local_addr().unwrap(),
        key.display()
    );
    fs::write(&policy, text).unwrap();
    desk.ok(&format!("apply {}", policy.display()));
    let api = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4_096];
        let length = stream.read(&mut asked).unwrap();
        let body = "clear\u{1b}[2J\n17 degrees";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    let mut command = desk.command("pay scout api --request");
    let request = r#"{"operation": "now", "params": {"place": "Lyon"}}"#;
    let output = Desk::done(command.arg(request));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("Paid $0.02 for api (pay_"), "{told}");
    let (_, answered) = told.split_once("answered ").unwrap();
    assert_eq!(answered, "200, text/plain\nclear\u{fffd}[2J\n17 degrees\n");
    assert!(api.join().unwrap().starts_with("GET /now/Lyon HTTP/1.1\r\n"));
    let none = Desk::done(desk.command("pay scout api --request").arg("now"));
    assert_eq!(none.status.code(), Some(2));
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(told.contains("a request is an object of JSON"), "{told}");
}
