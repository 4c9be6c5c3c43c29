//! Whom a token lets in, for how long, and what remains of it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine, Principal},
    policy::{
        came::Came,
        names::{Handle, TokenId},
        terms::{NewToken, Rotation, TokenGiven},
    },
    rails::Rails,
    store::{Options, Store},
};
use serde_json::{Value, json};

use crate::support::{files_with, house::House, private_dir, sim_disk::SimDisk};

fn handle(name: &str) -> Handle {
    name.parse().unwrap()
}

async fn given(house: &House, agent: &str, new: serde_json::Value) -> TokenGiven {
    let new: NewToken = serde_json::from_value(new).unwrap();
    house.engine.issue_token(&handle(agent), new).await.unwrap()
}

fn agent_of(house: &House, token: &TokenGiven) -> Option<String> {
    house.engine.principal(token.token.expose()).map(|principal| principal.agent.to_string())
}

async fn last_used(house: &House, agent: &str) -> Option<String> {
    let list = house.engine.tokens(&handle(agent)).await.unwrap();
    list.tokens[0].last_used_at.map(|at| at.to_string())
}

async fn uses_written(house: &House, agent: &str) -> usize {
    house.outcomes(agent).await.iter().filter(|outcome| *outcome == "token_used").count()
}

/// A house with the agents `scout` and `intern`.
async fn two_agents() -> House {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house
}

#[tokio::test]
async fn a_token_lets_its_agent_in_and_nobody_else() {
    let house = two_agents().await;
    let scout = given(&house, "scout", json!({"run": "nightly", "label": "laptop"})).await;
    let intern = given(&house, "intern", json!({})).await;
    let let_in = house.engine.principal(scout.token.expose()).unwrap();
    let (token, run) = (scout.view.token_id.clone(), Some("nightly".parse().unwrap()));
    assert_eq!(let_in, Principal { token, agent: handle("scout"), run, may: BTreeSet::new() });
    assert_eq!(agent_of(&house, &intern).unwrap(), "intern");
    let text = scout.token.expose();
    let unknown = format!("{}{}", &text[..60], if text.ends_with("aa") { "ba" } else { "aa" });
    for wrong in ["", "scout", "agt_", &text[1..], &text[..61], &unknown, &text.to_uppercase()] {
        assert_eq!(house.engine.principal(wrong), None, "{wrong}");
    }
    // One that reads well, and that nobody here has given out.
    let elsewhere = two_agents().await;
    let foreign = given(&elsewhere, "scout", json!({})).await;
    assert_eq!(agent_of(&house, &foreign), None);
    let nobody = house.engine.issue_token(&handle("nobody"), NewToken::default()).await;
    assert_eq!(nobody.unwrap_err().problem().code, "agent_unknown");
}

/// A call by whoever was let in by a token, some time ago.
async fn called(house: &House, by: &Principal, tool: &str, arguments: Value) -> Value {
    let Principal { token, agent, run, .. } = by.clone();
    let call = Call { agent, run, call_id: None, arguments, came: Came::By(token), via: None };
    house.engine.call(tool, call).await.unwrap()
}

fn search() -> Value {
    json!({"service_id": "search"})
}

async fn spent(house: &House) -> String {
    house.engine.agent(&handle("scout")).await.unwrap().spent_usd.decimal()
}

#[tokio::test]
async fn who_was_let_in_before_a_revocation_pays_nothing_after_it() {
    let house = two_agents().await;
    let (one, two) = (given(&house, "scout", json!({})).await, given(&house, "scout", json!({})));
    let two = two.await;
    let early = house.engine.principal(one.token.expose()).unwrap();
    let other = house.engine.principal(two.token.expose()).unwrap();
    let pay = async |by: &Principal, arguments: Value| {
        called(&house, by, "pay_for_api_call", arguments).await
    };
    let keyed = json!({"service_id": "search", "idempotency_key": "k"});
    let paid = pay(&early, keyed.clone()).await;
    assert_eq!(paid["outcome"], "paid");
    house.engine.revoke_token(&early.token).await.unwrap();
    let before = house.outcomes("scout").await.len();
    let fetched = json!({"payment_id": paid["payment_id"]});
    for arguments in [search(), keyed.clone(), fetched, json!({"service_id": 7})] {
        let told = pay(&early, arguments.clone()).await;
        assert_eq!(told["outcome"], "denied", "{arguments}: {told}");
        assert_eq!((&told["code"], &told["advice"]), (&json!("agent_revoked"), &json!("stop")));
        assert!(told["message"].as_str().unwrap().contains("Nothing was charged"), "{told}");
        assert_eq!(told["payment_id"], Value::Null, "nothing is recorded");
    }
    for tool in ["get_balance", "ledger", "list_services"] {
        let told = called(&house, &early, tool, json!({})).await;
        assert_eq!((&told["code"], &told["advice"]), (&json!("agent_revoked"), &json!("stop")));
        assert_eq!((&told["handle"], &told["entries"]), (&Value::Null, &Value::Null), "{told}");
        assert_eq!(told["services"], Value::Null);
    }
    assert_eq!(house.outcomes("scout").await.len(), before);
    assert_eq!(spent(&house).await, "0.02");
    assert_eq!(pay(&other, search()).await["outcome"], "paid", "the other token is left alone");
    assert_eq!(pay(&other, keyed).await["replayed"], true);
    assert_eq!(house.pay("scout", search()).await["outcome"], "paid", "and who needs none");
    let foreign = Principal { agent: handle("intern"), ..other.clone() };
    assert_eq!(pay(&foreign, search()).await["code"], "agent_revoked", "it is not the intern's");
    assert_eq!(spent(&house).await, "0.06");
    house.revoke("scout").await;
    let told = pay(&other, search()).await;
    assert_eq!(told["code"], "agent_revoked");
    assert!(told["message"].as_str().unwrap().contains("compromised"), "why: {told}");
    assert_ne!(told["payment_id"], Value::Null, "what the agent is denied is recorded");
}

#[tokio::test]
async fn who_was_let_in_before_a_token_ended_pays_nothing_after_it() {
    let house = two_agents().await;
    let token = given(&house, "scout", json!({"expires_at": "2026-11-21T13:00:00Z"})).await;
    let early = house.engine.principal(token.token.expose()).unwrap();
    let pay = || called(&house, &early, "pay_for_api_call", search());
    house.pass(SignedDuration::from_hours(1) - SignedDuration::from_micros(1));
    assert_eq!(pay().await["outcome"], "paid");
    house.pass(SignedDuration::from_micros(1));
    assert_eq!(pay().await["code"], "agent_revoked");
    assert_eq!(spent(&house).await, "0.02");
}

#[test]
fn no_call_from_outside_says_how_it_came() {
    let said = json!({"agent": "scout", "arguments": search()});
    let call: Call = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(call.came, Came::Local);
    let tokens = [("token", "tok_000000000007"), ("came", "tok_000000000007")];
    for (field, value) in tokens.into_iter().chain([("came", "operator"), ("by", "operator")]) {
        let mut said = said.clone();
        said[field] = json!(value);
        let refused = serde_json::from_value::<Call>(said).unwrap_err().to_string();
        assert!(refused.contains("unknown field"), "{refused}");
    }
}

#[tokio::test]
async fn an_operators_token_and_an_agents_are_of_two_kinds() {
    let house = two_agents().await;
    let agent = given(&house, "scout", json!({})).await;
    let operator = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    assert!(operator.token.expose().starts_with("opr_"), "so that one sees what it is");
    assert!(house.engine.operator(operator.token.expose()).is_some());
    assert_eq!(agent_of(&house, &operator), None);
    assert!(house.engine.operator(agent.token.expose()).is_none());
    let dressed = agent.token.expose().replacen("agt_", "opr_", 1);
    assert!(house.engine.operator(&dressed).is_none());
    let listed = house.engine.operator_tokens().await.unwrap().tokens;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].agent, None);
    house.engine.revoke_token(&operator.view.token_id).await.unwrap();
    assert!(house.engine.operator(operator.token.expose()).is_none());
    assert_eq!(agent_of(&house, &agent).unwrap(), "scout", "untouched");
}

#[tokio::test]
async fn a_token_is_revoked_alone_or_with_its_agent() {
    let house = two_agents().await;
    let (one, two) = (given(&house, "scout", json!({})).await, given(&house, "scout", json!({})));
    let (two, intern) = (two.await, given(&house, "intern", json!({})).await);
    house.engine.revoke_token(&one.view.token_id).await.unwrap();
    assert_eq!(agent_of(&house, &one), None);
    assert_eq!(agent_of(&house, &two).unwrap(), "scout");
    house.revoke("scout").await;
    assert_eq!(agent_of(&house, &two), None);
    assert_eq!(agent_of(&house, &intern).unwrap(), "intern");
    let gone = house.engine.revoke_token(&two.view.token_id).await.unwrap_err();
    assert_eq!(gone.problem().code, "token_unknown");
    let mut told = house.outcomes("scout").await;
    // The use of one that was revoked meanwhile may or may not have come in time.
    told.retain(|outcome| outcome != "token_used");
    let done = ["revoked", "token_revoked", "token_issued", "token_issued", "created"];
    assert_eq!(told, done);
    let house = house.reopened().await;
    assert_eq!(agent_of(&house, &two), None, "for good");
    assert_eq!(agent_of(&house, &intern).unwrap(), "intern");
}

#[tokio::test]
async fn a_token_ends_to_the_microsecond_by_the_engines_clock() {
    let house = two_agents().await;
    let token = given(&house, "scout", json!({"expires_at": "2026-11-21T13:00:00Z"})).await;
    house.pass(SignedDuration::from_hours(1) - SignedDuration::from_micros(1));
    assert_eq!(agent_of(&house, &token).unwrap(), "scout");
    house.pass(SignedDuration::from_micros(1));
    assert_eq!(agent_of(&house, &token), None);
    assert!(house.engine.tokens(&handle("scout")).await.unwrap().tokens[0].expired);
    let late = json!({"expires_at": "2026-11-21T13:00:00Z"});
    let late = serde_json::from_value(late).unwrap();
    let refused = house.engine.issue_token(&handle("scout"), late).await.unwrap_err();
    assert_eq!(refused.problem().code, "token_over");
}

#[tokio::test]
async fn a_rotation_overlaps_as_long_as_it_is_told_and_keeps_run_and_label() {
    let house = two_agents().await;
    let terms = json!({"run": "nightly", "label": "ci", "expires_at": "2026-11-23T12:00:00Z"});
    let old = given(&house, "scout", terms).await;
    let overlap = Rotation { overlap_s: 3_600, expires_at: None };
    let new = house.engine.rotate_token(&old.view.token_id, overlap).await.unwrap();
    assert_eq!((&new.view.run, &new.view.label), (&old.view.run, &old.view.label));
    assert_eq!(new.view.expires_at, old.view.expires_at, "it lives as long");
    let replaced = new.replaces.clone().unwrap();
    assert_eq!(replaced.ends_at.to_string(), "2026-11-21T13:00:00Z");
    assert_eq!(agent_of(&house, &old).unwrap(), "scout");
    assert_eq!(agent_of(&house, &new).unwrap(), "scout");
    house.pass(SignedDuration::from_hours(1));
    assert_eq!(agent_of(&house, &old), None);
    assert_eq!(agent_of(&house, &new).unwrap(), "scout");
    let now = house.engine.rotate_token(&new.view.token_id, Rotation::default()).await.unwrap();
    assert_eq!(agent_of(&house, &new), None, "without overlap it is over at once");
    assert_eq!(agent_of(&house, &now).unwrap(), "scout");
    let unknown = house.engine.rotate_token(&TokenId::new(7), Rotation::default()).await;
    assert_eq!(unknown.unwrap_err().problem().code, "token_unknown");
}

#[tokio::test]
async fn tokens_and_their_last_use_survive_a_restart_and_no_text_of_one_is_kept() {
    let house = two_agents().await;
    let token = given(&house, "scout", json!({"label": "laptop"})).await;
    let operator = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    assert_eq!(last_used(&house, "scout").await, None);
    house.pass(SignedDuration::from_millis(1_500));
    agent_of(&house, &token).unwrap();
    assert_eq!(last_used(&house, "scout").await.unwrap(), "2026-11-21T12:00:01Z");
    let house = house.reopened().await;
    assert_eq!(agent_of(&house, &token).unwrap(), "scout");
    assert!(house.engine.operator(operator.token.expose()).is_some());
    let list = house.engine.tokens(&handle("scout")).await.unwrap();
    assert_eq!(list.tokens[0].label, Some("laptop".parse().unwrap()));
    assert!(last_used(&house, "scout").await.unwrap().starts_with("2026-11-21T12:00:01"));
    house.engine.close().await;
    for secret in [&token, &operator] {
        let text = &secret.token.expose()[4..30];
        assert!(!format!("{secret:?}").contains(text), "{secret:?}");
        assert_eq!(files_with(house.dir.path(), text), Vec::<String>::new());
    }
    let id = token.view.token_id.as_str();
    assert_ne!(files_with(house.dir.path(), id), Vec::<String>::new(), "they are read");
}

#[tokio::test]
async fn a_use_is_written_down_once_a_day_and_known_to_the_second() {
    let house = two_agents().await;
    let token = given(&house, "scout", json!({})).await;
    for minutes in 0..3 {
        for _ in 0..100 {
            agent_of(&house, &token).unwrap();
        }
        let second = format!("2026-11-21T12:0{minutes}:00Z");
        assert_eq!(last_used(&house, "scout").await.unwrap(), second);
        house.pass(SignedDuration::from_mins(1));
    }
    let house = house.reopened().await;
    agent_of(&house, &token).unwrap();
    let house = house.reopened().await;
    assert_eq!(uses_written(&house, "scout").await, 1);
    house.pass(SignedDuration::from_hours(24));
    agent_of(&house, &token).unwrap();
    let house = house.reopened().await;
    assert_eq!(uses_written(&house, "scout").await, 2);
}

#[tokio::test]
async fn uses_by_the_thousand_are_all_written_down() {
    let house = two_agents().await;
    let mut tokens = Vec::new();
    for n in 0..200 {
        tokens.push(given(&house, ["scout", "intern"][n % 2], json!({})).await);
    }
    for token in tokens.iter().cycle().take(1_000) {
        agent_of(&house, token).unwrap();
    }
    let house = house.reopened().await;
    assert_eq!(uses_written(&house, "scout").await + uses_written(&house, "intern").await, 200);
}

#[tokio::test]
async fn nobody_gets_in_after_a_revocation_was_answered_also_if_no_disk_has_it() {
    for failed in [false, true] {
        let disk = SimDisk::default();
        let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
        let store = Store::open(disk.port(), Options::bare(clock.clone())).unwrap();
        let engine = Engine::open(store, Rails::default(), clock.clone()).await.unwrap();
        let house = House { dir: private_dir(), clock, engine };
        house.scout().await;
        house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
        let alone = given(&house, "intern", json!({})).await;
        let with_agent = given(&house, "scout", json!({})).await;
        let kept = given(&house, "intern", json!({})).await;
        let operator = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
        if failed {
            disk.fail_at(disk.boundaries() + 1, std::io::ErrorKind::Other);
        } else {
            disk.set_capacity(disk.used());
            let full = async || {
                let credit = serde_json::from_value(json!({"amount_usd": "0.01"})).unwrap();
                house.engine.top_up(&handle("intern"), credit).await.is_err()
            };
            while !full().await {}
        }
        for id in [&alone.view.token_id, &operator.view.token_id] {
            let told = house.engine.revoke_token(id).await.unwrap_err();
            assert_eq!(told.problem().code, "ledger_unwritable", "{told}");
        }
        let revocation = serde_json::from_value(json!({"reason": "theft"})).unwrap();
        house.engine.revoke(&handle("scout"), revocation).await.unwrap_err();
        assert_eq!(agent_of(&house, &alone), None, "failed disk: {failed}");
        assert_eq!(agent_of(&house, &with_agent), None, "failed disk: {failed}");
        assert!(house.engine.operator(operator.token.expose()).is_none(), "failed disk: {failed}");
        assert_eq!(agent_of(&house, &kept).unwrap(), "intern");
        house.engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_comes_after_a_revocation_was_answered_stays_outside() {
    let house = std::sync::Arc::new(two_agents().await);
    for _ in 0..20 {
        let token = std::sync::Arc::new(given(&house, "scout", json!({})).await);
        let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let knocking = (0..3).map(|_| {
            let (house, token, over) = (house.clone(), token.clone(), over.clone());
            tokio::task::spawn_blocking(move || {
                let mut outside = 0;
                while outside < 50 {
                    // First the answer, then the look: what is seen after it must not be let in.
                    let answered = over.load(std::sync::atomic::Ordering::SeqCst);
                    let let_in = agent_of(&house, &token).is_some();
                    assert!(!(answered && let_in), "let in after the answer");
                    outside += i32::from(answered);
                }
            })
        });
        let knocking: Vec<_> = knocking.collect();
        house.engine.revoke_token(&token.view.token_id).await.unwrap();
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        for one in knocking {
            one.await.unwrap();
        }
    }
}
