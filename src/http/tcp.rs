//! The TCP listener and the connections that come in by it, from whomever.
//!
//! Here, unlike on the sockets of our own user, a connection may be an attack by itself. What it
//! takes to say what it wants is bounded in time and size, and when all seats are taken, one that
//! has shown no token and asks nothing gives way to whoever comes.

mod outlet;
mod seats;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::response::IntoResponse;
use hyper::{Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::yield_now,
    time::sleep,
};

use super::{
    App, End,
    bearer::Servers,
    door::{Door, ProxyName},
    socket::{ACCEPT_PAUSE, attend, unbroken},
    web::Web,
};
use outlet::{Answer, Outlet, Unsent};
pub(super) use seats::Busy;
use seats::{Seat, Seats};

/// The most connections at once.
const MAX_CONNECTIONS: usize = 3_072;
/// How many of the files that may be open are not for these connections but for the record and
/// the sockets of this machine, by which an operator stops what goes wrong; where there are few,
/// half of them.
const FILES_KEPT: u64 = 512;
/// How many may wait to be accepted, where the system allows it.
const BACKLOG: u32 = 4_096;
/// How long the header of a request may take, from the end of the one before or the beginning of
/// the connection: so long does a connection stay that asks nothing.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// The longest header of a request, in bytes, and the most fields in it.
const MAX_HEADER: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// A listener that is bound.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    door: Door,
}

impl Listener {
    /// Binds an address, in front of which there may be a proxy that is reached by another name.
    pub(crate) fn bind(address: SocketAddr, proxy: Option<&ProxyName>) -> io::Result<Self> {
        let kind = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = kind?;
        // The address of a listener that has ended may be taken at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, door: Door::new(address, proxy) })
    }

    /// Where it listens, with the port that the system chose if it was to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the end, as many as leave enough of the files that may be open;
    /// agents are answered by these servers.
    pub(crate) async fn serve(self, app: &App, servers: impl Servers, files: Option<u64>) {
        let web = Arc::new(Web::new(app.clone(), self.door, servers));
        let most = connections(files);
        if most < MAX_CONNECTIONS {
            tracing::warn!(
                connections = most,
                ?files,
                "fewer connections over HTTP than there could be: so few files may be open"
            );
        }
        tokio::join!(web.keep_sessions(), accept(self.socket, web.clone(), app, most));
    }
}

/// How many connections there may be, where so many files may be open.
fn connections(files: Option<u64>) -> usize {
    let left = files.map(|files| files.saturating_sub(FILES_KEPT).max(files / 2));
    let left = left.and_then(|left| usize::try_from(left).ok());
    left.map_or(MAX_CONNECTIONS, |left| left.min(MAX_CONNECTIONS))
}

async fn accept(listener: TcpListener, web: Arc<Web<impl Servers>>, app: &App, most: usize) {
    let mut end = app.end.subscribe();
    let seats = Seats::new(most);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = end.wait_for(Option::is_some) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let open = app.connections.count();
                let (web, ended) = (web.clone(), app.end.subscribe());
                // Without a seat, which is where all others are busy, it is closed at once.
                seats.take(move |seat| {
                    tokio::spawn(async move {
                        connection(stream, web, seat, ended).await;
                        drop(open);
                    })
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // It may be that as many files are open as may be.
                seats.clear_one();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn connection(
    stream: TcpStream,
    web: Arc<Web<impl Servers>>,
    seat: Seat,
    end: watch::Receiver<Option<End>>,
) {
    // Answers are small and wait for nothing.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection delays what it sends");
    }
    let unsent = Unsent::new();
    let service = service_fn(|request: Request<Incoming>| {
        let (web, seat, unsent) = (web.clone(), seat.clone(), unsent.clone());
        async move {
            // Who sends many at once, and reads no answer, waits for his turn after each.
            yield_now().await;
            let mut busy = seat.busy();
            let response = match &mut busy {
                Some(busy) => unbroken(web.answer(request, busy)).await,
                // It has just been closed: nothing is begun any more.
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            };
            // A stranger who does not read keeps no seat.
            let busy = busy.filter(Busy::is_known);
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, busy, unsent)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEADER);
    let stream = TokioIo::new(Outlet::new(stream, unsent.clone()));
    let requested = builder.serve_connection(stream, service);
    if let Err(error) = attend(pin!(requested), end).await {
        tracing::debug!(%error, "a connection broke");
    }
}
