//! Bodies that are neither JSON nor text as MCP clients meet them: over every transport, named by
//! the result of the call, listed and read as resources, and each its own agent's.

use std::fs;

use base64ct::{Base64, Base64Unpadded, Encoding};
use rmcp::{
    ServiceExt,
    model::{CallToolRequestParams, ReadResourceRequestParams, ResourceContents},
    transport::TokioChildProcess,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::{
        canary::{KEY, keep},
        mcp_house::House,
        mcp_raw::Raw,
        web::{Web, Wire, message_headers},
    },
};

/// More than is shown of any text, and in it the key, as it is and in Base64.
fn picture() -> Vec<u8> {
    let encoded = Base64Unpadded::encode_string(KEY.as_bytes());
    let echo = [KEY.as_bytes(), b"\xff\0", encoded.as_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0".as_slice(), &echo, &vec![0xfe; 300 << 10], &echo].concat()
}

/// The same as it comes back.
fn scrubbed() -> Vec<u8> {
    let echo = b"[redacted]\xff\0[redacted]".as_slice();
    [b"\x89PNG\r\n\x1a\n\0".as_slice(), echo, &vec![0xfe; 300 << 10], echo].concat()
}

/// A `serve` whose service `maps` answers with a picture, and the agents `scout` and `other`.
struct Gallery {
    web: Web,
    upstream: Upstream,
    runtime: Runtime,
}

impl Gallery {
    fn open() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let body = picture();
        let head = "HTTP/1.1 200 X\r\ncontent-type: image/png\r\ncontent-length: ";
        let answer = [format!("{head}{}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        let upstream = runtime.block_on(Upstream::start(move |mut peer: Peer| {
            let answer = answer.clone();
            async move { while peer.request().await.is_some() && peer.write(&answer).await {} }
        }));
        let house = House::furnished();
        house.operator("agent create other --cap 5.00/day --funding allowance");
        let web = Web::open(house, &[("scout", 1), ("other", 1)]);
        let key = web.house.home().with_file_name("maps.key");
        keep(KEY, &key);
        let policy = format!(
            "schema = 1\n[services.maps]\npayee = \"Acme Maps\"\nrail = \"proxy\"\n\
             base_url = \"http://{}\"\nsecret = {{ file = \"{}\" }}\n\
             headers = {{ x-api-key = \"{{secret}}\" }}\nprice = \"0.02\"\n\
             [[services.maps.operations]]\nname = \"tile\"\nmethod = \"GET\"\npath = \"/tile\"\n",
            upstream.address,
            key.display(),
        );
        let file = web.house.home().with_file_name("policy.toml");
        fs::write(&file, policy).unwrap();
        web.house.operator(&format!("apply {}", file.display()));
        Self { web, upstream, runtime }
    }

    fn stdio(&self, agent: &str, version: &str) -> Raw {
        let mut client = Raw::start(&mut self.web.house.command(&format!("mcp --agent {agent}")));
        let shaken = client.initialize(version);
        let resources = &shaken["capabilities"]["resources"];
        assert!(resources.is_object(), "{shaken}");
        assert_eq!(
            (&resources["subscribe"], &resources["listChanged"]),
            (&Value::Null, &Value::Null)
        );
        client
    }
}

fn tile() -> Value {
    json!({"service_id": "maps", "request": {"operation": "tile"}})
}

/// The name of the body of what was paid, which is told beside the answer too.
fn linked(result: &Value) -> String {
    let answer = &result["structuredContent"];
    assert_eq!(answer["outcome"], "paid", "{result}");
    let uri = format!("pettycash://responses/{}", answer["payment_id"].as_str().unwrap());
    let bytes = scrubbed().len();
    let expected = json!({"status": 200, "content_type": "image/png", "bytes": bytes,
        "resource": uri, "untrusted": true});
    assert_eq!(answer["response"], expected);
    let content = result["content"].as_array().unwrap();
    assert_eq!(content.len(), 2, "{result}");
    assert_eq!(content[0]["text"], answer.to_string());
    let link = &content[1];
    assert_eq!((&link["type"], &link["uri"]), (&json!("resource_link"), &json!(uri)));
    assert_eq!((&link["mimeType"], &link["size"]), (&json!("image/png"), &json!(bytes)));
    assert!(link["description"].as_str().unwrap().contains("no instruction"));
    assert!(!result.to_string().contains("iVBOR"), "nothing of it comes with the answer");
    uri
}

/// The bytes of the one body that was read.
fn blob(result: &Value, uri: &str) -> Vec<u8> {
    let [body] = result["contents"].as_array().unwrap().as_slice() else { panic!("{result}") };
    assert_eq!((&body["uri"], &body["mimeType"]), (&json!(uri), &json!("image/png")));
    Base64::decode_vec(body["blob"].as_str().unwrap()).unwrap()
}

/// Asks what every transport must answer alike, of whom `ask` speaks for.
fn reads_its_own(mut ask: impl FnMut(&str, Value) -> Value) -> String {
    let paid = ask("tools/call", json!({"name": "pay_for_api_call", "arguments": tile()}));
    let uri = linked(&paid["result"]);
    let list = ask("resources/list", json!({}))["result"]["resources"].take();
    assert_eq!(list[0], {
        let mut link = paid["result"]["content"][1].clone();
        link.as_object_mut().unwrap().remove("type");
        link
    });
    let read = ask("resources/read", json!({"uri": uri}));
    assert!(blob(&read["result"], &uri) == scrubbed(), "byte for byte, but for the key");
    let templates = ask("resources/templates/list", json!({}))["result"].take();
    let template = &templates["resourceTemplates"][0]["uriTemplate"];
    assert_eq!(template, "pettycash://responses/{payment_id}");
    uri
}

/// The error to whoever reads what is not there for him.
fn nothing_there(mut ask: impl FnMut(&str, Value) -> Value, uris: &[&str]) -> Value {
    let mut errors = uris.iter().map(|uri| {
        let mut error = ask("resources/read", json!({"uri": uri}))["error"].take();
        assert_eq!(error["data"].take(), json!({"uri": uri}), "its own word, and no more");
        error
    });
    let first = errors.next().unwrap();
    assert!(errors.all(|error| error == first), "whatever there is not is told alike");
    let message = first["message"].as_str().unwrap();
    for said in ["15 minutes", "restart", "resources/list", "new payment"] {
        assert!(message.contains(said), "{said}: {message}");
    }
    first["code"].clone()
}

const NOWHERE: [&str; 4] = [
    "pettycash://responses/pay_00000000000000ff",
    "pettycash://responses/",
    "pettycash://responses/../pay_00000000000000ff",
    "file:///etc/passwd",
];

#[test]
fn over_stdio_an_agent_reads_its_own_bodies() {
    let mut gallery = Gallery::open();
    let mut scout = gallery.stdio("scout", "2025-06-18");
    let uri = reads_its_own(|method, params| scout.request(method, params));
    let mut other = gallery.stdio("other", "2025-11-25");
    let foreign: Vec<&str> = NOWHERE.into_iter().chain([&*uri]).collect();
    let code = nothing_there(|method, params| other.request(method, params), &foreign);
    assert_eq!(code, -32002);
    assert_eq!(other.request("resources/list", json!({}))["result"]["resources"], json!([]));
    for (method, params) in [
        ("resources/read", json!({})),
        ("resources/read", json!({"uri": 7})),
        ("resources/list", json!({"cursor": "nowhere"})),
    ] {
        assert_eq!(other.request(method, params.clone())["error"]["code"], -32602, "{params}");
    }
    gallery.web.serve().kill().unwrap();
    gallery.web.serve().wait().unwrap();
    // Another takes its place when it is asked, and has nothing.
    let code = nothing_there(|method, params| scout.request(method, params), &[&uri]);
    assert_eq!(code, -32002);
    assert_eq!(scout.request("resources/list", json!({}))["result"]["resources"], json!([]));
}

#[test]
fn over_streamable_http_an_agent_reads_its_own_bodies() {
    let gallery = Gallery::open();
    let (scout, other) = (gallery.web.token("scout", 0), gallery.web.token("other", 0));
    let mut wire = gallery.web.connect();
    let session = wire.initialize(&scout);
    let uri = reads_its_own(|method, params| posted(&mut wire, &scout, &session, method, &params));
    let foreign = wire.initialize(&other);
    let uris: Vec<&str> = NOWHERE.into_iter().chain([&*uri]).collect();
    let ask = |method: &str, params: Value| posted(&mut wire, &other, &foreign, method, &params);
    assert_eq!(nothing_there(ask, &uris), -32002);
    gallery.web.house.operator("agent revoke scout --reason over");
    let gone = wire.post(&scout, Some(&session), &message("resources/read", &json!({"uri": uri})));
    assert_eq!(gone.status, 401, "as for the ledger");
}

#[test]
fn over_sse_an_agent_reads_its_own_bodies() {
    let gallery = Gallery::open();
    let token = gallery.web.token("scout", 0);
    let (mut stream, mut wire) = (gallery.web.connect(), gallery.web.connect());
    let path = stream.open_sse(&token);
    let mut ask = |method: &str, params: Value| {
        let headers = message_headers(&token);
        let sent = wire.ask(&format!("POST {path}"), &headers, &message(method, &params));
        assert_eq!(sent.status, 202, "{sent:?}");
        stream.event().unwrap()
    };
    let client = json!({"name": "raw", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    assert!(ask("initialize", hello)["result"]["capabilities"]["resources"].is_object());
    let uri = reads_its_own(&mut ask);
    assert!(uri.starts_with("pettycash://responses/pay_"));
    assert_eq!(nothing_there(&mut ask, &NOWHERE), -32002);
}

#[test]
fn who_knows_no_links_has_the_name_in_the_answer_and_who_is_newer_the_newer_error() {
    let gallery = Gallery::open();
    for version in ["2024-11-05", "2025-03-26"] {
        let mut scout = gallery.stdio("scout", version);
        let call = json!({"name": "pay_for_api_call", "arguments": tile()});
        let paid = scout.request("tools/call", call)["result"].take();
        assert_eq!(paid["content"].as_array().unwrap().len(), 1, "{version}: {paid}");
        let uri = paid["structuredContent"]["response"]["resource"].as_str().unwrap().to_owned();
        let read = scout.request("resources/read", json!({"uri": uri}));
        assert!(blob(&read["result"], &uri) == scrubbed());
    }
    let mut modern = Raw::start(&mut gallery.web.house.command("mcp --agent scout")).modern();
    let uri = reads_its_own(|method, params| modern.request(method, params));
    let list = modern.request("resources/list", json!({}))["result"].take();
    assert_eq!((&list["cacheScope"], &list["ttlMs"]), (&json!("private"), &json!(0)), "{list}");
    assert_eq!(list["resources"][0]["uri"], uri, "the newest first");
    assert_eq!(list["resources"].as_array().unwrap().len(), 3);
    assert_eq!(nothing_there(|method, params| modern.request(method, params), &NOWHERE), -32602);
}

#[test]
fn a_real_client_pays_lists_and_reads() {
    let gallery = Gallery::open();
    let command = gallery.web.house.command("mcp --agent scout");
    gallery.runtime.block_on(async {
        let command = tokio::process::Command::from(command);
        let client = ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap();
        let Value::Object(arguments) = tile() else { panic!("arguments are an object") };
        let call = CallToolRequestParams::new("pay_for_api_call").with_arguments(arguments);
        let paid = client.call_tool(call).await.unwrap();
        let link = paid.content[1].as_resource_link().unwrap().clone();
        let listed = client.list_all_resources().await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&link));
        let read = client.read_resource(ReadResourceRequestParams::new(link.uri)).await.unwrap();
        let [ResourceContents::BlobResourceContents { blob, mime_type, .. }] =
            read.contents.as_slice()
        else {
            panic!("{read:?}")
        };
        assert_eq!(mime_type.as_deref(), Some("image/png"));
        assert!(Base64::decode_vec(blob).unwrap() == scrubbed());
        client.cancel().await.unwrap();
    });
    let asked = gallery.upstream.requests();
    assert_eq!((asked.len(), asked[0].contains(KEY)), (1, true), "the API alone has the key");
    assert!(!gallery.web.log().contains(KEY));
}

fn message(method: &str, params: &Value) -> Vec<u8> {
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    message.to_string().into_bytes()
}

fn posted(wire: &mut Wire, token: &str, session: &str, method: &str, params: &Value) -> Value {
    wire.post(token, Some(session), &message(method, params)).json()
}
