//! A key is one payment, however often it is asked for.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Watched, dollars, run};

#[derive(Clone, Debug)]
enum Step {
    Pay { key: u8, cents: i64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0_u8..6, 1_i64..4).prop_map(|(key, tens)| Step::Pay { key, cents: tens * 10 }),
        1 => Just(Step::Reopen),
    ]
}

/// An answer without what tells a repeat from the first, and what is left meanwhile.
fn same(mut answer: Value) -> String {
    for field in ["replayed", "available_usd", "note"] {
        answer.as_object_mut().unwrap().remove(field);
    }
    answer.to_string()
}

proptest! {
    #![proptest_config(super::cases(30))]

    /// I-12: one key, one payment, the same answer byte by byte, also after a restart; with another
    /// payment it is refused and charges nothing. I-13: what is charged is each key once.
    #[test]
    fn a_key_is_one_payment_and_one_answer(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        run(async {
            let mut watched = Watched::new().await;
            let mut known: BTreeMap<u8, (i64, String)> = BTreeMap::new();
            for step in steps {
                let Step::Pay { key, cents } = step else {
                    watched = watched.reopened().await;
                    continue;
                };
                let answer = watched.pay("cyd", json!({"service_id": "report",
                    "amount_usd": dollars(cents), "idempotency_key": format!("key-{key}")})).await;
                let paid = answer["outcome"] == "paid";
                let replayed = answer["replayed"] == true;
                match known.get(&key) {
                    Some((asked, first)) if *asked == cents => {
                        prop_assert!(paid && replayed, "{answer}");
                        prop_assert_eq!(&same(answer), first);
                    }
                    // The third time in a row that is told as a loop.
                    Some(_) => {
                        let breached = &answer["breached"][0]["code"];
                        let looped = answer["code"] == "loop_detected";
                        let code = if looped { breached } else { &answer["code"] };
                        prop_assert_eq!(code, "idempotency_key_reused", "{}", answer);
                    }
                    None if paid => {
                        prop_assert!(!replayed, "{answer}");
                        known.insert(key, (cents, same(answer)));
                    }
                    // A denial binds no key.
                    None => prop_assert_eq!(&answer["outcome"], "denied"),
                }
            }
            let (state, _) = watched.state().await;
            let book = state.book(&"cyd".parse().unwrap()).unwrap();
            let each: i64 = known.values().map(|(cents, _)| cents * 10_000_000).sum();
            prop_assert_eq!(book.captured.nanos(), each);
            Ok(())
        })?;
    }
}
