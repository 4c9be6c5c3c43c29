//! Many at once, and an operator among them.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use pettycash::policy::terms::{NewAgent, Revocation};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Watched, dollars, nanos, run};

const AGENTS: [&str; 3] = ["zoe", "ben", "cyd"];

fn report(cents: i64) -> Value {
    json!({"service_id": "report", "amount_usd": dollars(cents)})
}

/// What is left under the caps on amounts, agent's and group's, once nobody pays any more.
async fn left(watched: &Watched, agent: &str) -> i64 {
    let balance = watched.call("get_balance", agent, json!({})).await;
    let caps =
        balance["caps"].as_array().unwrap().iter().filter(|cap| cap.get("cap_usd").is_some());
    caps.map(|cap| nanos(cap, "cap_usd") - nanos(cap, "used_usd")).min().unwrap()
}

async fn count_left(watched: &Watched, agent: &str) -> i64 {
    let balance = watched.call("get_balance", agent, json!({})).await;
    let caps = balance["caps"].as_array().unwrap();
    let cap = caps.iter().find(|cap| cap.get("cap_count").is_some()).unwrap();
    cap["cap_count"].as_i64().unwrap() - cap["used_count"].as_i64().unwrap()
}

/// What `a` has paid so far.
async fn captured(watched: &Watched) -> i64 {
    let (state, _) = watched.state().await;
    state.book(&"zoe".parse().unwrap()).unwrap().captured.nanos()
}

proptest! {
    #![proptest_config(super::cases(30))]

    /// I-5: whoever pays at once with others is answered as in some order one after the other: the
    /// sums are within every cap, and nobody was refused who would still fit. I-3 and I-4 with it.
    #[test]
    fn many_at_once_are_answered_as_one_after_the_other(
        asked in proptest::collection::vec((0_usize..3, 1_i64..70), 2..40),
    ) {
        run(async {
            let watched = Arc::new(Watched::new().await);
            let all = asked.iter().map(|(agent, cents)| {
                let (watched, agent, cents) = (watched.clone(), AGENTS[*agent], *cents);
                tokio::spawn(async move { watched.pay(agent, report(cents)).await })
            });
            let answers: Vec<Value> =
                join_all(all).await.into_iter().map(|answer| answer.unwrap()).collect();
            let (state, _) = watched.state().await;
            for agent in AGENTS {
                let all = || asked.iter().zip(&answers);
                let theirs = || all().filter(|((who, _), _)| AGENTS[*who] == agent);
                let paid: i64 = theirs()
                    .filter(|(_, answer)| answer["outcome"] == "paid")
                    .map(|((_, cents), _)| cents * 10_000_000)
                    .sum();
                let book = state.book(&agent.parse().unwrap()).unwrap();
                prop_assert_eq!(book.captured.nanos(), paid, "{} was told otherwise", agent);
                let left = left(&watched, agent).await;
                let count = count_left(&watched, agent).await;
                prop_assert!(left >= 0 && count >= 0, "{agent} passed a cap");
                for ((_, cents), answer) in theirs() {
                    let fits = cents * 10_000_000 <= left && *cents <= 60 && count > 0;
                    prop_assert!(answer["outcome"] == "paid" || !fits, "{agent} {cents}: {answer}");
                }
            }
            Ok(())
        })?;
    }

    /// I-16: nothing is let through once a revocation was answered, and to the others it is as if
    /// there had been none. I-17: no restart and no new agent of the name takes it back.
    #[test]
    fn after_a_revocation_nothing_is_let_through(
        before in 0_usize..8, after in 1_usize..8, reopen in any::<bool>(),
    ) {
        run(async {
            let watched = Watched::new().await;
            let early = join_all((0..before).map(|_| watched.pay("zoe", report(1))));
            let revoke = async {
                let why = Revocation { reason: "enough".parse().unwrap(), note: None };
                watched.engine.revoke(&"zoe".parse().unwrap(), why).await.unwrap();
                captured(&watched).await
            };
            let (_, end) = join(early, revoke).await;
            let mut watched = if reopen { watched.reopened().await } else { watched };
            let late = join_all((0..after).map(|_| watched.pay("zoe", report(1)))).await;
            for answer in late {
                prop_assert_eq!(&answer["code"], "agent_revoked");
            }
            prop_assert_eq!(captured(&watched).await, end, "paid after the revocation");
            let again = json!({"handle": "zoe", "funding": "prepaid"});
            let again: NewAgent = serde_json::from_value(again).unwrap();
            prop_assert!(watched.engine.create_agent(again).await.is_err());
            watched = watched.reopened().await;
            prop_assert_eq!(&watched.pay("zoe", report(1)).await["code"], "agent_revoked");
            prop_assert_eq!(&watched.pay("cyd", report(1)).await["outcome"], "paid");
            Ok(())
        })?;
    }
}
