//! A client that writes lines and reads lines over pipes.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pettycash::clock::instant;
use serde_json::Value;

use super::{Said, ready};

/// One session with a server process, which ends with it.
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
    said: Said,
}

impl Session {
    /// Starts the server and shakes hands; says how long that took, from before it was started
    /// until `initialize` was answered.
    pub(crate) fn start(command: &mut Command) -> Result<(Self, Duration)> {
        let began = instant();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("no pipe")?;
        let output = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut session = Self { child, input, output, line: String::new(), said: Said::default() };
        let hello = session.said.hello();
        session.ask(&hello)?;
        let took = began.elapsed();
        writeln!(session.input, "{}", ready())?;
        Ok((session, took))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and reads the line that answers it.
    fn ask(&mut self, request: &Value) -> Result<Duration> {
        let id = self.said.last;
        let line = format!("{request}\n");
        let began = instant();
        self.input.write_all(line.as_bytes())?;
        self.line.clear();
        self.output.read_line(&mut self.line)?;
        let took = began.elapsed();
        ensure!(self.line.contains(&format!("\"id\":{id},")), "no answer: {}", self.line);
        Ok(took)
    }

    /// Calls a tool; `holds` is in every answer that is right.
    pub(crate) fn call(&mut self, name: &str, arguments: &Value, holds: &str) -> Result<Duration> {
        let request = self.said.call(name, arguments);
        let took = self.ask(&request)?;
        ensure!(self.line.contains(holds), "not what was asked for: {}", self.line);
        Ok(took)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
