//! MCP clients that add nothing of their own: what they say is here, how it is carried below.

pub(crate) mod http;
pub(crate) mod lines;

use serde_json::{Value, json};

/// The last version of the protocol that has sessions.
const VERSION: &str = "2025-11-25";

/// What the client of one session says.
#[derive(Default)]
struct Said {
    /// The id of the last request.
    last: u64,
}

impl Said {
    /// A request, with an id that the one before has not.
    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params})
    }

    /// The first request of a session.
    fn hello(&mut self) -> Value {
        let client = json!({"name": "benches", "version": "1"});
        let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client});
        self.request("initialize", &params)
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", &json!({"name": tool, "arguments": arguments}))
    }
}

/// What follows the answer to the first request.
fn ready() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}
