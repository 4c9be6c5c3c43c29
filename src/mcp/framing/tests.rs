//! Lines of every kind, and what becomes of them.

use rmcp::{
    model::{RequestId, ServerJsonRpcMessage},
    transport::Transport,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};

use super::{
    Framed, InFlight, MAX_DEPTH, MAX_ITEMS, MAX_LINE, MAX_TEXT, Passed, Verdict, check, lenient,
};

const BALANCE: &str = r#""method":"tools/call","params":{"name":"get_balance"}"#;

fn checked(line: impl AsRef<[u8]>) -> Verdict {
    let mut in_flight = InFlight::default();
    in_flight.begin(RequestId::Number(99));
    check(line.as_ref(), &in_flight)
}

/// The code, the id and the message of the refusal.
fn refused(line: impl AsRef<[u8]>) -> (i64, Value, String) {
    let shown = String::from_utf8_lossy(line.as_ref()).chars().take(200).collect::<String>();
    let Verdict::Answer(mut answer) = checked(line) else { panic!("not answered: {shown}") };
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.to_string().len() < 600, "{answer}");
    let error = &answer["error"];
    let message = error["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with('.') && message.len() < 200, "{message}");
    (error["code"].as_i64().unwrap(), answer["id"].take(), message)
}

fn passes(line: impl AsRef<[u8]>) -> Passed {
    let Verdict::Pass(passed) = checked(line) else { panic!("not passed") };
    passed
}

#[test]
fn what_is_right_passes_with_its_id() {
    let seven = || Passed::Request(RequestId::Number(7));
    assert_eq!(passes(format!(r#"{{"jsonrpc":"2.0","id":7,{BALANCE}}}"#)), seven());
    assert_eq!(passes(format!("\t{{{BALANCE},\"id\" : 7 , \"jsonrpc\":\"2.0\"}}\r")), seven());
    for params in ["", r#","params":null"#, r#","params":{"_meta":null,"_meta2":{}}"#] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list"{params}}}"#);
        assert_eq!(passes(line), seven());
    }
    let longest = "i".repeat(128);
    for id in ["", "7", "€\" \u{2028}", longest.as_str()] {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
        assert_eq!(passes(line), Passed::Request(RequestId::String(id.into())));
    }
    for id in [i64::MIN, -1, 0, i64::MAX] {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
        assert_eq!(passes(line), Passed::Request(RequestId::Number(id)));
    }
    for arguments in ["null", "7", "\"all\"", "[1,1]", "{\"id\":1,\"a\":{\"id\":1}}"] {
        let line = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"ledger","#;
        assert_eq!(passes(format!(r#"{line}"arguments":{arguments}}}}}"#)), seven());
    }
}

#[test]
fn notifications_and_answers_pass_or_are_dropped_but_are_never_answered() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(passes(cancel), Passed::Cancel(RequestId::Number(7)));
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":99,"result":{}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no"}}"#,
    ] {
        assert_eq!(passes(line), Passed::Other, "{line}");
    }
    let deep = format!(r#"{{"method":"a","params":{}0{}}}"#, "[".repeat(99), "]".repeat(99));
    for line in [
        r#"{"jsonrpc":"1.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":7}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":[]}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":"\n","result":{}}"#,
        &deep,
    ] {
        assert_eq!(checked(line), Verdict::Drop, "{line}");
    }
}

#[test]
fn what_is_no_json_is_a_parse_error_under_the_id_that_can_still_be_found() {
    let line = |fault: &str| format!(r#"{{"jsonrpc":"2.0","id":7,{BALANCE},"x":{fault}}}"#);
    let high = format!("{}0{}", "[".repeat(40), "}".repeat(40));
    let faults =
        ["", "nul", "'a'", "01", "1e400", "-1E999", "NaN", r#""\ud83d""#, r#""\udc00x""#, "\"\t\""];
    for fault in faults.into_iter().chain(["\"\\x\"", "{a:1}", "[1,]", "1,", "\u{0}", &high]) {
        assert_eq!(refused(line(fault)).0, -32700, "{fault}");
        assert_eq!(refused(line(fault)).1, 7, "{fault}");
    }
    let mut bytes = line("\"@\"").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'@').unwrap();
    bytes[at] = 0xff;
    let (code, id, message) = refused(&bytes);
    assert_eq!((code, id), (-32700, json!(7)));
    assert!(message.contains(&format!("byte {} is not UTF-8", at + 1)), "{message}");
    for nothing in ["hello", "{", "\u{feff}", "\"", "}", "{]", "GET / HTTP/1.1", "\u{0}"] {
        assert_eq!(refused(nothing).0, -32700, "{nothing}");
        assert_eq!(refused(nothing).1, Value::Null, "{nothing}");
    }
    assert_eq!(refused(format!("\u{feff}{}", line("1"))).1, 7);
}

#[test]
fn an_id_that_would_break_a_log_or_speak_to_a_terminal_is_refused_without_it() {
    for id in [r"\n", r"\u001b[2J", r"7\r", r"\u0000", r"\t", r"\u007f", r"\u009b0m", "\u{85}"] {
        for rest in [BALANCE, r#""method":"ping""#] {
            let (code, told, message) =
                refused(format!(r#"{{"jsonrpc":"2.0","id":"{id}",{rest}}}"#));
            assert_eq!((code, told), (-32600, Value::Null), "{id}");
            assert!(message.contains("without control characters"), "{message}");
        }
        let cut = format!(r#"{{"jsonrpc":"2.0","id":"{id}",{BALANCE}"#);
        assert_eq!((refused(&cut).0, refused(&cut).1), (-32700, Value::Null), "{id}");
    }
}

#[test]
fn what_json_allows_and_we_do_not_is_named() {
    let with = |text: &str| refused(format!(r#"{{"jsonrpc":"2.0","id":7,{text}}}"#));
    let tools = "pay_for_api_call, get_balance, ledger, list_services";
    for (text, code, says) in [
        (r#""method":"ping","method":"ping""#, -32600, "\"method\" comes twice"),
        (r#""method":"ping","params":{"a":{"b":1,"b":2}}"#, -32600, "\"b\" comes twice"),
        (r#""method":"ping","params":{"a":[{"\u0062":1,"b":2}]}"#, -32600, "\"b\" comes twice"),
        (r#""method":"ping","jsonrpc":"2.0""#, -32600, "\"jsonrpc\" comes twice"),
        (r#""params":{}"#, -32600, "method must be"),
        (r#""method":null"#, -32600, "method must be"),
        (r#""method":"""#, -32600, "method must be"),
        (r#""method":"tools/cäll""#, -32600, "method must be"),
        (r#""method":"tools call""#, -32600, "method must be"),
        (r#""method":"ping","result":{}"#, -32600, "either"),
        (r#""method":"ping","params":[]"#, -32602, "params must be an object"),
        (r#""method":"ping","params":"a""#, -32602, "params must be an object"),
        (r#""method":"ping","params":{"_meta":5}"#, -32602, "params._meta must be an object"),
        (r#""method":"tools/call""#, -32602, tools),
        (r#""method":"tools/call","params":{"arguments":{}}"#, -32602, tools),
        (r#""method":"tools/call","params":{"name":7}"#, -32602, tools),
    ] {
        let (got, id, message) = with(text);
        assert_eq!((got, id), (code, json!(7)), "{text}");
        assert!(message.contains(says), "{text}: {message}");
    }
    let long = with(&format!(r#""method":"{}""#, "m".repeat(129)));
    assert!(long.2.contains("128"), "{long:?}");
    for version in ["", r#""jsonrpc":"1.0","#, r#""jsonrpc":2.0,"#, r#""jsonrpc":null,"#] {
        let (code, id, message) = refused(format!(r#"{{{version}"id":7,"method":"ping"}}"#));
        assert_eq!((code, id), (-32600, json!(7)), "{version}");
        assert!(message.contains("jsonrpc must be"), "{message}");
    }
    for batch in ["[]", r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#, "7", "null", "\"a\""] {
        let (code, id, message) = refused(batch);
        assert_eq!((code, id), (-32600, Value::Null), "{batch}");
        assert!(message.contains("one JSON object"), "{message}");
    }
    assert_eq!(refused("{}").1, Value::Null);
}

#[test]
fn an_id_of_a_kind_that_is_none_is_refused_and_not_repeated() {
    let long = format!("\"{}\"", "i".repeat(129));
    let odd = ["null", "1.0", "1.5", "1e3", "{}", "[7]", "true", "9223372036854775808", &long];
    for id in odd {
        let (code, answered, message) =
            refused(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
        assert_eq!((code, answered), (-32600, Value::Null), "{id}");
        assert!(message.contains("id must be"), "{message}");
    }
    let (_, id, message) = refused(r#"{"jsonrpc":"2.0","id":7,"method":"ping","id":8}"#);
    assert_eq!(id, Value::Null);
    assert!(message.contains("\"id\" comes twice"), "{message}");
}

#[test]
fn nesting_and_length_have_limits_that_are_told() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{open}{close}}}}}"#)
    };
    assert_eq!(passes(nested(MAX_DEPTH)), Passed::Request(RequestId::Number(7)));
    for depth in [MAX_DEPTH + 1, 100, 128, 129, 200, 100_000] {
        let (code, id, message) = refused(nested(depth));
        assert_eq!((code, id), (-32600, json!(7)), "{depth}");
        assert!(message.contains("32 levels"), "{message}");
    }
    let filled = |length: usize| {
        let line = r#"{"jsonrpc":"2.0","method":"ping","id":7}"#;
        format!("{line}{}", " ".repeat(length - line.len()))
    };
    assert_eq!(passes(filled(MAX_LINE)), Passed::Request(RequestId::Number(7)));
    let (code, id, message) = refused(filled(MAX_LINE + 1));
    assert_eq!((code, id), (-32600, json!(7)));
    assert!(message.contains("262144 bytes"), "{message}");
}

#[test]
fn texts_and_arrays_have_limits_that_are_told() {
    let with = |value: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{value}}}}}"#)
    };
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let array = |items: usize| format!("[{}]", vec!["0"; items].join(","));
    let long = format!("\"\\n{}\"", "x".repeat(MAX_TEXT));
    for fits in [text(MAX_TEXT), array(MAX_ITEMS), format!("[{},{0}]", array(MAX_ITEMS))] {
        assert_eq!(passes(with(&fits)), Passed::Request(RequestId::Number(7)));
    }
    let key = format!("{{{}:1}}", text(MAX_TEXT + 1));
    for (value, limit) in [
        (text(MAX_TEXT + 1), "65536 bytes"),
        (long, "65536 bytes"),
        (key, "65536 bytes"),
        (format!("[[{}]]", text(MAX_TEXT + 1)), "65536 bytes"),
        (array(MAX_ITEMS + 1), "1000 elements"),
        (format!("[{}]", array(MAX_ITEMS + 1)), "1000 elements"),
        (array(50_000), "1000 elements"),
    ] {
        let (code, id, message) = refused(with(&value));
        assert_eq!((code, id), (-32600, json!(7)), "{limit}");
        assert!(message.contains(limit), "{message}");
    }
}

#[test]
fn an_id_that_is_taken_is_not_given_away_with_a_refusal() {
    let (code, id, message) = refused(format!(r#"{{"jsonrpc":"2.0","id":99,{BALANCE}}}"#));
    assert_eq!((code, id), (-32600, Value::Null));
    assert!(message.contains("in flight"), "{message}");
    for wrong in [r#"{"jsonrpc":"2.0","id":99,"method":7}"#, r#"{"jsonrpc":"2.0","id":99,"#] {
        assert_eq!(refused(wrong).1, Value::Null, "its client would take it for the outcome");
    }
    assert_eq!(
        passes(r#"{"jsonrpc":"2.0","id":"99","method":"ping"}"#),
        Passed::Request(RequestId::String("99".into())),
        "a text is another id than a number"
    );
}

#[test]
fn ids_are_free_again_when_they_are_answered_and_not_when_they_are_cancelled() {
    let mut in_flight = InFlight::default();
    let id = RequestId::Number;
    let verdict = |n: i64, in_flight: &InFlight| {
        check(
            json!({"jsonrpc": "2.0", "id": n, "method": "ping"}).to_string().as_bytes(),
            in_flight,
        )
    };
    let free = |n, in_flight: &InFlight| matches!(verdict(n, in_flight), Verdict::Pass(_));
    in_flight.begin(id(1));
    in_flight.cancel(id(1));
    assert!(!free(1, &in_flight));
    in_flight.end(&id(1));
    assert!(free(1, &in_flight));
    for n in 0..1024 {
        assert!(free(n, &in_flight));
        in_flight.begin(id(n));
    }
    let Verdict::Answer(answer) = verdict(5000, &in_flight) else { panic!("too many") };
    assert_eq!(answer["id"], 5000);
    assert!(answer["error"]["message"].as_str().unwrap().contains("in flight"));
    for n in 0..257 {
        in_flight.cancel(id(n));
        in_flight.cancel(id(n));
    }
    assert!(free(0, &in_flight), "the oldest of too many is forgotten");
    assert!(!free(1, &in_flight));
}

#[test]
fn the_id_of_a_broken_line_is_only_ever_the_outermost_and_whole() {
    let found = |line: &str| lenient::id_of(line.as_bytes()).map(RequestId::into_json_value);
    for (line, id) in [
        (r#"{"id":7,"#, json!(7)),
        (r#"{"a":{"id":1},"b":[{"id":2}],"id" : -7 ,"#, json!(-7)),
        (r#"{"a":"\"id\":1,","c":"id","id":"x\"y\u0041""#, json!("x\"yA")),
        (r#"{"a":"id","b":3,"id":4}"#, json!(4)),
        (r#"{,,"id":7}"#, json!(7)),
    ] {
        assert_eq!(found(line), Some(id), "{line}");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "i".repeat(9000));
    for none in [
        r#"{"id":12"#,
        r#"{"id":"12"#,
        r#"{"id":[7]}"#,
        r#"{"id":{"id":7}}"#,
        r#"{"id":7.5}"#,
        r#"{"id":7;"method":1}"#,
        r#"{"id":7.0,"#,
        r#"{"id":5e-999,"#,
        r#"{"id":-0,"#,
        r#"{"id"[1]:7}"#,
        r#"{"id":}"#,
        r#"[{"id":7}]"#,
        r#""id":7"#,
        r#"{"id":"\ud83d"}"#,
        r#"{"a":1}"id":7"#,
        &long,
    ] {
        assert_eq!(found(none), None, "{none}");
    }
    let line = br#"{"a":"b","id":"seven","c":}"#;
    for cut in 0..line.len() {
        let mut scan = lenient::Scan::default();
        scan.feed(&line[..cut]);
        scan.feed(&line[cut..]);
        assert_eq!(scan.id(), Some(RequestId::String("seven".into())), "cut at {cut}");
    }
}

#[tokio::test]
async fn lines_come_whole_however_they_arrive_and_long_ones_are_skipped() {
    let (client, server) = duplex(64);
    let (input, output) = tokio::io::split(server);
    let mut framed = Framed::new(input, output);
    let (answers, mut lines) = tokio::io::split(client);
    let long = "x".repeat(MAX_LINE * 3);
    let script = [
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{long}"}}}}"#),
        String::new(),
        format!(r#"{{"jsonrpc":"2.0","method":"ping","params":{{"a":"{long}"}},"id":"two"}}"#),
        " \t\r".to_owned(),
        r#"{"jsonrpc":"2.0","method":"notifications/early"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#.to_owned(),
    ];
    tokio::spawn(async move {
        lines.write_all(script.join("\n").as_bytes()).await.unwrap();
        lines.shutdown().await.unwrap();
    });
    let mut answers = BufReader::new(answers).lines();
    let said = tokio::spawn(async move {
        [answers.next_line().await.unwrap().unwrap(), answers.next_line().await.unwrap().unwrap()]
    });
    let message = framed.receive().await.expect("the last line, though it has no end");
    assert_eq!(message.into_request().unwrap().1, RequestId::Number(3));
    assert!(framed.receive().await.is_none());
    let said = said.await.unwrap().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    assert_eq!((&said[0]["id"], &said[1]["id"]), (&json!(1), &json!("two")));
    assert_eq!(said[0]["error"]["code"], -32600);
}

#[tokio::test]
async fn an_answer_sets_its_id_free_and_nothing_else_does() {
    let (client, server) = duplex(1 << 16);
    let (input, output) = tokio::io::split(server);
    let mut framed = Framed::new(input, output);
    let (answers, mut lines) = tokio::io::split(client);
    let ping = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    lines.write_all(&ping.repeat(2)).await.unwrap();
    assert!(framed.receive().await.is_some());
    let mut answers = BufReader::new(answers).lines();
    let silent = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(silent, framed.receive()).await.is_err(), "the second is refused");
    let refusal = answers.next_line().await.unwrap().unwrap();
    assert!(refusal.contains("in flight") && refusal.contains("\"id\":null"), "{refusal}");
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let answer: ServerJsonRpcMessage = serde_json::from_str(answer).unwrap();
    framed.send(answer).await.unwrap();
    lines.write_all(ping).await.unwrap();
    assert!(framed.receive().await.is_some(), "the id is free again");
}

#[test]
fn a_session_may_have_less_room_and_what_was_cancelled_takes_none_of_it() {
    let id = RequestId::Number;
    let mut in_flight = InFlight::of_at_most(2);
    in_flight.begin(id(1));
    in_flight.begin(id(2));
    assert!(in_flight.is_full());
    in_flight.cancel(id(1));
    assert!(!in_flight.is_full(), "no answer to it is to come");
    in_flight.begin(id(3));
    assert!(in_flight.is_full() && in_flight.holds(&id(1)));
    in_flight.end(&id(2));
    assert!(!in_flight.is_full());
}
