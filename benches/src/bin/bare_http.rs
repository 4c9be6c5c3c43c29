//! A bare MCP server on the library's own Streamable HTTP, on a port of loopback that it prints.
//!
//! It is the floor of everything that goes over HTTP, and gets what makes it fast: answers in plain
//! JSON where the library gives them, which it does not in sessions, and no waiting for more to
//! send. A program of its own, for the other floor has no HTTP.

#[path = "../bare.rs"]
mod bare;

use std::sync::Arc;

use axum::{Router, serve::ListenerExt};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(bare::Bare), sessions, config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().route_service("/mcp", service)).await?)
}
