//! Every way to knock: Host, Origin, token and session, on every route.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
};

use serde_json::{Value, json};

use crate::support::{
    mcp_house::House,
    web::{Reply, Web, Wire, call, initialize, message_headers},
};

const PAY: (&str, &str) = ("pay_for_api_call", r#"{"service_id":"search"}"#);

/// What is asked, and where.
const ROUTES: [&str; 11] = [
    "DELETE /mcp",
    "PUT /mcp",
    "POST /mcp",
    "GET /mcp",
    "POST /messages",
    "GET /sse",
    "GET /v1/agents",
    "GET /v1/nothing",
    "GET /healthz",
    "GET /nothing",
    "GET /.well-known/oauth-protected-resource",
];

/// Where only an agent's token counts.
const AGENTS: [&str; 6] =
    ["POST /mcp", "GET /mcp", "DELETE /mcp", "PUT /mcp", "POST /messages", "GET /sse"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    None,
    Unknown,
    /// Right in form, checksum and all, of an agent and an operator of another house.
    Elsewhere,
    OperatorElsewhere,
    OtherScheme,
    Twice,
    Agent,
    OtherAgent,
    Operator,
}

const TOKENS: [Token; 9] = [
    Token::None,
    Token::Unknown,
    Token::Elsewhere,
    Token::OperatorElsewhere,
    Token::OtherScheme,
    Token::Twice,
    Token::Agent,
    Token::OtherAgent,
    Token::Operator,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Named {
    None,
    Own,
    Unknown,
}

struct Knocks {
    web: Web,
    agent: String,
    other: String,
    operator: String,
    elsewhere: [String; 2],
    /// The agent's session on `/mcp`, and the query of its older stream.
    session: String,
    query: String,
    _stream: Wire,
    /// So that no two requests have one id.
    asked: Cell<u64>,
}

impl Knocks {
    fn new() -> Self {
        let house = House::furnished();
        house.operator("agent create other --cap 5.00/day --funding allowance");
        house.operator("mandate set scout --cap 1000.00/day");
        let web = Web::open(house, &[("scout", 1), ("other", 1)]);
        let (agent, other) = (web.token("scout", 0), web.token("other", 0));
        let operator = web.operator_token();
        let there = Web::furnished();
        let elsewhere = [there.token("scout", 0), there.operator_token()];
        let session = web.connect().initialize(&agent);
        let mut stream = web.connect();
        let path = stream.open_sse(&agent);
        let query = path.split_once('?').unwrap().1.to_owned();
        let (line, headers) = (format!("POST {path}"), message_headers(&agent));
        web.connect().ask(&line, &headers, initialize("2024-11-05").as_bytes());
        assert!(stream.event().is_some());
        let asked = Cell::new(0);
        Self { web, agent, other, operator, elsewhere, session, query, _stream: stream, asked }
    }

    /// Hosts, and whether each is ours.
    fn hosts(&self) -> Vec<(Vec<String>, bool)> {
        let port = self.web.address.port();
        let one = |host: String| vec![format!("Host: {host}")];
        let right =
            [format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}"), format!("[::1]:{port}")];
        let wrong = [
            "evil.test".to_owned(),
            format!("evil.test:{port}"),
            "127.0.0.1".to_owned(),
            format!("127.0.0.1:{}", port ^ 1),
            format!("127.0.0.1:{port}.evil.test"),
            String::new(),
        ];
        let twice = vec![format!("Host: 127.0.0.1:{port}"), format!("Host: 127.0.0.1:{port}")];
        let mixed = vec![format!("Host: localhost:{port}"), "Host: evil.test".to_owned()];
        let right = right.map(|host| (one(host), true)).into_iter();
        let wrong = wrong.map(|host| (one(host), false)).into_iter();
        right.chain(wrong).chain([(twice, false), (mixed, false)]).collect()
    }

    fn origins() -> Vec<(Vec<String>, bool)> {
        let one = |origin: &str| vec![format!("Origin: {origin}")];
        let mut all = vec![(vec![], true)];
        for right in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:7402",
            "https://localhost:8443",
        ] {
            all.push((one(right), true));
        }
        for wrong in [
            "null",
            "https://evil.test",
            "http://localhost.evil.test",
            "http://localhost:1@evil.test",
        ] {
            all.push((one(wrong), false));
        }
        all.push(([one("http://localhost"), one("https://evil.test")].concat(), false));
        all
    }

    fn authorization(&self, token: Token) -> Vec<String> {
        let bearer = |token: &str| format!("Authorization: Bearer {token}");
        match token {
            Token::None => vec![],
            Token::Unknown => vec![bearer("agt-unknown")],
            Token::Elsewhere => vec![bearer(&self.elsewhere[0])],
            Token::OperatorElsewhere => vec![bearer(&self.elsewhere[1])],
            Token::OtherScheme => vec![format!("Authorization: Basic {}", self.agent)],
            Token::Twice => vec![bearer(&self.agent), bearer(&self.agent)],
            Token::Agent => vec![bearer(&self.agent)],
            Token::OtherAgent => vec![bearer(&self.other)],
            Token::Operator => vec![bearer(&self.operator)],
        }
    }

    /// What must come of it, where Host and Origin are right.
    fn expected(route: &str, token: Token, named: Named) -> u16 {
        use Token::{Agent, Operator, OtherAgent};
        let agent = [Agent, OtherAgent].contains(&token);
        match route {
            route if !agent && AGENTS.contains(&route) => match token {
                Operator => 403,
                _ => 401,
            },
            "POST /mcp" | "GET /mcp" if named == Named::Own && token == Agent => 200,
            "POST /messages" if named == Named::Own && token == Agent => 202,
            "PUT /mcp" if named == Named::None || named == Named::Own && token == Agent => 405,
            // A request that names no session must say all it needs by itself.
            "POST /mcp" | "GET /mcp" | "DELETE /mcp" if named == Named::None => 400,
            "GET /healthz" | "GET /sse" => 200,
            "GET /v1/agents" if token == Operator => 200,
            "GET /v1/agents" | "GET /v1/nothing" if token != Operator => {
                if agent {
                    403
                } else {
                    401
                }
            }
            _ => 404,
        }
    }

    fn ask(&self, wire: &mut Wire, route: &str, named: Named, mut headers: Vec<String>) -> Reply {
        let (mut line, mut body) = (route.to_owned(), String::new());
        if route.starts_with("POST") {
            let arguments: Value = serde_json::from_str(PAY.1).unwrap();
            self.asked.set(self.asked.get() + 1);
            body = call(self.asked.get(), PAY.0, arguments);
            headers.push("Content-Type: application/json".to_owned());
            headers.push("Accept: application/json, text/event-stream".to_owned());
        }
        let unknown = "0".repeat(32);
        let session = match named {
            Named::None => None,
            Named::Own => Some(&self.session),
            Named::Unknown => Some(&unknown),
        };
        match (route, session) {
            (route, Some(session)) if route.ends_with(" /mcp") => {
                headers.push(format!("Mcp-Session-Id: {session}"));
            }
            (_, Some(_)) if named == Named::Own => {
                line = format!("{line}?{}", self.query);
            }
            (_, Some(session)) => line = format!("{line}?session_id={session}"),
            _ => {}
        }
        if route == "GET /mcp" {
            headers.push("Accept: text/event-stream".to_owned());
        }
        // Of a stream, which does not end, the head is all there is to see.
        let streams = route == "GET /sse" || route == "GET /mcp" && named == Named::Own;
        if !streams {
            return wire.ask(&line, &headers, body.as_bytes());
        }
        let mut wire = self.web.connect();
        wire.send(format!("{line} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n")).as_bytes());
        let mut reply = wire.head();
        if reply.status != 200 {
            reply.body = wire.body(&reply);
        }
        reply
    }
}

#[test]
fn only_who_is_addressed_rightly_and_shows_the_right_token_gets_anything() {
    let knocks = Knocks::new();
    let (hosts, origins) = (knocks.hosts(), Knocks::origins());
    let mut wire = knocks.web.connect();
    let (mut asked, mut paid) = (0, 0);
    let mut refusals: HashMap<String, usize> = HashMap::new();
    let mut turned_away = HashSet::new();
    for route in ROUTES {
        let sessions: &[Named] = match route {
            "GET /sse" => &[Named::None],
            route if AGENTS.contains(&route) => &[Named::None, Named::Own, Named::Unknown],
            _ => &[Named::None],
        };
        for token in TOKENS {
            for named in sessions {
                for ((host, our_host), (origin, our_origin)) in
                    hosts.iter().flat_map(|host| origins.iter().map(move |origin| (host, origin)))
                {
                    let headers =
                        [host.clone(), origin.clone(), knocks.authorization(token)].concat();
                    let case = format!("{route} {named:?} {headers:?}");
                    let right = *our_host && *our_origin;
                    if right && (route, *named, token) == ("DELETE /mcp", Named::Own, Token::Agent)
                    {
                        // The session would end, rightly. That it goes on is seen below.
                        continue;
                    }
                    let reply = knocks.ask(&mut wire, route, *named, headers);
                    let expected = if right { Knocks::expected(route, token, *named) } else { 403 };
                    assert_eq!(reply.status, expected, "{case}: {reply:?}");
                    let asks_for_token = reply.headers.get("www-authenticate").map(String::as_str);
                    assert_eq!(asks_for_token, (expected == 401).then_some("Bearer"), "{case}");
                    paid += usize::from(expected == 200 && route == "POST /mcp");
                    paid += usize::from(expected == 202);
                    asked += 1;
                    if !right {
                        turned_away.insert(reply.body);
                    } else if expected == 404 && AGENTS.contains(&route) {
                        *refusals.entry(reply.body).or_default() += 1;
                    }
                }
            }
        }
    }
    assert_eq!(
        refusals.len(),
        1,
        "a foreign session is told from one that there is not: {refusals:?}"
    );
    assert_eq!(turned_away.len(), 2, "by Host and by Origin, whatever the token: {turned_away:?}");
    let spent = format!("{:.2}", 0.02 * f64::from(u32::try_from(paid).unwrap()));
    let mut balance = Value::Null;
    for _ in 0..200 {
        balance = knocks.web.house.operator_json("agent show scout");
        if balance["spent_usd"] == spent {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(balance["spent_usd"], spent, "of {asked} knocks {paid} were to pay");
    assert_eq!(knocks.web.house.operator_json("agent show other")["spent_usd"], "0.00");
    let health = knocks.web.connect().ask("GET /healthz", &[], b"");
    assert_eq!(health.body, r#"{"status":"ok"}"#);
}

#[test]
fn a_target_that_names_another_host_is_foreign() {
    let web = Web::furnished();
    let host = web.host();
    for (target, status) in
        [(format!("http://{host}/healthz"), 200), ("http://evil.test/healthz".to_owned(), 403)]
    {
        let reply = web.connect().ask(&format!("GET {target}"), &[], b"");
        assert_eq!(reply.status, status, "{target}");
    }
    let mut wire = web.connect();
    wire.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(wire.head().status, 403, "a request without a Host");
}

#[test]
fn a_hundred_tokens_reach_none_of_a_hundred_others_sessions() {
    const AGENTS: [&str; 10] = ["scout", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];
    let house = House::furnished();
    for agent in AGENTS.iter().filter(|agent| **agent != "scout") {
        house.operator(&format!("agent create {agent} --cap 5.00/day --funding allowance"));
    }
    let web = Web::open(house, &AGENTS.map(|agent| (agent, 10)));
    let mut wire = web.connect();
    let tokens = AGENTS.iter().flat_map(|agent| (0..10).map(|number| web.token(agent, number)));
    let tokens: Vec<String> = tokens.collect();
    let sessions: Vec<String> = tokens.iter().map(|token| wire.initialize(token)).collect();
    let pay = call(1, PAY.0, json!({"service_id": "search"}));
    let unknown = wire.post(&tokens[0], Some("unknown"), pay.as_bytes()).body;
    let mut refused = 0;
    for (mine, token) in tokens.iter().enumerate() {
        for (theirs, session) in sessions.iter().enumerate().filter(|(theirs, _)| *theirs != mine) {
            let reply = wire.post(token, Some(session), pay.as_bytes());
            assert_eq!((reply.status, &reply.body), (404, &unknown), "{mine} in {theirs}");
            refused += 1;
        }
    }
    assert_eq!(refused, 9_900);
    for agent in AGENTS {
        let view = web.house.operator_json(&format!("agent show {agent}"));
        assert_eq!(view["spent_usd"], "0.00", "{view}");
    }
    for (token, session) in tokens.iter().zip(&sessions) {
        let paid = wire.call(token, session, PAY.0, json!({"service_id": "search"}));
        assert_eq!(paid.answer()["outcome"], "paid");
    }
}
