//! Which language model is used, drawn from a seed and compared.

use jiff::Timestamp;
use pettycash::policy::{
    downgrade::{OutputTokens, Percent},
    mandate::{Mandate, Service},
    names::{ModelName, RunId},
    rooms::Spender,
};

use super::ops::Dice;
use crate::reference::{Asked, Model, Models};

/// How many tasks of an agent are looked at.
const TASKS: usize = 3;

/// A part of a cap that some sum is now and then exactly, and a model; now and then half of both.
pub(super) fn models(dice: &mut Dice) -> Models {
    let said = dice.one_in(2);
    let mut half = || said != dice.one_in(400);
    let (at, to) = (half(), half());
    Models {
        most_output: dice.one_in(3).then(|| dice.between(1, 9)),
        cheaper_at: at.then(|| dice.pick(&[1, 20, 25, 50, 75, 80, 99])),
        cheaper: to.then(|| dice.byte(3)),
    }
}

/// What they are in a mandate.
pub(super) fn in_mandate(models: &Models, mandate: Mandate) -> Mandate {
    let most = models.most_output.map(|most| OutputTokens::try_from(most).unwrap());
    let at = models.cheaper_at.map(|at| Percent::try_from(at).unwrap());
    let to = models.cheaper.map(|to| format!("acme/model-{to}").parse().unwrap());
    Mandate { max_output_tokens: most, downgrade_at: at, downgrade_to: to, ..mandate }
}

/// The cheaper model that is used for `service` beside any task, and in each of the first tasks.
pub(super) fn seen(
    spender: &Spender<'_>,
    service: &Service,
    run: Option<&RunId>,
    now: Timestamp,
) -> Vec<Option<u8>> {
    let number = |to: &ModelName| to.as_str().strip_prefix("acme/model-").unwrap().parse().unwrap();
    let kept = spender.book.tasks.values().filter(|task| task.is_kept()).take(TASKS);
    let tasks = std::iter::once(None).chain(kept.map(|task| Some(task.id())));
    let used = tasks.map(|task| {
        let spender = spender.clone().in_task(task);
        spender.downgrades(service, run, now).map(number)
    });
    used.collect()
}

/// The same by the reference.
pub(super) fn by(model: &Model, agent: u8, service: u8, run: Option<u8>) -> Vec<Option<u8>> {
    let tasks = std::iter::once(None).chain(model.numbers_of_kept(agent).map(Some).take(TASKS));
    let used = tasks
        .map(|task| model.cheaper(agent, &Asked { service, amount: None, key: None, run, task }));
    used.collect()
}
