//! What APIs answer into files: with the payment, or later; and never into a terminal.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::Output,
    thread,
};

use serde_json::Value;

use super::Desk;
use crate::support::canary::{KEY, keep};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\xff\x1b[2J canary-0123456789abcdef";
/// The same as it comes back.
const SCRUBBED: &[u8] = b"\x89PNG\r\n\x1a\n\0\xff\x1b[2J [redacted]";

/// A desk whose service `api` answers a request for a place whose name begins with a `t` with
/// text, one with an `x` with a refusal, and others with a picture.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 1.00/day --per-call 0.25 --funding allowance");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let key = desk.home().join("api.key");
    keep(KEY, &key);
    let policy = desk.home().join("api.toml");
    let text = format!(
        "schema = 1\n[services.api]\npayee = \"Api\"\nrail = \"proxy\"\nprice = \"0.02\"\n\
         base_url = \"http://{}\"\nsecret = {{ file = \"{}\" }}\n\
         headers = {{ authorization = \"Bearer {{secret}}\" }}\n[[services.api.operations]]\n\
         name = \"tile\"\nmethod = \"GET\"\npath = \"/tile/{{place}}\"\n",
        listener.local_addr().unwrap(),
        key.display()
    );
    fs::write(&policy, text).unwrap();
    desk.ok(&format!("apply {}", policy.display()));
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut asked = [0; 4_096];
            let length = stream.read(&mut asked).unwrap();
            let (status, kind, body) = match asked[..length].get(10) {
                Some(b't') => (200, "text/plain", b"the map".as_slice()),
                Some(b'x') => (404, "text/plain", b"no such tile".as_slice()),
                _ => (200, "image/png", PNG),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n"
            );
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    desk
}

/// Pays for a place with these words more.
fn pay(desk: &Desk, place: &str, more: &str) -> Output {
    let request = format!(r#"{{"operation": "tile", "params": {{"place": "{place}"}}}}"#);
    Desk::done(desk.command(&format!("pay scout api {more} --request")).arg(request))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn file(desk: &Desk, name: &str) -> PathBuf {
    desk.home().join(name)
}

fn mode(path: &PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_no_text_is_never_printed_and_can_be_written_later() {
    let desk = desk();
    let told = text(pay(&desk, "lyon", "").stdout);
    let id = &told[told.find("pay_").unwrap()..][..20];
    assert!(
        told.contains(&format!("\nanswered 200, image/png, {} bytes\n", SCRUBBED.len())),
        "{told}"
    );
    assert!(
        told.ends_with(&format!("`pettycash response {id} --output FILE` has it.\n")),
        "{told}"
    );
    assert!(!told.contains('\u{1b}') && !told.contains("PNG"), "{told}");
    let path = file(&desk, "lyon.png");
    let said = desk.ok(&format!("response {id} --output {}", path.display()));
    let size = SCRUBBED.len();
    assert_eq!(said, format!("Wrote {size} bytes of image/png to {}.\n", path.display()));
    assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (SCRUBBED, 0o600));
    let told = desk.fails(&format!("response {id} --output {}", path.display()), 2);
    assert!(told.contains("is there already") && told.contains("--force"), "{told}");
    let again = desk.json(&format!("response {id} --output {} --force --json", path.display()));
    assert_eq!((&again["payment_id"], &again["bytes"]), (&id.into(), &size.into()));
    desk.end_serve();
    let other = file(&desk, "other.png");
    let told = desk.fails(&format!("response {id} --output {}", other.display()), 1);
    assert!(told.contains("no response of pay_") && told.contains("15 minutes"), "{told}");
    assert!(!other.exists());
}

#[test]
fn what_is_answered_goes_to_a_file_that_nobody_else_may_read() {
    let desk = desk();
    for (place, name, body) in [("lyon", "a.png", SCRUBBED), ("tours", "a.txt", b"the map")] {
        let path = file(&desk, name);
        let paid = pay(&desk, place, &format!("--output {}", path.display()));
        let (told, said) = (text(paid.stdout), text(paid.stderr));
        assert!(
            told.starts_with("Paid $0.02 for api (pay_") && !told.contains("the map"),
            "{told}"
        );
        assert!(!told.contains("--output"), "it is written: {told}");
        assert!(said.starts_with(&format!("Wrote {} bytes of ", body.len())), "{said}");
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (body, 0o600));
    }
    let path = file(&desk, "b.png");
    let paid = pay(&desk, "lyon", &format!("--json --output {}", path.display()));
    let told: Value = serde_json::from_slice(&paid.stdout).unwrap();
    assert_eq!(told["response"]["bytes"], SCRUBBED.len());
    assert_eq!(fs::read(&path).unwrap(), SCRUBBED);
    let path = file(&desk, "refused.txt");
    let refused = pay(&desk, "x", &format!("--output {}", path.display()));
    assert_eq!(
        (refused.status.code(), fs::read(&path).unwrap()),
        (Some(3), b"no such tile".into())
    );
}

#[test]
fn nothing_is_paid_where_it_could_not_be_written() {
    let desk = desk();
    let (taken, link) = (file(&desk, "taken.png"), file(&desk, "link.png"));
    fs::write(&taken, "mine").unwrap();
    symlink(file(&desk, "nowhere"), &link).unwrap();
    let nowhere = file(&desk, "no/such/dir.png");
    for (path, why) in [
        (&taken, "is there already"),
        (&link, "is there already"),
        (&nowhere, "there is no directory"),
        (&desk.home().to_owned(), "is a directory"),
    ] {
        let refused = pay(&desk, "lyon", &format!("--output {}", path.display()));
        let said = text(refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("hint: "), "{said}");
    }
    assert_eq!(desk.json("agent show scout --json")["available_usd"], "1.00");
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    // A link gives way as a file does: what it leads to stays.
    for path in [&taken, &link] {
        let paid = pay(&desk, "lyon", &format!("--force --output {}", path.display()));
        assert!(paid.status.success(), "{}", text(paid.stderr));
        assert_eq!((fs::read(path).unwrap().as_slice(), mode(path)), (SCRUBBED, 0o600));
    }
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink() && !file(&desk, "nowhere").exists());
    for line in ["pay scout api --output x.png", "response pay_0000000000001a2c"] {
        assert!(desk.fails(line, 2).contains("hint: "), "{line}");
    }
}
