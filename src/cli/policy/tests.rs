//! What a policy says of an API, read from its text and written back.

use super::{
    export,
    mistake::{Mistakes, Source},
    reader, told,
};
use crate::policy::terms::{PolicyPlan, PolicyTerms, PresentPolicy, ServiceChange};

const WHOLE: &str = r#"schema = 1

[services.weather]
payee = "Acme Weather"
price = "0.02"
rail = "proxy"
base_url = "HTTPS://API.Acme.example:443/v2/"
secret = { command = ["op", "read", "op://vault/acme/key"] }
allow_headers = ["X-Tag"]
charge_on = ["2xx", "404"]
on_unknown = "capture"
timeout = 30
max_response_bytes = 65536
idempotency_header = "Idempotency-Key"

[services.weather.headers]
authorization = "Bearer {secret}"
x-version = "2026-11-01"

[services.weather.query]
"units[a]" = "si"

[[services.weather.operations]]
name = "now"
method = "GET"
path = "/now/{place}"
price = "0.01"

[[services.weather.operations]]
name = "ask"
method = "POST"
path = "/chat"
metered = "openai_chat"
strict = true

[[services.weather.operations]]
name = "far"
method = "POST"
path = "/far"
price_from = { json = "/usage/cost", at_most = "0.10" }
"#;

fn read(text: &str) -> Result<PolicyTerms, String> {
    let source = Source::new("policy", text.as_bytes().to_vec()).unwrap();
    let mut mistakes = Mistakes::default();
    let (terms, _) = reader::read(source.text(), &mut mistakes);
    if mistakes.is_empty() { Ok(terms.unwrap()) } else { Err(source.render(&mistakes)) }
}

fn export(policy: PolicyTerms) -> String {
    export::toml(&PresentPolicy { policy, frozen: Vec::new(), revoked: 0 })
}

#[test]
fn an_api_is_exported_as_what_reads_back_the_same() {
    let terms = read(WHOLE).unwrap();
    let (id, service) = terms.services.iter().next().unwrap();
    let entry = service.service(id);
    assert_eq!(entry.check_endpoint(), Ok(()));
    let endpoint = entry.endpoint.as_ref().unwrap();
    assert_eq!(endpoint.base_url.to_string(), "https://api.acme.example/v2");
    assert_eq!((endpoint.timeout_s, endpoint.operations.len()), (30, 3));
    assert_eq!(endpoint.free_on.texts(), ["400-403", "405-499", "5xx"]);
    // As the catalogue has it, written and read again and again.
    let mut present = PolicyTerms::default();
    let kept = crate::policy::terms::ServiceTerms::of(&entry);
    present.services.insert(id.clone(), kept);
    let text = export(present.clone());
    let again = read(&text).unwrap();
    assert_eq!(again.services[id].service(id), entry, "{text}");
    assert_eq!(export(again), text);
    // Over the wire too.
    let wire = serde_json::to_string(&present).unwrap();
    assert_eq!(serde_json::from_str::<PolicyTerms>(&wire).unwrap(), present);
    // Lists of inline tables are read as tables are.
    let at = WHOLE.find("[[").unwrap();
    let inline = WHOLE[..at].replace(
        "timeout = 30",
        "timeout = \"30s\"\noperations = [{ name = \"now\", method = \"GET\", \
         path = \"/now/{place}\", price = \"0.01\" }]",
    );
    assert_eq!(
        read(&inline).unwrap().services[id].endpoint.operations[..],
        endpoint.operations[..1]
    );
}

#[test]
fn a_plan_says_first_that_the_address_changes_and_where_the_secret_goes() {
    let terms = |text: &str| read(text).unwrap().services.into_values().next().unwrap();
    let moved = WHOLE
        .replace("HTTPS://API.Acme.example:443/v2/", "https://api.evil.example")
        .replace("price = \"0.01\"", "price = \"0.05\"");
    let (from, to) = (Some(terms(WHOLE)), terms(&moved));
    let change = ServiceChange { service_id: "weather".parse().unwrap(), from, to };
    let plan = PolicyPlan { services: vec![change], ..PolicyPlan::default() };
    let told = told::words(&plan);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..6],
        [
            "~ service weather: Acme Weather, $0.02 a call, by proxy → Acme Weather, $0.02 a call, \
             by proxy   gives more",
            "    the address changes: calls, and the secret, go to https://api.evil.example and \
             not to https://api.acme.example/v2",
            "    - base URL: https://api.acme.example/v2",
            "    - operation: now, GET /now/{place}, $0.01 a call",
            "    + base URL: https://api.evil.example",
            "    + operation: now, GET /now/{place}, $0.05 a call",
        ]
    );
}

#[test]
fn what_was_written_in_place_of_a_reference_is_not_shown() {
    for (from, to) in [
        ("{ command = [\"op\", \"read\", \"op://vault/acme/key\"] }", "\"canary-7f3a\""),
        ("{ command = [\"op\", \"read\", \"op://vault/acme/key\"] }", "{ key = \"canary-7f3a\" }"),
        ("\"Bearer {secret}\"", "\"Bearer {secret} canary-7f3a\""),
        ("secret = {", "secrets = \"canary-7f3a\"\nsecret = {"),
        ("secret = {", "api_key = \"canary-7f3a\"\nsecret = {"),
        ("\"2026-11-01\"", "\"sk-canary-0123456789\""),
        ("payee = \"Acme Weather\"", "payee = \"Acme\nsk-canary-0123456789\""),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let told = read(&WHOLE.replace(from, to)).unwrap_err();
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn what_is_wrong_in_a_table_is_told_with_its_place() {
    for (from, to, told) in [
        ("method = \"GET\"", "method = \"FETCH\"", "a method is GET, HEAD, POST"),
        ("path = \"/chat\"\n", "", "`path` is missing"),
        ("path = \"/far\"", "path = \"/far\"\nmodel = \"x\"", "there is no key `model` in"),
        ("strict = true", "price = \"0.01\"", "an operation has one of price, metered and"),
        ("timeout = 30", "timeout = -1", "a call takes 1 second to 1 hour at most"),
        ("timeout = 30", "timeout = \"2d\"", "a time is 1s to 24h"),
        ("65536", "\"64k\"", "`max_response_bytes`: a text is not what it takes"),
        ("\"X-Tag\"", "\"X Tag\"", "a header's name is 1 to 64 letters"),
        ("x-version =", "\"x version\" =", "a header's name is 1 to 64 letters"),
        ("[\"2xx\", \"404\"]", "[\"2xx\", \"teapot\"]", "statuses are such as"),
        ("/v2/\"", "/v2?a=b\"", "a base URL has no `?`"),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let found = read(&WHOLE.replace(from, to)).unwrap_err();
        assert!(found.contains(told), "{found}");
        let last = to.lines().last().unwrap_or_default();
        assert!(
            found.contains(" | ") && (found.contains(last) || from == "strict = true"),
            "{found}"
        );
    }
}
