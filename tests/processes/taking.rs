//! Taking a home over: what may be in the way of the record, and how long that is put up with.

use std::{
    fs::{self, File},
    os::unix::fs::chown,
    thread,
    time::Duration,
};

use pettycash::clock::instant;

use super::proc_home::{Running, TestHome, is_alive, terminate, text, until};

/// Any user but ours.
const STRANGER: u32 = 54_321;

/// A home that was served before, with its record held as by the process that has just ended.
fn home_in_use() -> (TestHome, File) {
    let home = TestHome::new();
    let serving = home.touch();
    terminate(serving.pid);
    until("it has ended", || !is_alive(serving.pid));
    let journal = File::open(home.path().join("journal")).unwrap();
    journal.try_lock().unwrap();
    (home, journal)
}

/// A `serve` by hand that has the home but not the record.
fn serve_that_waits(home: &TestHome) -> Running {
    let serve = Running(home.command(&["serve"]).spawn().unwrap());
    let holder = || fs::read_to_string(home.path().join("serve.lock")).unwrap_or_default();
    let named = format!("\"pid\":{},", serve.pid());
    until("it has the lock", || holder().contains(&named));
    serve
}

#[test]
fn a_record_that_is_let_go_of_late_is_waited_for() {
    let (home, journal) = home_in_use();
    let letting_go = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        drop(journal);
    });
    home.touch();
    letting_go.join().unwrap();
}

#[test]
fn a_record_that_is_not_let_go_of_is_given_up() {
    let (home, _journal) = home_in_use();
    let output = home.run(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
}

#[test]
fn a_signal_ends_a_serve_whose_record_is_not_open_yet() {
    let (home, journal) = home_in_use();
    let mut serve = serve_that_waits(&home);
    let start = instant();
    terminate(serve.pid());
    let ended = serve.0.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(start.elapsed() < Duration::from_millis(1_500), "it took {:?}", start.elapsed());
    drop(journal);
    home.touch();
}

#[test]
fn what_belongs_to_another_user_is_refused_with_the_command_that_mends_it() {
    let us = rustix::process::geteuid().as_raw();
    if us != 0 {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    let (home, journal) = home_in_use();
    drop(journal);
    for (path, code) in [(home.path().to_owned(), 1), (home.path().join("journal"), 5)] {
        chown(&path, Some(STRANGER), None).unwrap();
        let output = home.run(&["agent", "list"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(&format!("belongs to user {STRANGER}, not to us, user 0")), "{said}");
        assert!(said.contains(&format!("hint: sudo chown 0 {}\n", path.display())), "{said}");
        chown(&path, Some(us), None).unwrap();
    }
    home.touch();
}

#[test]
fn a_serve_whose_socket_was_taken_away_makes_room_for_another() {
    let home = TestHome::new();
    let serving = home.touch();
    fs::remove_file(home.path().join("agent.sock")).unwrap();
    until("it has ended", || !is_alive(serving.pid));
    assert_ne!(home.touch().pid, serving.pid);
}

#[test]
fn what_stands_in_the_place_of_a_note_holds_nobody_up() {
    let home = TestHome::new();
    let note = home.path().join("serve.json");
    let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(&note).status();
    assert!(made.unwrap().success());
    let start = instant();
    assert!(home.run(&["agent", "list"]).status.success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
