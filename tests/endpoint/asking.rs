//! What an agent asks for, and what is sent.

use pettycash::policy::endpoint::{ApiRequest, Body, HeaderName, Method};

use super::{call, endpoint, named};

#[test]
fn an_operation_and_a_path_lead_to_the_same_call() {
    let endpoint = endpoint();
    let by_name = endpoint.ask(&named("read", &[("id", "a b&ü")])).unwrap();
    assert_eq!(by_name.target, "/v2/things/a%20b%26%C3%BC?format=json");
    assert_eq!(by_name.method, Method::Get);
    assert_eq!(endpoint.ask(&call("GET", "/things/a%20b&%c3%bc")).unwrap(), by_name);
    let template =
        ApiRequest { params: named("", &[("id", "a b&ü")]).params, ..call("GET", "/things/{id}") };
    assert_eq!(endpoint.ask(&template).unwrap(), by_name);
}

#[test]
fn the_path_that_says_the_most_is_the_operation() {
    let endpoint = endpoint();
    let of = |path: &str| {
        endpoint.matching(Method::Get, path).map(|operation| operation.name.to_string())
    };
    assert_eq!(of("/things/mine").unwrap(), "mine");
    assert_eq!(of("/things/yours").unwrap(), "read");
    assert_eq!(of("/things/").unwrap(), "list");
    assert_eq!(of("/things"), None);
    assert_eq!(endpoint.matching(Method::Delete, "/things/1"), None);
    // A name leads to it all the same: its price is not the caller's to choose.
    let asked = endpoint.ask(&named("read", &[("id", "mine")]));
    assert_eq!(asked.unwrap_err().field, "request.params.id");
}

#[test]
fn a_value_that_some_servers_take_for_another_operation_is_refused() {
    let endpoint = endpoint();
    let others = ["mine;v=1", "mine;", "mine.", "mine ", "mINE.;x", "mine.json", "mine?x", "mine#"];
    for id in ["MINE", "Mine"].into_iter().chain(others) {
        let path = id.replace(' ', "%20").replace('?', "%3F").replace('#', "%23");
        let path = format!("/things/{path}");
        for asked in [named("read", &[("id", id)]), call("GET", &path)] {
            let wrong = endpoint.ask(&asked).unwrap_err();
            assert_eq!(wrong.field, "request.params.id", "{id}");
            assert_eq!(wrong.expected, "a value that does not lead to `mine`");
        }
    }
    for id in ["mines", "mi ne", "undermine", ".mine", "1", "mi", "#mine", "mine-1.json"] {
        assert_eq!(endpoint.ask(&named("read", &[("id", id)])).unwrap().operation.as_str(), "read");
    }
    // Nor may it be nothing, which leads to `list`, or to the folder above.
    for id in [".", "..", "...", " ", ". .", ";v=1", ".;v=1"] {
        let wrong = endpoint.ask(&named("read", &[("id", id)])).unwrap_err();
        assert_eq!(wrong.field, "request.params.id", "{id}");
        let right = "a value of more than points, spaces and what is behind `;`";
        assert_eq!(wrong.expected, right, "{id}");
    }
    // What is said of another method, or behind other texts, is another path.
    assert!(endpoint.ask(&named("part", &[("id", "MINE"), ("part", "MINE")])).is_ok());
    assert_eq!(endpoint.ask(&call("GET", "/things/mine")).unwrap().operation.as_str(), "mine");
}

#[test]
fn a_query_comes_from_behind_the_path_and_from_beside_it() {
    let mut request = call("GET", "/things/mine?beta=true&q=a+b");
    request.query = vec![("q".to_owned(), "c=d&e\nf".to_owned())];
    let asked = endpoint().ask(&request).unwrap();
    assert_eq!(asked.target, "/v2/things/mine?beta=true&q=a%20b&q=c%3Dd%26e%0Af&format=json");
}

#[test]
fn what_the_endpoint_sets_is_in_the_call_but_for_the_secret() {
    let endpoint = endpoint();
    let body = Some(Body { bytes: b"{}".to_vec().into(), json: true });
    let headers = vec![("X-Tag".to_owned(), "a b".to_owned())];
    let asked = endpoint.ask(&ApiRequest { body, headers, ..named("make", &[]) }).unwrap();
    let headers: Vec<(&str, &str)> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let sent =
        [("content-type", "application/json"), ("x-tag", "a b"), ("x-version", "2026-11-01")];
    assert_eq!(headers, sent);
    assert_eq!(asked.body, b"{}"[..]);
    let secret: Vec<_> =
        endpoint.secret_headers().map(|(name, text)| (name.as_str(), text)).collect();
    assert_eq!(secret, [("authorization", "Bearer ")]);
    assert_eq!(endpoint.secret_query().collect::<Vec<_>>(), [("key", "")]);
}

#[test]
fn an_agent_sets_the_headers_that_it_may_and_no_others() {
    let endpoint = endpoint();
    for (name, may) in [
        ("accept", true),
        ("content-type", true),
        ("x-tag", true),
        ("x-version", false),
        ("authorization", false),
        ("cookie", false),
        ("host", false),
        ("connection", false),
        ("transfer-encoding", false),
        ("content-length", false),
        ("accept-encoding", false),
        ("x-forwarded-host", false),
        ("idempotency-key", false),
        ("x-other", false),
        ("proxy-authorization", false),
        ("te", false),
        ("upgrade", false),
        ("expect", false),
    ] {
        let header: HeaderName = name.parse().unwrap();
        assert_eq!(endpoint.may_set(&header), may, "{name}");
        let headers = vec![(name.to_owned(), "1".to_owned())];
        let asked = endpoint.ask(&ApiRequest { headers, ..named("mine", &[]) });
        assert_eq!(asked.is_ok(), may, "{name}");
        if let Err(wrong) = asked {
            assert_eq!(wrong.field, "request.headers");
            let right = "only headers that may be set: accept, content-type, x-tag";
            assert_eq!(wrong.expected, right);
        }
    }
}

#[test]
fn what_is_wrong_with_a_request_is_told_with_what_is_right() {
    let endpoint = endpoint();
    let told = |request: &ApiRequest| {
        let wrong = endpoint.ask(request).unwrap_err();
        format!("{}: {} is not {}", wrong.field, wrong.got, wrong.expected)
    };
    assert_eq!(
        told(&named("erase", &[])),
        "request.operation: \"erase\" is not one of read, mine, part, make, chat, list"
    );
    assert_eq!(
        told(&ApiRequest::default()),
        "request.operation: nothing is not the name of an operation, or a method and a path in \
         its place"
    );
    assert_eq!(
        told(&named("part", &[("id", "1")])),
        "request.params.part: nothing is not a value for it"
    );
    assert_eq!(
        told(&named("read", &[("id", "1"), ("part", "2")])),
        "request.params: \"part\" is not params named id"
    );
    assert_eq!(
        told(&named("read", &[("id", "a%2Fb")])),
        "request.params.id: \"a%2Fb\" is not a plain value: it is percent-encoded for you"
    );
    assert_eq!(
        told(&ApiRequest { query: vec![("Key".to_owned(), "x".to_owned())], ..named("mine", &[]) }),
        "request.query: \"Key\" is not without it: it is set for you"
    );
    let body = Some(Body { bytes: b"x".to_vec().into(), json: false });
    assert_eq!(
        told(&ApiRequest { body, ..named("mine", &[]) }),
        "request.body: \"a body\" is not no body, for `mine` is a GET"
    );
    for path in ["/things/1", "/things/{id}"] {
        let wrong = "request.method: \"DELETE\" is not GET, for `read` is GET /things/{id}";
        assert_eq!(told(&call("DELETE", path)), wrong);
    }
    assert!(told(&call("GET", "/stuff/1")).starts_with(
        "request.path: \"/stuff/1\" is not a path of an operation: GET /things/{id}, GET"
    ));
}
