//! Caps: bounds on what is paid, or how often, in each window of a period.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    mandate::{Service, bounded},
    money::{AmountError, Usd},
    names::{Category, GroupId, Payee, ServiceId, TaskType},
    tally::nanos,
    task::Task,
    window::Period,
};

/// The most that a cap on how many may say.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// Which payments a cap counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dimension {
    /// All of whoever's cap it is.
    Agent,
    /// Those for one service.
    Service(ServiceId),
    /// Those for the services of one category.
    Category(Category),
    /// Those that one payee gets.
    Payee(Payee),
    /// Those in tasks of one type.
    TaskType(TaskType),
}

/// What a payment is counted by, beside its time.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// What is paid for.
    pub service: &'a ServiceId,
    /// Who gets the money.
    pub payee: &'a Payee,
    /// What kind of service it was when the money was set aside.
    pub category: Option<&'a Category>,
    /// What kind of work the task is that it belongs to.
    pub task_type: Option<&'a TaskType>,
}

impl<'a> Aim<'a> {
    /// The same in a task.
    pub(super) fn within(self, task: Option<&'a Task>) -> Self {
        Self { task_type: task.map(|task| &task.opened.task_type), ..self }
    }
}

impl<'a> From<&'a Service> for Aim<'a> {
    fn from(service: &'a Service) -> Self {
        let Service { id, payee, category, .. } = service;
        Self { service: id, payee, category: category.as_ref(), task_type: None }
    }
}

/// What a cap may be on, each in a field of its own.
pub type Fields = (Option<ServiceId>, Option<Category>, Option<Payee>, Option<TaskType>);

impl Dimension {
    /// Whether a payment is among those that are counted.
    pub fn covers(&self, aim: &Aim<'_>) -> bool {
        match self {
            Self::Agent => true,
            Self::Service(service) => service == aim.service,
            Self::Category(category) => Some(category) == aim.category,
            Self::Payee(payee) => payee == aim.payee,
            Self::TaskType(task_type) => Some(task_type) == aim.task_type,
        }
    }

    /// The one that is meant of a service, a category, a payee and a type of task, as fields of
    /// their own.
    pub fn fields(&self) -> Fields {
        match self.clone() {
            Self::Agent => (None, None, None, None),
            Self::Service(service) => (Some(service), None, None, None),
            Self::Category(category) => (None, Some(category), None, None),
            Self::Payee(payee) => (None, None, Some(payee), None),
            Self::TaskType(task_type) => (None, None, None, Some(task_type)),
        }
    }

    /// The same read back.
    ///
    /// # Errors
    /// If more than one is given.
    pub fn of_fields(fields: Fields) -> Result<Self, &'static str> {
        match fields {
            (None, None, None, None) => Ok(Self::Agent),
            (Some(service), None, None, None) => Ok(Self::Service(service)),
            (None, Some(category), None, None) => Ok(Self::Category(category)),
            (None, None, Some(payee), None) => Ok(Self::Payee(payee)),
            (None, None, None, Some(task_type)) => Ok(Self::TaskType(task_type)),
            _ => Err("a cap is on one of service_id, category, payee and task_type at most"),
        }
    }

    /// Whether it is those in tasks of this type.
    pub(super) fn is_on_tasks_of(&self, task_type: &TaskType) -> bool {
        matches!(self, Self::TaskType(of) if of == task_type)
    }

    /// Whether it is all of them.
    pub fn is_all(&self) -> bool {
        *self == Self::Agent
    }

    /// What stands behind a cap, for operators: ` service=search`, or nothing.
    fn suffix(&self) -> String {
        if self.is_all() { String::new() } else { format!(" {self}") }
    }

    /// The same in a sentence.
    pub fn in_words(&self) -> String {
        match self {
            Self::Agent => String::new(),
            Self::Service(service) => format!(" on `{service}`"),
            Self::Category(category) => format!(" on the category `{category}`"),
            Self::Payee(payee) => format!(" on the payee `{payee}`"),
            Self::TaskType(task_type) => format!(" on tasks of the type `{task_type}`"),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Service(service) => write!(f, "service={service}"),
            Self::Category(category) => write!(f, "category={category}"),
            Self::Payee(payee) => write!(f, "payee={payee}"),
            Self::TaskType(task_type) => write!(f, "type={task_type}"),
        }
    }
}

impl FromStr for Dimension {
    type Err = String;

    /// Reads `service=ID`, `category=NAME`, `type=NAME` or `payee=TEXT`, the text to its end.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |error: super::names::NameError| error.to_string();
        match text.split_once('=') {
            Some(("service", id)) => id.parse().map(Self::Service).map_err(wrong),
            Some(("category", name)) => name.parse().map(Self::Category).map_err(wrong),
            Some(("type", name)) => name.parse().map(Self::TaskType).map_err(wrong),
            Some(("payee", payee)) => payee.parse().map(Self::Payee).map_err(wrong),
            Some(_) | None => {
                let shape =
                    "what a cap is on is service=ID, category=NAME, type=NAME or payee=TEXT";
                Err(format!("{shape}, not `{}`", bounded(text)))
            }
        }
    }
}

impl TryFrom<String> for Dimension {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "agent" { Ok(Self::Agent) } else { text.parse() }
    }
}

impl From<Dimension> for String {
    fn from(on: Dimension) -> Self {
        on.to_string()
    }
}

/// The most for one window; exactly that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Of what is used and held.
    Amount(Usd),
    /// Of how many payments are captured or held.
    Count(u32),
}

impl Bound {
    /// Whether it lets nothing through.
    pub fn is_zero(self) -> bool {
        match self {
            Self::Amount(amount) => amount.is_zero(),
            Self::Count(count) => count == 0,
        }
    }

    /// Its nano-dollars, or how many.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Amount(amount) => nanos(amount),
            Self::Count(count) => count.into(),
        }
    }

    /// What is counted.
    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Amount(_) => Unit::Amount,
            Self::Count(_) => Unit::Count,
        }
    }
}

impl fmt::Display for Bound {
    /// In a sentence: `$5.00`, `100 payments`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => amount.fmt(f),
            Self::Count(1) => f.write_str("1 payment"),
            Self::Count(count) => write!(f, "{count} payments"),
        }
    }
}

/// What a cap bounds: how much, or how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// How much.
    Amount,
    /// How often.
    Count,
}

/// A bound on the payments in each window of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct Cap {
    /// The kind of window it counts in.
    pub period: Period,
    /// The most for one window.
    pub bound: Bound,
    /// Which payments it counts.
    pub on: Dimension,
}

impl Cap {
    /// A cap on all that is spent.
    pub fn of(period: Period, amount: Usd) -> Self {
        Self { period, bound: Bound::Amount(amount), on: Dimension::Agent }
    }

    /// The most that may be spent, where it is about money.
    pub fn amount(&self) -> Option<Usd> {
        match self.bound {
            Bound::Amount(amount) => Some(amount),
            Bound::Count(_) => None,
        }
    }

    /// Whether a payment for `service` counts under it.
    pub fn covers(&self, service: &Service) -> bool {
        self.on.covers(&Aim::from(service))
    }

    /// Whether one payment of `asked` fits into an empty window.
    pub fn could_bear(&self, asked: Usd) -> bool {
        match self.bound {
            Bound::Amount(amount) => asked <= amount,
            Bound::Count(count) => count > 0,
        }
    }

    /// Whether all that counts under `other`, in windows of the same zone, counts under this too.
    pub(super) fn counts_all_of(&self, other: &Self) -> bool {
        let unit = self.bound.unit() == other.bound.unit();
        unit && self.period.spans(other.period) && (self.on == other.on || self.on.is_all())
    }

    /// Whether this is spent first, so that `other` never comes to bear.
    pub(super) fn comes_before(&self, other: &Self) -> bool {
        self.counts_all_of(other) && self.bound < other.bound
    }

    /// What tells it from another cap of the same mandate.
    pub fn key(&self) -> CapKey {
        CapKey { period: self.period, unit: self.bound.unit(), on: self.on.clone() }
    }

    /// How a sentence for the model names it: ``today's cap of $5.00 on `search` of the group
    /// `team` ``.
    pub(super) fn in_sentence(&self, group: Option<&GroupId>) -> String {
        let of = group.map(|group| format!(" of the group `{group}`")).unwrap_or_default();
        format!("{} cap of {}{}{of}", self.period.possessive(), self.bound, self.on.in_words())
    }

    /// For operators: `$5.00 per day`, `100 payments per day service=search`.
    pub fn in_words(&self) -> String {
        format!("{} {}{}", self.bound, self.period.during(), self.on.suffix())
    }
}

impl fmt::Display for Cap {
    /// The shorthand that [`Cap`] parses: `5.00/day`, `100x/day service=search`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::Amount(amount) => f.write_str(&amount.decimal())?,
            Bound::Count(count) => write!(f, "{count}x")?,
        }
        if let Period::Rolling(hours) = self.period {
            return write!(f, "/{}h{}", hours.get(), self.on.suffix());
        }
        write!(f, "/{}{}", self.period, self.on.suffix())
    }
}

impl FromStr for Cap {
    type Err = String;

    /// Reads `AMOUNT/PERIOD` or `COUNTx/PERIOD`, such as `5.00/day`, and after one space what it
    /// is on.
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("`{}` is not AMOUNT/PERIOD such as 5.00/day", bounded(text));
        let wrong = |cause: String| format!("{}: {cause}", shape());
        let (bounds, on) = split(text).map_err(wrong)?;
        let (most, period) = bounds.split_once('/').ok_or_else(shape)?;
        let period = period.parse().map_err(wrong)?;
        let bound = if let Some(count) = most.strip_suffix('x') {
            Bound::Count(read_count(count).map_err(wrong)?)
        } else {
            let amount = most.parse().map_err(|cause: AmountError| wrong(cause.to_string()));
            Bound::Amount(amount?)
        };
        Ok(Self { period, bound, on })
    }
}

/// What stands before the first space, and what the cap is on.
fn split(text: &str) -> Result<(&str, Dimension), String> {
    match text.split_once(' ') {
        Some((bounds, on)) => Ok((bounds, on.parse()?)),
        None => Ok((text, Dimension::Agent)),
    }
}

fn read_count(text: &str) -> Result<u32, String> {
    let plain = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let plain = plain && (text == "0" || !text.starts_with('0'));
    let count = text.parse().ok().filter(|count| plain && *count <= MAX_COUNT);
    count.ok_or_else(|| format!("a count is a whole number up to {MAX_COUNT}, such as 100x/day"))
}

/// What tells the caps of one mandate apart: there is at most one of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapKey {
    /// The kind of window.
    pub period: Period,
    /// Which payments.
    pub on: Dimension,
    /// How much, or how often.
    pub unit: Unit,
}

impl CapKey {
    /// How a sentence names it: `cap per day`, `cap on payments per day service=search`.
    pub fn named(&self) -> String {
        let what = if self.unit == Unit::Count { " on payments" } else { "" };
        format!("cap{what} {}{}", self.period.during(), self.on.suffix())
    }
}

impl fmt::Display for CapKey {
    /// The shorthand that [`CapKey`] parses: `day`, `x/day service=search`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.unit == Unit::Count { "x/" } else { "" };
        write!(f, "{unit}{}{}", self.period, self.on.suffix())
    }
}

impl FromStr for CapKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (period, on) = split(text)?;
        let (unit, period) = match period.strip_prefix("x/") {
            Some(period) => (Unit::Count, period),
            None => (Unit::Amount, period),
        };
        Ok(Self { period: period.parse()?, on, unit })
    }
}

impl TryFrom<String> for CapKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CapKey> for String {
    fn from(key: CapKey) -> Self {
        key.to_string()
    }
}

impl schemars::JsonSchema for CapKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CapKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "which cap: a period such as day or rolling_24h, x/day for the one on \
                            how many payments, each with what it is on: day service=search"
        })
    }
}

/// A cap as records keep it: one of `amount` and `count`, and at most one that it is on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    period: Period,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Usd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<Dimension>,
}

impl From<Cap> for Kept {
    fn from(Cap { period, bound, on }: Cap) -> Self {
        let (amount, count) = match bound {
            Bound::Amount(amount) => (Some(amount), None),
            Bound::Count(count) => (None, Some(count)),
        };
        Self { period, amount, count, on: (!on.is_all()).then_some(on) }
    }
}

impl TryFrom<Kept> for Cap {
    type Error = &'static str;

    fn try_from(Kept { period, amount, count, on }: Kept) -> Result<Self, Self::Error> {
        let bound = one_bound(amount, count)?;
        Ok(Self { period, bound, on: on.unwrap_or(Dimension::Agent) })
    }
}

/// The one bound that is given.
///
/// # Errors
/// If there is none, or both.
pub fn one_bound(amount: Option<Usd>, count: Option<u32>) -> Result<Bound, &'static str> {
    match (amount, count) {
        (Some(amount), None) => Ok(Bound::Amount(amount)),
        (None, Some(count)) => Ok(Bound::Count(count)),
        (Some(_), Some(_)) | (None, None) => Err("a cap is an amount or a count, one of the two"),
    }
}
