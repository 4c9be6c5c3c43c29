//! A configuration in JSON, edited where it stands: what others wrote stays as they wrote it.

use jsonc_parser::{
    CollectOptions, ParseOptions, ast,
    common::Ranged,
    cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode},
    parse_to_ast,
};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{entry::NAME, secrets::Part, text::Broken};

/// What is JSON, and comments and commas at the end beside it.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A file's text, the key that holds its servers, and whether it may have comments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json {
    pub(super) servers: &'static str,
    pub(super) comments: bool,
}

impl Json {
    /// All that the text says.
    pub(super) fn document(self, text: &str) -> Result<Value, Broken> {
        Ok(self.parse(text)?.to_serde_value().unwrap_or_default())
    }

    /// Our entry, if there is one.
    pub(super) fn entry(self, text: &str) -> Result<Option<Value>, Broken> {
        let root = self.parse(text)?;
        let Some(top) = top(&root)? else { return Ok(None) };
        let Some(servers) = self.servers(&top)? else { return Ok(None) };
        Ok(one(&servers, NAME)?.and_then(|found| found.value()?.to_serde_value()))
    }

    /// The text with our entry as it should be.
    pub(super) fn with(self, text: &str, entry: &Map<String, Value>) -> Result<String, Broken> {
        let root = self.parse(text)?;
        let Some(top) = top(&root)? else {
            return Ok(format!("{:#}\n", self.alone(entry)));
        };
        let wanted = || CstInputValue::Object(vec![(NAME.to_owned(), object(entry))]);
        match self.servers(&top)? {
            None => {
                top.append(self.servers, wanted());
            }
            Some(servers) => match one(&servers, NAME)? {
                None => {
                    servers.append(NAME, object(entry));
                }
                Some(found) => set(&found, &Value::Object(entry.clone())),
            },
        }
        Ok(root.to_string())
    }

    /// The text without our entry; with `servers_too` also without the key that held it, if that
    /// holds nothing more.
    pub(super) fn without(self, text: &str, servers_too: bool) -> Result<String, Broken> {
        let root = self.parse(text)?;
        let top = top(&root)?;
        let found = top.map(|top| self.servers(&top)).transpose()?.flatten();
        let Some(servers) = found else { return Ok(text.to_owned()) };
        if let Some(found) = one(&servers, NAME)? {
            found.remove();
        }
        if servers_too
            && servers.properties().is_empty()
            && let Some(holder) = servers.parent().and_then(|holder| holder.as_object_prop())
        {
            holder.remove();
        }
        Ok(root.to_string())
    }

    /// Our entry and nothing else.
    pub(super) fn alone(self, entry: &Map<String, Value>) -> Value {
        serde_json::json!({self.servers: {NAME: entry}})
    }

    fn parse(self, text: &str) -> Result<CstRootNode, Broken> {
        // The editor lets comments pass whatever it is told, and their place is where they begin.
        if !self.comments && !text.trim().is_empty() {
            let strict = serde_json::from_str::<IgnoredAny>(text);
            strict.map_err(|error| Broken(error.to_string()))?;
        }
        CstRootNode::parse(text, &OPTIONS).map_err(|error| Broken(error.to_string()))
    }

    fn servers(self, top: &CstObject) -> Result<Option<CstObject>, Broken> {
        let Some(found) = one(top, self.servers)? else { return Ok(None) };
        let no_object = || Broken(format!("`{}` is no object", self.servers));
        found.object_value().map(Some).ok_or_else(no_object)
    }
}

/// All that a text says, and where in it.
pub(super) fn part(text: &str) -> Result<Part, Broken> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS);
    let parsed = parsed.map_err(|error| Broken(error.to_string()))?;
    Ok(parsed.value.map_or(Part::Table(Vec::new()), placed))
}

fn placed(value: ast::Value) -> Part {
    let place = value.start()..value.end();
    match value {
        ast::Value::StringLit(text) => Part::Text(text.value.into_owned(), place),
        ast::Value::Array(list) => Part::List(list.elements.into_iter().map(placed).collect()),
        ast::Value::Object(object) => {
            let fields = object.properties.into_iter();
            Part::Table(
                fields.map(|field| (field.name.into_string(), placed(field.value))).collect(),
            )
        }
        ast::Value::NumberLit(_) | ast::Value::BooleanLit(_) | ast::Value::NullKeyword(_) => {
            Part::Plain(place)
        }
    }
}

/// The object that a text is, or nothing where it is empty.
fn top(root: &CstRootNode) -> Result<Option<CstObject>, Broken> {
    match root.value() {
        None => Ok(None),
        Some(value) => value.as_object().map(Some).ok_or_else(|| Broken("it is no object".into())),
    }
}

/// The one property of that name: of two, every reader may take another.
fn one(object: &CstObject, name: &str) -> Result<Option<CstObjectProp>, Broken> {
    let is_it = |property: &CstObjectProp| property.decoded_name().as_deref() == Some(name);
    let mut those = object.properties().into_iter().filter(is_it);
    let found = those.next();
    match those.next() {
        None => Ok(found),
        Some(_) => Err(Broken(format!("it has `{name}` twice"))),
    }
}

/// Makes a value what it should be, and touches nothing that is as it should be.
fn set(property: &CstObjectProp, wanted: &Value) {
    let present = property.value().and_then(|value| value.to_serde_value());
    match (property.object_value(), wanted) {
        _ if present.as_ref() == Some(wanted) => {}
        (Some(object), Value::Object(wanted)) => {
            for stale in object.properties() {
                if stale.decoded_name().is_none_or(|name| !wanted.contains_key(&name)) {
                    stale.remove();
                }
            }
            for (name, value) in wanted {
                match object.get(name) {
                    Some(property) => set(&property, value),
                    None => {
                        object.append(name, input(value));
                    }
                }
            }
        }
        _ => property.set_value(input(wanted)),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(values) => object(values),
    }
}

fn object(values: &Map<String, Value>) -> CstInputValue {
    CstInputValue::Object(values.iter().map(|(name, value)| (name.clone(), input(value))).collect())
}
