//! Policies: applied in one step, and shown before.

use std::{collections::BTreeSet, fmt::Write};

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Engine, EngineError, Proof},
    policy::terms::{FaultCode, LedgerAsked, MandatePatch, NewAgent, PolicyAsked, PolicyPlan},
    rails::Rails,
    store::{Options, Recording, Store},
};
use serde_json::{Value, json};

use super::rails::house_on;
use crate::support::{dice::Dice, house::House, private_dir, sim_disk::SimDisk};

fn asked(policy: &Value, more: &Value) -> PolicyAsked {
    let mut asked = json!({"policy": policy});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(asked).unwrap()
}

impl House {
    async fn apply(&self, policy: &Value) -> Result<PolicyPlan, EngineError> {
        self.engine.apply_policy(asked(policy, &json!({})), None).await
    }

    async fn dry(&self, policy: &Value) -> PolicyPlan {
        let asked = asked(policy, &json!({"dry_run": true}));
        self.engine.apply_policy(asked, None).await.unwrap()
    }

    async fn exported(&self) -> Value {
        serde_json::to_value(self.engine.policy().await.unwrap().policy).unwrap()
    }

    async fn head(&self) -> u64 {
        self.engine.books().await.unwrap().head.seq
    }
}

fn code(error: &EngineError) -> String {
    error.problem().code
}

#[tokio::test]
async fn all_of_a_policy_is_one_record_or_nothing_of_it() {
    let house = House::new().await;
    house.scout().await;
    let before = house.head().await;
    let agents = json!({"scout": {"funding": "allowance", "caps": ["1.00/day"]}, "a": {}, "b": {}});
    let policy = json!({"schema": 1, "agents": agents, "services": {"maps": {"payee": "Maps"}}});
    let plan = house.apply(&policy).await.unwrap();
    assert!(plan.applied && plan.gives_more);
    assert_eq!(house.head().await, before + 1);
    assert_eq!(house.outcomes("scout").await, ["mandate_set", "created"]);
    let mut wrong = policy.clone();
    wrong["agents"]["a"] = json!({"per_call": "0.10"});
    wrong["agents"]["b"] = json!({"funding": "allowance"});
    let refused = house.apply(&wrong).await.unwrap_err();
    assert_eq!(code(&refused), "policy_refused");
    assert_eq!(house.outcomes("a").await, ["created"], "nor what was right in it");
    let again = house.apply(&policy).await.unwrap();
    assert!(!again.applied && again.is_nothing());
    assert_eq!((again.unchanged, house.head().await), (4, before + 1));
    let house = house.reopened().await;
    assert!(house.apply(&policy).await.unwrap().is_nothing(), "also after a restart");
}

#[tokio::test]
async fn hours_that_never_open_are_refused_with_both_places_unless_they_are_so_already() {
    let house = House::new().await;
    // The house is at noon of a Saturday.
    let clerk = |days: &str, expires: &str| {
        let clerk = json!({"days": [days], "hours": "09:00-12:00", "expires": expires});
        json!({"schema": 1, "agents": {"clerk": clerk}})
    };
    for (days, expires, opens) in [
        ("sat", "2026-11-28T09:00:00Z", false),
        ("sat", "2026-11-28T09:00:01Z", true),
        ("sun", "2026-11-22T09:00:00Z", false),
        ("sun", "2026-11-23T00:00:00Z", true),
    ] {
        let plan = house.dry(&clerk(days, expires)).await;
        assert_eq!(plan.is_refused(), !opens, "{days} until {expires}");
        if let Some(fault) = plan.faults.first() {
            assert_eq!(fault.code, FaultCode::NeverOpen);
            let at: Vec<_> = fault.at.iter().map(|place| place.pointer.as_str()).collect();
            assert_eq!(at, ["/agents/clerk/hours", "/agents/clerk/expires"]);
            let told = "the hours of `clerk`, sat 09:00-12:00, never open before it ends";
            assert!(days == "sun" || fault.message == told, "{}", fault.message);
        }
    }
    house.apply(&clerk("sun", "2026-11-22T09:30:00Z")).await.unwrap();
    house.pass(SignedDuration::from_hours(21) + SignedDuration::from_mins(20));
    let plan = house.dry(&clerk("sun", "2026-11-22T09:30:00Z")).await;
    assert!(!plan.is_refused() && plan.is_nothing());
}

#[tokio::test]
async fn the_same_in_another_order_or_finer_than_it_is_kept_changes_nothing() {
    let house = House::new().await;
    let policy = |caps: [&str; 2]| {
        let a = json!({"caps": caps, "expires": "2030-06-01T12:00:00.123456789Z"});
        json!({"schema": 1, "agents": {"a": a}})
    };
    let caps = ["5.00/day", "1.00/hour"];
    assert!(house.apply(&policy(caps)).await.unwrap().applied);
    let house = house.reopened().await;
    assert!(house.dry(&policy(caps)).await.is_nothing());
    assert!(house.dry(&policy([caps[1], caps[0]])).await.is_nothing());
    house
        .agent(json!({"handle": "b", "funding": "prepaid", "caps": [
        {"period": "day", "cap_usd": "5.00"}, {"period": "hour", "cap_usd": "1.00"}]}))
        .await;
    let b = json!({"schema": 1, "agents": {"b": {"caps": [caps[1], caps[0]]}}});
    assert!(house.dry(&b).await.is_nothing());
}

#[tokio::test]
async fn what_is_spent_held_and_topped_up_is_as_it_was() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "2.00").await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(paid["outcome"], "paid");
    let agents = json!({"scout": {"funding": "allowance", "caps": ["0.03/day"]},
        "intern": {"caps": ["1.00/day"], "timezone": "Asia/Tokyo"}});
    house.apply(&json!({"schema": 1, "agents": agents})).await.unwrap();
    let balance = house.call("get_balance", "intern", json!({})).await;
    assert_eq!(balance["balance_usd"], "2.00");
    let denied = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(denied["breached"][0]["used_usd"], "0.02", "{denied}");
    assert_eq!(denied["code"], "cap_exceeded");
}

#[tokio::test]
async fn what_only_tightens_takes_no_proof_and_is_decided_on_the_newest_state() {
    let house = House::new().await;
    house.scout().await;
    house.engine.set_passphrase("correct horse battery".into(), None).await.unwrap();
    let with = |caps: &str| {
        let scout = json!({"funding": "allowance", "per_call": "0.25", "caps": [caps]});
        json!({"schema": 1, "agents": {"scout": scout}})
    };
    let tighter = house.apply(&with("4.00/day")).await.unwrap();
    assert!(tighter.applied && !tighter.gives_more);
    let looser = house.apply(&with("4.01/day")).await.unwrap_err();
    assert_eq!(code(&looser), "operator_proof_required");
    let proof = Proof::Passphrase("correct horse battery".into());
    let looser = house.engine.apply_policy(asked(&with("4.01/day"), &json!({})), Some(proof)).await;
    assert!(looser.unwrap().applied);
    let other = json!({"schema": 1, "services": {"search": {"payee": "Mallory", "price": "0.02"}}});
    assert_eq!(code(&house.apply(&other).await.unwrap_err()), "operator_proof_required");
    let new = json!({"schema": 1, "agents": {"new": {}}});
    assert_eq!(code(&house.apply(&new).await.unwrap_err()), "operator_proof_required");
    let told = house.dry(&new).await;
    assert!(told.gives_more && !told.lets_spend_more(), "it starts at zero");
    // Nobody is in a group that is new; one that is put in between bounds by more.
    let groups = |groups: Value| json!({"schema": 1, "groups": groups});
    let (org, mid) = (json!({"caps": ["9.00/day"]}), json!({"parent": "org"}));
    let new = groups(json!({"org": org, "mid": mid, "team": {"parent": "org"}}));
    let told = house.apply(&new).await.unwrap();
    assert!(told.applied && !told.gives_more);
    let between = house.apply(&groups(json!({"team": {"parent": "mid"}}))).await.unwrap();
    assert!(between.applied && !between.gives_more);
    let out = groups(json!({"team": {"parent": "org"}}));
    assert_eq!(code(&house.apply(&out).await.unwrap_err()), "operator_proof_required");
    assert!(house.dry(&out).await.gives_more);
}

#[test]
fn no_name_stands_twice_in_a_policy() {
    for (kind, one) in [("agents", "{}"), ("groups", "{}"), ("services", "{\"payee\": \"A\"}")] {
        let asked = |second: &str| {
            let named = format!("{{\"twin\": {one}, \"{second}\": {one}}}");
            let asked = format!("{{\"policy\": {{\"schema\": 1, \"{kind}\": {named}}}}}");
            serde_json::from_str::<PolicyAsked>(&asked).map_err(|error| error.to_string())
        };
        assert!(asked("other").is_ok(), "{kind}");
        let twice = asked("twin").unwrap_err();
        assert!(twice.starts_with("`twin` stands here twice"), "{kind}: {twice}");
    }
}

#[test]
fn no_service_is_pinned_twice_wherever_pins_are_sent() {
    let asked = |second: &str| {
        let pins = format!("\"pinned\": {{\"search\": \"Acme\", \"{second}\": \"Evil\"}}");
        let policy =
            format!("{{\"policy\": {{\"schema\": 1, \"agents\": {{\"a\": {{{pins}}}}}}}}}");
        let new = format!("{{\"handle\": \"a\", \"funding\": \"prepaid\", {pins}}}");
        [
            serde_json::from_str::<PolicyAsked>(&policy).map(drop),
            serde_json::from_str::<NewAgent>(&new).map(drop),
            serde_json::from_str::<MandatePatch>(&format!("{{{pins}}}")).map(drop),
        ]
    };
    for (fine, twice) in asked("maps").into_iter().zip(asked("search")) {
        fine.unwrap();
        let twice = twice.unwrap_err().to_string();
        assert!(twice.starts_with("`search` stands here twice"), "{twice}");
    }
}

#[tokio::test]
async fn a_policy_without_room_is_refused_whole_and_says_what_works() {
    let disk = SimDisk::default();
    let house = house_on(&disk, Rails::default(), 64 * 1024 * 1024).await;
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    disk.set_capacity(disk.used());
    let credit = || serde_json::from_value(json!({"amount_usd": "0.01"})).unwrap();
    while house.engine.top_up(&"intern".parse().unwrap(), credit()).await.is_ok() {}
    let before = house.exported().await;
    let scout = json!({"funding": "allowance", "per_call": "0.25", "caps": ["1.00/day"]});
    let tighter = json!({"schema": 1, "agents": {"scout": scout, "intern": {"per_call": "0.10"}}});
    let refused = house.apply(&tighter).await.unwrap_err().problem();
    assert_eq!((refused.status, refused.code.as_str()), (503, "ledger_unwritable"));
    let hint = refused.hint.unwrap();
    assert!(hint.contains("agent freeze` and `agent revoke` work"), "{hint}");
    assert_eq!(house.exported().await, before, "nothing of it");
    assert_eq!(house.engine.record_health().in_memory, 0);
    disk.set_capacity(usize::MAX);
    assert!(house.apply(&tighter).await.unwrap().applied);
    let page = house.engine.ledger(LedgerAsked::page(None, None, Some(10))).await.unwrap();
    let told: Vec<_> = page.entries.iter().map(|line| json!(line)["outcome"].clone()).collect();
    assert_eq!(told[..3], ["mandate_set", "mandate_set", "policy_applied"], "one record");
}

#[tokio::test]
async fn a_plan_names_what_it_changes_and_nothing_else() {
    let house = House::new().await;
    house.scout().await;
    let policy = json!({"schema": 1, "agents": {"scout": {"funding": "allowance",
        "caps": ["2.00/day"]}, "new": {"caps": ["1.00/day"]}}});
    let plan = house.dry(&policy).await.plan;
    house.pay("scout", json!({"service_id": "search"})).await;
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    house.pass(SignedDuration::from_hours(30));
    assert_eq!(house.dry(&policy).await.plan, plan, "what was paid is not of it, nor the time");
    let shown = |plan: &str| asked(&policy, &json!({"plan": plan}));
    let wrong = house.engine.apply_policy(shown("0"), None).await.unwrap_err();
    assert_eq!(code(&wrong), "policy_changed");
    house.agent(json!({"handle": "new", "funding": "prepaid"})).await;
    let late = house.engine.apply_policy(shown(&plan), None).await.unwrap_err();
    assert_eq!(code(&late), "policy_changed", "what was new is there");
    let plan = house.dry(&policy).await.plan;
    assert!(house.engine.apply_policy(shown(&plan), None).await.unwrap().applied);
}

#[tokio::test]
async fn a_revoked_agent_is_never_set_and_never_given_again() {
    let house = House::new().await;
    house.scout().await;
    house.revoke("scout").await;
    let policy = json!({"schema": 1, "agents": {"scout": {"funding": "allowance",
        "per_call": "0.25", "caps": ["5.00/day"]}}});
    let plan = house.dry(&policy).await;
    assert_eq!(plan.faults[0].code, FaultCode::AgentRevoked);
    assert_eq!(plan.faults[0].at[0].pointer, "/agents/scout");
    assert_eq!(code(&house.apply(&policy).await.unwrap_err()), "policy_refused");
    assert_eq!(house.exported().await["agents"], Value::Null);
    assert_eq!(house.engine.policy().await.unwrap().revoked, 1);
}

#[tokio::test]
async fn a_new_agent_is_told_with_its_services_and_who_may_use_it() {
    let house = House::new().await;
    let told = async |terms: Value| {
        let plan = house.dry(&json!({"schema": 1, "agents": {"new": terms}})).await;
        let changes = plan.agents[0].changes.iter();
        let told = changes.map(|one| format!("{}: {}", one.what, one.to.as_deref().unwrap()));
        told.collect::<Vec<_>>()
    };
    let all = ["funding: prepaid", "services: all", "local clients: allowed"];
    assert_eq!(told(json!({})).await, all);
    let some = ["funding: prepaid", "services: search", "local clients: barred"];
    assert_eq!(told(json!({"allow": ["search"], "local": "barred"})).await, some);
    let none = house.dry(&json!({"schema": 1, "agents": {"new": {"allow": []}}})).await;
    assert_eq!(none.faults[0].code, FaultCode::AllowEmpty);
    assert_eq!(none.faults[0].at[0].pointer, "/agents/new/allow");
}

#[tokio::test]
async fn what_one_agent_has_already_is_no_leave_for_another() {
    let house = House::new().await;
    house.agent(json!({"handle": "old", "funding": "prepaid", "allow": ["ghost"]})).await;
    let with =
        |agents: Value| json!({"schema": 1, "defaults": {"allow": ["ghost"]}, "agents": agents});
    assert!(!house.dry(&with(json!({"old": {}}))).await.is_refused());
    let plan = house.dry(&with(json!({"old": {}, "young": {}}))).await;
    assert!(plan.is_refused(), "{:?}", plan.faults);
}

/// Terms of an agent, of which some contradict themselves.
fn terms(dice: &mut Dice, funding: &str) -> Value {
    let mut terms = json!({"funding": funding});
    let amounts = ["0.01", "0.250", "1", "9.999999999", "123.45"];
    let periods = ["hour", "day", "week", "month", "lifetime", "24h", "rolling_7h", "run"];
    let services = ["search", "report", "maps", "ads", "gone"];
    let caps: BTreeSet<_> = (0..dice.below(4)).map(|_| dice.one(&periods)).collect();
    let mut caps: Vec<String> =
        caps.into_iter().map(|period| format!("{}/{period}", dice.one(&amounts))).collect();
    if dice.below(2) == 0 {
        caps.reverse();
    }
    terms["caps"] = json!(caps);
    for list in ["allow", "deny"] {
        let named: Vec<_> = (0..dice.below(4)).map(|_| dice.one(&services)).collect();
        if dice.below(2) == 0 && !(list == "allow" && named.is_empty()) {
            terms[list] = json!(named);
        }
    }
    let rates = ["", "60/1h", "100/hour 20/min 5/10s", "5/24h 6/23h"];
    let rates: Vec<_> = dice.one(&rates).split_whitespace().collect();
    let others = [
        ("per_call", json!(dice.one(&amounts))),
        ("timezone", json!(dice.one(&["UTC", "Europe/Paris", "Asia/Kathmandu"]))),
        (
            "expires",
            json!(dice.one(&["2020-01-01T00:00:00Z", "2030-06-01T12:00:00.123456789+02:00"])),
        ),
        ("local", json!(dice.one(&["allowed", "barred"]))),
        ("rates", json!(rates)),
        ("burst", json!(dice.one(&["5/min:freeze", "1/24h:flag", "3/60s:throttle"]))),
        ("denials", json!(dice.one(&["2:flag", "10:freeze", "1000000:throttle"]))),
        ("hours", json!(dice.one(&["09:00-18:00", "22:00-06:00", "13:00-24:00,08:00-12:00"]))),
        ("days", json!(dice.one(&["sun mon", "wed", "fri thu"]).split(' ').collect::<Vec<_>>())),
        ("cooldown", json!(dice.one(&["60s", "24h", "1s"]))),
    ];
    for (key, value) in others {
        if dice.below(2) == 0 {
            terms[key] = value;
        }
    }
    terms
}

/// Any policy, some of which are refused.
fn policy(dice: &mut Dice) -> Value {
    let mut agents = json!({});
    for n in (0..6).filter(|_| dice.below(2) == 0).collect::<Vec<_>>() {
        let funding = if n % 2 == 0 { "allowance" } else { "prepaid" };
        agents[format!("a{n}")] = terms(dice, funding);
    }
    let mut services = json!({});
    for name in ["search", "maps", "ads"] {
        if dice.below(3) == 0 {
            services[name] = json!({"payee": dice.one(&["Acme", "Łódź \"x\"", "O'Neill \\ #"])});
        }
    }
    json!({"schema": 1, "agents": agents, "services": services})
}

#[tokio::test]
async fn whatever_is_exported_changes_nothing_where_it_is_applied() {
    let mut dice = Dice(7);
    let (mut applied, mut refused) = (0, 0);
    let mut house = House::new().await;
    for round in 0..300 {
        let policy = policy(&mut dice);
        let dry = house.dry(&policy).await;
        match house.apply(&policy).await {
            Ok(done) => {
                applied += 1;
                assert!(house.dry(&policy).await.is_nothing(), "{policy}");
                assert_eq!((dry.plan, dry.agents.len()), (done.plan, done.agents.len()));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(code(&error), "policy_refused", "{error}");
                assert!(dry.is_refused());
            }
        }
        // A service that is removed stays named by mandates.
        if round % 7 == 0 {
            let _ = house.engine.remove_service(&"maps".parse().unwrap()).await;
        }
        if round % 50 == 0 {
            house = house.reopened().await;
        }
        let exported = house.exported().await;
        let plan = house.dry(&exported).await;
        assert!(plan.is_nothing() && !plan.is_refused(), "{exported}: {:?}", plan.faults);
        assert_eq!((plan.agents_left, plan.services_left), (0, 0));
        let head = house.head().await;
        assert!(!house.apply(&exported).await.unwrap().applied);
        assert_eq!(house.head().await, head, "nothing is written");
    }
    assert!(applied > 30 && refused > 30, "{applied} applied, {refused} refused");
}

#[tokio::test]
async fn a_policy_of_thousands_is_one_step_and_one_of_too_many_is_none() {
    let house = House::new().await;
    let many = |agents: usize, services: usize| {
        let mut allow = String::new();
        (0..services).for_each(|n| write!(allow, ",\"{}{n:02}\"", "s".repeat(61)).unwrap());
        let deny: Value =
            serde_json::from_str(&format!("[{}]", allow.trim_start_matches(','))).unwrap();
        let terms = json!({"funding": "allowance", "caps": ["5.00/day"], "deny": deny});
        let agents: serde_json::Map<_, _> =
            (0..agents).map(|n| (format!("agent-{n}"), json!({}))).collect();
        json!({"schema": 1, "defaults": terms, "agents": agents})
    };
    let before = house.head().await;
    let large = house.apply(&many(2_500, 60)).await.unwrap_err();
    assert_eq!(code(&large), "policy_too_large", "{large}");
    // Also where it is only looked at, and by the names alone.
    for (agents, services) in [(2_500, 60), (10_001, 0)] {
        let dry = asked(&many(agents, services), &json!({"dry_run": true}));
        let refused = house.engine.apply_policy(dry, None).await.unwrap_err();
        assert_eq!(code(&refused), "policy_too_large", "{agents} agents: {refused}");
    }
    let named = |n| (format!("s{n}"), json!({"payee": "A"}));
    let services: serde_json::Map<_, _> = (0..10_001).map(named).collect();
    let refused = house.apply(&json!({"schema": 1, "services": services})).await.unwrap_err();
    assert_eq!(code(&refused), "policy_too_large", "{refused}");
    assert_eq!(house.head().await, before);
    assert_eq!(house.engine.agents().await.unwrap().agents.len(), 0);
    let plan = house.apply(&many(2_500, 0)).await.unwrap();
    assert_eq!((plan.agents.len(), house.head().await), (2_500, before + 1));
    let house = house.reopened().await;
    assert_eq!(house.engine.agents().await.unwrap().agents.len(), 2_500);
    assert_eq!(house.outcomes("agent-7").await, ["created"]);
}

#[tokio::test]
async fn a_policy_that_is_applied_is_named_by_the_anchor_when_it_is_answered() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let bare = Options::bare(clock.clone());
    let options = || Options { anchor: Some(anchors.port()), ..bare.clone() };
    let store = Store::open(disk.port(), options()).unwrap();
    let engine = Engine::open(store, Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir: private_dir(), clock, engine };
    let mut older = disk.copy();
    for cap in ["5.00/day", "4.00/day"] {
        let scout = json!({"funding": "allowance", "caps": [cap]});
        let policy = json!({"schema": 1, "agents": {"scout": scout}});
        assert!(house.apply(&policy).await.unwrap().applied);
        let known = Options { anchor: Some(anchors.copy().port()), ..bare.clone() };
        let store = Store::open(older.copy().port(), known).unwrap();
        let recording = store.condition().recording;
        assert!(matches!(recording, Recording::Sealed(_)), "{cap}: {recording:?}");
        store.close().await;
        older = disk.copy();
    }
    house.engine.close().await;
}

#[tokio::test]
async fn what_is_changed_while_a_policy_is_planned_is_not_undone_by_it() {
    let house = House::new().await;
    house.scout().await;
    house.engine.set_passphrase("correct horse battery".into(), None).await.unwrap();
    let policy = |cents: u32| {
        let caps = [format!("{}.{:02}/day", cents / 100, cents % 100)];
        let scout = json!({"funding": "allowance", "per_call": "0.25", "caps": caps});
        json!({"schema": 1, "agents": {"scout": scout}})
    };
    // Each tightens what there is at first; by when it is written down it may give more, and
    // nobody proves that he may do that.
    let all = (100..140).map(|cents| {
        let engine = house.engine.clone();
        let asked = asked(&policy(cents), &json!({}));
        tokio::spawn(async move { (cents, engine.apply_policy(asked, None).await) })
    });
    let (mut least, mut refused) = (500, 0);
    for one in all.collect::<Vec<_>>() {
        match one.await.unwrap() {
            (cents, Ok(_)) => least = cents.min(least),
            (_, Err(error)) => {
                refused += 1;
                let code = code(&error);
                assert!(["operator_proof_required", "policy_changed"].contains(&&*code), "{code}");
            }
        }
    }
    assert_eq!(house.dry(&policy(least)).await.unchanged, 1, "the tightest that was told applied");
    assert!(refused < 40);
    let mandates = house.lines("scout").await;
    let caps: Vec<u32> = mandates
        .iter()
        .filter(|line| line["outcome"] == "mandate_set")
        .map(|line| {
            let words = line["detail"].as_str().unwrap();
            let cap = words.split(", ").find(|word| word.ends_with("/day")).unwrap();
            cap.trim_end_matches("/day").replace('.', "").parse().unwrap()
        })
        .collect();
    assert!(caps.is_sorted(), "newest first, and none gave more: {caps:?}");
}
