//! The engine on real files.

mod operating;
mod pay;
mod rails;
mod record;
