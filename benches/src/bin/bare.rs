//! A bare MCP server on the library's own `stdio()`.
//!
//! It is the floor of everything that goes over standard input and output.

#[path = "../bare.rs"]
mod bare;

use rmcp::{ServiceExt, transport::stdio};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bare::Bare.serve(stdio()).await?.waiting().await?;
    Ok(())
}
