//! A workbench for policy: the state, a hand-set time, and every fact folded in as the store would.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pettycash::policy::{
    authorize::{Payment, Wanted, authorize},
    denial::{Denied, Refusal},
    entry::{Binding, By, Chain, Draft, Entry, Fact, Hash, Hold},
    mandate::Mandate,
    money::Usd,
    names::{Handle, PaymentId},
    operate::{self, Act, OperateError},
    row::{Repeat, Told, tell},
    state::State,
    stop,
};

/// Books, a catalogue and a clock, without a store or a runtime.
pub(crate) struct Bench {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) entries: Vec<(Entry, u64, Hash)>,
    pub(crate) holds: BTreeMap<PaymentId, Hold>,
    /// Whose denials are counted and not written down yet.
    pub(crate) counting: BTreeSet<Handle>,
}

impl Bench {
    pub(crate) fn at(now: &str) -> Self {
        Self {
            state: State::default(),
            now: now.parse().unwrap(),
            entries: Vec::new(),
            holds: BTreeMap::new(),
            counting: BTreeSet::new(),
        }
    }

    /// The time that decisions take for now: it never goes back.
    pub(crate) fn engine_now(&self) -> Timestamp {
        self.now.max(self.state.now())
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn next_id(&self) -> PaymentId {
        PaymentId::new(self.entries.len() as u64 + 1, 0)
    }

    pub(crate) fn write(&mut self, drafts: Vec<Draft>) {
        let at = self.engine_now();
        let agents: Vec<_> = drafts.iter().filter_map(|draft| draft.agent.clone()).collect();
        let mut all = Vec::new();
        for agent in agents {
            all.extend(self.state.take_repeats(Some(&agent)));
            self.counting.remove(&agent);
        }
        all.extend(drafts);
        for Draft { agent, by, fact } in all {
            let position = self.entries.len() as u64 + 1;
            if let Fact::Held(hold) | Fact::Paid(hold) = &fact {
                self.holds.insert(hold.payment, hold.clone());
            }
            let chain = agent.as_ref().map(|agent| {
                let link = self.state.link(agent);
                let n = link.map_or(1, |link| link.n + 1);
                let prev_hash = link.map_or(Hash::default(), |link| link.hash);
                Chain { n, prev: link.map(|link| link.position), prev_hash }
            });
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&position.to_be_bytes());
            let entry = Entry { at, agent, chain, by, fact };
            self.state.apply(&entry, position, Hash(hash));
            self.entries.push((entry, position, Hash(hash)));
        }
    }

    pub(crate) fn act(&mut self, act: Result<Act, OperateError>) -> Result<bool, OperateError> {
        match act? {
            Act::Nothing => Ok(false),
            Act::Write(drafts) => {
                self.write(drafts);
                Ok(true)
            }
        }
    }

    pub(crate) fn open(&mut self, agent: &Handle, mandate: Mandate) {
        let act = operate::open(&self.state, agent, mandate);
        self.act(act).unwrap();
    }

    pub(crate) fn payment(
        &self,
        service: &str,
        amount: Option<Usd>,
        binding: Option<Binding>,
    ) -> Payment {
        let service = service.parse().unwrap();
        let wanted = match self.state.service(&service) {
            Some(service) => Wanted::Known(service.clone()),
            None => Wanted::Unknown { service, nearest: Vec::new() },
        };
        Payment {
            id: self.next_id(),
            wanted,
            amount,
            estimate: false,
            binding,
            run: None,
            task: None,
        }
    }

    /// Decides, and writes down what was decided as `fact` makes it.
    pub(crate) fn ask(
        &mut self,
        agent: &Handle,
        payment: &Payment,
        fact: fn(Hold) -> Fact,
    ) -> Result<Hold, Refusal> {
        let spender = self.state.spender(agent).expect("an agent");
        let decided = authorize(&spender, payment, self.engine_now());
        match decided {
            Ok(hold) => {
                let flagged = stop::flag(spender.book, &hold, self.engine_now());
                let (by, fact) = (By::Agent, fact(hold.clone()));
                let paid = Draft { agent: Some(agent.clone()), by, fact };
                self.write(std::iter::once(paid).chain(flagged).collect());
                Ok(hold)
            }
            Err(refusal) => {
                let service = Some(payment.service().clone());
                let (asked, run) = (Some(payment.cost()), payment.run.clone());
                Err(self.deny(
                    agent,
                    Denied {
                        payment: payment.id,
                        service,
                        asked,
                        refusal,
                        run,
                        via: None,
                        call: None,
                        task: payment.task,
                    },
                ))
            }
        }
    }

    /// Refuses as the engine does, and writes down at once what it would count first.
    pub(crate) fn deny(&mut self, agent: &Handle, denied: Denied) -> Refusal {
        let book = self.state.book(agent).expect("an agent");
        match tell(&self.state, book, By::Agent, denied, self.engine_now()) {
            Told::Written(denied, drafts) => {
                self.write(drafts);
                denied.refusal
            }
            Told::Counted(denied, repeat) => {
                self.count(agent, repeat);
                self.write_counted();
                denied.refusal
            }
            Told::Again(denied) => denied.refusal,
        }
    }

    /// An agent with $5.00 a day.
    pub(crate) fn open_allowance(&mut self, agent: &Handle) {
        let mandate = serde_json::json!({"funding": "allowance", "zone": "UTC",
            "caps": [{"period": "day", "amount": 5_000_000_000_u64}]});
        self.open(agent, serde_json::from_value(mandate).unwrap());
    }

    /// Asks for what is refused, and only counts what may be counted.
    pub(crate) fn ask_unwritten(
        &mut self,
        agent: &Handle,
        payment: &Payment,
    ) -> Result<(), Refusal> {
        let spender = self.state.spender(agent).expect("an agent");
        let Err(refusal) = authorize(&spender, payment, self.engine_now()) else { return Ok(()) };
        let service = Some(payment.service().clone());
        let denied = Denied {
            payment: payment.id,
            service,
            asked: None,
            refusal,
            run: None,
            via: None,
            call: None,
            task: payment.task,
        };
        match tell(&self.state, spender.book, By::Agent, denied, self.engine_now()) {
            Told::Written(denied, drafts) => {
                self.write(drafts);
                Err(denied.refusal)
            }
            Told::Counted(denied, repeat) => {
                self.count(agent, repeat);
                Err(denied.refusal)
            }
            Told::Again(denied) => Err(denied.refusal),
        }
    }

    /// Counts one more denial, which is written down later.
    pub(crate) fn count(&mut self, agent: &Handle, repeat: Repeat) {
        self.state.repeat(agent, repeat);
        self.counting.insert(agent.clone());
    }

    /// Writes down what was only counted.
    pub(crate) fn write_counted(&mut self) {
        let drafts = self.state.take_repeats(None);
        self.counting.clear();
        self.write(drafts);
    }

    /// A state folded anew from every entry so far.
    pub(crate) fn refold(&self) -> State {
        let mut state = State::default();
        for (entry, position, hash) in &self.entries {
            state.apply(entry, *position, *hash);
        }
        state
    }
}
