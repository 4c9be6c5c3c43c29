//! One session: what its client sends goes in checked, what the server answers goes to whom it is
//! for.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, RequestId, ServerJsonRpcMessage},
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

use super::{Bearer, SessionId};
use crate::mcp::framing::{InFlight, Passed, Verdict, answered, check, opens};

/// How many messages of a client may lie before its server; the next one waits.
const TO_SERVER: usize = 16;
/// How many messages that answer nothing are kept for a stream that takes them; then the oldest
/// gives way.
const UNASKED: usize = 16;

/// Where the answers of a session go.
#[derive(Debug)]
pub(in crate::http) enum Outgoing {
    /// Each to the request that it answers.
    EachAlone,
    /// All into one stream, as they come.
    Stream(mpsc::Sender<ServerJsonRpcMessage>),
}

/// How many requests of a session whose answers all go into one stream may wait for them: they hold
/// no connection of their own.
const WAITING_FOR_STREAM: usize = 64;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// Nothing more is asked in it: it ends with its last answer.
    Leaving,
    Ended,
}

/// The session has ended.
#[derive(Debug, thiserror::Error)]
#[error("the session has ended")]
pub(in crate::http) struct Ended;

pub(in crate::http) struct Session {
    pub(super) id: SessionId,
    pub(super) bearer: Bearer,
    out: Outgoing,
    to_server: mpsc::Sender<ClientJsonRpcMessage>,
    life: watch::Sender<Life>,
    /// There is something unasked for a stream.
    spoke: Notify,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    in_flight: InFlight,
    /// Who waits for the answers, where each goes alone; nobody yet while the request is on its
    /// way to the server.
    waiting: HashMap<RequestId, Option<oneshot::Sender<ServerJsonRpcMessage>>>,
    /// What the server says of its own accord, where each answer goes alone.
    unasked: VecDeque<ServerJsonRpcMessage>,
    /// The handshake is done. Until then the library takes whatever is no request for a reason to
    /// end.
    opened: bool,
    streams: usize,
    /// What the newest of the streams holds the other end of.
    newest: Option<oneshot::Sender<()>>,
    used: Instant,
}

impl fmt::Debug for Session {
    /// Without the id, which is for its client alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(id: SessionId, bearer: Bearer, out: Outgoing) -> (Arc<Self>, Transport) {
        let (to_server, from_client) = mpsc::channel(TO_SERVER);
        let in_flight = match out {
            Outgoing::EachAlone => InFlight::default(),
            Outgoing::Stream(_) => InFlight::of_at_most(WAITING_FOR_STREAM),
        };
        let desk = Desk {
            in_flight,
            waiting: HashMap::new(),
            unasked: VecDeque::new(),
            opened: false,
            streams: 0,
            newest: None,
            used: Instant::now(),
        };
        let (life, desk) = (watch::Sender::new(Life::Open), Mutex::new(desk));
        let spoke = Notify::new();
        let session = Arc::new(Self { id, bearer, out, to_server, life, spoke, desk });
        (session.clone(), Transport { session, from_client })
    }

    pub(in crate::http) fn id(&self) -> &SessionId {
        &self.id
    }

    /// Looks at a message of the client. A request that passes is in flight from now on; unless it
    /// goes to the server, it no longer is when `Begun` is dropped.
    pub(in crate::http) fn check(self: &Arc<Self>, line: &[u8]) -> (Verdict, Option<Begun>) {
        let mut desk = self.desk();
        desk.used = Instant::now();
        let verdict = check(line, &desk.in_flight);
        let Verdict::Pass(Passed::Request(id)) = &verdict else { return (verdict, None) };
        desk.in_flight.begin(id.clone());
        desk.waiting.insert(id.clone(), None);
        let begun = Begun { session: self.clone(), id: Some(id.clone()) };
        (verdict, Some(begun))
    }

    /// Looks at the requests that are in flight.
    pub(in crate::http) fn with_in_flight<R>(&self, look: impl FnOnce(&InFlight) -> R) -> R {
        look(&self.desk().in_flight)
    }

    /// Sends a message to the server. A request gets its answer by the receiver.
    pub(in crate::http) async fn send(
        &self,
        message: ClientJsonRpcMessage,
    ) -> Result<oneshot::Receiver<ServerJsonRpcMessage>, Ended> {
        let (sender, receiver) = oneshot::channel();
        let room = self.to_server.reserve().await.map_err(|_| Ended)?;
        // Without waiting in between: whoever stops waiting has sent all of it or nothing.
        let mut desk = self.desk();
        // The server may still be there to take it, and will never look at it.
        if self.has_ended() {
            return Err(Ended);
        }
        match &message {
            ClientJsonRpcMessage::Request(request) => {
                desk.waiting.insert(request.id.clone(), Some(sender));
            }
            ClientJsonRpcMessage::Notification(_)
            | ClientJsonRpcMessage::Response(_)
            | ClientJsonRpcMessage::Error(_)
                if !desk.opened =>
            {
                return Ok(receiver);
            }
            ClientJsonRpcMessage::Notification(_)
            | ClientJsonRpcMessage::Response(_)
            | ClientJsonRpcMessage::Error(_) => {}
        }
        room.send(message);
        Ok(receiver)
    }

    /// The client no longer waits for an answer. Its id stays taken as long as it may come.
    pub(in crate::http) fn cancel(&self, id: RequestId) {
        let mut desk = self.desk();
        if desk.opened {
            desk.waiting.remove(&id);
            desk.in_flight.cancel(id);
            self.settle(&desk);
        }
    }

    /// Takes an answer of the server to whom it is for. Its id is free again before it is seen, so
    /// that no client is too fast.
    async fn answer(&self, message: ServerJsonRpcMessage) -> Result<(), Ended> {
        let room = match &self.out {
            Outgoing::EachAlone => None,
            Outgoing::Stream(stream) => Some(stream.reserve().await.map_err(|_| Ended)?),
        };
        let mut desk = self.desk();
        desk.opened |= opens(&message);
        desk.used = Instant::now();
        let waiting = answered(&message).and_then(|id| {
            desk.in_flight.end(id);
            desk.waiting.remove(id).flatten()
        });
        match (room, waiting) {
            (Some(room), _) => room.send(message),
            // It fails where the client has gone, which is then as well.
            (None, Some(waiting)) => drop(waiting.send(message)),
            (None, None) if answered(&message).is_none() => {
                if desk.unasked.len() == UNASKED {
                    desk.unasked.pop_front();
                }
                desk.unasked.push_back(message);
                self.spoke.notify_one();
            }
            (None, None) => tracing::debug!("nobody waits for an answer"),
        }
        self.settle(&desk);
        Ok(())
    }

    /// Ends a session that is leaving, once nobody waits for an answer in it.
    fn settle(&self, desk: &Desk) {
        if *self.life.borrow() == Life::Leaving && desk.in_flight.is_quiet() {
            self.life.send_replace(Life::Ended);
        }
    }

    /// A stream that the client holds open in this session, which is in use until it is dropped;
    /// and what comes to an end when the client opens another in its place.
    pub(super) fn stream(self: &Arc<Self>) -> (Streaming, oneshot::Receiver<()>) {
        let (newest, replaced) = oneshot::channel();
        let mut desk = self.desk();
        desk.streams += 1;
        desk.newest = Some(newest);
        (Streaming(self.clone()), replaced)
    }

    /// The next message that the server sends of its own accord, once there is one.
    pub(super) async fn unasked(&self) -> ServerJsonRpcMessage {
        loop {
            let message = self.desk().unasked.pop_front();
            match message {
                Some(message) => return message,
                None => self.spoke.notified().await,
            }
        }
    }

    /// Since when nobody has used the session, if nobody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let desk = self.desk();
        let streamed = matches!(self.out, Outgoing::Stream(_));
        (desk.in_flight.is_quiet() && desk.streams == 0 && !streamed).then_some(desk.used)
    }

    /// Ends the session where it stands: its server reads no more, its streams end, and who waits
    /// is let go. What was begun is brought to its end all the same.
    pub(super) fn end(&self) {
        self.life.send_replace(Life::Ended);
        self.desk().waiting.clear();
    }

    /// Ends the session with its last answer: whoever waits for one may have paid, and is told. A
    /// stream on which no answer comes ends now.
    pub(super) fn leave(&self) {
        let desk = self.desk();
        self.life.send_if_modified(|life| {
            let leaves = *life == Life::Open;
            *life = (*life).max(Life::Leaving);
            leaves
        });
        self.settle(&desk);
    }

    /// Whether the session has ended.
    pub(in crate::http) fn has_ended(&self) -> bool {
        *self.life.borrow() == Life::Ended
    }

    /// Waits until nothing more is asked in the session.
    pub(super) fn leaving(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.comes_to(Life::Leaving)
    }

    /// Waits for the end of the session.
    pub(in crate::http) fn ended(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.comes_to(Life::Ended)
    }

    fn comes_to(&self, far: Life) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut life = self.life.subscribe();
        async move {
            // An error says that the session is gone altogether.
            let _ = life.wait_for(|life| *life >= far).await;
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is in flight.
pub(in crate::http) struct Begun {
    session: Arc<Session>,
    id: Option<RequestId>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let mut desk = self.session.desk();
        if desk.waiting.get(&id).is_some_and(Option::is_none) {
            desk.waiting.remove(&id);
            desk.in_flight.end(&id);
            self.session.settle(&desk);
        }
    }
}

/// A stream that is open.
pub(super) struct Streaming(Arc<Session>);

impl Drop for Streaming {
    fn drop(&mut self) {
        let mut desk = self.0.desk();
        desk.streams = desk.streams.saturating_sub(1);
        desk.used = Instant::now();
    }
}

/// The server's end of a session.
pub(in crate::http) struct Transport {
    session: Arc<Session>,
    from_client: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Transport {
    pub(in crate::http) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Transport {
    /// Nobody waits for a server that is gone, however it went.
    fn drop(&mut self) {
        self.session.end();
    }
}

impl rmcp::transport::Transport<RoleServer> for Transport {
    type Error = Ended;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Ended>> + Send + 'static {
        let session = self.session.clone();
        async move { session.answer(message).await }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        tokio::select! {
            message = self.from_client.recv() => message,
            () = self.session.ended() => None,
        }
    }

    async fn close(&mut self) -> Result<(), Ended> {
        self.session.end();
        Ok(())
    }
}
