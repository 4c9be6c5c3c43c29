//! Shadow caps deny nothing: the same history with them and without them comes out the same.

use pettycash::policy::{
    answer::BalanceAnswer,
    entry::{Fact, Hold, Windows},
    mandate::{Cap, Mandate},
};
use proptest::prelude::*;

use super::{act, history::History, mandate, scout, shared};

/// Some shadow caps, most of them tight, of every kind that an agent may have.
fn shadows() -> impl Strategy<Value = Vec<Cap>> {
    let some = [
        "0.05/hour",
        "0.20/day",
        "0.40/week",
        "1.00/month",
        "0.90/lifetime",
        "0.10/run",
        "0.05/task",
        "1x/hour",
        "2x/day",
        "1x/run",
        "0.04/day service=shop",
        "1x/day category=odd",
        "0.30/lifetime payee=Acme",
        "0.10/day type=research",
        "0.20/3h",
        "2x/3h",
    ];
    let some = proptest::sample::subsequence(some.to_vec(), 1..=8);
    some.prop_map(|some| some.into_iter().map(|text| text.parse().unwrap()).collect())
}

/// What was written down, but for what is told of shadow caps.
fn told(history: &History) -> Vec<(jiff::Timestamp, Fact)> {
    let blank = |hold: &Hold| {
        let mut hold = Hold { shadow: Vec::new(), ..hold.clone() };
        // Where something rolls, the minute is written down too.
        hold.windows.minute = None;
        hold.groups.iter_mut().for_each(|group| group.windows.minute = None);
        hold
    };
    let entries = history.bench.entries.iter();
    let facts = entries.map(|(entry, ..)| match &entry.fact {
        Fact::Held(hold) => (entry.at, Fact::Held(blank(hold))),
        Fact::Paid(hold) => (entry.at, Fact::Paid(blank(hold))),
        Fact::Opened { mandate } => (entry.at, Fact::Opened { mandate: plain(mandate) }),
        Fact::MandateSet { mandate, moved, tightens } => {
            let (mandate, moved, tightens) = (plain(mandate), *moved, *tightens);
            (entry.at, Fact::MandateSet { mandate, moved, tightens })
        }
        Fact::Refunded { windows, .. } => {
            let (mut fact, plain) = (entry.fact.clone(), Windows { minute: None, ..*windows });
            if let Fact::Refunded { windows, .. } = &mut fact {
                *windows = plain;
            }
            (entry.at, fact)
        }
        other => (entry.at, other.clone()),
    });
    facts.collect()
}

fn plain(mandate: &Mandate) -> Box<Mandate> {
    Box::new(Mandate { shadow_caps: Vec::new(), ..mandate.clone() })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_history_is_the_same_with_shadow_caps_and_without(
        mandate in mandate(),
        shadow_caps in shadows(),
        shared in shared(),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let shadowed = Mandate { shadow_caps, ..mandate.clone() };
        prop_assume!(shadowed.check().is_ok());
        let mut with = History::new(shadowed, shared.clone());
        let mut without = History::new(mandate, shared);
        for act in &acts {
            with.step(act);
            without.step(act);
            // What the agent reads, too.
            let balance = |history: &History| {
                let spender = history.bench.state.spender(&scout()).unwrap();
                BalanceAnswer::of(&spender, None, history.bench.engine_now())
            };
            prop_assert_eq!(balance(&with), balance(&without));
        }
        with.check();
        prop_assert_eq!(told(&with), told(&without));
    }
}
