//! What the types of an endpoint cannot say is wrong with it.

use super::{
    Endpoint, HeaderName, MAX_OPERATIONS, MAX_RESPONSE, MAX_TIMEOUT, Method, Operation,
    OperationName, Pricing,
};
use crate::policy::{mandate::Service, money::Usd, names::RailName};

/// The most headers, or parameters of a query, that are set.
const MAX_SET: usize = 32;
/// The most headers that an agent may set.
const MAX_ALLOWED: usize = 64;
/// The fewest bytes of an answer that make sense to read.
const MIN_RESPONSE: u32 = 1_024;
/// The longest name of a parameter of a query, in bytes.
const MAX_PARAMETER: usize = 64;

/// Why an endpoint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A rail that calls an API, and none that is said.
    #[error("`rail = \"proxy\"` calls an API: say in `base_url` where it is")]
    Missing,
    /// An API that nothing calls.
    #[error("an API is called by `rail = \"proxy\"` alone: this service has another rail")]
    Unused,
    /// Nothing can be called, or more than anybody reads.
    #[error("an endpoint has 1 to 64 operations")]
    Operations,
    /// Two of one name.
    #[error("the operation `{0}` is given twice")]
    OperationTwice(OperationName),
    /// Two that no call can tell apart.
    #[error("the operations `{0}` and `{1}` have the same method and path")]
    PathTwice(OperationName, OperationName),
    /// What has no body has nothing to meter.
    #[error("the operation `{0}` is metered, so its method is POST")]
    MeteredMethod(OperationName),
    /// Whoever calls would name the price of what is paid for with the operator's key.
    #[error(
        "the operation `{0}` has no price: write `price`, `metered` or `price_from` there, or \
         `price` of the service"
    )]
    Unpriced(OperationName),
    /// A secret that is used nowhere, and so would look as if it were.
    #[error("`secret` is put nowhere: write {{secret}} into `headers`, such as x-api-key")]
    SecretUnused,
    /// A secret that this build does not read.
    #[error("this build of pettycash reads no keyring")]
    NoKeyring,
    /// A place for a secret without one.
    #[error("`{0}` takes {{secret}}, and there is none: say in `secret` where it is found")]
    SecretMissing(String),
    /// A header that only the rail sets.
    #[error("`{0}` is set by pettycash itself, or says where a call leads: leave it out")]
    OurHeader(HeaderName),
    /// A credential written down.
    #[error("`{0}` says who calls, so it takes {{secret}}, such as \"Bearer {{secret}}\"")]
    PlainCredential(HeaderName),
    /// An agent that may say who it is.
    #[error("`{0}` says who calls: no agent may set it")]
    CredentialAllowed(HeaderName),
    /// A header that two set.
    #[error("`{0}` is set by the endpoint, so no agent may set it, nor anything else")]
    HeaderTwice(HeaderName),
    /// A parameter that is none.
    #[error("a parameter in `query` is named by 1 to 64 plain characters without a space")]
    Parameter,
    /// More than fits.
    #[error("at most 32 `headers`, 32 parameters in `query`, and 64 `allow_headers`")]
    TooManyHeaders,
    /// Nothing would ever be paid for.
    #[error("`charge_on` names no status: then nothing would be paid for")]
    NoCharge,
    /// A status that is paid for and not.
    #[error("{0} stands in `charge_on` and in `free_on`: which is it?")]
    Overlap(u16),
    /// Too short or too long.
    #[error("a call takes 1 second to 1 hour at most")]
    Timeout,
    /// Too little or too much.
    #[error("`max_response_bytes` is 1024 to 268435456")]
    Response,
}

impl EndpointError {
    /// The key of a document that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Missing | Self::Unused => "rail",
            Self::Operations
            | Self::OperationTwice(_)
            | Self::PathTwice(..)
            | Self::MeteredMethod(_)
            | Self::Unpriced(_) => "operations",
            Self::SecretUnused | Self::NoKeyring => "secret",
            Self::SecretMissing(_)
            | Self::OurHeader(_)
            | Self::PlainCredential(_)
            | Self::TooManyHeaders => "headers",
            Self::CredentialAllowed(_) | Self::HeaderTwice(_) => "allow_headers",
            Self::Parameter => "query",
            Self::NoCharge | Self::Overlap(_) => "charge_on",
            Self::Timeout => "timeout",
            Self::Response => "max_response_bytes",
        }
    }
}

impl EndpointError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing => {
                "write `base_url = \"https://…\"`, and [[services.NAME.operations]] below"
            }
            Self::Unused => "write `rail = \"proxy\"`, or take out what is said of an API",
            Self::Operations => {
                "write [[services.NAME.operations]], and name, method and path below"
            }
            Self::OperationTwice(_) => "each operation has a name of its own",
            Self::PathTwice(..) => "what a call costs goes by its method and path: keep one",
            Self::MeteredMethod(_) => "write `method = \"POST\"`, or take `metered` out",
            Self::Unpriced(_) => {
                "without one each caller would name what it pays, and your key is billed in full"
            }
            Self::NoKeyring => {
                "write { env = \"NAME\" }, { file = \"/path\" } or { command = [\"program\"] }, or \
                 build it with `--features keyring`"
            }
            Self::SecretUnused | Self::SecretMissing(_) => "one without the other is a slip",
            Self::OurHeader(_) | Self::CredentialAllowed(_) | Self::HeaderTwice(_) => "take it out",
            Self::PlainCredential(_) => {
                "write {secret} in its place, and in `secret` where it is found"
            }
            Self::Parameter => "name it as the API does",
            Self::TooManyHeaders => "keep those that every call needs",
            Self::NoCharge => "leave `charge_on` out for \"2xx\"",
            Self::Overlap(_) => "name it in one of the two",
            Self::Timeout => "leave `timeout` out for 2 minutes, or 10 where something is metered",
            Self::Response => "leave it out for 8 MiB, or 64 where something is metered",
        }
    }
}

impl Service {
    /// Checks that it has an API to call where its rail calls one, and that it is a sound one.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check_endpoint(&self) -> Result<(), EndpointError> {
        match &self.endpoint {
            Some(endpoint) if self.rail == RailName::proxy() => {
                endpoint.check()?;
                match endpoint.operations.iter().find(|one| !self.prices(one)) {
                    Some(unpriced) => Err(EndpointError::Unpriced(unpriced.name.clone())),
                    None => Ok(()),
                }
            }
            Some(_) => Err(EndpointError::Unused),
            None if self.rail == RailName::proxy() => Err(EndpointError::Missing),
            None => Ok(()),
        }
    }

    /// Whether a call of `operation` has a price that its caller does not name.
    pub fn prices(&self, operation: &Operation) -> bool {
        match operation.price {
            Pricing::Service => self.price.is_some(),
            Pricing::Fixed(_) | Pricing::Metered { .. } | Pricing::Answered { .. } => true,
        }
    }

    /// What the cheapest call costs, or holds; nothing where a call may cost nothing, or next to
    /// it.
    pub fn least_price(&self) -> Option<Usd> {
        let Some(endpoint) = &self.endpoint else { return self.price };
        let price = |operation: &Operation| match operation.price {
            Pricing::Service => self.price,
            Pricing::Fixed(price) => Some(price),
            Pricing::Answered { at_most, .. } => Some(at_most),
            Pricing::Metered { .. } => None,
        };
        let prices: Option<Vec<Usd>> = endpoint.operations.iter().map(price).collect();
        prices?.into_iter().min().filter(|price| !price.is_zero())
    }
}

impl Endpoint {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), EndpointError> {
        self.check_operations()?;
        self.check_secret()?;
        self.check_headers()?;
        let plain = |name: &String| {
            (1..=MAX_PARAMETER).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if !self.query.keys().all(plain) {
            return Err(EndpointError::Parameter);
        }
        if self.charge_on.is_empty() {
            return Err(EndpointError::NoCharge);
        }
        if let Some(status) = self.charge_on.overlap(&self.free_on) {
            return Err(EndpointError::Overlap(status));
        }
        if !(1..=MAX_TIMEOUT).contains(&self.timeout_s) {
            return Err(EndpointError::Timeout);
        }
        if !(MIN_RESPONSE..=MAX_RESPONSE).contains(&self.max_response_bytes) {
            return Err(EndpointError::Response);
        }
        Ok(())
    }

    fn check_operations(&self) -> Result<(), EndpointError> {
        if !(1..=MAX_OPERATIONS).contains(&self.operations.len()) {
            return Err(EndpointError::Operations);
        }
        for (position, one) in self.operations.iter().enumerate() {
            if one.metered().is_some() && one.method != Method::Post {
                return Err(EndpointError::MeteredMethod(one.name.clone()));
            }
            for other in self.operations.iter().take(position) {
                if one.name == other.name {
                    return Err(EndpointError::OperationTwice(one.name.clone()));
                }
                if one.method == other.method && one.path.is_as(&other.path) {
                    let (first, second) = (other.name.clone(), one.name.clone());
                    return Err(EndpointError::PathTwice(first, second));
                }
            }
        }
        Ok(())
    }

    fn check_secret(&self) -> Result<(), EndpointError> {
        let headers = self.secret_headers().map(|(name, _)| name.to_string());
        let place = headers.chain(self.secret_query().map(|(name, _)| name.to_owned())).next();
        if self.secret.as_ref().is_some_and(|secret| !secret.is_read()) {
            return Err(EndpointError::NoKeyring);
        }
        match (&self.secret, place) {
            (Some(_), None) => Err(EndpointError::SecretUnused),
            (None, Some(place)) => Err(EndpointError::SecretMissing(place)),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    fn check_headers(&self) -> Result<(), EndpointError> {
        let many = self.headers.len() > MAX_SET || self.query.len() > MAX_SET;
        if many || self.allow_headers.len() > MAX_ALLOWED {
            return Err(EndpointError::TooManyHeaders);
        }
        let idempotency = self.idempotency_header.iter();
        let all = self.headers.keys().chain(&self.allow_headers).chain(idempotency.clone());
        if let Some(ours) = all.clone().find(|name| name.is_ours()) {
            return Err(EndpointError::OurHeader(ours.clone()));
        }
        let plain =
            self.headers.iter().find(|(name, set)| name.is_credential() && !set.takes_secret());
        if let Some((name, _)) = plain {
            return Err(EndpointError::PlainCredential(name.clone()));
        }
        let others = self.allow_headers.iter().chain(idempotency);
        if let Some(name) = others.clone().find(|name| name.is_credential()) {
            return Err(EndpointError::CredentialAllowed(name.clone()));
        }
        let mut others = others.filter(|name| self.headers.contains_key(*name));
        others.next().map_or(Ok(()), |name| Err(EndpointError::HeaderTwice(name.clone())))
    }
}
