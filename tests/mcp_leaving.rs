//! A payment of 8 s whose client goes away: it comes to its end all the same, once, and whoever
//! asks later is told.
//!
//! `serve` runs in this process, with a rail that does as it is told; the clients are real ones.

use std::time::Duration;

use pettycash::{
    client::{Call, Client},
    clock::instant,
};
use serde_json::{Value, json};

use crate::support::{
    mcp_raw::Raw,
    scripted::{Act, Scripted},
    served::{FINISHES, Served, slow, until},
};

/// How long the rail takes.
const TAKES: Duration = Duration::from_secs(8);

fn asked() -> Value {
    json!({"name": "pay_for_api_call", "arguments": slow()})
}

/// A client over stdio that has asked for the payment, and its request.
fn asking(served: &Served, agent: &str) -> (Raw, u64) {
    let mut client = served.house.client(agent);
    let before = served.rail.calls().len();
    let id = client.send("tools/call", asked());
    until("the rail is called", || served.rail.calls().len() > before);
    (client, id)
}

#[test]
fn a_payment_of_eight_seconds_outlives_its_client_however_that_goes() {
    let served = Served::new(Scripted::new([Act::TakeAfter(TAKES)]));
    for agent in ["stays", "closes", "cancels", "dies", "drops"] {
        served.agent(agent);
    }
    let began = instant();
    let (mut stays, waits_for) = asking(&served, "stays");
    let (closes, _) = asking(&served, "closes");
    let (mut cancels, cancelled) = asking(&served, "cancels");
    let (dies, _) = asking(&served, "dies");
    drops(&served);
    dies.kill();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": cancelled, "reason": "the user lost patience"}});
    cancels.send_text(&format!("{cancel}\n"));
    // The session that cancelled goes on, and sees that the money is held.
    assert_eq!(cancels.call("get_balance", json!({}))["held_usd"], "0.10");
    let meanwhile = cancels.pay(slow());
    assert_eq!(meanwhile["outcome"], "in_progress");
    let status = closes.leave();
    assert!(status.success(), "{status}");
    let paid = stays.answer(waits_for);
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.10")));
    assert!(began.elapsed() >= TAKES);
    for agent in ["stays", "closes", "cancels", "dies", "drops"] {
        served.assert_paid_once(agent);
    }
    let fetched = cancels.pay(json!({"payment_id": meanwhile["payment_id"]}));
    assert_eq!(fetched["outcome"], "paid");
    // The cancelled request is never answered: nothing came in between.
    assert!(stays.end().0.success());
    assert!(cancels.end().0.success());
}

/// A client on the socket itself, which breaks its connection off.
fn drops(served: &Served) {
    let client = Client::new(served.finder());
    let before = served.rail.calls().len();
    let (tool, agent, call_id) = ("pay_for_api_call", "drops", "call_1");
    served.runtime.block_on(async {
        let call =
            client.call(Call { tool, agent, run: None, call_id, arguments: slow(), via: None });
        tokio::select! {
            answered = call => panic!("{answered:?}"),
            () = served.rail.called(before + 1) => {}
        }
    });
}

#[test]
fn a_serve_that_ends_waits_for_its_payments_and_leaves_the_rest_in_doubt() {
    let soon = Act::TakeAfter(Duration::from_secs(1));
    let mut served = Served::new(Scripted::new([soon, Act::Hang]));
    for agent in ["quick", "stuck"] {
        served.agent(agent);
        let (client, _) = asking(&served, agent);
        client.kill();
    }
    let took = served.stop();
    assert!(took >= FINISHES && took < FINISHES + Duration::from_secs(5), "{took:?}");
    served.start();
    assert_eq!(served.outcomes("quick"), ["captured", "sent", "held", "created"]);
    assert_eq!(served.outcomes("stuck"), ["in_doubt", "sent", "held", "created"]);
    let doubt = served.house.client("stuck").pay(slow());
    assert_eq!((&doubt["outcome"], &doubt["replayed"]), (&json!("in_doubt"), &json!(true)));
    assert_eq!(served.rail.calls().len(), 2, "what is in doubt is not sent again");
    let ended = served.stop();
    assert!(ended < Duration::from_secs(2), "a doubt keeps no serve from ending: {ended:?}");
}
