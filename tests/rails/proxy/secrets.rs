//! Where secrets come from, and what is said where they do not.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use pettycash::rails::proxy::{Scrub, Secret, Secrets, Source, Wrong};
use rustix::{fs::Mode, process::getuid};
use tokio::time::Instant;

use super::CANARY;
use crate::support::{private_dir, set_mode};

/// Whether it is that secret, told without looking at it.
fn is(secret: &Secret, text: &str) -> bool {
    Scrub::new(Some(secret)).text(text.as_bytes()) == b"[redacted]"
}

fn put(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    set_mode(path, mode);
}

fn command(words: &[&str]) -> Source {
    Source::Command(words.iter().map(|&word| word.to_owned()).collect())
}

async fn wrong(source: &Source) -> Wrong {
    let error = Secrets::default().read(source).await.unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    error.wrong()
}

#[tokio::test]
async fn a_secret_is_read_from_the_environment() {
    let secrets = Secrets::default();
    // Which `cargo test` sets.
    let found = secrets.read(&Source::Env("CARGO_PKG_NAME".to_owned())).await.unwrap();
    assert!(is(&found, "pettycash"));
    for name in ["PETTYCASH_NO_SUCH_VARIABLE", "", "A=B"] {
        assert_eq!(wrong(&Source::Env(name.to_owned())).await, Wrong::Unset);
    }
}

#[tokio::test]
async fn a_file_is_read_anew_for_each_call_and_only_where_it_is_ours_alone() {
    let dir = private_dir();
    let path = dir.path().join("key");
    let source = Source::File(path.clone());
    assert_eq!(wrong(&source).await, Wrong::Unreadable);
    let secrets = Secrets::default();
    for (text, line) in [("first-secret", "\n"), ("other-secret", "\r\n"), ("third-secret", "")] {
        put(&path, &format!("{text}{line}"), 0o600);
        assert!(is(&secrets.read(&source).await.unwrap(), text));
    }
    set_mode(&path, 0o400);
    assert!(secrets.read(&source).await.is_ok());
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644] {
        set_mode(&path, mode);
        assert_eq!(wrong(&source).await, Wrong::Open, "{mode:o}");
    }
    set_mode(&path, 0o600);
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(wrong(&Source::File(link)).await, Wrong::NotAFile);
    assert_eq!(wrong(&Source::File(dir.path().to_owned())).await, Wrong::NotAFile);
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(wrong(&Source::File(pipe)).await, Wrong::NotAFile);
    if getuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert_eq!(wrong(&source).await, Wrong::NotOurs);
    }
}

#[tokio::test]
async fn what_could_not_be_kept_out_of_answers_is_no_secret() {
    let dir = private_dir();
    let path = dir.path().join("key");
    let long = "a".repeat(4097);
    let endless = "a".repeat(1 << 20);
    let cases = [
        ("", Wrong::TooShort),
        ("\n", Wrong::TooShort),
        ("canary1", Wrong::TooShort),
        ("canary1\r\n", Wrong::TooShort),
        (long.as_str(), Wrong::TooLong),
        (endless.as_str(), Wrong::TooLong),
        ("canary12\n\n", Wrong::NotPlain),
        ("canary12\nsecond line", Wrong::NotPlain),
        ("canary\u{0}12", Wrong::NotPlain),
        ("canary\t12", Wrong::NotPlain),
        ("canary12 ", Wrong::NotPlain),
        (" canary12", Wrong::NotPlain),
        ("canary-é-12", Wrong::NotPlain),
    ];
    for (text, expected) in cases {
        put(&path, text, 0o600);
        assert_eq!(wrong(&Source::File(path.clone())).await, expected, "{}", text.len());
    }
    put(&path, &"a".repeat(4096), 0o600);
    assert!(Secrets::default().read(&Source::File(path)).await.is_ok());
}

#[tokio::test]
async fn a_command_prints_a_secret_and_no_shell_reads_it() {
    let secrets = Secrets::default();
    let words = ["printf", "%s\\n", "$HOME;`id`&&"];
    assert!(is(&secrets.read(&command(&words)).await.unwrap(), "$HOME;`id`&&"));
    assert_eq!(wrong(&command(&["/no/such/program"])).await, Wrong::NotRun);
    assert_eq!(wrong(&command(&[])).await, Wrong::NotRun);
    assert_eq!(wrong(&command(&["sh", "-c", "echo canary-1; exit 3"])).await, Wrong::Failed);
    assert_eq!(wrong(&command(&["sh", "-c", "echo canary-1 >&2"])).await, Wrong::TooShort);
    // It has nothing to read, so it does not wait for somebody to type.
    assert_eq!(wrong(&command(&["cat"])).await, Wrong::TooShort);
    assert_eq!(wrong(&command(&["yes", "canary"])).await, Wrong::TooLong);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let dir = private_dir();
    let file = dir.path().join("id");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let secrets = Secrets::patient(Duration::from_millis(500), Duration::ZERO, Duration::ZERO);
    let began = Instant::now();
    let error = secrets.read(&command(&["sh", "-c", &script])).await.unwrap_err();
    assert_eq!(error.wrong(), Wrong::TooSlow);
    assert!(began.elapsed() < Duration::from_secs(5));
    let id = fs::read_to_string(file).unwrap();
    let alive = |status: String| !status.contains("State:\tZ");
    for _ in 0..100 {
        if !fs::read_to_string(format!("/proc/{}/status", id.trim())).is_ok_and(alive) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what it started is still there");
}

#[tokio::test]
async fn what_a_command_says_is_kept_for_a_while_and_forgotten_when_told() {
    let dir = private_dir();
    let file = dir.path().join("count");
    let script = format!("echo x >> {0}; echo secret-$(wc -l < {0} | tr -d ' ')", file.display());
    let source = command(&["sh", "-c", &script]);
    let secrets = Secrets::patient(Duration::from_secs(5), Duration::from_secs(60), Duration::ZERO);
    // Many that ask at once wait for one.
    let asked = (0..8).map(|_| secrets.read(&source));
    for secret in futures_util::future::join_all(asked).await {
        assert!(is(&secret.unwrap(), "secret-1"));
    }
    secrets.forget(&source);
    assert!(is(&secrets.read(&source).await.unwrap(), "secret-2"));
    let brief = Secrets::patient(Duration::from_secs(5), Duration::ZERO, Duration::ZERO);
    for expected in ["secret-3", "secret-4"] {
        assert!(is(&brief.read(&source).await.unwrap(), expected));
    }
}

#[tokio::test]
async fn that_a_command_failed_is_kept_for_moments_so_that_many_calls_wait_for_one() {
    let dir = private_dir();
    let file = dir.path().join("count");
    let script = format!("echo x >> {}; sleep 60", file.display());
    let source = command(&["sh", "-c", &script]);
    let runs = || fs::read_to_string(&file).unwrap().lines().count();
    let patience = Duration::from_millis(500);
    let secrets = Secrets::patient(patience, Duration::ZERO, Duration::from_secs(60));
    let began = Instant::now();
    let asked = (0..32).map(|_| secrets.read(&source));
    for told in futures_util::future::join_all(asked).await {
        assert_eq!(told.unwrap_err().wrong(), Wrong::TooSlow);
    }
    assert!(began.elapsed() < patience * 4, "{:?}", began.elapsed());
    assert_eq!(secrets.read(&source).await.unwrap_err().wrong(), Wrong::TooSlow);
    assert_eq!(runs(), 1);
    // One who comes while it runs waits no longer than the others.
    secrets.forget(&source);
    let late = async {
        tokio::time::sleep(patience / 2).await;
        secrets.read(&source).await
    };
    let (first, late) = tokio::join!(secrets.read(&source), late);
    assert!(first.is_err() && late.is_err());
    assert_eq!(runs(), 2);
    let brief = Secrets::patient(patience, Duration::ZERO, Duration::ZERO);
    for expected in [3, 4] {
        assert!(brief.read(&source).await.is_err());
        assert_eq!(runs(), expected, "it is tried again");
    }
}

#[cfg(not(feature = "keyring"))]
#[tokio::test]
async fn a_keyring_is_not_read_and_that_is_said() {
    let source = Source::Keyring("anthropic".to_owned());
    let error = Secrets::default().read(&source).await.unwrap_err();
    let said = "the keyring's `anthropic` is not read: this build reads no keyring; name a file, a \
                variable or a command";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn the_words_of_a_command_are_not_repeated() {
    let source = command(&["/no/such/program", "--token", CANARY]);
    let error = Secrets::default().read(&source).await.unwrap_err();
    let said = "the command `/no/such/program` cannot be run: name a program by its full path, and \
                each argument by itself";
    assert_eq!(error.to_string(), said);
}
