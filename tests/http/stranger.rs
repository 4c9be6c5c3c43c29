//! Somebody of another user on the same machine.
//!
//! Only root can act as another user, so whoever else runs the tests skips these, and says so. With
//! `CI` set that would go unnoticed: there it is a failure, unless `SKIP_STRANGER=1` says that it
//! is meant.

use std::{
    env,
    fs::{self, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Gid, Uid},
    process::geteuid,
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use serde_json::json;

use crate::support::web::{Web, call, message_headers};

/// A user that owns nothing here.
const NOBODY: u32 = 65_534;

/// Whether nobody else can be acted as, and that may be passed over.
fn cannot_be_another() -> bool {
    let root = geteuid().is_root();
    let meant = env::var_os("CI").is_none() || env::var_os("SKIP_STRANGER").is_some();
    assert!(root || meant, "only root can act as another user: SKIP_STRANGER=1 goes without");
    if !root {
        eprintln!("skipped: only root can act as another user");
    }
    !root
}

/// Does something on a thread of its own that is `NOBODY`'s, to files as well as to sockets.
fn as_nobody<R: Send>(act: impl FnOnce() -> R + Send) -> R {
    let nobody = || {
        set_thread_groups(&[]).unwrap();
        set_thread_gid(Gid::from_raw(NOBODY)).unwrap();
        set_thread_uid(Uid::from_raw(NOBODY)).unwrap();
        act()
    };
    thread::scope(|scope| scope.spawn(nobody).join().unwrap())
}

/// What a request to a socket is answered, or why there is no asking.
fn ask(socket: &Path, request: &str) -> Result<String, ErrorKind> {
    let mut stream = UnixStream::connect(socket).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // Whoever is turned away may be before he has said anything.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.kind()),
        _ => Ok(answer),
    }
}

/// Every socket of a house, and something that its own user is answered there.
fn doors(web: &Web) -> [(PathBuf, String); 2] {
    let request = |line: &str, body: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: pettycash\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let pay = json!({"agent": "scout", "call_id": "call_1", "arguments": {"service_id": "search"}});
    let pay = request("POST /v1/tools/pay_for_api_call", &pay.to_string());
    let home = web.house.home();
    let operator = (home.join("operator.sock"), request("GET /v1/agents", ""));
    [operator, (home.join("agent.sock"), pay)]
}

#[test]
fn a_second_user_gets_nothing_by_any_socket_however_open_the_directory_is() {
    if cannot_be_another() {
        return;
    }
    let web = Web::furnished();
    let home = web.house.home();
    let doors = doors(&web);
    let nobody_gets = |wanted: Result<String, ErrorKind>, how: &str| {
        for (socket, request) in &doors {
            let got = as_nobody(|| ask(socket, request));
            assert_eq!(got, wanted, "{} with {how}", socket.display());
        }
        let ours = ask(&doors[0].0, &doors[0].1).unwrap();
        assert!(ours.contains("scout"), "its own user is let in with {how}: {ours}");
    };
    nobody_gets(Err(ErrorKind::PermissionDenied), "everything as it is made");
    let above = home.parent().unwrap();
    for dir in [above, &home] {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
    nobody_gets(Err(ErrorKind::PermissionDenied), "the directory open to all");
    for (socket, _) in &doors {
        fs::set_permissions(socket, Permissions::from_mode(0o666)).unwrap();
    }
    nobody_gets(Ok(String::new()), "the sockets open to all");
    assert!(web.log().contains("another user was turned away"));
    // As its own user the same request pays, so what kept the other out was who it was.
    let paid = ask(&doors[1].0, &doors[1].1).unwrap();
    assert!(paid.contains(r#""outcome":"paid""#), "{paid}");
    for file in ["serve.json", "journal"] {
        let opened = as_nobody(|| fs::File::open(home.join(file)).map(drop));
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::PermissionDenied, "{file}");
    }
    // Its own user, too, is told that the directory is open before he goes on.
    fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(web.house.operator_json("agent show scout")["spent_usd"], "0.02");
}

#[test]
fn a_second_user_without_a_token_gets_nothing_over_tcp() {
    if cannot_be_another() {
        return;
    }
    let web = Web::furnished();
    let pay = call(1, "pay_for_api_call", json!({"service_id": "search"}));
    let unknown = message_headers("agt_unknown");
    for line in ["POST /mcp", "GET /sse", "POST /messages", "GET /v1/agents", "POST /v1/agents"] {
        for headers in [&unknown[1..], &unknown] {
            let reply = as_nobody(|| web.connect().ask(line, headers, pay.as_bytes()));
            assert_eq!(
                (reply.status, &reply.json()["code"]),
                (401, &json!("token_unknown")),
                "{line}"
            );
        }
    }
    let health = as_nobody(|| web.connect().ask("GET /healthz", &[], b""));
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    assert_eq!(web.house.operator_json("agent show scout")["spent_usd"], "0.00");
}
