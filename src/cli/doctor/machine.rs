//! What the machine has: room, a log, a way to the program.

use std::{
    env,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::Check;
use crate::{cli::program::on_path, engine::LOW_WATER, home::Home};

/// Below this somebody should look.
const GETTING_LOW: u64 = 256 << 20;
/// How much of the log is read.
const LOG_TAIL: u64 = 64 * 1024;
/// How much of a line of the log is shown.
const SHOWN: usize = 160;

pub(super) fn disk(home: &Home) -> Check {
    let free = match rustix::fs::statvfs(home.dir()) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let found = format!("could not be looked at: {error}");
            return Check::warn("disk", found, format!("try `df {}`", home.dir().display()));
        }
    };
    room(free, home.dir())
}

/// What so many free bytes on the disk of `dir` mean.
fn room(free: u64, dir: &Path) -> Check {
    let found = format!("{} free", size(free));
    let fix = format!("free some room on the disk of {}", dir.display());
    match free {
        ..LOW_WATER => {
            let least = size(LOW_WATER);
            Check::fail("disk", format!("{found}; below {least} nothing new is paid"), fix)
        }
        LOW_WATER..GETTING_LOW => Check::warn("disk", found, fix),
        GETTING_LOW.. => Check::ok("disk", found),
    }
}

/// Bytes in words.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

pub(super) fn log(home: &Home) -> Check {
    let path = home.log();
    let (length, tail) = match read_tail(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok("log", "none: no client has started a `serve` here");
        }
        Err(error) => {
            let found = format!("could not be read: {error}");
            return Check::warn("log", found, format!("see {}", path.display()));
        }
        Ok(read) => read,
    };
    let errors = errors(&tail);
    match errors.last() {
        None => Check::ok("log", format!("{}, no errors since the last start", size(length))),
        Some(last) => {
            let last: String = last.chars().take(SHOWN).collect();
            let found = format!("{} since the last start, the last: {last}", errors.len());
            Check::warn("log", found, format!("see {}", path.display()))
        }
    }
}

fn read_tail(path: &Path) -> io::Result<(u64, String)> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut tail = Vec::new();
    log.take(LOG_TAIL).read_to_end(&mut tail)?;
    Ok((length, String::from_utf8_lossy(&tail).into_owned()))
}

/// The errors of the `serve` that listened last, or of those that came to nothing after it.
fn errors(log: &str) -> Vec<&str> {
    let starts = |line: &&str| line.contains("serving") && line.contains("started_by");
    let lines: Vec<&str> = log.lines().collect();
    let since = lines.iter().rposition(starts).unwrap_or(0);
    let is_error = |line: &&str| {
        let told = line.contains(" ERROR ") || line.contains(r#""level":"ERROR""#);
        told || line.starts_with("error: ") || line.contains(" panicked at ")
    };
    lines.into_iter().skip(since).filter(is_error).collect()
}

pub(super) fn path() -> Check {
    let this = env::current_exe().and_then(fs::canonicalize).unwrap_or_default();
    let dir = this.parent().unwrap_or(Path::new("/")).display().to_string();
    match on_path("pettycash") {
        None => {
            let fix = format!("put it there: export PATH=\"{dir}:$PATH\"");
            Check::warn("path", "`pettycash` is not on your PATH", fix)
        }
        Some(found) if fs::canonicalize(&found).unwrap_or_default() == this => {
            Check::ok("path", format!("`pettycash` is {}", found.display()))
        }
        Some(found) => {
            let found = format!("`pettycash` is {}, and this is another", found.display());
            Check::warn("path", found, format!("put this one first: export PATH=\"{dir}:$PATH\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{GETTING_LOW, LOW_WATER, errors, room};
    use crate::cli::doctor::Level;

    #[test]
    fn room_is_looked_at_before_it_is_too_little_to_pay() {
        let level = |free| room(free, Path::new("/h")).level;
        assert_eq!(level(GETTING_LOW), Level::Ok);
        assert_eq!(level(GETTING_LOW - 1), Level::Warn);
        assert_eq!(level(LOW_WATER), Level::Warn);
        assert_eq!(level(LOW_WATER - 1), Level::Fail);
        let told = room(LOW_WATER - 1, Path::new("/h"));
        assert_eq!(told.found, "63 MiB free; below 64 MiB nothing new is paid");
        assert_eq!(told.fix.as_deref(), Some("free some room on the disk of /h"));
    }

    #[test]
    fn only_errors_since_the_last_start_count() {
        let log = "2026 ERROR pettycash: old\n\
            2026  INFO pettycash::serve: serving home=/h pid=1 started_by=Client\n\
            2026  WARN pettycash: so so\n\
            2026 ERROR pettycash: new\n\
            error: it did not start\n";
        assert_eq!(errors(log), ["2026 ERROR pettycash: new", "error: it did not start"]);
        assert_eq!(errors("2026 ERROR a\n").len(), 1);
        assert!(errors("").is_empty());
    }
}
