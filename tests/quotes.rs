//! Quotes and warnings, for every history: what is said is what is paid.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pettycash::policy::{
    authorize::Payment,
    denial::Code,
    entry::Fact,
    mandate::{Cap, Funding, LocalUse, Mandate, Service},
    money::Usd,
    names::{Handle, PaymentId, RailName, RunId},
    operate,
    quote::{MAX_CALLS, Quote, quote},
    settle,
    task::TasksBy,
    window::{Period, Zone},
};
use proptest::prelude::*;

use crate::support::bench::Bench;

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn cents(cents: i64) -> Usd {
    Usd::try_from(cents * 10_000_000).unwrap()
}

/// What happened before somebody asks.
#[derive(Clone, Debug)]
enum Before {
    Pay { cents: i64, run: bool },
    Hold { cents: i64, run: bool },
    Void { nth: usize },
    Pass { seconds: i64 },
}

/// An agent, its history, and what is asked of it then.
#[derive(Clone, Debug)]
struct Case {
    mandate: Mandate,
    before: Vec<Before>,
    balance: i64,
    cost: i64,
    run: bool,
}

fn before() -> impl Strategy<Value = Before> {
    let pay = |hold: bool| {
        move |(cents, run)| {
            if hold { Before::Hold { cents, run } } else { Before::Pay { cents, run } }
        }
    };
    prop_oneof![
        4 => (1_i64..60, any::<bool>()).prop_map(pay(false)),
        3 => (1_i64..60, any::<bool>()).prop_map(pay(true)),
        1 => (0_usize..4).prop_map(|nth| Before::Void { nth }),
        4 => prop_oneof![1_i64..7_200, 3_600_i64..100_000, -3_600_i64..0]
            .prop_map(|seconds| Before::Pass { seconds }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let zones = ["UTC", "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe"];
    let periods = ["hour", "day", "week", "month", "lifetime", "1h", "6h", "run"];
    let caps = proptest::sample::subsequence(periods.to_vec(), 1..=4);
    let amounts = proptest::collection::vec(20_i64..400, 4);
    let rest = (
        proptest::option::of(5_i64..70),
        proptest::option::of(0_i64..90_000),
        proptest::sample::select(zones.to_vec()),
        proptest::collection::vec(before(), 0..25),
        proptest::option::of(proptest::sample::select(vec!["3/min", "7/hour"])),
    );
    (caps, amounts, rest, 0_i64..2_000, 5_i64..60, any::<bool>()).prop_map(
        |(caps, amounts, (limit, lasts, zone, before, rate), balance, cost, run)| {
            let cap = |(period, amount): (&str, i64)| {
                let period: Period = period.parse().unwrap();
                Cap::of(period, cents(amount))
            };
            let began: Timestamp = BEGAN.parse().unwrap();
            let ends = |lasts| began.checked_add(SignedDuration::from_secs(lasts)).unwrap();
            let mandate = Mandate {
                funding: Funding::Prepaid,
                per_call_limit: limit.map(cents),
                caps: caps.into_iter().zip(amounts).map(cap).collect(),
                zone: zone.parse::<Zone>().unwrap(),
                allow: BTreeSet::new(),
                deny: BTreeSet::new(),
                expires_at: lasts.map(ends),
                tasks: TasksBy::Operator,
                local: LocalUse::Allowed,
                rates: rate.iter().map(|rate| rate.parse().unwrap()).collect(),
                burst: None,
                denials: None,
                hours: None,
                days: None,
                cooldown: None,
                group: None,
                pinned: BTreeMap::new(),
                first_payee: pettycash::policy::payee::FirstPayee::Free,
                tiers: Vec::new(),
                shadow_caps: Vec::new(),
                max_output_tokens: None,
                downgrade_at: None,
                downgrade_to: None,
            };
            Case { mandate, before, balance, cost, run }
        },
    )
}

const BEGAN: &str = "2027-03-27T22:30:00Z";

fn run(named: bool) -> Option<RunId> {
    named.then(|| "nightly".parse().unwrap())
}

impl Case {
    /// The house after all that happened before.
    fn bench(&self) -> Bench {
        let mut bench = Bench::at(BEGAN);
        let payee = "Acme".parse().unwrap();
        let id = "shop".parse().unwrap();
        let service = Service {
            id,
            payee,
            price: None,
            rail: RailName::iou(),
            category: None,
            endpoint: None,
        };
        let act = operate::set_service(&bench.state, service, operate::Existing::Keep);
        bench.act(act).unwrap();
        bench.open(&scout(), self.mandate.clone());
        if self.balance > 0 {
            let act = operate::top_up(&bench.state, &scout(), cents(self.balance), None);
            bench.act(act).unwrap();
        }
        let mut held: Vec<PaymentId> = Vec::new();
        for before in &self.before {
            match *before {
                Before::Pay { cents, run } => drop(pay(&mut bench, cents, run, Fact::Paid)),
                Before::Hold { cents, run } => held.extend(pay(&mut bench, cents, run, Fact::Held)),
                Before::Pass { seconds } => bench.pass(seconds),
                Before::Void { nth } if nth < held.len() => {
                    let cause = pettycash::policy::entry::VoidCause::Recovery;
                    let draft = settle::void(&bench.state, held.remove(nth), cause).unwrap();
                    bench.write(vec![draft]);
                }
                Before::Void { .. } => {}
            }
        }
        bench
    }

    fn payment(&self, bench: &Bench) -> Payment {
        let payment = bench.payment("shop", Some(cents(self.cost)), None);
        Payment { run: run(self.run), ..payment }
    }

    fn quote(&self, bench: &Bench, calls: u32, by: Option<Timestamp>) -> Quote {
        let spender = bench.state.spender(&scout()).unwrap();
        quote(&spender, &self.payment(bench), calls, by, bench.engine_now())
    }
}

/// Pays, and says the id if it is allowed.
fn pay(
    bench: &mut Bench,
    amount: i64,
    named: bool,
    fact: fn(pettycash::policy::entry::Hold) -> Fact,
) -> Option<PaymentId> {
    let payment = bench.payment("shop", Some(cents(amount)), None);
    let payment = Payment { run: run(named), ..payment };
    bench.ask(&scout(), &payment, fact).ok().map(|hold| hold.payment)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn as_many_as_a_quote_says_are_paid_and_no_more(case in case()) {
        let mut bench = case.bench();
        let told = case.quote(&bench, MAX_CALLS, None);
        let fewer = case.quote(&bench, told.fits.max(1), None);
        for made in 0..told.fits {
            let payment = case.payment(&bench);
            let paid = bench.ask(&scout(), &payment, Fact::Paid);
            prop_assert!(paid.is_ok(), "payment {made} of {}: {paid:?}", told.fits);
        }
        let payment = case.payment(&bench);
        let refusal = bench.ask(&scout(), &payment, Fact::Paid).expect_err("one more");
        let limit = told.limit.expect("what refuses one more");
        let codes = |refusal: &pettycash::policy::denial::Refusal| {
            let codes = refusal.denials.iter().map(pettycash::policy::denial::Denial::code);
            // That it was refused so before is no reason of its own.
            codes.filter(|code| *code != Code::LoopDetected).collect::<Vec<_>>()
        };
        prop_assert_eq!(codes(&limit), codes(&refusal));
        prop_assert_eq!(told.frees_at, refusal.resets_at());
        // Who wants no more is told of nothing in the way.
        prop_assert_eq!(fewer.limit.is_none(), told.fits > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Trying at every minute comes to the same: nothing opens within one in these zones.
    #[test]
    fn as_many_as_a_quote_says_are_paid_until_then(
        case in case(), minutes in 1_i64..1_800, calls in 1_u32..40,
    ) {
        // What is counted by the second opens between two minutes.
        let mut case = case;
        case.mandate.rates.clear();
        let mut bench = case.bench();
        let now = bench.engine_now();
        let by = now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let told = case.quote(&bench, calls, Some(by));
        let mut paid = 0;
        while bench.engine_now() < by && paid < calls {
            let payment = case.payment(&bench);
            let spender = bench.state.spender(&scout()).unwrap();
            let at = bench.engine_now();
            if pettycash::policy::authorize::authorize(&spender, &payment, at).is_ok() {
                bench.ask(&scout(), &payment, Fact::Held).unwrap();
                paid += 1;
                continue;
            }
            let minute = SignedDuration::from_secs(60 - at.as_second() % 60);
            bench.now = at.checked_add(minute).unwrap();
        }
        let later = told.later.expect("until later");
        prop_assert_eq!((later.fits, later.by), (paid, by));
    }
}

proptest! {
    /// To the nano-dollar, whatever is captured and whatever is held.
    #[test]
    fn a_warning_begins_with_four_fifths_of_a_cap(
        cap in 1_i64..10_000_000_000, spent in 0_i64..=1_000_000, held in any::<bool>(),
    ) {
        // Around four fifths, and anywhere.
        for spent in [cap * 4 / 5 - 1, cap * 4 / 5, cap * 4 / 5 + 1, cap * spent / 1_000_000] {
            if !(1..=cap).contains(&spent) {
                continue;
            }
            let amount = |nanos: i64| Usd::try_from(nanos).unwrap();
            let mut bench = Bench::at(BEGAN);
            let payee = "Acme".parse().unwrap();
            let id = "shop".parse().unwrap();
            let (rail, price) = (RailName::iou(), None);
            let service = Service { id, payee, price, rail, category: None, endpoint: None };
            let act = operate::set_service(&bench.state, service, operate::Existing::Keep);
            bench.act(act).unwrap();
            bench.open(&scout(), Mandate {
                funding: Funding::Allowance,
                per_call_limit: None,
                caps: vec![Cap::of(Period::Day, amount(cap))],
                zone: Zone::utc(),
                allow: BTreeSet::new(),
                deny: BTreeSet::new(),
                expires_at: None,
                tasks: TasksBy::Operator,
                local: LocalUse::Allowed,
                rates: Vec::new(),
                burst: None,
                denials: None,
                hours: None,
                days: None,
                cooldown: None,
                group: None,
                pinned: BTreeMap::new(),
                first_payee: pettycash::policy::payee::FirstPayee::Free,
                tiers: Vec::new(),
                shadow_caps: Vec::new(),
                max_output_tokens: None,
                downgrade_at: None,
                downgrade_to: None,
            });
            let payment = bench.payment("shop", Some(amount(spent)), None);
            bench.ask(&scout(), &payment, if held { Fact::Held } else { Fact::Paid }).unwrap();
            let spender = bench.state.spender(&scout()).unwrap();
            let warning = spender.warning(None, None, bench.engine_now());
            let near = i128::from(spent) * 100 >= i128::from(cap) * 80;
            prop_assert_eq!(warning.is_some(), near, "{} of {}", spent, cap);
            if let Some(warning) = warning {
                let text = warning.to_string();
                let numbers = [amount(spent), amount(cap)];
                prop_assert!(numbers.iter().all(|number| text.contains(&number.to_string())));
            }
        }
    }
}
