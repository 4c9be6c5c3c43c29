//! The MCP surface: the tools that the model sees, and the server that answers their calls, on any
//! transport: `stdio` is here, those over HTTP are in the `http` room.
//!
//! Nothing is decided here. A call gets its caller's name and an id, goes to the engine as the
//! model wrote it, and comes back as the engine's answer; what this room adds are the answers to
//! calls that never came back.

pub mod framing;
mod reach;
mod resources;
mod schema;
mod server;
mod stdio;
#[cfg(test)]
mod tests;
mod tools;
mod via;

pub use reach::{Call, Called, Reach, ask, opens_tasks};
pub use server::Server;
pub use stdio::{StdioError, serve_stdio};
pub use tools::{TOOLS, Tool};
pub use via::{SESSION_HEADER, TRACE_HEADER};
