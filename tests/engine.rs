//! The engine on real files.

mod pay;
mod record;
