//! What an operator may write.

use pettycash::policy::{
    endpoint::{Endpoint, EndpointError, HeaderName, Origin, Path, SecretRef, Statuses, Template},
    terms::EndpointTerms,
};
use serde_json::{Value, json};

use super::{endpoint, written};

#[test]
fn an_endpoint_is_written_as_it_was_read() {
    let endpoint = endpoint();
    assert_eq!(endpoint.check(), Ok(()));
    assert_eq!(serde_json::to_value(&endpoint).unwrap(), written());
}

#[test]
fn a_base_url_is_kept_as_one_that_cannot_be_mistaken() {
    for (text, kept) in [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.COM:443/", "https://api.example.com"),
        ("https://api.example.com:8443/v1/", "https://api.example.com:8443/v1"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://93.184.216.34/x", "https://93.184.216.34/x"),
        ("https://[2606:2800:220:1::1]", "https://[2606:2800:220:1::1]"),
        ("http://127.0.0.1:8080/gw", "http://127.0.0.1:8080/gw"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ] {
        let origin: Origin = text.parse().unwrap();
        assert_eq!(origin.to_string(), kept, "{text}");
        assert_eq!(kept.parse::<Origin>().unwrap(), origin, "{text}");
    }
    let origin: Origin = "https://api.example.com:8443/v1/".parse().unwrap();
    assert_eq!((origin.scheme(), origin.host(), origin.port()), ("https", "api.example.com", 8443));
    assert_eq!((origin.prefix(), origin.root().as_str()), ("/v1", "https://api.example.com:8443"));
    assert!(!origin.is_loopback());
}

/// Base URLs that are none, or lead where they do not seem to.
const NOT_BASES: &[&str] = &[
    "",
    "example.com",
    "//example.com",
    "ftp://example.com",
    "https:///example.com",
    "https:////a",
    "https:example.com",
    "https://",
    "http://example.com",
    "http://93.184.216.34",
    "https://user@example.com",
    "https://user:pass@example.com",
    "https://@example.com",
    "https://example.com@evil.example",
    "https://example.com/@evil.example",
    "https://example.com/v1/a@b",
    "https://example.com?key=1",
    "https://example.com/#a",
    "https://example.com\\@evil.example",
    "https://example.com/a/../b",
    "https://example.com/a//b",
    "https://example.com/%2e%2e",
    "https://example.com/./a",
    "https://example.com/..;/a",
    "https://exa mple.com",
    "https://example.com\t",
    "https://exam\u{200b}ple.com",
    "https://example.com.",
    "https://.example.com",
    "https://a..b",
    "https://-a.example",
    "https://example.com:0",
    "https://example.com:99999",
    "https://example.com:",
    "https://example.com:8o",
    "https://10.0.0.1",
    "https://172.16.9.9",
    "https://192.168.1.1",
    "https://169.254.169.254",
    "https://100.64.0.1",
    "https://0.0.0.0",
    "https://192.0.0.8",
    "https://198.18.0.1",
    "https://224.0.0.1",
    "https://255.255.255.255",
    "https://203.0.113.7",
    "https://[::]",
    "https://[fe80::1]",
    "https://[fd00::1]",
    "https://[::ffff:127.0.0.1]",
    "http://[::ffff:127.0.0.1]",
    "https://[::ffff:8.8.8.8]",
    "https://[64:ff9b::a00:1]",
    "https://[2002:7f00:1::]",
    "https://[2001::1]",
    "https://[2001:db8::1]",
    "https://[ff02::1]",
    "https://[fe80::1%25eth0]",
    "http://2130706433",
    "http://0x7f.1",
    "http://127.1",
    "https://0x8.8.8.8",
    "https://134744072",
    "http://127.0.0.1.",
    "http://localhost.",
    "http://localhost.example.com",
    "http://a.localhost",
    "https://１２７.０.０.１",
    "http://127.0.0.1@example.com",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "https://[::1",
    "https://::1",
    "https://example.com:80:80",
];

#[test]
fn a_base_url_that_could_lead_elsewhere_is_refused() {
    for text in NOT_BASES {
        assert!(text.parse::<Origin>().is_err(), "{text} was taken");
    }
    let long = format!("https://example.com/{}", "a".repeat(600));
    assert!(long.parse::<Origin>().is_err());
}

#[test]
fn a_secret_is_a_reference_and_what_else_is_written_is_not_repeated() {
    for written in [
        json!({"env": "EXAMPLE_KEY"}),
        json!({"file": "/run/secrets/example"}),
        json!({"command": ["op", "read", "op://vault/example/key"]}),
        json!({"keyring": "example"}),
    ] {
        let read: SecretRef = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
    let canary = "sk-canary0123456789abcdefABCDEF";
    for written in [
        json!(canary),
        json!([canary]),
        json!({"env": canary}),
        json!({"file": canary}),
        json!({"keyring": canary}),
        json!({"command": canary}),
        json!({"command": ["printf", canary]}),
        json!({canary: "x"}),
        json!({"env": "A", canary: "x"}),
        json!({"env": {"name": canary}}),
        json!({"env": [canary]}),
        json!({"env": "0A"}),
        json!({"env": ""}),
        json!({"file": "relative"}),
        json!({"file": "~/key"}),
        json!({"file": "/a/../b"}),
        json!({"command": []}),
        json!({"command": ["./here"]}),
        json!({"command": ["a", "b\n"]}),
        json!({}),
        json!(null),
        json!(7),
    ] {
        let wrong = serde_json::from_value::<SecretRef>(written.clone()).unwrap_err().to_string();
        assert!(!wrong.contains("canary"), "{written}: {wrong}");
    }
}

#[test]
fn a_template_is_a_line_at_whose_end_the_secret_may_stand() {
    for (text, secret) in [("{secret}", true), ("Bearer {secret}", true), ("2026-11-01", false)] {
        let template: Template = text.parse().unwrap();
        assert_eq!((template.takes_secret(), template.to_string().as_str()), (secret, text));
    }
    for text in [
        "",
        " ",
        "{secret} ",
        "{secret}{secret}",
        "{secret} and more",
        "{Secret}",
        "{key}",
        "a\nb",
        "a\r\nHost: evil",
        "ä",
        "Bearer sk-canary0123456789abcdef",
        "ghp_0123456789abcdef0123",
    ] {
        let wrong = text.parse::<Template>().unwrap_err().to_string();
        assert!(!wrong.contains("canary"), "{text}: {wrong}");
    }
}

#[test]
fn statuses_are_named_as_briefly_as_they_can_be() {
    let read = |texts: &[&str]| serde_json::from_value::<Statuses>(json!(texts));
    let told = |texts: &[&str]| read(texts).unwrap().texts().join(" ");
    assert_eq!(told(&["404", "403", "400-402", "405-499"]), "4xx");
    assert_eq!(told(&["5xx", "429"]), "429 5xx");
    assert_eq!(told(&["250-450"]), "250-299 3xx 400-450");
    assert_eq!(told(&["300-349", "2xx"]), "2xx 300-349");
    assert_eq!(told(&["250-349"]), "250-349");
    assert_eq!(told(&[]), "");
    for text in ["", "2", "20", "2x", "xx", "1xx", "6xx", "199", "600", "403-400", "4xx-5xx", "+29"]
    {
        assert!(read(&[text]).is_err(), "{text}");
    }
    let (some, others) = (read(&["4xx"]).unwrap(), read(&["409", "499-500"]).unwrap());
    assert_eq!(some.overlap(&others), Some(409));
    assert_eq!(some.without(&others).texts(), ["400-408", "410-498"]);
    assert_eq!(some.without(&others).overlap(&others), None);
    let in_both = |status| some.contains(status) && !others.contains(status);
    assert!((200..600).all(|status| some.without(&others).contains(status) == in_both(status)));
}

#[test]
fn a_path_is_plain_segments_and_whole_parameters() {
    for text in ["/", "/v1/things", "/v1/things/", "/v1/{id}/parts/{part_2}", "/v1/m:do", "/a.b~c"]
    {
        assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "v1",
        "//",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/..",
        "/..;x",
        "/a?b",
        "/a#b",
        "/%61",
        "/a b",
        "/a\\b",
        "/{}",
        "/{a}b",
        "/{A}",
        "/{a}/{a}",
        "/{a",
        "/a}",
        "/ä",
        "/a\0",
        "https://e.example/",
    ] {
        assert!(text.parse::<Path>().is_err(), "{text}");
    }
    assert!("/a".repeat(33).parse::<Path>().is_err());
    assert!("a-b_c".parse::<HeaderName>().is_err());
}

#[test]
fn what_is_wrong_with_an_endpoint_as_a_whole_is_told() {
    type Spoil = fn(&mut Value);
    let cases: [(Spoil, &str); 20] = [
        (|e| e["operations"] = json!([]), "an endpoint has 1 to 64 operations"),
        (|e| e["operations"][1]["name"] = json!("read"), "the operation `read` is given twice"),
        (
            |e| e["operations"][2]["path"] = json!("/things/{other}"),
            "the operations `read` and `part` have the same method and path",
        ),
        (
            |e| e["operations"][4]["method"] = json!("GET"),
            "the operation `chat` is metered, so its method is POST",
        ),
        (|e| e["secret"] = json!(null), "`authorization` takes {secret}, and there is none"),
        (
            |e| {
                e["headers"] = json!({});
                e["query"] = json!({});
            },
            "`secret` is put nowhere",
        ),
        (|e| e["headers"]["host"] = json!("evil.example"), "`host` is set by pettycash itself"),
        (|e| e["headers"]["Content-Length"] = json!("0"), "`content-length` is set by pettycash"),
        (|e| e["allow_headers"] = json!(["x-forwarded-for"]), "`x-forwarded-for` is set by"),
        (|e| e["allow_headers"] = json!(["cookie"]), "`cookie` says who calls: no agent may"),
        (|e| e["allow_headers"] = json!(["x-version"]), "`x-version` is set by the endpoint"),
        (|e| e["idempotency_header"] = json!("x-version"), "`x-version` is set by the endpoint"),
        (|e| e["idempotency_header"] = json!("te"), "`te` is set by pettycash itself"),
        (|e| e["headers"]["cookie"] = json!("a=b"), "`cookie` says who calls, so it takes"),
        (|e| e["query"]["a b"] = json!("c"), "a parameter in `query` is named by"),
        (|e| e["charge_on"] = json!([]), "`charge_on` names no status"),
        (|e| e["charge_on"] = json!(["2xx", "404"]), "404 stands in `charge_on` and in `free_on`"),
        (|e| e["timeout_s"] = json!(0), "a call takes 1 second to 1 hour at most"),
        (|e| e["timeout_s"] = json!(3601), "a call takes 1 second to 1 hour at most"),
        (|e| e["max_response_bytes"] = json!(1), "`max_response_bytes` is 1024 to 268435456"),
    ];
    for (spoil, told) in cases {
        let mut spoilt = written();
        spoil(&mut spoilt);
        let endpoint: Endpoint = serde_json::from_value(spoilt).unwrap();
        let wrong: EndpointError = endpoint.check().unwrap_err();
        assert!(wrong.to_string().starts_with(told), "{wrong}");
    }
}

#[test]
fn what_a_language_model_takes_is_usual_where_something_is_metered() {
    let said = |metered: bool, more: Value| {
        let mut operation = json!({"name": "chat", "method": "POST", "path": "/chat"});
        if metered {
            operation["metered"] = json!("openai_chat");
        }
        let mut said = json!({"base_url": "https://api.example.com", "operations": [operation]});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        said
    };
    let mib = 1024 * 1024;
    for (metered, timeout, bytes) in [(false, 120, 8 * mib), (true, 600, 64 * mib)] {
        let terms: EndpointTerms = serde_json::from_value(said(metered, json!({}))).unwrap();
        let endpoint = terms.endpoint().unwrap();
        assert_eq!((endpoint.timeout_s, endpoint.max_response_bytes), (timeout, bytes));
        let written = serde_json::to_value(EndpointTerms::of(&endpoint)).unwrap();
        assert_eq!(written, said(metered, json!({})), "what goes without saying is not said");
    }
    // What is usual elsewhere is said, and is what it was when it is read again.
    let other = json!({"timeout": "2min", "max_response_bytes": 8 * mib});
    let terms: EndpointTerms = serde_json::from_value(said(true, other.clone())).unwrap();
    let endpoint = terms.endpoint().unwrap();
    assert_eq!((endpoint.timeout_s, endpoint.max_response_bytes), (120, 8 * mib));
    let written = serde_json::to_value(EndpointTerms::of(&endpoint)).unwrap();
    assert_eq!(written, said(true, other));
}

#[test]
fn an_operation_has_one_price() {
    for spoilt in [
        json!({"price": "0.01", "metered": "openai_chat"}),
        json!({"price": "0.01", "price_from": {"header": "x-price", "at_most": "1"}}),
        json!({"metered": "openai_chat", "price_from": {"json": "/cost", "at_most": "1"}}),
        json!({"price_from": {"at_most": "1"}}),
        json!({"price_from": {"header": "x-price", "json": "/cost", "at_most": "1"}}),
        json!({"price_from": {"json": "cost", "at_most": "1"}}),
        json!({"price_from": {"json": "/cost", "at_most": "0"}}),
        json!({"price_from": {"json": "/cost"}}),
        json!({"metered": "gpt"}),
        json!({"price": "free"}),
        json!({"strict": true}),
        json!({"priced": "0.01"}),
    ] {
        let mut written = written();
        let operation = written["operations"][3].as_object_mut().unwrap();
        operation.remove("price_from");
        operation.extend(spoilt.as_object().unwrap().clone());
        assert!(serde_json::from_value::<Endpoint>(written).is_err(), "{spoilt}");
    }
}

#[test]
fn a_keyring_is_refused_where_the_build_reads_none_and_a_record_that_has_one_opens() {
    let mut written = written();
    written["secret"] = json!({"keyring": "acme"});
    // As a record is read.
    let endpoint: Endpoint = serde_json::from_value(written).unwrap();
    let read = cfg!(feature = "keyring");
    let told = if read { Ok(()) } else { Err(EndpointError::NoKeyring) };
    assert_eq!(endpoint.check(), told);
    let hint = EndpointError::NoKeyring.hint();
    for way in ["env = ", "file = ", "command = ", "--features keyring"] {
        assert!(hint.contains(way), "{hint}");
    }
}
