//! Logs: what happened, on stderr or in a file of bounded size, never on stdout and never a secret.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::OFlags;
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::policy::names::unhidden;

/// The environment's name for how much is told: `trace` to `error`, or a filter by target.
pub const FILTER_VARIABLE: &str = "PETTYCASH_LOG";
/// The environment's name for how it is told: `json`, or else lines for people.
pub const FORMAT_VARIABLE: &str = "PETTYCASH_LOG_FORMAT";
/// What a process that serves tells: nothing of the library that speaks MCP, which tells of every
/// session with its id, and takes a client that hung up for an error.
pub const SERVING: &str = "info,rmcp=off";
/// How long a log file gets before it is put aside.
const MAX_LOG: u64 = 1024 * 1024;

/// Logs to stderr what `PETTYCASH_LOG` asks for, or else `filter`. Only the first call counts.
pub fn to_stderr(filter: &str) {
    init(filter, io::stderr().is_terminal(), io::stderr);
}

/// Logs to a file that is put aside, as `.old`, when it is 1 MiB long. Only the first call counts.
pub fn to_file(path: PathBuf) {
    init(SERVING, false, BoundedLog(Mutex::new((None, path))));
}

fn init<W>(filter: &str, colours: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = env::var(FILTER_VARIABLE).unwrap_or_default();
    let parsed = targets(if asked.is_empty() { filter } else { &asked });
    let wrong = parsed.is_err();
    let filter = parsed.or_else(|_| targets(filter)).unwrap_or_default();
    let writer = Plain { writer, colours };
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    // It would tell stderr of a line that could not be written, and panic where stderr is just as
    // full: what cannot be logged must never keep anything from being done.
    let lines = lines.log_internal_errors(false);
    let json = env::var(FORMAT_VARIABLE).is_ok_and(|format| format == "json");
    // It fails where something logs already, which then goes on doing so.
    let _ = if json {
        lines.json().finish().with(filter).try_init()
    } else {
        lines.with_ansi(colours).finish().with(filter).try_init()
    };
    if wrong {
        tracing::warn!(filter = asked, "{FILTER_VARIABLE} is not a filter and is left out");
    }
}

/// Levels by target. Filters by span and field are not known: nothing here opens a span, and what
/// reads them is a quarter of a megabyte of program in every process.
fn targets(filter: &str) -> Result<Targets, ParseError> {
    let one_by_one = filter.split(',').map(str::trim).filter(|one| !one.is_empty());
    one_by_one.collect::<Vec<_>>().join(",").parse()
}

/// Opens a log file for whoever starts a process that writes to it unbounded, once the file is put
/// aside if it is 1 MiB long.
///
/// # Errors
/// If it cannot be opened, or is too long and cannot be begun anew.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    let log = open(path)?;
    put_aside(&log, path)?;
    Ok(log)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

fn put_aside(log: &File, path: &Path) -> io::Result<()> {
    if log.metadata()?.len() >= MAX_LOG {
        // One that cannot be kept, as on a full disk, is in nobody's way either.
        let _ = fs::copy(path, path.with_extension("log.old"));
        log.set_len(0)?;
    }
    Ok(())
}

/// How the colours of lines for people begin; no more than that passes to a terminal.
const COLOURS: [&str; 10] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[3m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[34m",
    "\u{1b}[35m",
    "\u{1b}[36m",
];

/// Writes one line, whatever is in it: a hidden character is told as `\u001b`, as JSON has it.
///
/// Fields carry what others say, our libraries' too, and none of them may begin a line of its own
/// or tell the operator's terminal what to do.
struct Plain<W> {
    writer: W,
    colours: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Plain<W> {
    type Writer = Plain<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Plain { writer: self.writer.make_writer(), colours: self.colours }
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.writer.write_all(plain(&text, self.colours).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A line as it may be written, its end as it is.
fn plain(line: &str, colours: bool) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let plain = unhidden(text, |rest, hidden, plain| {
        if let Some(colour) = COLOURS.into_iter().find(|one| colours && rest.starts_with(one)) {
            plain.push_str(colour);
            return colour.len();
        }
        for unit in hidden.encode_utf16(&mut [0; 2]) {
            // Writing to a text does not fail.
            let _ = write!(plain, "\\u{unit:04x}");
        }
        hidden.len_utf8()
    });
    plain + end
}

/// A log file that others append to as well, so that it is truncated in place, never replaced.
struct BoundedLog(Mutex<(Option<File>, PathBuf)>);

impl<'a> MakeWriter<'a> for BoundedLog {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &BoundedLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, path) = &mut *log;
        if file.is_none() {
            *file = Some(open(path)?);
        }
        let Some(file) = file else { return Ok(text.len()) };
        put_aside(file, path)?;
        // A line is one write, so that those of two processes do not mix.
        file.write_all(text)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing::Level;

    use super::{Plain, plain, targets};
    use crate::policy::names::is_hidden;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of `said` as a field that is shown as it is.
    fn logged(said: &str, colours: bool, json: bool) -> String {
        let kept = Kept::default();
        let of = kept.clone();
        let writer = Plain { writer: move || of.clone(), colours };
        let lines = tracing_subscriber::fmt().with_writer(writer).with_ansi(colours);
        let log = || tracing::warn!(id = %said, "refused {said}");
        if json {
            tracing::subscriber::with_default(lines.json().finish(), log);
        } else {
            tracing::subscriber::with_default(lines.finish(), log);
        }
        let kept = kept.0.lock().unwrap().clone();
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn no_field_begins_a_line_or_speaks_to_a_terminal() {
        let odd = ["\u{1b}]0;x\u{7}", "\u{9b}2J", "a\rb\u{7f}\u{0}", "\u{202e}gnp.exe \u{e0041}"];
        for said in ["7\n2026 ERROR forged"].into_iter().chain(odd) {
            for (colours, json) in [(false, false), (false, true), (true, false)] {
                let line = logged(said, colours, json);
                let line = line.strip_suffix('\n').unwrap();
                assert_eq!(line.contains("\u{1b}[33m"), colours, "{line:?}");
                // Each colour begins with ESC and `[`; nothing else that is a control is there.
                let uncoloured = line.replace("\u{1b}[", "");
                assert!(!uncoloured.contains(is_hidden), "{said:?}: {line:?}");
                if json {
                    let read: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!(read["fields"]["id"], said, "{line:?}");
                }
            }
        }
        assert_eq!(plain("a\u{1b}[2Jb\tc €\n", true), "a\\u001b[2Jb\\u0009c €\n");
        assert_eq!(plain("\u{1b}[31mred\n\n", false), "\\u001b[31mred\\u000a\n");
    }

    #[test]
    fn a_level_or_a_list_by_target_is_a_filter() {
        let warn = targets("warn").unwrap();
        assert!(warn.would_enable("rmcp", &Level::WARN));
        assert!(!warn.would_enable("rmcp", &Level::INFO));
        let some = targets("warn, pettycash=debug,hyper=off,").unwrap();
        assert!(some.would_enable("pettycash::store", &Level::DEBUG));
        assert!(some.would_enable("rmcp", &Level::WARN));
        assert!(!some.would_enable("rmcp", &Level::INFO));
        assert!(!some.would_enable("hyper", &Level::ERROR));
        assert!(!targets("off").unwrap().would_enable("pettycash", &Level::ERROR));
    }

    #[test]
    fn what_is_no_filter_is_told_apart() {
        assert!(targets("pettycash=loud").is_err());
    }
}
