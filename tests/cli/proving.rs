//! What asks for an operator, and what never does.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use pettycash::{
    client::{ClientError, Proof},
    policy::terms::TopUp,
};

use super::*;
use crate::support::{AGENT_MARKS, set_mode};

const RIGHT: &str = "correct horse battery";

/// A desk with an agent `scout` that is frozen, an agent `intern`, and a payment of $0.02.
fn furnished() -> (Desk, String) {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --per-call 0.25 --funding allowance");
    desk.ok("agent create intern");
    desk.ok("agent create last");
    desk.ok(r#"service add search --payee "Acme Search" --price 0.02"#);
    let paid = desk.json("pay scout search --json")["payment_id"].as_str().unwrap().to_owned();
    desk.ok("agent freeze scout");
    (desk, paid)
}

fn initialise(desk: &Desk) -> String {
    initialise_showing(desk, "")
}

/// The same by whoever shows an operator's token.
fn initialise_showing(desk: &Desk, token: &str) -> String {
    let file = secret(desk, "passphrase", format!("{RIGHT}\n"));
    let mut line = desk.command(&format!("operator init --passphrase-file {}", file.display()));
    let done = line.env("PETTYCASH_OPERATOR_TOKEN", token).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("from now on"), "{told}");
    std::fs::remove_file(file).unwrap();
    told
}

/// A file that only we can read.
fn secret(desk: &Desk, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let file = desk.home().join(name);
    std::fs::write(&file, text).unwrap();
    set_mode(&file, 0o600);
    file
}

/// Lines that give something that exists more, and end well where that is proven.
fn raising(paid: &str) -> Vec<String> {
    let lines = [
        "top-up intern 1.00",
        "mandate set scout --cap 6.00/day",
        "mandate set scout --cap 5.00/day --per-call 0.50",
        "agent unfreeze scout",
        "agent unfreeze --all",
        "agent token scout",
        "pay scout search",
        "operator token",
        r#"service add report --payee "Acme Reports" --no-price"#,
        r#"service add search --payee "Somebody Else" --price 0.02 --replace"#,
    ];
    let refund = format!("refund {paid} 0.01");
    lines.iter().map(|line| (*line).to_owned()).chain([refund]).collect()
}

/// Lines that take power away, or only read.
const LOWERING: [&str; 10] = [
    "agent freeze scout",
    "mandate set scout --cap 4.00/day",
    "mandate set scout --cap 9.00/day --dry-run",
    "mandate set scout --no-local",
    "service remove search",
    "agent list",
    "ledger",
    "operator tokens",
    "agent freeze --all",
    "agent revoke scout --reason theft",
];

#[test]
fn once_there_is_a_passphrase_what_gives_more_takes_a_proof_and_what_gives_less_does_not() {
    let (desk, paid) = furnished();
    let token = desk.run("operator token --json").stdout;
    let token: Value = serde_json::from_slice(&token).unwrap();
    let (text, id) = (token["token"].as_str().unwrap(), token["token_id"].as_str().unwrap());
    initialise_showing(&desk, text);
    let mut lines = raising(&paid);
    // What is new gives more as well, once it is known who may give.
    lines.extend(
        ["agent create more", "pay intern search", "init --agent second"].map(str::to_owned),
    );
    let before = desk.ok("ledger --json");
    for line in &lines {
        let told = desk.fails(line, 7);
        assert!(
            told.contains("proof") && told.contains("hint: type the passphrase"),
            "{line}: {told}"
        );
        let told: Value = serde_json::from_str(&desk.fails(&format!("{line} --json"), 7)).unwrap();
        assert_eq!(told["error"]["code"], "operator_proof_required", "{line}");
    }
    assert_eq!(desk.ok("ledger --json"), before, "nothing was done");

    let file = secret(&desk, "token", format!("{text}\n")).display().to_string();
    for (n, line) in lines.iter().enumerate() {
        // By turns from the environment and from a file.
        let done = match n % 2 {
            0 => desk.command(line).env("PETTYCASH_OPERATOR_TOKEN", text).output().unwrap(),
            _ => desk.run(&format!("{line} --operator-token-file {file}")),
        };
        let denied = line.starts_with("pay ") && done.status.code() == Some(3);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() || denied, "{line}: {said}");
        assert!(!said.contains(text));
    }
    for line in LOWERING {
        desk.ok(line);
    }
    desk.ok(&format!("operator token-revoke {id}"));
    let told = desk.fails(&format!("top-up intern 1.00 --operator-token-file {file}"), 7);
    assert!(told.contains("was revoked") && !told.contains(text), "{told}");
    secret(&desk, "token", &text[..50]);
    let told = desk.fails(&format!("top-up intern 1.00 --operator-token-file {file}"), 7);
    assert!(told.contains("cut or mistyped") && !told.contains(&text[..50]), "{told}");
}

#[test]
fn an_agent_gives_nobody_more_where_there_is_no_passphrase() {
    let (desk, paid) = furnished();
    let before = desk.ok("ledger --json");
    let mut lines = raising(&paid);
    lines.extend(
        [
            "operator init",
            "agent create rich --cap 100.00/day --funding allowance",
            "init --agent second",
            "pay intern search",
        ]
        .map(str::to_owned),
    );
    for line in &lines {
        let done = desk.command(line).env("CLAUDECODE", "1").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(7), "{line}: {said}");
        for word in ["CLAUDECODE is set", "guard rail, not a wall", "pettycash operator init"] {
            assert!(said.contains(word), "{line}: {said}");
        }
    }
    for mark in AGENT_MARKS {
        let done = desk.command("top-up intern 1.00 --json").env(mark, "yes").output().unwrap();
        let told: Value = serde_json::from_slice(&done.stderr).unwrap();
        assert_eq!(told["error"]["code"], "operator_needed", "{mark}");
    }
    assert_eq!(desk.ok("ledger --json"), before, "nothing was done");
    // What people set for themselves is no agent's mark.
    for (name, value) in [("CODEX_HOME", "/somewhere"), ("CLAUDECODE", "")] {
        let done = desk.command("top-up intern 1.00").env(name, value).output().unwrap();
        assert!(done.status.success(), "{name}");
    }
    // What starts at zero, and what is there already, gives nobody anything.
    for line in LOWERING.iter().chain(&["agent create more", "init --agent intern"]) {
        let done = desk.command(line).env("CLAUDECODE", "1").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{line}: {said}");
    }
}

#[test]
fn an_agent_with_a_proof_is_taken_for_the_operator_who_gave_it() {
    let (desk, _) = furnished();
    let token = desk.run("operator token");
    let token = String::from_utf8(token.stdout).unwrap();
    initialise_showing(&desk, token.trim());
    let mut line = desk.command("top-up intern 1.00");
    let done = line.env("CLAUDECODE", "1").env("PETTYCASH_OPERATOR_TOKEN", token.trim()).output();
    assert!(done.unwrap().status.success());
    // And no `serve` that is started along the way is left with it.
    desk.end_serve();
    let mut line = desk.command("agent list");
    line.env("PETTYCASH_OPERATOR_TOKEN", token.trim()).output().unwrap();
    let pid = Home::at(desk.home()).unwrap().serving().unwrap().pid;
    if let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) {
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains("OPERATOR_TOKEN"), "{environment}");
    }
}

#[test]
fn the_first_passphrase_tells_which_tokens_end_with_it_and_which_go_on() {
    let (desk, _) = furnished();
    let token = |desk: &Desk, label| desk.json(&format!("operator token --label {label} --json"));
    let (planted, ours) = (token(&desk, "planted"), token(&desk, "ci"));
    desk.json("agent token intern --label laptop --json");
    let told = initialise_showing(&desk, ours["token"].as_str().unwrap());
    let id = ours["token_id"].as_str().unwrap();
    for part in ["prove nothing now: 1.", "go on: 1, ", &format!("{id} (ci)"), "intern 1."] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("planted") && !told.contains("opr_"), "{told}");
    let listed = desk.json("operator tokens --json");
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
    let mut line = desk.command("top-up intern 1.00");
    line.env("PETTYCASH_OPERATOR_TOKEN", planted["token"].as_str().unwrap());
    assert_eq!(line.output().unwrap().status.code(), Some(7), "it proves nothing any more");
    let (desk, _) = furnished();
    token(&desk, "planted");
    let told = initialise(&desk);
    assert!(told.contains("prove nothing now: 1.") && !told.contains("go on"), "{told}");
    assert!(told.contains("For programs: pettycash operator token"), "{told}");
    assert_eq!(desk.json("operator tokens --json")["tokens"], serde_json::json!([]));
    let (desk, _) = furnished();
    let file = secret(&desk, "other", RIGHT);
    let mut line = desk.command(&format!("operator init --passphrase-file {}", file.display()));
    let wrong = line.env("PETTYCASH_OPERATOR_TOKEN", "opr_slip").output().unwrap();
    assert_eq!(wrong.status.code(), Some(7), "whoever shows one wants to keep it");
    let told = initialise(&desk);
    assert!(!told.contains("prove nothing now"), "there were none: {told}");
}

#[test]
fn another_passphrase_takes_a_proof_and_the_first_one_is_fit_or_none() {
    let (desk, _) = furnished();
    for unfit in ["short", ""] {
        let mut line = desk.command("operator init --passphrase-file -");
        let mut child = line
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(unfit.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("8 characters at least"), "{said}");
    }
    initialise(&desk);
    let file = secret(&desk, "other", "another one by now");
    let again = format!("operator init --passphrase-file {}", file.display());
    assert!(desk.fails(&again, 2).contains("there is a passphrase already"));
    assert!(desk.fails(&format!("{again} --replace"), 7).contains("proof"));
}

#[test]
fn without_a_terminal_a_passphrase_is_taken_from_stdin_only_where_that_is_said() {
    let (desk, _) = furnished();
    let set = |line: &str| {
        let mut command = desk.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Nobody may read it.
        let _ = child.stdin.take().unwrap().write_all(RIGHT.as_bytes());
        child.wait_with_output().unwrap()
    };
    let done = set("operator init");
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no terminal to ask at"), "{said}");
    assert!(said.contains("--passphrase-file FILE`, or `-`"), "{said}");
    desk.ok("top-up intern 1.00");
    assert!(set("operator init --passphrase-file -").status.success());
    desk.fails("top-up intern 1.00", 7);
}

#[test]
fn what_can_be_no_operators_token_in_the_environment_is_said_and_not_repeated() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let (desk, _) = furnished();
    for given in [&b"opr_ab\x1b[31mcd"[..], b"opr_ab\xffcd", "opr_abcd\u{e4}".as_bytes(), b"abcd"] {
        let mut line = desk.command("top-up intern 1.00");
        line.env("PETTYCASH_OPERATOR_TOKEN", OsStr::from_bytes(given));
        let done = line.output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{given:?}: {said}");
        let told = "PETTYCASH_OPERATOR_TOKEN is not an operator's token (opr_…)\n";
        assert!(said.contains(told) && !said.contains("cd"), "{given:?}: {said}");
    }
    assert_eq!(desk.json("agent show intern --json")["balance_usd"], "0.00");
    for none in ["", " \n"] {
        let mut line = desk.command("top-up intern 1.00");
        assert!(line.env("PETTYCASH_OPERATOR_TOKEN", none).output().unwrap().status.success());
    }
}

#[tokio::test]
async fn serve_asks_whoever_speaks_to_it_and_not_only_our_own_commands() {
    let (desk, _) = furnished();
    initialise(&desk);
    let operator = desk.operator();
    let top_up = TopUp { amount_usd: "1.00".parse().unwrap(), note: None };
    let intern = "intern".parse().unwrap();
    let code = |done: Result<_, ClientError>| match done {
        Err(ClientError::Problem(problem)) => (problem.status, problem.code),
        Err(error) => panic!("{error}"),
        Ok(_) => (200, String::new()),
    };
    let required = (401, "operator_proof_required".to_owned());
    assert_eq!(code(operator.top_up(&intern, &top_up).await), required);
    let wrong = operator.proven(&Proof::Passphrase("correct horse batterx".into()));
    assert_eq!(
        code(wrong.top_up(&intern, &top_up).await),
        (403, "operator_proof_wrong".to_owned())
    );
    let right = operator.proven(&Proof::Passphrase(RIGHT.into()));
    assert_eq!(code(right.top_up(&intern, &top_up).await).0, 200);
    for shown in [format!("{right:?}"), format!("{:?}", Proof::Passphrase(RIGHT.into()))] {
        assert!(!shown.contains("correct") && !shown.contains("Y29ycmVjdC"), "{shown}");
    }

    let socket = Home::at(desk.home()).unwrap().serving().unwrap().sockets.operator;
    let ask = |headers: &str| {
        let body = r#"{"amount_usd":"1.00"}"#;
        let mut stream = UnixStream::connect(&socket).unwrap();
        let request = format!(
            "POST /v1/agents/intern/top-ups HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    // `operator:correct horse battery`, as any program would send it.
    let basic = "authorization: Basic b3BlcmF0b3I6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n";
    assert!(ask(basic).starts_with("HTTP/1.1 200"));
    assert!(ask("").starts_with("HTTP/1.1 401"));
    for wrong in ["Basic !!!", "Basic b3Blcg==", "Digest x", "Bearer", ""] {
        let answer = ask(&format!("authorization: {wrong}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{wrong}: {answer}");
    }
    assert!(ask(&format!("{basic}{basic}")).starts_with("HTTP/1.1 400"), "one, or none");
    let balance = desk.json("agent show intern --json")["balance_usd"].clone();
    assert_eq!(balance, "2.00", "of all of them two were proven");
}

#[test]
fn a_file_with_a_secret_is_ours_alone_and_holds_one_short_line() {
    let (desk, _) = furnished();
    let token = desk.json("operator token --json")["token"].as_str().unwrap().to_owned();
    initialise_showing(&desk, &token);
    let line = |file: &Path| format!("top-up intern 1.00 --operator-token-file {}", file.display());
    for right in ["", "\n", "\r\n", "\n\n"] {
        desk.ok(&line(&secret(&desk, "token", format!("{token}{right}"))));
    }
    let long = format!("{token}{}", "\n".repeat(4 * 1024));
    for (text, what) in [
        (format!("{token}\nopr_more\n"), "more than one line"),
        (format!("\n{token}"), "more than one line"),
        (format!("{token}\ropr_more"), "more than one line"),
        (long, "longer than 4 KiB"),
    ] {
        let told = desk.fails(&line(&secret(&desk, "token", text)), 2);
        assert!(told.contains(what) && told.contains("hint: "), "{told}");
        assert!(!told.contains(&token), "{told}");
    }
    let file = secret(&desk, "token", &token);
    for mode in [0o644, 0o640, 0o604, 0o622, 0o610] {
        set_mode(&file, mode);
        let told = desk.fails(&line(&file), 2);
        assert!(told.contains("others may read or write"), "{mode:o}: {told}");
        assert!(told.contains(&format!("chmod 600 {}", file.display())), "{mode:o}: {told}");
    }
    set_mode(&file, 0o400);
    desk.ok(&line(&file));
    // A passphrase lies in such a file too.
    set_mode(&file, 0o644);
    let init = format!("operator init --replace --passphrase-file {}", file.display());
    assert!(desk.fails(&init, 2).contains("others may read or write"));
}

#[test]
fn the_demo_never_asks() {
    let desk = Desk::new();
    initialise(&desk);
    let done = desk.command("demo").env("CLAUDECODE", "1").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
