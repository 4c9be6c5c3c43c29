//! What a policy says of a service.

mod test;

pub use test::{ServiceTest, TestAsked};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, EndpointTerms};
use crate::policy::{
    answer::ServiceName,
    mandate::Service,
    money::{Usd, decimal},
    names::{Category, Payee, RailName, ServiceId},
};

/// What a document says of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceTerms {
    /// Who gets the money.
    pub payee: Payee,
    /// The price of one call; what the caller asks unless said. Calls of an API have to have one,
    /// here or each of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Amount")]
    pub price: Option<Amount>,
    /// How the money reaches the payee; as a debt that is written down unless said.
    #[serde(default = "RailName::iou", skip_serializing_if = "RailName::is_iou")]
    pub rail: RailName,
    /// What kind of service it is, for caps on such; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Category")]
    pub category: Option<Category>,
    /// The API that is called, where the rail is `proxy`.
    #[serde(flatten)]
    pub endpoint: EndpointTerms,
}

impl ServiceTerms {
    /// What a catalogue entry is.
    pub fn of(service: &Service) -> Self {
        let (payee, rail) = (service.payee.clone(), service.rail.clone());
        let (price, category) = (service.price.map(Amount), service.category.clone());
        Self { payee, price, rail, category, endpoint: endpoint_of(service) }
    }

    /// The catalogue entry.
    pub fn service(&self, id: &ServiceId) -> Service {
        let (id, payee, rail) = (id.clone(), self.payee.clone(), self.rail.clone());
        let (price, category) = (self.price.map(|Amount(price)| price), self.category.clone());
        Service { id, payee, price, rail, category, endpoint: boxed(&self.endpoint) }
    }

    /// Whether `to` differs from it in what a call costs, and in nothing else.
    pub(super) fn is_priced_otherwise(&self, to: &Self) -> bool {
        let endpoint = to.endpoint.clone();
        let priced = Self { price: to.price, endpoint, ..self.clone() };
        priced == *to && self.endpoint.is_priced_otherwise(&to.endpoint)
    }
}

fn endpoint_of(service: &Service) -> EndpointTerms {
    service.endpoint.as_deref().map(EndpointTerms::of).unwrap_or_default()
}

fn boxed(terms: &EndpointTerms) -> Option<Box<crate::policy::endpoint::Endpoint>> {
    terms.endpoint().map(Box::new)
}

/// The body that adds a service to the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its name.
    pub id: ServiceId,
    /// Who gets the money.
    pub payee: Payee,
    /// The price of one call; without one, what the caller asks is the price.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub price_usd: Option<Usd>,
    /// How the money reaches the payee.
    #[serde(default = "RailName::iou", skip_serializing_if = "RailName::is_iou")]
    pub rail: RailName,
    /// Whether it takes the place of one that is there with another payee or price.
    #[serde(default)]
    pub replace: bool,
    /// What kind of service it is, for caps on such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// The API that is called, where the rail is `proxy`.
    #[serde(flatten)]
    pub endpoint: EndpointTerms,
}

impl NewService {
    /// The catalogue entry these terms ask for.
    pub fn service(&self) -> Service {
        let (id, payee, rail) = (self.id.clone(), self.payee.clone(), self.rail.clone());
        let (price, category) = (self.price_usd, self.category.clone());
        Service { id, payee, price, rail, category, endpoint: boxed(&self.endpoint) }
    }
}

/// One service of the catalogue, as an operator reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceEntry {
    /// Its name.
    pub service_id: ServiceName,
    /// Who gets the money.
    pub payee: String,
    /// The price of one call; without one, what the caller asks is the price.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub price_usd: Option<Usd>,
    /// What kind of service it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Category")]
    pub category: Option<Category>,
    /// How the money reaches the payee; as a debt that is written down unless said.
    #[serde(default = "RailName::iou", skip_serializing_if = "RailName::is_iou")]
    pub rail: RailName,
    /// The API that is called, where the rail is `proxy`.
    #[serde(flatten)]
    pub endpoint: EndpointTerms,
}

impl From<&Service> for ServiceEntry {
    fn from(service: &Service) -> Self {
        Self {
            service_id: ServiceName(service.id.clone()),
            payee: service.payee.to_string(),
            price_usd: service.price,
            category: service.category.clone(),
            rail: service.rail.clone(),
            endpoint: endpoint_of(service),
        }
    }
}

impl ServiceEntry {
    /// The catalogue entry that it is of.
    pub fn service(&self) -> Option<Service> {
        let (id, payee) = (self.service_id.0.clone(), self.payee.parse().ok()?);
        let (price, rail, category) = (self.price_usd, self.rail.clone(), self.category.clone());
        Some(Service { id, payee, price, rail, category, endpoint: boxed(&self.endpoint) })
    }
}

/// The catalogue, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// The services.
    pub services: Vec<ServiceEntry>,
}
