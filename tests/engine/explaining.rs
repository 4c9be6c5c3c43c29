//! Which rule decided: told later, with the numbers of that moment.

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Engine, EngineError},
    policy::{
        entry::{By, Draft, Fact, Hold, Windows},
        money::Usd,
        names::PaymentId,
        state::State,
        terms::{Explained, NewAgent},
    },
    rails::{Rails, Verdict},
    store::{Decision, Purpose},
};
use serde_json::{Value, json};

use crate::support::{
    dice::Dice,
    house::{House, store},
    private_dir,
    scripted::{Act, Scripted},
};

impl House {
    async fn explain(&self, answer: &Value) -> Explained {
        let payment: PaymentId = answer["payment_id"].as_str().unwrap().parse().unwrap();
        self.engine.explain(payment).await.unwrap()
    }

    async fn unexplained(&self, payment: &str) -> EngineError {
        self.engine.explain(payment.parse().unwrap()).await.unwrap_err()
    }

    async fn policy(&self, agents: Value) {
        let asked = json!({"policy": {"schema": 1, "agents": agents}});
        self.engine.apply_policy(serde_json::from_value(asked).unwrap(), None).await.unwrap();
    }
}

fn report(amount: &str) -> Value {
    json!({"service_id": "report", "amount_usd": amount})
}

/// Rule, most, used, held and left of each bound.
fn bounds(explained: &Explained) -> Vec<String> {
    let told = explained.bounds.iter().map(|bound| {
        let sums = [bound.cap_usd, bound.used_usd, bound.held_usd, bound.left_usd];
        let counts = [bound.cap_count, bound.used_count, bound.held_count];
        let sums = sums.into_iter().flatten().map(Usd::decimal);
        let counts = counts.into_iter().flatten().map(|count| count.to_string());
        let sums = sums.chain(counts).collect::<Vec<_>>().join(" ");
        format!("{}: {sums}{}", bound.rule, if bound.fits { "" } else { " !" })
    });
    told.collect()
}

#[tokio::test]
async fn a_payment_is_explained_with_the_numbers_of_its_moment_whatever_came_after() {
    let rail = Scripted::new([Act::Say(Verdict::InDoubt)]);
    let house = House::with(rail.rails()).await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    house
        .policy(json!({"scout": {"per_call": "0.50", "caps": ["1.00/day", "2.00/run"],
        "timezone": "Europe/Paris"}}))
        .await;
    house.top_up("scout", "3.00").await;
    let doubted = house.pay("scout", json!({"service_id": "maps"})).await;
    let paid = house.pay("scout", report("0.50")).await;
    let denied = house.pay("scout", report("0.45")).await;
    assert_eq!((&paid["outcome"], &denied["outcome"]), (&json!("paid"), &json!("denied")));
    // None of this was so then.
    house.top_up("scout", "9.00").await;
    house.policy(json!({"scout": {"caps": ["0.70/day"], "deny": ["report"]}})).await;
    house.pass(SignedDuration::from_hours(48));
    house.revoke("scout").await;
    let house = house.reopened_with(rail.rails()).await;

    let paid = house.explain(&paid).await;
    let expected = [
        "limit per payment: 0.50 0.00 0.00 0.50",
        "cap per day: 1.00 0.00 0.10 0.90",
        "cap per run: 2.00 0.00 0.10 1.90",
        "balance: 3.00 0.00 0.10 2.90",
    ];
    assert_eq!(bounds(&paid), expected);
    assert_eq!((paid.outcome.as_str(), paid.rule.as_deref()), ("paid", Some("limit per payment")));
    assert!(paid.replayed && paid.differs.is_none() && paid.reasons.is_empty(), "{paid:?}");
    let granted = paid.granted.unwrap();
    assert_eq!(
        granted,
        "prepaid, 1.00/day, 2.00/run, at most $0.50 a payment, days of Europe/Paris"
    );

    let denied = house.explain(&denied).await;
    assert_eq!(bounds(&denied)[1], "cap per day: 1.00 0.50 0.10 0.40 !");
    assert_eq!((denied.rule.as_deref(), denied.reasons.len()), (Some("cap per day"), 1));
    let said = "$0.45 would pass today's cap of $1.00: $0.50 is used and $0.10 is held.";
    assert_eq!(denied.reasons[0].message, said);
    assert!(denied.replayed && denied.differs.is_none());
    assert_eq!(house.explain(&doubted).await.outcome, "held");
}

#[tokio::test]
async fn what_no_mandate_was_asked_about_is_explained_by_what_is_on_record() {
    let house = House::new().await;
    house.scout().await;
    let keyed = json!({"service_id": "search", "idempotency_key": "a"});
    house.pay("scout", keyed).await;
    let reused = json!({"service_id": "report", "amount_usd": "1.00", "idempotency_key": "a"});
    for (arguments, rule) in [
        (reused, "idempotency key reused"),
        (json!({"service_id": "report"}), "invalid request"),
        (json!({"service_id": "serch"}), "service unknown"),
        (json!({"service_id": "search", "amount_usd": "0.01"}), "price above maximum"),
        (report("0.26"), "limit per payment"),
    ] {
        let denied = house.pay("scout", arguments).await;
        let explained = house.explain(&denied).await;
        assert_eq!(explained.rule.as_deref(), Some(rule), "{denied}");
        assert!(explained.replayed && explained.differs.is_none(), "{explained:?}");
        assert_eq!(explained.reasons[0].code, denied["code"]);
    }
}

#[tokio::test]
async fn an_id_that_there_is_not_is_told_as_such() {
    let house = House::new().await;
    house.scout().await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    let id: PaymentId = paid["payment_id"].as_str().unwrap().parse().unwrap();
    let created = PaymentId::new(0, 0).to_string();
    for odd in ["pay_ffffffffffffffff", "pay_0000000000000001", &created] {
        let problem = house.unexplained(odd).await.problem();
        assert_eq!((problem.status, problem.code.as_str()), (404, "payment_unknown"), "{odd}");
    }
    // The place of a record that is no payment's: the one that created the agent.
    let link = house.engine.books().await.unwrap().books[0].link;
    assert_eq!(link.position, id.position());
    let records = house.lines("scout").await.len();
    assert_eq!(records, 2);
}

#[tokio::test]
async fn a_record_that_no_decision_of_ours_made_is_told_apart() {
    let (dir, clock) = (private_dir(), Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap()));
    let store = store(dir.path(), &clock);
    let new = json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "1.00"}]});
    let new: NewAgent = serde_json::from_value(new).unwrap();
    let scout = new.handle.clone();
    let write = |by, fact: Box<dyn FnOnce(PaymentId) -> Fact + Send>| {
        let (store, scout) = (store.clone(), scout.clone());
        async move {
            let decide = move |_: &State, id, _| {
                let drafts = vec![Draft { agent: Some(scout), by, fact: fact(id) }];
                Decision::Commit { drafts, durable: true, answer: Box::new(move |_: &State| id) }
            };
            store.commit(Purpose::Record, decide).await.unwrap()
        }
    };
    let mandate = Box::new(new.mandate());
    write(By::Operator, Box::new(|_| Fact::Opened { mandate })).await;
    let windows = Windows { hour: 0, day: 0, week: 0, month: 0, minute: None };
    let paid = |amount: &str| {
        let amount = amount.parse().unwrap();
        let paid = move |payment| {
            Fact::Paid(Hold {
                payment,
                service: "search".parse().unwrap(),
                payee: "Acme".parse().unwrap(),
                amount,
                windows,
                binding: None,
                run: None,
                via: None,
                category: None,
                groups: Vec::new(),
                task: None,
                task_type: None,
                shadow: Vec::new(),
                request: None,
                model: None,
            })
        };
        Box::new(paid) as Box<dyn FnOnce(PaymentId) -> Fact + Send>
    };
    let (much, little) =
        (write(By::Agent, paid("1.01")).await, write(By::Agent, paid("0.01")).await);
    let engine = Engine::open(store, Rails::default(), clock).await.unwrap();
    let told = engine.explain(much).await.unwrap().differs.unwrap();
    assert!(told.starts_with("it is denied (cap_exceeded)"), "{told}");
    let told = engine.explain(little).await.unwrap().differs.unwrap();
    assert_eq!(told, "it counts in other windows than are recorded");
    engine.close().await;
}

#[tokio::test]
async fn whatever_happened_is_decided_so_once_more() {
    let mut dice = Dice(11);
    let mut house = House::new().await;
    let mut asked = Vec::new();
    for round in 0..400 {
        let agent = dice.one(&["a", "b"]);
        match dice.below(12) {
            0 => {
                let caps =
                    [dice.one(&["0.30/hour", "0.50/hour"]), dice.one(&["2.00/day", "1.00/24h"])];
                let zone = dice.one(&["UTC", "Asia/Kathmandu"]);
                let terms = json!({"per_call": "0.25", "caps": caps, "timezone": zone});
                house.policy(json!({agent: terms})).await;
            }
            1 => house.pass(SignedDuration::from_mins(i64::try_from(dice.below(200)).unwrap())),
            2 if round > 20 => {
                let amount = dice.one(&["0.05", "0.30"]);
                let handle = agent.parse().unwrap();
                let top_up = serde_json::from_value(json!({"amount_usd": amount})).unwrap();
                let _ = house.engine.top_up(&handle, top_up).await;
            }
            3 if round % 7 == 0 => house = house.reopened().await,
            _ => {
                let amount = dice.one(&["0.01", "0.10", "0.25", "0.26", "1.50"]);
                let answer = house.pay(agent, report(amount)).await;
                if answer["payment_id"].is_string() {
                    asked.push(answer);
                }
            }
        }
    }
    let (mut paid, mut denied) = (0, 0);
    for answer in &asked {
        let told = house.explain(answer).await;
        assert!(told.replayed && told.differs.is_none(), "{answer}: {told:?}");
        let refuses: Vec<_> = told.bounds.iter().filter(|one| !one.fits).collect();
        let reasons = told.reasons.iter().map(|reason| &reason.rule);
        let reasons: Vec<_> = reasons.filter(|rule| *rule != "loop detected").collect();
        assert_eq!(refuses.iter().map(|one| &one.rule).collect::<Vec<_>>(), reasons, "{told:?}");
        match told.outcome.as_str() {
            "paid" => paid += 1,
            _ => denied += 1,
        }
    }
    assert!(paid > 30 && denied > 30, "{paid} paid, {denied} denied");
}

#[tokio::test]
async fn caps_of_groups_of_categories_and_on_how_many_are_explained() {
    let house = House::new().await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "category": "geo"});
    house.service(maps).await;
    let policy = json!({"schema": 1, "groups": {
            "all": {"caps": ["0.50/day"]},
            "team": {"parent": "all", "caps": ["3x/day"]}},
        "agents": {
            "scout": {"funding": "allowance", "group": "team",
                "caps": ["1.00/day", "0.25/day category=geo", "5x/hour service=maps"]},
            "other": {"funding": "allowance", "group": "all", "caps": ["1.00/day"]}}});
    let asked = serde_json::from_value(json!({"policy": policy})).unwrap();
    house.engine.apply_policy(asked, None).await.unwrap();
    house.pay("scout", json!({"service_id": "maps"})).await;
    house.pay("other", report("0.20")).await;
    house.pay("scout", json!({"service_id": "maps"})).await;
    let denied = house.pay("scout", json!({"service_id": "maps"})).await;
    // The group, its parent and the catalogue are others by then.
    let policy = json!({"schema": 1, "groups": {"all": {"caps": ["9.00/day"]}},
        "services": {"maps": {"payee": "Acme", "price": "0.10"}},
        "agents": {"scout": {"funding": "allowance", "caps": ["9.00/day"]}}});
    let asked = serde_json::from_value(json!({"policy": policy})).unwrap();
    house.engine.apply_policy(asked, None).await.unwrap();
    let told = house.explain(&denied).await;
    let expected = [
        "cap per day: 1.00 0.20 0.00 0.80",
        "cap per day category=geo: 0.25 0.20 0.00 0.05 !",
        "cap on payments per hour service=maps: 5 2 0",
        "cap on payments per day of the group team: 3 2 0",
        "cap per day of the group all: 0.50 0.40 0.00 0.10",
    ];
    let mut told_of = bounds(&told);
    told_of.sort_by_key(|line| expected.iter().position(|one| one == line));
    assert_eq!(told_of, expected);
    assert!(told.replayed && told.differs.is_none(), "{told:?}");
    assert_eq!(told.rule.as_deref(), Some("cap per day category=geo"));
}

#[tokio::test]
async fn paces_and_loops_are_explained_with_what_they_counted() {
    let house = House::new().await;
    let terms = json!({"funding": "allowance", "caps": ["9.00/day"], "rates": ["2/min"],
        "burst": "5/min:throttle", "denials": "5:throttle", "cooldown": "1s"});
    house.policy(json!({"scout": terms})).await;
    house.pay("scout", report("0.10")).await;
    house.pass(SignedDuration::from_secs(2));
    house.pay("scout", report("0.20")).await;
    house.pass(SignedDuration::from_secs(2));
    let denied = house.pay("scout", report("0.30")).await;
    assert_eq!(denied["code"], "rate_limited");
    let told = house.explain(&denied).await;
    let expected = [
        "cap per day: 9.00 0.30 0.00 8.70",
        "rate of 2/min: 2 2 0 !",
        "cooldown of 1s: 1 0 0",
        "burst of 5/min: 5 0 0",
        "streak of 5 denials: 5 0 0",
    ];
    assert_eq!(bounds(&told), expected);
    assert_eq!(told.rule.as_deref(), Some("rate of 2/min"));
    assert!(told.differs.is_none(), "{told:?}");
    // The same that no waiting cures, again and again: the third says that it is a loop.
    house.pass(SignedDuration::from_mins(5));
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(house.pay("scout", report("10.00")).await);
    }
    let house = house.reopened().await;
    let (first, third) = (house.explain(&answers[0]).await, house.explain(&answers[2]).await);
    assert_eq!((first.rule.as_deref(), first.repeated), (Some("cap per day"), 1));
    assert_eq!(third.rule.as_deref(), Some("loop detected"));
    assert_eq!(third.reasons[1].rule, "cap per day");
    for told in [first, third] {
        assert!(told.replayed && told.differs.is_none(), "{told:?}");
    }
}
