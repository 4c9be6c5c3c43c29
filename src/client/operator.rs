//! The operators' side of the engine, one method per path.

mod tasks;

use std::fmt::Write;

use base64ct::{Base64, Encoding};
use hyper::{Method, header::HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::line::{Again, Cause, Finder, Line, Lost, Plane, Unstarted, Why};
use crate::policy::{
    answer::{ApiBody, PayAnswer},
    names::{GroupId, Handle, PaymentId, ServiceId, TokenId},
    terms::{
        Acted, ActedOnAll, AgentView, Agents, Books, Explained, Exposure, Freezing, GroupView,
        Groups, Health, LedgerAsked, LedgerPage, MandateChanged, MandatePatch, MandateView,
        NewAgent, NewPassphrase, NewService, NewToken, OperatorDoor, PassphraseGiven, PaymentTerms,
        PolicyAsked, PolicyPlan, PolicyTrial, PresentPolicy, PriceTable, PricesAsked, PricesPlan,
        PricesWanted, Problem, Refund, Refunded, Repin, Revocation, Rotation, ServiceEntry,
        ServiceTest, Services, Settled, Settlement, TestAsked, TokenGiven, TokenList, TokenView,
        TopUp, TrialAsked, Unfreezing,
    },
};

/// Why an operator's request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The engine says no.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// There is no `serve`, and none could be started.
    #[error(transparent)]
    Unstarted(#[from] Unstarted),
    /// The answer did not come.
    #[error("`pettycash serve` did not answer")]
    Unreachable {
        /// Whether what was asked may have been done all the same.
        may_have_been_done: bool,
        /// What broke.
        #[source]
        cause: Cause,
    },
    /// The answer is not one that this version understands.
    #[error("`pettycash serve` answered with something else (status {status})")]
    Garbled {
        /// The HTTP status.
        status: u16,
        /// What does not fit.
        #[source]
        cause: Cause,
    },
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.hint.clone(),
            Self::Unstarted(unstarted) => unstarted.hint.clone(),
            Self::Unreachable { may_have_been_done: true, .. } => {
                Some("it may have been done: look before you repeat it".to_owned())
            }
            Self::Unreachable { may_have_been_done: false, .. } => {
                Some("nothing was done: try again".to_owned())
            }
            Self::Garbled { .. } => {
                Some("another version may be running: stop `pettycash serve` and retry".to_owned())
            }
        }
    }
}

impl From<Lost> for ClientError {
    fn from(Lost { maybe_sent, why }: Lost) -> Self {
        match why {
            Why::Unstarted(unstarted) if !maybe_sent => Self::Unstarted(unstarted),
            Why::Unstarted(_) | Why::Broken(_) | Why::TimedOut => {
                Self::Unreachable { may_have_been_done: maybe_sent, cause: Cause(why.to_string()) }
            }
        }
    }
}

type Answer<T> = Result<T, ClientError>;

/// The operators' side of the engine. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Operator {
    line: Line,
    /// Never shown, not even where this is printed to look for a mistake.
    proof: Option<HeaderValue>,
}

/// What somebody shows to prove that he is an operator.
#[derive(Clone, Debug)]
pub enum Proof {
    /// An operator's token, `opr_…`.
    Token(SecretString),
    /// The operators' passphrase.
    Passphrase(SecretString),
}

impl Proof {
    /// How it is sent; nothing where it cannot be.
    fn header(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(match self {
            Self::Token(token) => format!("Bearer {}", token.expose_secret()),
            Self::Passphrase(passphrase) => {
                let text = Zeroizing::new(format!("operator:{}", passphrase.expose_secret()));
                let encoded = Zeroizing::new(Base64::encode_string(text.as_bytes()));
                format!("Basic {}", *encoded)
            }
        });
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl Operator {
    /// A client of whatever `serve` the finder finds.
    pub fn new(finder: Finder) -> Self {
        Self { line: Line::new(finder, Plane::Operator), proof: None }
    }

    /// The same, with a proof for what gives an agent more.
    #[must_use]
    pub fn proven(&self, proof: &Proof) -> Self {
        Self { line: self.line.clone(), proof: proof.header() }
    }

    /// Reads `path`. A reading whose connection breaks is sent again.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.ask(Method::GET, path, None, Again::Always).await
    }

    /// Sends `body` to `path`. It is never sent again once it may have arrived.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        self.send(Method::POST, path, body, Again::UnlessSent).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        again: Again,
    ) -> Answer<T> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unreachable {
            may_have_been_done: false,
            cause: Cause(error.to_string()),
        })?;
        self.ask(method, path, Some(body), again).await
    }

    /// What the `serve` says of itself.
    pub async fn health(&self) -> Answer<Health> {
        self.get("/v1/health").await
    }

    /// Asks the `serve` to end.
    pub async fn stop(&self) -> Answer<Health> {
        self.post("/v1/stop", &serde_json::Value::Null).await
    }

    /// Every agent.
    pub async fn agents(&self) -> Answer<Agents> {
        self.get("/v1/agents").await
    }

    /// One agent.
    pub async fn agent(&self, agent: &Handle) -> Answer<AgentView> {
        self.get(&format!("/v1/agents/{agent}")).await
    }

    /// Creates an agent.
    pub async fn create_agent(&self, new: &NewAgent) -> Answer<AgentView> {
        self.post("/v1/agents", new).await
    }

    /// Ends an agent's right to pay.
    pub async fn revoke(&self, agent: &Handle, revocation: &Revocation) -> Answer<AgentView> {
        self.post(&format!("/v1/agents/{agent}/revoke"), revocation).await
    }

    /// Stops an agent for now.
    pub async fn freeze(&self, agent: &Handle, freezing: &Freezing) -> Answer<Acted> {
        self.post(&format!("/v1/agents/{agent}/freeze"), freezing).await
    }

    /// Lets a frozen agent pay again.
    pub async fn unfreeze(&self, agent: &Handle, unfreezing: &Unfreezing) -> Answer<Acted> {
        self.post(&format!("/v1/agents/{agent}/unfreeze"), unfreezing).await
    }

    /// Stops every active agent for now.
    pub async fn freeze_all(&self, freezing: &Freezing) -> Answer<ActedOnAll> {
        self.post("/v1/freeze", freezing).await
    }

    /// Lets every frozen agent pay again.
    pub async fn unfreeze_all(&self, unfreezing: &Unfreezing) -> Answer<ActedOnAll> {
        self.post("/v1/unfreeze", unfreezing).await
    }

    /// Adds to an agent's balance.
    pub async fn top_up(&self, agent: &Handle, top_up: &TopUp) -> Answer<AgentView> {
        self.post(&format!("/v1/agents/{agent}/top-ups"), top_up).await
    }

    /// Has a service of an agent, whose first payees stay, pay another.
    pub async fn repin(&self, agent: &Handle, repin: &Repin) -> Answer<Acted> {
        self.post(&format!("/v1/agents/{agent}/payees"), repin).await
    }

    /// An agent's mandate.
    pub async fn mandate(&self, agent: &Handle) -> Answer<MandateView> {
        self.get(&format!("/v1/agents/{agent}/mandate")).await
    }

    /// Changes an agent's mandate, or asks what would change.
    pub async fn change_mandate(
        &self,
        agent: &Handle,
        patch: &MandatePatch,
    ) -> Answer<MandateChanged> {
        let mandate = format!("/v1/agents/{agent}/mandate");
        self.send(Method::PATCH, &mandate, patch, Again::UnlessSent).await
    }

    /// The present state as a policy.
    pub async fn policy(&self) -> Answer<PresentPolicy> {
        self.get("/v1/policy").await
    }

    /// Applies a policy, or asks what would change.
    pub async fn apply_policy(&self, asked: &PolicyAsked) -> Answer<PolicyPlan> {
        self.post("/v1/policy", asked).await
    }

    /// What metered calls cost, of all models or of one.
    pub async fn prices(&self, wanted: &PricesWanted) -> Answer<PriceTable> {
        let model = wanted.model.as_ref().map(|model| format!("model={}", escaped(model)));
        self.get(&format!("/v1/prices?{}", model.unwrap_or_default())).await
    }

    /// Sets prices, or asks what that would change.
    pub async fn set_prices(&self, asked: &PricesAsked) -> Answer<PricesPlan> {
        self.post("/v1/prices", asked).await
    }

    /// What one agent or all of them can still spend.
    pub async fn exposure(&self, agent: Option<&Handle>) -> Answer<Exposure> {
        let mut path = "/v1/exposure".to_owned();
        if let Some(agent) = agent {
            path.push_str("?agent=");
            path.push_str(agent.as_str());
        }
        self.get(&path).await
    }

    /// What shadow caps would have denied of what was paid.
    pub async fn shadows(&self, since: Option<Timestamp>) -> Answer<PolicyTrial> {
        let since = since.map(|since| format!("since={since}")).unwrap_or_default();
        self.get(&format!("/v1/policy/shadow?{since}")).await
    }

    /// What a policy would have said to what happened.
    pub async fn try_policy(&self, asked: &TrialAsked) -> Answer<PolicyTrial> {
        self.send(Method::POST, "/v1/policy/tests", asked, Again::Always).await
    }

    /// Which rule decided on a payment.
    pub async fn explain(&self, payment: PaymentId) -> Answer<Explained> {
        self.get(&format!("/v1/payments/{payment}/explanation")).await
    }

    /// Pays as an agent would. A payment with a call id whose connection breaks is sent again.
    pub async fn pay(&self, agent: &Handle, payment: &PaymentTerms) -> Answer<PayAnswer> {
        let once = payment.call_id.is_some();
        let again = if once { Again::Always } else { Again::UnlessSent };
        self.send(Method::POST, &format!("/v1/agents/{agent}/payments"), payment, again).await
    }

    /// Gives an agent a token.
    pub async fn issue_token(&self, agent: &Handle, new: &NewToken) -> Answer<TokenGiven> {
        self.post(&format!("/v1/agents/{agent}/tokens"), new).await
    }

    /// The tokens of an agent.
    pub async fn tokens(&self, agent: &Handle) -> Answer<TokenList> {
        self.get(&format!("/v1/agents/{agent}/tokens")).await
    }

    /// Gives out a token in place of another.
    pub async fn rotate_token(&self, old: &TokenId, rotation: &Rotation) -> Answer<TokenGiven> {
        self.post(&format!("/v1/tokens/{old}/rotations"), rotation).await
    }

    /// Has a token let nobody in any more.
    pub async fn revoke_token(&self, token: &TokenId) -> Answer<TokenView> {
        self.ask(Method::DELETE, &format!("/v1/tokens/{token}"), None, Again::UnlessSent).await
    }

    /// What the operators' door is like.
    pub async fn door(&self) -> Answer<OperatorDoor> {
        self.get("/v1/operator").await
    }

    /// Sees whether what is shown proves an operator; before there is a passphrase anything does.
    pub async fn prove(&self) -> Answer<OperatorDoor> {
        self.post("/v1/operator/proof", &serde_json::Value::Null).await
    }

    /// Gives the operators a passphrase, or another one.
    pub async fn set_passphrase(&self, new: &NewPassphrase) -> Answer<PassphraseGiven> {
        self.send(Method::PUT, "/v1/operator/passphrase", new, Again::UnlessSent).await
    }

    /// Gives an operator a token.
    pub async fn issue_operator_token(&self, new: &NewToken) -> Answer<TokenGiven> {
        self.post("/v1/operator/tokens", new).await
    }

    /// The operators' tokens.
    pub async fn operator_tokens(&self) -> Answer<TokenList> {
        self.get("/v1/operator/tokens").await
    }

    /// Ends a payment that is in doubt, as it really ended.
    pub async fn settle(&self, payment: PaymentId, found: &Settlement) -> Answer<Settled> {
        self.post(&format!("/v1/payments/{payment}/settlement"), found).await
    }

    /// What was answered to a payment, as long as it is kept.
    pub async fn response(&self, payment: PaymentId) -> Answer<ApiBody> {
        self.get(&format!("/v1/payments/{payment}/response")).await
    }

    /// Gives back what a payment took, or a part of it.
    pub async fn refund(&self, payment: PaymentId, refund: &Refund) -> Answer<Refunded> {
        self.post(&format!("/v1/payments/{payment}/refunds"), refund).await
    }

    /// The catalogue.
    pub async fn services(&self) -> Answer<Services> {
        self.get("/v1/services").await
    }

    /// Adds to the catalogue.
    pub async fn add_service(&self, new: &NewService) -> Answer<ServiceEntry> {
        self.post("/v1/services", new).await
    }

    /// Every group of agents.
    pub async fn groups(&self) -> Answer<Groups> {
        self.get("/v1/groups").await
    }

    /// One group.
    pub async fn group(&self, group: &GroupId) -> Answer<GroupView> {
        self.get(&format!("/v1/groups/{group}")).await
    }

    /// Takes a group away.
    pub async fn remove_group(&self, group: &GroupId) -> Answer<GroupView> {
        self.ask(Method::DELETE, &format!("/v1/groups/{group}"), None, Again::UnlessSent).await
    }

    /// One service of the catalogue.
    ///
    /// # Errors
    /// If it cannot be asked, or there is no such service.
    pub async fn service(&self, service: &ServiceId) -> Answer<ServiceEntry> {
        self.get(&format!("/v1/services/{service}")).await
    }

    /// Calls a service as the operator.
    pub async fn test_service(&self, id: &ServiceId, asked: &TestAsked) -> Answer<ServiceTest> {
        self.post(&format!("/v1/services/{id}/test"), asked).await
    }

    /// Takes a service out of the catalogue.
    pub async fn remove_service(&self, service: &ServiceId) -> Answer<ServiceEntry> {
        self.ask(Method::DELETE, &format!("/v1/services/{service}"), None, Again::UnlessSent).await
    }

    /// One page of one agent's ledger, or of everybody's, newest first, with nothing on it but the
    /// lines that are asked for: it may be empty, and have a next one.
    pub async fn ledger(&self, asked: &LedgerAsked) -> Answer<LedgerPage> {
        let LedgerAsked { agent, cursor, limit, since, until, service_id, outcome, run, task_id } =
            asked;
        let asked = [
            ("agent", agent.as_ref().map(ToString::to_string)),
            ("cursor", cursor.clone()),
            ("limit", limit.map(|limit| limit.to_string())),
            ("since", since.map(|since| since.to_string())),
            ("until", until.map(|until| until.to_string())),
            ("service_id", service_id.as_ref().map(ToString::to_string)),
            ("outcome", outcome.clone()),
            ("run", run.as_ref().map(ToString::to_string)),
            ("task_id", task_id.as_ref().map(ToString::to_string)),
        ];
        let said =
            |(name, value): (_, Option<String>)| Some(format!("{name}={}", escaped(&value?)));
        let query: Vec<String> = asked.into_iter().filter_map(said).collect();
        self.get(&format!("/v1/ledger?{}", query.join("&"))).await
    }

    /// Every book as it is at one head of the record.
    pub async fn books(&self) -> Answer<Books> {
        self.get("/v1/books").await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        again: Again,
    ) -> Answer<T> {
        let (body, proof) = (body.map(Into::into), self.proof.as_ref());
        let answered = self.line.request(method, path, body, proof, again).await;
        let (status, body) = answered?;
        let garbled = |error: serde_json::Error| ClientError::Garbled {
            status: status.as_u16(),
            cause: Cause(error.to_string()),
        };
        if status.is_success() {
            return super::parse(&body).map_err(garbled);
        }
        Err(super::parse(&body).map_or_else(garbled, ClientError::Problem))
    }
}

/// A text as a query takes it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
