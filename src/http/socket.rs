//! A unix socket and the connections that come in by it.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request, response::IntoResponse, response::Response};
use futures_util::FutureExt;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{Counted, End, Tally, problem::Failure};

/// The most connections of one socket at once; more wait until one ends.
const MAX_CONNECTIONS: usize = 2_048;
/// How long to wait when the system has no room for another connection.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// At the end: how long until nobody is waiting to be accepted any more.
const LAST_CALL: Duration = Duration::from_millis(20);
/// At the end: how long a connection is still listened to, for a request on its way.
const LINGER: Duration = Duration::from_millis(100);

/// Accepts connections until the end, and answers those that were waiting then.
///
/// `unlink` takes the socket's path away, so that whoever comes later sees at once that nobody
/// listens, instead of being cut off.
pub(crate) async fn serve_socket(
    listener: UnixListener,
    router: Router,
    connections: Tally,
    mut end: watch::Receiver<Option<End>>,
    unlink: impl FnOnce() + Send,
) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let ended = end.clone();
    let welcome = |stream: UnixStream, seat: Option<OwnedSemaphorePermit>| {
        if is_ours(&stream) {
            let open = connections.count();
            tokio::spawn(connection(stream, router.clone(), (open, seat), ended.clone()));
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            _ = end.wait_for(Option::is_some) => break,
            accepted = accept(&listener, &seats) => accepted,
        };
        match accepted {
            Ok((stream, seat)) => welcome(stream, seat),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    unlink();
    for _ in 0..MAX_CONNECTIONS {
        match timeout(LAST_CALL, listener.accept()).await {
            Ok(Ok((stream, _))) => welcome(stream, None),
            Ok(Err(_)) | Err(_) => break,
        }
    }
}

async fn accept(
    listener: &UnixListener,
    seats: &Arc<Semaphore>,
) -> std::io::Result<(UnixStream, Option<OwnedSemaphorePermit>)> {
    let seat = Arc::clone(seats).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, seat))
}

/// The socket's mode keeps other users out already; this holds where the mode does not.
fn is_ours(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == us => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "another user was turned away");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "somebody who cannot be known was turned away");
            false
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn connection<S>(
    stream: UnixStream,
    router: Router,
    seat: (Counted, S),
    end: watch::Receiver<Option<End>>,
) {
    let paths = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let paths = paths.clone();
        async move { Ok::<_, Infallible>(answer(&paths, request).await) }
    });
    // No timer, so no limit on the time between two requests: an open connection is how a client
    // says that it is there. Those at the other end are processes of our own user. And what was
    // asked is done even if nobody waits for the answer.
    let mut requested = http1::Builder::new();
    let requested = requested.half_close(true).serve_connection(TokioIo::new(stream), service);
    let ended = attend(pin!(requested), end).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    drop(seat);
}

/// Answers what comes in by a connection until it ends, or until we do: then what is on its way is
/// still answered.
pub(super) async fn attend<I, S, B>(
    mut connection: Pin<&mut http1::Connection<I, S>>,
    mut end: watch::Receiver<Option<End>>,
) -> Result<(), hyper::Error>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let over = async {
        let _ = end.wait_for(Option::is_some).await;
        sleep(LINGER).await;
    };
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = over => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// The response of a path.
pub(super) async fn answer(
    paths: &TowerToHyperService<Router>,
    request: hyper::Request<Incoming>,
) -> Response {
    let request: Request = request.map(axum::body::Body::new);
    unbroken(paths.call(request).map(|Ok(response)| response)).await
}

/// A response, whatever comes: a panic on the way to it is one too.
pub(super) async fn unbroken(response: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(response).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a request broke something inside");
        Failure::internal().into_response()
    })
}

#[cfg(test)]
mod tests;
