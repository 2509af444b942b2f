//! Version 1 of the file of waiting keys, byte for byte.
//!
//! These bytes have shipped: do not change this test or `golden/v1/waiting.json`, and never
//! record it anew. A file that needs other fields names another version.

use std::fs;

use brine_pki::waiting::{Knocker, Waiting, WaitingLimits};
use brine_protocol::Fingerprint;
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use sha2::{Digest, Sha256};

const GOLDEN: &str = include_str!("golden/v1/waiting.json");

fn knocker(id: &str, address: &str, claims: Knock) -> Knocker {
    let key = format!("public key of {id}").into_bytes();
    Knocker {
        id: id.parse().expect("an id"),
        fingerprint: Fingerprint(Sha256::digest(&key).into()),
        key,
        address: address.parse().expect("an address"),
        claims,
    }
}

fn waiting() -> Waiting {
    let mut waiting = Waiting::new(WaitingLimits::default());
    let claims =
        Knock { host: "web1".into(), os: "Debian 12.8".into(), version: "0.1.0".into(), ..Knock::default() };
    let web = knocker("web1", "192.0.2.7", claims);
    let at = |seconds: i64| Timestamp(1_795_327_652_000_001 + seconds * 1_000_000);
    waiting.knock(web.clone(), at(0));
    waiting.knock(knocker("db", "2001:db8::7", Knock::default()), at(1));
    waiting.knock(web, at(2));
    waiting
}

#[test]
fn writes_these_bytes() {
    assert_eq!(String::from_utf8(waiting().to_json()).expect("JSON is UTF-8"), GOLDEN);
}

#[test]
fn reads_these_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("waiting.json");
    fs::write(&path, GOLDEN).expect("writes");
    let (read, damage) = Waiting::load(&path, WaitingLimits::default()).expect("loads");
    assert_eq!(damage, None);
    assert!(read.iter().eq(waiting().iter()));
}
