//! `agent freeze` and `unfreeze`.

use super::Desk;

fn standing(desk: &Desk, agent: &str) -> String {
    let shown = desk.json(&format!("agent show {agent} --json"));
    shown["standing"].as_str().unwrap().to_owned()
}

#[test]
fn a_frozen_agent_has_nothing_to_spend_until_it_is_unfrozen() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    let told = desk.ok("agent freeze scout --reason looping --note \"asks the same all day\"");
    assert_eq!(
        told,
        "Froze scout (looping): it pays nothing until `pettycash agent unfreeze scout`.\n"
    );
    let shown = desk.json("agent show scout --json");
    assert_eq!(shown["standing"], "frozen");
    assert_eq!(shown["reason"], "looping");
    assert_eq!(shown["note"], "asks the same all day");
    assert_eq!(shown["available_usd"], "0.00");
    let told = desk.ok("agent show scout");
    assert!(told.contains("frozen (looping) since "), "{told}");
    assert!(told.contains(": asks the same all day"), "{told}");
    assert_eq!(desk.ok("agent unfreeze scout"), "Unfroze scout: it can spend $5.00 now.\n");
    assert_eq!(standing(&desk, "scout"), "active");
    let ledger = desk.json("ledger scout --json");
    assert_eq!(ledger["entries"][0]["outcome"], "unfrozen");
    assert_eq!(ledger["entries"][1]["code"], "looping");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn to_freeze_or_unfreeze_again_changes_nothing_and_says_so() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    assert_eq!(desk.ok("agent unfreeze scout"), "scout is active: nothing to do.\n");
    assert_eq!(desk.json("agent freeze scout --json")["changed"], true);
    let again = desk.json("agent freeze scout --reason again --json");
    assert_eq!(again["changed"], false);
    assert_eq!(again["reason"], "operator", "the first reason stays");
    assert!(desk.ok("agent freeze scout").ends_with("(operator): nothing to do.\n"));
    assert_eq!(desk.json("ledger scout --json")["entries"].as_array().unwrap().len(), 2);
}

#[test]
fn all_are_frozen_at_once_but_those_that_are_revoked() {
    let desk = Desk::new();
    assert_eq!(desk.ok("agent freeze --all"), "No agent is active: nothing to do.\n");
    for agent in ["ann", "bob", "cid", "dan"] {
        desk.ok(&format!("agent create {agent}"));
    }
    desk.ok("agent revoke dan --reason gone");
    desk.ok("agent freeze bob --reason looping");
    let told = desk.ok("agent freeze --all --reason bill");
    assert!(told.starts_with("Froze ann and cid. They pay nothing"), "{told}");
    assert_eq!(standing(&desk, "dan"), "revoked");
    assert_eq!(desk.json("agent show bob --json")["reason"], "looping");
    let told = desk.json("agent unfreeze --all --json");
    assert_eq!(told["changed"], serde_json::json!(["ann", "bob", "cid"]));
    assert_eq!(desk.ok("agent unfreeze --all"), "No agent is frozen: nothing to do.\n");
}

#[test]
fn more_agents_than_are_frozen_in_one_step_are_all_frozen() {
    let desk = Desk::new();
    let operator = desk.operator();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for n in 0..300 {
            let new = serde_json::json!({"handle": format!("a{n}"), "funding": "prepaid"});
            operator.create_agent(&serde_json::from_value(new).unwrap()).await.unwrap();
        }
    });
    let told = desk.json("agent freeze --all --json");
    assert_eq!(told["changed"].as_array().unwrap().len(), 300);
    let agents = desk.json("agent list --json");
    let agents = agents["agents"].as_array().unwrap().iter();
    assert!(agents.clone().all(|agent| agent["standing"] == "frozen"));
    assert_eq!(agents.count(), 300);
}

#[test]
fn a_freeze_names_one_agent_or_all() {
    let desk = Desk::new();
    for line in [
        "agent freeze",
        "agent unfreeze",
        "agent freeze scout --all",
        "agent freeze scout --reason \"No Spaces\"",
        "agent unfreeze scout --reason done",
    ] {
        assert!(desk.fails(line, 2).contains("hint: "), "{line}");
    }
    desk.ok("agent create scout");
    desk.ok("agent revoke scout --reason gone");
    for line in ["agent freeze scout", "agent unfreeze scout"] {
        let told = desk.fails(line, 1);
        assert!(told.contains("`scout` is revoked for good"), "{told}");
    }
    assert!(desk.fails("agent freeze ghost", 1).contains("there is no agent `ghost`"));
}
