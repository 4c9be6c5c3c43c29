//! What a client is told to start.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::clients::Client;
use crate::{
    cli::program,
    home::{HOME_VARIABLE, Home},
    policy::names::Handle,
};

/// The name of our entry.
pub(super) const NAME: &str = "pettycash";
/// Where the state of all programs is kept, head anchors among it.
pub(super) const STATE_VARIABLE: &str = "XDG_STATE_HOME";
/// Directories that hold a program only for a while.
const PASSING: [&str; 4] = ["_npx", ".cache", "target/debug", "target/release"];

/// How a client starts us: always the same program and home, whatever its own environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) command: String,
    pub(super) agent: Handle,
    /// Where the data and the state are, if not where the platform has them.
    env: Vec<(&'static str, String)>,
}

impl Entry {
    /// What starts this very program for `agent` on `home`.
    pub(super) fn new(home: &Home, agent: &Handle) -> anyhow::Result<Self> {
        let mut env = Vec::new();
        // A client with windows hands on next to nothing of a shell's environment.
        if default_home().is_none_or(|default| default != home.dir()) {
            env.push((HOME_VARIABLE, home.dir().display().to_string()));
        }
        let state = env::var_os(STATE_VARIABLE).map(PathBuf::from).filter(|dir| dir.is_absolute());
        if let Some(state) = state.filter(|state| *state != default_state()) {
            env.push((STATE_VARIABLE, state.display().to_string()));
        }
        let command = program()?.display().to_string();
        Ok(Self { command, agent: agent.clone(), env })
    }

    /// The entry as this client writes it.
    pub(super) fn fields(&self, names_the_kind: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        if names_the_kind {
            fields.insert("type".to_owned(), json!("stdio"));
        }
        fields.insert("command".to_owned(), json!(self.command));
        fields.insert("args".to_owned(), json!(["mcp", "--agent", self.agent]));
        if !self.env.is_empty() {
            let env = self.env.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            fields.insert("env".to_owned(), env.collect());
        }
        fields
    }

    /// Whether an entry pays as this one does: as the same agent, from the same data.
    pub(super) fn pays_as(&self, present: &Value) -> bool {
        let started = Started::of(present);
        let ours = Started::of(&Value::Object(self.fields(false)));
        started.agent == ours.agent && started.home() == ours.home()
    }

    /// What should stand where `present` stands: what else somebody set in it is left to him.
    pub(super) fn over(&self, present: Option<&Value>, client: Client) -> Map<String, Value> {
        let mut fields = self.fields(client.names_the_kind());
        let Some(present) = present.and_then(Value::as_object).filter(|present| is_stdio(present))
        else {
            return fields;
        };
        let mut merged = present.clone();
        let env = fields.remove("env").unwrap_or_else(|| json!({}));
        for name in ["command", "args"] {
            merged.insert(name.to_owned(), fields.remove(name).unwrap_or_default());
        }
        let mut variables = match present.get("env") {
            Some(Value::Object(variables)) => variables.clone(),
            Some(_) | None => Map::new(),
        };
        variables.retain(|name, _| ![HOME_VARIABLE, STATE_VARIABLE].contains(&&**name));
        variables.extend(env.as_object().cloned().unwrap_or_default());
        if present.contains_key("env") || !variables.is_empty() {
            merged.insert("env".to_owned(), Value::Object(variables));
        }
        merged
    }

    /// Why the program may be gone one day, if it lies where programs do not stay.
    pub(super) fn passing(&self) -> Option<String> {
        let path = &self.command;
        let temporary = Path::new(path).starts_with(env::temp_dir());
        let built = PASSING.iter().any(|dir| path.contains(&format!("/{dir}/")));
        let told = || {
            format!(
                "`{path}` lies in a build or temporary directory: install pettycash where it \
                 stays, as `cargo install --path .` does, and connect again from there"
            )
        };
        (temporary || built).then(told)
    }
}

/// What an entry that somebody wrote starts, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) command: Option<String>,
    pub(super) agent: Option<Handle>,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

impl Started {
    pub(super) fn of(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let args = entry.get("args").and_then(Value::as_array).into_iter().flatten();
        let args: Vec<String> = args.filter_map(text).collect();
        let env = entry.get("env").and_then(Value::as_object).into_iter().flatten();
        let env = env.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
        let agent = match &*args {
            [mcp, flag, agent, ..] if mcp == "mcp" && flag == "--agent" => agent.parse().ok(),
            _ => None,
        };
        Self { command: entry.get("command").and_then(text), agent, env: env.collect(), args }
    }

    /// Where its data is.
    pub(super) fn home(&self) -> Option<PathBuf> {
        let named = self.env.iter().find(|(name, _)| name == HOME_VARIABLE);
        named.map_or_else(default_home, |(_, dir)| Some(PathBuf::from(dir)))
    }
}

fn is_stdio(entry: &Map<String, Value>) -> bool {
    let kind = entry.get("type").is_none_or(|kind| kind == "stdio");
    kind && entry.get("command").is_some_and(Value::is_string)
}

/// This program, by the name on the PATH if it is the same: an update puts the next one there.
fn program() -> anyhow::Result<PathBuf> {
    let this = program::this()?;
    let real = fs::canonicalize(&this).unwrap_or_else(|_| this.clone());
    let same = |found: &PathBuf| fs::canonicalize(found).is_ok_and(|found| found == real);
    let named = program::on_path(NAME).filter(|found| found.is_absolute()).filter(same);
    Ok(named.unwrap_or(this))
}

/// Where the home would be if the environment said nothing.
fn default_home() -> Option<PathBuf> {
    let user = etcetera::home_dir().ok()?;
    let data =
        if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    fs::canonicalize(user.join(data).join("pettycash")).ok()
}

fn default_state() -> PathBuf {
    let user = etcetera::home_dir().unwrap_or_default();
    if cfg!(target_os = "macos") { PathBuf::new() } else { user.join(".local/state") }
}

#[cfg(test)]
mod tests {
    use super::Entry;

    #[test]
    fn a_program_that_will_not_stay_is_told() {
        let passing = |command: &str| {
            let entry =
                Entry { command: command.to_owned(), agent: "a".parse().unwrap(), env: Vec::new() };
            entry.passing().is_some()
        };
        let temporary = std::env::temp_dir().join("pettycash").display().to_string();
        for path in [&*temporary, "/src/target/debug/pettycash", "/u/.npm/_npx/1/pettycash"] {
            assert!(passing(path), "{path}");
        }
        for path in ["/usr/local/bin/pettycash", "/u/.cargo/bin/pettycash"] {
            assert!(!passing(path), "{path}");
        }
    }
}
