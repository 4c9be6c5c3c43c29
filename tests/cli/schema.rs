//! The published schema of policies: it says what `apply` takes.

use std::fs;

use pettycash::policy::mandate::Cap;
use serde_json::{Value, json};

use super::{Desk, policies::readme_policy};

struct Schema(Value);

impl Schema {
    fn published() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/policy.schema.json");
        Self(serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap())
    }

    fn keys(&self, of: &str) -> Vec<String> {
        let keys = self.0["$defs"][of]["properties"].as_object().unwrap();
        keys.keys().cloned().collect()
    }

    /// Why a value is not what a schema says, as far as ours go; patterns are left to `apply`.
    fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        if let Some(named) = schema["$ref"].as_str() {
            let pointer = named.strip_prefix('#').unwrap();
            return self.misfit(self.0.pointer(pointer).expect(named), value, at);
        }
        if let Some(ways) = schema["oneOf"].as_array() {
            let fits = ways.iter().filter(|way| self.misfit(way, value, at).is_none()).count();
            return (fits != 1).then(|| format!("{at} is {value}"));
        }
        let fits = match schema["type"].as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            other => panic!("{at}: what is {other}?"),
        };
        if !fits || schema.get("const").is_some_and(|only| only != value) {
            return Some(format!("{at} is {value}"));
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let missing = required.filter_map(Value::as_str).find(|key| value.get(key).is_none());
        if let Some(missing) = missing {
            return Some(format!("{at}/{missing} is missing"));
        }
        let fields = value.as_object().into_iter().flatten().find_map(|(key, field)| {
            let at = format!("{at}/{key}");
            let told = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
            if *told == json!(false) {
                return Some(format!("{at} is not told"));
            }
            self.misfit(told, field, &at)
        });
        let mut items = value.as_array().into_iter().flatten();
        fields.or_else(|| items.find_map(|item| self.misfit(&schema["items"], item, at)))
    }

    fn refuses(&self, policy: &Value) -> Option<String> {
        self.misfit(&self.0, policy, "")
    }
}

#[test]
fn the_schema_takes_the_policy_of_the_readme_and_what_is_exported() {
    let desk = Desk::new();
    desk.apply(readme_policy());
    let exported = desk.json("export-policy --json");
    assert_eq!(Schema::published().refuses(&exported["policy"]), None);
    assert_eq!(exported["policy"]["agents"]["batch"]["local"], "barred");
    let wrong = [
        (json!({}), "/schema is missing"),
        (json!({"schema": 2}), "/schema is 2"),
        (json!({"schema": 1, "x": 1}), "/x is not told"),
        (json!({"schema": 1, "agents": {"a": {"per_call": 0.25}}}), "/agents/a/per_call is 0.25"),
        (json!({"schema": 1, "agents": {"a": {"cap": "5"}}}), "/agents/a/cap is not told"),
        (
            json!({"schema": 1, "defaults": {"funding": "credit"}}),
            "/defaults/funding is \"credit\"",
        ),
        (json!({"schema": 1, "services": {"s": {}}}), "/services/s/payee is missing"),
    ];
    for (policy, why) in wrong {
        assert_eq!(Schema::published().refuses(&policy).as_deref(), Some(why));
    }
}

/// Whether a text is what some alternatives say, of letters, `[a-b]`, `{2}` and `?` only.
fn is_one_of(alternatives: &str, text: &str) -> bool {
    alternatives.split('|').any(|pattern| {
        let (mut pattern, mut text) = (pattern, text.chars());
        while let Some(first) = pattern.chars().next() {
            let (from, to, rest) = match pattern.strip_prefix('[') {
                Some(class) => {
                    let (class, rest) = class.split_once(']').unwrap();
                    (class.chars().next().unwrap(), class.chars().last().unwrap(), rest)
                }
                None => (first, first, &pattern[1..]),
            };
            let (least, most, rest) = match (rest.strip_prefix("{2}"), rest.strip_prefix('?')) {
                (Some(rest), _) => (2, 2, rest),
                (_, Some(rest)) => (0, 1, rest),
                _ => (1, 1, rest),
            };
            let mut seen = 0;
            while seen < most && text.clone().next().is_some_and(|c| (from..=to).contains(&c)) {
                text.next();
                seen += 1;
            }
            if seen < least {
                return false;
            }
            pattern = rest;
        }
        text.next().is_none()
    })
}

#[test]
fn the_schema_takes_the_hours_of_a_cap_that_apply_takes() {
    let schema = Schema::published();
    let pattern = schema.0["$defs"]["Cap"]["pattern"].as_str().unwrap();
    let hours = pattern.split("(rolling_)?(").nth(1).unwrap().split(")h)").next().unwrap();
    for n in 0..1_100 {
        let taken = format!("1.00/{n}h").parse::<Cap>().is_ok();
        assert_eq!(is_one_of(hours, &n.to_string()), taken, "{n}h");
    }
}

#[test]
fn the_schema_tells_the_keys_that_are_taken_and_no_others() {
    let desk = Desk::new();
    let schema = Schema::published();
    assert_eq!(schema.keys("AgentTerms").len(), 23, "the README and `apply --help` tell them too");
    for (table, of) in
        [("defaults", "AgentTerms"), ("agents.a", "AgentTerms"), ("services.a", "ServiceTerms")]
    {
        let known = schema.keys(of).into_iter().map(|key| (key, "value_invalid"));
        for (key, code) in known.chain([("else".to_owned(), "key_unknown")]) {
            let policy = format!("schema = 1\n[{table}]\n{key} = true\n");
            let told = desk.fed("apply - --dry-run --json", policy.as_bytes());
            let told: Value = serde_json::from_slice(&told.stderr).unwrap();
            let first = &told["error"]["faults"][0];
            assert_eq!(
                (&first["code"], &first["at"][0]["line"]),
                (&json!(code), &json!(3)),
                "{key}"
            );
        }
    }
}
