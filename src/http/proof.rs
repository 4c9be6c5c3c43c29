//! What somebody shows with a request to prove that he is an operator.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::problem::Failure;
use crate::engine::Proof;

/// The proof in the `Authorization` header: `Bearer opr_…`, or `Basic` with the passphrase in the
/// place of the password; nothing where there is none.
pub(super) struct Shown(pub(super) Option<Proof>);

impl<S: Send + Sync> FromRequestParts<S> for Shown {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        shown(&parts.headers).map(Self)
    }
}

fn shown(headers: &HeaderMap) -> Result<Option<Proof>, Failure> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(one) = all.next() else { return Ok(None) };
    // What was sent is not repeated: it may be a secret with a slip in it.
    let wrong = || {
        let detail = "the Authorization header is neither one `Bearer opr_…` nor one `Basic …`";
        Failure::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    };
    if all.next().is_some() {
        return Err(wrong());
    }
    let (scheme, rest) =
        one.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Proof::Token(rest.trim().into())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = Zeroizing::new(Base64::decode_vec(rest.trim()).map_err(|_| wrong())?);
    let text = std::str::from_utf8(&decoded).map_err(|_| wrong())?;
    let (_, passphrase) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Some(Proof::Passphrase(passphrase.into())))
}
