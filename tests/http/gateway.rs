//! The gateway: APIs as plain HTTP, paid by whose token it is.

#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "gateway/identity.rs"]
mod identity;
#[path = "gateway/keys.rs"]
mod keys;
#[path = "gateway/loops.rs"]
mod loops;
#[path = "gateway/refusals.rs"]
mod refusals;
#[path = "gateway/streams.rs"]
mod streams;

use std::fs;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::{
        canary::{KEY, keep},
        mcp_house::House,
        web::{Reply, Web, Wire},
    },
};

/// A `serve` whose service `acme` is at an upstream of ours, and the agent `scout`.
struct Gate {
    web: Web,
    upstream: Upstream,
    token: String,
    runtime: Runtime,
}

impl Gate {
    /// One whose upstream says that to every request.
    fn saying(answer: &str) -> Self {
        Self::open(answering(answer), "5.00/day", "")
    }

    /// One whose upstream does as it is told, whose agent may spend so much, and with more said of
    /// the service.
    fn open(upstream: impl Future<Output = Upstream>, cap: &str, more: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let upstream = runtime.block_on(upstream);
        let house = House::new();
        house.operator(&format!("agent create scout --cap {cap} --funding allowance"));
        let web = Web::open(house, &[("scout", 1)]);
        let token = web.token("scout", 0);
        let key = web.house.home().with_file_name("acme.key");
        keep(KEY, &key);
        let policy = format!(
            "schema = 1\n[services.acme]\npayee = \"Acme\"\nrail = \"proxy\"\n\
             base_url = \"http://{}\"\nsecret = {{ file = \"{}\" }}\n\
             headers = {{ x-api-key = \"{{secret}}\" }}\n\
             allow_headers = [\"acme-version\", \"api-key\", \"idempotency-key\", \
             \"pettycash-task\"]\n\
             price = \"0.02\"\ntimeout = \"60s\"\n{more}\n\
             [[services.acme.operations]]\nname = \"messages\"\nmethod = \"POST\"\n\
             path = \"/v1/messages\"\n\
             [[services.acme.operations]]\nname = \"find\"\nmethod = \"GET\"\n\
             path = \"/v1/find/{{place}}\"\n",
            upstream.address,
            key.display(),
        );
        let file = web.house.home().with_file_name("policy.toml");
        fs::write(&file, policy).unwrap();
        web.house.operator(&format!("apply {}", file.display()));
        Self { web, upstream, token, runtime }
    }

    /// The headers of the agent's own request, and these.
    fn headers(&self, more: &[&str]) -> Vec<String> {
        let token = format!("x-api-key: {}", self.token);
        more.iter().map(|&header| header.to_owned()).chain([token]).collect()
    }

    /// Posts a message, on a connection of its own.
    fn post(&self, more: &[&str], body: &str) -> Reply {
        let headers = self.headers(more);
        self.web.connect().ask("POST /gateway/acme/v1/messages", &headers, body.as_bytes())
    }

    /// Asks on a connection of its own.
    fn ask(&self, line: &str) -> Reply {
        self.web.connect().ask(line, &self.headers(&[]), b"")
    }

    /// A connection on which a message was posted whose answer is not read.
    fn posted(&self, body: &str) -> Wire {
        self.posted_with(&[&format!("Content-Length: {}", body.len())], body)
    }

    /// The same with these headers, which say how long it is.
    fn posted_with(&self, more: &[&str], body: &str) -> Wire {
        let (host, headers) = (self.web.host(), self.headers(more).join("\r\n"));
        let line = "POST /gateway/acme/v1/messages HTTP/1.1";
        let mut wire = self.web.connect();
        wire.send(format!("{line}\r\nHost: {host}\r\n{headers}\r\n\r\n{body}").as_bytes());
        wire
    }

    /// What the ledger has of the agent's payments, newest first.
    fn outcomes(&self) -> Vec<String> {
        let entries = self.web.house.operator_json("ledger scout")["entries"].take();
        let told = entries.as_array().unwrap().iter();
        let told = told.map(|entry| entry["outcome"].as_str().unwrap().to_owned());
        let of_payments = ["held", "sent", "captured", "denied", "failed", "in_doubt", "released"];
        told.filter(|outcome| of_payments.contains(&&**outcome)).collect()
    }

    /// What the agent has spent so far, as `agent show` has it.
    fn used(&self) -> Value {
        self.web.house.operator_json("agent show scout")["caps"][0]["used_usd"].clone()
    }
}

/// An answer with a body of this length.
fn answer(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// An upstream that says that to every request of every connection.
async fn answering(answer: &str) -> Upstream {
    let answer = answer.as_bytes().to_vec();
    Upstream::start(move |mut peer: Peer| {
        let answer = answer.clone();
        async move { while peer.request().await.is_some() && peer.write(&answer).await {} }
    })
    .await
}

#[test]
fn the_key_is_put_in_place_of_the_token_wherever_that_came() {
    let gate = Gate::saying(&answer(200, "application/json", "{\"ok\":true}"));
    let token = gate.token.clone();
    for header in [
        format!("Authorization: Bearer {token}"),
        format!("X-API-Key: {token}"),
        format!("api-key: {token}"),
        format!("x-goog-api-key: {token}"),
        format!("Authorization: Bearer {token}\r\nx-api-key: {token}"),
    ] {
        let body = b"{ \"b\": 1 }";
        let kind = "Content-Type: application/vnd.acme+json".to_owned();
        let own = "Acme-Version: 7\r\nX-Stainless-Lang: rust\r\nUser-Agent: sdk/1\r\n\
                   pettycash-task-hint: x\r\nCookie: a=b\r\nX-Forwarded-For: 10.0.0.1";
        let headers = [header.clone(), kind, own.to_owned()];
        let reply = gate.web.connect().ask("POST /gateway/acme/v1/messages", &headers, body);
        assert_eq!((reply.status, &*reply.body), (200, "{\"ok\":true}"), "{header}: {reply:?}");
        assert!(reply.headers["pettycash-payment"].starts_with("pay_"), "{reply:?}");
        let sent = gate.upstream.requests().pop().unwrap();
        assert!(sent.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("\r\n\r\n{ \"b\": 1 }"), "byte for byte: {sent}");
        let sent = sent.to_lowercase();
        assert!(sent.contains(&format!("\r\nx-api-key: {KEY}\r\n")), "{sent}");
        assert!(sent.contains("\r\nacme-version: 7\r\n"), "{sent}");
        assert!(sent.contains("\r\ncontent-type: application/vnd.acme+json\r\n"), "{sent}");
        for gone in [&*token, "stainless", "cookie", "forwarded", "hint", "bearer", "goog"] {
            assert!(!sent.contains(gone), "{gone}: {sent}");
        }
    }
    assert_eq!(gate.used(), "0.10");
    let log = gate.web.log();
    assert!(!log.contains(&token) && !log.contains(KEY), "{log}");
}

#[test]
fn what_is_free_is_answered_and_written_down_also_where_a_cap_is_reached() {
    let free = "[[services.acme.operations]]\nname = \"count\"\nmethod = \"GET\"\n\
                path = \"/v1/count\"\nprice = \"0.00\"";
    let said = answer(200, "application/json", "{\"tokens\":7}");
    let gate = Gate::open(answering(&said), "0.02/day", free);
    assert_eq!(gate.post(&[], "{}").status, 200);
    assert_eq!(gate.post(&[], "{}").status, 402);
    let reply = gate.ask("GET /gateway/acme/v1/count");
    assert_eq!((reply.status, &*reply.body), (200, "{\"tokens\":7}"), "{reply:?}");
    assert_eq!(gate.used(), "0.02");
    let told = ["captured", "sent", "held", "denied", "captured", "sent", "held"];
    assert_eq!(gate.outcomes(), told);
    let book = gate.web.house.operator("verify");
    assert!(!book.contains("differ"), "{book}");
}

#[test]
fn an_operator_is_told_where_the_gateway_is() {
    let gate = Gate::saying("");
    let at = format!("http://{}/gateway/", gate.web.address);
    let shown = gate.web.house.operator("service show acme");
    assert!(shown.contains(&format!("{at}acme\n")), "{shown}");
    let listed = gate.web.house.operator("service list");
    assert!(listed.contains(&format!("{at}SERVICE\n")), "{listed}");
}

#[test]
fn a_path_and_a_query_arrive_as_they_were_meant() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    for (asked, sent) in [
        ("/v1/find/tea?q=a%20b&q=c%2Bd&e", "/v1/find/tea?q=a%20b&q=c%2Bd&e="),
        ("/v1/find/b%20c", "/v1/find/b%20c"),
        ("/v1/find/100%25", "/v1/find/100%25"),
        ("/v1/find/%C3%A9?x=%25", "/v1/find/%C3%A9?x=%25"),
    ] {
        assert_eq!(gate.ask(&format!("GET /gateway/acme{asked}")).status, 200, "{asked}");
        let request = gate.upstream.requests().pop().unwrap();
        assert!(request.starts_with(&format!("GET {sent} HTTP/1.1\r\n")), "{asked}: {request}");
    }
    let asked = gate.upstream.requests().len();
    for odd in [
        "/v1/find/..",
        "/v1/find/%2e%2e",
        "/v1/find/a%2fb",
        "/v1/find/%252e%252e",
        "/v1/find/a%5cb",
        "/v1/find/..;x",
        "/v1/find/%00",
        "//v1/find/a",
        "/v1/find//a",
        "/v1/../v1/find/a",
        "/v1/FIND/a",
        "",
    ] {
        let reply = gate.ask(&format!("GET /gateway/acme{odd}"));
        assert!([400, 404].contains(&reply.status), "{odd}: {reply:?}");
    }
    assert_eq!(gate.upstream.requests().len(), asked, "none of these was sent");
}

#[test]
fn of_the_headers_of_an_answer_those_go_back_that_say_something_of_it() {
    let long = "x".repeat(5_000);
    let limits = (0..90).map(|number| format!("x-ratelimit-{number}: {number}\r\n"));
    let many = limits.collect::<Vec<_>>().concat();
    let said = format!(
        "HTTP/1.1 200 X\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nrequest-id: r1\r\n\
         retry-after: 7\r\nretry-after-ms: 70\r\nx-should-retry: true\r\nx-request-id: r2\r\n\
         cache-control: no-store\r\nanthropic-version: 1\r\nopenai-organization: org-1\r\n\
         openai-project: proj-1\r\nanthropic-organization-id: org-1\r\n\
         openai-version: acme-{KEY}\r\nratelimit-limit: 9\r\nset-cookie: a=b\r\n\
         location: http://127.0.0.1:1/\r\nserver: acme\r\nx-acme: secret\r\n\
         pettycash-payment: pay_0\r\nanthropic-long: {long}\r\n{many}\r\nok"
    );
    let gate = Gate::saying(&said);
    let reply = gate.ask("GET /gateway/acme/v1/find/tea");
    assert_eq!((reply.status, &*reply.body), (200, "ok"), "{reply:?}");
    let told = |name: &str| reply.headers.get(name).map(String::as_str);
    for (name, value) in [
        ("request-id", "r1"),
        ("retry-after", "7"),
        ("retry-after-ms", "70"),
        ("x-should-retry", "true"),
        ("x-request-id", "r2"),
        ("cache-control", "no-store"),
        ("anthropic-version", "1"),
        ("openai-version", "acme-[redacted]"),
        ("ratelimit-limit", "9"),
    ] {
        assert_eq!(told(name), Some(value), "{name}");
    }
    for name in ["set-cookie", "location", "server", "x-acme", "anthropic-long"] {
        assert_eq!(told(name), None, "{name}");
    }
    for whose in ["openai-organization", "openai-project", "anthropic-organization-id"] {
        assert_eq!(told(whose), None, "the agent need not know whose account it is");
    }
    assert_ne!(told("pettycash-payment"), Some("pay_0"));
    let limits = reply.headers.keys().filter(|name| name.starts_with("x-ratelimit-")).count();
    assert!((40..64).contains(&limits), "{limits}");
}

#[test]
fn where_a_cheaper_model_answers_than_was_asked_for_that_is_said() {
    const SONNET: &str = "claude-sonnet-4-5";
    const HAIKU: &str = "claude-haiku-4-5";
    let chat = "[[services.acme.operations]]\nname = \"chat\"\nmethod = \"POST\"\n\
                path = \"/v1/chat\"\nmetered = \"anthropic_messages\"";
    let used = r#"{"usage":{"input_tokens":100,"output_tokens":10}}"#;
    let gate = Gate::open(answering(&answer(200, "application/json", used)), "5.00/day", chat);
    gate.web.house.operator(&format!("mandate set scout --downgrade 1%:{HAIKU}"));
    let body = format!(r#"{{"model":"{SONNET}","max_tokens":10,"messages":[]}}"#);
    let ask = |more: &[&str]| {
        let mut headers = gate.headers(more);
        headers.push("content-type: application/json".to_owned());
        gate.web.connect().ask("POST /gateway/acme/v1/chat", &headers, body.as_bytes())
    };
    let said = |reply: &Reply| {
        let names = ["pettycash-model-requested", "pettycash-model-used"];
        names.map(|name| reply.headers.get(name).cloned())
    };
    let first = ask(&[]);
    assert_eq!((first.status, said(&first)), (200, [None, None]), "{first:?}");
    for _ in 0..3 {
        assert_eq!(gate.post(&[], "{}").status, 200);
    }
    for (replayed, expected) in [(false, None), (true, Some("true"))] {
        let cheaper = ask(&["idempotency-key: k1"]);
        let again = cheaper.headers.get("idempotent-replayed").map(String::as_str);
        assert_eq!((cheaper.status, again), (200, expected), "{replayed}: {cheaper:?}");
        assert_eq!(said(&cheaper), [SONNET, HAIKU].map(|model| Some(model.to_owned())));
    }
}
