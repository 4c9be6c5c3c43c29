use hyper::Request;

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
    for right in ["http://localhost", "http://localhost:65535", "http://[::1]:1"] {
        assert_eq!(admits(&door, "/", &[host, ("origin", right)]), None, "{right}");
    }
    for wrong in [
        "",
        "null",
        "localhost",
        "https://localhost",
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

#[test]
fn a_token_is_seen_in_a_query_and_an_agent_is_not_taken_for_one() {
    let door = Door::new("127.0.0.1:7402".parse().unwrap(), None);
    let asked = |target: &str| admits(&door, target, &[("host", "localhost:7402")]);
    assert_eq!(asked("/v1/ledger?agent=agt_scout&limit=5"), None);
    assert_eq!(asked("/messages?session_id=0123456789abcdef"), None);
    let long = format!("/mcp?a=1&b=opr_{}", "x".repeat(60));
    for wrong in ["/mcp?Access_Token=x", "/mcp?a&token", &long] {
        assert_eq!(asked(wrong).as_deref(), Some("token_in_url"), "{wrong}");
    }
}
