//! The engine's face over the local sockets, for surfaces in another process.
//!
//! What breaks between two processes is told as what it is: never sent, or maybe sent. A call of a
//! tool carries an id and a reading changes nothing, so both are sent again, to the next `serve` if
//! need be; an operator's act is not, once it may have arrived. Who finds or starts that `serve` is
//! not known here: a [`Finder`] is given.

mod line;
mod operator;

use std::time::Duration;

use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;

use crate::policy::{
    answer::{ApiBody, Waiting, WaitingBodies},
    names::PaymentId,
    via::Via,
};
pub(crate) use line::connect_to_us;
pub use line::{Cause, Finder, Unstarted};
pub use operator::{ClientError, Operator, Proof};

use line::{Again, Line, Lost, Plane};

/// How long it may take to find out which tools there are: then there are those that everybody has.
const LISTED_WITHIN: Duration = Duration::from_secs(3);

/// How a call of a tool ended, as far as this process can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// The engine's answer.
    Answered(Value),
    /// No engine has seen the call: nothing was done.
    NeverSent,
    /// An engine may have seen the call and may have done as it says.
    MaybeSent,
}

/// The agents' side of the engine: the tools, and nothing else. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

/// One call of a tool, as it is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Call<'a> {
    /// The tool.
    #[serde(skip)]
    pub tool: &'a str,
    /// Who calls.
    pub agent: &'a str,
    /// The run it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<&'a str>,
    /// The id of the call, the same when it is sent again.
    pub call_id: &'a str,
    /// The arguments, as the model sent them.
    pub arguments: Value,
    /// What the client says of where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

impl Client {
    /// A client of whatever `serve` the finder finds.
    pub fn new(finder: Finder) -> Self {
        Self { line: Line::new(finder, Plane::Agent) }
    }

    /// Whether whoever names this agent on this machine opens its tasks; nothing where `serve`
    /// does not say so soon.
    pub async fn opens_tasks(&self, agent: &str) -> Option<bool> {
        let path = format!("/v1/tools?agent={agent}");
        let asked = self.line.request(Method::GET, &path, None, None, Again::Always);
        let Ok(Ok((status, body))) = timeout(LISTED_WITHIN, asked).await else { return None };
        let answer = parse::<Value>(&body).unwrap_or_default();
        answer["open_tasks"].as_bool().filter(|_| status.is_success())
    }

    /// The bodies that wait for an agent; nothing where nobody could be asked.
    pub async fn bodies(
        &self,
        agent: &str,
        before: Option<PaymentId>,
    ) -> Option<Waiting<WaitingBodies>> {
        let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
        self.read(&format!("/v1/responses?agent={agent}{before}")).await
    }

    /// One of them; nothing where nobody could be asked.
    pub async fn body(&self, agent: &str, payment: PaymentId) -> Option<Waiting<ApiBody>> {
        self.read(&format!("/v1/responses/{payment}?agent={agent}")).await
    }

    /// What `serve` answers to a question that changes nothing.
    async fn read<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        match self.line.request(Method::GET, path, None, None, Again::Always).await {
            Ok((status, body)) if status.is_success() => parse(&body).ok(),
            Ok((status, _)) => {
                tracing::error!(%status, "a question was not understood");
                None
            }
            Err(Lost { why, .. }) => {
                tracing::warn!(%why, "a question was not answered");
                None
            }
        }
    }

    /// Calls a tool. A call whose connection breaks is sent again with the same id, for 5 s.
    pub async fn call(&self, call: Call<'_>) -> Called {
        let Ok(body) = serde_json::to_vec(&call) else { return Called::NeverSent };
        let Call { tool, call_id, .. } = call;
        let path = format!("/v1/tools/{tool}");
        match self.line.request(Method::POST, &path, Some(body.into()), None, Again::Always).await {
            Ok((status, body)) => called(tool, call_id, status.as_u16(), &body),
            Err(Lost { maybe_sent, why }) => {
                tracing::warn!(tool, call_id, maybe_sent, %why, "the call was not answered");
                if maybe_sent { Called::MaybeSent } else { Called::NeverSent }
            }
        }
    }
}

fn called(tool: &str, call_id: &str, status: u16, body: &[u8]) -> Called {
    let answer = parse::<Value>(body);
    match (status, answer) {
        (200, Ok(answer)) => Called::Answered(answer),
        (400..=499, answer) => {
            let detail = answer.ok().and_then(|answer| answer.get("detail").cloned());
            tracing::error!(tool, call_id, status, ?detail, "the call was not understood");
            Called::Answered(Value::Null)
        }
        (status, _) => {
            tracing::error!(tool, call_id, status, "the engine broke off");
            Called::MaybeSent
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

#[cfg(test)]
mod tests;
