//! Quotes of policy, held against what the reference comes to by paying.

use jiff::Timestamp;
use pettycash::policy::{
    authorize::{Payment, Wanted},
    names::PaymentId,
    quote::quote,
};

use super::{
    decide::same,
    ops::{Dice, Op, ask},
    run::Pair,
    words::{self, handle, second, usd},
};
use crate::reference::{Asked, Quoted};

impl Pair {
    /// Asks both how many such payments fit.
    pub(super) fn quote(&mut self, op: &Op) -> Result<(), String> {
        let Op::Quote { agent, service, amount, run, calls, lasts, task } = *op else {
            return Ok(());
        };
        let task = self.task(agent, task);
        let amount = self.amount(agent, run, task, amount);
        let price = self.model.services.get(&service).map(|service| service.price);
        if !self.model.agents.contains_key(&agent) || amount.is_none() && price == Some(None) {
            return Ok(());
        }
        let asked = Asked { service, amount, key: None, run, task };
        // The reference counts in whole seconds: of what has room again within one it says how many
        // fit now, and not until when.
        let terms = &self.model.agents[&agent].terms;
        let paced = !terms.rates.is_empty() || terms.burst.is_some() || terms.cooldown.is_some();
        let paced = paced || self.model.agents[&agent].throttled.is_some();
        let by = if paced { self.model.now() } else { self.end(agent, lasts) };
        let expected = self.model.quote(agent, &asked, calls, by);
        let task = task.map(|task| self.tasks[task]);
        let came = self.subject.read(move |state, now| {
            let id = words::service_id(service);
            let wanted = match state.service(&id) {
                Some(known) => Wanted::Known(known.clone()),
                None => Wanted::Unknown { service: id, nearest: Vec::new() },
            };
            let (amount, run) = (amount.map(usd), run.map(words::run));
            let id = PaymentId::new(0, 0);
            let payment = Payment { id, wanted, amount, estimate: false, binding: None, run, task };
            let spender = state.spender(&handle(agent)).expect("an agent");
            let quote = quote(&spender, &payment, calls, Some(second(by)), now);
            let limit = quote.limit.map(|refusal| {
                let codes = refusal.denials.iter().map(|denial| denial.code().word()).collect();
                (codes, quote.frees_at.map(Timestamp::as_second))
            });
            Quoted { fits: quote.fits, limit, fits_by: quote.later.expect("later").fits }
        });
        self.count("op quote");
        same(&format!("{op:?}"), &expected, &came)
    }

    /// So long from now, or to the very moment at which a cap gives room, if one does by then.
    fn end(&self, agent: u8, lasts: i64) -> i64 {
        let by = self.model.now() + lasts;
        let caps = &self.model.agents[&agent].terms.caps;
        let resets = caps.iter().filter_map(|cap| self.model.room(agent, *cap, None).resets);
        resets.filter(|at| *at <= by && *at > self.model.now()).max().unwrap_or(by)
    }
}

pub(super) fn draw(dice: &mut Dice, agent: u8) -> Op {
    let Op::Ask { service, amount, run, task, .. } = ask(dice, agent) else { unreachable!() };
    // Few, or so many that what there is ends before them.
    let calls = 1 + if dice.one_in(2) { dice.byte(12) } else { dice.byte(90) };
    let calls = u32::from(calls);
    // Often to the very second at which a window ends, in a zone of whole hours.
    let lasts = dice.pick(&[1, 600, 3_600, 7_200, 20_000, 86_400, 400_000]);
    Op::Quote { agent, service, amount, run, calls, lasts, task }
}
