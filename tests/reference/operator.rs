//! The second opinion on settling, and on the operator's acts. An error is told in a word.

use std::collections::BTreeSet;

use pettycash::policy::entry::CaptureFlag;

use super::{
    Agent, CALENDAR, Cap, Fate, Kind, MOST, Model, On, Service, Standing, Terms, Token,
    tightening::loosens,
};

/// Whether something changed, or why it may not.
pub(crate) type Done = Result<bool, &'static str>;

/// How a payment is settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Settle {
    Send,
    Doubt,
    Fail,
    Expire,
    Void {
        not_sent: bool,
    },
    /// So much of it, and what is said of that.
    Capture(i128, Option<CaptureFlag>),
    Refund(i128),
}

impl Model {
    /// Something was written down.
    pub(super) fn done(&mut self) -> bool {
        self.latest = self.now();
        true
    }

    pub(crate) fn settle(&mut self, payment: usize, how: Settle) -> Done {
        let paid = &mut self.payments[payment];
        if let Settle::Refund(amount) = how {
            if amount == 0 {
                return Err("zero");
            }
            if amount > paid.taken - paid.back {
                return Err("more_than_captured");
            }
            paid.back += amount;
            let agent = paid.agent;
            self.other_than_refused(agent);
            return Ok(self.done());
        }
        let (held, sent) = (paid.fate == Fate::Held, paid.is_open() && paid.fate != Fate::Held);
        let fate = match how {
            _ if !held && !sent => return Err("not_open"),
            Settle::Send | Settle::Expire | Settle::Void { not_sent: false } if sent => {
                return Err("sent");
            }
            Settle::Doubt | Settle::Fail if held => return Err("not_sent"),
            Settle::Capture(
                amount,
                None | Some(CaptureFlag::OutcomeUnknown | CaptureFlag::AboveCeiling),
            ) if amount > paid.amount => {
                return Err("more_than_held");
            }
            Settle::Send => Fate::Sent,
            Settle::Doubt => Fate::Doubted,
            Settle::Fail => Fate::Failed,
            Settle::Expire => Fate::Expired,
            Settle::Void { .. } => Fate::Voided,
            Settle::Capture(amount, _) => {
                paid.taken = amount;
                Fate::Captured
            }
            Settle::Refund(_) => unreachable!("above"),
        };
        paid.fate = fate;
        let (agent, taken) = (paid.agent, paid.taken);
        match fate {
            Fate::Captured => self.captured(agent, taken),
            Fate::Doubted => self.incident(agent),
            _ => {}
        }
        Ok(self.done())
    }

    pub(crate) fn open(&mut self, agent: u8, terms: &Terms) -> Done {
        check(terms)?;
        self.known_group(terms)?;
        if self.agents.contains_key(&agent) {
            return Err("taken");
        }
        let (standing, since) = (Standing::Active, std::collections::BTreeMap::new());
        let book = Agent {
            terms: terms.clone(),
            standing,
            credited: 0,
            kept: None,
            since,
            row: Vec::new(),
            tripped: 0,
            throttled: None,
            throttles: 0,
            flagged: std::collections::BTreeSet::new(),
            paced: std::collections::BTreeMap::new(),
            burst_since: self.payments.len(),
            cooled: self.payments.len(),
            repinned: std::collections::BTreeMap::new(),
            captures: Vec::new(),
        };
        self.agents.insert(agent, book);
        self.count_anew(agent);
        self.pace_anew(agent, None);
        Ok(self.done())
    }

    fn known_group(&self, terms: &Terms) -> Result<(), &'static str> {
        let known = terms.group.is_none_or(|group| self.groups.contains_key(&group));
        known.then_some(()).ok_or("unknown_group")
    }

    pub(super) fn living(&self, agent: u8) -> Result<Standing, &'static str> {
        match self.agents.get(&agent).map(|book| book.standing) {
            None => Err("unknown"),
            Some(Standing::Revoked) => Err("revoked"),
            Some(standing) => Ok(standing),
        }
    }

    pub(crate) fn set_terms(&mut self, agent: u8, terms: &Terms) -> Done {
        self.known_group(terms)?;
        check(terms)?;
        self.living(agent)?;
        let old = &self.agents[&agent].terms;
        if old.prepaid != terms.prepaid {
            return Err("funding");
        }
        if old == terms {
            return Ok(false);
        }
        let kept = (old.zone != terms.zone).then(|| {
            CALENDAR.map(|kind| {
                let (start, end) = self.window(agent, kind);
                let (before, after) = self.calendar.window(terms.zone, kind, end);
                let nearest = if after - end < end - before { after } else { before };
                (start, if nearest > self.now() { nearest } else { end })
            })
        });
        let burst = old.burst.map(|(_, long, _)| long);
        let cooled = old.cooldown.is_some();
        let more = loosens(old, terms);
        let book = self.agents.get_mut(&agent).unwrap();
        book.kept = kept.or(book.kept);
        book.terms = terms.clone();
        if terms.tiers.is_empty() {
            book.captures.clear();
        }
        if !cooled {
            book.cooled = self.payments.len();
        }
        self.count_anew(agent);
        self.pace_anew(agent, burst);
        if more {
            self.other_than_refused(agent);
        }
        Ok(self.done())
    }

    pub(crate) fn top_up(&mut self, agent: u8, amount: i128) -> Done {
        self.living(agent)?;
        let book = self.agents.get_mut(&agent).unwrap();
        if !book.terms.prepaid {
            return Err("no_balance");
        }
        if amount == 0 {
            return Err("zero");
        }
        if book.credited + amount > MOST {
            return Err("too_much");
        }
        book.credited += amount;
        self.other_than_refused(agent);
        Ok(self.done())
    }

    pub(crate) fn freeze(&mut self, agent: u8) -> Done {
        self.stand(agent, Standing::Frozen)
    }

    pub(crate) fn unfreeze(&mut self, agent: u8) -> Done {
        self.stand(agent, Standing::Active)
    }

    fn stand(&mut self, agent: u8, standing: Standing) -> Done {
        if self.living(agent)? == standing {
            return Ok(false);
        }
        let payments = self.payments.len();
        let book = self.agents.get_mut(&agent).unwrap();
        book.standing = standing;
        if standing == Standing::Frozen {
            book.captures.clear();
        }
        if standing == Standing::Active {
            book.burst_since = payments;
            book.flagged.clear();
        }
        self.other_than_refused(agent);
        Ok(self.done())
    }

    /// Freezes every active agent, or lets every frozen one pay again.
    pub(crate) fn stand_all(&mut self, standing: Standing) -> bool {
        let mut changed = false;
        for agent in self.agents.keys().copied().collect::<Vec<_>>() {
            changed |= self.stand(agent, standing).unwrap_or(false);
        }
        changed
    }

    /// For ever: what it holds and has not sent is released.
    pub(crate) fn revoke(&mut self, agent: u8) -> Done {
        match self.living(agent) {
            Err("revoked") => return Ok(false),
            standing => standing?,
        };
        self.agents.get_mut(&agent).unwrap().standing = Standing::Revoked;
        self.tokens.iter_mut().filter(|token| token.agent == agent).for_each(|t| t.gone = true);
        self.other_than_refused(agent);
        self.void_unsent(Some(agent));
        Ok(self.done())
    }

    /// Gives an agent a token; those of its own that have ended are forgotten.
    pub(crate) fn give(&mut self, agent: u8, ends: Option<i64>, may: bool) -> Done {
        self.living(agent)?;
        let now = self.now();
        let over = |ends: Option<i64>| ends.is_some_and(|end| end <= now);
        if over(ends) {
            return Err("token_over");
        }
        for token in self.tokens.iter_mut().filter(|token| token.agent == agent) {
            token.gone |= over(token.ends);
        }
        self.tokens.push(Token { agent, ends, gone: false, may });
        Ok(self.done())
    }

    /// Has a token let nobody in any more.
    pub(crate) fn take(&mut self, token: usize) -> Done {
        let token = &mut self.tokens[token];
        if token.gone {
            return Err("no_token");
        }
        token.gone = true;
        Ok(self.done())
    }

    /// After a stop: what was not sent is released, what was sent is in doubt.
    pub(crate) fn recover(&mut self) {
        self.void_unsent(None);
        let now = self.now();
        let mut doubted = Vec::new();
        for payment in self.payments.iter_mut().filter(|payment| payment.fate == Fate::Sent) {
            payment.fate = Fate::Doubted;
            self.latest = now;
            doubted.push(payment.agent);
        }
        for agent in doubted {
            self.incident(agent);
        }
    }

    fn void_unsent(&mut self, agent: Option<u8>) {
        let now = self.now();
        let unsent = self.payments.iter_mut().filter(|payment| payment.fate == Fate::Held);
        for payment in unsent.filter(|payment| agent.is_none_or(|agent| payment.agent == agent)) {
            payment.fate = Fate::Voided;
            self.latest = now;
        }
    }

    pub(crate) fn set_service(&mut self, id: u8, service: Service, replace: bool) -> Done {
        if service.price == Some(0) {
            return Err("zero");
        }
        match self.services.get(&id) {
            Some(present) if *present == service => return Ok(false),
            Some(_) if !replace => return Err("taken"),
            Some(_) | None => self.services.insert(id, service),
        };
        Ok(self.done())
    }

    pub(crate) fn remove_service(&mut self, id: u8) -> Done {
        self.services.remove(&id).ok_or("unknown_service")?;
        Ok(self.done())
    }
}

/// What no mandate may be.
fn check(terms: &Terms) -> Result<(), &'static str> {
    let caps = || terms.caps.iter();
    let twice =
        caps().enumerate().any(|(n, cap)| caps().skip(n + 1).any(|other| other.key() == cap.key()));
    let each = |kind: Kind| matches!(kind, Kind::Run | Kind::Task);
    let bounds = |cap: &Cap| !each(cap.kind) && cap.on == On::All && !cap.counts;
    let bounded = terms.prepaid || caps().any(bounds);
    let counted = || caps().chain(&terms.shadow);
    let rolling = counted().filter(|cap| matches!(cap.kind, Kind::Rolling(_)));
    let rolling: BTreeSet<(Kind, On)> = rolling.map(|cap| (cap.kind, cap.on)).collect();
    let zero = terms.limit == Some(0) || counted().any(|cap| cap.most == 0);
    let spans = || terms.rates.iter().map(|(_, long)| *long);
    let twice =
        twice || spans().enumerate().any(|(n, long)| spans().skip(n + 1).any(|l| l == long));
    let whole = |on: On| matches!(on, On::All | On::Type(_));
    let mut shadows: Vec<_> = terms.shadow.iter().map(|cap| cap.key()).collect();
    shadows.sort_unstable();
    let twice = twice || shadows.windows(2).any(|pair| pair[0] == pair[1]);
    let part = counted().any(|cap| cap.kind == Kind::Task && !whole(cap.on));
    let base = terms.limit.map(|limit| (0, 0, limit));
    let mut before = base;
    let rises = terms.tiers.iter().all(|tier| {
        let rises = before.is_some_and(|b| tier.0 > b.0 && tier.1 >= b.1 && tier.2 > b.2);
        before = Some(*tier);
        rises
    });
    let halves = terms.models.cheaper.is_some() != terms.models.cheaper_at.is_some();
    let sound = !halves && rolling.len() <= 2 && !zero && !twice && !part && rises;
    if bounded && sound { Ok(()) } else { Err("mandate") }
}
