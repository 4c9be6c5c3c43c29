//! Policy: may this agent pay, and what happens then?
//!
//! Everything here is pure. It reads no clock, no file and no environment; it waits for nothing;
//! the books, the payment and the time come in, a hold or every reason against it goes out.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod answer;
pub mod authorize;
pub mod book;
mod calendar;
pub mod came;
pub mod cap;
pub mod change;
pub mod code;
pub mod counter;
pub mod denial;
pub mod documents;
pub mod downgrade;
pub mod endless;
pub mod endpoint;
pub mod entry;
pub mod explain;
pub mod exposure;
pub mod failures;
pub mod group;
pub mod hours;
pub mod incident;
pub mod keys;
pub mod mandate;
pub mod models;
pub mod moment;
pub mod money;
pub mod names;
pub mod operate;
pub mod pace;
pub mod payee;
pub mod plan;
pub mod planted;
pub mod prices;
pub mod proof;
pub mod quote;
pub mod rooms;
pub mod row;
pub mod service_test;
pub mod settle;
pub mod shadow;
pub mod state;
pub mod stop;
pub mod tally;
pub mod task;
pub mod terms;
pub mod tier;
pub mod token;
pub mod trial;
pub mod via;
pub mod warning;
pub mod window;
