//! Many at once: sessions, payers while their agent is revoked, and those who only keep seats.

use std::{
    collections::HashSet,
    fs,
    io::{ErrorKind::WouldBlock, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use pettycash::clock::instant;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::{
    mcp_house::House,
    web::{Web, call},
};

/// Agents `a0` and so on, with so many tokens each.
pub(super) fn open(agents: usize, tokens: usize) -> Web {
    let house = House::furnished();
    let agents: Vec<String> = (0..agents).map(|number| format!("a{number}")).collect();
    for agent in &agents {
        house.operator(&format!("agent create {agent} --cap 1000.00/day --funding allowance"));
    }
    let wanted: Vec<_> = agents.iter().map(|agent| (agent.as_str(), tokens)).collect();
    Web::open_quiet(house, &wanted)
}

/// What a process holds in memory that no other does, in KiB.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}

/// As many sessions as `SESSIONS` says, of ten agents, on a connection for every 250 of them at
/// most; a thousand without it.
#[test]
fn a_thousand_sessions_at_once_keep_their_money_apart() {
    const AGENTS: usize = 10;
    let wanted = std::env::var("SESSIONS").map_or(1_000, |text| text.parse().unwrap());
    let threads = AGENTS * 2 * usize::div_ceil(wanted, AGENTS * 2 * 250);
    let each = wanted / threads;
    let mut web = open(AGENTS, threads / AGENTS);
    let process = web.serve().id();
    let (web, before, began) = (web, own_memory(process), instant());
    let grown = Mutex::new(0);
    let payments = Mutex::new(HashSet::new());
    let opened = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..threads {
            let (web, payments, opened, grown) = (&web, &payments, &opened, &grown);
            scope.spawn(move || {
                let agent = format!("a{}", worker % AGENTS);
                let token = web.token(&agent, worker / AGENTS);
                let mut wire = web.connect();
                let sessions: Vec<_> = (0..each).map(|_| wire.initialize(&token)).collect();
                if opened.fetch_add(each, Ordering::SeqCst) + each == threads * each {
                    *grown.lock().unwrap() = own_memory(process).saturating_sub(before);
                }
                while opened.load(Ordering::SeqCst) < threads * each {
                    thread::sleep(Duration::from_millis(5));
                }
                for (number, session) in sessions.iter().enumerate() {
                    let key = format!("{worker}-{number}");
                    let pay = json!({"service_id": "search", "idempotency_key": key});
                    let paid = wire.call(&token, session, "pay_for_api_call", pay).answer();
                    assert_eq!(paid["outcome"], "paid", "{paid}");
                    let id = paid["payment_id"].as_str().unwrap().to_owned();
                    assert!(payments.lock().unwrap().insert(id), "{paid}");
                    let balance = wire.call(&token, session, "get_balance", json!({})).answer();
                    assert_eq!(balance["handle"], agent, "another one's balance");
                }
            });
        }
    });
    let (all, took) = (threads * each, began.elapsed());
    assert_eq!(payments.lock().unwrap().len(), all);
    let each = *grown.lock().unwrap() / all as u64;
    eprintln!("{all} sessions: {took:.1?} to open them and pay by each, {each} KiB a session");
    for number in 0..AGENTS {
        let view = web.house.operator_json(&format!("agent show a{number}"));
        let cents = 2 * all / AGENTS;
        let due = format!("{}.{:02}", cents / 100, cents % 100);
        assert_eq!(view["spent_usd"], due, "{} payments of $0.02", all / AGENTS);
    }
    assert_eq!(web.house.operator("verify"), "");
}

const PAYERS: usize = 48;

/// The two agents `a0` and `a1` pay as fast as they can while something of `a0`'s is revoked: each
/// by as many tokens as this says, and by this command, given the id of its first one.
fn revoked_under_load(tokens: usize, revoke: impl FnOnce(&str) -> String) -> Web {
    // One more, that nobody uses meanwhile.
    let web = open(2, tokens + 1);
    let (revoked, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (before, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let paid_until_then = thread::scope(|scope| {
        for payer in 0..PAYERS {
            let (web, revoked, over, before, others) = (&web, &revoked, &over, &before, &others);
            scope.spawn(move || {
                let agent = format!("a{}", payer % 2);
                let token = web.token(&agent, payer / 2 % tokens);
                let mut wire = web.connect();
                let session = wire.initialize(&token);
                let pay = call(1, "pay_for_api_call", json!({"service_id": "search"}));
                while !over.load(Ordering::SeqCst) {
                    let too_late = revoked.load(Ordering::SeqCst);
                    let reply = wire.post(&token, Some(&session), pay.as_bytes());
                    let paid = reply.status == 200 && reply.answer()["outcome"] == "paid";
                    if agent == "a1" {
                        assert!(paid, "another agent is touched: {reply:?}");
                        others.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    assert!(!(paid && too_late), "paid after the revocation: {reply:?}");
                    before.fetch_add(usize::from(paid), Ordering::SeqCst);
                    if !paid {
                        // One that was on its way meanwhile is told what happened.
                        let told = reply.status == 401 || reply.answer()["code"] == "agent_revoked";
                        assert!(told, "{reply:?}");
                    }
                }
            });
        }
        while before.load(Ordering::SeqCst) < 200 {
            thread::sleep(Duration::from_millis(5));
        }
        let first = &web.house.operator_json("agent tokens a0")["tokens"][0]["token_id"];
        web.house.operator(&revoke(first.as_str().unwrap()));
        revoked.store(true, Ordering::SeqCst);
        let spent = web.house.operator_json("agent show a0")["spent_usd"].clone();
        let then = others.load(Ordering::SeqCst);
        while others.load(Ordering::SeqCst) < then + 200 {
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::SeqCst);
        spent
    });
    let spent = web.house.operator_json("agent show a0")["spent_usd"].clone();
    assert_eq!(spent, paid_until_then, "authorised after the acknowledgement");
    let cents = 2 * before.load(Ordering::SeqCst);
    assert_eq!(spent, format!("{}.{:02}", cents / 100, cents % 100), "all were told");
    assert_eq!(web.house.operator("verify"), "");
    assert_none_decided_late(&web);
    web
}

/// That in the ledger of `a0` no payment comes after the revocation.
pub(super) fn assert_none_decided_late(web: &Web) {
    let newest = web.house.operator_json("ledger a0 --limit 1000");
    let lines = newest["entries"].as_array().unwrap().iter();
    let outcomes = lines.map(|line| line["outcome"].as_str().unwrap());
    let after: Vec<_> =
        outcomes.take_while(|told| !["revoked", "token_revoked"].contains(told)).collect();
    assert!(after.len() < 1_000, "the revocation is not on this page");
    assert!(!after.contains(&"paid"), "decided after the revocation: {after:?}");
}

#[test]
fn nothing_is_paid_once_a_revocation_is_acknowledged() {
    let web = revoked_under_load(PAYERS / 2, |_| "agent revoke a0 --reason compromised".to_owned());
    let late = web.connect().post(&web.token("a0", PAYERS / 2), None, b"{}");
    assert_eq!(late.status, 401, "no token of the agent's lets anybody in");
}

#[test]
fn nothing_is_paid_by_a_token_once_its_revocation_is_acknowledged() {
    let web = revoked_under_load(1, |token| format!("agent token-revoke {token}"));
    let (revoked, other) = (web.token("a0", 0), web.token("a0", 1));
    assert_eq!(web.connect().post(&revoked, None, b"{}").status, 401);
    let mut wire = web.connect();
    let session = wire.initialize(&other);
    let paid = wire.call(&other, &session, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!(paid.answer()["outcome"], "paid", "the agent's other token is left alone");
}

/// Has this process open so many files, beside those that any test has.
pub(super) fn allow_files(many: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = many as u64 + 2_000;
    assert!(limit.maximum.is_none_or(|most| most >= needed), "{needed} files must be allowed");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn slow_connections_keep_nobody_out() {
    const SLOW: usize = 5_000;
    allow_files(SLOW);
    let web = open(1, 1);
    let token = web.token("a0", 0);
    let mut known = web.connect();
    let session = known.initialize(&token);
    let slow: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let flood = {
        let (slow, address) = (slow.clone(), web.address);
        thread::spawn(move || {
            for _ in 0..SLOW {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127").unwrap();
                slow.lock().unwrap().push(stream);
            }
        })
    };
    let mut took = Vec::new();
    let until = instant() + Duration::from_secs(60);
    while took.len() < 40 || !flood.is_finished() {
        let began = instant();
        let fresh = web.connect().call(
            &token,
            &session,
            "pay_for_api_call",
            json!({"service_id": "search"}),
        );
        assert_eq!(fresh.answer()["outcome"], "paid", "{fresh:?}");
        let kept = known.call(&token, &session, "get_balance", json!({}));
        assert_eq!(kept.answer()["handle"], "a0");
        took.push(began.elapsed());
        assert!(instant() < until, "the flood never ends");
    }
    flood.join().unwrap();
    let mut cut_off = 0;
    for stream in slow.lock().unwrap().iter_mut() {
        stream.set_nonblocking(true).unwrap();
        let gone = stream.read(&mut [0]);
        cut_off += usize::from(gone.is_ok() || gone.is_err_and(|e| e.kind() != WouldBlock));
    }
    assert!(cut_off >= SLOW - 3_072, "all but {cut_off} kept their seats");
    took.sort();
    let (late, last) = (took[took.len() * 99 / 100 - 1], took[took.len() - 1]);
    assert!(late < Duration::from_secs(1), "{late:?} for one new and one kept connection");
    assert!(last < Duration::from_secs(5), "{last:?}");
}

#[test]
fn where_few_files_may_be_open_a_flood_leaves_the_operator_a_door() {
    const FILES: usize = 256;
    let house = House::furnished();
    house.operator("agent create other --cap 5.00/day --funding allowance");
    let web = Web::open_with_files(house, &[("scout", 1), ("other", 1)], FILES);
    // More than there are files: those who ask for streams keep what they get.
    let mut flood = Vec::new();
    let ask = format!(
        "GET /sse HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        web.host(),
        web.token("scout", 0)
    );
    for _ in 0..2 * FILES {
        let mut stream = TcpStream::connect(web.address).unwrap();
        let _ = stream.write_all(ask.as_bytes());
        flood.push(stream);
    }
    let began = instant();
    assert_eq!(web.house.operator_json("agent list")["agents"].as_array().unwrap().len(), 2);
    let other = web.token("other", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&other);
    let paid = wire.call(&other, &session, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!(paid.answer()["outcome"], "paid", "another agent gets in");
    web.house.operator("agent revoke scout --reason floods");
    assert_eq!(web.house.operator_json("agent show scout")["standing"], "revoked");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(web.log().contains("fewer connections over HTTP"), "{}", web.log());
}
