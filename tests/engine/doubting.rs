//! Payments that nobody is told the end of.

use pettycash::policy::{entry::Fact, operate, settle};
use serde_json::json;

use crate::support::bench::Bench;

#[test]
fn what_costs_nothing_is_not_in_doubt_when_its_end_is_not_known() {
    let mut bench = Bench::at("2026-11-21T12:00:00Z");
    let agent = "scout".parse().unwrap();
    bench.open_allowance(&agent);
    let service = json!({"id": "maps", "payee": "Acme Maps", "rail": "iou"});
    let service = serde_json::from_value(service).unwrap();
    let set = operate::set_service(&bench.state, service, operate::Existing::Keep);
    bench.act(set).unwrap();
    for (amount, ends) in [("0", true), ("0.01", false)] {
        let payment = bench.payment("maps", Some(amount.parse().unwrap()), None);
        let hold = bench.ask(&agent, &payment, Fact::Held).unwrap();
        bench.write(vec![settle::send(&bench.state, hold.payment).unwrap()]);
        let doubted = settle::doubt(&bench.state, hold.payment).unwrap();
        let left = settle::doubt_sent(&bench.state);
        assert_eq!(left, [doubted], "after a restart as before it");
        bench.write(left);
        assert_eq!(bench.state.open(hold.payment).is_none(), ends, "{amount}");
    }
}
