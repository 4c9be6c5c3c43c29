//! Lines that no client should send: each is answered once, with an error that its sender can
//! match, and the session goes on.

use std::time::Duration;

use pettycash::clock::instant;
use serde_json::{Value, json};

use crate::support::{dice::Dice, mcp_house::House, mcp_raw::Raw};

/// How many bad lines one process is sent.
const LINES: u64 = 2_470;
/// Where the lines of a run come from; another number, other lines.
const SEED: u64 = 0x5e_ed_0f_f1_1e;
/// The longest that one answer may take, on a busy machine too, and all of them on average.
const BOUND: Duration = Duration::from_secs(5);
const ON_AVERAGE: Duration = Duration::from_millis(50);

/// The kinds of bad lines.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Cut,
    NotUtf8,
    LoneSurrogate,
    NumberOutOfRange,
    BrokenSyntax,
    ControlCharacter,
    Noise,
    TooLong,
    TooDeep,
    KeyTwice,
    LongText,
    LongArray,
    NotAnObject,
    Version,
    OddId,
    OddMethod,
    OddParams,
    OddMeta,
    NoName,
}

const KINDS: [Kind; 19] = [
    Kind::Cut,
    Kind::NotUtf8,
    Kind::LoneSurrogate,
    Kind::NumberOutOfRange,
    Kind::BrokenSyntax,
    Kind::ControlCharacter,
    Kind::Noise,
    Kind::TooLong,
    Kind::TooDeep,
    Kind::KeyTwice,
    Kind::LongText,
    Kind::LongArray,
    Kind::NotAnObject,
    Kind::Version,
    Kind::OddId,
    Kind::OddMethod,
    Kind::OddParams,
    Kind::OddMeta,
    Kind::NoName,
];

/// A line, and how it must be answered.
struct Bad {
    kind: Kind,
    line: Vec<u8>,
    code: i64,
    /// The id of the answer; where a fault may hide it, none will do too.
    id: Value,
    may_be_null: bool,
}

/// A payment in pieces, which would be made if it were not for what is done to one of them.
struct Payment {
    fields: Vec<(String, String)>,
}

impl Payment {
    fn new(id: &Value, dice: &mut Dice) -> Self {
        let params = r#"{"name":"pay_for_api_call","arguments":{"service_id":"search"}}"#;
        let mut fields = vec![
            ("jsonrpc".to_owned(), "\"2.0\"".to_owned()),
            ("id".to_owned(), id.to_string()),
            ("method".to_owned(), "\"tools/call\"".to_owned()),
            ("params".to_owned(), params.to_owned()),
        ];
        for last in (1..fields.len()).rev() {
            fields.swap(last, dice.below(last + 1));
        }
        Self { fields }
    }

    fn set(&mut self, field: &str, value: impl Into<String>) {
        let place = self.fields.iter_mut().find(|(name, _)| *name == field).unwrap();
        place.1 = value.into();
    }

    fn drop(&mut self, field: &str) {
        self.fields.retain(|(name, _)| *name != field);
    }

    /// The arguments get another member, or the params or the message around them.
    fn with(&mut self, member: &str, level: usize) {
        match level {
            0 => {
                let arguments = format!(r#"{{"service_id":"search",{member}}}"#);
                let name = r#""name":"pay_for_api_call""#;
                self.set("params", format!(r#"{{{name},"arguments":{arguments}}}"#));
            }
            1 => {
                let pay = r#""name":"pay_for_api_call","arguments":{"service_id":"search"}"#;
                self.set("params", format!("{{{member},{pay}}}"));
            }
            _ => {
                let (key, value) = member.split_once(':').unwrap();
                self.fields.push((key.trim_matches('"').to_owned(), value.to_owned()));
            }
        }
    }

    fn line(&self) -> String {
        let fields: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn bad(number: u64, dice: &mut Dice) -> Bad {
    let kind = KINDS[usize::try_from(number).unwrap() % KINDS.len()];
    let id = if dice.below(2) == 0 { json!(number) } else { json!(format!("call-{number}")) };
    let payment = Payment::new(&id, dice);
    match kind {
        Kind::Cut | Kind::BrokenSyntax | Kind::Noise | Kind::NotAnObject => {
            in_whole(kind, &payment, id, dice)
        }
        Kind::NotUtf8 | Kind::LoneSurrogate | Kind::NumberOutOfRange | Kind::ControlCharacter => {
            in_a_value(kind, payment, id, dice)
        }
        Kind::TooLong | Kind::TooDeep | Kind::KeyTwice | Kind::LongText | Kind::LongArray => {
            beyond_a_limit(kind, payment, id, dice)
        }
        Kind::Version
        | Kind::OddId
        | Kind::OddMethod
        | Kind::OddParams
        | Kind::OddMeta
        | Kind::NoName => in_a_field(kind, payment, id, dice),
    }
}

fn in_whole(kind: Kind, payment: &Payment, id: Value, dice: &mut Dice) -> Bad {
    let mut line = payment.line().into_bytes();
    let known =
        |line: &[u8]| Bad { kind, line: line.to_vec(), code: -32700, id, may_be_null: true };
    match kind {
        Kind::Cut => {
            line.truncate(1 + dice.below(line.len() - 1));
            known(&line)
        }
        Kind::BrokenSyntax => {
            let marks: Vec<usize> =
                (0..line.len()).filter(|at| b"{}:,".contains(&line[*at])).collect();
            let at = marks[dice.below(marks.len())];
            line[at] = b"; =|"[dice.below(4)];
            known(&line)
        }
        Kind::Noise => {
            let visible = |_| b'!' + u8::try_from(dice.below(60)).unwrap();
            let noise: Vec<u8> = (0..80).map(visible).collect();
            Bad { id: Value::Null, ..known(&[b"~".as_slice(), &noise].concat()) }
        }
        _ => {
            let one = payment.line();
            let batch = format!("[{one},{one}]");
            let line = dice.one(&[&batch, "[]", "7", "null", "true", "\"pay\"", "-0.5"]).to_owned();
            Bad { code: -32600, id: Value::Null, ..known(line.as_bytes()) }
        }
    }
}

fn in_a_value(kind: Kind, mut payment: Payment, id: Value, dice: &mut Dice) -> Bad {
    let level = dice.below(3);
    let value = match kind {
        Kind::NotUtf8 => "\"a@b\"",
        Kind::LoneSurrogate => dice.one(&[r#""\ud83d""#, r#""\udc00""#, r#""\ud83d\ud83d""#]),
        Kind::NumberOutOfRange => dice.one(&["1E400", "-1e999", "123e9999"]),
        _ => dice.one(&["\"a\tb\"", "\"\u{0}\"", "\"\u{1b}[2J\"", "\u{0}"]),
    };
    payment.with(&format!("\"extra\":{value}"), level);
    let mut line = payment.line().into_bytes();
    if let Some(at) = line.iter().position(|byte| *byte == b'@') {
        let wrong: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"];
        line.splice(at..=at, wrong[dice.below(4)].iter().copied());
    }
    Bad { kind, line, code: -32700, id, may_be_null: false }
}

fn beyond_a_limit(kind: Kind, mut payment: Payment, id: Value, dice: &mut Dice) -> Bad {
    let level = dice.below(3);
    let member = match kind {
        Kind::TooLong => format!("\"extra\":\"{}\"", "x".repeat(262_144 + dice.below(100_000))),
        Kind::TooDeep => {
            let depth = [33, 40, 124, 125, 127, 128, 129, 1_000, 50_000][dice.below(9)];
            let (open, close) = dice.one(&["[ ]", "{\"a\": }"]).split_once(' ').unwrap();
            format!("\"extra\":{}0{}", open.repeat(depth), close.repeat(depth))
        }
        Kind::LongText => format!("\"extra\":\"{}\"", "é".repeat(32_769 + dice.below(10_000))),
        Kind::LongArray => format!("\"extra\":[{}0]", "0,".repeat(1_000 + dice.below(9_000))),
        _ => match level {
            0 => dice.one(&[r#""service_id":"search""#, r#""a":{"b":1,"b":1}"#]).to_owned(),
            1 => dice.one(&[r#""name":"ledger""#, r#""arguments":{}"#]).to_owned(),
            _ => dice.one(&[r#""jsonrpc":"2.0""#, r#""method":"ping""#]).to_owned(),
        },
    };
    payment.with(&member, level);
    Bad { kind, line: payment.line().into_bytes(), code: -32600, id, may_be_null: false }
}

fn in_a_field(kind: Kind, mut payment: Payment, mut id: Value, dice: &mut Dice) -> Bad {
    let odd = ["[]", "[1]", "\"a\"", "5", "0.5", "true", "false"];
    let mut code = -32600;
    match kind {
        Kind::Version if dice.below(3) == 0 => payment.drop("jsonrpc"),
        Kind::Version => payment.set("jsonrpc", dice.one(&["2.0", "\"1.0\"", "\"2\"", "null"])),
        Kind::OddId => {
            let long = format!("\"{}\"", "i".repeat(129 + dice.below(1000)));
            let odd = ["null", "0.5", "1e2", "{}", "[1]", "true", "9223372036854775808", &long];
            payment.set("id", dice.one(&odd));
            id = Value::Null;
        }
        Kind::OddMethod if dice.below(3) == 0 => payment.drop("method"),
        Kind::OddMethod => {
            let long = format!("\"{}\"", "m".repeat(129 + dice.below(1000)));
            let odd = ["null", "7", "\"\"", "[\"tools/call\"]", "\"tools/cäll\"", "\"a b\"", &long];
            payment.set("method", dice.one(&odd));
        }
        Kind::OddParams => {
            code = -32602;
            payment.set("params", dice.one(&odd));
        }
        Kind::OddMeta => {
            code = -32602;
            payment.with(&format!("\"_meta\":{}", dice.one(&odd)), 1);
        }
        _ if dice.below(3) == 0 => {
            code = -32602;
            payment.drop("params");
        }
        _ => {
            code = -32602;
            let name = dice.one(&["", "\"name\":7,", "\"name\":null,", "\"name\":[],"]);
            payment.set("params", format!(r#"{{{name}"arguments":{{"service_id":"search"}}}}"#));
        }
    }
    Bad { kind, line: payment.line().into_bytes(), code, id, may_be_null: false }
}

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
        assert_eq!(answer["error"]["code"], bad.code, "{case}: {answer}");
        let no_id = bad.may_be_null && answer["id"].is_null();
        assert!(answer.get("id") == Some(&bad.id) || no_id, "{case}: {answer}");
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.is_ascii() && said.len() < 200, "{case}: {said}");
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
