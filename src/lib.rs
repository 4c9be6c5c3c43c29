//! Petty cash for AI agents: an MCP server that decides every payment and makes it.
//!
//! # The rooms
//!
//! ```text
//! policy/   pure: may this agent pay, and what happens then? no I/O, no clock, no waiting
//! engine/   the only room that waits: load, decide, commit, answer
//! store/    the record: a journal that every commit is one record of, and sled behind it
//! rails/    how money reaches a payee, each rail the same anatomy
//! mcp/      the tools the model sees, the check of every message, and stdio
//! http/     the agents' and the operator's API on sockets of this machine; with tokens over TCP,
//!           the same for operators and MCP for agents
//! cli/      one file per verb
//! serve.rs  the one place that opens the store and the rails and puts the surfaces on the engine
//! client.rs the engine's face over the local socket, for surfaces in another process
//! home.rs   the data directory: whose it is, and the names of everything in it
//! ```
//!
//! # Who may call whom
//!
//! ```text
//! main → cli → serve → http → mcp → engine → policy
//!                                   engine → store → policy's types
//!                                   engine → rails → policy's types
//! mcp, cli, serve → client (speaks /v1, knows policy's types) → home → store's check of modes
//! clock, telemetry: leaves
//! ```
//!
//! Nothing points back up; of the surfaces none touches store or rails; policy depends on nothing
//! of ours. A test keeps this table.

pub mod cli;
pub mod client;
pub mod clock;
pub mod engine;
pub mod home;
pub mod http;
pub mod mcp;
pub mod policy;
pub mod rails;
pub mod serve;
pub mod store;
pub mod telemetry;
