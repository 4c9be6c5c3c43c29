use super::*;

#[test]
fn a_token_is_its_prefix_and_58_digits_and_reads_back() {
    for kind in [Kind::Agent, Kind::Operator] {
        let Minted { text, digest: hash, names } = mint(kind).unwrap();
        let text = text.expose_secret();
        let digits = text.strip_prefix(kind.prefix()).unwrap();
        assert_eq!(digits.len(), 58);
        assert!(digits.bytes().all(|digit| ALPHABET.contains(&digit)), "{digits}");
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
}

const KNOWN: &str = "agt_ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnfuws2ljnbyvz6ai";

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
