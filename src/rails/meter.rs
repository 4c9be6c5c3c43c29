//! The meter: what a call of a language model costs, and the most that it can.
//!
//! All of it is pure. [`bound()`] says from a request how much to hold, a [`Meter`] reads from the
//! answer what the vendor counted, and [`charge()`] says what that comes to by a table of
//! [`Prices`]. A price is whole pico-dollars for one token or one search; a charge is their exact
//! sum, rounded up once to nano-dollars. Nothing is ever priced by a factor or by default: every
//! field has a price of its own, and a model without one is refused.
//!
//! What is read comes from outside. It may be anything; what is odd is flagged and taken at its
//! dearest, and a count that cannot be trusted never makes a charge look finished.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod body;
mod bound;
mod charge;
mod dearer;
mod decimal;
mod differ;
mod events;
mod extract;
mod metering;
mod price;
mod read;
mod renew;
mod request;
mod rewrite;
mod shared;
mod sieve;
mod table;
mod usage;

pub use bound::{Bound, BoundError, Estimate, bound};
pub use charge::{Charge, charge};
pub use differ::Differs;
pub use events::MAX_EVENT;
pub use extract::{MAX_TABLE, extract};
pub use metering::{Count, Counted, Metering};
pub use price::{PriceError, PricePerUnit, Unit};
pub use read::{Meter, read};
pub use renew::{Renewal, own_form};
pub use rewrite::{Changes, rewritten};
pub use shared::Shared;
pub use table::{Listed, ModelPrices, Prices, TableError, UnknownModel};
pub use usage::{Flag, Usage};

/// What a vendor's API speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Anthropic's `POST /v1/messages`.
    AnthropicMessages,
    /// OpenAI's `POST /v1/chat/completions`.
    OpenAiChat,
    /// OpenAI's `POST /v1/responses`.
    OpenAiResponses,
}

/// A text from outside as it may be shown: short, and with nothing hidden in it.
fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 64;
    let visible = |c: char| if crate::policy::names::is_hidden(c) { '?' } else { c };
    text.chars().take(MAX_SHOWN).map(visible).collect()
}
