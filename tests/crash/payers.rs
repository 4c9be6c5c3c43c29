//! Agents that pay until the engine is gone, and an operator who revokes each one whose cap is
//! reached and creates the next. All that was ever answered is noted, to be held against the
//! ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pettycash::{
    client::{Call, Called, Client, ClientError, Finder, Operator},
    clock::instant,
    policy::terms::{AgentView, LedgerAsked},
};
use serde_json::{Value, json};

/// How many pay at once.
const PAYERS: usize = 4;
/// What one payment costs, and the most that each agent may ever spend: so many payments exactly.
const PRICE: &str = "0.01";
const CAP: &str = "0.50";

/// The longest that payments are waited for; a task that broke is found then.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the agents; shared by all who act on them.
#[derive(Clone, Default)]
pub(super) struct Payers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// The agent that pays now, by its number; the first is 1.
    agent: usize,
    /// It was created, and the one before was revoked, as far as the operator was told.
    created: usize,
    revoked: usize,
    /// The agents that were told that their cap is reached.
    full: BTreeSet<usize>,
    /// Each payment that was acknowledged, and whose it is.
    paid: BTreeMap<String, usize>,
    /// The call of each payer that has no answer yet: it is made again after the next start.
    open: [Option<(usize, String)>; PAYERS],
    calls: usize,
    /// What the operator does next was asked before, and not answered.
    asked: bool,
}

/// What the operator does next.
#[derive(Clone, Copy)]
enum Act {
    Wait,
    Add,
    Create(usize),
    Revoke(usize),
}

impl Known {
    fn act(&self) -> Act {
        if self.agent == 0 {
            Act::Add
        } else if self.revoked + 1 < self.agent {
            Act::Revoke(self.revoked + 1)
        } else if self.created < self.agent {
            Act::Create(self.agent)
        } else {
            Act::Wait
        }
    }

    /// The next act was acknowledged. Payments go on beside it, but what is next stays next.
    fn did(&mut self) {
        match self.act() {
            Act::Wait => {}
            Act::Add => self.agent = 1,
            Act::Create(agent) => self.created = agent,
            Act::Revoke(agent) => self.revoked = agent,
        }
        self.asked = false;
    }
}

impl Payers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.known().paid.len()
    }

    /// Lets everybody act until so many more payments are acknowledged and then for a moment, and
    /// stops them where they are.
    pub(super) async fn act(&self, finder: &Finder, more: usize, moment: Duration) {
        let enough = self.acknowledged() + more;
        let mut acting: Vec<_> =
            (0..PAYERS).map(|nth| tokio::spawn(self.clone().pay(nth, finder.clone()))).collect();
        acting.push(tokio::spawn(self.clone().operate(finder.clone())));
        let until = instant() + PATIENCE;
        while self.acknowledged() < enough && instant() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(moment).await;
        for task in acting {
            task.abort();
            match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The call that this payer has open, or a new one, by the agent that pays now.
    fn next(&self, nth: usize) -> Option<(usize, String)> {
        let mut known = self.known();
        if known.open[nth].is_none() && known.created == known.agent && known.agent > 0 {
            known.calls += 1;
            known.open[nth] = Some((known.agent, format!("call_{}", known.calls)));
        }
        known.open[nth].clone()
    }

    async fn pay(self, nth: usize, finder: Finder) {
        let client = Client::new(finder);
        loop {
            let Some((agent, call_id)) = self.next(nth) else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let arguments = json!({"service_id": "search"});
            let (tool, handle) = ("pay_for_api_call", handle(agent));
            let call =
                Call { tool, agent: &handle, run: None, call_id: &call_id, arguments, via: None };
            let Called::Answered(answer) = client.call(call).await else { return };
            self.note(nth, agent, &answer);
        }
    }

    fn note(&self, nth: usize, agent: usize, answer: &Value) {
        let mut known = self.known();
        if answer["outcome"] == "paid" {
            let id = answer["payment_id"].as_str().unwrap().to_owned();
            let before = known.paid.insert(id, agent);
            assert_eq!(before, None, "one payment answers two calls: {answer}");
        } else {
            match answer["code"].as_str() {
                Some("cap_exceeded" | "loop_detected") => {
                    known.full.insert(agent);
                    known.agent = known.agent.max(agent + 1);
                }
                Some("agent_revoked") => assert!(known.full.contains(&agent), "{answer}"),
                _ => panic!("{answer}"),
            }
        }
        known.open[nth] = None;
    }

    /// Adds the service, keeps the agent that pays in being, and revokes those that are spent.
    async fn operate(self, finder: Finder) {
        let operator = Operator::new(finder);
        loop {
            let (path, body) = match self.known().act() {
                Act::Wait => (None, Value::Null),
                Act::Add => {
                    let new = json!({"id": "search", "payee": "Acme", "price_usd": PRICE});
                    (Some("/v1/services".to_owned()), new)
                }
                Act::Create(agent) => {
                    let caps = json!([{"period": "lifetime", "cap_usd": CAP}]);
                    let new =
                        json!({"handle": handle(agent), "funding": "allowance", "caps": caps});
                    (Some("/v1/agents".to_owned()), new)
                }
                Act::Revoke(agent) => {
                    let path = format!("/v1/agents/{}/revoke", handle(agent));
                    (Some(path), json!({"reason": "spent"}))
                }
            };
            let Some(path) = path else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            // Nobody tells the operator what became of an act whose engine was killed.
            let asked_before = std::mem::replace(&mut self.known().asked, true);
            match operator.post::<Value>(&path, &body).await {
                Ok(_) => {}
                Err(ClientError::Problem(problem)) if asked_before => {
                    assert_eq!(problem.code, "handle_taken", "{problem:?}");
                }
                Err(ClientError::Unreachable { .. } | ClientError::Unstarted(_)) => return,
                Err(other) => panic!("{other:?}"),
            }
            self.known().did();
        }
    }

    /// Has every open call answered, and holds what was ever answered against the ledger and the
    /// books: each payment is there once, no other is, no cap is passed, and whoever was told that
    /// a cap is reached or an agent revoked was told the truth.
    pub(super) async fn settle(&self, finder: &Finder) {
        for nth in 0..PAYERS {
            let open = self.known().open[nth].clone();
            let Some((agent, call_id)) = open else { continue };
            let arguments = json!({"service_id": "search"});
            let (tool, handle) = ("pay_for_api_call", handle(agent));
            let call =
                Call { tool, agent: &handle, run: None, call_id: &call_id, arguments, via: None };
            let answered = Client::new(finder.clone()).call(call).await;
            let Called::Answered(answer) = answered else { panic!("{answered:?}") };
            self.note(nth, agent, &answer);
        }
        let operator = Operator::new(finder.clone());
        let mut recorded = BTreeMap::<String, u32>::new();
        let mut cursor = None::<String>;
        loop {
            let asked = LedgerAsked::page(None, cursor, Some(1_000));
            let page = operator.ledger(&asked).await.unwrap();
            let paid = page.entries.iter().filter(|entry| entry.line.outcome == "paid");
            for id in paid.filter_map(|entry| entry.line.payment_id) {
                *recorded.entry(id.to_string()).or_default() += 1;
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        for id in self.known().paid.keys() {
            assert_eq!(recorded.remove(id), Some(1), "{id} was acknowledged");
        }
        assert!(recorded.is_empty(), "nobody was ever told of {recorded:?}");
        self.hold_against(&operator.agents().await.unwrap().agents);
    }

    fn hold_against(&self, views: &[AgentView]) {
        let known = self.known();
        assert!(views.len() >= known.created, "{} agents were created", known.created);
        for view in views {
            let agent: usize = view.handle().strip_prefix('a').unwrap().parse().unwrap();
            let paid = known.paid.values().filter(|of| **of == agent).count();
            let spent = view.spent_usd.to_string();
            assert_eq!(spent, format!("$0.{paid:02}"), "{paid} payments of a cent by {view:?}");
            assert!(view.spent_usd <= CAP.parse().unwrap(), "{view:?} passes the cap");
            assert!(!known.full.contains(&agent) || spent == format!("${CAP}"), "{view:?}");
            let is_revoked = view.balance.standing.as_deref() == Some("revoked");
            assert!(agent > known.revoked || is_revoked, "{view:?} was revoked");
        }
    }
}

fn handle(agent: usize) -> String {
    format!("a{agent}")
}
