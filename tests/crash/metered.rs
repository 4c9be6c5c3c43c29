//! `kill -9` before, during and after calls of language models through the gateway, and in the
//! middle of their streams: what was sent is known, nothing is sent twice, and what nobody knows
//! the cost of stays held.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::setting;
use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::{
        canary::{KEY, keep},
        dice::Dice,
        mcp_house::House,
        served::until,
        web::{Reply, Web, Wire},
    },
};

/// How many times `serve` is killed, unless `METERED_KILLS` says otherwise.
const KILLS: u32 = 12;
/// How many calls nobody waits for before a kill, and how long it comes after the last.
const AT_ONCE: usize = 5;
const LIVES_FOR_MS: usize = 25;
const CLAUDE: &str = "claude-sonnet-4-5";
const GPT: &str = "gpt-4o-mini";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// A vendor that answers as the question says: at once, as a stream, with a refusal, with the
/// beginning of a stream, or never.
async fn vendor() -> Upstream {
    Upstream::start(|mut peer: Peer| async move {
        while let Some(request) = peer.request().await {
            let answer = match asked_of(&request).as_str() {
                "whole" => whole(200, &json!({"model": CLAUDE, "usage": used()})),
                "refused" => whole(429, &json!({"error": {"type": "rate_limit_error"}})),
                "stream" => format!("{HEAD}{}{}0\r\n\r\n", start(), rest()),
                "half" => format!("{HEAD}{}", start()),
                "gpt" => format!("{HEAD}{}0\r\n\r\n", piece(&gpt())),
                _ => String::new(),
            };
            peer.write(answer.as_bytes()).await;
        }
    })
    .await
}

/// What a request asks for: it is the text of its one message.
fn asked_of(request: &str) -> String {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    let body: Value = serde_json::from_str(body).unwrap();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

fn whole(status: u16, body: &Value) -> String {
    let (body, kind) = (body.to_string(), "content-type: application/json");
    format!("HTTP/1.1 {status} X\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn piece(event: &Value) -> String {
    let text = format!("data: {event}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn used() -> Value {
    json!({"input_tokens": 100, "output_tokens": 20})
}

fn start() -> String {
    piece(&json!({"type": "message_start", "message": {"model": CLAUDE, "usage": used()}}))
}

fn rest() -> String {
    let ended = json!({"stop_reason": "end_turn"});
    let last = json!({"type": "message_delta", "delta": ended, "usage": used()});
    piece(&last) + &piece(&json!({"type": "message_stop"}))
}

fn gpt() -> Value {
    let details = json!({"cached_tokens": 400});
    json!({"choices": [], "model": GPT, "usage": {"prompt_tokens": 1000, "completion_tokens": 50,
        "prompt_tokens_details": details}})
}

/// What a call that is charged comes to: 100 tokens at 3 dollars a million and 20 at 15; or 600 at
/// 0.15, 400 at half of that and 50 at 0.60.
fn price(asked: &str) -> &'static str {
    if asked == "gpt" { "0.00015" } else { "0.0006" }
}

/// A gateway that is killed, and the vendor behind it, who lives on.
struct Gate {
    web: Web,
    token: String,
    vendor: Upstream,
    /// The vendor lives on it.
    _runtime: Runtime,
}

impl Gate {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let vendor = runtime.block_on(vendor());
        let house = House::new();
        house.operator("agent create rich --cap 1000.00/day --funding allowance");
        let key = house.home().with_file_name("models.key");
        keep(KEY, &key);
        let policy = house.home().with_file_name("models.toml");
        let text = format!(
            "schema = 1\n[services.models]\npayee = \"Vendor\"\nrail = \"proxy\"\n\
             base_url = \"http://{}\"\nsecret = {{ file = \"{}\" }}\n\
             headers = {{ x-api-key = \"{{secret}}\" }}\ntimeout = \"60s\"\n\
             idempotency_header = \"idempotency-key\"\n\
             [[services.models.operations]]\nname = \"messages\"\nmethod = \"POST\"\n\
             path = \"/v1/messages\"\nmetered = \"anthropic_messages\"\n\
             [[services.models.operations]]\nname = \"chat\"\nmethod = \"POST\"\n\
             path = \"/v1/chat/completions\"\nmetered = \"openai_chat\"\n",
            vendor.address,
            key.display()
        );
        fs::write(&policy, text).unwrap();
        house.operator(&format!("apply {}", policy.display()));
        let web = Web::open(house, &[("rich", 1)]);
        let token = web.token("rich", 0);
        Self { web, token, vendor, _runtime: runtime }
    }

    /// A connection on which that was asked, but for so many bytes.
    fn asked(&self, what: &str, but: usize) -> Wire {
        let (model, path) = match what {
            "gpt" => (GPT, "chat/completions"),
            _ => (CLAUDE, "messages"),
        };
        let streams = ["stream", "half", "gpt"].contains(&what);
        let body = json!({"model": model, "max_tokens": 100, "stream": streams,
            "messages": [{"role": "user", "content": what}]});
        let (body, host, token) = (body.to_string(), self.web.host(), &self.token);
        let request = format!(
            "POST /gateway/models/v1/{path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut wire = self.web.connect();
        wire.send(&request.as_bytes()[..request.len() - but]);
        wire
    }

    /// Asks for that, and reads the whole answer.
    fn answered(&self, what: &str) -> Reply {
        self.asked(what, 0).reply()
    }

    /// What the vendor was asked for: of each payment how often, and what.
    fn sent(&self) -> BTreeMap<String, (u32, String)> {
        let mut sent = BTreeMap::new();
        for request in self.vendor.requests() {
            let named = request.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
            let known = sent.entry(named.unwrap().to_owned());
            known.or_insert((0, asked_of(&request))).0 += 1;
        }
        sent
    }

    /// Brings calls to each point that there is, and kills.
    fn kill(&mut self, dice: &mut Dice, known: &mut BTreeMap<String, &'static str>) {
        let mut note = |reply: &Reply, end| {
            assert!([200, 429].contains(&reply.status), "{reply:?}");
            assert_eq!(known.insert(reply.headers["pettycash-payment"].clone(), end), None);
        };
        for (what, end) in [
            ("whole", "captured"),
            ("stream", "captured"),
            ("gpt", "captured"),
            ("refused", "failed"),
        ] {
            note(&self.answered(what), end);
        }
        let mut half = self.asked("half", 0);
        note(&half.head(), "in_doubt");
        assert!(half.piece().unwrap().contains("message_start"));
        // When this one is sent, what was written down before it is on the disk.
        let before = self.vendor.requests().len();
        let silent = self.asked("silent", 0);
        until("it is sent", || self.vendor.requests().len() > before);
        let unfinished = self.asked("unfinished", 1);
        let kinds = ["whole", "stream", "gpt", "refused", "half", "silent"];
        let rest = (0..AT_ONCE).map(|_| self.asked(dice.one(&kinds), 0)).collect::<Vec<_>>();
        thread::sleep(Duration::from_millis(dice.below(LIVES_FOR_MS) as u64));
        self.web.kill_and_start();
        drop((half, silent, unfinished, rest));
    }
}

/// A payment, as the ledger has it.
#[derive(Debug, Default)]
struct Recorded {
    outcomes: Vec<String>,
    /// What was held first, and what the last entry is of.
    held: i64,
    last: String,
}

fn recorded(house: &House) -> BTreeMap<String, Recorded> {
    let mut recorded = BTreeMap::<_, Recorded>::new();
    let page = house.operator_json("ledger rich --limit 1000000");
    for entry in page["entries"].as_array().unwrap().iter().rev() {
        let Some(id) = entry["payment_id"].as_str() else { continue };
        let payment = recorded.entry(id.to_owned()).or_default();
        payment.outcomes.push(entry["outcome"].as_str().unwrap().to_owned());
        let amount = entry["amount_usd"].as_str().unwrap_or("0.00");
        if payment.outcomes.len() == 1 {
            payment.held = nanos(amount);
        }
        amount.clone_into(&mut payment.last);
    }
    recorded
}

fn nanos(usd: &str) -> i64 {
    usd.parse::<pettycash::policy::money::Usd>().unwrap().nanos()
}

#[test]
fn each_metered_call_ends_as_it_may_while_the_gateway_is_killed_again_and_again() {
    let (mut gate, mut dice) = (Gate::new(), Dice(12));
    let mut known = BTreeMap::new();
    let kills = setting("METERED_KILLS", KILLS);
    for _ in 0..kills {
        gate.kill(&mut dice, &mut known);
    }
    // Nothing is sent for what was left: this one comes, and nothing else.
    let before = gate.vendor.requests().len();
    assert_eq!(gate.answered("whole").status, 200);
    assert_eq!(gate.vendor.requests().len(), before + 1);

    let (sent, recorded) = (gate.sent(), recorded(&gate.web.house));
    for (payment, (times, asked)) in &sent {
        assert_eq!(*times, 1, "{payment} was sent more than once");
        assert!(recorded.contains_key(payment), "{payment} was sent before it was written down");
        assert_ne!(asked, "unfinished", "not all of it had come");
    }
    let (mut held, mut used) = (0, 0);
    for (payment, Recorded { outcomes, held: hold, last }) in &recorded {
        assert_eq!(outcomes[..2], ["held", "sent"], "{payment}");
        let [end] = &outcomes[2..] else { panic!("{payment} ended as {outcomes:?}") };
        let asked = sent.get(payment).map(|(_, asked)| asked.as_str());
        let right = matches!(
            (end.as_str(), asked),
            ("captured", Some("whole" | "stream" | "gpt")) | ("failed", Some("refused"))
        );
        // Killed before its end was written down: nobody here knows what became of it.
        let right = right || end == "in_doubt";
        assert!(right, "{payment} ended as {end}, and the vendor was asked for {asked:?}");
        assert!(known.get(payment).is_none_or(|known| known == end), "{payment} ended as {end}");
        if end == "captured" {
            assert_eq!(last, price(asked.unwrap()), "{payment}");
            used += nanos(last);
        } else if end == "in_doubt" {
            held += hold;
        }
    }
    assert!(known.keys().all(|payment| recorded.contains_key(payment)), "all that was answered");
    assert_eq!(known.len(), kills as usize * 5, "and of each kind one before each kill");
    let shown = gate.web.house.operator_json("agent show rich");
    assert_eq!(nanos(shown["held_usd"].as_str().unwrap()), held, "what is in doubt stays held");
    assert_eq!(nanos(shown["caps"][0]["used_usd"].as_str().unwrap()), used);
    assert_eq!(gate.web.house.operator("verify"), "");
}
