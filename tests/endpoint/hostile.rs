//! Whatever an agent asks for: what is accepted leads to the endpoint's host, to the path of its
//! operation, with the headers that are allowed.

use pettycash::policy::endpoint::{ApiRequest, Asking, Endpoint, Method, Origin, encoded};
use proptest::prelude::*;
use url::Url;

use super::{call, endpoint, named};

/// Pieces that servers, proxies and parsers take in different ways.
const ODD: &[&str] = &[
    "..",
    ".",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "/",
    "//",
    "\\",
    "%2f",
    "%2F",
    "%5c",
    "%00",
    "\0",
    "%0d%0a",
    "\r\n",
    "\n",
    "\t",
    " ",
    "%20",
    "+",
    "@",
    ":",
    "@evil.example",
    "?",
    "#",
    "%23",
    "%3f",
    ";",
    "..;",
    "%3b",
    ";a=b",
    "&",
    "=",
    "%",
    "%%",
    "%zz",
    "%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%u002e",
    "ü",
    "\u{202e}",
    "\u{200b}",
    "\u{ff0e}\u{ff0e}",
    "\u{ff0f}",
    "{id}",
    "{secret}",
    "~",
    "https://evil.example",
    "//evil.example",
    "169.254.169.254",
    "[::1]",
    "localhost",
    "things",
    "mine",
    "parts",
    "chat",
    "list",
    "a",
    "1",
    "'",
    "\"",
    "<",
    ">",
    "|",
    "^",
    "`",
    "*",
    "$",
    "!",
];

/// What an accepted call must be, whoever asked for it.
fn sound(endpoint: &Endpoint, asking: &Asking) {
    let text = format!("{}{}", endpoint.base_url.root(), asking.target);
    let url = Url::parse(&text).unwrap();
    // What the parser of URLs makes of it is what is there: nothing is resolved, cut or mended.
    assert_eq!(url.as_str(), text);
    let origin = endpoint.base_url.clone();
    assert_eq!(url.host_str(), Some(origin.host()));
    assert_eq!(url.port_or_known_default(), Some(origin.port()));
    assert_eq!((url.scheme(), url.username(), url.password()), (origin.scheme(), "", None));
    assert_eq!(url.fragment(), None);
    let path = url.path().strip_prefix(origin.prefix()).unwrap();
    let operation = endpoint.operation(asking.operation.as_str()).unwrap();
    assert_eq!(operation.method, asking.method);
    assert!(operation.path.values(path).is_some(), "{path} is not {}", operation.path);
    assert_eq!(endpoint.matching(asking.method, path), Some(operation));
    // As a server sees it that decodes twice before it looks.
    let twice = |text: &str| {
        let once = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        percent_encoding::percent_decode_str(&once).decode_utf8_lossy().into_owned()
    };
    let slashes = |text: &str| text.matches(['/', '\\']).count();
    assert_eq!(slashes(&twice(path)), slashes(&operation.path.to_string()), "{path}");
    for segment in twice(path).split(['/', '\\']) {
        let name = segment.split(';').next().unwrap();
        assert!(![".", ".."].contains(&name) && !segment.chars().any(char::is_control), "{path}");
    }
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let keys = query.iter().filter(|(name, _)| name.eq_ignore_ascii_case("key"));
    assert_eq!(keys.count(), 0);
    let formats = query.iter().filter(|(name, _)| name.eq_ignore_ascii_case("format"));
    assert_eq!(formats.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["json"]);
    for (name, value) in &asking.headers {
        assert!(endpoint.may_set(name) || endpoint.headers[name].to_string() == *value);
        assert!(!value.contains(['\r', '\n', '\0']));
    }
    assert!(asking.headers.keys().all(|name| !name.is_ours() && !name.is_credential()));
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(ODD).prop_map(str::to_owned),
        2 => "[a-z0-9]{1,6}",
        1 => any::<String>(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..5).prop_map(|pieces| pieces.concat())
}

fn path() -> impl Strategy<Value = String> {
    let begin =
        prop::sample::select(&["", "/", "/things/", "/things", "/chat", "//", "/v2/things/"]);
    (begin, text()).prop_map(|(begin, rest)| format!("{begin}{rest}"))
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = prop::sample::select(&[
        "key",
        "KEY",
        "key[]",
        "format",
        "q",
        "accept",
        "x-tag",
        "X-Tag",
        "host",
        "Host ",
        "cookie",
        "authorization",
        "x-version",
        "X_Version",
        "content-length",
        "x-forwarded-for",
    ]);
    let name = prop_oneof![3 => names.prop_map(str::to_owned), 1 => text()];
    prop::collection::vec((name, text()), 0..3)
}

fn request() -> impl Strategy<Value = ApiRequest> {
    let methods =
        prop::sample::select(&["GET", "POST", "HEAD", "get", "DELETE", "G ET", "CONNECT"]);
    let operations = prop::sample::select(&["read", "mine", "part", "make", "chat", "list", "x"]);
    let target = prop_oneof![
        (methods, path()).prop_map(|(method, path)| call(method, &path)),
        (operations, text(), text())
            .prop_map(|(name, id, part)| named(name, &[("id", &id), ("part", &part)])),
        text().prop_map(|id| named("read", &[("id", &id)])),
    ];
    (target, pairs(), pairs()).prop_map(|(request, query, headers)| ApiRequest {
        query,
        headers,
        ..request
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_that_is_accepted_leads_anywhere_else(request in request()) {
        let endpoint = endpoint();
        if let Ok(asking) = endpoint.ask(&request) {
            sound(&endpoint, &asking);
        }
    }

    #[test]
    fn a_path_or_a_parameter_alone_leads_nowhere_else(id in text(), path in path()) {
        let endpoint = endpoint();
        for request in [named("read", &[("id", &id)]), call("GET", &path), call("POST", &path)] {
            if let Ok(asking) = endpoint.ask(&request) {
                sound(&endpoint, &asking);
            }
        }
    }

    #[test]
    fn a_base_url_that_is_accepted_is_read_alike_by_every_reader(
        scheme in prop::sample::select(&["https://", "http://", "HTTPS://", "https:/", "//", ""]),
        rest in text(),
        port in prop::sample::select(&["", ":443", ":8080", ":0", ":", ":x"]),
        path in path(),
    ) {
        for text in [
            format!("{scheme}{rest}{port}{path}"),
            format!("{scheme}api.example.com{rest}{port}{path}"),
            format!("{scheme}{rest}api.example.com{port}{path}"),
        ] {
            let Ok(origin) = text.parse::<Origin>() else { continue };
            let url = Url::parse(&text).unwrap();
            prop_assert_eq!(url.host_str(), Some(origin.host()));
            let authority = text.split('/').nth(2).unwrap().to_lowercase();
            let (host, _) = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
                .unwrap_or((&authority, ""));
            prop_assert!(!host.is_empty() && (!host.is_ascii() || host == origin.host()), "{text}");
            prop_assert_eq!(url.path().strip_suffix('/').unwrap_or(url.path()), origin.prefix());
            prop_assert_eq!((url.username(), url.password(), url.query()), ("", None, None));
            prop_assert!(origin.scheme() == "https" || origin.is_loopback());
            prop_assert_eq!(&origin.to_string().parse::<Origin>().unwrap(), &origin);
            prop_assert_ne!(origin.host(), "169.254.169.254");
        }
    }
}

#[test]
fn every_odd_piece_is_refused_or_encoded_wherever_it_stands() {
    let endpoint = endpoint();
    let (mut taken, mut refused) = (0, 0);
    for one in ODD {
        for other in ODD {
            let both = format!("{one}{other}");
            let query = vec![(both.clone(), both.clone())];
            for request in [
                named("read", &[("id", &both)]),
                named("part", &[("id", one), ("part", other)]),
                call("GET", &format!("/things/{both}")),
                call("GET", &format!("/things/{one}/parts/{other}")),
                call("GET", &format!("/{one}/{other}/things/1")),
                call("GET", &both),
                ApiRequest { query: query.clone(), ..named("mine", &[]) },
                ApiRequest { headers: query, ..named("mine", &[]) },
            ] {
                match endpoint.ask(&request) {
                    Ok(asking) => {
                        sound(&endpoint, &asking);
                        taken += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    // Both happen: neither is a test of nothing.
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn a_call_never_leads_to_a_dearer_or_cheaper_operation_than_it_is() {
    let endpoint = endpoint();
    assert!(endpoint.ask(&named("read", &[("id", "mine")])).is_err());
    assert!(endpoint.ask(&call("GET", "/things/%6dine")).unwrap().target.contains("/mine?"));
    assert_eq!(endpoint.matching(Method::Get, "/things/%6dine").unwrap().name.as_str(), "mine");
    assert_eq!(encoded("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
}
