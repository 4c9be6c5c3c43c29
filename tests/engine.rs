//! The engine on real files.

mod coming;
mod damage;
mod operating;
mod pay;
mod proving;
mod rails;
mod record;
mod tokens;
