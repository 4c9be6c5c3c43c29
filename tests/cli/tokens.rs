//! Tokens as an operator gives them out, and agents that are not for local clients.

use pettycash::client::{Call, Called, Client};
use serde_json::json;

use super::*;
use crate::support::files_with;

/// What a line prints on stdout and says on stderr when it works.
pub(super) fn both(desk: &Desk, line: &str) -> (String, String) {
    let Output { status, stdout, stderr } = desk.run(line);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{line}: {stderr}");
    (String::from_utf8(stdout).unwrap(), stderr)
}

const SCOUT: &str = "agent create scout --cap 5.00/day --funding allowance";

#[test]
fn a_token_is_printed_alone_listed_rotated_and_revoked() {
    let desk = Desk::new();
    desk.ok(SCOUT);
    assert!(desk.ok("agent tokens scout").contains("pettycash agent token scout"));
    let (token, said) = both(&desk, "agent token scout --label laptop --run nightly --expires 30d");
    let token = token.strip_suffix('\n').unwrap();
    assert!(token.starts_with("agt_") && token.len() == 62, "{token}");
    assert!(said.contains("not shown again") && !said.contains(token), "{said}");
    let first = &desk.json("agent tokens scout --json")["tokens"][0];
    assert_eq!((&first["label"], &first["run"]), (&json!("laptop"), &json!("nightly")));
    assert_eq!(first["expired"], false);
    assert!(first.get("last_used_at").is_none() && first.get("token").is_none(), "{first}");
    let id = first["token_id"].as_str().unwrap();
    let table = desk.ok("agent tokens scout");
    for part in [id, "laptop", "nightly", "never"] {
        assert!(table.contains(part), "{table}");
    }

    let (new, said) = both(&desk, &format!("agent token-rotate {id} --overlap 30m"));
    assert!(new.starts_with("agt_") && said.contains(&format!("{id} goes on until")), "{said}");
    let given = desk.json("agent token scout --json");
    assert_eq!(given["agent"], "scout");
    assert!(given["token"].as_str().unwrap().starts_with("agt_"));
    let third = given["token_id"].as_str().unwrap();
    assert!(desk.ok(&format!("agent token-revoke {third}")).contains("lets nobody in"));
    assert_eq!(desk.json("agent tokens scout --json")["tokens"].as_array().unwrap().len(), 2);
    let gone = desk.fails(&format!("agent token-revoke {third}"), 1);
    assert!(gone.contains("hint: it may have been revoked"), "{gone}");
    let ledger = desk.ok("ledger scout");
    for word in ["token_issued", "token_ends", "token_revoked", id, "`laptop`"] {
        assert!(ledger.contains(word), "{word}: {ledger}");
    }
    desk.ok("agent revoke scout --reason theft");
    assert!(desk.ok("agent tokens scout").contains("no tokens"));
    assert!(desk.fails("agent token scout", 1).contains("revoked for good"));

    desk.end_serve();
    for secret in [token, new.trim(), given["token"].as_str().unwrap()] {
        assert_eq!(files_with(desk.home(), &secret[4..40]), [""; 0], "a token is on disk");
    }
    assert_ne!(files_with(desk.home(), id), [""; 0], "what is on disk is read");
    desk.ok("verify");
}

#[test]
fn what_is_wrong_with_a_token_is_told_before_anything_is_sent() {
    let desk = Desk::new();
    let past = desk.fails("agent token scout --expires 2020-01-01T00:00:00Z", 2);
    assert!(past.contains("the token would be over before it begins"), "{past}");
    for line in ["agent token-revoke pay_1", "agent token-rotate tok_1", "agent token SCOUT"] {
        desk.fails(line, 2);
    }
    for span in ["1", "h", "-1h", "91d", "1.5h", ""] {
        let wrong =
            desk.fails(&format!(r#"agent token-rotate tok_000000000000 --overlap "{span}""#), 2);
        assert!(wrong.contains("overlap") || wrong.contains("unexpected"), "{span}: {wrong}");
    }
    let unknown = desk.fails("agent token-rotate tok_000000000000 --json", 1);
    let unknown: Value = serde_json::from_str(&unknown).unwrap();
    assert_eq!(unknown["error"]["code"], "token_unknown");
    assert!(desk.fails("agent token nobody", 1).contains("there is no agent `nobody`"));
    assert!(desk.fails("agent tokens nobody", 1).contains("there is no agent `nobody`"));
}

#[tokio::test]
async fn an_agent_that_is_not_for_local_clients_is_to_them_as_one_that_there_is_not() {
    let desk = Desk::new();
    desk.ok("agent create remote --cap 5.00/day --funding allowance --no-local");
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    assert!(desk.ok("agent show remote").contains("barred"));
    let serving = Home::at(desk.home()).unwrap().serving().unwrap();
    let client = Client::new(Arc::new(move || ready(Ok(serving.sockets.clone())).boxed()));
    let ask = async |agent: &str, tool: &str, arguments: &Value| {
        let (run, arguments) = (None, arguments.clone());
        match client.call(Call { tool, agent, run, call_id: "c1", arguments, via: None }).await {
            Called::Answered(answer) => answer.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let pay = json!({"service_id": "search"});
    let asked = [
        ("pay_for_api_call", pay.clone()),
        ("pay_for_api_call", json!({"service_id": 7})),
        ("pay_for_api_call", json!({"payment_id": "pay_0000000000010000"})),
        ("get_balance", json!({})),
        ("get_balance", json!({"more": 1})),
        ("ledger", json!({})),
        ("ledger", json!({"limit": 0})),
        ("list_services", json!({})),
        ("no_such_tool", json!({})),
    ];
    for (tool, arguments) in &asked {
        let barred = ask("remote", tool, arguments).await;
        let nobody = ask("nobody", tool, arguments).await;
        assert_eq!(barred, nobody.replace("nobody", "remote"), "{tool} {arguments}");
    }
    let lines = desk.json("ledger remote --json")["entries"].as_array().unwrap().len();
    assert_eq!(lines, 1, "nothing is said of who asked");

    let dry = desk.ok("mandate set remote --local --dry-run");
    assert!(dry.contains("local clients") && dry.contains("gives more"), "{dry}");
    desk.ok("mandate set remote --local");
    assert!(ask("remote", "pay_for_api_call", &pay).await.contains("\"paid\""));
    let barred = desk.ok("mandate set remote --no-local");
    assert!(!barred.contains("gives more"), "{barred}");
    assert!(ask("remote", "pay_for_api_call", &pay).await.contains("agent_unknown"));
    assert_eq!(desk.json("mandate show remote --json")["local"], "barred");

    desk.end_serve();
    desk.ok("agent list");
    assert!(ask("remote", "pay_for_api_call", &pay).await.contains("agent_unknown"), "for good");
}
