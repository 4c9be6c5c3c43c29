//! Checking the whole record: every link, every sum, every book against the fold of its entries.

mod groups;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use groups::Groups;

use super::recover::Places;
use crate::{
    policy::{
        book::Book,
        documents::{DocKey, Document},
        entry::{CaptureFlag, Fact},
        money::Usd,
        names::{Handle, PaymentId},
        state::State,
        terms::{Books, Head},
    },
    store::{self, Disk, FileDisk, Looked, Record, StoreError, with_archive},
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
    /// How many records before the first one checked were moved away: without them links and
    /// checksums are checked, and no sums.
    pub skipped: u64,
    /// What is wrong; nothing when all is well.
    pub problems: Vec<String>,
}

/// Why nothing can be said of the record.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Somebody has it open, who can be asked instead.
    #[error("the record is in use")]
    InUse,
    /// There is none.
    #[error("there is no record in the data directory")]
    Nothing,
    /// It is not what was once written.
    #[error("{0}")]
    Broken(StoreError),
    /// It cannot be read.
    #[error("the record cannot be read")]
    Unreadable(#[source] StoreError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse { .. } => Self::InUse,
            StoreError::Damaged { .. }
            | StoreError::Beheaded { .. }
            | StoreError::OlderThanDesk { .. }
            | StoreError::OlderThanAnchor { .. }
            | StoreError::UnknownFormat { .. } => Self::Broken(error),
            _ => Self::Unreadable(error),
        }
    }
}

/// Checks the journal, and that the books of a running `serve` are the fold of its entries.
///
/// # Errors
/// If the record cannot be read, or does not verify.
pub fn verify_beside(places: &Places, serving: &Books) -> Result<Findings, VerifyError> {
    let disk = places.segments()?;
    let mut check = Check::default();
    // The anchor never runs ahead of the journal, so it is looked at first.
    let anchor = match places.anchors()? {
        Some(anchors) => store::anchored(Arc::clone(&disk), &*anchors)?,
        None => None,
    };
    let head = serving.head;
    if head.seq == 0 && !serving.ahead {
        check.compare_serving(serving);
    }
    // Both were written, so whatever is missing up to there is damage. What follows may be half
    // written just now.
    let upto = anchor.map_or(head.seq, |anchor| anchor.seq.max(head.seq));
    store::replay(disk, Some(upto), |record| {
        check.record(record);
        if record.seq == head.seq {
            if !serving.ahead {
                check.compare_serving(serving);
            }
            if record.hash != head.hash {
                let problem = "is not the one that the running `serve` wrote";
                check.problem(format!("record {} {problem}", head.seq));
            }
        }
        check.hold_against(anchor.as_ref(), record);
    })?;
    Ok(check.findings(head))
}

/// A store that nobody has open, looked at for [`Kept::verify`].
#[derive(Debug)]
pub struct Kept {
    places: Places,
    looked: Looked,
}

impl Kept {
    /// Sees how far the record goes and what the desk holds. It is quick, and whoever starts a
    /// `serve` may go on as soon as this returns.
    ///
    /// # Errors
    /// If somebody has it open, it cannot be read, or does not verify.
    pub fn look(places: &Places) -> Result<Self, VerifyError> {
        let Places { journal, desk, .. } = places;
        match (journal.exists(), desk.exists()) {
            (false, false) => Err(VerifyError::Nothing),
            (false, true) => Err(VerifyError::Broken(StoreError::Damaged {
                file: journal.display().to_string(),
                offset: 0,
                problem: "the journal is missing, and there is a desk".to_owned(),
            })),
            (true, _) => {
                let locked: Arc<dyn Disk> = Arc::new(FileDisk::open(journal)?);
                let locked = match &places.archive {
                    Some(archive) => with_archive(locked, Arc::new(FileDisk::look(archive)?)),
                    None => locked,
                };
                let anchors = places.anchors()?;
                let found = store::look(locked, desk, anchors.as_deref())?;
                Ok(Self { places: places.clone(), looked: found })
            }
        }
    }

    /// Checks the journal up to where it was seen to go, and the desk against it.
    ///
    /// # Errors
    /// If the record cannot be read, or does not verify.
    pub fn verify(self) -> Result<Findings, VerifyError> {
        let mut check = Check::default();
        let Looked { head, desk } = self.looked;
        let replayed = store::replay(self.places.segments()?, Some(head.seq), |record| {
            check.record(record);
            // The desk may be a little behind; it is compared as of the record it goes up to.
            if let Some((mark, documents)) =
                desk.as_ref().filter(|(mark, _)| mark.seq == record.seq)
            {
                if mark.hash != record.hash {
                    check.problem("the desk was written from another journal".to_owned());
                }
                check.compare_documents(documents);
            }
        })?;
        Ok(check.findings(replayed.head))
    }
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
    /// How many records there are before the first one read.
    skipped: u64,
    state: State,
    sums: BTreeMap<Handle, Sums>,
    holds: BTreeMap<PaymentId, Usd>,
    captured: BTreeMap<PaymentId, Usd>,
    groups: Groups,
    entries: u64,
    problems: Vec<String>,
}

impl Check {
    fn problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// That the record which the head anchor names is the one it names.
    fn hold_against(&mut self, anchor: Option<&Head>, record: &Record) {
        let anchor = anchor.filter(|anchor| anchor.seq == record.seq);
        if anchor.is_some_and(|anchor| anchor.hash != record.hash) {
            self.problem(format!("record {} is not the one that the anchor names", record.seq));
        }
    }

    fn record(&mut self, record: &Record) {
        if self.entries == 0 {
            self.skipped = record.seq.saturating_sub(1);
        }
        if self.skipped > 0 {
            self.entries += record.lines.len() as u64;
            return;
        }
        for line in &record.lines {
            self.entries += 1;
            if let Some(agent) = &line.entry.agent {
                self.add_up(agent, &line.entry.fact);
            }
            self.groups.add_up(&line.entry.fact, record.position);
            self.state.apply(&line.entry, record.position, line.hash);
        }
        self.state.forget_expired_keys(self.state.now());
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
            Fact::Captured { .. }
            | Fact::Voided { .. }
            | Fact::Expired { .. }
            | Fact::Failed { .. } => {
                let (taken, flag) = match fact {
                    Fact::Captured { amount, flag, .. } => (*amount, *flag),
                    _ => (Usd::ZERO, None),
                };
                let may_pass = flag.is_some_and(CaptureFlag::may_pass);
                let ended = fact.ends().and_then(|id| Some((id, self.holds.remove(&id)?)));
                match ended {
                    Some((id, held)) if taken <= held || may_pass => {
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
            | Fact::Tripped { .. }
            | Fact::Doubted { .. }
            | Fact::MandateSet { .. }
            | Fact::Frozen { .. }
            | Fact::Unfrozen { .. }
            | Fact::Revoked { .. }
            | Fact::ServiceSet(_)
            | Fact::ServiceRemoved { .. }
            | Fact::Token(_)
            | Fact::PassphraseSet { .. }
            | Fact::PolicyApplied(_)
            | Fact::Group(_)
            | Fact::Task(_)
            | Fact::Repinned(_)
            | Fact::PricesSet(_)
            | Fact::ServiceTested(_)
            | Fact::Incident(_) => {}
        }
        if let Some(problem) = problem {
            self.problem(problem);
        }
    }

    /// That the books and groups of a running `serve` are the fold of the entries read so far.
    fn compare_serving(&mut self, serving: &Books) {
        let whose = "the running `serve`";
        self.compare(whose, &serving.books);
        // One of before groups were told says nothing of them.
        if let Some(groups) = serving.groups.as_ref().filter(|_| self.skipped == 0) {
            for problem in groups::differ(whose, groups, &self.state) {
                self.problem(problem);
            }
        }
    }

    /// That the books somebody has are the fold of the entries read so far.
    fn compare(&mut self, whose: &str, books: &[Book]) {
        if self.skipped > 0 {
            return;
        }
        let folded: Vec<&Book> = self.state.books().collect();
        let mut wrong: Vec<String> = Vec::new();
        for book in books {
            if !self.state.book(&book.handle).is_some_and(|folded| folded.agrees_with(book)) {
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

    fn compare_documents(&mut self, documents: &[Document]) {
        if self.skipped > 0 {
            return;
        }
        let now = self.state.now();
        let kept = State::restored(documents.iter().cloned(), now);
        let books: Vec<Book> = kept.books().cloned().collect();
        self.compare("the desk", &books);
        let names: BTreeSet<DocKey> = kept.doc_keys().chain(self.state.doc_keys()).collect();
        let differs = |key: &&DocKey| {
            !matches!(key, DocKey::Book(_) | DocKey::Run(..) | DocKey::Task(..))
                && kept.document(key) != self.state.document(key)
        };
        let different = names.iter().filter(differs).count();
        if different > 0 {
            self.problem(format!("{different} documents of the desk are not the entries'"));
        }
        // A key whose time is up may be forgotten on one side and not yet on the other.
        let different = kept.differing_keys(&self.state, now);
        if different > 0 {
            self.problem(format!("{different} keys of the desk are not the entries'"));
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
        wrong.extend(self.groups.wrong(&self.state));
        for problem in wrong {
            self.problem(problem);
        }
        let agents = self.state.books().count();
        let (skipped, entries) = (self.skipped, self.entries);
        Findings { head, entries, agents, skipped, problems: self.problems }
    }
}
