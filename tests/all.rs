//! Every test of the house, in one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod cli;
mod connect;
mod contract;
mod crash;
mod differential;
mod engine;
mod http;
mod keys;
mod mcp;
mod mcp_framing;
mod mcp_leaving;
mod mcp_planning;
mod mcp_resume;
#[cfg(feature = "planted")]
mod planted;
mod processes;
mod properties;
mod quotes;
mod reference;
mod scenarios;
mod store;
mod support;
mod tidy;
mod time;
mod tokens;
