//! What comes back holds no secret, however it is written and cut, and is otherwise unchanged.

use std::fmt::Write as _;

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use percent_encoding::percent_decode_str;
use pettycash::rails::proxy::Scrub;
use proptest::prelude::*;

use super::{CANARY, secret};

/// What no form has in it, so that it passes as it is.
const NOISE: &str = "[ ~^|{}()<>\n\t\u{1}]{0,40}";

/// How a secret comes back.
#[derive(Clone, Debug)]
enum Way {
    Raw,
    Bearer,
    /// Some of the characters in percent, the digits in some case.
    Percent(u64),
    /// Some of the characters as JSON's \u.
    Unicode(u64),
    Json,
    JsonInJson,
    /// In Base64 with that before and behind it, by one of the four alphabets.
    Base64(Vec<u8>, Vec<u8>, u8),
    Basic,
    PercentBase64,
}

fn ways() -> impl Strategy<Value = Way> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..7);
    prop_oneof![
        Just(Way::Raw),
        Just(Way::Bearer),
        any::<u64>().prop_map(Way::Percent),
        any::<u64>().prop_map(Way::Unicode),
        Just(Way::Json),
        Just(Way::JsonInJson),
        (bytes(), bytes(), 0..4_u8)
            .prop_map(|(before, behind, way)| { Way::Base64(before, behind, way) }),
        Just(Way::Basic),
        Just(Way::PercentBase64),
    ]
}

fn percent(text: &str, which: u64) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        match which >> (i % 32 * 2) & 3 {
            0 => out.push(c),
            1 => write!(out, "%{:02x}", u32::from(c)).unwrap(),
            _ => write!(out, "%{:02X}", u32::from(c)).unwrap(),
        }
    }
    out
}

fn unicode(text: &str, which: u64) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        match which >> (i % 32 * 2) & 3 {
            0 if !['"', '\\'].contains(&c) => out.push(c),
            1 => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
            _ => write!(out, "\\u{:04X}", u32::from(c)).unwrap(),
        }
    }
    out
}

fn base64(bytes: &[u8], way: u8) -> String {
    match way {
        0 => Base64::encode_string(bytes),
        1 => Base64Unpadded::encode_string(bytes),
        2 => Base64Url::encode_string(bytes),
        _ => Base64UrlUnpadded::encode_string(bytes),
    }
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

impl Way {
    fn write(&self, secret: &str) -> String {
        match self {
            Self::Raw => secret.to_owned(),
            Self::Bearer => format!("Bearer {secret}"),
            Self::Percent(which) => percent(secret, *which),
            Self::Unicode(which) => unicode(secret, *which),
            Self::Json => json(secret),
            Self::JsonInJson => json(&json(secret)),
            Self::Base64(before, behind, way) => {
                base64(&[before.as_slice(), secret.as_bytes(), behind].concat(), *way)
            }
            Self::Basic => format!("Basic {}", base64(format!("user:{secret}").as_bytes(), 0)),
            Self::PercentBase64 => percent(&base64(secret.as_bytes(), 0), 0x5555_5555_5555_5555),
        }
    }
}

/// What a reader could make of a text, by everything that we know to undo.
fn readings(text: &str) -> Vec<Vec<u8>> {
    let unescaped = unescape(text);
    let percent: Vec<u8> = percent_decode_str(text).collect();
    let mut found = vec![text.as_bytes().to_vec(), unescape(&unescaped).into_bytes()];
    found.push(unescaped.into_bytes());
    let plain = String::from_utf8_lossy(&percent).into_owned();
    found.push(percent);
    for text in [text, plain.as_str()] {
        let digit = |c: char| c.is_ascii_alphanumeric() || "+/-_".contains(c);
        for run in text.split(|c| !digit(c)).filter(|run| run.len() >= 8) {
            let run = run.replace('-', "+").replace('_', "/");
            for skipped in 0..4 {
                let run = format!("{}AAA", &run[skipped..]);
                found.push(Base64::decode_vec(&run[..run.len() / 4 * 4]).unwrap());
            }
        }
    }
    found
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        let (c, length) = match (code.and_then(char::from_u32), c) {
            (Some(c), _) => (c, 6),
            (None, '\\') if rest.len() > 1 => (rest[1..].chars().next().unwrap(), 0),
            (None, c) => (c, c.len_utf8()),
        };
        out.push(c);
        rest = &rest[if length == 0 { 1 + c.len_utf8() } else { length }..];
    }
    out
}

fn reveals(text: &str, secret: &str) -> bool {
    let has = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    readings(text).iter().any(has)
}

/// What goes on of a text that comes in pieces of these lengths.
fn scrubbed(secret_text: &str, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut scrub = Scrub::new(Some(&secret(secret_text)));
    let mut out = Vec::new();
    let mut rest = text;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        scrub.feed(piece, &mut out);
        rest = after;
    }
    scrub.finish(&mut out);
    out
}

proptest! {
    #[test]
    fn no_way_of_writing_a_secret_gets_through(
        secret in "[!-~]{8,60}",
        (before, behind) in (NOISE, NOISE),
        way in ways(),
        cuts in proptest::collection::vec(0..9_usize, 0..60),
    ) {
        let written = way.write(&secret);
        prop_assert!(reveals(&written, &secret), "{way:?} is no way to write it");
        let text = format!("{before}{written}{behind}");
        let out = String::from_utf8(scrubbed(&secret, text.as_bytes(), &cuts)).unwrap();
        prop_assert!(!reveals(&out, &secret), "{out}");
        prop_assert!(out.contains("[redacted]"), "{out}");
        // Around it nothing is lost, and what is whole is replaced as a whole.
        prop_assert!(out.starts_with(&before) && out.ends_with(&behind), "{out}");
        if matches!(way, Way::Raw | Way::Percent(_) | Way::Unicode(_) | Way::Json) {
            prop_assert_eq!(out, format!("{before}[redacted]{behind}"));
        }
    }

    #[test]
    fn what_is_no_secret_comes_out_unchanged(
        secret in "[!-~]{8,60}",
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        text in "[%\\\\ua-f0-9A-F+/=\"-]{0,400}",
        cuts in proptest::collection::vec(0..90_usize, 0..60),
    ) {
        for text in [bytes.as_slice(), text.as_bytes()] {
            prop_assert_eq!(scrubbed(&secret, text, &cuts), text);
        }
    }

    #[test]
    fn many_in_a_row_and_into_each_other_are_all_taken_out(
        unit in "[ab%\\\\]{1,3}",
        times in 4..30_usize,
        text in "[ab%\\\\26cu05]{0,300}",
        cuts in proptest::collection::vec(0..9_usize, 0..60),
    ) {
        let secret = unit.repeat(8).chars().take(8 + times % 5).collect::<String>();
        let text = format!("{text}{}{text}", unit.repeat(times + 8));
        let out = String::from_utf8(scrubbed(&secret, text.as_bytes(), &cuts)).unwrap();
        prop_assert!(!out.contains(&secret), "{out}");
        let whole = String::from_utf8(scrubbed(&secret, text.as_bytes(), &[])).unwrap();
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn no_more_is_held_back_than_a_secret_is_long_and_nothing_over_a_line(
        secret_text in "[!-~]{8,60}",
        way in ways(),
        kept in any::<proptest::sample::Index>(),
    ) {
        let written = way.write(&secret_text);
        let mut scrub = Scrub::new(Some(&secret(&secret_text)));
        let mut out = Vec::new();
        let cut = kept.index(written.len());
        for (fed, byte) in (1..).zip(&written.as_bytes()[..cut]) {
            scrub.feed(&[*byte], &mut out);
            let held = usize::saturating_sub(fed, out.len());
            prop_assert!(held <= secret_text.len() * 8 * 4 / 3 + 16);
        }
        scrub.feed(b"data: x\n", &mut out);
        prop_assert!(out.ends_with(b"x\n"));
    }
}

#[test]
fn what_html_and_two_encoders_in_a_row_make_of_a_secret_is_taken_out() {
    let text = "sk&<>\"'/9f3-b2c7";
    for written in [
        "sk&amp;&lt;&gt;&quot;&apos;/9f3-b2c7",
        "sk&amp;&lt;&gt;&#34;&#39;&#47;9f3-b2c7",
        "sk&#x26;&#x3c;&#X3E;&quot;&#039;&#x2F;9f3-b2c7",
        "&#115;k&amp;&lt;&gt;&quot;&#x0027;/9f3-b2c7",
        "&#00115;k&AMP;&lt;&gt;&quot;&#x00027;&sol;9f3-b2c7",
        "sk%2526%253C%253e%2522%2527%252F9f3-b2c7",
        "sk%252526%25253C%3E%22'/9f3-b2c7",
    ] {
        let out = scrubbed(text, format!("a {written} z").as_bytes(), &[9, 17]);
        assert_eq!(String::from_utf8(out).unwrap(), "a [redacted] z", "{written}");
    }
    // Whatever may be written by name is, by some.
    let html5 = "sk&lowbar;live&period;9&equals;&plus;&sol;&colon;&commat;&dollar;&lbrack;&Hat;7f";
    let out = scrubbed("sk_live.9=+/:@$[^7f", format!("a {html5} z").as_bytes(), &[9, 17]);
    assert_eq!(String::from_utf8(out).unwrap(), "a [redacted] z");
    // What only begins so passes, however long it goes on.
    let mut scrub = Scrub::new(Some(&secret(text)));
    for part in ["&amp", "&#0000", "&#x", "%25", "&"] {
        let (fed, mut out) = (part.repeat(1000), Vec::new());
        scrub.feed(fed.as_bytes(), &mut out);
        assert!(fed.len() - out.len() <= 64, "{part}: {} of {}", out.len(), fed.len());
        scrub.finish(&mut out);
        assert_eq!(out, fed.as_bytes());
    }
}

#[test]
fn an_event_is_not_late() {
    let mut scrub = Scrub::new(Some(&secret(CANARY)));
    let event = b"event: message\ndata: {\"text\":\"a line with \\n and 100% of sk-can\"}\n\n";
    let mut out = Vec::new();
    scrub.feed(event, &mut out);
    assert_eq!(out, event);
    out.clear();
    scrub.feed(b"data: {\"text\":\"sk-canary", &mut out);
    assert_eq!(out, b"data: {\"text\":\"");
    scrub.feed(b" is a bird\"}\n\n", &mut out);
    assert_eq!(out, b"data: {\"text\":\"sk-canary is a bird\"}\n\n");
}

#[test]
fn beginnings_of_a_secret_without_end_hold_nothing_up() {
    let longest = CANARY.len() * 8;
    let mut scrub = Scrub::new(Some(&secret(CANARY)));
    let (mut fed, mut out) = (0, Vec::new());
    for length in 1..CANARY.len() {
        // At no byte of these is it sure that none begins.
        let part = &CANARY[..length];
        for part in [part, "\\", "%", "s"].map(|part| part.repeat(1000)) {
            scrub.feed(part.as_bytes(), &mut out);
            fed += part.len();
            let held = fed - out.len();
            assert!(held <= longest, "{held} of {fed}");
        }
    }
}

#[test]
fn a_stream_that_is_cut_does_not_end_in_most_of_a_secret() {
    let scrub = Scrub::new(Some(&secret(CANARY)));
    let (most, _) = CANARY.split_at(CANARY.len() - 1);
    let (mut cut, mut ended) = (scrub.anew(), scrub.anew());
    let (mut of_cut, mut of_ended) = (Vec::new(), Vec::new());
    cut.feed(most.as_bytes(), &mut of_cut);
    cut.cut(&mut of_cut);
    assert_eq!(of_cut, b"[redacted]");
    ended.feed(most.as_bytes(), &mut of_ended);
    ended.finish(&mut of_ended);
    assert_eq!(of_ended, most.as_bytes());
}

#[test]
fn of_a_secret_for_basic_the_name_and_password_are_taken_out_too() {
    let basic = Base64::encode_string(b"scout:correct horse battery");
    let scrub = Scrub::new(Some(&secret(&basic)));
    for text in [&basic, "scout:correct horse battery", "correct horse battery"] {
        assert_eq!(scrub.text(format!("<{text}>").as_bytes()), b"<[redacted]>");
    }
    assert_eq!(scrub.text(b"correct+horse%20battery"), b"[redacted]");
}

#[test]
fn without_a_secret_everything_passes() {
    let scrub = Scrub::new(None);
    assert_eq!(scrub.text(b"100% \\u0041 sk-canary"), b"100% \\u0041 sk-canary");
}

#[test]
fn neither_a_secret_nor_what_looks_for_it_shows_it() {
    let secret = secret(CANARY);
    let scrub = Scrub::new(Some(&secret));
    let shown = format!("{secret:?} {scrub:?}");
    assert_eq!(shown, "Secret Scrub");
}
