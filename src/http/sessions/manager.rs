//! The sessions of one bearer as the library asks for them.

use std::{future::ready, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::{SessionId, SessionManager, session::ServerSseMessage},
};

use super::{Bearer, Ended, NoRoom, Outgoing, Session, Sessions, Transport};

/// The sessions that one bearer may use.
#[derive(Debug)]
pub(in crate::http) struct Manager {
    pub(in crate::http) sessions: Sessions,
    pub(in crate::http) bearer: Bearer,
}

/// Why a session cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum ManagerError {
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The library asks for what it cannot have.
    #[error("a stream does not go on where it broke off")]
    NoResuming,
}

impl Manager {
    fn session(&self, id: &SessionId) -> Result<Arc<Session>, Ended> {
        self.sessions.of(&self.bearer, id).ok_or(Ended)
    }
}

impl SessionManager for Manager {
    type Error = ManagerError;
    type Transport = Transport;

    async fn create_session(&self) -> Result<(SessionId, Transport), ManagerError> {
        let transport = self.sessions.open(&self.bearer, Outgoing::EachAlone)?;
        Ok((transport.session().id().clone(), transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, ManagerError> {
        let answer = self.session(id)?.send(message).await?;
        Ok(answer.await.map_err(|_| Ended)?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, ManagerError> {
        Ok(self.session(id).is_ok())
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), ManagerError> {
        self.sessions.let_go(&self.bearer, id);
        Ok(())
    }

    /// The stream of one request carries its answer, and ends.
    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, ManagerError> {
        let answer = self.session(id)?.send(message).await?;
        let answer = answer.into_stream();
        Ok(answer.filter_map(|answer| ready(answer.ok().map(ServerSseMessage::from_message))))
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), ManagerError> {
        self.session(id)?.send(message).await?;
        Ok(())
    }

    /// What the server says of its own accord: what belongs to a call as well, for the stream of a
    /// request carries its answer alone. Ours says nothing; the stream is there for clients that
    /// want one, and ends with the session. Of one session there is one, the newest. Who opens
    /// another has often lost the last and knows it before we do: to refuse him, as some servers
    /// do with 409, makes clients give up the session.
    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, ManagerError> {
        let session = self.session(id)?;
        let (streaming, replaced) = session.stream();
        let leaving = session.leaving();
        let ended = Box::pin(async move {
            tokio::select! {
                () = leaving => {}
                _ = replaced => {}
            }
        });
        let open = (session, streaming, ended);
        Ok(stream::unfold(open, async |(session, streaming, mut ended)| {
            let message = tokio::select! {
                biased;
                () = &mut ended => return None,
                message = session.unasked() => message,
            };
            Some((ServerSseMessage::from_message(message), (session, streaming, ended)))
        }))
    }

    async fn resume(
        &self,
        _: &SessionId,
        _: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, ManagerError> {
        Err::<stream::Empty<_>, _>(ManagerError::NoResuming)
    }
}
