//! A `serve` that listens for HTTP, and what it takes to speak to it byte by byte.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use pettycash::{
    clock::Clock,
    engine::Engine,
    home::Home,
    policy::terms::NewToken,
    rails::Rails,
    store::{Options, Store},
};
use serde_json::{Value, json};

use super::{canary::keyless, file_disk, mcp_house::House};

/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A house whose `serve` listens.
pub(crate) struct Web {
    pub(crate) house: House,
    pub(crate) address: SocketAddr,
    serve: Child,
    /// Of each agent, and the operator's.
    tokens: HashMap<String, Vec<String>>,
    operator: String,
}

impl Web {
    /// Starts `serve` in a furnished house, whose agent has two tokens.
    pub(crate) fn furnished() -> Self {
        Self::open(House::furnished(), &[("scout", 2)])
    }

    /// Starts `serve` in a house whose agents have so many tokens.
    pub(crate) fn open(house: House, tokens: &[(&str, usize)]) -> Self {
        Self::open_as(house, tokens, "serve --listen 127.0.0.1:0")
    }

    /// The same with these words. It tells all that it can in its log.
    pub(crate) fn open_as(house: House, tokens: &[(&str, usize)], words: &str) -> Self {
        let command = house.command(words);
        Self::open_by(house, tokens, command, "trace")
    }

    /// The same where so much is asked that a log of all of it would be most of the work.
    pub(crate) fn open_quiet(house: House, tokens: &[(&str, usize)]) -> Self {
        let command = house.command("serve --listen 127.0.0.1:0");
        Self::open_by(house, tokens, command, "warn")
    }

    /// The same, telling in its log what it tells unasked.
    pub(crate) fn open_by_default(house: House, tokens: &[(&str, usize)]) -> Self {
        let command = house.command("serve --listen 127.0.0.1:0");
        Self::open_by(house, tokens, command, "")
    }

    /// The same where no more than so many files may be open.
    pub(crate) fn open_with_files(house: House, tokens: &[(&str, usize)], files: usize) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {files}; exec \"$0\" serve --listen 127.0.0.1:0");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_pettycash")]);
        house.furnish(&mut command);
        Self::open_by(house, tokens, command, "trace")
    }

    /// The same by this command, telling so much in its log.
    fn open_by(house: House, tokens: &[(&str, usize)], mut command: Command, level: &str) -> Self {
        house.end_serve();
        let (tokens, operator) = issue(&house, tokens);
        let (serve, address) = listening(&house, command.env("PETTYCASH_LOG", level));
        Self { house, address, serve, tokens, operator }
    }

    /// Kills the process as a power cut would end it, and starts another.
    pub(crate) fn kill_and_start(&mut self) {
        let ended = self.serve.try_wait().unwrap();
        assert!(ended.is_none(), "the kill must hit a living process: {}", self.log());
        self.serve.kill().unwrap();
        self.serve.wait().unwrap();
        let mut command = self.house.command("serve --listen 127.0.0.1:0");
        (self.serve, self.address) = listening(&self.house, command.env("PETTYCASH_LOG", "trace"));
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.house.home().with_file_name("log")).unwrap_or_default()
    }

    /// A token of an agent's.
    pub(crate) fn token(&self, agent: &str, number: usize) -> String {
        self.tokens[agent][number].clone()
    }

    /// A token of the operator's.
    pub(crate) fn operator_token(&self) -> String {
        self.operator.clone()
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::to(self.address)
    }

    /// The process itself.
    pub(crate) fn serve(&mut self) -> &mut Child {
        &mut self.serve
    }
}

/// Starts a `serve` in a house by this command, and waits until it says where it listens.
fn listening(house: &House, command: &mut Command) -> (Child, SocketAddr) {
    let path = house.home().with_file_name("log");
    let log = File::options().create(true).append(true).open(&path).unwrap();
    let serve = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
    let note = house.home().join("serve.json");
    let address = (0..1_000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        let note: Value = serde_json::from_slice(&fs::read(&note).ok()?).ok()?;
        let ours = note["pid"] == serve.id();
        note["listen"].as_str().filter(|_| ours)?.parse().ok()
    });
    let said = || fs::read_to_string(path).unwrap_or_default();
    (serve, address.unwrap_or_else(|| panic!("no address: {}", said())))
}

/// Has the engine of a house that nobody serves issue tokens: so many of each agent's, and one of
/// the operator's.
fn issue(house: &House, wanted: &[(&str, usize)]) -> (HashMap<String, Vec<String>>, String) {
    let home = Home::at(&house.home()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options::new(Clock::System, home.desk());
        let store = Store::open(Arc::new(file_disk(&home.journal())), options).unwrap();
        let engine = Engine::open(store, Rails::default(), Clock::System).await.unwrap();
        let new = NewToken::default;
        let mut tokens = HashMap::new();
        for (agent, count) in wanted {
            let handle = agent.parse().unwrap();
            let mut own = Vec::new();
            for _ in 0..*count {
                let given = engine.issue_token(&handle, new()).await.unwrap();
                own.push(given.token.expose().to_owned());
            }
            tokens.insert((*agent).to_owned(), own);
        }
        let operator = engine.issue_operator_token(new()).await.unwrap();
        let operator = operator.token.expose().to_owned();
        engine.close().await;
        (tokens, operator)
    })
}

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    /// The JSON of the body, be it one or the data of a stream's one event.
    pub(crate) fn json(&self) -> Value {
        let text = match self.body.strip_prefix("data:") {
            Some(data) => data.trim(),
            None => &self.body,
        };
        serde_json::from_str(text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The answer of a tool in it.
    pub(crate) fn answer(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["result"]["structuredContent"].clone()
    }
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), host: address.to_string() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends what may come too late.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// What comes until the other end closes, as far as it comes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        keyless(String::from_utf8_lossy(&rest).into_owned())
    }

    /// Reads the head of an answer and leaves its body.
    pub(crate) fn head(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "cut off after {lines:?}");
            if line.trim().is_empty() {
                break;
            }
            lines.push(keyless(line.trim()).to_owned());
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines[1..].iter().map(|line| line.split_once(": ").unwrap());
        let headers = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Reply { status, headers, body: String::new() }
    }

    /// The next piece of a body that comes in pieces; nothing after the last.
    pub(crate) fn piece(&mut self) -> Option<String> {
        let mut size = String::new();
        self.stream.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut piece = vec![0; size + 2];
        self.stream.read_exact(&mut piece).unwrap();
        piece.truncate(size);
        (size > 0).then(|| keyless(String::from_utf8(piece).unwrap()))
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        reply.body = self.body(&reply);
        reply
    }

    /// Reads the body that belongs to a head.
    pub(crate) fn body(&mut self, head: &Reply) -> String {
        if head.status == 204 {
            return String::new();
        }
        if let Some(length) = head.headers.get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            return keyless(String::from_utf8(body).unwrap());
        }
        std::iter::from_fn(|| self.piece()).collect()
    }

    /// Whether the other end neither says anything nor closes for a moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let read = self.stream.fill_buf().map(<[u8]>::len);
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Whether the other end closes, and says no more before than a refusal.
    pub(crate) fn ends(&mut self) -> bool {
        self.stream.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Sends a request with these header lines and gives the answer.
    pub(crate) fn ask(&mut self, line: &str, headers: &[String], body: &[u8]) -> Reply {
        let mut lines = vec![format!("{line} HTTP/1.1")];
        if !headers.iter().any(|header| header.to_lowercase().starts_with("host:")) {
            lines.push(format!("Host: {}", self.host));
        }
        lines.extend_from_slice(headers);
        lines.push(format!("Content-Length: {}\r\n\r\n", body.len()));
        self.send(&[lines.join("\r\n").as_bytes(), body].concat());
        self.reply()
    }

    /// Posts a message to `/mcp`.
    pub(crate) fn post(&mut self, token: &str, session: Option<&str>, body: &[u8]) -> Reply {
        let mut headers = message_headers(token);
        headers.extend(session.map(|session| format!("Mcp-Session-Id: {session}")));
        self.ask("POST /mcp", &headers, body)
    }

    /// Opens a session on `/mcp` and gives its id.
    pub(crate) fn initialize(&mut self, token: &str) -> String {
        let reply = self.post(token, None, initialize("2025-11-25").as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        let session = reply.headers["mcp-session-id"].clone();
        let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(self.post(token, Some(&session), ready.as_bytes()).status, 202);
        session
    }

    /// Calls a tool in a session.
    pub(crate) fn call(&mut self, token: &str, session: &str, tool: &str, args: Value) -> Reply {
        self.post(token, Some(session), call(1, tool, args).as_bytes())
    }

    /// Opens a stream of the older transport and gives the path for its messages.
    pub(crate) fn open_sse(&mut self, token: &str) -> String {
        let request = format!(
            "GET /sse HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Accept: text/event-stream\r\n\r\n",
            self.host
        );
        self.send(request.as_bytes());
        let head = self.head();
        assert_eq!(head.status, 200, "{head:?}");
        let first = self.piece().unwrap();
        let rest =
            first.strip_prefix("event: endpoint\ndata: ").unwrap_or_else(|| panic!("{first}"));
        rest.trim().to_owned()
    }

    /// The next message in such a stream, past the comments that keep it alive: one or none, for
    /// nothing takes longer than the time between two.
    pub(crate) fn event(&mut self) -> Option<Value> {
        for _ in 0..2 {
            let piece = self.piece()?;
            if let Some(data) = piece.strip_prefix("event: message\ndata: ") {
                return Some(serde_json::from_str(data.trim()).unwrap());
            }
            assert!(piece.starts_with(':'), "{piece}");
        }
        panic!("nothing but comments");
    }
}

/// The headers of a message.
pub(crate) fn message_headers(token: &str) -> Vec<String> {
    vec![
        format!("Authorization: Bearer {token}"),
        "Content-Type: application/json".to_owned(),
        "Accept: application/json, text/event-stream".to_owned(),
    ]
}

pub(crate) fn initialize(version: &str) -> String {
    let client = json!({"name": "raw", "version": "1"});
    let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> String {
    let mut params = json!({"name": tool});
    params["arguments"] = arguments;
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.serve.kill();
        let _ = self.serve.wait();
    }
}
