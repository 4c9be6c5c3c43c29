//! Checking the whole record: every link, every sum, every book against the fold of its entries.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    policy::{
        book::Book,
        entry::Fact,
        money::Usd,
        names::{Handle, PaymentId},
        state::{Document, State},
        terms::{Books, Head},
    },
    store::{self, FileDisk, Record, StoreError},
};

/// How many problems are told; a broken record breaks everything after it.
const MAX_PROBLEMS: usize = 20;

/// What a check of the record found.
#[derive(Debug)]
pub struct Findings {
    /// The last record that was read.
    pub head: Head,
    /// How many entries were read.
    pub entries: u64,
    /// How many agents there are.
    pub agents: usize,
    /// What is wrong; nothing when all is well.
    pub problems: Vec<String>,
}

/// Checks the journal in `journal` up to the head that a running `serve` has synced, and that its
/// books are the fold of the entries.
///
/// # Errors
/// If the record cannot be read, or does not verify.
pub fn verify_beside(journal: &Path, serving: &Books) -> Result<Findings, StoreError> {
    let mut check = Check::default();
    let upto = Some(serving.head.seq);
    let replayed = store::replay(Arc::new(FileDisk::look(journal)?), upto, |record| {
        check.record(record);
    })?;
    if replayed.head != serving.head {
        check.problem(format!(
            "record {} is not the one that the running `serve` wrote",
            serving.head.seq
        ));
    }
    check.compare("the running `serve`", &serving.books);
    Ok(check.findings(replayed.head))
}

/// Checks the journal and the desk of a store that nobody has open.
///
/// # Errors
/// If the record cannot be read, or does not verify.
pub fn verify_alone(journal: &Path, desk: &Path) -> Result<Findings, StoreError> {
    let mut check = Check::default();
    let kept = if desk.exists() { store::look_at_desk(desk)? } else { None };
    let mark = kept.as_ref().map(|(head, _)| *head);
    let mut compared = kept.is_none();
    let replayed = store::replay(Arc::new(FileDisk::look(journal)?), None, |record| {
        check.record(record);
        // The desk may be a little behind; it is compared as of the record it goes up to.
        if mark.is_some_and(|mark| mark.seq == record.seq) {
            compared = true;
            if mark.is_some_and(|mark| mark.hash != record.hash) {
                check.problem("the desk was written from another journal".to_owned());
            }
            check.compare_documents(kept.as_ref().map(|(_, documents)| documents.as_slice()));
        }
    })?;
    if !compared && mark.is_some_and(|mark| mark.seq > 0) {
        check.problem("the desk goes further than the journal: the journal is older".to_owned());
    }
    Ok(check.findings(replayed.head))
}

/// The sums of one agent, added up apart from the fold.
#[derive(Default)]
struct Sums {
    credited: i128,
    captured: i128,
    refunded: i128,
    held: i128,
}

#[derive(Default)]
struct Check {
    state: State,
    sums: BTreeMap<Handle, Sums>,
    holds: BTreeMap<PaymentId, Usd>,
    captured: BTreeMap<PaymentId, Usd>,
    entries: u64,
    problems: Vec<String>,
}

impl Check {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn record(&mut self, record: &Record) {
        for line in &record.lines {
            self.entries += 1;
            if let Some(agent) = &line.entry.agent {
                self.add_up(agent, &line.entry.fact);
            }
            self.state.apply(&line.entry, record.position, line.hash);
        }
    }

    fn add_up(&mut self, agent: &Handle, fact: &Fact) {
        let nanos = |amount: &Usd| i128::from(amount.nanos());
        let sums = self.sums.entry(agent.clone()).or_default();
        let mut problem = None;
        match fact {
            Fact::Credited { amount, .. } => sums.credited += nanos(amount),
            Fact::Held(hold) => {
                sums.held += nanos(&hold.amount);
                self.holds.insert(hold.payment, hold.amount);
            }
            Fact::Paid(hold) => {
                sums.captured += nanos(&hold.amount);
                self.captured.insert(hold.payment, hold.amount);
            }
            Fact::Captured { .. } | Fact::Voided { .. } | Fact::Expired { .. } => {
                let taken =
                    if let Fact::Captured { amount, .. } = fact { *amount } else { Usd::ZERO };
                let ended = fact.ends().and_then(|id| Some((id, self.holds.remove(&id)?)));
                match ended {
                    Some((id, held)) if taken <= held => {
                        sums.held -= nanos(&held);
                        sums.captured += nanos(&taken);
                        self.captured.insert(id, taken);
                    }
                    Some((id, _)) => problem = Some(format!("{id} captured more than it held")),
                    None => problem = Some(format!("`{agent}` ended a hold that is not open")),
                }
            }
            Fact::Refunded { payment, amount, .. } => {
                sums.refunded += nanos(amount);
                let left = self.captured.get(payment).and_then(|left| left.minus(*amount));
                match left {
                    Some(left) => drop(self.captured.insert(*payment, left)),
                    None => problem = Some(format!("{payment} gave back more than it took")),
                }
            }
            Fact::Opened { .. }
            | Fact::Sent { .. }
            | Fact::Denied(_)
            | Fact::DeniedAgain { .. }
            | Fact::Revoked { .. }
            | Fact::ServiceSet(_) => {}
        }
        if let Some(problem) = problem {
            self.problem(problem);
        }
    }

    /// That the books somebody has are the fold of the entries read so far.
    fn compare(&mut self, whose: &str, books: &[Book]) {
        let folded: Vec<&Book> = self.state.books().collect();
        let mut wrong: Vec<String> = Vec::new();
        for book in books {
            if self.state.book(&book.handle) != Some(book) {
                wrong.push(format!("the book of `{}` in {whose} is not its entries", book.handle));
            }
        }
        if folded.len() != books.len() {
            let (there, here) = (books.len(), folded.len());
            wrong.push(format!("{whose} has {there} books, the entries make {here}"));
        }
        for problem in wrong {
            self.problem(problem);
        }
    }

    fn compare_documents(&mut self, documents: Option<&[Document]>) {
        let mut kept = State::default();
        for document in documents.unwrap_or_default() {
            kept.restore(document.clone());
        }
        let books: Vec<Book> = kept.books().cloned().collect();
        self.compare("the desk", &books);
        if !kept.all_open().eq(self.state.all_open()) {
            self.problem("the desk's open payments are not the entries'".to_owned());
        }
        if !kept.services().eq(self.state.services()) {
            self.problem("the desk's catalogue is not the entries'".to_owned());
        }
    }

    /// That the sums of the books are those of the entries, added up another way.
    fn findings(mut self, head: Head) -> Findings {
        let mut wrong = Vec::new();
        for book in self.state.books() {
            let none = Sums::default();
            let sums = self.sums.get(&book.handle).unwrap_or(&none);
            let pairs = [
                ("credited", sums.credited, book.credited),
                ("captured", sums.captured, book.captured),
                ("refunded", sums.refunded, book.refunded),
                ("held", sums.held, book.held),
            ];
            for (what, added, folded) in pairs {
                if added != i128::from(folded.nanos()) {
                    wrong.push(format!(
                        "`{}`: the entries' {what} sum is not the book's",
                        book.handle
                    ));
                }
            }
            if let (Some(funds), true) =
                (book.funds(), sums.captured > sums.credited + sums.refunded)
            {
                wrong.push(format!(
                    "`{}` spent more than it was credited ({funds} left)",
                    book.handle
                ));
            }
        }
        for problem in wrong {
            self.problem(problem);
        }
        let agents = self.state.books().count();
        Findings { head, entries: self.entries, agents, problems: self.problems }
    }
}
