//! `kill -9` before, during and after calls of an API: what was sent is known, nothing is sent
//! twice, and nobody gets money back of which nobody knows whether it was charged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::session::{owner, wait_for};
use crate::support::{
    canary::{KEY, keep},
    dice::Dice,
    mcp_house::House,
    mcp_raw::Raw,
};

/// How many engines are killed.
const KILLS: usize = 200;
/// How many calls are in flight all the time.
const IN_FLIGHT: usize = 6;
/// How long the API takes at most, and how long an engine is let live after it has called.
const ANSWERS_WITHIN: usize = 20;
const LIVES_FOR: usize = 30;
/// The price of each call.
const PRICE: &str = "0.02";

/// An API that tells apart who called, by the name that a payment has for it.
#[derive(Clone, Default)]
struct Api {
    /// The payments it was asked for, how often, and the status it had for each.
    asked: Arc<Mutex<BTreeMap<String, (u32, u16)>>>,
    came: Arc<AtomicUsize>,
}

impl Api {
    fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let api = self.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let api = api.clone();
                thread::spawn(move || api.answer(number, &stream.unwrap()));
            }
        });
        address
    }

    /// Answers what comes over one connection. Its caller may be gone at any moment.
    fn answer(&self, number: usize, stream: &TcpStream) -> Option<()> {
        let mut dice = Dice(number as u64);
        let mut reader = BufReader::new(stream);
        loop {
            let (mut payment, mut status, mut line) = (None, 200, String::new());
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                let value = |name| line.strip_prefix(name).map(str::trim);
                if let Some(said) = value("idempotency-key:") {
                    payment = Some(said.to_owned());
                } else if let Some(said) = line.split_whitespace().nth(1)
                    && let Some(said) = said.strip_prefix("/status/")
                {
                    status = said.split('?').next()?.parse().ok()?;
                }
            }
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.entry(payment.unwrap()).or_insert((0, status)).0 += 1;
            drop(asked);
            self.came.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(dice.below(ANSWERS_WITHIN) as u64));
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
            (&*stream).write_all(head.as_bytes()).ok()?;
        }
    }
}

/// Kills one engine after the other, each a moment after it has made a call, or before.
fn kill_all(house: &House, api: &Api) {
    let (mut dice, mut last) = (Dice(200), None);
    for nth in 0..KILLS {
        let engine = wait_for(|| owner(&house.home()).filter(|pid| Some(*pid) != last));
        if nth % 4 > 0 {
            let before = api.came.load(Ordering::SeqCst);
            wait_for(|| (api.came.load(Ordering::SeqCst) > before).then_some(()));
        }
        thread::sleep(Duration::from_millis(dice.below(LIVES_FOR) as u64));
        assert_eq!(owner(&house.home()), Some(engine), "the kill must hit a living process");
        kill_process(Pid::from_raw(engine).unwrap(), Signal::KILL).unwrap();
        last = Some(engine);
    }
}

/// Says at its end that the killing is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has six calls in flight until all engines are killed, and reads what they are answered.
fn call_all(client: &mut Raw, killed: &AtomicBool) -> Vec<Value> {
    let (mut dice, mut open, mut answers) = (Dice(7), BTreeSet::new(), Vec::new());
    while !killed.load(Ordering::Relaxed) || !open.is_empty() {
        while open.len() < IN_FLIGHT && !killed.load(Ordering::Relaxed) {
            // A parameter of its own makes each a request of its own: none is a duplicate.
            let (status, tag) = (dice.one(&["200", "200", "200", "404", "503"]), answers.len());
            let query = json!({"tag": format!("{tag}-{}", open.len())});
            let request =
                json!({"operation": "status", "params": {"code": status}, "query": query});
            let arguments = json!({"service_id": "api", "request": request});
            let pay = json!({"name": "pay_for_api_call", "arguments": arguments});
            open.insert(client.send("tools/call", pay));
        }
        let message: Value = serde_json::from_str(&client.line()).unwrap();
        let id = message["id"].as_u64().unwrap();
        assert!(open.remove(&id), "nobody waits for {message}");
        answers.push(message["result"]["structuredContent"].clone());
        thread::sleep(Duration::from_millis(2));
    }
    answers
}

fn furnished(address: SocketAddr) -> House {
    let house = House::new();
    house.operator("agent create rich --cap 1000.00/day --funding allowance");
    let key = house.home().join("api.key");
    keep(KEY, &key);
    let policy = house.home().join("api.toml");
    let text = format!(
        "schema = 1\n[services.api]\npayee = \"Api\"\nrail = \"proxy\"\nprice = \"{PRICE}\"\n\
         base_url = \"http://{address}\"\nsecret = {{ file = \"{}\" }}\n\
         headers = {{ authorization = \"Bearer {{secret}}\" }}\n\
         idempotency_header = \"idempotency-key\"\n[[services.api.operations]]\n\
         name = \"status\"\nmethod = \"GET\"\npath = \"/status/{{code}}\"\n",
        key.display()
    );
    fs::write(&policy, text).unwrap();
    house.operator(&format!("apply {}", policy.display()));
    house
}

/// What the ledger says of each payment, the oldest entry first.
fn recorded(house: &House) -> BTreeMap<String, Vec<String>> {
    let mut recorded = BTreeMap::<_, Vec<_>>::new();
    let page = house.operator_json("ledger rich --limit 1000000");
    for entry in page["entries"].as_array().unwrap().iter().rev() {
        let Some(id) = entry["payment_id"].as_str() else { continue };
        let outcome = entry["outcome"].as_str().unwrap().to_owned();
        recorded.entry(id.to_owned()).or_default().push(outcome);
    }
    recorded
}

#[test]
fn each_call_ends_as_the_table_says_while_200_engines_are_killed() {
    let api = Api::default();
    let house = furnished(api.listen());
    let mut client = house.client("rich");
    let killed = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        scope.spawn(|| {
            // Also where one does not come, so that nobody calls for ever.
            let _over = Over(&killed);
            kill_all(&house, &api);
        });
        call_all(&mut client, &killed)
    });
    assert!(client.end().0.success());
    let asked = api.asked.lock().unwrap().clone();
    let recorded = recorded(&house);
    for (payment, (times, _)) in &asked {
        assert_eq!(*times, 1, "{payment} was sent more than once");
        assert!(recorded.contains_key(payment), "{payment} was sent before it was written down");
    }
    let mut ends = BTreeMap::<&str, usize>::new();
    for (payment, outcomes) in &recorded {
        assert_eq!(outcomes[..2], ["held", "sent"], "{payment}");
        let [end] = &outcomes[2..] else { panic!("{payment} ended as {outcomes:?}") };
        let right = match (end.as_str(), asked.get(payment)) {
            // Killed once it was written down: whether it was sent nobody here knows. And what came
            // back before a connection was there is proof.
            ("captured", Some((1, 200)))
            | ("failed", Some((1, 404)))
            | ("in_doubt", _)
            | ("voided", None) => true,
            _ => false,
        };
        assert!(right, "{payment} ended as {end}, and the API had {:?}", asked.get(payment));
        *ends.entry(end).or_default() += 1;
    }
    for answer in &answers {
        let Some(payment) = answer["payment_id"].as_str() else { continue };
        let end = recorded[payment].last().unwrap();
        let told = answer["outcome"].as_str().unwrap();
        let true_then = match told {
            "paid" => end == "captured",
            "failed" => end == "failed" || end == "voided",
            "in_doubt" => end == "in_doubt",
            told => told == "in_progress",
        };
        assert!(true_then, "{payment} was told as {told} and is {end}");
    }
    let doubtful = ends["in_doubt"];
    assert!(doubtful > KILLS / 4, "only {doubtful} were killed on their way: {ends:?}");
    // How many come to an end between two kills is the machine's affair.
    assert!(ends["captured"] > KILLS / 10 && ends["failed"] > KILLS / 40, "{ends:?}");
    let held = house.operator_json("agent show rich")["held_usd"].clone();
    assert_eq!(held, json!(dollars(doubtful)), "what is in doubt stays held");
    assert_eq!(house.operator("verify"), "");
}

/// What so many calls cost.
fn dollars(calls: usize) -> String {
    format!("{}.{:02}", calls * 2 / 100, calls * 2 % 100)
}
