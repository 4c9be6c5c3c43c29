//! Whatever is asked for, however it is mutated: no call leaves for anywhere but what an operator
//! registered, and the key goes nowhere else.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use pettycash::{
    policy::endpoint::{ApiRequest, Body, Endpoint},
    rails::{
        Rails,
        proxy::{Outcome, Proxy, Site, Wire},
    },
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};

use super::{
    CANARY, HeaderName, answered, get, guard, quick, read,
    upstream::{Peer, Upstream},
};
use crate::support::{canary::keep, dice::Dice, house::House};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Pieces that servers, proxies and parsers take in different ways; `H` is where an attacker
/// listens.
const PIECES: [&str; 56] = [
    "find",
    "tea",
    "/find/",
    "/reports",
    "/v1",
    "/",
    "//",
    "///",
    "//H/",
    "\\\\H\\",
    "/\\H",
    "http://H/",
    "https:H",
    "@H",
    ":80@H/",
    "user:pw@H",
    "H",
    ".H",
    "169.254.169.254",
    "2852039166",
    "[::ffff:7f00:1]",
    "localhost",
    "..",
    "../",
    "/..//",
    "%2e%2e",
    "%2e%2e%2f",
    "%252e",
    "..;/",
    ".%2e",
    "%2f%2fH",
    "%5c",
    "%00",
    "\0",
    "\r\nHost: H\r\n\r\n",
    "%0d%0aHost:%20H",
    "\t",
    "\n",
    " ",
    " HTTP/1.1\r\nHost: H",
    "?",
    "?u=http://H/",
    "#",
    "#@H",
    "&key={secret}",
    "{secret}",
    "{place}",
    "${KEY}",
    "%",
    "%zz",
    "ü",
    "\u{202e}",
    "\u{ff0f}\u{ff0f}H",
    "\u{3002}",
    "a&b=c",
    "+",
];
/// Pieces that a call may hold wherever they stand.
const SOUND: [&str; 8] = ["tea", "H", "169.254.169.254", "@H", "{secret}", ":80", "?u=H", "a&b=c"];
const METHODS: [&str; 9] =
    ["GET", "POST", "get", "HEAD", "CONNECT", "TRACE", "GET http://H/", "\r\n", ""];
const HEADERS: [&str; 14] = [
    "accept",
    "x-tag",
    "host",
    "Host",
    "authorization",
    "Authorization ",
    "proxy-authorization",
    "x-forwarded-host",
    "connection",
    "transfer-encoding",
    "content-length",
    "x-original-url",
    "accept\r\nhost",
    ":authority",
];

/// Listens where nothing should ever come, and counts what does.
struct Trap {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Trap {
    async fn set() -> Self {
        // On every address of this machine, so that a wrong one is noticed.
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (came, heard) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (counted, kept) = (Arc::clone(&came), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut said = vec![0; 4_096];
                let length = stream.read(&mut said).await.unwrap_or(0);
                kept.lock().unwrap().extend_from_slice(&said[..length]);
            }
        });
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), came, heard, task }
    }

    fn says_nothing_came(&self) {
        let heard = String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned();
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "{heard}");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A text of some pieces, most of them harmless by themselves.
fn odd(dice: &mut Dice, trap: &str) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        let sound = dice.below(4) > 0;
        let piece = dice.one(if sound { &SOUND } else { &PIECES });
        text.push_str(&piece.replace('H', trap));
    }
    text
}

fn made_up(dice: &mut Dice, trap: &str) -> ApiRequest {
    let pairs = |most: usize, names: &[&str], dice: &mut Dice| {
        let one = |dice: &mut Dice| (dice.one(names).replace('H', trap), odd(dice, trap));
        (0..dice.below(most)).map(|_| one(dice)).collect::<Vec<_>>()
    };
    let query = pairs(3, &SOUND, dice);
    let headers = if dice.below(4) == 0 { pairs(2, &HEADERS, dice) } else { Vec::new() };
    let body = (dice.below(4) == 0)
        .then(|| Body { bytes: odd(dice, trap).into(), json: dice.below(2) == 0 });
    let base = ApiRequest { query, headers, body, ..ApiRequest::default() };
    if dice.below(2) == 0 {
        let operation = if dice.below(8) == 0 { odd(dice, trap) } else { "find".to_owned() };
        let params = [("place".to_owned(), odd(dice, trap))].into();
        return ApiRequest { operation: Some(operation), params, ..base };
    }
    let path = match dice.below(3) {
        0 => odd(dice, trap),
        1 => format!("/find/{}", odd(dice, trap)),
        _ => format!("/{}/{}", dice.one(&["find", "v1", "reports"]), odd(dice, trap)),
    };
    let method = if dice.below(3) > 0 { "GET" } else { dice.one(&METHODS) };
    ApiRequest { method: Some(method.replace('H', trap)), path: Some(path), ..base }
}

fn written(address: SocketAddr) -> Value {
    json!({
        "base_url": format!("http://{address}/v1"),
        "headers": {"authorization": "Bearer {secret}"},
        "secret": {"env": "NOT_READ_HERE"},
        "allow_headers": ["x-tag"],
        "operations": [
            {"name": "find", "method": "GET", "path": "/find/{place}"},
            {"name": "report", "method": "POST", "path": "/reports"},
        ],
        "charge_on": ["2xx"],
        "free_on": ["4xx"],
        "on_unknown": "hold",
        "timeout_s": 2,
        "max_response_bytes": 1_024,
    })
}

#[tokio::test]
async fn none_of_100_000_made_up_requests_leads_to_anything_but_what_is_registered() {
    let upstream = Upstream::start(async |mut peer: Peer| {
        while peer.request().await.is_some() {
            peer.write(OK).await;
        }
    })
    .await;
    let trap = Trap::set().await;
    let elsewhere = trap.address.to_string();
    // Whatever name were looked up would lead to the attacker.
    let (guard, seen) = guard(&["127.0.0.2"]);
    let wire = Wire::new(quick(guard));
    let endpoint: Endpoint = serde_json::from_value(written(upstream.address)).unwrap();
    let site = Site::of(&endpoint.base_url);
    let (mut dice, mut sent) = (Dice(0x0ff5_17e5), 0);
    for _ in 0..100_000 {
        let Ok(asking) = endpoint.ask(&made_up(&mut dice, &elsewhere)) else { continue };
        let mut call = get(&site, &asking.target);
        call.method = asking.method.as_str().parse().unwrap();
        for (name, value) in &asking.headers {
            let name: HeaderName = name.as_str().parse().unwrap();
            call.headers.insert(name, value.parse().unwrap());
        }
        call.body = asking.body;
        match wire.call(&call).await {
            Outcome::NotSent(why) => panic!("{}: {why}", asking.target),
            outcome => read(&mut answered(outcome)).await.unwrap(),
        };
        sent += 1;
    }
    assert!(sent > 10_000, "only {sent} of them could be asked for");
    let requests = upstream.requests();
    assert_eq!(requests.len(), sent);
    let host = format!("host: {}", upstream.address);
    for request in &requests {
        let line = request.lines().next().unwrap();
        let path = line.split([' ', '?']).nth(1).unwrap();
        assert!(path.starts_with("/v1/find/") || path == "/v1/reports", "{line}");
        assert!(!path.contains("/../") && !path.contains("//") && !path.contains('\\'), "{line}");
        let head = request.split("\r\n\r\n").next().unwrap();
        let hosts = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:"));
        assert_eq!(hosts.collect::<Vec<_>>(), [&host], "{request}");
    }
    let registered = upstream.address.ip();
    assert!(seen.lock().unwrap().iter().all(|address: &IpAddr| *address == registered));
    trap.says_nothing_came();
}

/// Arguments of one call, most of them wrong in a place or two.
fn mutated(dice: &mut Dice, trap: &str) -> Value {
    let request = made_up(dice, trap);
    let pairs = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), json!(value)));
        Value::Object(pairs.collect())
    };
    let params: Vec<_> = request.params.clone().into_iter().collect();
    let body = request.body.as_ref().map(|body| String::from_utf8_lossy(&body.bytes).into_owned());
    let mut call = json!({"query": pairs(&request.query), "headers": pairs(&request.headers)});
    for (name, text) in [
        ("operation", &request.operation),
        ("method", &request.method),
        ("path", &request.path),
        ("body", &body),
    ] {
        if let Some(text) = text {
            call[name] = json!(text);
        }
    }
    if !params.is_empty() {
        call["params"] = pairs(&params);
    }
    match dice.below(16) {
        0 => call["url"] = json!(format!("http://{trap}/")),
        1 => call["base_url"] = json!(format!("http://{trap}/")),
        2 => call["headers"] = json!({"authorization": [odd(dice, trap)], "host": trap}),
        3 => call["params"] = json!({"place": {"place": odd(dice, trap)}}),
        4 => call["body"] = json!({"callback": format!("http://{trap}/"), "key": "{secret}"}),
        _ => {}
    }
    let service = if dice.below(10) == 0 { odd(dice, trap) } else { "acme".to_owned() };
    let request = if dice.below(10) == 0 { json!(call.to_string()) } else { call };
    json!({"service_id": service, "request": request})
}

/// Every byte that is kept under a directory.
fn all_files(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(all_files(&path));
        } else if path.extension().is_none_or(|kind| kind != "key") {
            all.extend(fs::read(&path).unwrap_or_default());
        }
    }
    all
}

#[tokio::test]
async fn none_of_500_mutated_calls_takes_the_key_anywhere_or_shows_it() {
    let upstream = Upstream::start(async |mut peer: Peer| {
        while let Some(request) = peer.request().await {
            // It tells whoever asks what it was asked, the key included.
            let length = request.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{request}");
            peer.write(answer.as_bytes()).await;
        }
    })
    .await;
    let trap = Trap::set().await;
    let elsewhere = trap.address.to_string();
    let house = House::with(Rails::default().with(Arc::new(Proxy::default()))).await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "50.00"}]}))
        .await;
    let key = house.dir.path().join("acme.key");
    keep(CANARY, &key);
    let mut service = json!({"id": "acme", "payee": "Acme", "price_usd": "0.02", "rail": "proxy"});
    for (name, value) in written(upstream.address).as_object().unwrap() {
        let name = if name == "timeout_s" { continue } else { name };
        service[name] = value.clone();
    }
    service["secret"] = json!({"file": key});
    house.service(service).await;
    let (mut dice, mut paid) = (Dice(0x005e_c2e7), 0);
    for _ in 0..500 {
        let arguments = mutated(&mut dice, &elsewhere);
        let told = house.pay("scout", arguments.clone()).await;
        assert!(!told.to_string().contains(CANARY), "{arguments}: {told}");
        let outcome = told["outcome"].as_str().unwrap();
        assert!(["paid", "denied"].contains(&outcome), "{arguments}: {told}");
        paid += usize::from(outcome == "paid");
    }
    assert!((50..450).contains(&paid), "{paid} were paid");
    let requests = upstream.requests();
    assert_eq!(requests.len(), paid, "what is denied is not sent, and what is paid but once");
    let shown = format!("authorization: Bearer {CANARY}\r\n");
    for request in &requests {
        assert!(request.contains(&shown), "{request}");
        assert_eq!(request.matches(CANARY).count(), 1, "it is there, and in its place alone");
    }
    trap.says_nothing_came();
    let lines = Value::from(house.lines("scout").await).to_string();
    assert!(!lines.contains(CANARY));
    let kept = all_files(house.dir.path());
    assert!(!kept.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
}
