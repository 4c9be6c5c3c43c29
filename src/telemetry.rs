//! Logs: what happened, on stderr or in a file of bounded size, never on stdout and never a secret.

use std::{
    env,
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

/// The environment's name for how much is told: `trace` to `error`, or a filter by target.
pub const FILTER_VARIABLE: &str = "PETTYCASH_LOG";
/// The environment's name for how it is told: `json`, or else lines for people.
pub const FORMAT_VARIABLE: &str = "PETTYCASH_LOG_FORMAT";
/// What a process that serves tells: of the library that speaks MCP only what is wrong, for it
/// tells of every session, and would tell its id.
pub const SERVING: &str = "info,rmcp=warn";
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
    use tracing::Level;

    use super::targets;

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
