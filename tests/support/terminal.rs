//! Somebody at a terminal, and what he sees on it.

use std::{
    io::{Read, Write},
    process::{Child, Command},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use pettycash::clock::instant;
use pty_process::blocking::{Command as OnTerminal, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

/// The longest that anything may take to be shown.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// What a shell leaves a terminal as: it shows what is typed, line by line, and Ctrl-C ends.
const SANE: LocalModes = LocalModes::ECHO.union(LocalModes::ICANON).union(LocalModes::ISIG);

pub(crate) const CTRL_C: &str = "\u{3}";
pub(crate) const CTRL_D: &str = "\u{4}";

/// A terminal of its own, on which a shell runs one command and then waits.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    shell: Child,
    shown: Receiver<Vec<u8>>,
    /// All that was shown, and how much of it was waited for.
    seen: String,
    passed: usize,
}

impl Terminal {
    /// Runs a command that `furnish` gives its environment, with these words.
    pub(crate) fn run(program: &str, words: &[String], furnish: impl FnOnce(&mut Command)) -> Self {
        // A shell that is started with its signals ignored, as in the background of another, can
        // neither trap them nor give them back to what it starts.
        let mut shell = if cfg!(target_os = "linux") {
            let mut shell = Command::new("env");
            shell.args(["--default-signal=INT", "/bin/sh"]);
            shell
        } else {
            Command::new("/bin/sh")
        };
        // Without its shell, which outlives it, the system would tidy the terminal up.
        let script = "trap : INT; \"$@\"; echo \"<ended $?>\"; read wait";
        furnish(shell.args(["-c", script, "sh", program]).args(words));
        let (pty, pts) = open().unwrap();
        // Wide enough that no line of ours is broken.
        pty.resize(pty_process::Size::new(50, 500)).unwrap();
        let shell = OnTerminal::from(shell).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (to, shown) = channel();
        let reading = Arc::clone(&pty);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = (&*reading).read(&mut piece) {
                if to.send(piece[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { pty, shell, shown, seen: String::new(), passed: 0 }
    }

    /// Waits until something new is shown.
    pub(crate) fn shows(&mut self, text: &str) -> &mut Self {
        while !self.seen[self.passed..].contains(text) {
            let piece = self.shown.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|_| panic!("{text:?} is never shown: {}", self.seen));
            self.seen += &String::from_utf8_lossy(&piece);
        }
        self.passed += self.seen[self.passed..].find(text).unwrap() + text.len();
        self
    }

    /// Types something that everybody may see.
    pub(crate) fn types(&mut self, text: &str) -> &mut Self {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
        self
    }

    /// Types something once the terminal shows nothing of what is typed.
    pub(crate) fn types_unseen(&mut self, text: &str) -> &mut Self {
        let began = instant();
        while self.modes().contains(LocalModes::ECHO) {
            assert!(began.elapsed() < PATIENCE, "the terminal shows what is typed: {}", self.seen);
            thread::sleep(PAUSE);
        }
        self.types(text)
    }

    /// Waits for the end of the command, and gives its code and all that was shown. The terminal
    /// is as it was before.
    pub(crate) fn ends(mut self) -> (i32, String) {
        self.shows("<ended ").shows(">");
        assert!(self.modes().contains(SANE), "{:?}: {}", self.modes(), self.seen);
        let code = self.seen.rsplit("<ended ").next().unwrap().split('>').next().unwrap();
        (code.parse().unwrap(), self.seen.clone())
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&*self.pty).unwrap().local_modes
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
