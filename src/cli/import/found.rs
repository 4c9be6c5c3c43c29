//! What a document was found to say, and the policy's file that is made of it.

use crate::policy::{
    endpoint::{HeaderName, MAX_OPERATIONS, Method, OperationName, Origin, Path},
    money::Usd,
    names::{Payee, ServiceId},
};

use super::words::{name, remark, untaken};

/// How many things that were left out are told.
const MAX_TOLD: usize = 20;

/// How many operations of an API are looked at: among them those that have a price are chosen.
const MAX_READ: usize = 4 * MAX_OPERATIONS;

/// Where a key goes.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// Into a header, behind this.
    Header(HeaderName, &'static str),
    /// Into the query, under this name.
    Query(String),
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) name: OperationName,
    pub(super) method: Method,
    pub(super) path: Path,
    /// What the document claims that a call costs.
    pub(super) price: Option<Usd>,
    /// What else it says of that.
    pub(super) remarks: Vec<String>,
}

/// One API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) id: String,
    pub(super) payee: Payee,
    pub(super) base_url: Origin,
    pub(super) key: Option<Key>,
    pub(super) operations: Vec<Operation>,
    pub(super) remarks: Vec<String>,
}

/// All that a document says which fits.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) apis: Vec<Api>,
    pub(super) left_out: Vec<String>,
}

impl Api {
    /// An API at this place, called so as far as that makes a name.
    pub(super) fn new(called: &str, base_url: Origin) -> Result<Self, String> {
        let host = base_url.root();
        let host = host.split("://").last().unwrap_or_default().to_owned();
        let id = name(called).or_else(|| name(&host)).unwrap_or_else(|| "imported".to_owned());
        let payee = remark(called).parse().or_else(|_| host.parse::<Payee>());
        let payee = payee.map_err(|wrong| format!("its title is no payee: {wrong}"))?;
        let (key, operations, remarks) = (None, Vec::new(), Vec::new());
        Ok(Self { id, payee, base_url, key, operations, remarks })
    }

    /// Adds a call, if it is one that a service can have.
    pub(super) fn add(
        &mut self,
        called: &str,
        (method, path): (Method, &str),
    ) -> Result<&mut Operation, String> {
        if self.operations.len() >= MAX_READ {
            return Err(format!("only {MAX_READ} are looked at"));
        }
        let path: Path = super::words::path(path).parse().map_err(|wrong| format!("{wrong}"))?;
        let fallback = || name(&format!("{method}-{path}"));
        let made = name(called).or_else(fallback).unwrap_or_else(|| "call".to_owned());
        let taken = |name: &str| self.operations.iter().any(|known| known.name.as_str() == name);
        let name: OperationName =
            untaken(made, taken).parse().map_err(|wrong| format!("{wrong}"))?;
        let same = |known: &Operation| known.method == method && known.path == path;
        if self.operations.iter().any(same) {
            return Err("it is there already".to_owned());
        }
        let operation = Operation { name, method, path, price: None, remarks: Vec::new() };
        self.operations.push(operation);
        self.operations.last_mut().ok_or_else(String::new)
    }

    /// The variable in which its key is looked for.
    fn variable(&self) -> String {
        let id = self.id.to_ascii_uppercase().replace('-', "_");
        let digit = id.starts_with(|c: char| c.is_ascii_digit());
        format!("{}{id}_KEY", if digit { "API_" } else { "" })
    }

    fn lines(&self, lines: &mut Vec<String>) {
        let id = &self.id;
        lines.push(String::new());
        lines.extend(self.remarks.iter().map(|remark| format!("# {remark}")));
        lines.push(format!("[services.{id}]"));
        lines.push(format!("payee = {}", quoted(self.payee.as_str())));
        lines.push("rail = \"proxy\"".to_owned());
        lines.push(format!("base_url = {}", quoted(&self.base_url.to_string())));
        if let Some(key) = &self.key {
            lines.push(format!(
                "secret = {{ env = {} }}  # where `serve` finds the key",
                quoted(&self.variable())
            ));
            lines.push(match key {
                Key::Header(name, before) => {
                    let value = quoted(&format!("{before}{{secret}}"));
                    format!("headers = {{ {} = {value} }}", quoted(name.as_str()))
                }
                Key::Query(name) => format!("query = {{ {} = \"{{secret}}\" }}", quoted(name)),
            });
        } else {
            lines
                .push("# It asks for no key that is known: add `secret` and `headers`.".to_owned());
        }
        if self.operations.iter().any(|operation| operation.price.is_none()) {
            lines.push(
                "# The document gives no price for what has none below. It has to have one before \
                 this"
                    .to_owned(),
            );
            lines.push("# can be applied: write it there, or here for all of it.".to_owned());
            lines.push("# price = \"0.02\"".to_owned());
        }
        for operation in &self.operations {
            lines.push(format!("\n[[services.{id}.operations]]"));
            lines.extend(operation.remarks.iter().map(|remark| format!("# {remark}")));
            lines.push(format!("name = {}", quoted(operation.name.as_str())));
            lines.push(format!("method = {}", quoted(operation.method.as_str())));
            lines.push(format!("path = {}", quoted(&operation.path.to_string())));
            lines.extend(operation.price.map(|price| {
                format!("price = {}  # what the document claims", quoted(&price.decimal()))
            }));
        }
    }
}

impl Found {
    /// The same under the name that was asked for, if it is of one API.
    pub(super) fn named(mut self, id: Option<&ServiceId>) -> Result<Self, String> {
        self.apis.retain(|api| !api.operations.is_empty());
        for api in &mut self.apis {
            if api.operations.len() > MAX_OPERATIONS {
                // What is known to cost something is what it is about.
                api.operations.sort_by_key(|operation| operation.price.is_none());
                for over in api.operations.split_off(MAX_OPERATIONS) {
                    let what = format!("{} {}", over.method, over.path);
                    self.left_out.push(format!("{what}: a service has {MAX_OPERATIONS} at most"));
                }
            }
        }
        match (self.apis.as_mut_slice(), id) {
            ([], _) => {
                let first = self.left_out.first().map(|left| format!("; {left}"));
                return Err(format!("nothing in it can be called{}", first.unwrap_or_default()));
            }
            ([one], Some(id)) => one.id = id.to_string(),
            (_, Some(_)) => return Err("it is of several APIs, which --id cannot all name".into()),
            (_, None) => {}
        }
        Ok(self)
    }

    /// The policy's file.
    pub(super) fn policy(&self) -> String {
        let mut lines = vec![
            format!(
                "# Made from {}. Nothing of it is applied, and none of it is proved: look at",
                self.kind
            ),
            "# all of it, above all at the prices and at where it leads, and then `apply` it."
                .to_owned(),
            "schema = 1".to_owned(),
        ];
        for api in &self.apis {
            api.lines(&mut lines);
        }
        if !self.left_out.is_empty() {
            lines.push("\n# Left out:".to_owned());
            lines.extend(self.left_out.iter().take(MAX_TOLD).map(|what| format!("# - {what}")));
            let more = self.left_out.len().saturating_sub(MAX_TOLD);
            lines.extend((more > 0).then(|| format!("# - and {more} more")));
        }
        lines.join("\n") + "\n"
    }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
