//! One kind of socket, the connections kept open to it, and what to do when one breaks.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout_at},
};

use crate::home::Sockets;

/// The longest a request waits for its answer: a tool call must be answered within 25 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(24);
/// How long after a break a request may still be sent again, answer included.
const RESUME_WITHIN: Duration = Duration::from_millis(4_800);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// How many idle connections are kept.
const KEPT: usize = 16;
/// The longest answer that is read: every book of a large store.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// Finds the `serve` that owns the home, or starts one, and says where it listens.
pub type Finder =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Sockets, Unstarted>> + Send + Sync + 'static>;

/// Why there is no `serve` to speak to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Unstarted {
    /// What did not work.
    pub what: String,
    /// Why, as far as is known.
    #[source]
    pub cause: Option<Cause>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A cause of which only the text is left.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// Whether a request may be sent again after it may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It changes nothing, or carries an id by which it is done once.
    Always,
    /// Only as long as it cannot have arrived.
    UnlessSent,
}

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Agent,
    Operator,
}

/// A request that has no answer.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) maybe_sent: bool,
    pub(super) why: Why,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error(transparent)]
    Unstarted(Unstarted),
    #[error("the connection to `pettycash serve` broke: {0}")]
    Broken(String),
    #[error("`pettycash serve` did not answer in time")]
    TimedOut,
}

type Connection = SendRequest<Full<Bytes>>;

#[derive(Clone)]
pub(super) struct Line {
    inner: Arc<Inner>,
}

struct Inner {
    finder: Finder,
    plane: Plane,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    socket: Option<PathBuf>,
    idle: Vec<Connection>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("plane", &self.inner.plane).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(finder: Finder, plane: Plane) -> Self {
        Self { inner: Arc::new(Inner { finder, plane, kept: Mutex::default() }) }
    }

    /// Sends a request and reads its answer, again and again as far as that is allowed.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        proof: Option<&HeaderValue>,
        again: Again,
    ) -> Result<(StatusCode, Bytes), Lost> {
        let mut until = Instant::now() + ANSWER_WITHIN;
        let mut maybe_sent = false;
        let mut broken = false;
        loop {
            let mut sent = false;
            let mut request = request(&method, path, body.clone());
            if let Some(proof) = proof {
                request.headers_mut().insert(header::AUTHORIZATION, proof.clone());
            }
            let answer = timeout_at(until, self.exchange(request, &mut sent)).await;
            maybe_sent |= sent;
            let why = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(why)) => why,
                Err(_) => Why::TimedOut,
            };
            if !broken {
                broken = true;
                until = until.min(Instant::now() + RESUME_WITHIN);
            }
            let may_again = again == Again::Always || !maybe_sent;
            let in_time = Instant::now() + PAUSE < until;
            if !may_again || !in_time || !matches!(why, Why::Broken(_)) {
                return Err(Lost { maybe_sent, why });
            }
            tracing::debug!(path, maybe_sent, %why, "trying again");
            sleep(PAUSE).await;
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        sent: &mut bool,
    ) -> Result<(StatusCode, Bytes), Why> {
        let mut connection = self.open().await?;
        *sent = true;
        let response = match connection.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                *sent = error.take_message().is_none();
                return Err(Why::Broken(error.into_error().to_string()));
            }
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| Why::Broken(error.to_string()))?;
        self.keep(connection);
        Ok((status, body.to_bytes()))
    }

    /// An open connection: a kept one, or one to the socket last known, or to the one found.
    async fn open(&self) -> Result<Connection, Why> {
        while let Some(mut kept) = self.pop() {
            if !kept.is_closed() && kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let known = self.with_kept(|kept| kept.socket.clone());
        if let Some(socket) = known
            && let Ok(connection) = connect(&socket).await
        {
            return Ok(connection);
        }
        let sockets = (self.inner.finder)().await.map_err(Why::Unstarted)?;
        let socket = match self.inner.plane {
            Plane::Agent => sockets.agent,
            Plane::Operator => sockets.operator,
        };
        let connection = connect(&socket).await;
        let connection = connection.map_err(|error| Why::Broken(error.to_string()))?;
        self.with_kept(|kept| kept.socket = Some(socket));
        Ok(connection)
    }

    fn pop(&self) -> Option<Connection> {
        self.with_kept(|kept| kept.idle.pop())
    }

    fn keep(&self, connection: Connection) {
        self.with_kept(|kept| {
            if kept.idle.len() < KEPT && !connection.is_closed() {
                kept.idle.push(connection);
            }
        });
    }

    fn with_kept<R>(&self, act: impl FnOnce(&mut Kept) -> R) -> R {
        act(&mut self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn request(method: &Method, path: &str, body: Option<Bytes>) -> Request<Full<Bytes>> {
    let is_json = body.is_some();
    let mut request = Request::new(Full::new(body.unwrap_or_default()));
    *request.method_mut() = method.clone();
    // A path of ours is always one; were it not, serve answers that it knows no `/`.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("pettycash"));
    if is_json {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    request
}

async fn connect(socket: &Path) -> io::Result<Connection> {
    let stream = connect_to_us(socket).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to serve ended");
        }
    });
    Ok(sender)
}

/// Connects to a socket behind which a process of our own user listens.
pub(crate) async fn connect_to_us(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket).await?;
    if stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw() {
        return Ok(stream);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's process listens there"))
}
