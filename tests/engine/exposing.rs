//! The worst case if every cap is reached.

use serde_json::{Value, json};

use crate::support::house::House;

impl House {
    async fn exposure(&self, agent: Option<&str>) -> Value {
        let agent = agent.map(|agent| agent.parse().unwrap());
        serde_json::to_value(self.engine.exposure(agent).await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn all_agents_together_are_bounded_where_each_is() {
    let house = House::new().await;
    assert_eq!(house.exposure(None).await["agents"], json!([]));
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "2.00").await;
    house.pay("scout", json!({"service_id": "search"})).await;
    // Saturday noon: the week has one day more, the month nine.
    let told = house.exposure(None).await;
    assert_eq!(told["all"]["today_usd"], "6.98");
    assert_eq!(told["all"]["this_week_usd"], "11.98");
    assert_eq!(told["all"]["this_month_usd"], "51.98");
    assert_eq!(told["all"].get("until_expiry_usd"), None, "scout never expires");
    let (intern, scout) = (&told["agents"][0], &told["agents"][1]);
    assert_eq!(intern["until_expiry_usd"], "2.00", "no more than its balance, ever");
    assert_eq!((&scout["today_usd"], scout.get("until_expiry_usd")), (&json!("4.98"), None));
    house.revoke("scout").await;
    let told = house.exposure(Some("scout")).await;
    assert_eq!(
        (&told["agents"][0]["standing"], &told["all"]["until_expiry_usd"]),
        (&json!("revoked"), &json!("0.00"))
    );
    assert_eq!(told["agents"].as_array().unwrap().len(), 1);
    let nobody = house.engine.exposure(Some("nobody".parse().unwrap())).await.unwrap_err();
    assert_eq!(nobody.problem().code, "agent_unknown");
}

#[tokio::test]
async fn a_mandate_of_years_is_bounded_to_the_hour_and_the_day() {
    let house = House::new().await;
    let until = |handle: &str, caps: Value, expires: &str| {
        house.agent(json!({"handle": handle, "funding": "allowance", "caps": caps,
            "timezone": "Europe/Paris", "expires_at": expires}))
    };
    let hour = json!([{"period": "hour", "cap_usd": "0.01"}]);
    until("decade", hour.clone(), "2036-11-21T12:00:00Z").await;
    until("century", json!([{"period": "day", "cap_usd": "10.00"}]), "2099-12-31T00:00:00Z").await;
    until("fortnight", hour, "2026-12-05T12:00:00Z").await;
    let told = house.exposure(None).await;
    // Ten years and three leap days have 87,672 hours.
    assert_eq!(told["agents"][1]["until_expiry_usd"], "876.72");
    // 2099-12-31 in Paris begins before that: 26,704 dates.
    assert_eq!(told["agents"][0]["until_expiry_usd"], "267040.00");
    assert_eq!(told["agents"][2]["until_expiry_usd"], "3.36", "14 days, hour by hour");
}

#[tokio::test]
async fn what_a_group_leaves_is_told_of_all_and_also_bounds_who_is_bounded_by_nothing_else() {
    let house = House::new().await;
    let policy = json!({"schema": 1,
        "groups": {
            "all": {"caps": ["3.00/day"]},
            "team": {"parent": "all", "caps": ["2.00/day"]}},
        "agents": {
            "a": {"funding": "allowance", "group": "team", "caps": ["1.50/day"]},
            "b": {"funding": "allowance", "group": "team", "caps": ["1.50/day"]},
            "c": {"funding": "allowance", "group": "all", "caps": ["1.50/day"]},
            "d": {"funding": "allowance", "caps": ["0.25/day"]}}});
    let asked = json!({"policy": policy});
    house.engine.apply_policy(serde_json::from_value(asked).unwrap(), None).await.unwrap();
    house.pay("a", json!({"service_id": "report", "amount_usd": "0.40"})).await;
    let told = house.exposure(None).await;
    let each: Vec<_> = (0..4).map(|nth| told["agents"][nth]["today_usd"].clone()).collect();
    assert_eq!(each, ["1.10", "1.50", "1.50", "0.25"]);
    // The team has 1.60 left, and with the others no more than 2.60; d is in no group.
    assert_eq!(told["all"]["today_usd"], "2.85");
    assert_eq!(told["all"]["this_week_usd"], "6.10", "two days of 3.00 and 0.25, less 0.40");
    assert_eq!(house.exposure(Some("b")).await["all"]["today_usd"], "1.50");
    house.revoke("b").await;
    assert_eq!(house.exposure(None).await["all"]["today_usd"], "2.85", "1.10 and 1.50 and 0.25");
}
