//! The published contract: `tools/` says what the running server says, and every answer keeps it.
//!
//! `UPDATE=1 cargo test contract` writes the files; review reads them. On CI nothing is written.

use std::{collections::BTreeSet, fs, path::PathBuf, thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use pettycash::{
    clock::Clock,
    policy::{
        answer::{PayAnswer, Refused},
        denial::{Advice, Code, Denial, Refusal},
    },
};
use serde_json::{Value, json};

use crate::support::{mcp_house::House, mcp_raw::Raw};

/// What a model pays for having the three main tools, at most.
const BUDGET: usize = 2_900;
/// The longest that an everyday answer may be.
const ANSWER: usize = 700;
/// What each limit beyond two may add that is passed at the same time.
const BREACH: usize = 130;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools")
}

/// Whether the files may be written: by somebody who asks for it, and never on CI.
fn may_write(variable: impl Fn(&str) -> bool) -> bool {
    variable("UPDATE") && !variable("CI")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Every file of the contract by its name, as the program would write it.
fn contract(tools: &[Value]) -> Vec<(String, String)> {
    let pretty = |value: &Value| format!("{}\n", serde_json::to_string_pretty(value).unwrap());
    let named = |tool: &Value| format!("{}.json", tool["name"].as_str().unwrap());
    let mut files: Vec<_> = tools.iter().map(|tool| (named(tool), pretty(tool))).collect();
    let row = |code: Code| {
        let advice = code.advice();
        json!({"code": code.word(), "meaning": code.meaning(), "advice": advice})
    };
    let codes: Vec<Value> = Code::ALL.iter().copied().map(row).collect();
    files.push(("denials.json".to_owned(), pretty(&codes.into())));
    files.push(("policy.schema.json".to_owned(), pretty(&pettycash::cli::policy_schema())));
    files.push(("openapi.json".to_owned(), pretty(&pettycash::http::openapi().into())));
    files
}

/// The tools of an agent that has all of them.
fn all_tools(house: &House) -> Vec<Value> {
    house.operator("agent create helper --cap 0.10/task --tasks agent");
    house.client("helper").tools()
}

#[test]
fn the_files_in_tools_say_what_the_running_server_says() {
    let house = House::new();
    let files = contract(&all_tools(&house));
    if may_write(is_set) {
        fs::create_dir_all(folder()).unwrap();
        for (name, text) in &files {
            fs::write(folder().join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let published = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert_eq!(published, *text, "tools/{name} differs: UPDATE=1 cargo test contract");
    }
    let names: BTreeSet<String> = files.into_iter().map(|(name, _)| name).collect();
    let found = fs::read_dir(folder()).unwrap();
    let found = found.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), names, "a file that nothing writes");
}

#[test]
fn ci_never_writes_the_contract() {
    assert!(may_write(|name| name == "UPDATE"));
    assert!(!may_write(|_| true));
    assert!(!may_write(|name| name == "CI"));
}

#[test]
fn a_model_gets_the_three_main_tools_for_less_than_their_budget() {
    let tools = all_tools(&House::new());
    let seen = |tool: &Value| {
        let [name, description, schema] = ["name", "description", "inputSchema"];
        json!({name: tool[name], description: tool[description], schema: tool[schema]})
    };
    let others = ["list_services", "open_task", "finish_task"];
    let main = tools.iter().filter(|tool| !others.contains(&tool["name"].as_str().unwrap()));
    let sizes: Vec<usize> = main.map(|tool| seen(tool).to_string().len()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().sum::<usize>() < BUDGET, "{sizes:?}");
    for tool in &tools {
        assert_eq!(tool["_meta"]["anthropic/alwaysLoad"], true);
        let hints = &tool["annotations"];
        let (pays, opens) = (tool["name"] == "pay_for_api_call", tool["name"] == "open_task");
        let reads = !pays && !opens && tool["name"] != "finish_task";
        assert_eq!(hints["readOnlyHint"], reads);
        assert_eq!(hints["destructiveHint"], pays);
        // Without a key, twice is paid twice, or opened twice.
        assert_eq!(hints["idempotentHint"], !pays && !opens);
        assert_eq!(hints["openWorldHint"], pays);
    }
}

/// What is not portable about a schema. These keywords are all that every client knows.
fn oddities(schema: &Value, path: &str, found: &mut Vec<String>) {
    const INPUT: [&str; 3] = ["minimum", "maximum", "default"];
    const KNOWN: [&str; 6] =
        ["type", "properties", "required", "items", "description", "additionalProperties"];
    const TYPES: [&str; 5] = ["object", "array", "string", "integer", "boolean"];
    let Some(fields) = schema.as_object() else {
        return found.push(format!("{path} is no object: {schema}"));
    };
    for (keyword, value) in fields {
        let known = KNOWN.contains(&&**keyword) || INPUT.contains(&&**keyword);
        if !known || value.is_null() || (keyword == "additionalProperties" && value != false) {
            found.push(format!("{path}: {keyword} is {value}"));
        }
    }
    if !fields.get("type").and_then(Value::as_str).is_some_and(|name| TYPES.contains(&name)) {
        found.push(format!("{path} has no plain type: {schema}"));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        oddities(field, &format!("{path}.{name}"), found);
    }
    if let Some(items) = fields.get("items") {
        oddities(items, &format!("{path}[]"), found);
    }
}

#[test]
fn every_schema_is_one_that_every_client_takes() {
    for tool in all_tools(&House::new()) {
        let mut found = Vec::new();
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object");
            assert!(tool[schema]["properties"].is_object(), "some clients want `properties`");
            oddities(&tool[schema], &format!("{} {schema}", tool["name"]), &mut found);
        }
        assert_eq!(found, [""; 0]);
        let input = &tool["inputSchema"];
        assert_eq!(input["additionalProperties"], false);
        assert!(
            input["properties"]
                .as_object()
                .unwrap()
                .iter()
                // What is called is of the service's own shape.
                .filter(|(name, _)| *name != "request")
                .all(|(_, field)| { field["type"] != "object" && field["type"] != "array" }),
            "inputs are flat"
        );
    }
}

/// Why a value is not what a portable schema says.
fn misfit(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let fits = match schema["type"].as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{path}: what is {other}?"),
    };
    if !fits {
        return Some(format!("{path} is {value}"));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required.filter_map(Value::as_str).find(|name| value.get(name).is_none());
    if let Some(missing) = missing {
        return Some(format!("{path}.{missing} is missing"));
    }
    let inside = value.as_object().into_iter().flatten().find_map(|(name, field)| {
        let path = format!("{path}.{name}");
        // A field that the schema does not tell is one that nobody was told of.
        let schema = schema["properties"].get(name);
        schema.map_or(Some(format!("{path} is not told")), |schema| misfit(schema, field, &path))
    });
    let items = value.as_array().into_iter().flatten();
    inside.or_else(|| items.into_iter().find_map(|item| misfit(&schema["items"], item, path)))
}

/// The real answers of a real server, each with its tool: every denial there is, and the rest.
struct Sample(Vec<(&'static str, Value)>);

impl Sample {
    fn pay(&mut self, client: &mut Raw, arguments: Value) {
        self.0.push(("pay_for_api_call", client.pay(arguments)));
    }

    fn read(&mut self, client: &mut Raw, tool: &'static str, arguments: Value) {
        self.0.push((tool, client.call(tool, arguments)));
    }

    fn take(house: &House) -> Self {
        let mut sample = Self(Vec::new());
        let search = json!({"service_id": "search"});
        let report = |amount: &str| json!({"service_id": "report", "amount_usd": amount});
        house.operator("service add search-lite --payee Acme --price 0.01");
        let all_caps = "--cap 0.30/hour --cap 0.30/day --cap 0.30/week --cap 0.30/month";
        house.operator(&format!("agent create tight {all_caps} --per-call 0.25"));
        house.operator("agent create picky --deny search");
        let soon = Clock::System.now() + SignedDuration::from_millis(500);
        house.operator(&format!("agent create late --expires {soon}"));
        house.operator("top-up tight 0.28");

        let mut tight = house.client("tight");
        sample.pay(&mut tight, report("0.25"));
        sample.pay(&mut tight, report("0.26"));
        sample.pay(&mut tight, report("0.10"));
        sample.pay(&mut tight, report("0.04"));
        let mut scout = house.client("scout");
        let keyed = json!({"service_id": "search", "idempotency_key": "a"});
        sample.pay(&mut scout, keyed.clone());
        sample.pay(&mut scout, keyed);
        sample.pay(
            &mut scout,
            json!({"service_id": "report", "amount_usd": "0.10",
            "idempotency_key": "a"}),
        );
        sample.pay(&mut scout, json!({"service_id": "search", "amount_usd": "0.01"}));
        sample.pay(&mut scout, json!({"service_id": "serch"}));
        sample.pay(&mut scout, report("0.26"));
        for _ in 0..3 {
            sample.pay(&mut scout, json!({}));
        }
        house.operator("agent create eager --rate 1/hour --burst 1/min:throttle");
        house.operator("top-up eager 1.00");
        for _ in 0..2 {
            sample.pay(&mut house.client("eager"), search.clone());
        }
        house.operator("agent create held --pin search=Other");
        house.operator("agent create broke");
        sample.pay(&mut house.client("broke"), search.clone());
        while Clock::System.now() < soon {
            thread::sleep(Duration::from_millis(20));
        }
        for agent in ["picky", "late", "nobody", "held"] {
            sample.pay(&mut house.client(agent), search.clone());
        }
        house.operator("agent revoke broke --reason compromised --note over");
        sample.pay(&mut house.client("broke"), search);
        sample.pay(&mut scout, json!({"service_id": "search", "dry_run": true}));
        sample.pay(&mut scout, json!({"service_id": "serch", "dry_run": true}));
        house.operator("agent create nearly --cap 0.05/day --funding allowance");
        sample.pay(&mut house.client("nearly"), report("0.04"));
        for agent in ["tight", "scout", "broke", "nobody"] {
            let mut client = house.client(agent);
            for tool in ["get_balance", "ledger", "list_services"] {
                sample.read(&mut client, tool, json!({}));
            }
            sample.read(&mut client, "ledger", json!({"limit": 1}));
            sample.read(&mut client, "ledger", json!({"limit": 2, "format": "columns"}));
            sample.read(&mut client, "ledger", json!({"outcome": "succeeded"}));
            let planned = json!({"service_id": "search", "calls": 500, "by": "2h"});
            sample.read(&mut client, "get_balance", planned);
            sample.read(&mut client, "list_services", json!({"limit": 1}));
            sample.read(&mut client, "get_balance", json!({"of": "whom"}));
        }
        sample.tasks(house);
        sample
    }

    /// What the tools of tasks answer, and payments in them.
    fn tasks(&mut self, house: &House) {
        let mut helper = house.client("helper");
        house.operator("top-up helper 1.00");
        let task = helper.call("open_task", json!({"task_type": "research"}));
        let id = task["task_id"].clone();
        self.0.push(("open_task", task));
        self.pay(&mut helper, json!({"service_id": "search"}));
        for _ in 0..2 {
            let amount = json!({"service_id": "report", "amount_usd": "0.10", "task_id": id});
            self.pay(&mut helper, amount.clone());
            self.pay(&mut helper, amount);
        }
        self.read(&mut helper, "finish_task", json!({"task_id": id, "outcome": "failed"}));
        self.read(&mut helper, "finish_task", json!({"task_id": id, "outcome": "success"}));
        self.read(&mut house.client("scout"), "open_task", json!({"task_type": "research"}));
        self.read(&mut house.client("scout"), "open_task", json!({}));
        self.read(&mut helper, "ledger", json!({}));
    }

    /// Answers to calls that the engine could not take, in every tool's name.
    fn of_our_own(&mut self) {
        let plain =
            |code| Refused::plain(code, "So it is. Nothing was charged.", Advice::AskOperator);
        let broken = [
            Refused::engine_unavailable(),
            Refused::internal_error(),
            plain(Code::LedgerUnwritable),
            plain(Code::LedgerDamaged),
            Refused { advice: Some(Advice::Wait), ..plain(Code::PaymentInDoubt) },
            Refused { advice: Some(Advice::Wait), ..plain(Code::PaymentFailed) },
        ];
        let readers = ["get_balance", "ledger", "list_services", "open_task", "finish_task"];
        for tool in ["pay_for_api_call"].into_iter().chain(readers) {
            let answers = broken.iter().map(|refused| serde_json::to_value(refused).unwrap());
            self.0.extend(answers.map(|answer| (tool, answer)));
        }
        let id = "pay_0000000000001a2c".parse().ok();
        let payment = id.unwrap();
        let frozen = Denial::AgentFrozen { reason: "looks-odd".parse().unwrap() };
        let full = Refusal::only(Denial::TooManyTasks { tasks: 1_000 });
        let full = Refused::by(&full, Timestamp::UNIX_EPOCH);
        self.0.push(("open_task", serde_json::to_value(full).unwrap()));
        let shut = Denial::OutsideActiveHours { opens_at: Some(Timestamp::UNIX_EPOCH) };
        for denial in [frozen, shut, Denial::PossibleDuplicate { payment }] {
            let answer = PayAnswer::denied(&Refusal::only(denial), id, Timestamp::UNIX_EPOCH);
            self.0.push(("pay_for_api_call", serde_json::to_value(answer).unwrap()));
        }
        for answer in
            [PayAnswer::in_progress(id, None), PayAnswer::in_progress(None, Some("k".into()))]
        {
            self.0.push(("pay_for_api_call", serde_json::to_value(answer).unwrap()));
        }
    }
}

#[test]
fn every_answer_keeps_the_contract_and_is_short() {
    let house = House::furnished();
    let tools = all_tools(&house);
    let mut sample = Sample::take(&house);
    sample.of_our_own();
    let mut codes = BTreeSet::new();
    let mut outcomes = BTreeSet::new();
    for (name, answer) in &sample.0 {
        let tool = tools.iter().find(|tool| tool["name"] == *name).unwrap();
        assert_eq!(misfit(&tool["outputSchema"], answer, name), None, "{answer}");
        assert!(!answer.to_string().contains("null"), "left out, not null: {answer}");
        outcomes.insert(answer["outcome"].as_str().unwrap_or("answered"));
        let Some(word) = answer["code"].as_str() else { continue };
        codes.insert(word);
        let code = Code::ALL.iter().copied().find(|code| code.word() == word).unwrap();
        let advice: Advice = serde_json::from_value(answer["advice"].clone()).unwrap();
        assert!(code.advice().contains(&advice), "{word} may not advise {advice:?}");
        let breached = answer["breached"].as_array().map_or(0, Vec::len);
        let longest = ANSWER + BREACH * breached.saturating_sub(2);
        assert!(answer.to_string().len() <= longest, "{}: {answer}", answer.to_string().len());
    }
    let all: BTreeSet<&str> = Code::ALL.iter().copied().map(Code::word).collect();
    assert_eq!(codes, all, "a code that this sample does not show");
    let told = ["allowed", "answered", "denied", "in_progress", "paid"];
    assert_eq!(outcomes, BTreeSet::from(told));
    assert!(sample.0.iter().any(|(_, answer)| answer.get("note").is_some()), "80 % of a cap");
}
