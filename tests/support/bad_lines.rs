//! Messages that no client should send.

use serde_json::{Value, json};

use super::dice::Dice;

/// The kinds of bad lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
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
pub(crate) struct Bad {
    pub(crate) kind: Kind,
    pub(crate) line: Vec<u8>,
    pub(crate) code: i64,
    /// The id of the answer; where a fault may hide it, none will do too.
    pub(crate) id: Value,
    pub(crate) may_be_null: bool,
}

impl Bad {
    /// The answer is the error that this line deserves.
    pub(crate) fn assert_told(&self, answer: &Value, case: &str) {
        assert_eq!(answer["error"]["code"], self.code, "{case}: {answer}");
        let no_id = self.may_be_null && answer["id"].is_null();
        assert!(answer.get("id") == Some(&self.id) || no_id, "{case}: {answer}");
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.is_ascii() && said.len() < 200, "{case}: {said}");
        assert!(!said.contains("The line"), "not every transport has lines: {case}: {said}");
    }
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

/// The bad line of that number.
pub(crate) fn bad(number: u64, dice: &mut Dice) -> Bad {
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
            let plain = ["null", "0.5", "1e2", "{}", "[1]", "true", "9223372036854775808"];
            let control = [r#""\n""#, r#""a\u001b[2J""#, r#""\u009b""#, &long];
            let odd = [plain.as_slice(), &control].concat();
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
