//! The MCP clients that have an entry of ours, and whether it would work.

use super::Check;
use crate::{
    cli::connect::{Link, State, links},
    client::Operator,
    home::Home,
};

pub(super) async fn checks(home: &Home, operator: &Operator) -> Vec<Check> {
    // Agents that cannot be read are told of elsewhere.
    let Ok(agents) = operator.agents().await else { return Vec::new() };
    links(home, &agents.agents, None).iter().filter_map(check).collect()
}

/// Nothing is said of a client that has no entry of ours: nobody need connect it.
fn check(link: &Link) -> Option<Check> {
    let word = link.word();
    let fix = || match link.state {
        State::Unreadable => "mend that file; we left it as it is".to_owned(),
        State::Connected | State::Other | State::NotConnected => {
            link.fix.clone().unwrap_or_else(|| format!("pettycash connect {word}"))
        }
    };
    match (link.state, &link.agent) {
        (State::NotConnected, _) => None,
        (State::Connected, Some(agent)) if link.problems.is_empty() => {
            Some(Check::ok(word, format!("connected as `{agent}`")))
        }
        _ => Some(Check::warn(word, link.problems.join("; "), fix())),
    }
}
