//! Words of the stories: what is read in them, and what they say.

use std::fmt::Write;

use jiff::Timestamp;
use pettycash::policy::{
    answer::PayAnswer,
    authorize::{Payment, authorize},
    denial::{Advice, Refusal},
    mandate::Bound,
    names::TokenId,
};

use super::Story;
use crate::support::planning;

pub(super) fn token_id(name: &str) -> TokenId {
    TokenId::new(name.strip_prefix('T').expect("a token such as T1").parse().unwrap())
}

pub(super) fn seconds(span: &str) -> i64 {
    let (number, unit) = span.split_at(span.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => panic!("no such unit: {other}"),
    };
    number.parse::<i64>().unwrap() * unit
}

/// Code, advice, what it says, and every further breach.
pub(super) fn denied_words(refusal: &Refusal, now: Timestamp) -> String {
    let answer = PayAnswer::denied(refusal, None, now);
    let advice = match refusal.advice() {
        Advice::FixRequest => "fix_request",
        Advice::Shrink => "shrink",
        Advice::Wait => "wait",
        Advice::AskOperator => "ask_operator",
        Advice::Stop => "stop",
    };
    let mut text = format!("{} ({advice}): {}", refusal.code().word(), refusal.message());
    for further in refusal.denials.iter().skip(1) {
        write!(text, " + {}", further.code().word()).unwrap();
    }
    if let Some(most) = answer.max_affordable_usd {
        write!(text, " at most {most}").unwrap();
    }
    if let Some(at) = answer.resets_at {
        write!(text, " until {at}").unwrap();
    }
    text
}

impl Story {
    /// What is said before anything is paid: nothing of it changes anything.
    pub(super) fn plan(&self, words: &[&str]) -> String {
        let Self { bench, agent, run, mandate, task, .. } = self;
        let now = bench.engine_now();
        let spender = bench.state.spender(agent).unwrap();
        let payment = |service: &str, amount| {
            let payment = bench.payment(service, amount, None);
            Payment { run: run.clone(), task: *task, ..payment }
        };
        match words {
            ["warning"] => {
                let warning = spender.in_task(*task).warning(None, run.as_ref(), now);
                warning.map_or("none".to_owned(), |warning| warning.to_string())
            }
            ["dry-run", service, amount @ ..] => {
                let amount = amount.first().map(|amount| amount.parse().unwrap());
                match authorize(&spender, &payment(service, amount), now) {
                    Ok(hold) => format!("allowed {}", hold.amount),
                    Err(refusal) => denied_words(&refusal, now),
                }
            }
            ["quote", service, asked @ ..] => {
                let asked = planning::Asked::read(asked, &mandate.zone, now);
                asked.told(&spender, &payment(service, asked.amount), now)
            }
            other => panic!("no such plan: {other:?}"),
        }
    }

    pub(super) fn caps(&self) -> String {
        let spender = self.bench.state.spender(&self.agent).unwrap();
        let now = self.bench.engine_now();
        let caps = spender.caps(self.run.as_ref(), now).into_iter().map(|bearing| {
            let (cap, room) = (bearing.cap, bearing.room);
            let cap = match bearing.group() {
                Some(group) => format!("{} {cap}", group.name),
                None => cap.to_string(),
            };
            let until = room.resets_at.map_or("never".to_owned(), |at: Timestamp| at.to_string());
            match bearing.cap.bound {
                Bound::Amount(_) => {
                    format!("{cap} used {} held {} until {until}", room.used, room.held)
                }
                Bound::Count(_) => {
                    format!("{cap} used {} held {} until {until}", room.paid, room.open)
                }
            }
        });
        caps.collect::<Vec<_>>().join("; ")
    }
}
