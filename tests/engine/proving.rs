//! The operators' passphrase and tokens, as the engine takes them for proof.

use std::{collections::BTreeSet, fmt::Debug, fs};

use pettycash::{
    clock::instant,
    engine::{Engine, EngineError, Proof, TokenKind, token_digest},
    policy::{
        terms::{AgentTokens, LedgerAsked, MandatePatch, NewAgent, NewToken, Rotation, TopUp},
        token::MAX_TOKENS,
    },
};
use serde_json::{Value, json};

use crate::support::{files_with, house::House};

const RIGHT: &str = "correct horse battery";

fn passphrase(text: &str) -> Proof {
    Proof::Passphrase(text.into())
}

fn token(text: &str) -> Proof {
    Proof::Token(text.into())
}

/// The code that a proof is refused with; nothing where it does.
async fn refused(house: &House, proof: impl Into<Option<Proof>>) -> Option<String> {
    house.engine.prove(proof.into()).await.err().map(|error| error.problem().code)
}

async fn initialised() -> House {
    let house = House::new().await;
    house.scout().await;
    assert!(house.engine.set_passphrase(RIGHT.into(), None).await.unwrap().initialised);
    house
}

#[tokio::test]
async fn before_there_is_a_passphrase_nobody_is_asked() {
    let house = House::new().await;
    assert!(!house.engine.operator_door().initialised);
    for proof in [None, Some(passphrase("whatever it is")), Some(token("opr_nothing"))] {
        assert_eq!(refused(&house, proof).await, None);
    }
    for unfit in ["short", "", &"x".repeat(1_025), "with a\nline break"] {
        let told = house.engine.set_passphrase(unfit.into(), None).await.unwrap_err();
        assert_eq!(told.problem().code, "passphrase_unfit", "{unfit:?}");
    }
    assert!(!house.engine.operator_door().initialised);
}

#[tokio::test]
async fn the_first_passphrase_ends_every_operators_token_but_the_one_shown_with_it() {
    let house = House::new().await;
    house.scout().await;
    let given = async || house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let ours = given().await;
    let mut others = Vec::new();
    for _ in 1..MAX_TOKENS {
        others.push(given().await);
    }
    let agents = house.engine.issue_token(&"scout".parse().unwrap(), NewToken::default()).await;
    let agents = agents.unwrap();
    let strange = House::new().await.engine.issue_operator_token(NewToken::default()).await;
    let strange = strange.unwrap();
    for none in [agents.token.expose(), strange.token.expose(), "opr_", "", &RIGHT[..20]] {
        let told = house.engine.set_passphrase(RIGHT.into(), Some(token(none))).await;
        assert_eq!(told.unwrap_err().problem().code, "operator_proof_wrong", "{none}");
        assert!(!house.engine.operator_door().initialised, "nothing was done");
    }
    let shown = Some(token(ours.token.expose()));
    let set = house.engine.set_passphrase(RIGHT.into(), shown).await.unwrap();
    assert_eq!((set.initialised, set.ended.len()), (true, MAX_TOKENS - 1));
    assert_eq!(set.kept.len(), 1);
    assert_eq!(set.kept[0].token_id, ours.view.token_id);
    let pays = AgentTokens { agent: "scout".parse().unwrap(), tokens: 1 };
    assert_eq!(set.agents, [pays]);
    let house = house.reopened().await;
    assert_eq!(refused(&house, token(ours.token.expose())).await, None);
    for other in &others {
        let refused = refused(&house, token(other.token.expose())).await;
        assert_eq!(refused.as_deref(), Some("operator_proof_wrong"));
        assert!(house.engine.operator(other.token.expose()).is_none(), "nor does it over HTTP");
    }
    assert!(house.engine.principal(agents.token.expose()).is_some(), "it pays within a mandate");
    let page = house.engine.ledger(LedgerAsked::page(None, None, None)).await.unwrap().entries;
    let told = |outcome: &str| page.iter().filter(|line| line.line.outcome == outcome).count();
    assert_eq!((told("passphrase_set"), told("token_revoked")), (1, MAX_TOKENS - 1));
}

#[tokio::test]
async fn another_passphrase_leaves_the_tokens_that_were_proven() {
    let house = initialised().await;
    let given = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let proof = Some(passphrase(RIGHT));
    let set = house.engine.set_passphrase("another one by now".into(), proof).await.unwrap();
    assert_eq!((set.ended.len(), set.kept.len(), set.agents.len()), (0, 1, 0));
    assert_eq!(refused(&house, token(given.token.expose())).await, None);
    let by_token = Some(token(given.token.expose()));
    house.engine.set_passphrase("and once more another".into(), by_token).await.unwrap();
    assert_eq!(refused(&house, passphrase("and once more another")).await, None);
}

/// The code that an act is refused with.
fn code<T>(done: Result<T, EngineError>) -> Option<String> {
    done.err().map(|error| error.problem().code)
}

#[tokio::test]
async fn who_was_let_in_before_the_proof_was_over_does_nothing_after_it() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    let given = async || house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let (one, two) = (given().await, given().await);
    let agents = house.engine.issue_token(&"scout".parse().unwrap(), NewToken::default()).await;
    let old = &agents.unwrap().view.token_id;
    let unasked = house.engine.prove(None).await.unwrap();
    let by_other = house.engine.prove(Some(token(two.token.expose()))).await.unwrap();
    let shown = || Some(token(one.token.expose()));
    let by_shown = house.engine.prove(shown()).await.unwrap();
    house.engine.set_passphrase(RIGHT.into(), shown()).await.unwrap();
    let by_passphrase = house.engine.prove(Some(passphrase(RIGHT))).await.unwrap();
    let lines = async || {
        house.engine.ledger(LedgerAsked::page(None, None, None)).await.unwrap().entries.len()
    };
    let before = lines().await;
    let intern = "intern".parse().unwrap();
    let refused = async |engine: &Engine, why: &str| {
        let credit = TopUp { amount_usd: "1.00".parse().unwrap(), note: None };
        let came = [
            code(engine.issue_operator_token(NewToken::default()).await),
            code(engine.issue_token(&intern, NewToken::default()).await),
            code(engine.rotate_token(old, Rotation::default()).await),
            code(engine.top_up(&intern, credit).await),
            code(engine.unfreeze_all(serde_json::from_value(json!({})).unwrap()).await),
            code(engine.create_agent(more()).await),
        ];
        assert_eq!(came, [const { None::<String> }; 6].map(|_| Some(why.to_owned())));
    };
    refused(&unasked, "operator_proof_required").await;
    refused(&by_other, "operator_proof_wrong").await;
    assert_eq!(lines().await, before, "nothing was done");
    by_shown.issue_operator_token(NewToken::default()).await.unwrap();
    by_passphrase.issue_operator_token(NewToken::default()).await.unwrap();
    house.engine.revoke_token(&one.view.token_id).await.unwrap();
    let proof = Some(passphrase(RIGHT));
    house.engine.set_passphrase("another one by now".into(), proof).await.unwrap();
    refused(&by_shown, "operator_proof_wrong").await;
    refused(&by_passphrase, "operator_proof_wrong").await;
}

fn more() -> NewAgent {
    serde_json::from_value(json!({"handle": "more", "funding": "prepaid"})).unwrap()
}

#[tokio::test]
async fn of_two_first_passphrases_at_once_one_is_set() {
    for _ in 0..4 {
        let house = House::new().await;
        let set = |text: &str| house.engine.set_passphrase(text.into(), None);
        let (one, two) = tokio::join!(set("the one of the two"), set("the other of the two"));
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        let won_first = refused(&house, passphrase("the one of the two")).await.is_none();
        assert!(won.unwrap().initialised);
        assert_eq!(code(lost).as_deref(), Some("passphrase_set"));
        let other = refused(&house, passphrase("the other of the two")).await;
        assert_ne!(won_first, other.is_none(), "one of them, and not the other");
    }
}

#[tokio::test]
async fn the_passphrase_and_a_living_token_prove_an_operator_and_nothing_else_does() {
    let house = initialised().await;
    assert_eq!(refused(&house, passphrase(RIGHT)).await, None);
    let required = Some("operator_proof_required".to_owned());
    let wrong = Some("operator_proof_wrong".to_owned());
    assert_eq!(refused(&house, None).await, required);
    for text in ["", "correct horse batterz", "correct horse battery "] {
        assert_eq!(refused(&house, passphrase(text)).await, wrong, "{text}");
    }
    let given = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let agents = house.engine.issue_token(&"scout".parse().unwrap(), NewToken::default()).await;
    let agents = agents.unwrap();
    assert_eq!(refused(&house, token(given.token.expose())).await, None);
    let cut = &given.token.expose()[..60];
    for text in ["", "opr_", cut, agents.token.expose(), RIGHT] {
        assert_eq!(refused(&house, token(text)).await, wrong, "{text}");
    }
    let told = house.engine.prove(Some(token(cut))).await.err().unwrap().to_string();
    assert!(told.contains("cut or mistyped") && !told.contains(cut), "{told}");
    assert_eq!(refused(&house, passphrase(given.token.expose())).await, wrong);
    house.engine.revoke_token(&given.view.token_id).await.unwrap();
    assert_eq!(refused(&house, token(given.token.expose())).await, wrong, "revoked");
}

#[tokio::test]
async fn the_passphrase_is_asked_for_after_a_restart_and_kept_only_as_a_slow_hash() {
    let house = initialised().await.reopened().await;
    assert_eq!(refused(&house, None).await.unwrap(), "operator_proof_required");
    assert_eq!(refused(&house, passphrase(RIGHT)).await, None);
    let another = || "another one by now".into();
    assert!(house.engine.set_passphrase(another(), None).await.is_err(), "it takes the first one");
    house.engine.set_passphrase(another(), Some(passphrase(RIGHT))).await.unwrap();
    let house = house.reopened().await;
    assert_eq!(refused(&house, passphrase(RIGHT)).await.unwrap(), "operator_proof_wrong");
    assert_eq!(refused(&house, passphrase("another one by now")).await, None);
    let page = house.engine.ledger(LedgerAsked::page(None, None, None)).await.unwrap();
    let lines = serde_json::to_string(&page).unwrap();
    assert_eq!(lines.matches("passphrase_set").count(), 2);
}

/// The hashes of passphrases in a file.
fn hashes_in(file: &str) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let hashes = text.split('"').filter(|part| part.starts_with("$argon2id$v=19$m="));
    hashes.map(str::to_owned).collect()
}

#[tokio::test]
async fn no_secret_is_on_disk_and_neither_it_nor_its_hash_in_any_answer() {
    let house = initialised().await;
    let scout = "scout".parse().unwrap();
    let (operator, agent) = (
        house.engine.issue_operator_token(NewToken::default()).await.unwrap(),
        house.engine.issue_token(&scout, NewToken::default()).await.unwrap(),
    );
    let wrong = house.engine.prove(Some(passphrase("correct horse batterz"))).await.err().unwrap();
    let by_token = house.engine.prove(Some(token(operator.token.expose()))).await.unwrap();
    let (set, unfit) = (
        by_token.set_passphrase("another one by now".into(), Some(passphrase(RIGHT))).await,
        by_token.set_passphrase("short".into(), Some(passphrase("another one by now"))).await,
    );
    assert!(house.engine.principal(agent.token.expose()).is_some());
    drop(by_token);
    let house = house.reopened().await;
    let engine = &house.engine;
    let mut told = Vec::new();
    let mut tell = |answer: &dyn Debug, json: Value| told.push(format!("{answer:?} {json}"));
    macro_rules! tell {
        ($($answer:expr),* $(,)?) => {$(
            let answer = $answer;
            tell(&answer, serde_json::to_value(&answer).unwrap());
        )*};
    }
    tell!(
        set.unwrap(),
        wrong.problem(),
        unfit.unwrap_err().problem(),
        engine.operator_door(),
        engine.operator_tokens().await.unwrap(),
        engine.tokens(&scout).await.unwrap(),
        engine.agents().await.unwrap(),
        engine.mandate(&scout).await.unwrap(),
        engine.services().await.unwrap(),
        engine.ledger(LedgerAsked::page(None, None, None)).await.unwrap(),
        engine.ledger(LedgerAsked::page(Some(scout.clone()), None, None)).await.unwrap(),
        engine.books().await.unwrap(),
        engine.record_health(),
        house.call("ledger", "scout", json!({})).await,
        house.call("get_balance", "scout", json!({})).await,
    );
    let told = told.join("\n");
    engine.close().await;
    let dir = house.dir.path();
    let kept = files_with(dir, "$argon2id$");
    let hashes: BTreeSet<String> = kept.iter().flat_map(|file| hashes_in(file)).collect();
    assert_eq!(hashes.len(), 2, "what is on disk is read: {kept:?}");
    let digests = [&operator, &agent].map(|given| {
        let kind = if given.view.agent.is_some() { TokenKind::Agent } else { TokenKind::Operator };
        token_digest(kind, given.token.expose()).unwrap().to_string()
    });
    for digest in &digests {
        assert_ne!(files_with(dir, digest), [""; 0], "what is on disk is read");
    }
    let tokens = [&operator, &agent].map(|given| given.token.expose()[4..40].to_owned());
    let passphrases = [RIGHT, "another one by now", "correct horse batterz"].map(str::to_owned);
    for secret in tokens.iter().chain(&passphrases) {
        assert_eq!(files_with(dir, secret), [""; 0], "{secret}");
    }
    let salted: Vec<String> =
        hashes.iter().map(|hash| hash.rsplit('$').next().unwrap().to_owned()).collect();
    for secret in tokens.iter().chain(&passphrases).chain(&hashes).chain(&salted).chain(&digests) {
        assert!(!told.contains(secret.as_str()), "{secret} in {told}");
    }
    assert!(!told.contains("argon2"), "{told}");
    assert!(told.contains("passphrase_set") && told.contains("token_issued"), "{told}");
}

#[tokio::test]
async fn a_mandate_that_gives_more_anywhere_takes_a_proof_and_one_that_gives_less_does_not() {
    let house = initialised().await;
    let scout = "scout".parse().unwrap();
    let set = async |patch: serde_json::Value, proof: Option<Proof>| {
        let patch: MandatePatch = serde_json::from_value(patch).unwrap();
        house.engine.change_mandate(&scout, patch, proof).await
    };
    let required = |changed: Result<_, EngineError>| {
        changed.is_err_and(|error| error.problem().code == "operator_proof_required")
    };
    let cap = |amount: &str| json!([{"period": "day", "cap_usd": amount}]);
    assert!(required(set(json!({"caps": cap("6.00")}), None).await));
    let both = json!({"caps": cap("4.00"), "per_call_limit_usd": "0.50"});
    assert!(required(set(both, None).await), "less here and more there");
    assert!(required(set(json!({"timezone": "Europe/Paris"}), None).await));
    assert!(set(json!({"caps": cap("6.00"), "dry_run": true}), None).await.is_ok());
    assert!(set(json!({"caps": cap("5.00")}), None).await.is_ok(), "nothing changes");
    let less = set(json!({"caps": cap("4.00"), "local": "barred"}), None).await.unwrap();
    assert!(less.applied);
    assert!(required(set(json!({"local": "allowed"}), None).await));
    let more = set(json!({"caps": cap("6.00")}), Some(passphrase(RIGHT))).await.unwrap();
    assert!(more.applied);
}

#[tokio::test]
async fn tiers_are_not_brought_nearer_by_a_lower_limit_without_a_proof() {
    let house = initialised().await;
    let scout = "scout".parse().unwrap();
    let set = async |patch: serde_json::Value, proof: Option<Proof>| {
        let patch: MandatePatch = serde_json::from_value(patch).unwrap();
        house.engine.change_mandate(&scout, patch, proof).await
    };
    let tiers = json!({"per_call_limit_usd": "0.10", "tiers": ["50x/7d:0.50"]});
    set(tiers, Some(passphrase(RIGHT))).await.unwrap();
    let lower = || json!({"per_call_limit_usd": "0.000000001"});
    let refused = set(lower(), None).await.unwrap_err().problem();
    assert_eq!(refused.code, "operator_proof_required");
    let with_tiers = json!({"per_call_limit_usd": "0.09", "tiers": ["60x/9d:0.50"]});
    assert!(set(with_tiers, None).await.is_err(), "others that ask more stay tiers");
    let told = set(lower(), Some(passphrase(RIGHT))).await.unwrap();
    let more: Vec<String> =
        told.changes.iter().filter(|one| one.loosens).map(ToString::to_string).collect();
    let counts = "what counts for tiers: payments from a tenth of $0.10 → payments from a tenth of \
                  $0.000000001";
    assert_eq!(more, [counts]);
    let rise = json!({"per_call_limit_usd": "0.10"});
    set(rise, Some(passphrase(RIGHT))).await.unwrap();
    let without = json!({"per_call_limit_usd": "0.05", "tiers": []});
    assert!(set(without, None).await.unwrap().applied, "without them it is less and no more");
}

#[tokio::test]
async fn more_output_a_later_downgrade_and_another_model_take_a_proof_and_less_does_not() {
    let house = initialised().await;
    let scout = "scout".parse().unwrap();
    let set = async |patch: serde_json::Value, proof: Option<Proof>| {
        let patch: MandatePatch = serde_json::from_value(patch).unwrap();
        house.engine.change_mandate(&scout, patch, proof).await
    };
    let first = json!({"max_output_tokens": 4096, "downgrade_at": 80,
                       "downgrade_to": "claude-haiku-4-5"});
    assert!(set(first, None).await.unwrap().applied, "before, nothing bounded it");
    for less in [json!({"max_output_tokens": 4095}), json!({"downgrade_at": 79})] {
        assert!(set(less, None).await.unwrap().applied);
    }
    for more in [
        json!({"max_output_tokens": 4096}),
        json!({"max_output_tokens": null}),
        json!({"downgrade_at": 80}),
        json!({"downgrade_at": null, "downgrade_to": null}),
        json!({"downgrade_to": "gpt-5.4-nano"}),
        json!({"downgrade_at": 1, "downgrade_to": "gpt-5.4-nano"}),
    ] {
        let refused = set(more.clone(), None).await.unwrap_err().problem();
        assert_eq!(refused.code, "operator_proof_required", "{more}");
        let plan = json!({"dry_run": true}).as_object().unwrap().clone();
        let dry: serde_json::Map<_, _> =
            more.as_object().unwrap().clone().into_iter().chain(plan).collect();
        let told = set(dry.into(), None).await.unwrap();
        assert!(told.changes.iter().all(|change| change.loosens), "{:?}", told.changes);
    }
    let half = set(json!({"downgrade_to": null}), Some(passphrase(RIGHT))).await.unwrap_err();
    let half = half.problem();
    assert!(half.detail.contains("`downgrade_at` is said without `downgrade_to`"), "{half:?}");
}

#[tokio::test]
async fn wrong_passphrases_get_slower_one_after_the_other_and_few_may_wait() {
    let house = std::sync::Arc::new(initialised().await);
    let begun = instant();
    let tries = (0..12).map(|n| {
        let house = house.clone();
        tokio::spawn(async move { refused(&house, passphrase(&format!("guess number {n}"))).await })
    });
    let (mut wrong, mut busy) = (0, 0);
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap().as_deref() {
            Some("operator_proof_wrong") => wrong += 1,
            Some("operator_proof_busy") => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((wrong, busy), (4, 8));
    // 0.2, 0.4, 0.8 and 1.6 s: one after the other.
    assert!(begun.elapsed().as_millis() >= 3_000, "{:?}", begun.elapsed());
    assert_eq!(refused(&house, passphrase(RIGHT)).await, None, "and then the right one");
    let begun = instant();
    refused(&house, passphrase("a slip of the finger")).await;
    assert!(begun.elapsed().as_millis() < 1_600, "it begins anew: {:?}", begun.elapsed());
}

#[tokio::test]
async fn few_passphrases_are_set_at_once_and_guessers_keep_no_token_from_setting_one() {
    let house = std::sync::Arc::new(House::new().await);
    let set = |n: u32, proof: Option<Proof>| {
        let house = house.clone();
        let another = format!("correct horse number {n}");
        tokio::spawn(async move { house.engine.set_passphrase(another.into(), proof).await })
    };
    let given = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    let shown = || Some(token(given.token.expose()));
    let mut busy = 0;
    // Here nobody is asked, so a token is no more than none.
    let all: Vec<_> = (0..12).map(|n| set(n, shown().filter(|_| n % 2 == 0))).collect();
    for one in all {
        busy += usize::from(code(one.await.unwrap()).as_deref() == Some("operator_proof_busy"));
    }
    assert_eq!(busy, 8, "no more than four are hashed at once");
    assert!(house.engine.operator_door().initialised, "one of the others counted");
    let house = std::sync::Arc::new(initialised().await);
    let given = house.engine.issue_operator_token(NewToken::default()).await.unwrap();
    for _ in 0..4 {
        let house = house.clone();
        tokio::spawn(async move { refused(&house, passphrase("a guess among others")).await });
    }
    tokio::task::yield_now().await;
    assert_eq!(refused(&house, passphrase(RIGHT)).await.unwrap(), "operator_proof_busy");
    let shown = Some(token(given.token.expose()));
    house.engine.set_passphrase("another one by now".into(), shown).await.unwrap();
}
