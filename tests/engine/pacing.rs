//! What a mandate says of how often an agent pays, and how often it is refused.

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::came::Came,
    rails::Rails,
    store::{Options, Store},
};
use serde_json::{Value, json};

use crate::support::{house::House, sim_disk::SimDisk};

async fn eager(house: &House, stops: Value) {
    let mut new = json!({"handle": "eager", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "5.00"}]});
    new.as_object_mut().unwrap().extend(stops.as_object().unwrap().clone());
    house.agent(new).await;
}

fn search() -> Value {
    json!({"service_id": "search"})
}

#[tokio::test]
async fn a_rate_says_when_to_come_back_and_survives_a_restart() {
    let house = House::new().await;
    eager(&house, json!({"rates": ["2/min"]})).await;
    for _ in 0..2 {
        assert_eq!(house.pay("eager", search()).await["outcome"], "paid");
    }
    let house = house.reopened().await;
    let denied = house.pay("eager", search()).await;
    assert_eq!((&denied["code"], &denied["advice"]), (&json!("rate_limited"), &json!("wait")));
    assert_eq!(denied["retry_after_s"], 62, "rounded up");
    assert_eq!(denied["resets_at"], "2026-11-21T12:01:01.2Z");
    let breach = json!([{"code": "rate_limited", "scope": "agent", "of": "payments",
        "rate": "2/min", "count": 2}]);
    assert_eq!(denied["breached"], breach);
    house.pass(SignedDuration::from_secs(61));
    assert_eq!(house.pay("eager", search()).await["code"], "rate_limited");
    house.pass(SignedDuration::from_secs(1));
    assert_eq!(house.pay("eager", search()).await["outcome"], "paid");
}

#[tokio::test]
async fn thirty_two_at_once_pass_no_rate() {
    let house = House::new().await;
    eager(&house, json!({"rates": ["10/hour"]})).await;
    let all = (0..32).map(|_| house.pay("eager", search()));
    let answers = futures_util::future::join_all(all).await;
    let paid = answers.iter().filter(|answer| answer["outcome"] == "paid").count();
    let limited = answers.iter().filter(|answer| answer["code"] == "rate_limited").count();
    assert_eq!((paid, limited), (10, 22));
}

#[tokio::test]
async fn a_burst_freezes_for_good_until_somebody_unfreezes() {
    let house = House::new().await;
    eager(&house, json!({"burst": "2/min:freeze"})).await;
    for _ in 0..2 {
        house.pay("eager", search()).await;
    }
    let frozen = house.pay("eager", search()).await;
    assert_eq!(frozen["code"], "agent_frozen");
    assert_eq!(frozen["advice"], "ask_operator");
    let house = house.reopened().await;
    house.pass(SignedDuration::from_hours(48));
    assert_eq!(house.pay("eager", search()).await["code"], "agent_frozen");
    let lines = house.lines("eager").await;
    let line = lines.iter().find(|line| line["outcome"] == "frozen").unwrap();
    assert_eq!(
        (&line["code"], &line["note"]),
        (&json!("identical-burst"), &json!("more than 2 equal payments in any minute"))
    );
    let eager = "eager".parse().unwrap();
    house.engine.unfreeze(&eager, serde_json::from_value(json!({})).unwrap()).await.unwrap();
    assert_eq!(house.pay("eager", search()).await["outcome"], "paid");
}

#[tokio::test]
async fn a_row_of_denials_freezes_whatever_they_are_also_over_a_restart() {
    let house = House::new().await;
    eager(&house, json!({"denials": "4:freeze"})).await;
    let wrong = [json!({"service_id": "nope"}), json!({"service_id": "nope"}), json!({})];
    for ask in wrong {
        assert_eq!(house.pay("eager", ask).await["advice"], "fix_request");
    }
    let house = house.reopened().await;
    let frozen = house.pay("eager", json!({"service_id": "report", "amount_usd": "x"})).await;
    assert_eq!(frozen["code"], "agent_frozen");
    let breached: Vec<_> = frozen["breached"].as_array().unwrap().iter().collect();
    assert_eq!(breached[1]["code"], "invalid_request");
    assert_eq!(house.call("get_balance", "eager", json!({})).await["reason"], "denial-streak");
}

#[tokio::test]
async fn a_throttle_is_bounded_and_its_end_is_told() {
    let house = House::new().await;
    eager(&house, json!({"denials": "2:throttle"})).await;
    for _ in 0..2 {
        house.pay("eager", json!({"service_id": "nope"})).await;
    }
    let house = house.reopened().await;
    let waits = house.pay("eager", search()).await;
    assert_eq!((&waits["code"], &waits["retry_after_s"]), (&json!("rate_limited"), &json!(60)));
    let outcomes = house.outcomes("eager").await;
    assert!(outcomes.contains(&"throttled".to_owned()), "{outcomes:?}");
    house.pass(SignedDuration::from_secs(60));
    assert_eq!(house.pay("eager", search()).await["outcome"], "paid");
}

#[tokio::test]
async fn a_flag_tells_the_operator_and_stops_nobody() {
    let house = House::new().await;
    eager(&house, json!({"burst": "2/min:flag"})).await;
    for _ in 0..5 {
        assert_eq!(house.pay("eager", search()).await["outcome"], "paid");
    }
    let outcomes = house.outcomes("eager").await;
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "flagged").count(), 1);
    let lines = house.lines("eager").await;
    let line = lines.iter().find(|line| line["outcome"] == "flagged").unwrap();
    assert_eq!(line["code"], "identical-burst");
}

/// A book keeps no more of paces than a bound, whatever an agent pays.
#[tokio::test]
async fn what_is_kept_of_paces_is_bounded() {
    let house = House::new().await;
    eager(&house, json!({"rates": ["100000/24h", "100000/hour"], "burst": "9/24h:freeze"})).await;
    for nth in 1..=300 {
        let ask = json!({"service_id": "report", "amount_usd": format!("0.000{nth:03}")});
        assert_eq!(house.pay("eager", ask).await["outcome"], "paid");
        house.pass(SignedDuration::from_secs(97));
    }
    let books = house.engine.books().await.unwrap().books;
    let book = &books[0];
    assert!(book.paces.values().all(|pace| pace.buckets.len() <= 51));
    assert!(book.bursts.len() <= 64, "{}", book.bursts.len());
}

/// One equal payment too many on a simulated disk; says whether the agent was told that it is
/// frozen.
async fn burst(disk: &SimDisk, anchors: &SimDisk) -> bool {
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let options = Options { anchor: Some(anchors.port()), ..Options::bare(clock.clone()) };
    let Ok(store) = Store::open(disk.port(), options) else { return false };
    let Ok(engine) = Engine::open(store, Rails::default(), clock).await else { return false };
    let service = json!({"id": "search", "payee": "Acme", "price_usd": "0.02"});
    let eager = json!({"handle": "eager", "funding": "allowance", "burst": "2/min:freeze",
        "caps": [{"period": "day", "cap_usd": "5.00"}]});
    let made = engine.add_service(serde_json::from_value(service).unwrap()).await.is_ok()
        && engine.create_agent(serde_json::from_value(eager).unwrap()).await.is_ok();
    let mut told = false;
    for _ in 0..if made { 3 } else { 0 } {
        let agent = "eager".parse().unwrap();
        let (arguments, came) = (search(), Came::Local);
        let call = Call { agent, run: None, call_id: None, arguments, came, via: None };
        let answer = engine.call("pay_for_api_call", call).await.expect("a tool");
        told |= answer["code"] == "agent_frozen";
    }
    engine.close().await;
    told
}

#[tokio::test]
async fn a_freeze_by_a_burst_that_was_told_survives_every_power_cut() {
    let (whole, beside) = (SimDisk::default(), SimDisk::default());
    assert!(burst(&whole, &beside.powered_by(&whole)).await);
    let mut held = 0;
    for cut in 1..=whole.boundaries() {
        let disk = SimDisk::default();
        let anchors = SimDisk::default().powered_by(&disk);
        disk.power_off_at(cut);
        if !burst(&disk, &anchors).await {
            continue;
        }
        for which in 0..4 {
            let keep = |piece: usize| which == 1 || which > 1 && piece % 2 == which % 2;
            let (found, anchors) = (disk.after_power_cut(keep), anchors.after_power_cut(keep));
            let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
            let options = Options { anchor: Some(anchors.port()), ..Options::bare(clock) };
            let store = Store::open(found.port(), options).unwrap();
            assert!(!store.opened().adopted, "cut {cut}");
            let eager = "eager".parse().unwrap();
            let frozen = store.read(move |state, _| state.book(&eager).unwrap().is_frozen()).await;
            assert!(frozen.unwrap(), "cut {cut}, survivors {which}");
            store.close().await;
            held += 1;
        }
    }
    assert!(held > 0, "no cut came after the freeze was told");
}
