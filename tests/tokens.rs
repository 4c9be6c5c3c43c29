//! Tokens in the state: what their facts say, what they mean, and how the desk keeps them.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use pettycash::policy::{
    entry::{By, Draft, Fact, Hash},
    names::{Handle, TokenId},
    operate::{Act, OperateError},
    proof::{self, Phc, Proven},
    state::State,
    token::{self, Issued, MAX_TOKENS, TokenFact},
};
use serde_json::json;

use crate::support::{bench::Bench, desk::Desk};

fn scout() -> Handle {
    "scout".parse().unwrap()
}

fn id(n: u64) -> TokenId {
    TokenId::new(n)
}

fn issued(n: u64) -> Issued {
    let (run, label, expires_at, may) = (None, None, None, BTreeSet::new());
    Issued { token: id(n), digest: Hash([7; 32]), run, label, expires_at, may }
}

fn drafts(act: Result<Act, OperateError>) -> Vec<Draft> {
    match act.unwrap() {
        Act::Write(drafts) => drafts,
        Act::Nothing => Vec::new(),
    }
}

fn open(bench: &mut Bench, agent: &str) {
    let mandate = json!({"funding": "prepaid", "per_call_limit": null, "caps": [], "zone": "UTC",
        "allow": [], "deny": []});
    bench.open(&agent.parse().unwrap(), serde_json::from_value(mandate).unwrap());
}

/// Agents `scout` and `intern`, each with two tokens, and one of the operators'.
fn furnished() -> Bench {
    let mut bench = Bench::at("2026-11-21T12:00:00Z");
    for agent in ["scout", "intern"] {
        open(&mut bench, agent);
    }
    let owners = [Some("scout"), Some("scout"), Some("intern"), Some("intern"), None];
    for (n, owner) in owners.into_iter().enumerate() {
        let owner: Option<Handle> = owner.map(|name| name.parse().unwrap());
        let act = token::issue(&bench.state, owner.as_ref(), issued(n as u64), bench.engine_now());
        bench.write(drafts(act));
    }
    bench
}

fn ids(state: &State, owner: Option<&Handle>) -> Vec<TokenId> {
    state.tokens_of(owner).map(|token| token.id.clone()).collect()
}

#[test]
fn the_facts_of_tokens_are_written_down_so_and_read_back() {
    let at = "2026-12-21T12:00:00Z".parse().unwrap();
    let whole = Issued {
        run: Some("nightly 7".parse().unwrap()),
        label: Some("laptop".parse().unwrap()),
        expires_at: Some(at),
        ..issued(10)
    };
    let digest = "07".repeat(32);
    let facts = [
        (
            TokenFact::Issued(issued(1)),
            json!({"issued": {"token": "tok_000000000001",
            "digest": digest}}),
        ),
        (
            TokenFact::Issued(whole),
            json!({"issued": {"token": "tok_00000000000a",
            "digest": digest, "run": "nightly 7", "label": "laptop",
            "expires_at": 1_797_854_400_000_000_i64}}),
        ),
        (
            TokenFact::Ends { token: id(1), at },
            json!({"ends": {"token": "tok_000000000001",
            "at": 1_797_854_400_000_000_i64}}),
        ),
        (TokenFact::Revoked { token: id(1) }, json!({"revoked": {"token": "tok_000000000001"}})),
        (
            TokenFact::Used { token: id(1), at },
            json!({"used": {"token": "tok_000000000001",
            "at": 1_797_854_400_000_000_i64}}),
        ),
    ];
    for (fact, written) in facts {
        let fact = Fact::Token(fact);
        let text = serde_json::to_value(&fact).unwrap();
        assert_eq!(text, json!({"token": written}));
        assert_eq!(serde_json::from_value::<Fact>(text).unwrap(), fact);
    }
    for wrong in ["tok_", "tok_00000000000A", "tok_0000000000000", "pay_000000000001"] {
        assert!(wrong.parse::<TokenId>().is_err(), "{wrong}");
    }
}

#[test]
fn a_revoked_agent_has_no_tokens_and_gets_none_and_others_keep_theirs() {
    let mut bench = furnished();
    let intern: Handle = "intern".parse().unwrap();
    let fact = Fact::Revoked { reason: "theft".parse().unwrap(), note: None };
    let draft = Draft { agent: Some(scout()), by: By::Operator, fact };
    let mut in_memory = bench.state.clone();
    in_memory.lower_in_memory(&draft, bench.engine_now());
    bench.write(vec![draft]);
    for state in [&bench.state, &in_memory] {
        assert_eq!(ids(state, Some(&scout())), []);
        assert_eq!(ids(state, Some(&intern)), [id(2), id(3)]);
        assert_eq!(ids(state, None), [id(4)]);
        let more = token::issue(state, Some(&scout()), issued(9), bench.engine_now());
        assert_eq!(more, Err(OperateError::Revoked(scout())));
    }
}

#[test]
fn a_token_is_revoked_alone_also_in_memory() {
    let bench = furnished();
    for (n, owner) in [(1, Some(scout())), (4, None)] {
        let revoked = drafts(token::revoke(&bench.state, &id(n)));
        assert_eq!(revoked[0].agent, owner, "it is told in the ledger of whoever has it");
        let mut state = bench.state.clone();
        state.lower_in_memory(&revoked[0], bench.engine_now());
        assert_eq!(state.token(&id(n)), None);
        assert_eq!(state.tokens().count(), 4);
        let again = token::revoke(&state, &id(n));
        assert_eq!(again, Err(OperateError::UnknownToken(id(n))));
    }
}

#[test]
fn a_rotation_gives_the_old_one_an_end_but_never_a_later_one() {
    let mut bench = furnished();
    let hours = |hours| SignedDuration::from_hours(hours);
    let in_a_day = bench.engine_now().checked_add(hours(24)).unwrap();
    let in_an_hour = bench.engine_now().checked_add(hours(1)).unwrap();
    for (n, ends) in [(5, in_a_day), (6, in_an_hour), (7, in_a_day)] {
        let act = token::rotate(&bench.state, &id(0), issued(n), ends, bench.engine_now());
        bench.write(drafts(act));
    }
    assert_eq!(bench.state.token(&id(0)).unwrap().expires_at, Some(in_an_hour));
    let now = bench.engine_now();
    let at_once = token::rotate(&bench.state, &id(1), issued(8), now, now);
    bench.write(drafts(at_once));
    assert_eq!(ids(&bench.state, Some(&scout())), [id(0), id(5), id(6), id(7), id(8)]);
    bench.pass(3_600);
    let now = bench.engine_now();
    let over = token::rotate(&bench.state, &id(0), issued(9), in_a_day, now);
    assert_eq!(over, Err(OperateError::UnknownToken(id(0))), "what is over cannot be renewed");
}

#[test]
fn a_token_never_takes_the_name_of_another() {
    let mut bench = furnished();
    let now = bench.engine_now();
    let end = now.checked_add(SignedDuration::from_hours(1)).unwrap();
    let strange = Issued { digest: Hash([8; 32]), ..issued(2) };
    for owner in [None, Some(scout()), Some("intern".parse().unwrap())] {
        let act = token::issue(&bench.state, owner.as_ref(), strange.clone(), now);
        assert_eq!(act, Err(OperateError::TokenNameTaken), "{owner:?}");
    }
    for old in [0, 2] {
        let act = token::rotate(&bench.state, &id(old), strange.clone(), end, now);
        assert_eq!(act, Err(OperateError::TokenNameTaken));
    }
    let drawn = [id(2), id(0), id(7), id(8)];
    assert_eq!(token::unused(&bench.state, &drawn), Ok(id(7)), "the first that is free");
    assert_eq!(token::unused(&bench.state, &drawn[..2]), Err(OperateError::TokenNameTaken));
    let revoked = token::revoke(&bench.state, &id(2));
    bench.write(drafts(revoked));
    assert_eq!(token::unused(&bench.state, &drawn), Ok(id(2)));
}

#[test]
fn tokens_are_bounded_and_those_that_are_over_make_room() {
    let mut bench = Bench::at("2026-11-21T12:00:00Z");
    open(&mut bench, "scout");
    let end = bench.engine_now().checked_add(SignedDuration::from_hours(1)).unwrap();
    for n in 0..MAX_TOKENS {
        let expires_at = (n < 3).then_some(end);
        let issued = Issued { expires_at, ..issued(n as u64) };
        let act = token::issue(&bench.state, Some(&scout()), issued, bench.engine_now());
        bench.write(drafts(act));
    }
    let more =
        |bench: &Bench| token::issue(&bench.state, Some(&scout()), issued(999), bench.engine_now());
    assert_eq!(more(&bench), Err(OperateError::TooManyTokens(MAX_TOKENS)));
    bench.pass(3_600);
    let act = more(&bench);
    bench.write(drafts(act));
    assert_eq!(bench.state.tokens().count(), MAX_TOKENS - 2, "three are forgotten");
    let past = Issued { expires_at: Some(bench.engine_now()), ..issued(1_000) };
    let over = token::issue(&bench.state, Some(&scout()), past, bench.engine_now());
    assert_eq!(over, Err(OperateError::TokenOver));
}

#[test]
fn a_passphrase_is_a_slow_hash_and_kept_out_of_what_is_printed() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
    let fact = json!({"passphrase_set": {"hash": hash}});
    let read: Fact = serde_json::from_value(fact.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), fact);
    assert!(!format!("{read:?}").contains("argon2id$"), "{read:?}");
    for wrong in ["correct horse", "$argon2i$v=19$", "$2b$12$", ""] {
        assert!(Phc::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    let mut bench = furnished();
    let mut desk = Desk::default();
    desk.take(&mut bench.state);
    let hashed = || Phc::try_from(hash.to_owned()).unwrap();
    let act = proof::set_passphrase(&bench.state, None, None, hashed());
    bench.write(drafts(act));
    let late = proof::set_passphrase(&bench.state, None, None, hashed());
    assert_eq!(late, Err(OperateError::PassphraseSetMeanwhile), "two first ones are no two");
    desk.take(&mut bench.state);
    let state = desk.state(bench.state.now());
    assert_eq!(state.passphrase().map(Phc::as_str), Some(hash));
    assert_eq!(state, bench.state);
    assert_eq!(state, bench.refold());
    assert_ne!(state, furnished().state, "it is part of what decides");
}

#[test]
fn a_first_passphrase_ends_the_operators_tokens_but_the_one_shown_in_the_same_record() {
    let mut bench = furnished();
    for n in 5..8 {
        let act = token::issue(&bench.state, None, issued(n), bench.engine_now());
        bench.write(drafts(act));
    }
    let hashed = |salt: &str| Phc::try_from(format!("$argon2id$v=19${salt}")).unwrap();
    let none_shown = drafts(proof::set_passphrase(&bench.state, None, None, hashed("a")));
    assert_eq!(none_shown.len(), 5, "four tokens and the passphrase, at once or not at all");
    // An agent's token is no operator's, whoever shows it.
    let agents = drafts(proof::set_passphrase(&bench.state, None, Some(&id(0)), hashed("a")));
    assert_eq!(agents, none_shown);
    let act = proof::set_passphrase(&bench.state, None, Some(&id(6)), hashed("a"));
    bench.write(drafts(act));
    assert_eq!(ids(&bench.state, None), [id(6)]);
    let intern: Handle = "intern".parse().unwrap();
    for agent in [&scout(), &intern] {
        assert_eq!(ids(&bench.state, Some(agent)).len(), 2, "they pay within a mandate");
    }
    let act = token::issue(&bench.state, None, issued(9), bench.engine_now());
    bench.write(drafts(act));
    let first = hashed("a");
    let another = drafts(proof::set_passphrase(&bench.state, Some(&first), None, hashed("b")));
    assert_eq!(another.len(), 1, "those of now were given out on a proof");
    bench.write(another);
    assert_eq!(ids(&bench.state, None), [id(6), id(9)]);
    assert_eq!(bench.state, bench.refold());
}

#[test]
fn what_was_proven_holds_until_the_passphrase_or_the_token_is_another() {
    let mut bench = furnished();
    let hash = Phc::try_from("$argon2id$v=19$a".to_owned()).unwrap();
    let (unasked, by_hash) = (Proven::Unasked, Proven::Passphrase(hash.clone()));
    let (token, agents) = (Proven::Token(id(4)), Proven::Token(id(0)));
    let upheld = |bench: &Bench, now| {
        [&unasked, &token, &agents, &by_hash].map(|proven| bench.state.upholds(proven, now))
    };
    assert_eq!(upheld(&bench, bench.now), [true, true, false, false]);
    let act = proof::set_passphrase(&bench.state, None, Some(&id(4)), hash);
    bench.write(drafts(act));
    assert_eq!(upheld(&bench, bench.now), [false, true, false, true]);
    let end = bench.now.checked_add(SignedDuration::from_hours(1)).unwrap();
    let rotated = token::rotate(&bench.state, &id(4), issued(9), end, bench.engine_now());
    bench.write(drafts(rotated));
    assert_eq!(upheld(&bench, bench.now), [false, true, false, true]);
    assert_eq!(upheld(&bench, end), [false, false, false, true]);
    let revoked = token::revoke(&bench.state, &id(4));
    bench.write(drafts(revoked));
    assert_eq!(upheld(&bench, bench.now), [false, false, false, true]);
}

#[test]
fn the_desk_gives_tokens_back_as_they_are() {
    let mut bench = furnished();
    let mut desk = Desk::default();
    desk.take(&mut bench.state);
    assert_eq!(desk.state(bench.state.now()), bench.state, "as they were given out");
    let at = bench.engine_now().checked_add(SignedDuration::from_hours(2)).unwrap();
    let used = token::used(&bench.state, &id(0), at);
    bench.write(used.into_iter().collect());
    let rotated = token::rotate(&bench.state, &id(2), issued(9), at, bench.engine_now());
    bench.write(drafts(rotated));
    let revoked = token::revoke(&bench.state, &id(4));
    bench.write(drafts(revoked));
    desk.take(&mut bench.state);
    let state = desk.state(bench.state.now());
    assert_eq!(state, bench.state, "and as they changed");
    assert_eq!(state.token(&id(0)).unwrap().used_at, Some(at));
    assert_eq!(state.token(&id(2)).unwrap().expires_at, Some(at));
    assert_eq!(token::used(&state, &id(4), at), None, "nobody has it any more");
    let mut anew = Desk::default();
    anew.take_all(bench.state.drain(true));
    assert_eq!(anew.documents, desk.documents);
}
