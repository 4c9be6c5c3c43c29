use hyper::Request;
use percent_encoding::percent_encode_byte;

use super::{Door, ProxyName};

fn admits(door: &Door, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    door.admit(&request.body(()).unwrap()).err().map(|failure| failure.0.code)
}

#[test]
fn a_proxy_has_a_name_and_nothing_else() {
    for right in ["pay.example.com", "PAY.example.com:8443", "10.0.0.5", "[2001:db8::1]:8443"] {
        assert!(right.parse::<ProxyName>().is_ok(), "{right}");
    }
    for wrong in ["", "https://pay.example.com", "pay.example.com/x", "a b", "u@h", "*", "a:b:c"] {
        assert!(wrong.parse::<ProxyName>().is_err(), "{wrong}");
    }
}

#[test]
fn a_proxy_on_another_port_is_named_with_it() {
    let name = "pay.example.com:8443".parse().unwrap();
    let door = Door::new("10.0.0.5:7402".parse().unwrap(), Some(&name));
    assert_eq!(admits(&door, "/", &[("host", "pay.example.com:8443")]), None);
    assert_eq!(admits(&door, "/", &[("host", "localhost:7402")]), None);
    for foreign in ["pay.example.com", "pay.example.com:443", "10.0.0.5:7402"] {
        let code = admits(&door, "/", &[("host", foreign)]);
        assert_eq!(code.as_deref(), Some("host_foreign"), "{foreign}");
    }
    let origin = ("origin", "https://pay.example.com:8443");
    assert_eq!(admits(&door, "/", &[("host", "localhost:7402"), origin]), None);
}

#[test]
fn an_origin_is_a_whole_origin_of_this_machine() {
    let door = Door::new("127.0.0.1:7402".parse().unwrap(), None);
    let host = ("host", "127.0.0.1:7402");
    for right in [
        "http://localhost",
        "http://localhost:65535",
        "http://[::1]:1",
        "https://localhost",
        "https://127.0.0.1:8443",
        "https://[::1]",
    ] {
        assert_eq!(admits(&door, "/", &[host, ("origin", right)]), None, "{right}");
    }
    for wrong in [
        "",
        "null",
        "localhost",
        "https://",
        "ftp://localhost",
        "https://localhost.evil.test",
        "http://localhost:",
        "http://localhost:65536",
        "http://localhost:+80",
        "http://localhost/",
        "http://localhost:80/x",
        "http://127.0.0.1.evil.test",
        "file://",
    ] {
        let code = admits(&door, "/", &[host, ("origin", wrong)]);
        assert_eq!(code.as_deref(), Some("origin_foreign"), "{wrong}");
    }
}

/// Of the right form, and nobody's.
const TOKEN: &str = "agt_ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnbyvz6ai";

#[test]
fn a_token_is_seen_anywhere_in_an_address_and_an_agent_is_not_taken_for_one() {
    let door = Door::new("127.0.0.1:7402".parse().unwrap(), None);
    let asked = |target: &str| admits(&door, target, &[("host", "localhost:7402")]);
    let longest = format!("/v1/agents/agt_{}", "night-shift_".repeat(4));
    for right in [
        "/v1/ledger?agent=agt_scout&limit=5",
        "/v1/agents/agt_scout/tokens",
        "/v1/ledger?agent=a%20b",
        "/messages?session_id=0123456789abcdef0123456789abcdef",
        &longest,
    ] {
        assert_eq!(asked(right), None, "{right}");
    }
    let encoded: String = TOKEN.bytes().map(percent_encode_byte).collect();
    for wrong in [
        "/mcp?Access_Token=x",
        "/mcp?a&token",
        "/mcp?a;token=x",
        "/mcp?to%6Ben=x",
        &format!("/mcp?a=1&b={TOKEN}"),
        &format!("/mcp?b=Bearer%20{TOKEN}"),
        &format!("/mcp?b={}", TOKEN.replace('_', "%5f")),
        &format!("/mcp?b={encoded}"),
        &format!("/mcp?b={}", TOKEN.replace("agt_", "opr_").to_uppercase()),
        &format!("/mcp?b={}", &TOKEN[..40]),
        &format!("/mcp?{TOKEN}"),
        &format!("/mcp/{TOKEN}"),
        &format!("/{encoded}/mcp"),
    ] {
        assert_eq!(asked(wrong).as_deref(), Some("token_in_url"), "{wrong}");
    }
}

#[test]
fn the_port_that_nobody_writes_may_be_left_out() {
    let plain = Door::new("127.0.0.1:80".parse().unwrap(), None);
    let other = Door::new("127.0.0.1:7402".parse().unwrap(), None);
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let with_port = format!("{host}:80");
        assert_eq!(admits(&plain, "/", &[("host", host)]), None, "{host}");
        assert_eq!(admits(&plain, "/", &[("host", &with_port)]), None, "{with_port}");
        assert!(admits(&other, "/", &[("host", host)]).is_some(), "{host}");
    }
}
