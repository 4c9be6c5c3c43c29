//! Scenarios: one story a file, one act a line, what came of it on the right.
//!
//! `UPDATE=1 cargo test scenarios` fills in the right-hand sides; review reads them. On CI nothing
//! is ever filled in.

mod groups;
mod models;
mod stops;
mod tasks;
mod telling;
mod trust;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use pettycash::policy::{
    came::Came,
    change,
    denial::{Payments, Refusal},
    entry::{CaptureFlag, Draft, Fact, Hash, VoidCause},
    group,
    mandate::{Cap, CapKey, Funding, LocalUse, Mandate, Service},
    money::Usd,
    names::{Handle, PaymentId, RailName, RunId, TokenId},
    operate::{self, Existing},
    pace::Rate,
    settle,
    shadow::Passed,
    task::{TaskId, TasksBy},
    token::{self, Issued, Power},
    window::Zone,
};

use crate::support::{bench::Bench, desk::Desk};
use tasks::own;
use trust::RULES;
use words::{denied_words, seconds, token_id};

/// One story being told.
struct Story {
    bench: Bench,
    agent: Handle,
    mandate: Mandate,
    opened: bool,
    run: Option<RunId>,
    payments: Vec<PaymentId>,
    /// How whoever pays comes; without a word on it, as the operator's own `pay` does.
    came: Came,
    tokens: u64,
    /// The agents that are not dealt with now, and whether they were opened.
    others: BTreeMap<Handle, (Mandate, bool)>,
    /// The task that payments name, and all that were opened: the first is `K1`.
    task: Option<TaskId>,
    tasks: Vec<TaskId>,
    desk: Desk,
}

fn came(who: &str) -> Came {
    match who {
        "name" => Came::Local,
        "operator" => Came::Operator(None),
        token => Came::By(token_id(token)),
    }
}

impl Story {
    fn new() -> Self {
        Self {
            bench: Bench::at("2026-11-21T12:00:00Z"),
            agent: "scout".parse().unwrap(),
            mandate: Mandate {
                funding: Funding::Prepaid,
                per_call_limit: None,
                caps: Vec::new(),
                zone: Zone::utc(),
                allow: BTreeSet::new(),
                deny: BTreeSet::new(),
                expires_at: None,
                local: LocalUse::Allowed,
                rates: Vec::new(),
                burst: None,
                denials: None,
                hours: None,
                days: None,
                cooldown: None,
                group: None,
                tasks: TasksBy::Operator,
                pinned: BTreeMap::new(),
                first_payee: pettycash::policy::payee::FirstPayee::Free,
                tiers: Vec::new(),
                shadow_caps: Vec::new(),
                max_output_tokens: None,
                downgrade_at: None,
                downgrade_to: None,
            },
            opened: false,
            run: None,
            payments: Vec::new(),
            came: Came::Operator(None),
            tokens: 0,
            others: BTreeMap::new(),
            task: None,
            tasks: Vec::new(),
            desk: Desk::default(),
        }
    }

    /// Goes on with another agent: one that was not yet there begins without any cap.
    fn turn_to(&mut self, agent: &str) {
        let blank = || (Self::new().mandate, false);
        let agent: Handle = agent.parse().unwrap();
        let (mandate, opened) = self.others.remove(&agent).unwrap_or_else(blank);
        let before = std::mem::replace(&mut self.agent, agent);
        let left = (std::mem::replace(&mut self.mandate, mandate), self.opened);
        self.others.insert(before, left);
        self.opened = opened;
    }

    /// Does what the left side says; what came of it, if it is worth a right side.
    fn act(&mut self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["at", time] => self.bench.now = time.parse().unwrap(),
            ["zone", zone] => self.mandate.zone = zone.parse().unwrap(),
            ["funding", funding] => self.mandate.funding = funding.parse().unwrap(),
            ["cap", cap @ ..] => match cap.join(" ").parse::<Cap>() {
                Ok(cap) => {
                    // Before the mandate is set, the same period twice is a mistake to be told.
                    if self.opened {
                        self.mandate.caps.retain(|other| other.key() != cap.key());
                    }
                    self.mandate.caps.push(cap);
                }
                Err(error) => return Some(error),
            },
            ["shadow" | "unshadow", cap @ ..] => self.shade(&cap.join(" ")),
            ["uncap", key @ ..] => {
                let key: CapKey = key.join(" ").parse().unwrap();
                self.mandate.caps.retain(|cap| cap.key() != key);
            }
            ["local", "allowed"] => self.mandate.local = LocalUse::Allowed,
            ["local", "barred"] => self.mandate.local = LocalUse::Barred,
            ["as", agent] => self.turn_to(agent),
            ["join", group] => self.mandate.group = Some(group.parse().unwrap()),
            ["leave"] => self.mandate.group = None,
            ["group", ..] => return Some(self.group(line.strip_prefix("group").unwrap())),
            ["ungroup", group] => {
                let act = group::remove_group(&self.bench.state, &group.parse().unwrap());
                return Some(self.done(act));
            }
            ["by", who] => self.came = came(who),
            ["tasks", by] => self.mandate.tasks = by.parse().unwrap(),
            ["task", task @ ..] => self.task = task.first().map(|task| self.task_id(task)),
            ["run", run @ ..] => self.run = run.first().map(|run| run.parse().unwrap()),
            ["per-call", limit] => self.mandate.per_call_limit = Some(limit.parse().unwrap()),
            ["rate", rate] => match rate.parse::<Rate>() {
                Ok(rate) => {
                    if self.opened {
                        self.mandate.rates.retain(|other| other.span != rate.span);
                    }
                    self.mandate.rates.push(rate);
                }
                Err(error) => return Some(error),
            },
            ["unrate", span] => {
                let span = span.parse().unwrap();
                self.mandate.rates.retain(|rate| rate.span != span);
            }
            [word, ..] if RULES.contains(word) => return self.stops(&words),
            ["allow", service] => drop(self.mandate.allow.insert(service.parse().unwrap())),
            ["deny", service] => drop(self.mandate.deny.insert(service.parse().unwrap())),
            ["expires", at] => self.mandate.expires_at = Some(at.parse().unwrap()),
            ["open"] => {
                self.opened = true;
                let act = operate::open(&self.bench.state, &self.agent, self.mandate.clone());
                return Some(self.done(act));
            }
            ["service", id, rest @ ..] => return self.service(id, rest),
            ["pass", span] => self.bench.pass(seconds(span)),
            _ => {
                if !self.opened {
                    self.opened = true;
                    self.bench.open(&self.agent.clone(), self.mandate.clone());
                }
                return Some(self.deal(&words));
            }
        }
        None
    }

    /// Sets what ends loops, and when may be paid; says what is wrong with it.
    fn done(&mut self, act: Result<operate::Act, operate::OperateError>) -> String {
        match self.bench.act(act) {
            Ok(true) => "ok".to_owned(),
            Ok(false) => "nothing to do".to_owned(),
            Err(error) => format!("refused: {error}"),
        }
    }

    fn service(&mut self, id: &str, rest: &[&str]) -> Option<String> {
        let mut rest = rest.to_vec();
        let mut take = |key: &str| {
            let place = rest.iter().position(|word| word.starts_with(key))?;
            rest.remove(place).strip_prefix(key).map(str::to_owned)
        };
        let (category, payee) = (take("category="), take("payee="));
        let category = category.map(|name| name.parse().unwrap());
        let (price, existing) = match rest.as_slice() {
            [] => (None, Existing::Keep),
            ["replace"] => (None, Existing::Replace),
            [price] => (Some(price.parse().unwrap()), Existing::Keep),
            [price, "replace"] => (Some(price.parse().unwrap()), Existing::Replace),
            other => panic!("service {other:?}"),
        };
        let payee = payee.unwrap_or_else(|| format!("The {id} company")).parse().unwrap();
        let (id, rail) = (id.parse().unwrap(), RailName::iou());
        let service = Service { id, payee, price, rail, category, endpoint: None };
        let act = operate::set_service(&self.bench.state, service, existing);
        let done = self.done(act);
        (done != "ok").then_some(done)
    }

    fn deal(&mut self, words: &[&str]) -> String {
        let state = &self.bench.state;
        match words {
            ["pay", service] => self.pay(service, None, Fact::Paid),
            ["pay", service, amount] => self.pay(service, Some(amount), Fact::Paid),
            ["hold", service, amount] => self.pay(service, Some(amount), Fact::Held),
            ["send", payment] => self.settle(settle::send(state, self.payment(payment))),
            ["fail", payment] => self.settle(settle::fail(state, self.payment(payment), None)),
            ["doubt", payment] => self.settle(settle::doubt(state, self.payment(payment))),
            ["capture", payment, amount] => {
                let amount: Usd = amount.parse().unwrap();
                self.settle(settle::capture(state, self.payment(payment), amount, None))
            }
            ["overrun", payment, amount] => {
                let (amount, flag) = (amount.parse().unwrap(), Some(CaptureFlag::Overrun));
                self.settle(settle::capture(state, self.payment(payment), amount, flag))
            }
            ["void", payment] => {
                self.settle(settle::void(state, self.payment(payment), VoidCause::Recovery))
            }
            ["void-not-sent", payment] => {
                self.settle(settle::void(state, self.payment(payment), VoidCause::NotSent))
            }
            ["expire", payment] => self.settle(settle::expire(state, self.payment(payment))),
            ["refund", payment, amount] => {
                let hold = &self.bench.holds[&self.payment(payment)];
                let taken = (hold, hold.amount);
                let amount: Usd = amount.parse().unwrap();
                self.settle(settle::refund(state, &self.agent, taken, amount, None))
            }
            ["top-up", amount] => {
                let amount: Usd = amount.parse().unwrap();
                let act = operate::top_up(state, &self.agent, amount, None);
                self.done(act)
            }
            ["set"] => self.set_mandate(),
            ["freeze", reason] => {
                let act = operate::freeze(state, &self.agent, reason.parse().unwrap(), None);
                self.done(act)
            }
            ["unfreeze"] => {
                let act = operate::unfreeze(state, &self.agent, None);
                self.done(act)
            }
            ["repin", service, payee @ ..] => self.repin(service, payee),
            ["remove", service] => {
                let act = operate::remove_service(state, &service.parse().unwrap());
                self.done(act)
            }
            ["revoke", reason] => {
                let act = operate::revoke(state, &self.agent, reason.parse().unwrap(), None);
                self.done(act)
            }
            ["token", ends @ ..] => self.give(ends),
            ["token-revoke", token] => {
                let act = token::revoke(state, &token_id(token));
                self.done(act)
            }
            ["malformed", field] => self.malformed(field),
            ["quote" | "dry-run" | "warning", ..] => self.plan(words),
            ["reopen"] => self.reopen(),
            ["limit"] => self.limit(),
            ["jump", span] => self.jump(span),
            ["balance"] => self.balance(),
            ["last"] => self.last(),
            ["caps"] => self.caps(),
            other => self.look(other),
        }
    }

    /// What is asked of what happened, and what is done to tasks.
    fn look(&mut self, words: &[&str]) -> String {
        match words {
            ["explain", payment] => self.explain(payment),
            ["exposure"] => self.exposure(),
            ["model", service] => self.model(service),
            ["try", caps @ ..] => self.trial(caps),
            ["token-may"] => self.give_with(&[], BTreeSet::from([Power::OpenTasks])),
            ["open-and-finish", many, kind] => self.open_and_finish(many.parse().unwrap(), kind),
            ["open-task", kind, cap @ ..] => self.open_task(kind, own(cap)),
            ["finish", task, outcome] => self.finish(self.task_id(task), outcome.parse().unwrap()),
            ["resume", task, cap @ ..] => self.resume(self.task_id(task), own(cap)),
            ["tasks"] => self.tasks(),
            other => panic!("no such act: {other:?}"),
        }
    }

    /// Sets the mandate as it was changed since, and tells what that changes.
    fn set_mandate(&mut self) -> String {
        let book = self.bench.state.book(&self.agent).unwrap();
        let now = self.bench.engine_now();
        let mut told: Vec<String> =
            book.mandate.changes(&self.mandate).iter().map(ToString::to_string).collect();
        told.extend(change::remarks(book, &self.mandate, now));
        told.extend(self.bench.state.remarks_on_types(&self.agent, &self.mandate, now));
        let mandate = self.mandate.clone();
        let act = operate::set_mandate(&self.bench.state, &self.agent, mandate, now);
        let done = self.done(act);
        std::iter::once(done).chain(told).collect::<Vec<_>>().join("; ")
    }

    /// Gives the agent a token: the first is `T1`.
    fn give(&mut self, ends: &[&str]) -> String {
        self.give_with(ends, BTreeSet::new())
    }

    fn give_with(&mut self, ends: &[&str], may: BTreeSet<Power>) -> String {
        let expires_at = ends.first().map(|at| at.parse().unwrap());
        let (token, digest) = (TokenId::new(self.tokens + 1), Hash::default());
        let issued = Issued { token, digest, run: None, label: None, expires_at, may };
        let now = self.bench.engine_now();
        let opens = issued.may.contains(&Power::OpenTasks);
        let told = opens.then(|| self.bench.state.remarks_on_opener(&self.agent, now));
        let act = token::issue(&self.bench.state, Some(&self.agent), issued, now);
        self.tokens += u64::from(act.is_ok());
        let told = told.filter(|_| act.is_ok()).unwrap_or_default();
        std::iter::once(self.done(act)).chain(told).collect::<Vec<_>>().join("; ")
    }

    fn payment(&self, name: &str) -> PaymentId {
        let number: usize = name.strip_prefix('P').expect("a payment such as P1").parse().unwrap();
        self.payments[number - 1]
    }

    fn pay(
        &mut self,
        service: &str,
        amount: Option<&str>,
        fact: fn(pettycash::policy::entry::Hold) -> Fact,
    ) -> String {
        let amount = amount.map(|amount| amount.parse().unwrap());
        let mut payment = self.bench.payment(service, amount, None);
        payment.run = self.run.clone();
        payment.task = self.task;
        let now = self.bench.engine_now();
        if let Err(why) = self.bench.state.admit_payer(&self.agent, &self.came, now) {
            return self.named(&denied_words(&Refusal::only(why), now));
        }
        match self.bench.ask(&self.agent.clone(), &payment, fact) {
            Ok(hold) => {
                self.payments.push(hold.payment);
                let shadow: String = hold.shadow.iter().map(passed).collect();
                format!("P{} {}{shadow}", self.payments.len(), hold.amount)
            }
            Err(refusal) => self.named(&denied_words(&refusal, now)),
        }
    }

    fn reopen(&mut self) -> String {
        self.desk.take(&mut self.bench.state);
        self.bench.state = self.desk.state(self.bench.state.now());
        "ok".to_owned()
    }

    fn settle(&mut self, draft: Result<Draft, settle::SettleError>) -> String {
        match draft {
            Ok(draft) => {
                self.bench.write(vec![draft]);
                "ok".to_owned()
            }
            Err(error) => {
                let named =
                    self.payments.iter().enumerate().fold(error.to_string(), |text, (i, id)| {
                        text.replace(&id.to_string(), &format!("P{}", i + 1))
                    });
                format!("refused: {named}")
            }
        }
    }

    fn balance(&self) -> String {
        let book = self.bench.state.book(&self.agent).unwrap();
        let spender = self.bench.state.spender(&self.agent).unwrap();
        let now = self.bench.engine_now();
        let available = spender.in_task(self.task).available(self.run.as_ref(), now);
        let balance = book.balance().map_or("none".to_owned(), |balance| balance.to_string());
        format!("balance {balance}, held {}, available {available}", book.held)
    }

    /// What the last entry says.
    fn last(&self) -> String {
        let (entry, ..) = self.bench.entries.last().unwrap();
        let fact = serde_json::to_value(&entry.fact).unwrap();
        format!("{:?} {fact}", entry.by)
    }
}

/// That a payment passed a shadow cap.
fn passed(Passed { cap, used, held, count }: &Passed) -> String {
    match count {
        None => format!(", passed the shadow {cap}: {used} used, {held} held"),
        Some(Payments { used, held }) => {
            format!(", passed the shadow {cap}: {used} used, {held} held")
        }
    }
}

/// The story as it should read, with every right-hand side filled in.
fn told(text: &str) -> String {
    let mut story = Story::new();
    let mut told = String::new();
    for line in text.lines() {
        let act = line.split(" => ").next().unwrap_or_default().trim_end();
        if act.is_empty() || act.starts_with('#') {
            told.push_str(line);
        } else {
            let came = story.act(act);
            told.push_str(act);
            if let Some(came) = came {
                write!(told, " => {came}").unwrap();
            }
        }
        told.push('\n');
        if story.opened {
            assert_eq!(
                story.bench.state,
                story.bench.refold(),
                "the fold of the entries is not the state"
            );
        }
    }
    told
}

#[test]
fn every_scenario_reads_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE").is_some() && std::env::var_os("CI").is_none();
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "txt"));
    files.sort();
    let mut wrong = String::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let told = std::panic::catch_unwind(|| told(&text))
            .unwrap_or_else(|_| panic!("the story {name} broke off"));
        if told == text {
            continue;
        }
        if update {
            fs::write(file, told).unwrap();
            continue;
        }
        for (was, is) in text.lines().zip(told.lines()).filter(|(was, is)| was != is) {
            writeln!(wrong, "{name}\n  told: {was}\n  came: {is}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(files.len() >= 120, "{} stories", files.len());
}
