//! One process owns a home: who becomes it, who gives way, when it ends, and what its clients see.

#[path = "processes/budgets.rs"]
mod budgets;
#[cfg(target_os = "linux")]
#[path = "processes/failing.rs"]
mod failing;
#[path = "support/proc_home.rs"]
mod proc_home;
#[path = "processes/taking.rs"]
mod taking;
#[path = "processes/verifying.rs"]
mod verifying;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use pettycash::{
    client::{Call, Called, Client, Operator},
    clock::instant,
    policy::terms::{LedgerAsked, NewAgent, NewService, StartedBy},
};
use proc_home::{Running, TestHome, is_alive, kill, raw, terminate, text, until};
use serde_json::{Value, json};

/// How long a call may take to end after the engine broke down under it.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn twenty_clients_at_once_on_a_cold_directory_start_one_serve() {
    let home = TestHome::new();
    let clients: Vec<Child> =
        (0..20).map(|_| home.command(&["agent", "list", "--json"]).spawn().unwrap()).collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(home.log().matches("serving").count(), 1, "{}", home.log());
    assert_eq!(home.serving().unwrap().started_by, StartedBy::Client);
}

#[test]
fn a_cold_directory_is_kept_from_others() {
    let home = TestHome::new();
    home.touch();
    let mut seen = Vec::new();
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(&folder).unwrap() {
            let path = found.unwrap().path();
            // What is passing may be gone by now.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let mode = metadata.permissions().mode() & 0o777;
            let right = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, right, "{} has mode {mode:o}", path.display());
            seen.push(path.strip_prefix(home.path()).unwrap().display().to_string());
            folders.extend(metadata.is_dir().then_some(path));
        }
    }
    for inside in ["journal/0000000000000000.journal", "desk/db", "serve.log", "agent.sock"] {
        assert!(seen.iter().any(|path| path == inside), "no {inside} among {seen:?}");
    }
    let sockets = home.serving().unwrap().sockets;
    assert!(fs::metadata(sockets.operator).unwrap().file_type().is_socket());
}

#[test]
fn a_serve_started_by_hand_takes_over_from_a_clients_and_stays() {
    let home = TestHome::new().with("PETTYCASH_IDLE_EXIT", "300ms");
    let first = home.touch();
    assert_eq!(first.started_by, StartedBy::Client);
    let by_hand = home.serve_by_hand();
    assert_eq!(home.serving().unwrap().started_by, StartedBy::Operator);
    until("the client's has ended", || !is_alive(first.pid));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(home.touch().pid, by_hand.pid(), "it stays, and clients use it");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_during_a_takeover_are_answered() {
    let home = Arc::new(TestHome::new());
    let first = home.touch();
    let operator = home.operator();
    furnish(&operator).await;
    let paying = pay_for(&home, 4, Duration::from_secs(2));
    let taking_over = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let home = Arc::clone(&home);
        tokio::task::spawn_blocking(move || home.serve_by_hand()).await.unwrap()
    };
    let (paid, by_hand) = tokio::join!(paying, taking_over);
    assert_ne!(first.pid, by_hand.pid());
    assert_eq!(in_ledger(&home.operator(), "paid").await, paid.calls);
}

#[test]
fn a_second_serve_started_by_hand_names_the_first() {
    let home = TestHome::new();
    let first = home.serve_by_hand();
    let output = home.run(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("is already served by pid {}", first.pid())), "{said}");
    assert!(said.contains(&format!("`kill {}`", first.pid())), "{said}");
}

#[test]
fn a_serve_that_a_client_starts_where_one_serves_ends_quietly() {
    let home = TestHome::new();
    let serving = home.touch();
    let output = home.run(&["serve", "--detached"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(home.serving().unwrap().pid, serving.pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_serve_ends_when_nobody_is_connected_and_not_before() {
    let home = Arc::new(TestHome::new().with("PETTYCASH_IDLE_EXIT", "400ms"));
    let client = home.client();
    let (tool, call_id, arguments) = ("get_balance", "call-1", json!({}));
    client.call(Call { tool, agent: "scout", run: None, call_id, arguments, via: None }).await;
    let serving = home.serving().unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(is_alive(serving.pid), "a connection keeps it");
    drop(client);
    until("it has ended", || !is_alive(serving.pid));
    assert_eq!(home.serving(), None);
    assert!(!serving.sockets.agent.exists() && !serving.sockets.operator.exists());
}

#[test]
fn a_serve_ends_when_its_home_is_gone() {
    for by_hand in [false, true] {
        let home = TestHome::new();
        let running = by_hand.then(|| home.serve_by_hand());
        let serving = home.touch();
        fs::remove_dir_all(home.path()).unwrap();
        match running {
            None => until("it has ended", || !is_alive(serving.pid)),
            Some(mut running) => {
                until("it has ended", || running.0.try_wait().unwrap().is_some());
                assert!(running.0.wait().unwrap().success());
            }
        }
    }
}

#[test]
fn a_signal_ends_a_serve_in_order() {
    let home = TestHome::new();
    let mut by_hand = home.serve_by_hand();
    terminate(by_hand.pid());
    assert!(by_hand.0.wait().unwrap().success());
    let left: Vec<_> =
        ["agent.sock", "operator.sock", "serve.json"].map(|name| home.path().join(name)).into();
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn what_a_killed_serve_leaves_behind_is_in_nobodys_way() {
    let home = TestHome::new();
    let killed = home.touch();
    kill(killed.pid);
    until("it is gone", || UnixStream::connect(&killed.sockets.agent).is_err());
    assert!(killed.sockets.agent.exists() && home.serving().is_some(), "it left its things");
    let next = home.touch();
    assert_ne!(next.pid, killed.pid);

    kill(next.pid);
    let by_hand = home.serve_by_hand();
    assert_eq!(home.touch().pid, by_hand.pid());
}

#[test]
fn a_home_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let home = TestHome::named("o'ne home");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for verb in [["serve"].as_slice(), &["agent", "list"]] {
        let output = home.run(verb);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let quoted = home.path().display().to_string().replace('\'', r"'\''");
        assert!(said.contains(&format!("chmod 700 '{quoted}'")), "{said}");
    }
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    home.touch();
}

#[test]
fn a_home_with_a_path_too_long_for_sockets_works() {
    let long = format!("{0}/{0}", "a-name-of-fifty-characters-which-is-not-so-very-long");
    let (in_runtime, in_temporary) = (TestHome::named(&long), TestHome::named(&long));
    let runtime = in_runtime.beside().join("run");
    let temporary = in_temporary.beside().join("tmp");
    fs::create_dir(&runtime).unwrap();
    fs::create_dir(&temporary).unwrap();
    let in_runtime = in_runtime.with("XDG_RUNTIME_DIR", &runtime);
    let in_temporary = in_temporary.with("TMPDIR", &temporary);
    for (home, place) in [(in_runtime, runtime), (in_temporary, temporary)] {
        let serving = home.touch();
        let socket = serving.sockets.operator;
        assert!(socket.starts_with(place), "{}", socket.display());
        let mode = fs::metadata(socket.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(home.touch().pid, serving.pid);
        let by_hand = home.serve_by_hand();
        assert_eq!(home.touch().pid, by_hand.pid());
    }
}

#[test]
fn a_client_is_told_why_a_serve_does_not_start() {
    let home = TestHome::new();
    fs::create_dir(home.path().join("journal")).unwrap();
    fs::set_permissions(home.path().join("journal"), fs::Permissions::from_mode(0o755)).unwrap();
    let start = instant();
    let output = home.run(&["agent", "list"]);
    assert!(start.elapsed() < Duration::from_secs(4), "it is told at once");
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), ""), "{said}");
    let fix = format!("chmod 700 {}", home.path().join("journal").display());
    let line = |mark| said.lines().find_map(|line| line.strip_prefix(mark)).unwrap();
    assert_eq!(line("error: "), "`pettycash serve` did not start");
    assert!(line("cause: ").contains("is open to others"), "{said}");
    assert_eq!(line("hint: "), fix);

    let output = home.run(&["agent", "list", "--json"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), ""), "{said}");
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(told["error"]["code"], "engine_unavailable");
    assert_eq!(told["error"]["detail"], "`pettycash serve` did not start");
    assert!(told["error"]["cause"].as_str().unwrap().contains("is open to others"), "{told}");
    assert_eq!(told["error"]["hint"], fix);
}

#[test]
fn a_clients_serve_inherits_no_open_file() {
    let home = TestHome::new();
    // The shell leaves our end of a pipe open as file 9, which no program marks as its own.
    let script = r#""$0" agent list 9>&1 >/dev/null 2>&1"#;
    let mut shell = home.command(&[]);
    let program = shell.get_program().to_owned();
    let environment: Vec<_> = shell
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    shell = std::process::Command::new("sh");
    shell.arg("-c").arg(script).arg(program).stdin(Stdio::null()).stdout(Stdio::piped());
    for (name, value) in environment {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut shell = Running(shell.spawn().unwrap());
    let mut pipe = shell.0.stdout.take().unwrap();
    let read = std::thread::spawn(move || pipe.read_to_end(&mut Vec::new()));
    until("everybody has let go of the pipe", || read.is_finished());
    assert!(is_alive(home.serving().unwrap().pid), "though the serve lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_a_killed_serve_end_in_time_and_pay_exactly_once() {
    let home = Arc::new(TestHome::new());
    let operator = home.operator();
    furnish(&operator).await;
    let paying = pay_for(&home, 8, Duration::from_secs(4));
    let killing = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(600)).await;
            if let Some(serving) = home.serving() {
                kill(serving.pid);
            }
        }
    };
    let (paid, ()) = tokio::join!(paying, killing);
    assert!(paid.slowest < RESUMED_WITHIN, "one took {:?}", paid.slowest);
    assert_eq!(in_ledger(&operator, "paid").await, paid.calls, "each was paid once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_caller_goes_away_is_made_all_the_same() {
    let home = Arc::new(TestHome::new());
    let operator = home.operator();
    furnish(&operator).await;
    let agent_socket = home.serving().unwrap().sockets.agent;
    for number in 0..20 {
        let call = call(&json!({"agent": "scout", "call_id": format!("gone-{number}"),
            "arguments": {"service_id": "search"}}));
        let mut stream = UnixStream::connect(&agent_socket).unwrap();
        stream.write_all(&call).unwrap();
        // Not a byte of the answer is waited for.
        drop(stream);
    }
    let start = instant();
    while in_ledger(&operator, "paid").await < 20 {
        assert!(start.elapsed() < Duration::from_secs(5), "not all were paid");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_log_of_a_clients_serve_is_bounded() {
    let home = TestHome::new();
    let serving = home.touch();
    home.fill_log();
    terminate(serving.pid);
    until("it has ended", || !is_alive(serving.pid));
    home.assert_log_was_put_aside();
    assert!(home.log().contains("ending"), "{}", home.log());
}

#[test]
fn the_log_of_serves_that_do_not_start_is_bounded() {
    let home = TestHome::new();
    home.fill_log();
    fs::create_dir(home.path().join("journal")).unwrap();
    fs::set_permissions(home.path().join("journal"), fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        let output = home.run(&["agent", "list"]);
        let said = text(&output.stderr);
        assert!(said.contains("is open to others"), "the reason is found all the same: {said}");
    }
    home.assert_log_was_put_aside();
    assert_eq!(home.log().matches("is open to others").count(), 2, "{}", home.log());
}

#[test]
fn a_log_that_cannot_be_kept_is_begun_anew_all_the_same() {
    let home = TestHome::new();
    home.fill_log();
    fs::create_dir(home.path().join("serve.log.old")).unwrap();
    home.touch();
    assert!(home.log().len() < 10_000, "the log has {} bytes", home.log().len());
}

#[test]
fn whatever_is_no_request_is_answered_with_a_problem() {
    let home = TestHome::new();
    let sockets = home.touch().sockets;
    let json = "application/json";
    let huge = format!("{{\"agent\":\"scout\",\"arguments\":\"{}\"}}", "x".repeat(300_000));
    let deep = format!("{{\"agent\":\"scout\",\"arguments\":{}", "[".repeat(200_000));
    let cases = [
        (&sockets.agent, "POST", "/v1/tools/get_balance", json, "{", 400, "invalid_request"),
        (
            &sockets.agent,
            "POST",
            "/v1/tools/get_balance",
            json,
            "\u{0}\u{1}",
            400,
            "invalid_request",
        ),
        (&sockets.agent, "POST", "/v1/tools/get_balance", json, "[]", 400, "invalid_request"),
        (&sockets.agent, "POST", "/v1/tools/get_balance", json, &deep, 400, "invalid_request"),
        (&sockets.agent, "POST", "/v1/tools/get_balance", json, &huge, 413, "body_too_large"),
        (&sockets.agent, "POST", "/v1/tools/get_balance", "text/plain", "{}", 415, "not_json"),
        (
            &sockets.agent,
            "POST",
            "/v1/tools/get_balance",
            json,
            r#"{"agent":"NO SUCH NAME","arguments":{}}"#,
            400,
            "invalid_request",
        ),
        (
            &sockets.agent,
            "POST",
            "/v1/tools/give_me_more",
            json,
            r#"{"agent":"scout","arguments":{}}"#,
            404,
            "tool_unknown",
        ),
        (&sockets.agent, "POST", "/v1/tools/%FF", json, "{}", 400, "invalid_request"),
        (&sockets.agent, "GET", "/v1/tools/get_balance", json, "", 405, "method_not_allowed"),
        (&sockets.agent, "POST", "/v1/agents", json, "{}", 404, "path_unknown"),
        (&sockets.agent, "POST", "/v1/stop", json, "null", 404, "path_unknown"),
        (&sockets.operator, "GET", "/", json, "", 404, "path_unknown"),
        (&sockets.operator, "GET", "/v1/agents/UPPER", json, "", 400, "invalid_request"),
        (&sockets.operator, "GET", "/v1/agents/nobody", json, "", 404, "agent_unknown"),
        (&sockets.operator, "GET", "/v1/ledger?limit=many", json, "", 400, "invalid_request"),
        (&sockets.operator, "GET", "/v1/ledger?page=2", json, "", 400, "invalid_request"),
        (&sockets.operator, "POST", "/v1/agents", json, r#"{"handle":1}"#, 400, "invalid_request"),
        (&sockets.operator, "DELETE", "/v1/agents", json, "", 405, "method_not_allowed"),
    ];
    for (socket, method, path, kind, body, status, code) in cases {
        let request = request(method, path, kind, body.as_bytes());
        let answer = raw(socket, &request);
        let what = format!("{method} {path} {}: {answer}", &body[..body.len().min(40)]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{what}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(status), &json!(code)),
            "{what}"
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
    }
    assert!(is_alive(home.serving().unwrap().pid));
}

/// One service and one agent that may pay for it.
async fn furnish(operator: &Operator) {
    let service = json!({"id": "search", "payee": "Acme Search", "price_usd": "0.01"});
    let service: NewService = serde_json::from_value(service).unwrap();
    operator.add_service(&service).await.unwrap();
    let agent = json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "lifetime", "cap_usd": "1000.00"}]});
    let agent: NewAgent = serde_json::from_value(agent).unwrap();
    operator.create_agent(&agent).await.unwrap();
}

struct Paid {
    calls: usize,
    slowest: Duration,
}

/// Lets clients, each on connections of its own, pay one call after the other for some time.
async fn pay_for(home: &Arc<TestHome>, clients: usize, how_long: Duration) -> Paid {
    let until = instant() + how_long;
    let paying = (0..clients).map(|number| {
        let client = home.client();
        tokio::spawn(async move {
            let mut paid = Paid { calls: 0, slowest: Duration::ZERO };
            while instant() < until {
                let start = instant();
                pay(&client, &format!("call-{number}-{}", paid.calls)).await;
                paid.calls += 1;
                paid.slowest = paid.slowest.max(start.elapsed());
            }
            paid
        })
    });
    let mut all = Paid { calls: 0, slowest: Duration::ZERO };
    for paying in paying.collect::<Vec<_>>() {
        let paid = paying.await.unwrap();
        assert!(paid.calls > 0);
        all.calls += paid.calls;
        all.slowest = all.slowest.max(paid.slowest);
    }
    all
}

async fn pay(client: &Client, call_id: &str) {
    let arguments = json!({"service_id": "search"});
    let tool = "pay_for_api_call";
    let call = Call { tool, agent: "scout", run: None, call_id, arguments, via: None };
    let called = client.call(call).await;
    let Called::Answered(answer) = &called else { panic!("{call_id}: {called:?}") };
    assert_eq!(answer["outcome"], "paid", "{call_id}: {answer}");
    assert_eq!(answer.get("replayed"), None, "the caller has heard nothing before: {answer}");
}

/// How many lines of the ledger say this.
async fn in_ledger(operator: &Operator, outcome: &str) -> usize {
    let (mut count, mut cursor) = (0, None::<String>);
    loop {
        let asked = LedgerAsked::page(None, cursor, Some(1_000));
        let page = operator.ledger(&asked).await.unwrap();
        count += page.entries.iter().filter(|entry| entry.line.outcome == outcome).count();
        cursor = page.next_cursor;
        if cursor.is_none() {
            break count;
        }
    }
}

fn request(method: &str, path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn call(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    request("POST", "/v1/tools/pay_for_api_call", "application/json", body.as_bytes())
}
