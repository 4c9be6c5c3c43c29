//! When an agent may pay, and how soon again.

use jiff::SignedDuration;
use pettycash::policy::terms::{MandatePatch, NewAgent};
use serde_json::{Value, json};

use crate::support::house::House;

async fn clerk(house: &House, when: Value) {
    let mut new = json!({"handle": "clerk", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "5.00"}]});
    new.as_object_mut().unwrap().extend(when.as_object().unwrap().clone());
    house.agent(new).await;
}

fn search() -> Value {
    json!({"service_id": "search"})
}

/// The house is at noon of a Saturday.
#[tokio::test]
async fn outside_its_hours_an_agent_has_nothing_to_spend_and_is_told_when_it_has() {
    let house = House::new().await;
    clerk(&house, json!({"hours": "09:00-18:00", "days": ["mon", "tue"]})).await;
    let balance = house.call("get_balance", "clerk", json!({})).await;
    assert_eq!(balance["available_usd"], "0.00");
    assert_eq!(balance["opens_at"], "2026-11-23T09:00:00Z");
    let denied = house.pay("clerk", search()).await;
    assert_eq!(
        (&denied["code"], &denied["advice"]),
        (&json!("outside_active_hours"), &json!("wait"))
    );
    assert_eq!(denied["resets_at"], "2026-11-23T09:00:00Z");
    assert_eq!(denied["retry_after_s"], 45 * 3_600);
    let house = house.reopened().await;
    house.pass(SignedDuration::from_hours(45));
    let balance = house.call("get_balance", "clerk", json!({})).await;
    assert_eq!(balance["available_usd"], "5.00");
    assert!(balance.get("opens_at").is_none(), "{balance}");
    assert_eq!(house.pay("clerk", search()).await["outcome"], "paid");
    house.pass(SignedDuration::from_hours(9));
    assert_eq!(house.pay("clerk", search()).await["code"], "outside_active_hours");
}

#[tokio::test]
async fn hours_that_do_not_open_before_the_mandate_ends_are_for_the_operator() {
    let house = House::new().await;
    clerk(&house, json!({"hours": "09:00-10:00", "expires_at": "2026-11-22T09:00:00Z"})).await;
    let denied = house.pay("clerk", search()).await;
    assert_eq!(denied["code"], "outside_active_hours");
    assert_eq!(denied["advice"], "ask_operator");
    assert!(denied.get("resets_at").is_none() && denied.get("retry_after_s").is_none());
}

/// What would open again only when the mandate is over is for the operator, whatever it is.
#[tokio::test]
async fn nobody_is_told_to_wait_for_longer_than_the_mandate_holds() {
    for (bound, code) in [
        (json!({"caps": [{"period": "day", "cap_usd": "0.02"}]}), "cap_exceeded"),
        (json!({"caps": [{"period": "rolling_24h", "cap_usd": "0.02"}]}), "cap_exceeded"),
        (json!({"rates": ["1/24h"]}), "rate_limited"),
        (json!({"cooldown": "12h"}), "rate_limited"),
        (json!({"burst": "1/24h:throttle"}), "rate_limited"),
    ] {
        for (ends, waits) in [("2026-11-22T00:00:00Z", false), ("2026-11-23T00:00:00Z", true)] {
            let house = House::new().await;
            let mut when = bound.clone();
            when["expires_at"] = json!(ends);
            clerk(&house, when).await;
            assert_eq!(house.pay("clerk", search()).await["outcome"], "paid");
            let denied = house.pay("clerk", search()).await;
            assert_eq!(denied["code"], code);
            let told = if waits { "wait" } else { "ask_operator" };
            assert_eq!(denied["advice"], told, "{denied}");
            let later = ["resets_at", "retry_after_s"].map(|field| denied.get(field).is_some());
            assert_eq!(later, [waits; 2], "{denied}");
            let quoted = house.call("get_balance", "clerk", search()).await;
            assert_eq!(quoted["quote"].get("frees_at"), denied.get("resets_at"), "{quoted}");
        }
    }
}

#[tokio::test]
async fn a_cooldown_is_kept_over_restarts_and_no_clock_that_goes_back_ends_it() {
    let house = House::new().await;
    clerk(&house, json!({"cooldown": "30s"})).await;
    assert_eq!(house.pay("clerk", search()).await["outcome"], "paid");
    let house = house.reopened().await;
    house.pass(SignedDuration::from_millis(29_999));
    let denied = house.pay("clerk", search()).await;
    assert_eq!((&denied["code"], &denied["advice"]), (&json!("rate_limited"), &json!("wait")));
    let resets = (&denied["resets_at"], &denied["retry_after_s"]);
    assert_eq!(resets, (&json!("2026-11-21T12:00:30Z"), &json!(1)));
    let breach = json!([{"code": "rate_limited", "scope": "agent", "of": "cooldown",
        "rate": "1/30s", "count": 1}]);
    assert_eq!(denied["breached"], breach);
    house.pass(SignedDuration::from_hours(-2));
    assert_eq!(house.pay("clerk", search()).await["code"], "rate_limited");
    house.pass(SignedDuration::from_hours(2) + SignedDuration::from_millis(1));
    assert_eq!(house.pay("clerk", search()).await["outcome"], "paid", "exactly then");
    assert_eq!(house.pay("clerk", search()).await["code"], "rate_limited");
}

#[tokio::test]
async fn thirty_two_at_once_pass_no_cooldown() {
    let house = House::new().await;
    clerk(&house, json!({"cooldown": "1s"})).await;
    let all = (0..32).map(|_| house.pay("clerk", search()));
    let answers = futures_util::future::join_all(all).await;
    let of = |key: &str, word: &str| answers.iter().filter(|answer| answer[key] == word).count();
    assert_eq!((of("outcome", "paid"), of("code", "rate_limited")), (1, 31));
}

#[test]
fn what_gives_an_agent_more_time_loosens() {
    let new = json!({"handle": "clerk", "funding": "prepaid", "hours": "09:00-18:00",
        "days": ["mon", "fri"], "cooldown": "min"});
    let new: NewAgent = serde_json::from_value(new).unwrap();
    let from = new.mandate();
    let loosens = |patch: Value| {
        let patch: MandatePatch = serde_json::from_value(patch).unwrap();
        let changes = from.changes(&patch.apply(&from).unwrap());
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes[0].loosens
    };
    for more in [
        json!({"hours": "08:59-18:00"}),
        json!({"hours": "09:00-18:01"}),
        json!({"hours": "09:00-12:00,22:00-06:00"}),
        json!({"hours": null}),
        json!({"days": ["mon", "sat"]}),
        json!({"days": null}),
        json!({"cooldown": "59s"}),
        json!({"cooldown": null}),
    ] {
        assert!(loosens(more.clone()), "{more}");
    }
    for less in [
        json!({"hours": "09:01-18:00"}),
        json!({"hours": "10:00-12:00,12:00-18:00"}),
        json!({"days": ["fri"]}),
        json!({"cooldown": "61s"}),
    ] {
        assert!(!loosens(less.clone()), "{less}");
    }
}
