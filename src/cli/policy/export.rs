//! Writing a policy as its text, and the schema of it.

use std::fmt::Write;

use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::policy::terms::{PolicyTerms, PresentPolicy};

const HEAD: &str = "\
# Agents, what they may spend, and services, as `pettycash export-policy` found them.
# Look: pettycash diff FILE    Apply: pettycash apply FILE    What may stand here: apply --help
# Money is in quotes, so that it stays exact. What is left out of an agent it does not have.
schema = 1
";

/// The present state as a text that changes nothing where it is applied.
pub(in crate::cli) fn toml(present: &PresentPolicy) -> String {
    let PresentPolicy { policy, frozen, revoked } = present;
    let mut text = HEAD.to_owned();
    if policy.services.is_empty() && policy.agents.is_empty() && policy.groups.is_empty() {
        text.push_str("\n# There are no agents and no services yet.\n");
    }
    for (id, terms) in &policy.services {
        table(&mut text, &format!("services.{id}"), &object(terms));
    }
    for (name, terms) in &policy.groups {
        table(&mut text, &format!("groups.{name}"), &object(terms));
    }
    for (handle, terms) in &policy.agents {
        if frozen.contains(handle) {
            text.push_str("\n# Frozen, which is no matter of a policy: `pettycash agent unfreeze`");
        }
        table(&mut text, &format!("agents.{handle}"), &object(terms));
    }
    if *revoked > 0 {
        let agents = if *revoked == 1 { "agent is" } else { "agents are" };
        // Where a `String` is written to nothing fails.
        let _ = writeln!(text, "\n# {revoked} revoked {agents} left out: that is for good.");
    }
    text
}

fn object(terms: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(terms) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn table(text: &mut String, name: &str, fields: &Map<String, Value>) {
    let _ = writeln!(text, "\n[{name}]");
    let tables = |value: &Value| {
        value.as_array().filter(|list| list.first().is_some_and(Value::is_object)).cloned()
    };
    for (key, value) in fields.iter().filter(|(_, value)| tables(value).is_none()) {
        let _ = writeln!(text, "{} = {}", quoted(key), written(value));
    }
    // What stands in tables of its own ends the one that it is part of.
    for (key, value) in fields {
        for one in tables(value).into_iter().flatten() {
            let _ = writeln!(text, "\n[[{name}.{key}]]");
            for (key, value) in one.as_object().into_iter().flatten() {
                let _ = writeln!(text, "{} = {}", quoted(key), written(value));
            }
        }
    }
}

/// A key as TOML has it: in quotes where it is more than a word.
fn quoted(key: &str) -> String {
    toml_edit::Key::new(key).display_repr().into_owned()
}

/// A value as TOML has it. What a policy has is texts, lists of them, and texts by name.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let field =
                |(key, value): (&String, &Value)| format!("{} = {}", quoted(key), written(value));
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The JSON Schema of a policy, for editors: `tools/policy.schema.json`.
pub fn policy_schema() -> Value {
    let mut schema = schema_for!(PolicyTerms).to_value();
    schema["title"] = "a policy of pettycash".into();
    schema["description"] = "Agents, what they may spend, and services: what `pettycash apply` \
                             takes, in TOML."
        .into();
    for named in ["services", "agents", "groups"] {
        let names = json!({"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"});
        schema["properties"][named]["propertyNames"] = names;
    }
    schema
}
