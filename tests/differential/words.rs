//! The reference's words in policy's, and the other way round.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pettycash::policy::{
    answer::{self, Outcome, PayAnswer},
    book::{Book, Standing},
    came::Came,
    cap::{Bound, Cap, Dimension},
    denial::Code,
    entry::Hold,
    explain::{Extent, Met, Rule, bearings},
    group::GroupRules,
    hours::ActiveHours,
    mandate::{Funding, LocalUse, Mandate, Service},
    money::Usd,
    names::{
        GroupId, Handle, IdempotencyKey, Payee, RailName, RunId, ServiceId, TaskType, TokenId,
    },
    operate::OperateError,
    pace::Rate,
    payee::FirstPayee,
    rooms::Spender,
    settle::SettleError,
    state::State,
    stop::Burst,
    task::{TaskState, TasksBy},
    terms::{AgentTerms, GroupTerms, PolicyTerms},
    tier::Tier,
    window::{Hours, Period},
};

use super::models;
use crate::reference::{self, Breach, Kind, On, Room, Terms, Warning, nearly_used_up};

pub(crate) fn handle(agent: u8) -> Handle {
    format!("agent-{agent}").parse().unwrap()
}

pub(crate) fn service_id(id: u8) -> ServiceId {
    format!("service-{id}").parse().unwrap()
}

pub(crate) fn key(key: u8) -> IdempotencyKey {
    format!("key-{key}").parse().unwrap()
}

pub(crate) fn run(run: u8) -> RunId {
    format!("run-{run}").parse().unwrap()
}

pub(crate) fn token(number: usize) -> TokenId {
    TokenId::new(number as u64)
}

pub(crate) fn came(came: reference::Came) -> Came {
    match came {
        reference::Came::Local => Came::Local,
        reference::Came::Token(number) => Came::By(token(number)),
        reference::Came::Operator => Came::Operator(None),
    }
}

pub(crate) fn usd(nanos: i128) -> Usd {
    Usd::try_from(i64::try_from(nanos).unwrap()).unwrap()
}

pub(crate) fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

pub(crate) fn service(id: u8, service: &reference::Service) -> Service {
    let reference::Service { price, payee, category } = *service;
    let category = category.map(|number| format!("kind-{number}").parse().unwrap());
    let (id, payee) = (service_id(id), self::payee(payee));
    Service { id, payee, price: price.map(usd), rail: RailName::iou(), category, endpoint: None }
}

pub(crate) fn payee(payee: u8) -> Payee {
    format!("Acme {payee}").parse().unwrap()
}

pub(crate) fn group(group: u8) -> GroupId {
    format!("group-{group}").parse().unwrap()
}

/// The document that says this of a group, and nothing else.
pub(crate) fn group_policy(name: u8, terms: &reference::GroupTerms) -> PolicyTerms {
    let rules = GroupRules {
        caps: terms.caps.iter().map(cap).collect(),
        parent: terms.parent.map(group),
        zone: terms.zone.parse().unwrap(),
    };
    let groups = [(group(name), GroupTerms::of(&rules))].into();
    PolicyTerms { groups, ..PolicyTerms::default() }
}

pub(crate) fn task_type(kind: u8) -> TaskType {
    format!("work-{kind}").parse().unwrap()
}

fn number(text: &str, before: &str) -> u8 {
    text.strip_prefix(before).unwrap().parse().unwrap()
}

fn on(on: On) -> Dimension {
    match on {
        On::All => Dimension::Agent,
        On::Service(id) => Dimension::Service(service_id(id)),
        On::Category(number) => Dimension::Category(format!("kind-{number}").parse().unwrap()),
        On::Payee(name) => Dimension::Payee(payee(name)),
        On::Type(kind) => Dimension::TaskType(task_type(kind)),
    }
}

/// What the cap of a breach is on.
fn was_on(breach: &answer::Breach) -> Option<On> {
    let service = breach.service_id.as_ref().map(|id| On::Service(number(id.as_str(), "service-")));
    let category =
        breach.category.as_ref().map(|name| On::Category(number(name.as_str(), "kind-")));
    let payee = breach.payee.as_ref().map(|payee| On::Payee(number(payee.as_str(), "Acme ")));
    let kind = breach.task_type.as_ref().map(|kind| On::Type(number(kind.as_str(), "work-")));
    breach.period.map(|_| service.or(category).or(payee).or(kind).unwrap_or(On::All))
}

fn period(kind: Kind) -> Period {
    match kind {
        Kind::Hour => Period::Hour,
        Kind::Day => Period::Day,
        Kind::Week => Period::Week,
        Kind::Month => Period::Month,
        Kind::Lifetime => Period::Lifetime,
        Kind::Run => Period::Run,
        Kind::Task => Period::Task,
        Kind::Rolling(hours) => Period::Rolling(Hours::new(u16::try_from(hours).unwrap()).unwrap()),
    }
}

fn kind(period: Period) -> Kind {
    match period {
        Period::Hour => Kind::Hour,
        Period::Day => Kind::Day,
        Period::Week => Kind::Week,
        Period::Month => Kind::Month,
        Period::Lifetime => Kind::Lifetime,
        Period::Run => Kind::Run,
        Period::Task => Kind::Task,
        Period::Rolling(hours) => Kind::Rolling(hours.get()),
    }
}

fn rate(most: i64, long: i64) -> Rate {
    format!("{most}/{long}s").parse().unwrap()
}

fn cap(cap: &reference::Cap) -> Cap {
    let count = || Bound::Count(u32::try_from(cap.most).unwrap());
    let bound = if cap.counts { count() } else { Bound::Amount(usd(cap.most)) };
    Cap { period: period(cap.kind), bound, on: on(cap.on) }
}

pub(crate) fn mandate(terms: &Terms) -> Mandate {
    let blank = AgentTerms::default().mandate(&AgentTerms::default());
    Mandate {
        funding: if terms.prepaid { Funding::Prepaid } else { Funding::Allowance },
        per_call_limit: terms.limit.map(usd),
        caps: terms.caps.iter().map(cap).collect(),
        zone: terms.zone.parse().unwrap(),
        allow: terms.allow.iter().map(|id| service_id(*id)).collect(),
        deny: terms.deny.iter().map(|id| service_id(*id)).collect(),
        expires_at: terms.expires.map(second),
        local: if terms.local { LocalUse::Allowed } else { LocalUse::Barred },
        rates: terms.rates.iter().map(|(most, long)| rate(*most, *long)).collect(),
        burst: terms.burst.map(|(most, long, done)| Burst {
            rate: rate(most, long),
            action: done.word().parse().unwrap(),
        }),
        denials: terms
            .denials
            .map(|(count, done)| format!("{count}:{}", done.word()).parse().unwrap()),
        hours: hours(&terms.hours),
        days: (!terms.days.is_empty()).then(|| {
            let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let days = terms.days.iter().map(|day| week[usize::try_from(*day).unwrap()]);
            days.collect::<Vec<_>>().join(",").parse().unwrap()
        }),
        cooldown: terms.cooldown.map(|long| format!("{long}s").parse().unwrap()),
        group: terms.group.map(group),
        tasks: if terms.tasks { TasksBy::Agent } else { TasksBy::Operator },
        tiers: terms.tiers.iter().map(tier).collect(),
        shadow_caps: terms.shadow.iter().map(cap).collect(),
        first_payee: if terms.locked { FirstPayee::Locked } else { FirstPayee::Free },
        pinned: terms.pinned.iter().map(|(id, name)| (service_id(*id), payee(*name))).collect(),
        ..models::in_mandate(&terms.models, blank)
    }
}

fn hours(ranges: &[(i64, i64)]) -> Option<ActiveHours> {
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let ranges: Vec<String> =
        ranges.iter().map(|(from, to)| format!("{}-{}", clock(*from), clock(*to))).collect();
    (!ranges.is_empty()).then(|| ranges.join(",").parse().unwrap())
}

/// Everything about a book that is compared after each step, for a caller in `of`.
#[derive(Debug, PartialEq)]
pub(crate) struct View {
    standing: reference::Standing,
    balance: Option<i128>,
    held: i128,
    available: i128,
    rooms: Vec<Room>,
    warning: Option<Warning>,
    /// Of each task that is not finished: whether it failed, what is used, held and left.
    tasks: Vec<(bool, i128, i128, Option<i128>)>,
    first_paid: BTreeMap<u8, u8>,
    limit: Option<i128>,
    /// What an explanation of a payment made now would tell: used, held and left of every bound.
    bounds: Vec<[i128; 3]>,
    /// The cheaper model that such a payment would use.
    cheaper: Vec<Option<u8>>,
}

impl View {
    /// As `state` tells of an agent, if there is one, and of a payment for `service`.
    pub(crate) fn of(
        state: &State,
        agent: u8,
        service: Option<u8>,
        of: Option<u8>,
        now: Timestamp,
    ) -> Option<Self> {
        let of = of.map(run);
        let service = service.and_then(|id| state.service(&service_id(id)));
        state.spender(&handle(agent)).map(|from| Self::seen(&from, service, of.as_ref(), now))
    }

    fn seen(
        spender: &Spender<'_>,
        service: Option<&Service>,
        of: Option<&RunId>,
        now: Timestamp,
    ) -> Self {
        let book = spender.book;
        let nanos = |amount: Usd| i128::from(amount.nanos());
        let rooms = spender.caps(of, now).into_iter().map(|bearing| {
            let room = bearing.room;
            let resets = room.resets_at.map(Timestamp::as_second);
            let (used, held) = (nanos(room.used), nanos(room.held));
            let (paid, open) = (i128::from(room.paid), i128::from(room.open));
            Room { used, held, left: nanos(room.left), resets, paid, open }
        });
        let kept = book.tasks.values().filter(|task| task.is_kept());
        let tasks = kept.map(|task| {
            let room = book.task_room(task);
            let failed = matches!(task.state, TaskState::Failed { .. });
            (failed, nanos(room.used), nanos(room.held), room.left.map(nanos))
        });
        Self {
            standing: match &book.standing {
                Standing::Active => reference::Standing::Active,
                Standing::Frozen { .. } => reference::Standing::Frozen,
                Standing::Revoked { .. } => reference::Standing::Revoked,
            },
            balance: book.balance().map(nanos),
            held: nanos(book.held),
            available: nanos(spender.available(of, now)),
            rooms: rooms.collect(),
            warning: spender.warning(None, of, now).map(|warning| {
                let number = |bound: Bound| match bound {
                    Bound::Amount(amount) => (false, nanos(amount)),
                    Bound::Count(count) => (true, i128::from(count)),
                };
                let ((counts, most), (_, spent)) =
                    (number(warning.cap.bound), number(warning.spent));
                let group = warning.group.map(|group| self::number(group.as_str(), "group-"));
                (group, kind(warning.cap.period), counts, most, spent)
            }),
            tasks: tasks.collect(),
            first_paid: first_paid(book),
            limit: book.limit(now).map(nanos),
            cheaper: service.map_or_else(Vec::new, |one| models::seen(spender, one, of, now)),
            bounds: service.map_or_else(Vec::new, |service| {
                let all = bearings(spender, (service, Usd::ZERO), of, now);
                let other = |met: &&Met| matches!(met.rule, Rule::Pace(_) | Rule::Shadow(_));
                let all = all.iter().filter(|met| !other(met));
                all.map(|met| told(met.extent)).collect()
            }),
        }
    }

    /// The same by the reference, and which service it is of.
    pub(crate) fn by(model: &reference::Model, agent: u8, of: Option<u8>) -> (Self, Option<u8>) {
        let service = model.services.keys().next().copied();
        let book = &model.agents[&agent];
        let mut caps: Vec<_> = book.terms.caps.iter().map(|cap| (None, *cap)).collect();
        let mut rooms: Vec<Room> =
            caps.iter().map(|(_, cap)| model.room(agent, *cap, of)).collect();
        for (group, cap) in model.shared(agent) {
            caps.push((Some(group), cap));
            rooms.push(model.room_in(group, cap));
        }
        let view = Self {
            standing: book.standing,
            balance: model.balance(agent),
            held: model.held(agent),
            available: model.available(agent, of),
            warning: nearly_used_up(&caps, &rooms),
            first_paid: model.first_paid(agent),
            limit: model.limit(agent),
            cheaper: service.map_or_else(Vec::new, |one| models::by(model, agent, one, of)),
            rooms,
            tasks: model.kept(agent),
            bounds: service.map_or_else(Vec::new, |service| {
                let asked =
                    reference::Asked { service, amount: None, key: None, run: of, task: None };
                let bounds = model.bounds(agent, &asked);
                bounds.iter().map(|bound| model.told(agent, bound)).collect()
            }),
        };
        (view, service)
    }
}

/// Used, held and left under a rule, as an explanation tells them.
fn told(extent: Extent) -> [i128; 3] {
    match extent {
        Extent::Amount { used, held, left, .. } => {
            [used, held, left].map(|amount| i128::from(amount.nanos()))
        }
        Extent::Count { most, used, held } => {
            let left = if used + held < most { i64::MAX } else { 0 };
            [i128::from(used), i128::from(held), i128::from(left)]
        }
    }
}

fn first_paid(book: &Book) -> BTreeMap<u8, u8> {
    let first = book.first_payees.iter();
    let numbers = |(service, payee): (&ServiceId, &Payee)| {
        (number(service.as_str(), "service-"), number(payee.as_str(), "Acme "))
    };
    first.map(numbers).collect()
}

fn tier((after, days, limit): &(i64, i64, i128)) -> Tier {
    format!("{after}x/{days}d:{}", usd(*limit).decimal()).parse().unwrap()
}

/// The shadow caps that a payment passed: the most, what was used, and held.
pub(crate) fn passed(hold: &Hold) -> Vec<[i128; 3]> {
    let nanos = |amount: Usd| i128::from(amount.nanos());
    let told = hold.shadow.iter().map(|one| match (one.cap.bound, one.count) {
        (Bound::Amount(most), _) => [most, one.used, one.held].map(nanos),
        (Bound::Count(most), count) => {
            let count = count.unwrap();
            [most.into(), count.used.into(), count.held.into()]
        }
    });
    told.collect()
}

/// What a breach of a pace says: what is counted, how many in how many seconds, and how many
/// there were.
fn paced(breach: &answer::Breach) -> Breach {
    let kinds = ["payments", "equal_payments", "denials", "cooldown"];
    let of = kinds.iter().position(|kind| breach.of.as_deref() == Some(kind)).unwrap();
    let rate = breach.rate.map_or((0, 0), |rate| (rate.count, rate.span.seconds()));
    let numbers = [of as i128, rate.0.into(), rate.1.into(), breach.count.unwrap().into()];
    Breach {
        code: breach.code.word(),
        kind: None,
        on: None,
        counts: false,
        group: None,
        numbers: numbers.to_vec(),
    }
}

/// A no, as the model is told it.
#[derive(Debug, PartialEq)]
pub(crate) struct No {
    code: String,
    breaches: Vec<Breach>,
    advice: String,
    affordable: Option<i128>,
    resets: Option<i64>,
}

fn nanos(amount: Option<Usd>) -> Option<i128> {
    amount.map(|amount| i128::from(amount.nanos()))
}

impl No {
    /// What an answer says, if it is a denial.
    pub(crate) fn of(answer: &PayAnswer) -> Option<Self> {
        if answer.refused.outcome != Some(Outcome::Denied) {
            return None;
        }
        let breaches = answer.breached.iter().map(|breach| {
            if breach.code == Code::RateLimited {
                return paced(breach);
            }
            let numbers = match breach.code {
                Code::PriceAboveMaximum => [breach.asked_usd, breach.limit_usd, None, None],
                Code::PerCallLimitExceeded => [breach.limit_usd, breach.asked_usd, None, None],
                Code::InsufficientBalance => [breach.funds_usd, breach.asked_usd, None, None],
                _ => [breach.cap_usd, breach.used_usd, breach.held_usd, breach.asked_usd],
            };
            let most = breach.cap_count.map(i128::from);
            let counts = [breach.used_count, breach.held_count].map(|n| n.map(i128::from));
            let counts = [most].into_iter().chain(counts);
            let numbers = counts.chain(numbers.map(nanos)).flatten().collect();
            let (kind, on) = (breach.period.map(kind), was_on(breach));
            let group = breach.scope.as_deref().filter(|scope| *scope != "agent");
            let (group, counts) = (group.map(|name| number(name, "group-")), most.is_some());
            Breach { code: breach.code.word(), kind, on, counts, group, numbers }
        });
        let word = |advice| serde_json::to_value(advice).unwrap().as_str().unwrap().to_owned();
        Some(Self {
            code: answer.refused.code?.word().to_owned(),
            breaches: breaches.collect(),
            advice: word(answer.refused.advice?),
            affordable: nanos(answer.max_affordable_usd),
            resets: answer.resets_at.map(Timestamp::as_second),
        })
    }

    /// What the reference says, in the manner of an answer: a reason without numbers is listed
    /// only beside others, and that it is a loop is the code alone.
    pub(crate) fn by(
        mut breaches: Vec<Breach>,
        advice: &str,
        affordable: Option<i128>,
        resets: Option<i64>,
    ) -> Self {
        let code = breaches[0].code.to_owned();
        let alone = breaches.len() == 1;
        breaches.retain(|breach| {
            breach.code != "loop_detected" && (!alone || !breach.numbers.is_empty())
        });
        Self { code, breaches, advice: advice.to_owned(), affordable, resets }
    }
}

pub(crate) fn operate_word(error: &OperateError) -> &'static str {
    match error {
        OperateError::UnknownAgent(_) => "unknown",
        OperateError::HandleTaken(_) | OperateError::ServiceTaken(_) => "taken",
        OperateError::Mandate(_) => "mandate",
        OperateError::Revoked(_) => "revoked",
        OperateError::NoBalance(_) => "no_balance",
        OperateError::Zero => "zero",
        OperateError::Endpoint(_) => "endpoint",
        OperateError::FundingFixed(_) => "funding",
        OperateError::UnknownService(_) => "unknown_service",
        OperateError::TooMuch => "too_much",
        OperateError::UnknownToken(_) => "no_token",
        OperateError::TokenOver => "token_over",
        OperateError::TooManyTokens(_) | OperateError::TokenNameTaken => "tokens",
        OperateError::PassphraseSetMeanwhile => "passphrase",
        OperateError::UnknownGroup(_) => "unknown_group",
        OperateError::GroupInUse { .. } => "group_in_use",
        OperateError::UnknownTask(_) => "task_unknown",
        OperateError::TooManyTasks(_) => "tasks",
        OperateError::FailedTask(_) => "task_failed",
        OperateError::NothingLeft { .. } => "nothing_left",
        OperateError::OpensTooOften { .. } => "opens",
        OperateError::PricesSetMeanwhile | OperateError::TooManyPrices => "prices",
        OperateError::FirstPayeeFree(_) => "first_payee_free",
    }
}

pub(crate) fn settle_word(error: SettleError) -> &'static str {
    match error {
        SettleError::NotOpen(_) => "not_open",
        SettleError::MoreThanHeld { .. } => "more_than_held",
        SettleError::Sent(_) => "sent",
        SettleError::NotSent(_) => "not_sent",
        SettleError::Zero => "zero",
        SettleError::MoreThanCaptured { .. } => "more_than_captured",
        SettleError::NotInDoubt(_) => "not_in_doubt",
    }
}
