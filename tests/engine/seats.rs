//! How many payments may be at their rails at once, whether or not anybody waits for them.

use pettycash::rails::Verdict;
use serde_json::{Value, json};

use crate::{
    engine::rails::{house_on, settled},
    support::{
        house::House,
        scripted::{Act, Scripted},
        sim_disk::SimDisk,
    },
};

const EACH: usize = 64;
const ALL: usize = 512;

async fn house(rail: &Scripted, agents: usize) -> House {
    let house = house_on(&SimDisk::default(), rail.rails(), 16 << 20).await;
    for number in 0..agents {
        house
            .agent(json!({"handle": format!("a{number}"), "funding": "allowance",
                "caps": [{"period": "day", "cap_usd": "5.00"}]}))
            .await;
    }
    house.service(json!({"id": "maps", "payee": "Acme", "rail": "scripted"})).await;
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.02"})).await;
    house
}

fn maps(key: usize) -> Value {
    json!({"service_id": "maps", "amount_usd": "0.01", "idempotency_key": format!("k{key}")})
}

/// Has an agent begin so many payments, none of which it waits for.
async fn begin(house: &House, rail: &Scripted, agent: usize, count: usize) {
    let name = format!("a{agent}");
    for key in 0..count {
        let called = rail.calls().len() + 1;
        tokio::select! {
            answer = house.pay(&name, maps(key)) => panic!("{answer}"),
            () = rail.called(called) => {}
        }
    }
}

#[tokio::test]
async fn an_agent_has_64_calls_under_way_at_most_and_more_is_refused_before_anything_is_held() {
    let rail = Scripted::new([Act::OnCue]);
    let house = house(&rail, 2).await;
    begin(&house, &rail, 0, EACH).await;
    let entries = house.outcomes("a0").await.len();
    for dry_run in [false, true, false] {
        let mut asked = maps(EACH);
        asked["dry_run"] = json!(dry_run);
        let refused = house.pay("a0", asked).await;
        let told = ["outcome", "code", "advice"].map(|field| refused[field].clone());
        assert_eq!(told, ["denied", "rate_limited", "wait"], "{refused}");
        assert_eq!(refused["retry_after_s"], 5);
        assert!(refused.get("payment_id").is_none(), "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with("64 payments of this agent are under way"), "{message}");
    }
    assert_eq!(house.outcomes("a0").await.len(), entries, "nothing of it is recorded");
    let again = house.call("get_balance", "a0", json!({})).await;
    assert_eq!(again["held_usd"], "0.64", "{again}");
    // What is only recorded takes no seat, and others have their own.
    assert_eq!(house.pay("a0", json!({"service_id": "search"})).await["outcome"], "paid");
    begin(&house, &rail, 1, 1).await;
    rail.cue(Verdict::Failed);
    settled(&house).await;
    assert_eq!(house.pay("a0", maps(EACH)).await["outcome"], "failed", "it was sent");
    assert_eq!(rail.calls().len(), EACH + 2);
}

#[tokio::test]
async fn a_payment_in_doubt_has_no_seat() {
    let rail = Scripted::new([Act::Say(Verdict::InDoubt)]);
    let house = house(&rail, 1).await;
    for key in 0..=EACH {
        assert_eq!(house.pay("a0", maps(key)).await["outcome"], "in_doubt");
    }
}

#[tokio::test]
async fn all_agents_together_have_512_calls_under_way_at_most() {
    let rail = Scripted::new([Act::OnCue]);
    let agents = ALL / EACH;
    let house = house(&rail, agents + 1).await;
    for agent in 0..agents {
        begin(&house, &rail, agent, EACH).await;
    }
    let last = format!("a{agents}");
    let refused = house.pay(&last, maps(0)).await;
    let told = ["outcome", "code", "advice"].map(|field| refused[field].clone());
    assert_eq!(told, ["denied", "engine_unavailable", "wait"], "{refused}");
    assert_eq!(house.outcomes(&last).await, ["created"]);
    rail.cue(Verdict::Captured("0.01".parse().unwrap()));
    settled(&house).await;
    assert_eq!(house.pay(&last, maps(0)).await["outcome"], "paid");
}
