//! What a client says of where a call comes from.

use hyper::http::request::Parts;
use rmcp::{RoleServer, service::RequestContext};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::server::CALL_ID_KEY;
use crate::policy::{entry::Hash, names::Mark, via::Via};

/// In which a client that comes over HTTP names its session.
pub const SESSION_HEADER: &str = "mcp-session-id";
/// In which it names its place in a trace.
pub const TRACE_HEADER: &str = "traceparent";
/// How many digits of a digest tell one session from another.
const TOLD: usize = 12;

/// What is worth keeping of what a client says with a request; whatever is odd is left out.
pub(super) fn via(context: &RequestContext<RoleServer>) -> Option<Via> {
    let parts = context.extensions.get::<Parts>();
    let header = |name| parts?.headers.get(name)?.to_str().ok();
    let meta = |name| context.meta.0.0.get(name).and_then(Value::as_str);
    let mark = |text: &str| text.parse::<Mark>().ok();
    Via {
        tool_use_id: meta(CALL_ID_KEY).and_then(mark),
        session: header(SESSION_HEADER).and_then(|id| mark(&digest(id))),
        traceparent: meta(TRACE_HEADER).or_else(|| header(TRACE_HEADER)).and_then(mark),
    }
    .said()
}

fn digest(id: &str) -> String {
    Hash(Sha256::digest(id).into()).to_string().chars().take(TOLD).collect()
}
