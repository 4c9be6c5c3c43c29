//! How somebody comes, as it stands when it is decided and not when he knocked.

use std::sync::{Arc, mpsc};

use pettycash::{
    clock::Clock,
    engine::{Call, Engine, Proof},
    policy::{
        came::Came,
        mandate::{LocalUse, Mandate},
        names::TokenId,
        operate::{self, Act},
        state::State,
        terms::{NewToken, PaymentTerms},
    },
    rails::Rails,
    store::{Decision, Purpose, Store},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::yield_now};

use crate::support::{
    house::{House, store},
    private_dir,
};

/// A house with the agent `scout`, and the store under it.
async fn house() -> (Arc<House>, Store) {
    let (dir, clock) = (private_dir(), Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap()));
    let store = store(dir.path(), &clock);
    let engine = Engine::open(store.clone(), Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir, clock, engine };
    house.scout().await;
    house.service(json!({"id": "search", "payee": "Acme Search", "price_usd": "0.02"})).await;
    (Arc::new(house), store)
}

/// Has the store decide nothing until what this gives is dropped.
async fn held_up(store: &Store) -> mpsc::Sender<()> {
    let (go_on, wait) = mpsc::channel();
    let (began, at_it) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let decide = move |_: &_, _, _| {
            let _ = began.send(());
            let _ = wait.recv();
            Decision::Answer(())
        };
        store.commit(Purpose::Record, decide).await.unwrap();
    });
    // From then on nobody looks at a state that rests.
    at_it.await.unwrap();
    go_on
}

/// Lets every task come as far as it can without the store.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

async fn asked(house: &House, came: Came, tool: &str, arguments: Value) -> Value {
    let agent = "scout".parse().unwrap();
    let call = Call { agent, run: None, call_id: None, arguments, came, via: None };
    house.engine.call(tool, call).await.unwrap()
}

/// Bars the agent to local clients, in the one step in which that is decided.
async fn bar(store: &Store) {
    let decide = |state: &State, _, now| {
        let agent = "scout".parse().unwrap();
        let local = LocalUse::Barred;
        let mandate = Mandate { local, ..state.book(&agent).unwrap().mandate.clone() };
        let Ok(Act::Write(drafts)) = operate::set_mandate(state, &agent, mandate, now) else {
            panic!("it is barred already");
        };
        Decision::Commit { drafts, durable: true, answer: Box::new(|_: &State| ()) }
    };
    store.commit(Purpose::Lower, decide).await.unwrap();
}

async fn token(house: &House) -> TokenId {
    let given = house.engine.issue_token(&"scout".parse().unwrap(), NewToken::default()).await;
    given.unwrap().view.token_id
}

/// Every way to ask, each of which shows a thing of the agent's.
fn questions() -> [(&'static str, Value); 6] {
    [
        ("pay_for_api_call", json!({"service_id": "search"})),
        ("pay_for_api_call", json!({"service_id": 7})),
        ("pay_for_api_call", json!({"payment_id": "pay_0000000000010000"})),
        ("get_balance", json!({})),
        ("ledger", json!({})),
        ("list_services", json!({})),
    ]
}

#[tokio::test]
async fn an_agent_that_is_barred_meanwhile_is_one_that_there_is_not_in_that_same_instant() {
    for barred in [false, true] {
        let (house, store) = house().await;
        let token = token(&house).await;
        let go_on = held_up(&store).await;
        let barring = store.clone();
        let barring = tokio::spawn(async move {
            if barred {
                bar(&barring).await;
            }
        });
        settle().await;
        // Nobody was told yet that it is barred: a door would let in whoever comes now.
        let mut asking = Vec::new();
        for came in [Came::Local, Came::By(token), Came::Operator(None)] {
            for (tool, arguments) in questions() {
                let (asker, came) = (Arc::clone(&house), came.clone());
                let ask = async move { (asked(&asker, came.clone(), tool, arguments).await, came) };
                asking.push(tokio::spawn(ask));
            }
        }
        settle().await;
        drop(go_on);
        barring.await.unwrap();
        for asking in asking {
            let (told, came) = asking.await.unwrap();
            let unknown = told["code"] == "agent_unknown";
            assert_eq!(unknown, barred && came == Came::Local, "{came:?}: {told}");
            assert!(!unknown || told["payment_id"].is_null() && told["entries"].is_null());
        }
        let spent = house.engine.agent(&"scout".parse().unwrap()).await.unwrap().spent_usd;
        assert_eq!(spent.decimal(), if barred { "0.04" } else { "0.06" });
    }
}

#[tokio::test]
async fn an_operator_whose_proof_is_over_meanwhile_pays_nothing() {
    let (house, _) = house().await;
    let given = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let shown = || Some(Proof::Token(given.token.expose().into()));
    let unasked = house.engine.prove(None).await.unwrap();
    house.engine.set_passphrase("correct horse".into(), shown()).await.unwrap();
    let by_token = house.engine.prove(shown()).await.unwrap();
    let pay = async |engine: &Engine| {
        let terms = PaymentTerms {
            service_id: "search".parse().unwrap(),
            amount_usd: None,
            idempotency_key: None,
            call_id: None,
            dry_run: false,
            task_id: None,
            request: None,
        };
        let paid = engine.pay_as(&"scout".parse().unwrap(), terms).await;
        paid.map(|answer| answer.refused.code).map_err(|error| error.problem().code)
    };
    assert_eq!(pay(&unasked).await, Err("operator_proof_required".to_owned()));
    assert_eq!(pay(&by_token).await, Ok(None));
    house.engine.revoke_token(&given.view.token_id).await.unwrap();
    assert_eq!(pay(&by_token).await, Err("operator_proof_wrong".to_owned()));
    house.revoke("scout").await;
    assert_eq!(pay(&by_token).await, Err("operator_proof_wrong".to_owned()));
    assert_eq!(house.outcomes("scout").await.iter().filter(|o| *o == "paid").count(), 1);
}
