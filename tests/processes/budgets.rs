//! However many processes an agent is started in, it has one budget.

use std::{
    process::{Child, Stdio},
    sync::Barrier,
    thread,
};

use serde_json::{Value, json};

use super::proc_home::{TestHome, text};
use crate::support::mcp_house::House;

#[test]
fn n_processes_have_one_budget_and_not_n() {
    let home = TestHome::new();
    let run = |line: &[&str]| home.command(line).output().unwrap();
    let made = run(&["service", "add", "search", "--payee", "Acme", "--price", "0.02"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let made = run(&[
        "agent",
        "create",
        "scout",
        "--funding",
        "allowance",
        "--cap",
        "0.10/lifetime",
        "--cap",
        "4x/lifetime service=search",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let pay = || {
        let mut command = home.command(&["pay", "scout", "search", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let processes: Vec<Child> = (0..12).map(|_| pay()).collect();
    let ended = processes.into_iter().map(|process| process.wait_with_output().unwrap());
    let codes: Vec<Option<i32>> = ended.map(|output| output.status.code()).collect();
    let ended_with = |code: i32| codes.iter().filter(|one| **one == Some(code)).count();
    assert_eq!((ended_with(0), ended_with(3)), (4, 8), "{codes:?}");
    let shown = run(&["agent", "show", "scout", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["caps"][0]["used_usd"], "0.08");
    assert_eq!(shown["caps"][1]["used_count"], json!(4));
}

/// Each client has a server of its own, as models' clients start them.
#[test]
fn the_mcp_servers_of_several_agents_have_the_one_budget_of_their_group() {
    const AGENTS: [&str; 3] = ["scout", "rover", "miner"];
    const CLIENTS: usize = 6;
    const CALLS: usize = 4;
    let house = House::new();
    house.operator("service add search --payee Acme --price 0.02");
    let file = house.state().with_file_name("policy.toml");
    let agents = AGENTS.map(|agent| {
        format!(
            "[agents.{agent}]\nfunding = \"allowance\"\ncaps = [\"1.00/day\"]\ngroup = \"team\"\n"
        )
    });
    let group = "[groups.team]\ncaps = [\"0.15/lifetime\"]\n";
    std::fs::write(&file, format!("schema = 1\n{group}{}", agents.concat())).unwrap();
    house.operator(&format!("apply {}", file.display()));
    let clients = (0..CLIENTS).map(|nth| house.client(AGENTS[nth % AGENTS.len()]));
    let clients: Vec<_> = clients.collect();
    let begin = Barrier::new(CLIENTS);
    let answers: Vec<Value> = thread::scope(|scope| {
        let paying = clients.into_iter().map(|mut client| {
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                let pay = |_| client.call("pay_for_api_call", json!({"service_id": "search"}));
                (0..CALLS).map(pay).collect::<Vec<_>>()
            })
        });
        let paying: Vec<_> = paying.collect();
        paying.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let paid = answers.iter().filter(|answer| answer["outcome"] == "paid").count();
    assert_eq!((paid, answers.len()), (7, CLIENTS * CALLS), "$0.14 of $0.15: {answers:?}");
    let refused = answers.iter().filter(|answer| answer["outcome"] != "paid");
    for answer in refused {
        let breached = answer["breached"].as_array().unwrap();
        assert!(breached.iter().any(|breach| breach["scope"] == "team"), "{answer}");
    }
    let team = house.operator_json("group show team");
    assert_eq!(team["caps"][0]["used_usd"], "0.14", "{team}");
    assert_eq!(house.operator("verify"), "");
}
