//! Groups, as agents and operators meet them.

use futures_util::future::join_all;
use pettycash::policy::terms::{GroupView, LedgerAsked, PolicyAsked};
use serde_json::{Value, json};

use crate::support::house::House;

impl House {
    async fn grouped(&self, policy: Value) -> Result<Value, String> {
        let asked: PolicyAsked = serde_json::from_value(json!({"policy": policy})).unwrap();
        let applied = self.engine.apply_policy(asked, None).await;
        applied.map(|plan| serde_json::to_value(plan).unwrap()).map_err(|e| e.problem().code)
    }

    async fn group(&self, name: &str) -> GroupView {
        self.engine.group(&name.parse().unwrap()).await.unwrap()
    }
}

/// Three agents in `team`, which is below `org`.
async fn house() -> House {
    let house = House::new().await;
    let agent = json!({"funding": "allowance", "caps": ["9.00/day"], "group": "team"});
    let policy = json!({
        "schema": 1,
        "groups": {"org": {"caps": ["0.40/day"]},
                   "team": {"caps": ["15x/day", "5.00/24h"], "parent": "org"}},
        "agents": {"a": agent, "b": agent, "c": agent},
    });
    house.grouped(policy).await.unwrap();
    house
}

#[tokio::test]
async fn agents_of_a_group_at_once_spend_exactly_its_cap() {
    let house = house().await;
    let agents = ["a", "b", "c"].into_iter().cycle().take(48);
    let all = agents.map(|agent| house.pay(agent, json!({"service_id": "search"})));
    let answers = join_all(all).await;
    let paid = answers.iter().filter(|answer| answer["outcome"] == "paid").count();
    assert_eq!(paid, 15, "fifteen payments come before forty cents");
    let big = json!({"service_id": "report", "amount_usd": "0.11"});
    let denied = house.pay("a", big.clone()).await;
    assert_eq!(denied["advice"], "wait");
    assert_eq!(
        denied["breached"],
        json!([
            {"code": "cap_exceeded", "scope": "team", "period": "day", "asked_usd": "0.11",
             "cap_count": 15, "used_count": 15, "held_count": 0},
            {"code": "cap_exceeded", "scope": "org", "period": "day", "cap_usd": "0.40",
             "used_usd": "0.30", "held_usd": "0.00", "asked_usd": "0.11"}])
    );
    let before = serde_json::to_value(house.group("team").await).unwrap();
    let house = house.reopened().await;
    assert_eq!(serde_json::to_value(house.group("team").await).unwrap(), before);
    let breached = &house.pay("b", big).await["breached"];
    assert_eq!(breached, &denied["breached"], "it is the same after a restart");
    let balance = house.call("get_balance", "c", json!({})).await;
    assert_eq!(balance["available_usd"], "0.00");
    let scopes: Vec<&str> =
        balance["caps"].as_array().unwrap().iter().map(|c| c["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["agent", "team", "team", "org"]);
}

#[tokio::test]
async fn groups_are_shown_and_removed_once_nobody_is_in_them() {
    let house = house().await;
    house.pay("a", json!({"service_id": "search"})).await;
    let shown = serde_json::to_value(house.group("team").await).unwrap();
    assert_eq!(
        shown,
        json!({"group": "team", "parent": "org", "timezone": "UTC", "agents": ["a", "b", "c"],
            "groups": [], "caps": [
                {"scope": "team", "period": "day", "resets_at": "2026-11-22T00:00:00Z",
                 "cap_count": 15, "used_count": 1, "held_count": 0},
                {"scope": "team", "period": "rolling_24h", "cap_usd": "5.00", "used_usd": "0.02",
                 "held_usd": "0.00", "resets_at": "2026-11-22T12:24:00Z"}]})
    );
    let all = house.engine.groups().await.unwrap().groups;
    assert_eq!(all.iter().map(|view| view.group.as_str()).collect::<Vec<_>>(), ["org", "team"]);
    let remove = async |name: &str| {
        let removed = house.engine.remove_group(&name.parse().unwrap()).await;
        removed.map(|view| view.group.to_string()).map_err(|error| error.problem().code)
    };
    assert_eq!(remove("team").await, Err("group_in_use".to_owned()));
    assert_eq!(remove("org").await, Err("group_in_use".to_owned()));
    assert_eq!(remove("nobody").await, Err("group_unknown".to_owned()));
    house.revoke("a").await;
    let agent = json!({"funding": "allowance", "caps": ["9.00/day"]});
    let policy = json!({"schema": 1, "agents": {"b": agent, "c": agent}});
    let plan = house.grouped(policy).await.unwrap();
    assert_eq!(plan["gives_more"], true);
    assert_eq!(remove("team").await, Ok("team".to_owned()));
    assert_eq!(remove("org").await, Ok("org".to_owned()));
    let page = house.engine.ledger(LedgerAsked::page(None, None, None)).await.unwrap();
    let outcomes: Vec<&str> = page.entries.iter().map(|one| one.line.outcome.as_str()).collect();
    assert_eq!(outcomes[..2], ["group_removed", "group_removed"]);
    assert!(outcomes.contains(&"group_set"));
}

#[tokio::test]
async fn what_is_exported_makes_the_same_groups() {
    let house = house().await;
    let exported = serde_json::to_value(house.engine.policy().await.unwrap().policy).unwrap();
    let plan = house.grouped(exported.clone()).await.unwrap();
    assert_eq!((&plan["applied"], &plan["unchanged"]), (&json!(false), &json!(7)));
    let other = House::new().await;
    other.grouped(exported.clone()).await.unwrap();
    let again = serde_json::to_value(other.engine.policy().await.unwrap().policy).unwrap();
    assert_eq!(again, exported);
    let lost = json!({"schema": 1, "agents": {"a": {"group": "nobody"}}});
    assert_eq!(house.grouped(lost).await, Err("policy_refused".to_owned()));
}

#[tokio::test]
async fn there_are_at_most_ten_thousand_groups_in_all() {
    let house = House::new().await;
    let named = |from: usize, to: usize| {
        let groups = (from..to).map(|n| (format!("g{n}"), json!({})));
        json!({"schema": 1, "groups": groups.collect::<serde_json::Map<_, _>>()})
    };
    house.grouped(named(0, 9_999)).await.unwrap();
    assert_eq!(house.grouped(named(9_998, 10_001)).await.unwrap_err(), "too_many_groups");
    house.grouped(named(9_998, 10_000)).await.unwrap();
    let asked = json!({"policy": named(10_000, 10_001), "dry_run": true});
    let refused = house.engine.apply_policy(serde_json::from_value(asked).unwrap(), None).await;
    let told = refused.unwrap_err().to_string();
    assert_eq!(told, "there would be 10001 groups: there are at most 10000 in all");
    let there = json!({"schema": 1, "groups": {"g1": {"caps": ["5.00/day"]}}});
    house.grouped(there).await.expect("one that is there may change");
}
