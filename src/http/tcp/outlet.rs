//! What was answered and has not yet left: until the system has it, its request is under way, and
//! for that there is a time.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long what was answered may take to leave, once the other end is too slow to take it all at
/// once.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// What is kept until everything that was answered on one connection has left.
#[derive(Debug)]
pub(super) struct Unsent<B>(Arc<Mutex<Vec<B>>>);

impl<B> Unsent<B> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    fn keep(&self, busy: B) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(busy);
    }

    fn let_go(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<B> Clone for Unsent<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The body of an answer, which keeps its request under way until it has left.
#[derive(Debug)]
pub(super) struct Answer<T, B> {
    body: T,
    busy: Option<B>,
    unsent: Unsent<B>,
}

impl<T, B> Answer<T, B> {
    pub(super) fn new(body: T, busy: Option<B>, unsent: Unsent<B>) -> Self {
        Self { body, busy, unsent }
    }
}

impl<T: Body + Unpin, B: Unpin> Body for Answer<T, B> {
    type Data = T::Data;
    type Error = T::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<T::Data>, T::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<T, B> Drop for Answer<T, B> {
    /// The connection has taken all of it, and will flush.
    fn drop(&mut self) {
        if let Some(busy) = self.busy.take() {
            self.unsent.keep(busy);
        }
    }
}

/// A connection that knows when everything has left it.
#[derive(Debug)]
pub(super) struct Outlet<T, B> {
    stream: T,
    unsent: Unsent<B>,
    /// Since it takes nothing, until it takes some.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<T, B> Outlet<T, B> {
    pub(super) fn new(stream: T, unsent: Unsent<B>) -> Self {
        Self { stream, unsent, stuck: None }
    }

    /// What came of a try to write, unless such tries have taken too long.
    fn in_time<R>(
        &mut self,
        tried: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if tried.is_ready() {
            self.stuck = None;
            return tried;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(LEAVES_WITHIN)));
        stuck.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin, B> AsyncRead for Outlet<T, B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin, B> AsyncWrite for Outlet<T, B> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(tried, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(tried, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for when all there is has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(cx);
        if tried.is_ready() {
            self.unsent.let_go();
        }
        self.in_time(tried, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
