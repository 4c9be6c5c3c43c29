//! Schemas that every client takes, made from the types of our answers.
//!
//! Clients differ in what they accept: one refuses a root without `type: object`, one a bare
//! `true`, one warns on the user's screen about a `format` it does not know, some model APIs know
//! no `$ref` and no null. What is left here is what all of them know.

use rmcp::model::JsonObject;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The schema of a tool's answers. `always` names the fields that each of them has.
pub(super) fn of_answer<T: JsonSchema>(always: &[&str]) -> JsonObject {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = portable(generator.into_root_schema_for::<T>().to_value());
    schema.remove("description");
    if !always.is_empty() {
        schema.insert("required".to_owned(), always.iter().copied().collect());
    }
    schema
}

/// Keeps the keywords that every client knows.
///
/// The choice of a word becomes any text, with the words in its description: a `serve` may be
/// newer than the server in front of it, and a client that checks answers against the schema must
/// not throw because of a word that is new.
fn portable(schema: Value) -> JsonObject {
    let Value::Object(given) = schema else { return Map::new() };
    let mut kept = Map::new();
    let mut words = Vec::new();
    for (keyword, value) in given {
        let value = match (keyword.as_str(), value) {
            ("type", Value::Array(types)) => {
                types.into_iter().find(|one| *one != "null").unwrap_or_default()
            }
            ("type" | "required" | "description", value) => value,
            ("items", item) => Value::Object(portable(item)),
            ("properties", Value::Object(fields)) => {
                let fields = fields.into_iter().map(|(name, field)| (name, portable(field)));
                fields.map(|(name, field)| (name, Value::Object(field))).collect()
            }
            ("oneOf" | "anyOf" | "enum", choice) => {
                collect_words(&choice, &mut words);
                continue;
            }
            _ => continue,
        };
        kept.insert(keyword, value);
    }
    if !words.is_empty() {
        kept.insert("type".to_owned(), "string".into());
        let said = kept.get("description").and_then(Value::as_str).unwrap_or_default();
        let said = format!("{}: {}.", said.trim_end_matches('.'), words.join(", "));
        kept.insert("description".to_owned(), said.into());
    }
    kept
}

/// The words of a choice, whether they stand in a list, each in a branch of its own, or deeper.
fn collect_words(choice: &Value, words: &mut Vec<String>) {
    match choice {
        Value::String(word) => words.push(word.clone()),
        Value::Array(branches) => branches.iter().for_each(|one| collect_words(one, words)),
        Value::Object(branch) => {
            let deeper = ["const", "enum", "oneOf", "anyOf"].map(|keyword| branch.get(keyword));
            deeper.into_iter().flatten().for_each(|one| collect_words(one, words));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
