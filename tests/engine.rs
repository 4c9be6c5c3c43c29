//! The engine on real files.

mod caps;
mod coming;
mod damage;
mod endpoints;
mod explaining;
mod exposing;
mod gates;
pub(crate) mod group_sums;
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
mod responses;
mod retiming;
mod stops;
mod task_calls;
mod task_rules;
mod tasks;
mod tokens;
mod trying;
