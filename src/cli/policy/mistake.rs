//! What is wrong with a policy, told as compilers do: the line, a caret, and what to do about it.

use std::{borrow::Cow, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{MAX_FILE, mask::masked};
use crate::{
    cli::output::{Failure, plain},
    policy::{
        names::{is_hidden, unhidden},
        terms::{Fault, FaultCode, Severity},
    },
};

/// The most mistakes that are told.
const TOLD: usize = 20;
/// How far apart places may be to be shown in one excerpt.
const NEAR: usize = 16 * 1024;
/// How wide an excerpt is.
const WIDTH: usize = 100;
/// How much of a line is looked at on either side of a place.
const AROUND: usize = 64 * 1024;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident),* $(,)?) => {
        /// What may be wrong with the text of a policy, before anybody looks at what it says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$code),*];
        }
    };
}

codes! {
    /// The file is longer than is read.
    FileTooLarge,
    /// The file is no text.
    NotText,
    /// The text is no TOML.
    TomlSyntax,
    /// There is no such key.
    KeyUnknown,
    /// A key that must be there is not.
    KeyMissing,
    /// What stands for an agent or a service is no name.
    NameInvalid,
    /// A table is expected.
    NoTable,
    /// A number without quotes, which would not stay exact.
    Unquoted,
    /// The value is not one that the key takes.
    ValueInvalid,
}

/// One mistake, with its places.
#[derive(Clone, Debug)]
pub(super) struct Mistake {
    pub(super) severity: Severity,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The first place before others that have to do with it.
    pub(super) at: Vec<(Range<usize>, String)>,
}

impl Mistake {
    /// A mistake in the text.
    pub(super) fn new(code: Code, message: String, hint: &str, at: Range<usize>) -> Self {
        let at = vec![(at, String::new())];
        let (severity, hint) = (Severity::Error, Some(hint.to_owned()));
        Self { severity, code: word(&code), message, hint, at }
    }

    /// What was found wrong with what the text says.
    pub(super) fn of(fault: &Fault, find: impl Fn(&str) -> Range<usize>) -> Self {
        let Fault { severity, code, message, hint, at } = fault.clone();
        let at = at.into_iter().map(|place| {
            let label = place.label.unwrap_or_default();
            (find(&place.pointer), label)
        });
        Self { severity, code: word::<FaultCode>(&code), message, hint, at: at.collect() }
    }
}

fn word<C: Serialize>(code: &C) -> String {
    let word = serde_json::to_value(code).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// All that is told of one file.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    told: Vec<Mistake>,
    untold: usize,
    warnings_untold: usize,
}

impl Mistakes {
    pub(super) fn push(&mut self, mistake: Mistake) {
        match mistake.severity {
            _ if !self.is_full() => self.told.push(mistake),
            Severity::Error => self.untold += 1,
            Severity::Warning => self.warnings_untold += 1,
        }
    }

    /// Whether no more of them are told one by one.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() >= 2 * TOLD
    }

    pub(super) fn leave_out(&mut self, more: u32) {
        self.untold += usize::try_from(more).unwrap_or(usize::MAX);
    }

    pub(super) fn leave_out_warnings(&mut self, more: u32) {
        self.warnings_untold += usize::try_from(more).unwrap_or(usize::MAX);
    }

    /// In the order of the text, what stands in the way first.
    pub(super) fn sorted(mut self) -> Self {
        let start = |mistake: &Mistake| mistake.at.first().map_or(0, |(range, _)| range.start);
        self.told.sort_by_key(|mistake| (mistake.severity, start(mistake)));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn stand_in_the_way(&self) -> bool {
        self.told.iter().any(|mistake| mistake.severity == Severity::Error)
    }
}

/// A text, to point at places in it.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The text of a file, if it is one.
    pub(super) fn new(name: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        let source = |text| Self { name: name.to_owned(), text };
        let alone = |source: &Self, code, message, hint, at| {
            let mut mistakes = Mistakes::default();
            mistakes.push(Mistake::new(code, message, hint, at));
            Err(source.failure(&mistakes))
        };
        if bytes.len() > MAX_FILE {
            let message = format!("the file is longer than {MAX_FILE} bytes");
            let hint = "spread it over several files, and apply one after the other";
            return alone(&source(String::new()), Code::FileTooLarge, message, hint, 0..0);
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let upto = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let at = upto..upto + char::REPLACEMENT_CHARACTER.len_utf8();
                let message = format!("the file is no text: byte {} is not UTF-8", upto + 1);
                let hint = "a policy is a text in TOML: see `pettycash apply --help`";
                return alone(&source(text), Code::NotText, message, hint, at);
            }
        };
        Ok(source(text))
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The mistakes as what a command fails with.
    pub(super) fn failure(&self, mistakes: &Mistakes) -> Failure {
        let errors = mistakes.told.iter().filter(|mistake| mistake.severity == Severity::Error);
        let count = errors.count() + mistakes.untold;
        let how_many = if count == 1 { "a mistake" } else { &format!("{count} mistakes") };
        Failure::Policy {
            message: format!("{how_many} in `{}`: nothing was changed", plain(&self.name)),
            rendered: self.render(mistakes),
            faults: mistakes.told.iter().map(|mistake| self.json(mistake)).collect(),
        }
    }

    /// The mistakes as people read them.
    pub(super) fn render(&self, mistakes: &Mistakes) -> String {
        let renderer = Renderer::plain().term_width(WIDTH);
        let told = mistakes.told.iter().take(TOLD);
        let mut parts: Vec<String> =
            told.map(|mistake| renderer.render(&[self.group(mistake)])).collect();
        let left_out = mistakes.untold + mistakes.warnings_untold;
        let untold = left_out + mistakes.told.len().saturating_sub(TOLD);
        if untold > 0 {
            parts.push(format!("… and {untold} more"));
        }
        parts.join("\n\n")
    }

    fn group<'a>(&'a self, mistake: &'a Mistake) -> Group<'a> {
        let level = match mistake.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = plain(&mistake.message);
        let title = level.primary_title(message).id(&*mistake.code);
        let mut group = Group::with_title(title);
        for excerpt in self.excerpts(&mistake.at) {
            group = group.element(excerpt);
        }
        match &mistake.hint {
            Some(hint) => group.element(Level::HELP.with_name("hint").message(plain(hint))),
            None => group,
        }
    }

    /// The lines of some places: in one piece where they are near each other.
    fn excerpts<'a>(&'a self, at: &'a [(Range<usize>, String)]) -> Vec<Snippet<'a, Annotated<'a>>> {
        let start = at.iter().map(|(range, _)| range.start).min().unwrap_or(0);
        let end = at.iter().map(|(range, _)| range.end).max().unwrap_or(0);
        let pieces: Vec<Vec<usize>> = if end.saturating_sub(start) <= NEAR {
            vec![(0..at.len()).collect()]
        } else {
            (0..at.len()).map(|one| vec![one]).collect()
        };
        pieces.into_iter().map(|piece| self.excerpt(at, &piece)).collect()
    }

    fn excerpt<'a>(
        &'a self,
        at: &'a [(Range<usize>, String)],
        piece: &[usize],
    ) -> Snippet<'a, Annotated<'a>> {
        let chosen = || piece.iter().filter_map(|one| at.get(*one).map(|place| (*one, place)));
        let start = chosen().map(|(_, (range, _))| range.start).min().unwrap_or(0);
        let end = chosen().map(|(_, (range, _))| range.end).max().unwrap_or(start);
        let (from, to) = (self.line_from(start), self.line_to(end));
        let annotations = chosen().map(|(nth, (range, label))| {
            let kind = if nth == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(range.start - from..range.end - from);
            if label.is_empty() { annotation } else { annotation.label(&**label) }
        });
        Snippet::source(masked(&as_wide(&self.text[from..to])))
            .path(plain(&self.name))
            .line_start(self.place(from).0)
            .annotations(annotations)
    }

    /// Where the line of a place begins, or so far before it.
    fn line_from(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let from = line.max(at.saturating_sub(AROUND));
        (from..=at).find(|byte| self.text.is_char_boundary(*byte)).unwrap_or(at)
    }

    fn line_to(&self, at: usize) -> usize {
        let line = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
        let to = line.min(at.saturating_add(AROUND));
        (at..=to).rev().find(|byte| self.text.is_char_boundary(*byte)).unwrap_or(at)
    }

    /// The line and column of a place, from 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    fn json(&self, mistake: &Mistake) -> Value {
        let Mistake { severity, code, message, hint, at } = mistake;
        let places = at.iter().map(|(range, label)| {
            let mut place = Map::new();
            if !label.is_empty() {
                place.insert("label".to_owned(), json!(label));
            }
            self.locate(&mut place, range);
            Value::Object(place)
        });
        let places: Vec<Value> = places.collect();
        let mut fault = json!({"severity": severity, "code": code, "message": message});
        if let Some(hint) = hint {
            fault["hint"] = json!(hint);
        }
        fault["at"] = places.into();
        fault
    }

    /// Adds to a place for programs where in the text it is.
    pub(super) fn locate(&self, place: &mut Map<String, Value>, range: &Range<usize>) {
        let (line, column) = self.place(range.start);
        place.insert("line".to_owned(), json!(line));
        place.insert("column".to_owned(), json!(column));
    }
}

/// A text without what a terminal would obey or not show, of the same length, so that places in it
/// stay right. What is one byte long is replaced where it is drawn.
fn as_wide(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.len_utf8() > 1 && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(unhidden(text, |_, hidden, shown| {
        match hidden.len_utf8() {
            1 => shown.push(hidden),
            2 => shown.push('·'),
            3 => shown.push(char::REPLACEMENT_CHARACTER),
            _ => shown.push_str("··"),
        }
        hidden.len_utf8()
    }))
}

type Annotated<'a> = annotate_snippets::Annotation<'a>;
