//! What `verify` finds of groups.

use pettycash::{
    engine::{recover::Places, verify},
    policy::terms::{PolicyAsked, Refund},
    rails::Verdict,
};
use serde_json::{Value, json};

use crate::support::{
    house::House,
    scripted::{Act, Scripted},
};

async fn apply(house: &House, policy: Value) {
    let asked: PolicyAsked = serde_json::from_value(json!({"policy": policy})).unwrap();
    house.engine.apply_policy(asked, None).await.unwrap();
}

/// Two agents in groups, one of which was made anew, with all that can become of a payment.
async fn house() -> House {
    let failed = Act::Say(Verdict::Failed);
    let rail = Scripted::new([Act::Take, failed, Act::Say(Verdict::InDoubt), Act::Take]);
    let house = House::with(rail.rails()).await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    let agent = |group: Option<&str>| {
        let mut agent = json!({"funding": "allowance", "caps": ["9.00/day"]});
        if let Some(group) = group {
            agent["group"] = json!(group);
        }
        agent
    };
    let groups = json!({"org": {"caps": ["90.00/day"]}, "team": {"parent": "org"}});
    let policy = json!({"schema": 1, "groups": groups,
        "agents": {"a": agent(Some("team")), "b": agent(Some("team"))}});
    apply(&house, policy.clone()).await;
    let search = json!({"service_id": "search"});
    let early = house.pay("a", search.clone()).await["payment_id"].clone();
    apply(&house, json!({"schema": 1, "agents": {"a": agent(None), "b": agent(None)}})).await;
    house.engine.remove_group(&"team".parse().unwrap()).await.unwrap();
    apply(&house, policy).await;
    let later = house.pay("b", search).await["payment_id"].clone();
    let mut outcomes = Vec::new();
    for agent in ["a", "b", "a"] {
        let answer = house.pay(agent, json!({"service_id": "maps"})).await;
        outcomes.push(answer["outcome"].as_str().unwrap().to_owned());
    }
    assert_eq!(outcomes, ["paid", "failed", "in_doubt"]);
    for payment in [early, later] {
        let cent = Refund { amount_usd: Some("0.01".parse().unwrap()), note: None };
        let payment = payment.as_str().unwrap().parse().unwrap();
        house.engine.refund(payment, cent).await.unwrap();
    }
    house
}

fn places(house: &House) -> Places {
    let (journal, desk) = (house.dir.path().join("journal"), house.dir.path().join("desk"));
    Places { journal, archive: None, desk, anchors: None }
}

/// What `verify` says beside the engine of that house.
pub(crate) async fn problems() -> Vec<String> {
    let house = house().await;
    let books = house.engine.books().await.unwrap();
    verify::verify_beside(&places(&house), &books).unwrap().problems
}

#[tokio::test]
async fn verify_adds_up_what_groups_spent_and_compares_those_of_a_living_engine() {
    assert_eq!(problems().await, Vec::<String>::new());
    let house = house().await;
    let right = house.engine.books().await.unwrap();
    let found = |change: &dyn Fn(&mut Vec<pettycash::policy::group::Group>)| {
        let mut books = right.clone();
        books.groups.as_mut().map(change);
        verify::verify_beside(&places(&house), &books).unwrap().problems
    };
    let other = found(&|groups| groups[1].rules.caps.clear());
    assert_eq!(other, Vec::<String>::new(), "it has none");
    let other = found(&|groups| groups[0].rules.caps.clear());
    assert_eq!(other, ["the group `org` in the running `serve` is not its entries"]);
    let lost = found(&|groups| drop(groups.pop()));
    assert_eq!(lost, ["the running `serve` has 1 groups, the entries make 2"]);
    let mut older = right.clone();
    older.groups = None;
    let told = verify::verify_beside(&places(&house), &older).unwrap();
    assert_eq!(told.problems, Vec::<String>::new(), "one of before says nothing of groups");
}
