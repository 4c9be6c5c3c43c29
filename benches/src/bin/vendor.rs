//! A vendor of a language model, on a port of loopback that it prints: it answers at once, or as
//! a stream of so many events with so long between them. A program of its own, so that what it
//! takes is nobody else's.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

/// A whole answer.
const WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5",
"content":[{"type":"text","text":"Yes."}],"stop_reason":"end_turn","stop_sequence":null,
"usage":{"input_tokens":12,"output_tokens":5}}"#;
/// How a stream begins, goes on and ends.
const BEGIN: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\
    \"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5\",\
    \"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\
    \"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\
    \"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const MORE: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
    \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" and so on\"}}\n\n";
const END: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\
    \n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\
    \"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":400}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().route("/v1/messages", post(answer))).await?)
}

async fn answer(headers: HeaderMap, _: Bytes) -> Response {
    let number = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse::<u32>().ok())
    };
    let Some(events) = number("x-events") else {
        return ([("content-type", "application/json")], WHOLE).into_response();
    };
    let pause = Duration::from_micros(number("x-pause-us").unwrap_or_default().into());
    let began = Instant::now();
    let events = stream::unfold(0, move |nth| async move {
        if nth > 0 && !pause.is_zero() {
            sleep_until(began + pause * nth).await;
        }
        let event = match nth {
            0 => BEGIN,
            nth if nth <= events => MORE,
            nth if nth == events + 1 => END,
            _ => return None,
        };
        Some((Ok::<_, Infallible>(event), nth + 1))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}
