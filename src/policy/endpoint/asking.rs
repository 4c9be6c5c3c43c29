//! What an agent asks of an endpoint, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use url::form_urlencoded;

use super::{Endpoint, HeaderName, Method, Operation, OperationName, path::encoded};
use crate::policy::{denial::BadField, names::is_hidden};

/// The longest path and query of a call, in bytes.
pub const MAX_TARGET: usize = 8_192;
/// The most headers, and the most parameters in the query, that an agent may set.
const MAX_SET: usize = 64;
/// The longest value of a header that an agent sets, in bytes.
const MAX_VALUE: usize = 4_096;
/// How much of what came is told.
const SHOWN: usize = 60;

/// What an agent asks for, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRequest {
    /// The name of an operation; or else `method` and `path`.
    pub operation: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The path, percent-encoded; or an operation's own, with its `{parameters}`. A query may
    /// follow it.
    pub path: Option<String>,
    /// The values of the parameters of an operation's path.
    pub params: BTreeMap<String, String>,
    /// What the query has.
    pub query: Vec<(String, String)>,
    /// Headers, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Body>,
}

/// The body of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// What is sent.
    pub bytes: Bytes,
    /// Whether it is JSON, which is then said of it unless the agent says something else.
    pub json: bool,
}

/// A call that an endpoint has, ready to be sent but for the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The operation that it is a call of.
    pub operation: OperationName,
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded, with all that the endpoint sets but the secret.
    pub target: String,
    /// The headers, each name once, with all that the endpoint sets but the secret.
    pub headers: BTreeMap<HeaderName, String>,
    /// The body; nothing if there is none.
    pub body: Bytes,
}

fn bad(field: &str, got: &str, expected: &str, example: &str) -> BadField {
    let plain = |c: char| if is_hidden(c) || !c.is_ascii() { '?' } else { c };
    let end = if got.chars().nth(SHOWN).is_some() { "…" } else { "" };
    let shown: String = got.chars().take(SHOWN).map(plain).collect();
    BadField {
        field: format!("request.{field}"),
        got: if got.is_empty() { "nothing".to_owned() } else { format!("\"{shown}{end}\"") },
        expected: expected.to_owned(),
        example: example.to_owned(),
    }
}

impl Endpoint {
    /// Makes a call of what an agent asks for.
    ///
    /// # Errors
    /// The first argument that is wrong, what it should be, and a value that would do.
    pub fn ask(&self, request: &ApiRequest) -> Result<Asking, BadField> {
        let (path, query) = request.parts();
        let (operation, values) = self.called(request, path)?;
        let filled = operation.path.fill(&values).map_err(|(name, right)| {
            let got = values.get(&name).map_or("", String::as_str);
            bad(&format!("params.{name}"), got, right, "")
        })?;
        // What a call costs goes by where it leads, not by the name that somebody has for it; and
        // which of two it leads to may be seen otherwise over there.
        let taken = |other: &&Operation| {
            let another = other.method == operation.method && other.name != operation.name;
            another && operation.path.may_be_taken_as(&other.path, &values)
        };
        let reached = self.matching(operation.method, &filled);
        let reached = reached.filter(|reached| reached.name != operation.name);
        if let Some(other) = reached.or_else(|| self.operations.iter().find(taken)) {
            let (name, value) =
                values.iter().next().map_or(("", ""), |(name, value)| (name, value));
            let right = format!("a value that does not lead to `{}`", other.name);
            return Err(bad(&format!("params.{name}"), value, &right, other.name.as_str()));
        }
        let query = self.query_of(request, query)?;
        let target = format!("{}{filled}{query}", self.base_url.prefix());
        if target.len() > MAX_TARGET {
            let right = "a path and a query of at most 8192 bytes when encoded: use the body";
            return Err(bad("query", "", right, ""));
        }
        let headers = self.headers_of(request)?;
        let body = request.body.as_ref().map(|body| body.bytes.clone()).unwrap_or_default();
        if !operation.method.has_body() && !body.is_empty() {
            let right = format!("no body, for `{}` is a {}", operation.name, operation.method);
            return Err(bad("body", "a body", &right, ""));
        }
        let (operation, method) = (operation.name.clone(), operation.method);
        Ok(Asking { operation, method, target, headers, body })
    }

    /// The operation that is asked for, and the values of its parameters.
    fn called(
        &self,
        request: &ApiRequest,
        path: Option<&str>,
    ) -> Result<(&Operation, BTreeMap<String, String>), BadField> {
        let example = self.operations.first().map_or("", |operation| operation.name.as_str());
        let operation = match (&request.operation, path) {
            (Some(name), None) => self.operation(name).ok_or_else(|| {
                let names: Vec<&str> =
                    self.operations.iter().map(|known| known.name.as_str()).take(8).collect();
                bad("operation", name, &format!("one of {}", names.join(", ")), example)
            })?,
            (None, Some(path)) => {
                let method = self.method_of(request)?;
                let named =
                    |known: &&Operation| known.method == method && known.path.to_string() == path;
                if let Some(operation) = self.operations.iter().find(named) {
                    operation
                } else {
                    return self.reached(request, method, path);
                }
            }
            (None, None) | (Some(_), Some(_)) => {
                let right = "the name of an operation, or a method and a path in its place";
                let got = request.operation.as_deref().unwrap_or_default();
                return Err(bad("operation", got, right, example));
            }
        };
        if request.operation.is_some() && request.method.is_some() {
            self.method_of(request).ok().filter(|method| *method == operation.method).ok_or_else(
                || {
                    let got = request.method.as_deref().unwrap_or_default();
                    bad("method", got, "left out beside `operation`", operation.method.as_str())
                },
            )?;
        }
        let known: BTreeSet<&str> = operation.path.params().collect();
        if let Some(odd) = request.params.keys().find(|name| !known.contains(name.as_str())) {
            let names: Vec<&str> = operation.path.params().collect();
            let right = if names.is_empty() {
                "no params: what else an API takes goes into `query` or `body`".to_owned()
            } else {
                format!("params named {}", names.join(", "))
            };
            return Err(bad("params", odd, &right, ""));
        }
        Ok((operation, request.params.clone()))
    }

    fn method_of(&self, request: &ApiRequest) -> Result<Method, BadField> {
        let got = request.method.as_deref().unwrap_or_default();
        let usual = self.operations.first().map_or("GET", |operation| operation.method.as_str());
        let right = "GET, HEAD, POST, PUT, PATCH or DELETE";
        got.parse().map_err(|_| bad("method", got, right, usual))
    }

    /// The operation that a path of a call leads to.
    fn reached(
        &self,
        request: &ApiRequest,
        method: Method,
        path: &str,
    ) -> Result<(&Operation, BTreeMap<String, String>), BadField> {
        if let Some(odd) = request.params.keys().next() {
            return Err(bad("params", odd, "no params beside a path that has none", ""));
        }
        let found = self.matching(method, path);
        let reached = found.and_then(|operation| Some((operation, operation.path.values(path)?)));
        let is_of = |known: &&Operation| {
            known.path.to_string() == path || known.path.values(path).is_some()
        };
        reached.ok_or_else(|| {
            if let Some(other) = self.operations.iter().find(is_of) {
                let right = format!("{}, for `{}` is {0} {}", other.method, other.name, other.path);
                return bad("method", method.as_str(), &right, other.method.as_str());
            }
            let known =
                self.operations.iter().map(|known| format!("{} {}", known.method, known.path));
            let some: Vec<String> = known.take(8).collect();
            let right = format!("a path of an operation: {}", some.join(", "));
            bad("path", path, &right, "")
        })
    }

    /// The query with its `?`, or nothing.
    fn query_of(&self, request: &ApiRequest, behind: Option<&str>) -> Result<String, BadField> {
        let behind = form_urlencoded::parse(behind.unwrap_or_default().as_bytes());
        let asked = behind.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let asked: Vec<(String, String)> = asked.chain(request.query.iter().cloned()).collect();
        if asked.len() > MAX_SET {
            return Err(bad("query", "", "at most 64 parameters", ""));
        }
        let set = self.query.iter().filter(|(_, template)| !template.takes_secret());
        let mut pairs: Vec<String> = Vec::new();
        for (name, value) in &asked {
            if name.is_empty() || name.contains(is_hidden) {
                return Err(bad("query", name, "names that are not empty, of what is shown", ""));
            }
            if self.query.keys().any(|ours| is_same_parameter(ours, name)) {
                return Err(bad("query", name, "without it: it is set for you", ""));
            }
            let odd = |c: char| c.is_control() && !['\n', '\r', '\t'].contains(&c);
            if value.contains(odd) || value.contains('\u{fffd}') {
                let field = format!("query.{name}");
                return Err(bad(&field, value, "a value without control characters", ""));
            }
            pairs.push(format!("{}={}", encoded(name), encoded(value)));
        }
        pairs.extend(set.map(|(name, set)| format!("{}={}", encoded(name), encoded(set.text()))));
        Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
    }

    /// The headers, those of the endpoint among them.
    fn headers_of(&self, request: &ApiRequest) -> Result<BTreeMap<HeaderName, String>, BadField> {
        let mut headers = BTreeMap::new();
        if request.headers.len() > MAX_SET {
            return Err(bad("headers", "", "at most 64 headers", ""));
        }
        for (name, value) in &request.headers {
            let wrong = |right: &str| bad("headers", name, right, "");
            let read: HeaderName =
                name.parse().map_err(|_| wrong("names of letters, digits and `-`"))?;
            if !self.may_set(&read) {
                return Err(wrong(&self.settable()));
            }
            let plain = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            if !plain || value.len() > MAX_VALUE || value.trim() != value.as_str() {
                let field = format!("headers.{read}");
                let right = "a line of at most 4096 plain characters, without spaces around it";
                return Err(bad(&field, value, right, ""));
            }
            if headers.insert(read, value.clone()).is_some() {
                return Err(wrong("each header once"));
            }
        }
        let set = self.headers.iter().filter(|(_, template)| !template.takes_secret());
        headers.extend(set.map(|(name, set)| (name.clone(), set.text().to_owned())));
        let json = request.body.as_ref().is_some_and(|body| body.json);
        if let Ok(name) = "content-type".parse::<HeaderName>()
            && json
        {
            headers.entry(name).or_insert_with(|| "application/json".to_owned());
        }
        Ok(headers)
    }

    /// Which headers an agent may set, in words.
    fn settable(&self) -> String {
        let allowed = self.allow_headers.iter().map(HeaderName::as_str);
        let all = ["accept", "content-type"].into_iter().chain(allowed);
        let free = all.filter(|name| name.parse().is_ok_and(|name| self.may_set(&name)));
        let names: BTreeSet<&str> = free.take(16).collect();
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() {
            "no headers: all that is needed is set for you".to_owned()
        } else {
            format!("only headers that may be set: {}", names.join(", "))
        }
    }
}

/// Whether a server may take the one parameter for the other.
fn is_same_parameter(ours: &str, given: &str) -> bool {
    let name = given.split(['[', '.']).next().unwrap_or_default().trim();
    ours.eq_ignore_ascii_case(name) || ours.eq_ignore_ascii_case(given)
}

impl ApiRequest {
    /// The path, and the query behind it.
    fn parts(&self) -> (Option<&str>, Option<&str>) {
        let path = self.path.as_deref();
        match path.and_then(|path| path.split_once('?')) {
            Some((path, query)) => (Some(path), Some(query)),
            None => (path, None),
        }
    }
}
