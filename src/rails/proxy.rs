//! The rail of APIs with a key, and its wire: one HTTP call that no upstream can hurt.
//!
//! [`Proxy`] alone knows of services and money. It says what is held for a call and what an answer
//! comes to, also by what a language model counts.
//!
//! Below it, a [`Site`] is what is registered, and says what may be asked there; a [`Guard`] lets
//! connects through to its addresses and to no others; [`Secrets`] reads the secret, which is put
//! in last; a [`Scrub`] takes it out of all that comes back; and a [`Wire`] makes the call, and
//! says what is sure of it afterwards: nothing was sent, there is an answer, or it broke in
//! between.

#![deny(clippy::indexing_slicing)]

mod answer;
mod call;
mod command;
mod forms;
mod guard;
#[cfg(feature = "keyring")]
mod keyring;
mod metered;
mod rail;
mod scrub;
mod secret;
mod site;
mod told;
mod trouble;
mod wire;

pub use answer::{Answer, Body, End, Head};
pub use call::{Call, Carried, Place};
pub use guard::{Guard, Lookup, Nowhere, Reach, Watch};
pub use rail::Proxy;
pub use scrub::Scrub;
pub use secret::{Secret, SecretError, Secrets, Source, Wrong};
pub use site::{Site, TargetError};
pub use trouble::{Broken, Unsent};
pub use wire::{Outcome, Setup, Wire};
