//! Bodies of requests: as they are, up to what fits.

use serde_json::json;

use super::{Gate, answer};

#[test]
fn a_long_body_arrives_whole_and_a_longer_one_is_refused() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    let long = "x".repeat(3 * 1024 * 1024);
    assert_eq!(gate.post(&[], &long).status, 200);
    let sent = gate.upstream.requests().pop().unwrap();
    assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, long);
    // In pieces too.
    let pieces = "3\r\none\r\n4\r\n two\r\n0\r\n\r\n";
    let mut wire = gate.posted_with(&["Transfer-Encoding: chunked"], pieces);
    assert_eq!(wire.reply().status, 200);
    assert!(gate.upstream.requests().pop().unwrap().ends_with("\r\n\r\none two"));

    let mut wire = gate.posted_with(&["Content-Length: 33554433"], "");
    let refused = wire.reply();
    assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("body_too_large")));
    assert_eq!(refused.json()["error"]["type"], "request_too_large");
    let packed = gate.post(&["Content-Encoding: gzip"], "x");
    assert_eq!((packed.status, &packed.json()["code"]), (415, &json!("content_encoding")));
    assert_eq!(gate.post(&["Content-Encoding: identity"], "x").status, 200);
    assert_eq!(gate.upstream.requests().len(), 3);
}
