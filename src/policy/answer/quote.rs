//! What `get_balance` says of payments that are planned.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Breach, ServiceName, pay};
use crate::policy::{
    authorize::Payment,
    denial::{Denial, Refusal},
    money::{Usd, decimal},
    quote::Quote,
};

/// How many of the calls that are planned fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct QuoteView {
    /// What would be paid for.
    pub service_id: ServiceName,
    /// What each would cost; left out where there is no such service, or it may not be paid.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub price_usd: Option<Usd>,
    /// How many fit now, of those that are wanted.
    pub fits: u32,
    /// What would refuse one more, with its numbers as they are now; left out where all fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Breach")]
    pub limit: Option<Breach>,
    /// When there is room for one more again; left out where time alone brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub frees_at: Option<Timestamp>,
    /// Until when `fits_by` counts: sooner than asked where there would be room again too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub by: Option<Timestamp>,
    /// How many fit until `by`, each as soon as there is room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub fits_by: Option<u32>,
}

impl QuoteView {
    /// What a quote for such payments says.
    pub fn of(quote: &Quote, payment: &Payment) -> Self {
        let first = |refusal: &Refusal| {
            let denial = refusal.denials.first()?;
            Some(pay::breach(denial, refusal).unwrap_or(Breach::plain(denial.code())))
        };
        Self {
            service_id: ServiceName(payment.service().clone()),
            price_usd: payable(quote).then(|| payment.cost()),
            fits: quote.fits,
            limit: quote.limit.as_ref().and_then(first),
            frees_at: quote.frees_at,
            by: quote.later.map(|later| later.by),
            fits_by: quote.later.map(|later| later.fits),
        }
    }
}

/// Whether what it is for may be paid at all: the price of anything else is nobody's business.
fn payable(quote: &Quote) -> bool {
    let bars = |denial: &Denial| {
        matches!(denial, Denial::ServiceUnknown { .. } | Denial::ServiceNotAllowed { .. })
    };
    !quote.limit.iter().flat_map(|limit| &limit.denials).any(bars)
}
