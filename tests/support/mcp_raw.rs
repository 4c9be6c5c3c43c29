//! A client that speaks MCP line by line, and looks at every byte that the server writes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::canary::keyless;

/// More than any answer takes; a test that waits longer has found silence.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each request says of itself where there is no handshake.
pub(crate) fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    })
}

/// One client and the server process that it started.
pub(crate) struct Raw {
    child: Child,
    input: Option<Box<dyn Write + Send>>,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
    errors: JoinHandle<String>,
    next: u64,
    modern: bool,
}

impl Raw {
    /// Starts the server with pipes, as a shell or Python does.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = Box::new(child.stdin.take().unwrap());
        let output = Box::new(child.stdout.take().unwrap());
        Self::on(child, input, output)
    }

    /// Goes on with a server that was started otherwise; its standard error must be a pipe.
    pub(crate) fn on(
        mut child: Child,
        input: Box<dyn Write + Send>,
        output: Box<dyn Read + Send>,
    ) -> Self {
        let (send, lines) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let errors = thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            said
        });
        Self { child, input: Some(input), lines, reader, errors, next: 0, modern: false }
    }

    /// From now on every request carries the protocol's version itself, as since 2026-07-28.
    pub(crate) fn modern(mut self) -> Self {
        self.modern = true;
        self
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// Sends a request and gives its id.
    pub(crate) fn send(&mut self, method: &str, mut params: Value) -> u64 {
        self.next += 1;
        if self.modern {
            params["_meta"] = modern_meta();
        }
        let id = self.next;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send_text(&format!("{message}\n"));
        id
    }

    /// The next line, which is a message of the protocol or a fault.
    pub(crate) fn line(&mut self) -> String {
        let line = keyless(self.lines.recv_timeout(PATIENCE).expect("an answer"));
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        line
    }

    /// The message that answers a request: its `result` or `error` is in it.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let message: Value = serde_json::from_str(&self.line()).unwrap();
        assert_eq!(message["id"], id, "{message}");
        message
    }

    pub(crate) fn initialize(&mut self, version: &str) -> Value {
        let client = json!({"name": "raw", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        let answer = self.request("initialize", params);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.send_text(&format!("{ready}\n"));
        answer["result"].clone()
    }

    /// The tools as the server lists them.
    pub(crate) fn tools(&mut self) -> Vec<Value> {
        let mut answer = self.request("tools/list", json!({}));
        serde_json::from_value(answer["result"]["tools"].take()).unwrap()
    }

    /// Calls a tool, and gives the answer once it is sure that every host would show the same.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut params = json!({"name": tool});
        params["arguments"] = arguments;
        let id = self.send("tools/call", params);
        self.answer(id)
    }

    /// The answer to the call with this id, which must be the next line.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        let line = self.line();
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["id"], id, "{line}");
        let result = &message["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{line}"));
        let same = format!("\"structuredContent\":{text}");
        assert!(line.contains(&same), "text and structure differ: {line}");
        let answer = result["structuredContent"].clone();
        let fine = [Value::Null, "paid".into(), "in_progress".into(), "allowed".into()];
        let fine = fine.contains(&answer["outcome"]);
        assert_eq!(result["isError"], !fine, "{line}");
        answer
    }

    pub(crate) fn pay(&mut self, arguments: Value) -> Value {
        self.call("pay_for_api_call", arguments)
    }

    /// Closes the server's input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Ends the server as nothing can be survived.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Hangs up and waits for the end, whatever is still answered.
    pub(crate) fn leave(mut self) -> ExitStatus {
        self.hang_up();
        self.child.wait().unwrap()
    }

    /// Hangs up and waits for the end: how it ended, and what it said on standard error.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.hang_up();
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        assert_eq!(self.lines.try_recv().ok(), None, "an answer nobody asked for");
        (status, keyless(self.errors.join().unwrap()))
    }
}
