//! What stands in tables of its own inside the table of a service.

use serde_json::{Value, json};
use toml_edit::{Item, Key, TableLike};

use super::{Code, Mistake, REASON, Reader, Shape, at, entries, json_of};
use crate::policy::endpoint::{Operation, OperationTerms};

impl Reader<'_> {
    /// Operations, each with its keys read one by one.
    pub(super) fn operations(&mut self, key: &Key, item: &Item, pointer: &str) -> Option<Value> {
        let shape = Shape::of::<OperationTerms>();
        let standing = [("name", "x"), ("method", "POST"), ("path", "/")];
        let needed = standing.map(|(key, value)| (key.to_owned(), json!(value)));
        let shape = Shape { needed: needed.into_iter().collect(), ..shape };
        let inline = item.as_array().into_iter().flatten().map(|one| Item::Value(one.clone()));
        let tables = item.as_array_of_tables().into_iter().flatten().cloned().map(Item::Table);
        let all: Vec<Item> = inline.chain(tables).collect();
        if all.is_empty() {
            self.invalid(key, at(key), &"a list of tables is expected");
            return None;
        }
        let (mut read, mut sound) = (Vec::new(), true);
        for (index, one) in all.iter().enumerate() {
            let pointer = format!("{pointer}/operations/{index}");
            let place = one.span().unwrap_or_else(|| at(key));
            self.places.0.insert(format!("/{pointer}"), place.clone());
            match self.table_at::<OperationTerms>(key, place.clone(), one, &pointer, &shape) {
                Some(terms) => match Operation::try_from(terms.clone()) {
                    Ok(_) => read.push(json!(terms)),
                    Err(why) => {
                        sound = false;
                        let hint = "what a call costs is said once, and all of it";
                        let message = format!("`operations`: {why}");
                        self.mistakes.push(Mistake::new(Code::ValueInvalid, message, hint, place));
                    }
                },
                None => sound = false,
            }
        }
        sound.then_some(Value::Array(read))
    }

    /// Tells what is wrong in a table of texts by name.
    pub(super) fn wrong_in(
        &mut self,
        key: &Key,
        table: &dyn TableLike,
        takes: impl Fn(&Value) -> serde_json::Result<()>,
    ) -> Option<Value> {
        for (name, one) in entries(table) {
            let alone = one.as_value().map(|one| json!({name.get(): json_of(one)}));
            let told = alone.map_or(Ok(()), |alone| takes(&alone));
            if let Err(error) = told {
                let at = one.span().unwrap_or_else(|| at(name));
                self.invalid(key, at, &error.to_string().chars().take(REASON).collect::<String>());
            }
        }
        None
    }
}
