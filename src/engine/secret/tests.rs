use super::*;

#[test]
fn a_token_is_its_prefix_and_58_digits_and_reads_back() {
    for kind in [Kind::Agent, Kind::Operator] {
        let Minted { text, digest: hash, names } = mint(kind).unwrap();
        let text = text.expose_secret();
        let digits = text.strip_prefix(kind.prefix()).unwrap();
        assert_eq!(digits.len(), 58);
        let known = |digit: u8| b"abcdefghijklmnopqrstuvwxyz234567".contains(&digit);
        assert!(digits.bytes().all(known), "{digits}");
        assert_eq!(digest(kind, text), Ok(hash));
        let other = mint(kind).unwrap();
        assert_ne!(other.text.expose_secret(), text, "random");
        let mut names: Vec<_> = names.into_iter().chain(other.names).collect();
        assert!(names.iter().all(|name| name.as_str().parse().as_ref() == Ok(name)));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 * NAMES, "random");
    }
    // Worked out by another program: what was given out must be read for ever.
    let known = written(Kind::Agent, &[0x5a; RANDOM]);
    assert_eq!(known.expose_secret(), KNOWN);
    assert_eq!(digest(Kind::Agent, KNOWN).unwrap().to_string(), KNOWN_DIGEST);
}

#[test]
fn of_all_texts_of_a_tokens_length_one_stands_for_its_bytes() {
    // The last of 58 digits has three bits of the checksum and two that stand for nothing.
    let (start, last) = KNOWN.split_at(KNOWN.len() - 1);
    let fit = "abcdefghijklmnopqrstuvwxyz234567".chars().filter(|digit| {
        let text = format!("{start}{digit}");
        digest(Kind::Agent, &text).is_ok()
    });
    assert_eq!(fit.collect::<String>(), last);
    let some: Vec<[u8; RANDOM]> = (0..=255).map(|byte| [byte; RANDOM]).collect();
    for random in &some {
        let text = written(Kind::Operator, random);
        let bytes = decoded(&text.expose_secret()[4..]).unwrap();
        assert_eq!(bytes[..RANDOM], random[..]);
    }
}

const KNOWN: &str = "agt_ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnbyvz6ai";
const KNOWN_DIGEST: &str = "7e9883fc97e2a62831c132d82a9c2888ef34d934fbc8cf1abbabf0bb80dcb58a";

#[test]
fn a_token_that_was_cut_or_mistyped_is_told_from_one_that_is_none() {
    let damaged = Err(TokenError::Damaged(Kind::Agent));
    for at in 4..KNOWN.len() {
        for letter in ['a', 'b', 'z', '2', '7', 'A', '0', '-'] {
            let mut text = KNOWN.to_owned();
            text.replace_range(at..=at, &letter.to_string());
            if text != KNOWN {
                assert_eq!(digest(Kind::Agent, &text), damaged, "{text}");
            }
        }
        assert_eq!(digest(Kind::Agent, &KNOWN[..at]), damaged, "cut at {at}");
    }
    assert_eq!(digest(Kind::Agent, &format!("{KNOWN}a")), damaged);
    let as_operator = KNOWN.replace("agt_", "opr_");
    assert_eq!(digest(Kind::Operator, &as_operator), Err(TokenError::Damaged(Kind::Operator)));
    for other in ["", "agt", "scout", "Bearer", &KNOWN.to_uppercase()] {
        assert_eq!(digest(Kind::Agent, other), Err(TokenError::Other(Kind::Agent)), "{other}");
    }
    assert_eq!(digest(Kind::Operator, KNOWN), Err(TokenError::Other(Kind::Operator)));
}
