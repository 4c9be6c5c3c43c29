//! A throw-away home, the processes that are started on it, and their end with the test.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use pettycash::{
    client::{Client, Finder, Operator},
    clock::instant,
    home::{Home, Serving},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::support::as_operator;

/// The longest that anything a test waits for may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long `serve.log` gets before it is put aside.
const MAX_LOG: usize = 1024 * 1024;

pub(super) struct TestHome {
    dir: TempDir,
    path: PathBuf,
    environment: Vec<(String, PathBuf)>,
}

impl TestHome {
    pub(super) fn new() -> Self {
        Self::named("home")
    }

    /// A home at `name` in a directory of its own.
    pub(super) fn named(name: &str) -> Self {
        let dir = TempDir::new().unwrap();
        // The name that the system itself gives it: on some, /tmp is a link.
        let path = fs::canonicalize(dir.path()).unwrap().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self { dir, path, environment: Vec::new() }.with("PETTYCASH_IDLE_EXIT", "60s")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The home itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory beside the home, which goes with it.
    pub(super) fn beside(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn serving(&self) -> Option<Serving> {
        Home::at(&self.path).ok()?.serving()
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path.join("serve.log")).unwrap_or_default()
    }

    /// Makes the log as long as it may get.
    pub(super) fn fill_log(&self) {
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).mode(0o600).open(self.path.join("serve.log"));
        log.unwrap().write_all(&vec![b'x'; MAX_LOG]).unwrap();
    }

    /// That the log was begun anew since it was filled, and what was in it kept, from others too.
    pub(super) fn assert_log_was_put_aside(&self) {
        assert!(self.log().len() < 10_000, "the log has {} bytes", self.log().len());
        let old = fs::metadata(self.path.join("serve.log.old")).unwrap();
        assert!(old.len() >= MAX_LOG as u64, "{} bytes were kept", old.len());
        assert_eq!(old.permissions().mode() & 0o777, 0o600);
    }

    /// `pettycash` with these arguments on this home.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pettycash"));
        self.furnish(as_operator(&mut command).args(arguments));
        command
    }

    /// Has a command work on this home.
    pub(super) fn furnish(&self, command: &mut Command) {
        command.env_remove("XDG_RUNTIME_DIR").env_remove("PETTYCASH_LOG");
        command.env("PETTYCASH_HOME", &self.path);
        command.env("XDG_STATE_HOME", self.dir.path().join("state"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What any client does first: it finds the `serve` of this home, or starts it.
    pub(super) fn touch(&self) -> Serving {
        let output = self.run(&["agent", "list", "--json"]);
        assert!(output.status.success(), "{} {}", text(&output.stderr), self.log());
        self.serving().unwrap()
    }

    /// Starts a `serve` by hand, and waits until it listens.
    pub(super) fn serve_by_hand(&self) -> Running {
        let child = self.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        until("it serves", || self.serving().is_some_and(|serving| serving.pid == running.pid()));
        running
    }

    /// Finds or starts a `serve` as every client does, in a process of its own.
    pub(super) fn finder(self: &Arc<Self>) -> Finder {
        let home = Arc::clone(self);
        Arc::new(move || {
            let home = Arc::clone(&home);
            let touched = tokio::task::spawn_blocking(move || {
                loop {
                    // The one that was just found may have been killed since.
                    home.run(&["agent", "list", "--json"]);
                    if let Some(serving) = home.serving() {
                        break serving.sockets;
                    }
                }
            });
            async move { Ok(touched.await.unwrap()) }.boxed()
        })
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        Client::new(self.finder())
    }

    pub(super) fn operator(self: &Arc<Self>) -> Operator {
        Operator::new(self.finder())
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        // Whoever holds the lock of this home was started by this test.
        let holder = fs::read(self.path.join("serve.lock")).unwrap_or_default();
        let holder = serde_json::from_slice::<serde_json::Value>(&holder).unwrap_or_default();
        let pid = holder["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        if let Some(pid) = pid.or_else(|| self.serving().map(|serving| serving.pid)) {
            kill(pid);
        }
    }
}

/// A process that ends with the test.
pub(super) struct Running(pub(super) Child);

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Ends a process as a power cut would.
pub(super) fn kill(process: u32) {
    let _ = kill_process(pid(process), Signal::KILL);
}

pub(super) fn terminate(process: u32) {
    kill_process(pid(process), Signal::TERM).unwrap();
}

/// Has a process wait where it is, until it is ended or told to go on.
pub(super) fn stop(process: u32) {
    kill_process(pid(process), Signal::STOP).unwrap();
}

pub(super) fn go_on(process: u32) {
    kill_process(pid(process), Signal::CONT).unwrap();
}

pub(super) fn is_alive(process: u32) -> bool {
    // One that has ended stays known until its parent looks, which not every first process does.
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    test_kill_process(pid(process)).is_ok() && !status.contains(") Z ")
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = instant();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends bytes to a socket and reads what comes back until it closes.
pub(super) fn raw(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}
