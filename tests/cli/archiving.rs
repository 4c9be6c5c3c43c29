//! `verify --archive`.

use std::{fs, sync::Arc, thread::sleep, time::Duration};

use pettycash::{
    clock::Clock,
    engine::Engine,
    rails::Rails,
    store::{Options, Store},
};
use serde_json::json;

use super::Desk;
use crate::support::{file_disk, private_dir};

/// A desk whose journal has several segments.
async fn desk() -> Desk {
    let dir = private_dir();
    let options = Options::new(Clock::System, dir.path().join("desk"));
    let options = Options { segment_bytes: 4_000, ..options };
    let store = Store::open(Arc::new(file_disk(&dir.path().join("journal"))), options).unwrap();
    let engine = Engine::open(store, Rails::default(), Clock::System).await.unwrap();
    let caps = json!([{"period": "day", "cap_usd": "1.00"}]);
    let new = json!({"handle": "intern", "funding": "prepaid", "shadow_caps": caps});
    engine.create_agent(serde_json::from_value(new).unwrap()).await.unwrap();
    for _ in 0..40 {
        let top_up = serde_json::from_value(json!({"amount_usd": "1.00"})).unwrap();
        engine.top_up(&"intern".parse().unwrap(), top_up).await.unwrap();
    }
    engine.close().await;
    Desk(dir)
}

#[tokio::test]
async fn what_was_moved_away_is_said_and_verified_where_it_is() {
    let desk = desk().await;
    assert_eq!(desk.ok("verify"), "");
    assert_eq!(desk.json("verify --json")["skipped"], 0);
    assert!(desk.ok("policy shadow").contains("Would have denied 0 of 0"));
    desk.end_serve();
    let archive = private_dir();
    let first = "0000000000000000.journal";
    let moved = archive.path().join(first);
    fs::rename(desk.home().join("journal").join(first), &moved).unwrap();
    let alone = desk.run("verify");
    assert!(alone.status.success());
    let told = String::from_utf8(alone.stderr).unwrap();
    assert!(told.contains("records were moved away") && told.contains("--archive"), "{told}");
    assert!(desk.json("verify --json")["skipped"].as_u64().unwrap() > 1);
    let with = format!("verify --archive {}", archive.path().display());
    assert_eq!(desk.ok(&with), "");
    assert_eq!(desk.json(&format!("{with} --json"))["skipped"], 0);
    // What is summed up is all of it, or it is said that it is not.
    let told = desk.fails("policy shadow", 1);
    assert!(told.contains("move the segments back"), "{told}");
    assert!(desk.fails("policy shadow --since 7d", 1).contains("move the segments back"));
    // Of a time that is here, what was before is not needed.
    sleep(Duration::from_millis(2_100));
    assert!(desk.ok("policy shadow --since 1s").contains("Would have denied 0 of 0"));
    desk.end_serve();
    let mut bytes = fs::read(&moved).unwrap();
    bytes[300] ^= 1;
    fs::write(&moved, bytes).unwrap();
    assert!(desk.fails(&with, 6).contains("does not verify"));
    let told = desk.fails("verify --archive no-such-place", 1);
    assert!(told.contains("no-such-place"), "{told}");
}
