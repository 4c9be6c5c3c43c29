//! Presets: what the usual agents may spend.

use serde_json::Value;

use super::Desk;

const NAMES: [&str; 4] = ["booker", "enricher", "orchestrator", "summariser"];

#[test]
fn the_presets_are_a_policy_that_is_applied_as_it_is_and_agents_are_created_alike() {
    let desk = Desk::new();
    let told = desk.fed("apply - --dry-run", desk.ok("agent presets").as_bytes());
    assert_eq!(String::from_utf8(told.stderr).unwrap(), "", "no warnings either");
    desk.apply(&desk.ok("agent presets"));
    let all = desk.json("agent presets --json");
    let names: Vec<&String> = all["agents"].as_object().unwrap().keys().collect();
    assert_eq!(names, NAMES);
    let view = |handle: &str| -> Value {
        let mut view = desk.json(&format!("mandate show {handle} --json"));
        view.as_object_mut().unwrap().remove("handle");
        view["caps"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        view
    };
    for name in NAMES {
        desk.ok(&format!("agent create my-{name} --preset {name}"));
        assert_eq!(view(&format!("my-{name}")), view(name));
        let caps = view(name)["caps"].to_string();
        assert!(caps.contains("day") && caps.contains("month"), "{name}: {caps}");
    }
}

#[test]
fn what_is_typed_goes_before_a_preset_and_an_unknown_one_is_told_with_the_names() {
    let desk = Desk::new();
    let typed = "--cap 2.00/day --per-call 0.02 --timezone Europe/Paris --first-payee free";
    desk.ok(&format!("agent create reader --preset summariser {typed}"));
    let view = desk.json("mandate show reader --json");
    assert_eq!(view["per_call_limit_usd"], "0.02");
    assert_eq!(view["timezone"], "Europe/Paris");
    assert_eq!(view.get("first_payee"), None);
    let caps = view["caps"].as_array().unwrap();
    let day = |cap: &&Value| cap["period"] == "day" && cap.get("cap_usd").is_some();
    assert_eq!(caps.iter().find(day).unwrap()["cap_usd"], "2.00");
    assert!(caps.iter().any(|cap| cap["period"] == "month"), "{caps:?}");
    assert_eq!(view["rates"][0], "20/min");

    let told = desk.fails("agent create other --preset sumariser", 2);
    for name in NAMES {
        assert!(told.contains(&format!("`{name}`")), "{told}");
    }
    desk.fails("agent create other --preset booker --per-call 0", 2);
    let told = desk.ok("init --agent first --preset summariser --cap 3.00/day --yes");
    assert!(told.contains("$3.00 per day") && told.contains("at most $0.05"), "{told}");
    assert_eq!(desk.json("mandate show first --json")["rates"][0], "20/min");
    let paced = ["20 payments in", "throttle at more than 10 equal", "first payee"];
    for word in paced.into_iter().chain(["throttle at 10 denials in a row"]) {
        assert!(told.contains(word) || word == "first payee", "init: {word} is not in\n{told}");
        let told = desk.ok("agent list");
        assert!(told.contains(word), "agent list: {word} is not in\n{told}");
    }
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn a_presets_tiers_that_do_not_fit_are_told_as_the_presets_with_what_to_do() {
    let desk = Desk::new();
    for verb in ["agent create lead", "init --yes --agent lead"] {
        let told = desk.fails(&format!("{verb} --preset orchestrator --per-call 2.00"), 2);
        assert!(told.contains("preset `orchestrator`") && told.contains("--no-tiers"), "{told}");
    }
    desk.ok("init --yes --agent lead --preset orchestrator --per-call 2.00 --no-tiers");
    let created = desk.ok("agent create lead2 --preset orchestrator");
    assert!(created.contains("$1.00 per payment after 100 payments over 7 days"), "{created}");
    let told = "agent create lead3 --preset orchestrator --per-call 2.00 --tier 5x/1d:1.00";
    assert!(!desk.fails(told, 2).contains("preset"), "that tier was typed");
}

#[test]
fn a_booker_is_frozen_at_the_third_equal_booking_in_an_hour_and_not_at_the_second() {
    let desk = Desk::new();
    desk.ok("service add trains --payee Rail --price 9.00");
    desk.ok("agent create booker --preset booker --cooldown 1s");
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(desk.run("pay booker trains").status.code());
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    assert_eq!(codes, [Some(0), Some(0), Some(3)]);
    assert!(desk.ok("agent show booker").contains("frozen"));
}
