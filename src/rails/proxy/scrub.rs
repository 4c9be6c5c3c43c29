//! Takes a secret out of everything that comes back.
//!
//! What may be the beginning of a secret is held back until the next bytes tell; everything else
//! passes at once. So no more is ever held than the longest form of the secret is long, and
//! nothing is held over a line break, for no form has one: an event of a stream is never late.
//!
//! It is made against an upstream that repeats what it was sent, in an error text or an echo. One
//! that is bent on giving a secret away can always write it in a way nobody has thought of.

use std::{collections::VecDeque, fmt};

use zeroize::Zeroize;

use super::{
    forms::{ESCAPES, Form, Inside, Set, forms, has, seconds, step},
    secret::Secret,
};

/// What stands where a secret was.
const MARK: &[u8] = b"[redacted]";
/// From so many on, ways that have come to the same point are told apart no more.
const MANY: usize = 32;

/// Takes one secret out of one stream of bytes, cut anywhere.
pub struct Scrub {
    forms: Vec<Form>,
    /// What a form may begin with.
    first: Set,
    /// What may follow each character that a form begins with.
    second: Form,
    /// The forms that are begun.
    begun: Vec<Begun>,
    next: Vec<Begun>,
    /// The bytes from the first of them on, and whether each belongs to a secret.
    held: VecDeque<(u8, bool)>,
    /// How many bytes came before those that are held.
    passed: u64,
    /// Whether the last that went out was the mark.
    marked: bool,
}

/// A form that the text may be in the middle of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Begun {
    form: usize,
    /// Which of its characters comes next.
    at: usize,
    inside: Inside,
    /// Where in the text it begins.
    from: u64,
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrub")
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.held.iter_mut().for_each(|(byte, _)| byte.zeroize());
    }
}

impl Scrub {
    /// Takes out that secret, if there is one.
    pub fn new(secret: Option<&Secret>) -> Self {
        let forms = secret.map(forms).unwrap_or_default();
        let begins = forms.iter().filter_map(|form| form.first());
        // Everything may be written as an escape.
        let first = begins.fold(if forms.is_empty() { 0 } else { ESCAPES }, |all, set| all | set);
        let second = (0..=127).map(|byte| seconds(&forms, byte)).collect();
        Self {
            forms,
            first,
            second: Form::new(second),
            begun: Vec::new(),
            next: Vec::new(),
            held: VecDeque::new(),
            passed: 0,
            marked: false,
        }
    }

    /// The same secret, out of another stream.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            forms: self.forms.clone(),
            first: self.first,
            second: self.second.clone(),
            begun: Vec::new(),
            next: Vec::new(),
            held: VecDeque::new(),
            passed: 0,
            marked: false,
        }
    }

    /// A whole text without the secret.
    pub fn text(&self, text: &[u8]) -> Vec<u8> {
        let mut scrub = self.anew();
        let mut out = Vec::with_capacity(text.len());
        scrub.feed(text, &mut out);
        scrub.finish(&mut out);
        out
    }

    /// Takes more of the stream, and adds to `out` what of it may go on.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.held.is_empty() {
                let nexts = bytes.iter().skip(1).map(Some).chain([None]);
                let plain =
                    bytes.iter().zip(nexts).position(|(byte, next)| self.begins(*byte, next));
                let (pass, rest) = bytes.split_at(plain.unwrap_or(bytes.len()));
                if !pass.is_empty() {
                    self.pass(pass, out);
                    bytes = rest;
                    continue;
                }
            }
            self.take(*byte, out);
            bytes = rest;
        }
    }

    /// The stream is at its end: what was held back is no secret.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.begun.clear();
        self.release(out);
    }

    /// The stream was cut: what is held back may be most of a secret, and is not given.
    pub fn cut(&mut self, out: &mut Vec<u8>) {
        self.held.iter_mut().for_each(|(_, secret)| *secret = true);
        self.finish(out);
    }

    /// Whether a form may begin with this byte, and that behind it if it has come.
    fn begins(&self, byte: u8, next: Option<&u8>) -> bool {
        let second = self.second.get(usize::from(byte)).copied().unwrap_or_default();
        has(self.first, byte) && next.is_none_or(|next| has(second, *next))
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.passed += bytes.len() as u64;
        self.marked = false;
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let here = self.passed + self.held.len() as u64;
        self.held.push_back((byte, false));
        if has(self.first, byte) {
            let fresh = |form| Begun { form, at: 0, inside: Inside::Start, from: here };
            self.begun.extend((0..self.forms.len()).map(fresh));
        }
        let mut begun = std::mem::take(&mut self.begun);
        for one in begun.drain(..) {
            let set = self.forms.get(one.form).and_then(|form| form.get(one.at));
            let (there, inside) = step(set.copied().unwrap_or_default(), one.inside, byte);
            self.next.extend(inside.map(|inside| Begun { inside, ..one }));
            if there && self.forms.get(one.form).is_some_and(|form| one.at + 1 == form.len()) {
                self.redact(one.from);
            } else if there {
                self.next.push(Begun { at: one.at + 1, inside: Inside::Start, ..one });
            }
        }
        self.begun = std::mem::replace(&mut self.next, begun);
        if self.begun.len() > MANY {
            // Of two that are at the same point, the one that began first covers the other.
            self.begun.sort_unstable();
            self.begun.dedup_by_key(|one| (one.form, one.at, one.inside));
        }
        self.release(out);
    }

    /// All from there to here belongs to a secret.
    fn redact(&mut self, from: u64) {
        let skipped = usize::try_from(from.saturating_sub(self.passed)).unwrap_or_default();
        self.held.iter_mut().skip(skipped).for_each(|(_, secret)| *secret = true);
    }

    /// Lets go what no form that is begun can still reach.
    fn release(&mut self, out: &mut Vec<u8>) {
        let least = self.begun.iter().map(|one| one.from).min();
        while least.is_none_or(|least| self.passed < least) {
            let Some((byte, secret)) = self.held.pop_front() else { break };
            match (secret, self.marked) {
                (true, false) => out.extend_from_slice(MARK),
                (true, true) => {}
                (false, _) => out.push(byte),
            }
            self.marked = secret;
            self.passed += 1;
        }
    }
}
