//! An upstream on this machine that writes byte for byte what a test tells it to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Listens until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    written: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One connection to it.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Which connection it is, from zero.
    pub(crate) number: usize,
    requests: Arc<Mutex<Vec<String>>>,
    written: Arc<AtomicUsize>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Does that with every connection.
    pub(crate) async fn start<F>(each: impl Fn(Peer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, written) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let shared = (Arc::clone(&accepted), Arc::clone(&requests), Arc::clone(&written));
        let task = tokio::spawn(async move {
            // They end with the upstream.
            let mut peers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.0.fetch_add(1, Ordering::SeqCst);
                let (requests, written) = (Arc::clone(&shared.1), Arc::clone(&shared.2));
                peers.spawn(each(Peer { stream, number, requests, written }));
            }
        });
        Self { address, accepted, requests, written, task }
    }

    /// Reads each request and answers with these bytes, then closes.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.request().await;
                peer.write(&answer).await;
            }
        })
        .await
    }

    /// How many connections were made to it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// What it was asked, as it came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many bytes it could write.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Reads a request, if there is one.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let request = request_of(&mut self.stream).await?;
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Writes, and says whether the other side still takes it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        let done = self.stream.write_all(bytes).await.is_ok();
        if done {
            self.written.fetch_add(bytes.len(), Ordering::SeqCst);
        }
        done
    }

    /// Writes that over and over, until the other side takes no more.
    pub(crate) async fn write_on(&mut self, bytes: &[u8]) {
        while self.write(bytes).await {}
    }
}

/// Reads one request: its head, and as much of a body as it says.
pub(crate) async fn request_of(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read.len() >= end + 4 + length.map_or(0, |length| length.parse().unwrap()) {
                return Some(String::from_utf8_lossy(&read).into_owned());
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}
