//! Payees: whom an agent may pay for a service, whoever the catalogue says gets the money by now.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    change::Change,
    entry::{Fact, Hold},
    mandate::{Mandate, Service, bounded},
    names::{Handle, Payee, ServiceId},
    operate::{Act, OperateError, book, operator},
    planted::{self, Bug},
    state::State,
    terms::once::once,
};

/// The most services of which a mandate names the payee.
pub const MAX_PINNED: usize = 64;

/// What holds an agent to one payee of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// Its mandate names it.
    Mandate,
    /// It was paid first, and the mandate has that stay so.
    FirstPayment,
}

/// Whether the first payee that a service is paid to is the only one from then on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FirstPayee {
    /// A service may pay whoever the catalogue has.
    #[default]
    Free,
    /// It may pay only who was paid first, until an operator says otherwise.
    Locked,
}

impl FirstPayee {
    /// Whether no payee is kept.
    pub fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

impl fmt::Display for FirstPayee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_free() { "free" } else { "locked" })
    }
}

impl FromStr for FirstPayee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "free" => Ok(Self::Free),
            "locked" => Ok(Self::Locked),
            other => Err(format!("`{}` is neither `free` nor `locked`", bounded(other))),
        }
    }
}

/// What an operator said of whom a service is to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repinned {
    /// The service.
    pub service: ServiceId,
    /// Who may get the money from now on.
    pub payee: Payee,
}

/// Has a service of an agent, whose first payees stay, pay `payee` from now on.
///
/// # Errors
/// If there is no such agent or service, the agent is revoked, or its first payees are free.
pub fn repin(
    state: &State,
    agent: &Handle,
    service: &ServiceId,
    payee: &Payee,
) -> Result<Act, OperateError> {
    let book = book(state, agent)?;
    if book.is_revoked() {
        return Err(OperateError::Revoked(agent.clone()));
    }
    if book.mandate.first_payee.is_free() {
        return Err(OperateError::FirstPayeeFree(agent.clone()));
    }
    let first = book.first_payees.get(service);
    if first.is_none() && state.service(service).is_none() {
        return Err(OperateError::UnknownService(service.clone()));
    }
    if first == Some(payee) {
        return Ok(Act::Nothing);
    }
    let (service, payee) = (service.clone(), payee.clone());
    let fact = Fact::Repinned(Repinned { service, payee });
    Ok(Act::Write(vec![operator(Some(agent), fact)]))
}

/// The payee that an agent is held to where the catalogue has another, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherPayee {
    /// Who may get the money.
    pub expected: Payee,
    /// Who would.
    pub found: Payee,
    /// What says so.
    pub held_by: HeldBy,
}

impl fmt::Display for OtherPayee {
    /// One line for the operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found, held_by } = self;
        match held_by {
            HeldBy::Mandate => write!(f, "it would be {found}, and {expected} is pinned"),
            HeldBy::FirstPayment => {
                write!(f, "it would be {found}, and {expected} was paid first")
            }
        }
    }
}

impl Mandate {
    /// The payee that this names for `service`.
    pub fn pinned_to(&self, service: &ServiceId) -> Option<&Payee> {
        self.pinned.get(service)
    }

    /// What differs in whom may be paid.
    pub(super) fn changes_of_payees(&self, to: &Self) -> Vec<Change> {
        let services = self.pinned.keys().chain(to.pinned.keys());
        let mut services: Vec<&ServiceId> = services.collect();
        services.sort_unstable();
        services.dedup();
        let text = |payee: Option<&Payee>| payee.map(ToString::to_string);
        let pins = services.into_iter().filter_map(|service| {
            let (from, to) = (self.pinned.get(service), to.pinned.get(service));
            let what = format!("payee of `{service}`");
            let loosens = from.is_some();
            (from != to).then(|| Change { what, from: text(from), to: text(to), loosens })
        });
        let words = (self.first_payee.to_string(), to.first_payee.to_string());
        let lock = Change::of_text("first payee", words.0, words.1, to.first_payee.is_free());
        pins.chain(lock).collect()
    }

    /// Whom may be paid, in words, a line for each service that has a payee.
    pub fn payees(&self) -> Vec<String> {
        let pin = |(service, payee): (&ServiceId, &Payee)| format!("{service} pays {payee}");
        let locked = (!self.first_payee.is_free()).then(|| "first payees stay".to_owned());
        self.pinned.iter().map(pin).chain(locked).collect()
    }
}

impl Book {
    /// The payee that the agent is held to, where `service` pays another: nothing is paid then
    /// until the operator says who is right. The decision and whoever explains it ask this.
    pub fn other_payee(&self, service: &Service) -> Option<OtherPayee> {
        let pinned = self.mandate.pinned_to(&service.id).map(|payee| (payee, HeldBy::Mandate));
        let first = self.first_paid(&service.id).map(|payee| (payee, HeldBy::FirstPayment));
        // A pin takes no proof, so it does not let go of who was paid first: both must hold.
        let first = first.filter(|_| pinned.is_none() || !planted::is(Bug::PinFreesFirstPayee));
        let pinned = pinned.filter(|_| !planted::is(Bug::PinIgnored));
        let mut held = pinned.into_iter().chain(first);
        let (expected, held_by) = held.find(|(expected, _)| **expected != service.payee)?;
        let (expected, found) = (expected.clone(), service.payee.clone());
        Some(OtherPayee { expected, found, held_by })
    }

    /// Who was paid first for a service, where the mandate has that stay so.
    pub(super) fn first_paid(&self, service: &ServiceId) -> Option<&Payee> {
        let locked = self.mandate.first_payee == FirstPayee::Locked;
        self.first_payees.get(service).filter(|_| locked && !planted::is(Bug::FirstPayeeFree))
    }

    /// Folds in whom money was set aside for: the first of a service stays, whatever becomes of
    /// the money, until an operator says otherwise.
    pub(super) fn keep_payee(&mut self, hold: &Hold) {
        if self.mandate.first_payee == FirstPayee::Locked {
            let first = self.first_payees.entry(hold.service.clone());
            first.or_insert_with(|| hold.payee.clone());
        }
    }

    /// Folds in whom an operator said a service is to pay.
    pub(super) fn repin(&mut self, Repinned { service, payee }: &Repinned) {
        self.first_payees.insert(service.clone(), payee.clone());
    }
}

/// How a sentence for the model tells of it. Who would be paid is no word of ours.
pub(super) fn sentence(service: &ServiceId) -> String {
    format!(
        "`{service}` would pay somebody else than this agent may pay for it: the operator must \
         look at that."
    )
}

/// The payee that is pinned for a service: `search=Acme Search`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The service.
    pub service: ServiceId,
    /// Who may get the money.
    pub payee: Payee,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a pin is SERVICE=PAYEE such as `search=Acme Search`".to_owned();
        let (service, payee) = text.split_once('=').ok_or_else(wrong)?;
        let service = service.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { service, payee: payee.parse().map_err(|error| format!("{error}"))? })
    }
}

/// Payees by service, as a document has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pins(#[serde(deserialize_with = "once")] pub BTreeMap<ServiceId, Payee>);

impl JsonSchema for Pins {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Pins".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 120},
            "maxProperties": MAX_PINNED,
            "description": "payees by service, such as { search = \"Acme Search\" }"
        })
    }
}
