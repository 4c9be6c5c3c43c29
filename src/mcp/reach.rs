//! How calls reach the engine: over its socket, or at once where it is in the same process.

pub use crate::client::{Call, Called};
use crate::{
    client::Client,
    engine::{self, Engine},
    policy::{
        answer::{ApiBody, Waiting, WaitingBodies},
        came::Came,
        names::PaymentId,
    },
};

/// How calls reach the engine.
///
/// It never fails and never hangs for ever: what could not be asked is `NeverSent`, what was asked
/// but not answered is `MaybeSent`.
pub trait Reach: Clone + Send + Sync + 'static {
    /// Sends one call, again if need be, under the same id.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Called> + Send;

    /// Whether whoever calls so in this agent's name opens tasks; nothing where nobody knows.
    fn opens_tasks(&self, agent: &str) -> impl Future<Output = Option<bool>> + Send;

    /// A page of the bodies that wait for an agent; nothing where nobody knows.
    fn bodies(
        &self,
        agent: &str,
        before: Option<PaymentId>,
    ) -> impl Future<Output = Option<Waiting<WaitingBodies>>> + Send;

    /// One of them; nothing where nobody knows.
    fn body(
        &self,
        agent: &str,
        payment: PaymentId,
    ) -> impl Future<Output = Option<Waiting<ApiBody>>> + Send;
}

impl Reach for Client {
    async fn call(&self, call: Call<'_>) -> Called {
        Client::call(self, call).await
    }

    async fn opens_tasks(&self, agent: &str) -> Option<bool> {
        Client::opens_tasks(self, agent).await
    }

    async fn bodies(
        &self,
        agent: &str,
        before: Option<PaymentId>,
    ) -> Option<Waiting<WaitingBodies>> {
        Client::bodies(self, agent, before).await
    }

    async fn body(&self, agent: &str, payment: PaymentId) -> Option<Waiting<ApiBody>> {
        Client::body(self, agent, payment).await
    }
}

/// Asks an engine in this process whether somebody who came so opens tasks.
pub async fn opens_tasks(engine: &Engine, agent: &str, came: Came) -> Option<bool> {
    engine.may_open_tasks(&agent.parse().ok()?, came).await.ok()
}

/// Sends a call to an engine in this process, of somebody who came so.
///
/// Whoever stops waiting takes nothing back: the engine brings to its end what it has begun.
pub async fn ask(engine: &Engine, call: Call<'_>, came: Came) -> Called {
    let Call { tool, agent, run, call_id, arguments, via } = call;
    let (agent, run) = (agent.parse(), run.map(str::parse).transpose());
    let (Ok(agent), Ok(run), Ok(call_id)) = (agent, run, call_id.parse()) else {
        tracing::error!(tool, "a name of ours is none");
        return Called::Answered(serde_json::Value::Null);
    };
    let call = engine::Call { agent, run, call_id: Some(call_id), arguments, via, came };
    Called::Answered(engine.call(tool, call).await.unwrap_or_default())
}
