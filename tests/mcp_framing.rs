//! Lines that no client should send: each is answered once, with an error that its sender can
//! match, and the session goes on.

use std::time::Duration;

use pettycash::clock::instant;
use serde_json::{Value, json};

use crate::support::{bad_lines::bad, dice::Dice, mcp_house::House, mcp_raw::Raw};

/// How many bad lines one process is sent.
const LINES: u64 = 2_470;
/// Where the lines of a run come from; another number, other lines.
const SEED: u64 = 0x5e_ed_0f_f1_1e;
/// The longest that one answer may take, on a busy machine too, and all of them on average.
const BOUND: Duration = Duration::from_secs(5);
const ON_AVERAGE: Duration = Duration::from_millis(50);

fn message(client: &mut Raw) -> Value {
    serde_json::from_str(&client.line()).unwrap()
}

#[test]
fn two_thousand_bad_lines_get_one_error_each_and_move_no_money() {
    let house = House::furnished();
    let mut client = house.client("scout");
    let mut dice = Dice(SEED);
    let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
    for number in 0..LINES {
        let mut bad = bad(1_000_000 + number, &mut dice);
        let shown = String::from_utf8_lossy(&bad.line).chars().take(300).collect::<String>();
        let case = format!("{number} {:?} {shown}", bad.kind);
        bad.line.push(b'\n');
        let began = instant();
        client.send_bytes(&bad.line);
        let answer = message(&mut client);
        let took = began.elapsed();
        (slowest, all) = (slowest.max(took), all + took);
        bad.assert_told(&answer, &case);
        if number % 50 == 0 {
            assert_eq!(client.call("get_balance", json!({}))["available_usd"], "5.00", "{case}");
        }
    }
    let average = all / u32::try_from(LINES).unwrap();
    assert!(slowest < BOUND && average < ON_AVERAGE, "{slowest:?}, {average:?} on average");
    let ledger = client.call("ledger", json!({}));
    assert_eq!(ledger["spent_today_usd"], "0.00");
    let entries = ledger["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["outcome"] == "created"), "{ledger}");
    let (status, said) = client.end();
    assert!(status.success() && said.is_empty(), "{said}");
}

#[test]
fn bad_lines_at_once_are_all_answered_and_wrong_notifications_never() {
    let house = House::furnished();
    let mut client = house.client("scout");
    let mut dice = Dice(SEED + 1);
    let params = r#"{"name":"pay_for_api_call","arguments":{"service_id":"search"}}"#;
    let pay = &format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":{params}}}"#);
    let mut text = Vec::new();
    for number in 0..500 {
        text.extend_from_slice(&bad(number, &mut dice).line);
        text.push(b'\n');
        for quiet in [
            r#"{"jsonrpc":"1.0","method":"notifications/initialized"}"#,
            pay,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":[]}"#,
            r#"{"jsonrpc":"2.0","method":"odd/notification","params":{"a":1,"a":2}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"odd"}"#,
            "",
            " \t\r",
        ] {
            text.extend_from_slice(quiet.as_bytes());
            text.push(b'\n');
        }
    }
    client.send_bytes(&text);
    for _ in 0..500 {
        assert!(message(&mut client)["error"]["code"].is_i64());
    }
    assert_eq!(client.call("get_balance", json!({}))["available_usd"], "5.00");
    assert!(client.end().0.success());
}

#[test]
fn two_requests_with_one_id_in_flight_are_one_payment_and_one_answer() {
    const ROUNDS: u64 = 50;
    let house = House::furnished();
    let mut client = house.client("scout");
    for round in 1_000..1_000 + ROUNDS {
        let params = json!({"name": "pay_for_api_call", "arguments": {"service_id": "search"}});
        let pay = json!({"jsonrpc": "2.0", "id": round, "method": "tools/call", "params": params});
        client.send_text(&format!("{pay}\n{pay}\n"));
        let (first, second) = (message(&mut client), message(&mut client));
        let (refused, paid) =
            if first["error"].is_object() { (first, second) } else { (second, first) };
        assert_eq!((&paid["id"], &refused["id"]), (&json!(round), &Value::Null), "{refused}");
        assert_eq!(paid["result"]["structuredContent"]["outcome"], "paid");
        assert_eq!(refused["error"]["code"], -32600);
        assert_eq!(refused["error"]["data"]["got"], round.to_string());
    }
    let ledger = client.call("ledger", json!({}));
    assert_eq!(ledger["spent_today_usd"], "1.00", "{ROUNDS} payments of $0.02");
    assert!(client.end().0.success());
}

#[test]
fn a_line_without_an_end_is_read_when_nothing_follows() {
    let house = House::furnished();
    for (line, right) in [("}", true), ("", false)] {
        let mut client = house.client("scout");
        let params = r#"{"name":"pay_for_api_call","arguments":{"service_id":"search"}}"#;
        let start = r#"{"jsonrpc":"2.0","id":77,"method":"tools/call","params":"#;
        client.send_text(&format!("{start}{params}{line}"));
        client.hang_up();
        let answer = message(&mut client);
        assert_eq!(answer["id"], 77);
        assert_eq!(answer["result"]["structuredContent"]["outcome"] == "paid", right, "{answer}");
        assert_eq!(answer["error"]["code"] == -32700, !right, "{answer}");
        assert!(client.end().0.success());
    }
    let ledger = house.client("scout").call("ledger", json!({}));
    assert_eq!(ledger["spent_today_usd"], "0.02");
}

#[test]
fn a_client_may_begin_with_anything_and_still_open_its_session() {
    let house = House::furnished();
    let mut client = Raw::start(&mut house.command("mcp --agent scout"));
    for early in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        client.send_text(&format!("{early}\n"));
    }
    client.send_text("hello\n");
    assert_eq!(message(&mut client)["error"]["code"], -32700);
    let early = json!({"name": "pay_for_api_call", "arguments": {"service_id": "search"}});
    assert!(client.request("tools/call", early)["error"].is_object());
    assert_eq!(client.initialize("2025-11-25")["protocolVersion"], "2025-11-25");
    for params in ["null", "{}", r#"{"_meta":null}"#] {
        client.send_text(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"n\",\"method\":\"tools/list\",\"params\":{params}}}\n"
        ));
        let list = message(&mut client);
        assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(4), "{params}: {list}");
    }
    assert_eq!(client.call("get_balance", json!({}))["available_usd"], "5.00");
}
