//! `verify` beside those who start, serve and end.

use std::{fs::File, path::Path, thread, time::Duration};

use super::proc_home::{Running, TestHome, go_on, is_alive, stop, terminate, text, until};

/// How often it is tried to stop a `verify` in the middle.
const MAX_TRIES: usize = 50;
/// Enough for reading the record to take a while.
const AGENTS: usize = 150;

fn end_of(mut verify: Running) -> (Option<i32>, String) {
    let status = verify.0.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(verify.0.stderr.as_mut().unwrap(), &mut said).unwrap();
    (status.code(), said)
}

#[test]
fn verify_waits_for_whoever_has_the_home_and_does_not_serve_yet() {
    let home = TestHome::new();
    end_serve(&home);
    let lock = File::options().write(true).open(home.path().join("serve.lock")).unwrap();
    lock.try_lock().unwrap();
    let mut verify = Running(home.command(&["verify"]).spawn().unwrap());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(verify.0.try_wait().unwrap(), None, "it looked at a record that another has");
    drop(lock);
    assert_eq!(end_of(verify), (Some(0), String::new()));
}

/// Ends the `serve` of the home, which is started first if there is none.
fn end_serve(home: &TestHome) {
    let serving = home.touch();
    terminate(serving.pid);
    until("it has ended", || !is_alive(serving.pid));
}

#[test]
fn whoever_needs_a_serve_does_not_wait_for_verify() {
    if !Path::new("/proc/self/fd").exists() {
        eprintln!("skipped: only where the system shows a process's open files");
        return;
    }
    let home = TestHome::new();
    for number in 0..AGENTS {
        let handle = format!("agent-{number}");
        let output =
            home.run(&["agent", "create", &handle, "--cap", "1.00/day", "--funding", "allowance"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    for came_and_went in [false, true] {
        end_serve(&home);
        let verify = stopped_in_the_middle(&home);
        let output = home.run(&["agent", "list"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        if came_and_went {
            end_serve(&home);
        }
        go_on(verify.pid());
        assert_eq!(end_of(verify), (Some(0), String::new()));
    }
}

/// A `verify` that is reading the journal, having seen how far it goes.
fn stopped_in_the_middle(home: &TestHome) -> Running {
    for _ in 0..MAX_TRIES {
        let mut verify = Running(home.command(&["verify"]).spawn().unwrap());
        let files = format!("/proc/{}/fd", verify.pid());
        let reads = || {
            let files = std::fs::read_dir(&files).into_iter().flatten().flatten();
            let open: Vec<_> =
                files.filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
            let has = |ending| open.iter().any(|path| path.to_string_lossy().ends_with(ending));
            has(".journal") && !has("/start.lock")
        };
        while verify.0.try_wait().unwrap().is_none() {
            if reads() {
                stop(verify.pid());
                if reads() {
                    return verify;
                }
                go_on(verify.pid());
            }
        }
    }
    panic!("it was never seen to read the journal with nobody kept from starting a serve");
}
