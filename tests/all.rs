//! Every test of the house, in one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod cli;
mod connect;
mod contract;
mod crash;
mod differential;
mod endpoint;
mod engine;
mod http;
mod invariants;
mod keys;
mod mcp;
mod mcp_bodies;
mod mcp_framing;
mod mcp_leaving;
mod mcp_planning;
mod mcp_resume;
mod mcp_tasks;
#[cfg(feature = "planted")]
mod planted;
mod processes;
mod properties;
mod quotes;
mod rails;
mod reference;
mod scenarios;
mod store;
mod support;
mod tasks;
mod tidy;
mod time;
mod tokens;
