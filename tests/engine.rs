//! The engine on real files.

mod pay;
mod rails;
mod record;
