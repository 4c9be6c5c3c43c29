//! The ledger in its compact form: each name once, then the values.

use super::LedgerLine;

/// A column: its name, and what a line has in it.
type Column = (&'static str, fn(&LedgerLine) -> Option<String>);

/// Every column there may be.
const COLUMNS: [Column; 10] = [
    ("at", |line| Some(line.at.to_string())),
    ("outcome", |line| Some(line.outcome.clone())),
    ("service_id", |line| line.service_id.as_ref().map(|service| service.0.to_string())),
    ("amount_usd", |line| line.amount_usd.map(crate::policy::money::Usd::decimal)),
    ("payment_id", |line| line.payment_id.map(|payment| payment.to_string())),
    ("code", |line| line.code.clone()),
    ("times", |line| line.times.map(|times| times.to_string())),
    ("run", |line| line.run.clone()),
    ("task_id", |line| line.task_id.clone()),
    ("model", |line| line.model.as_ref().map(ToString::to_string)),
];

/// The names and the rows of what these lines say. A column in which none of them says anything is
/// left out; what one line does not say is empty in it.
pub fn columns(lines: &[LedgerLine]) -> (Vec<String>, Vec<Vec<String>>) {
    let told = |(_, of): &&Column| lines.iter().any(|line| of(line).is_some());
    let kept: Vec<&Column> = COLUMNS.iter().filter(told).collect();
    let row = |line| kept.iter().map(|(_, of)| of(line).unwrap_or_default()).collect();
    (kept.iter().map(|(name, _)| (*name).to_owned()).collect(), lines.iter().map(row).collect())
}
