//! The forms that a secret may come back in, and how one is followed byte by byte.
//!
//! A form is a row of sets of ASCII characters: of the secret as it is, sets of one; of its Base64,
//! where the first and the last character depend on what stands around the secret, sets of a few.
//! Each character may be written as itself, as `%41` or `%2541`, as HTML does, `&amp;`, `&#65;` or
//! `&#x41;`, or as JSON does, `\u0041` or behind a backslash; behind up to three, where JSON stands
//! in JSON.

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::secret::Secret;

/// Of how many backslashes one escape is made at most.
const MAX_SLASHES: u8 = 3;
/// How many times over one character is written as `%41` at most.
const MAX_PERCENTS: u8 = 3;
/// Of how many digits or letters what HTML writes for a character is at most.
const MAX_ENTITY: u8 = 7;
/// The names that HTML has for ASCII characters, small or not:
/// <https://html.spec.whatwg.org/multipage/named-characters.html>. `nbsp` is none of them, but is
/// written for one.
const NAMED: [(&str, u8); 37] = [
    ("excl", b'!'),
    ("quot", b'"'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("amp", b'&'),
    ("apos", b'\''),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("lt", b'<'),
    ("equals", b'='),
    ("gt", b'>'),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("lowbar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
    ("hat", b'^'),
    ("nbsp", b' '),
];
/// What is shorter is found in texts that have nothing to do with it.
const MIN_PART: usize = 8;

/// Some of the ASCII characters, a bit each.
pub(super) type Set = u128;

/// What an escape begins with.
pub(super) const ESCAPES: Set = 1 << b'%' | 1 << b'&' | 1 << b'\\';

/// A row of sets, one for each character.
pub(super) type Form = Zeroizing<Vec<Set>>;

/// The set of one character.
fn one(byte: u8) -> Set {
    if byte.is_ascii() { 1 << byte } else { 0 }
}

/// Whether a set has that character.
pub(super) fn has(set: Set, byte: u8) -> bool {
    set & one(byte) != 0
}

/// What may follow a character with which one of the forms begins: its next one, or what goes on
/// with an escape.
pub(super) fn seconds(forms: &[Form], byte: u8) -> Set {
    let all = |is: fn(&u8) -> bool| (0..=127).filter(is).map(one).fold(0, |set, one| set | one);
    let escape = match byte {
        b'%' => all(u8::is_ascii_hexdigit),
        b'&' => all(u8::is_ascii_alphabetic) | one(b'#'),
        b'\\' => one(b'u') | one(b'\\') | one(b'"') | one(b'/'),
        _ => 0,
    };
    let next = |form: &Form| match form.as_slice() {
        [first, second, ..] if has(*first, byte) => *second | ESCAPES,
        [only] if has(*only, byte) => Set::MAX,
        _ => 0,
    };
    forms.iter().map(next).fold(escape, |all, set| all | set)
}

/// All forms of a secret. Where it is what `Basic` wants, a name and a password in Base64, these
/// are looked for too.
pub(super) fn forms(secret: &Secret) -> Vec<Form> {
    let text = secret.expose().as_bytes();
    let mut forms = forms_of(text);
    if let Some(inside) = decoded(secret.expose()) {
        forms.extend(forms_of(&inside));
        let password = inside.splitn(2, |byte| *byte == b':').nth(1);
        if let Some(password) = password.filter(|password| password.len() >= MIN_PART) {
            forms.extend(forms_of(password));
        }
    }
    forms
}

/// What a secret is the Base64 of, where that is readable text of some length.
fn decoded(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let ways = [
        Base64::decode_vec,
        Base64Unpadded::decode_vec,
        Base64Url::decode_vec,
        Base64UrlUnpadded::decode_vec,
    ];
    let inside = ways.into_iter().find_map(|way| way(secret).ok()).map(Zeroizing::new)?;
    let readable = inside.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (readable && inside.len() >= MIN_PART).then_some(inside)
}

fn forms_of(text: &[u8]) -> Vec<Form> {
    let mut forms = vec![raw(text)];
    forms.extend((0..3).map(|before| base64(text, before)));
    forms
}

fn raw(text: &[u8]) -> Form {
    let plus = |byte: u8| if byte == b' ' { one(b'+') } else { 0 };
    Zeroizing::new(text.iter().map(|byte| one(*byte) | plus(*byte)).collect())
}

/// The characters of a Base64 text that have to do with a secret in it, of which so many bytes, or
/// three more each, stand before the secret. Both alphabets are meant.
fn base64(text: &[u8], before: usize) -> Form {
    let first = before * 8;
    let end = first + text.len() * 8;
    // The bit at that place, if it is one of the secret's.
    let bit = |place: usize| {
        let inside = (first..end).contains(&place).then(|| place - first)?;
        text.get(inside / 8).map(|byte| byte >> (7 - inside % 8) & 1)
    };
    let fits = |value: u8, character: usize| {
        let told = |i: usize| bit(character * 6 + i).is_none_or(|bit| value >> (5 - i) & 1 == bit);
        (0..6).all(told)
    };
    let set = |character: usize| -> Set {
        let values = (0..64_u8).filter(|value| fits(*value, character));
        values.map(digit).fold(0, |set, one| set | one)
    };
    Zeroizing::new((first / 6..=(end - 1) / 6).map(set).collect())
}

/// How Base64 writes a value, in both alphabets.
fn digit(value: u8) -> Set {
    match value {
        0..26 => one(b'A' + value),
        26..52 => one(b'a' + (value - 26)),
        52..62 => one(b'0' + (value - 52)),
        62 => one(b'+') | one(b'-'),
        _ => one(b'/') | one(b'_'),
    }
}

/// How far into one character of a form a text is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Inside {
    /// Before it.
    Start,
    /// Behind the `%` of so many times over.
    Percent(u8),
    /// Behind that and its first digit.
    PercentDigit(u8, u8),
    /// Behind a `&` and these letters.
    Entity([u8; MAX_ENTITY as usize]),
    /// Behind a `&#` and so many digits, which are so much.
    Decimal(u8, u8),
    /// Behind a `&#x` and so many digits, which are so much.
    Hex(u8, u8),
    /// Behind so many backslashes.
    Slash(u8),
    /// Behind a `\u` and so many digits, which are so much.
    Unicode(u8, u8),
}

/// Takes one more byte: whether the character is there with it, and where else it may be inside.
/// Both may be: a `%` is itself, and may begin what stands for another.
pub(super) fn step(set: Set, inside: Inside, byte: u8) -> (bool, Option<Inside>) {
    let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match inside {
        Inside::Start => {
            let begins = match byte {
                b'%' => Some(Inside::Percent(1)),
                b'&' => Some(Inside::Entity([0; MAX_ENTITY as usize])),
                b'\\' => Some(Inside::Slash(1)),
                _ => None,
            };
            (has(set, byte), begins)
        }
        Inside::Percent(times) => (false, digit.map(|high| Inside::PercentDigit(times, high))),
        Inside::PercentDigit(times, high) => {
            // What was written is a `%`, which may begin the same again.
            let again = (high, byte) == (2, b'5') && times < MAX_PERCENTS;
            let there = digit.is_some_and(|low| has(set, high << 4 | low));
            (there, again.then_some(Inside::Percent(times + 1)))
        }
        Inside::Entity(_) | Inside::Decimal(..) | Inside::Hex(..) => entity(set, inside, byte),
        Inside::Slash(count) => match byte {
            b'u' => (false, Some(Inside::Unicode(0, 0))),
            b'\\' => (has(set, byte), (count < MAX_SLASHES).then_some(Inside::Slash(count + 1))),
            b'"' | b'/' => (has(set, byte), None),
            _ => (false, None),
        },
        // Two zeros, then two digits of the character itself.
        Inside::Unicode(seen @ 0..2, _) => {
            (false, (byte == b'0').then_some(Inside::Unicode(seen + 1, 0)))
        }
        Inside::Unicode(2, _) => (false, digit.map(|high| Inside::Unicode(3, high))),
        Inside::Unicode(_, high) => (digit.is_some_and(|low| has(set, high << 4 | low)), None),
    }
}

/// The same inside of what HTML writes for a character.
fn entity(set: Set, inside: Inside, byte: u8) -> (bool, Option<Inside>) {
    let digit = |radix| char::from(byte).to_digit(radix).and_then(|digit| u8::try_from(digit).ok());
    let number = |seen: u8, so_far: u8, radix: u8| {
        let more = digit(radix.into()).filter(|_| seen < MAX_ENTITY)?;
        so_far.checked_mul(radix)?.checked_add(more)
    };
    match inside {
        Inside::Entity(letters) if byte == b';' => {
            let said = letters.iter().take_while(|letter| **letter != 0);
            let means = NAMED.iter().find(|(name, _)| said.clone().eq(name.as_bytes()));
            (means.is_some_and(|(_, means)| has(set, *means)), None)
        }
        Inside::Entity([0, ..]) if byte == b'#' => (false, Some(Inside::Decimal(0, 0))),
        Inside::Entity(mut letters) => {
            let free = letters.iter_mut().find(|letter| **letter == 0);
            let Some(free) = free.filter(|_| byte.is_ascii_alphabetic()) else {
                return (false, None);
            };
            *free = byte.to_ascii_lowercase();
            (false, Some(Inside::Entity(letters)))
        }
        Inside::Decimal(0, _) if matches!(byte, b'x' | b'X') => (false, Some(Inside::Hex(0, 0))),
        Inside::Decimal(seen, value) | Inside::Hex(seen, value) if byte == b';' => {
            (seen > 0 && has(set, value), None)
        }
        Inside::Decimal(seen, value) => {
            let more = number(seen, value, 10);
            (false, more.map(|value| Inside::Decimal(seen + 1, value)))
        }
        Inside::Hex(seen, value) => {
            let more = number(seen, value, 16);
            (false, more.map(|value| Inside::Hex(seen + 1, value)))
        }
        _ => (false, None),
    }
}
