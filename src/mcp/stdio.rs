//! MCP on standard input and output.
//!
//! Only the protocol ever goes to standard output.

use std::os::{
    fd::{AsFd, OwnedFd},
    unix::{fs::FileTypeExt, net::UnixStream as StdStream},
};

use rmcp::{ServiceExt, service::ServerInitializeError, transport::stdio_pipes};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

use super::{framing::Framed, reach::Reach, server::Server};

/// Why a session over standard input and output did not end as sessions end.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The client did not begin as the protocol says, or went away with its first answer.
    #[error("the client did not open an MCP session")]
    Opening(#[source] Box<ServerInitializeError>),
    /// The session's own task broke.
    #[error("the MCP session broke")]
    Broken(#[from] tokio::task::JoinError),
}

/// Serves until the client closes its end, and then gives the calls in flight some seconds to be
/// answered. Their payments do not depend on that.
///
/// # Errors
/// If the session could not be opened, or broke. A client that leaves before it says anything is
/// no error: some only look whether the program starts.
pub async fn serve_stdio<R: Reach>(server: Server<R>) -> Result<(), StdioError> {
    let (input, output) = standard_streams();
    match server.serve(Framed::new(input, output)).await {
        Ok(session) => {
            session.waiting().await?;
            Ok(())
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(StdioError::Opening(Box::new(error))),
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Standard input and output without a thread in between, where the client made that possible:
/// some give their children sockets, some pipes.
fn standard_streams() -> (Reader, Writer) {
    if let (Some(input), Some(output)) = (socket(std::io::stdin()), socket(std::io::stdout())) {
        return (Box::new(input), Box::new(output));
    }
    let (input, output) = stdio_pipes();
    (Box::new(input), Box::new(output))
}

/// The stream as a socket, if it is one. It then no longer blocks, for whoever else uses it too:
/// of this process nobody does.
fn socket(stream: impl AsFd) -> Option<UnixStream> {
    let own: OwnedFd = stream.as_fd().try_clone_to_owned().ok()?;
    let file = std::fs::File::from(own);
    if !file.metadata().ok()?.file_type().is_socket() {
        return None;
    }
    let socket = StdStream::from(OwnedFd::from(file));
    socket.set_nonblocking(true).ok()?;
    UnixStream::from_std(socket).ok()
}
