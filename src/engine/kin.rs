//! What could be paid in place of a service that is too dear, or of which a cap leaves too little,
//! and what may have been meant by a name that there is not.

use jiff::Timestamp;

use crate::policy::{
    answer::{Alternative, ServiceName},
    authorize::{Payment, Wanted, authorize},
    book::Book,
    denial::Denied,
    mandate::Service,
    names::ServiceId,
    state::State,
};

/// How many names are offered for one that is unknown, or services for one too dear.
const OFFERED: usize = 3;
/// How much of the catalogue is searched for near names and cheaper services.
const SEARCHED: usize = 1_000;
/// For how many it is decided whether they would be paid: this runs where everybody waits.
const TRIED: usize = 12;

/// Services of the same kind, of the same payee or with the same first word of the name, that cost
/// no more and would be paid now: each is decided as a payment is, for its caps are its own.
pub(super) fn alternatives(
    state: &State,
    book: &Book,
    denied: &Denied,
    now: Timestamp,
) -> Vec<Alternative> {
    let refusal = &denied.refusal;
    let only_money = refusal.is_about_money();
    let wanted = denied.service.as_ref().and_then(|id| state.service(id));
    let Some(wanted) = wanted.filter(|_| only_money && refusal.fixed_price) else {
        return Vec::new();
    };
    let kin = |service: &Service| {
        service.id != wanted.id
            && (service.payee == wanted.payee || stem(&service.id) == stem(&wanted.id))
            && book.mandate.allows(&service.id)
    };
    let kin = state.services().take(SEARCHED).filter(|service| kin(service));
    let priced = kin.filter_map(|service| {
        Some((service.price.filter(|price| *price <= refusal.asked)?, service))
    });
    let mut cheapest: Vec<_> = priced.collect();
    cheapest.sort_by_key(|(price, _)| *price);
    let spender = state.spender_of(book);
    let would_be_paid = |service: &Service| {
        let wanted = Wanted::Known(service.clone());
        let (id, run, task) = (denied.payment, denied.run.clone(), denied.task);
        let (amount, estimate, binding) = (None, false, None);
        let payment = Payment { id, wanted, amount, estimate, binding, run, task };
        authorize(&spender, &payment, now).is_ok()
    };
    let tried = cheapest.into_iter().take(TRIED);
    let paid = tried.filter(|(_, service)| would_be_paid(service)).take(OFFERED);
    paid.map(|(price_usd, service)| Alternative {
        service_id: ServiceName(service.id.clone()),
        price_usd,
    })
    .collect()
}

fn stem(id: &ServiceId) -> &str {
    id.as_str().split(['-', '_']).next().unwrap_or_default()
}

/// The names closest to one that the catalogue does not have, among those the agent may pay.
pub(super) fn nearest(state: &State, book: &Book, wanted: &ServiceId) -> Vec<ServiceId> {
    let allowed = state.services().filter(|service| book.mandate.allows(&service.id));
    let far = wanted.as_str().len().div_ceil(2).max(2);
    let mut near: Vec<(usize, &ServiceId)> = allowed
        .take(SEARCHED)
        .map(|service| {
            let name = service.id.as_str();
            let inside = name.contains(wanted.as_str()) || wanted.as_str().contains(name);
            let distance = strsim::damerau_levenshtein(name, wanted.as_str());
            (if inside { 0 } else { distance }, &service.id)
        })
        .filter(|(distance, _)| *distance <= far)
        .collect();
    near.sort();
    near.into_iter().take(OFFERED).map(|(_, id)| id.clone()).collect()
}
