//! Reading a policy's text, key by key: each value is tried alone, so that each mistake has its
//! place and one does not hide another.

mod tables;

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use toml_edit::{Document, Item, Key, TableLike, Value as Toml};

use super::{
    mistake::{Code, Mistake, Mistakes},
    twice,
};
use crate::policy::{
    mandate::bounded,
    names::{GroupId, Handle, NameError, ServiceId},
    terms::{AgentTerms, PolicyTerms},
};

/// How far a key may be from one that is meant.
const NEAR: usize = 3;
/// The longest key for which one that is meant is looked for.
const LONGEST: usize = 64;
/// How much of a reason is told.
const REASON: usize = 400;

/// The keys that take a number.
const NUMBERS: [&str; 5] =
    ["schema", "timeout", "max_response_bytes", "max_output_tokens", "downgrade_at"];
/// The keys that take a table, besides the list of operations.
const TABLES: [&str; 4] = ["secret", "headers", "query", "price_from"];
/// Those of them that take texts by any name.
const NAMED: [&str; 2] = ["headers", "query"];

/// What a key takes, where its name does not say.
const HINTS: [(&str, &str); 39] = [
    ("schema", "write `schema = 1`"),
    ("funding", "write \"prepaid\" or \"allowance\""),
    ("per_call", "write dollars in quotes, such as \"0.25\""),
    ("price", "write dollars in quotes, such as \"0.02\""),
    ("caps", "write a list such as [\"5.00/day\", \"20.00/month\"]"),
    ("shadow_caps", "write a list such as [\"5.00/day\", \"20.00/month\"]"),
    ("timezone", "write a zone such as \"Europe/Paris\""),
    ("allow", "write a list of services such as [\"search\"]"),
    ("deny", "write a list of services such as [\"search\"]"),
    ("expires", "write a time with its offset, such as 2030-12-31T00:00:00Z"),
    ("local", "write \"allowed\" or \"barred\""),
    ("rates", "write a list such as [\"20/min\", \"100/hour\"]"),
    ("burst", "write a rate and what is done, such as \"5/min:freeze\""),
    ("denials", "write a number from 2 on and what is done, such as \"10:freeze\""),
    ("hours", "write times of the day, such as \"09:00-18:00\" or \"09:00-12:00,13:00-17:00\""),
    ("days", "write days such as \"mon-fri\", or a list such as [\"mon\", \"fri\"]"),
    ("cooldown", "write a time such as \"30s\" or \"5min\""),
    ("tasks", "write \"operator\" or \"agent\""),
    (
        "tiers",
        "write a list such as [\"50x/7d:0.50\"]: after 50 payments over 7 days, 0.50 a payment",
    ),
    ("first_payee", "write \"free\" or \"locked\""),
    ("max_output_tokens", "write a number of tokens such as 4096"),
    ("downgrade_at", "write a percentage as a number, such as 80"),
    ("downgrade_to", "write the name of a model, such as \"claude-haiku-4-5\""),
    ("base_url", "write a URL such as \"https://api.example.com/v1\""),
    ("secret", "write where it is found, such as { env = \"EXAMPLE_KEY\" }"),
    ("headers", "write { authorization = \"Bearer {secret}\" }, or as the API asks for it"),
    ("query", "write parameters such as { format = \"json\" }"),
    ("allow_headers", "write a list such as [\"anthropic-beta\"]"),
    ("operations", "write [[services.NAME.operations]], and name, method and path below"),
    ("method", "write \"GET\" or \"POST\""),
    ("path", "write a path such as \"/things/{id}\""),
    ("metered", "write \"anthropic_messages\", \"openai_chat\" or \"openai_responses\""),
    ("price_from", "write { header = \"x-price-usd\", at_most = \"0.10\" }"),
    ("charge_on", "write statuses such as [\"2xx\"]"),
    ("free_on", "write statuses such as [\"4xx\", \"503\"]"),
    ("on_unknown", "write \"hold\" or \"capture\""),
    ("timeout", "write seconds, or a time such as \"30s\" or \"2min\""),
    ("max_response_bytes", "write a number of bytes such as 1048576"),
    ("pinned", "write payees by service, such as { search = \"Acme Search\" }"),
];

/// Where in the text the parts of a document stand, by JSON pointer.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    /// The place of that part, or of what it is part of.
    pub(super) fn find(&self, pointer: &str) -> Range<usize> {
        let mut pointer = pointer;
        loop {
            if let Some(found) = self.0.get(pointer) {
                return found.clone();
            }
            let Some((above, _)) = pointer.rsplit_once('/') else { return 0..0 };
            pointer = above;
        }
    }
}

/// Reads a text; nothing where it is no document at all.
pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> (Option<PolicyTerms>, Places) {
    let mut reader = Reader { text, mistakes, places: Places::default() };
    let terms = reader.document();
    (terms, reader.places)
}

struct Reader<'a> {
    text: &'a str,
    mistakes: &'a mut Mistakes,
    places: Places,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<PolicyTerms> {
        let document = match Document::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().unwrap_or(self.text.len()..self.text.len());
                if let Some(mistake) = twice::find(self.text, &error) {
                    self.mistakes.push(mistake);
                    return None;
                }
                let message = format!("this is no TOML: {}", error.message().replace('\n', ", "));
                let hint = "nothing else is looked at before this is right";
                self.mistakes.push(Mistake::new(Code::TomlSyntax, message, hint, at));
                return None;
            }
        };
        let root = document.as_table();
        let shape = Shape::of::<PolicyTerms>();
        let mut terms = PolicyTerms::default();
        for (key, item) in entries(root) {
            self.keep(key, key.get(), item);
            match key.get() {
                "schema" => {
                    self.value::<PolicyTerms>(key, item, &Map::new());
                }
                "defaults" => {
                    let shape = Shape::of::<AgentTerms>();
                    terms.defaults = self.table(key, item, "defaults", &shape).unwrap_or_default();
                }
                "services" => terms.services = self.named::<ServiceId, _>(key, item),
                "agents" => terms.agents = self.named::<Handle, _>(key, item),
                "groups" => terms.groups = self.named::<GroupId, _>(key, item),
                _ => self.unknown(key, &shape, ""),
            }
        }
        if root.get("schema").is_none() {
            let message = "`schema` is missing: which version of the document is it?".to_owned();
            let hint = "write `schema = 1` at the top";
            self.mistakes.push(Mistake::new(Code::KeyMissing, message, hint, 0..0));
        }
        Some(terms)
    }

    /// Tables by name: the agents, or the services.
    fn named<N, T>(&mut self, key: &Key, item: &Item) -> BTreeMap<N, T>
    where
        N: FromStr<Err = NameError> + Ord,
        T: DeserializeOwned + JsonSchema,
    {
        let mut all = BTreeMap::new();
        let Some(table) = self.table_of(key, item) else { return all };
        let shape = Shape::of::<T>();
        for (name, item) in entries(table) {
            let pointer = format!("{}/{}", key.get(), name.get());
            self.keep(name, &pointer, item);
            match name.get().parse::<N>() {
                Ok(id) => {
                    if let Some(terms) = self.table(name, item, &pointer, &shape) {
                        all.insert(id, terms);
                    }
                }
                Err(rule) => {
                    let message = format!("`{}` is no name", bounded(name.get()));
                    let at = at(name);
                    let mistake = Mistake::new(Code::NameInvalid, message, &rule.to_string(), at);
                    self.mistakes.push(mistake);
                }
            }
        }
        all
    }

    /// A table of known keys.
    fn table<T: DeserializeOwned>(
        &mut self,
        key: &Key,
        item: &Item,
        pointer: &str,
        shape: &Shape,
    ) -> Option<T> {
        self.table_at(key, at(key), item, pointer, shape)
    }

    /// The same, where what is missing in it is told at that place.
    fn table_at<T: DeserializeOwned>(
        &mut self,
        key: &Key,
        place: Range<usize>,
        item: &Item,
        pointer: &str,
        shape: &Shape,
    ) -> Option<T> {
        let table = self.table_of(key, item)?;
        let mut whole = Map::new();
        let mut sound = true;
        for (key, item) in entries(table) {
            self.keep(key, &format!("{pointer}/{}", key.get()), item);
            if !shape.keys.iter().any(|name| name == key.get()) {
                self.unknown(key, shape, pointer);
                continue;
            }
            if key.get() == "operations" {
                match self.operations(key, item, pointer) {
                    Some(value) => drop(whole.insert(key.get().to_owned(), value)),
                    None => sound = false,
                }
                continue;
            }
            match self.value::<T>(key, item, &shape.needed) {
                Some(value) => drop(whole.insert(key.get().to_owned(), value)),
                None => sound = false,
            }
        }
        let needed = shape.needed.keys();
        let missing: Vec<&String> = needed.filter(|key| !table.contains_key(key)).collect();
        for needed in &missing {
            let message = format!("`{needed}` is missing");
            let hint = format!("write `{needed} = \"…\"`");
            self.mistakes.push(Mistake::new(Code::KeyMissing, message, &hint, place.clone()));
        }
        let whole = Value::Object(whole);
        (sound && missing.is_empty()).then(|| serde_json::from_value(whole).ok()).flatten()
    }

    fn table_of<'i>(&mut self, key: &Key, item: &'i Item) -> Option<&'i dyn TableLike> {
        let table = item.as_table_like();
        if table.is_none() {
            let message = format!("`{}` is no table", bounded(key.get()));
            let hint = "write [agents.scout], [services.search] or [defaults], and its keys below";
            let at = item.span().unwrap_or_else(|| at(key));
            self.mistakes.push(Mistake::new(Code::NoTable, message, hint, at));
        }
        table
    }

    /// The value of a key, if the key takes it.
    fn value<T: DeserializeOwned>(
        &mut self,
        key: &Key,
        item: &Item,
        standing_in: &Map<String, Value>,
    ) -> Option<Value> {
        let takes = |value: &Value| {
            let mut alone = standing_in.clone();
            alone.insert(key.get().to_owned(), value.clone());
            serde_json::from_value::<T>(Value::Object(alone)).map(drop)
        };
        let inline = item.clone().into_value().ok();
        let nested = inline.as_ref().filter(|_| TABLES.contains(&key.get()));
        let Some(whole) = item.as_value().or(nested) else {
            self.invalid(key, at(key), &"a value is expected, and this is a table");
            return None;
        };
        let value = json_of(whole);
        let Err(error) = takes(&value) else { return Some(value) };
        if let Some(table) = item.as_table_like().filter(|_| NAMED.contains(&key.get())) {
            return self.wrong_in(key, table, takes);
        }
        let list = whole.as_array().filter(|list| !list.is_empty());
        // A list that is wrong as a whole is so for one of its items, if for any reason.
        let Some(list) = list.filter(|_| takes(&json!([])).is_ok()) else {
            self.wrong(key, whole, &error, |text| takes(&text).is_ok());
            return None;
        };
        for one in list {
            if let Err(error) = takes(&json!([json_of(one)])) {
                self.wrong(key, one, &error, |text| takes(&json!([text])).is_ok());
            }
        }
        None
    }

    /// Tells what is wrong with a value, or an item of a list.
    fn wrong(
        &mut self,
        key: &Key,
        value: &Toml,
        error: &serde_json::Error,
        takes: impl Fn(Value) -> bool,
    ) {
        let at = value.span().unwrap_or_else(|| at(key));
        let written = self.text.get(at.clone()).unwrap_or_default();
        if matches!(value, Toml::Integer(_) | Toml::Float(_)) && !NUMBERS.contains(&key.get()) {
            let quoted = takes(Value::from(written));
            let hint = if quoted {
                format!("write \"{}\", in quotes: so money stays exact", bounded(written))
            } else {
                hint(key.get()).to_owned()
            };
            let message = format!("`{}` is a number without quotes", key.get());
            return self.mistakes.push(Mistake::new(Code::Unquoted, message, &hint, at));
        }
        if key.get() == "expires" {
            let message = format!("`expires`: `{}` is no time with its offset", bounded(written));
            let mistake = Mistake::new(Code::ValueInvalid, message, &ending(value), at);
            return self.mistakes.push(mistake);
        }
        let mut why = reason(value, written, error);
        // A reason may repeat what stands there.
        if let Some(text) = value.as_str().filter(|text| text.len() > REASON) {
            why = why.replace(text, &bounded(text));
        }
        self.invalid(key, at, &why.chars().take(REASON).collect::<String>());
    }

    fn invalid(&mut self, key: &Key, at: Range<usize>, why: &dyn std::fmt::Display) {
        let message = format!("`{}`: {why}", bounded(key.get()));
        self.mistakes.push(Mistake::new(Code::ValueInvalid, message, hint(key.get()), at));
    }

    fn unknown(&mut self, key: &Key, shape: &Shape, pointer: &str) {
        if self.mistakes.is_full() {
            return self.mistakes.leave_out(1);
        }
        let known = &shape.keys;
        let looked_for = key.get().len() <= LONGEST;
        let distance = |name: &&String| strsim::damerau_levenshtein(name, key.get());
        let near = || known.iter().min_by_key(distance).filter(|near| distance(near) <= NEAR);
        let begins = |name: &&String| {
            key.get().split('_').any(|part| part.len() > 2 && name.starts_with(part))
        };
        let meant = looked_for.then(|| near().or_else(|| known.iter().find(begins))).flatten();
        let hint = match meant {
            Some(near) => format!("there is `{near}`"),
            None => format!("there are {}", list(known)),
        };
        let whose = if pointer.is_empty() {
            "here"
        } else {
            &format!("in `{}`", bounded(&pointer.replace('/', ".")))
        };
        let message = format!("there is no key `{}` {whose}", bounded(key.get()));
        let at = at(key);
        self.mistakes.push(Mistake::new(Code::KeyUnknown, message, &hint, at));
    }

    /// Keeps the place of a part, and of the items of a list.
    fn keep(&mut self, key: &Key, pointer: &str, item: &Item) {
        let value = item.as_value().filter(|value| !value.is_inline_table());
        let at = value.and_then(Toml::span).unwrap_or_else(|| at(key));
        for (index, one) in value.and_then(Toml::as_array).into_iter().flatten().enumerate() {
            if let Some(at) = one.span() {
                self.places.0.insert(format!("/{pointer}/{index}"), at);
            }
        }
        self.places.0.insert(format!("/{pointer}"), at);
        let inline = item.as_value().and_then(Toml::as_inline_table);
        for (name, one) in inline.into_iter().flatten() {
            if let Some(at) = one.span() {
                self.places.0.insert(format!("/{pointer}/{name}"), at);
            }
        }
    }
}

/// Why a key does not take a value, without the words of the library that reads it.
fn reason(value: &Toml, written: &str, error: &serde_json::Error) -> String {
    let told = error.to_string();
    let unknown = told.strip_prefix("unknown variant ");
    if let Some((got, known)) = unknown.and_then(|words| words.split_once(", expected ")) {
        return format!("{got} is not known: there is {known}");
    }
    if !told.starts_with("invalid type: ") {
        return told;
    }
    let what = match value {
        Toml::String(_) => "a text",
        Toml::Array(_) if told.starts_with("invalid type: sequence") => "a list",
        Toml::Array(_) => "a value in the list",
        Toml::InlineTable(_) if told.starts_with("invalid type: map") => "a table",
        Toml::InlineTable(_) => "a value in the table",
        Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) | Toml::Datetime(_) => {
            &format!("`{}`", bounded(written))
        }
    };
    format!("{what} is not what it takes")
}

/// What to write in place of a value that is no time.
fn ending(value: &Toml) -> String {
    let time = value.as_datetime();
    match time.and_then(|time| Some((time.date?, time.time))) {
        Some((date, None)) => format!("write the time of that day, such as {date}T00:00:00Z"),
        Some((date, Some(time))) => {
            format!("write the offset too: {date}T{time}Z is so in UTC")
        }
        None => hint("expires").to_owned(),
    }
}

fn at(key: &Key) -> Range<usize> {
    key.span().unwrap_or(0..0)
}

/// The keys of a table with what stands there.
fn entries(table: &dyn TableLike) -> impl Iterator<Item = (&Key, &Item)> {
    table.iter().filter_map(|(name, _)| table.get_key_value(name))
}

/// The keys of a table.
struct Shape {
    /// Those that it may have.
    keys: Vec<String>,
    /// Those that it must have, each with something that will do.
    needed: Map<String, Value>,
}

impl Shape {
    fn of<T: JsonSchema>() -> Self {
        let schema = schema_for!(T).to_value();
        let keys = schema["properties"].as_object().into_iter().flatten();
        let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            keys: keys.map(|(key, _)| key.clone()).collect(),
            needed: needed.map(|key| (key.to_owned(), json!("x"))).collect(),
        }
    }
}

fn hint(key: &str) -> &'static str {
    HINTS
        .iter()
        .find(|(name, _)| *name == key)
        .map_or("see `pettycash apply --help`", |(_, hint)| hint)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn json_of(value: &Toml) -> Value {
    match value {
        Toml::String(text) => json!(text.value()),
        Toml::Integer(number) => json!(number.value()),
        // What is no number in JSON is no value of any key either.
        Toml::Float(number) => {
            let number = *number.value();
            json!(if number.is_finite() { number } else { f64::MAX })
        }
        Toml::Boolean(flag) => json!(flag.value()),
        Toml::Datetime(time) => json!(time.value().to_string()),
        Toml::Array(list) => list.iter().map(json_of).collect(),
        Toml::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), json_of(value))).collect()
        }
    }
}
