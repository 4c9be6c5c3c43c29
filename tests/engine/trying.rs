//! Policies tried on what happened.

use jiff::{SignedDuration, Timestamp};
use pettycash::{
    engine::EngineError,
    policy::terms::{PolicyTrial, TrialAsked, Unfreezing},
};
use serde_json::{Value, json};

use crate::support::{dice::Dice, house::House};

impl House {
    async fn trial(&self, agents: Value, since: Option<Timestamp>) -> PolicyTrial {
        self.try_policy(json!({"schema": 1, "agents": agents}), since).await.unwrap()
    }

    async fn try_policy(
        &self,
        policy: Value,
        since: Option<Timestamp>,
    ) -> Result<PolicyTrial, EngineError> {
        let policy = serde_json::from_value(policy).unwrap();
        self.engine.try_policy(TrialAsked { policy, since }).await
    }
}

fn report(amount: &str) -> Value {
    json!({"service_id": "report", "amount_usd": amount})
}

fn sum(sum: pettycash::policy::terms::Sum) -> (u64, String) {
    (sum.count, sum.sum_usd.decimal())
}

fn some(count: u64, amount: &str) -> (u64, String) {
    (count, amount.to_owned())
}

#[tokio::test]
async fn a_tighter_policy_tells_what_it_would_have_denied_and_why() {
    let house = House::new().await;
    house.scout().await;
    for amount in ["0.20", "0.25", "0.20", "0.10"] {
        assert_eq!(house.pay("scout", report(amount)).await["outcome"], "paid");
    }
    let before = house.lines("scout").await;
    let tight =
        json!({"scout": {"funding": "allowance", "per_call": "0.20", "caps": ["0.40/day"]}});
    let trial = house.trial(tight, None).await;
    assert_eq!((sum(trial.paid), sum(trial.would_deny)), (some(4, "0.75"), some(2, "0.35")));
    let scout = &trial.agents[0];
    assert_eq!(sum(scout.rules["limit per payment"]), some(1, "0.25"));
    // What was denied was not spent: the third payment fitted, and the last one did not.
    assert_eq!(sum(scout.rules["cap per day"]), some(1, "0.10"));
    let said = "$0.10 would pass today's cap of $0.40: $0.40 is used.";
    assert_eq!(scout.examples[1].message.as_deref(), Some(said));
    assert_eq!(house.lines("scout").await, before, "nothing is changed");
    let mandate = house.engine.mandate(&"scout".parse().unwrap()).await.unwrap();
    assert_eq!(json!(mandate)["caps"][0]["cap_usd"], "5.00");
}

#[tokio::test]
async fn a_looser_policy_tells_what_it_would_have_paid_and_never_passes_its_own_cap() {
    let house = House::new().await;
    house.scout().await;
    for _ in 0..3 {
        assert_eq!(house.pay("scout", report("0.40")).await["outcome"], "denied");
    }
    for amount in ["0.41", "0.42", "0.43"] {
        assert_eq!(house.pay("scout", report(amount)).await["outcome"], "denied");
    }
    let loose = json!({"scout": {"funding": "allowance", "caps": ["1.00/day"]}});
    let trial = house.trial(loose, None).await;
    // The same call again is counted with the first; $0.42 and more no longer fit.
    assert_eq!((trial.denied, sum(trial.would_pay)), (4, some(2, "0.81")));
    assert_eq!(sum(trial.would_deny), some(0, "0.00"));
    assert!(trial.agents[0].examples.iter().all(|one| one.message.is_none()));
    // A service that nobody knew then.
    house.pay("scout", json!({"service_id": "maps", "amount_usd": "0.05"})).await;
    let with = json!({"schema": 1, "services": {"maps": {"payee": "Acme", "price": "0.03"}},
        "agents": {"scout": {"funding": "allowance", "caps": ["0.04/day"]}}});
    let trial = house.try_policy(with, None).await.unwrap();
    assert_eq!(sum(trial.would_pay), some(1, "0.03"));
}

#[tokio::test]
async fn what_was_before_counts_as_it_was_and_is_not_told() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    house.pay("scout", report("0.25")).await;
    house.pass(SignedDuration::from_hours(1));
    let since = house.clock.now();
    house.pay("scout", report("0.25")).await;
    house.pass(SignedDuration::from_hours(24));
    house.pay("scout", report("0.25")).await;
    let tight = json!({"scout": {"funding": "allowance", "caps": ["0.30/day"]}});
    let trial = house.trial(tight.clone(), Some(since)).await;
    // With the one before it, the second passes its day's cap; the third is of another day.
    assert_eq!((sum(trial.paid), sum(trial.would_deny)), (some(2, "0.50"), some(1, "0.25")));
    assert_eq!(sum(house.trial(tight, None).await.would_deny), some(1, "0.25"));
    let nobody = house.trial(json!({"other": {}}), None).await;
    assert_eq!((nobody.paid.count, nobody.agents.len()), (0, 0));
    assert_eq!((nobody.unknown_agents.len(), nobody.unknown_groups.len()), (0, 0));
    let slip = json!({"scuot": {"funding": "allowance", "caps": ["0.01/day"]}});
    let slip = house.trial(slip, None).await;
    assert_eq!(json!(slip.unknown_agents), json!(["scuot"]), "nothing is recorded of it");
    let crew = json!({"schema": 1, "groups": {"crew": {"caps": ["0.01/day"]}}});
    let crew = house.try_policy(crew, None).await.unwrap();
    assert_eq!(json!(crew.unknown_groups), json!(["crew"]));
    let wrong = json!({"schema": 1, "agents": {"scout": {"funding": "prepaid"}}});
    let refused = house.try_policy(wrong, None).await.unwrap_err().problem();
    assert_eq!(refused.code, "policy_refused");
}

#[tokio::test]
async fn the_policy_that_held_denies_nothing_of_what_was_paid_and_pays_nothing_it_denied() {
    let mut dice = Dice(5);
    for _ in 0..6 {
        let house = House::new().await;
        let zone = dice.one(&["UTC", "America/New_York"]).to_owned();
        let a = json!({"per_call": "0.25", "caps": ["0.50/hour", "1.00/24h", "0.60/run"],
            "timezone": zone});
        let b = json!({"funding": "allowance", "caps": ["1.00/day"], "deny": ["search"]});
        let policy = json!({"schema": 1, "agents": {"a": a, "b": b}});
        let asked = json!({"policy": policy});
        let applied = house.engine.apply_policy(serde_json::from_value(asked).unwrap(), None).await;
        assert!(applied.unwrap().applied);
        let (mut paid, mut denied) = (0, 0);
        for _ in 0..120 {
            let agent = dice.one(&["a", "b"]);
            match dice.below(9) {
                0 => house.pass(SignedDuration::from_mins(i64::try_from(dice.below(300)).unwrap())),
                1 => house.top_up("a", "0.30").await,
                2 => {
                    let freeze = json!({"reason": "odd"});
                    let freeze = serde_json::from_value(freeze).unwrap();
                    house.engine.freeze(&agent.parse().unwrap(), freeze).await.unwrap();
                    house.pay(agent, report("0.01")).await;
                    let handle = agent.parse().unwrap();
                    house.engine.unfreeze(&handle, Unfreezing::default()).await.unwrap();
                }
                _ => {
                    let asked = match dice.below(4) {
                        0 => json!({"service_id": "search"}),
                        _ => report(dice.one(&["0.05", "0.25", "0.30", "1.10"])),
                    };
                    match house.pay(agent, asked).await["outcome"].as_str().unwrap() {
                        "paid" => paid += 1,
                        _ => denied += 1,
                    }
                }
            }
        }
        let present = serde_json::to_value(house.engine.policy().await.unwrap().policy).unwrap();
        let trial = house.try_policy(present, None).await.unwrap();
        assert_eq!((trial.paid.count, trial.would_deny.count), (paid, 0), "{trial:?}");
        assert_eq!(trial.would_pay.count, 0, "{trial:?}");
        assert!(paid > 5 && denied > 5);
    }
}

#[tokio::test]
async fn a_group_is_tried_on_everybody_below_it() {
    let house = House::new().await;
    let policy = json!({"schema": 1, "groups": {"team": {"caps": ["9.00/day"]}},
        "agents": {
            "a": {"funding": "allowance", "group": "team", "caps": ["1.00/day"]},
            "b": {"funding": "allowance", "group": "team", "caps": ["1.00/day"]},
            "c": {"funding": "allowance", "caps": ["1.00/day"]}}});
    let asked = json!({"policy": policy});
    house.engine.apply_policy(serde_json::from_value(asked).unwrap(), None).await.unwrap();
    for agent in ["a", "b", "c", "b"] {
        assert_eq!(house.pay(agent, report("0.20")).await["outcome"], "paid");
    }
    let tight = json!({"schema": 1, "groups": {"team": {"caps": ["0.50/day"]}}});
    let trial = house.try_policy(tight, None).await.unwrap();
    // The file names none of them; who is not below the group is not asked.
    assert_eq!((sum(trial.paid), sum(trial.would_deny)), (some(3, "0.60"), some(1, "0.20")));
    assert_eq!(trial.agents[1].handle.as_str(), "b");
    let rule = "cap per day of the group team";
    assert_eq!(sum(trial.agents[1].rules[rule]), some(1, "0.20"));
    // And one that gives a group its first agents.
    let new = json!({"schema": 1, "groups": {"new": {"caps": ["3x/day"]}},
        "agents": {
            "b": {"funding": "allowance", "group": "new", "caps": ["1.00/day"]},
            "c": {"funding": "allowance", "group": "new", "caps": ["1.00/day"]}}});
    assert_eq!(house.try_policy(new.clone(), None).await.unwrap().would_deny.count, 0);
    let twice = json!({"schema": 1, "groups": {"new": {"caps": ["2x/day"]}},
        "agents": new["agents"]});
    let trial = house.try_policy(twice, None).await.unwrap();
    let rule = "cap on payments per day of the group new";
    assert_eq!(sum(trial.agents[0].rules[rule]), some(1, "0.20"), "{trial:?}");
}

#[tokio::test]
async fn a_category_that_the_policy_gives_a_service_is_tried() {
    let house = House::new().await;
    house.scout().await;
    for _ in 0..3 {
        house.pay("scout", report("0.20")).await;
    }
    let policy = json!({"schema": 1,
        "services": {"report": {"payee": "Acme Reports", "category": "text"}},
        "agents": {"scout": {"funding": "allowance",
            "caps": ["5.00/day", "0.50/day category=text"]}}});
    let trial = house.try_policy(policy, None).await.unwrap();
    let rules = &trial.agents[0].rules;
    assert_eq!(sum(rules["cap per day category=text"]), some(1, "0.20"));
}

#[tokio::test]
async fn stops_are_tried_as_they_would_have_taken_hold() {
    let house = House::new().await;
    house.scout().await;
    let tight = |more: Value| {
        let mut terms = json!({"funding": "allowance", "caps": ["5.00/day"], "per_call": "0.25"});
        terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"scout": terms})
    };
    for _ in 0..4 {
        assert_eq!(house.pay("scout", report("0.10")).await["outcome"], "paid");
        house.pass(SignedDuration::from_secs(10));
    }
    let trial = house.trial(tight(json!({"rates": ["3/min"]})), None).await;
    assert_eq!(sum(trial.agents[0].rules["rate of 3/min"]), some(1, "0.10"));
    let trial = house.trial(tight(json!({"cooldown": "15s"})), None).await;
    assert_eq!(sum(trial.agents[0].rules["cooldown of 15s"]), some(2, "0.20"));
    let trial = house.trial(tight(json!({"hours": "00:00-00:01"})), None).await;
    assert_eq!(sum(trial.agents[0].rules["outside active hours"]), some(4, "0.40"));
    let trial = house.trial(tight(json!({"burst": "2/min:freeze"})), None).await;
    let rule = "agent frozen (identical-burst)";
    assert_eq!(sum(trial.agents[0].rules[rule]), some(2, "0.20"));
    // A loop that the policy would have frozen, and what came after it.
    for _ in 0..20 {
        assert_eq!(house.pay("scout", report("1.00")).await["outcome"], "denied");
    }
    house.pass(SignedDuration::from_mins(2));
    assert_eq!(house.pay("scout", report("0.20")).await["outcome"], "paid");
    let trial = house.trial(tight(json!({"denials": "10:freeze"})), None).await;
    let rule = "agent frozen (denial-streak)";
    assert_eq!(sum(trial.agents[0].rules[rule]), some(1, "0.20"), "{trial:?}");
    let trial = house.trial(tight(json!({"denials": "30:freeze"})), None).await;
    assert_eq!(trial.would_deny.count, 0);
}

#[tokio::test]
async fn since_when_shadow_caps_are_counted_is_told_as_moments_are() {
    let house = House::new().await;
    let told = |since: &str| {
        let (engine, since) = (house.engine.clone(), since.parse().unwrap());
        async move { engine.shadows(Some(since)).await }
    };
    for since in ["7d", "2020-01-01", "2020-01-01T00:00:00Z"] {
        assert!(told(since).await.is_ok(), "{since}");
    }
    for since in ["2999-01-01", "18:00", "2999-01-01T00:00:00Z"] {
        let problem = told(since).await.unwrap_err().problem();
        assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_request"));
        let begun = "`since` is a moment that has been, which ";
        assert!(problem.detail.starts_with(begun), "{}", problem.detail);
    }
}
