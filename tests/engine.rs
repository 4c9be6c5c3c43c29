//! The engine on real files.

mod caps;
mod coming;
mod damage;
mod groups;
mod hours;
mod ledger;
mod operating;
mod pacing;
mod pay;
mod planning;
mod policies;
mod proving;
mod rails;
mod record;
mod stops;
mod tokens;
