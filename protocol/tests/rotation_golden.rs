//! The bodies that came with rotations and rules, byte for byte; still version 1, which only grew.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1-rotation`. A body that
//! has to be written otherwise is a new version with golden files of its own beside these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use brine_protocol::Fingerprint;
use brine_protocol::frame::Frame;
use brine_protocol::message::{Config, Knock, Learned, Rotate, Rotated, Start, ToMaster, ToMinion};
use serde_json::Map;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1-rotation"))
}

fn golden(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.json"));
    fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn fingerprint(start: u8) -> Fingerprint {
    Fingerprint(std::array::from_fn(|i| start + i as u8))
}

/// What a minion says: file, kind in the frame's header, meaning.
fn to_master() -> Vec<(&'static str, u8, ToMaster)> {
    let rotate = Rotate {
        key: "bmV3IGtleQ==".into(),
        by_old: "YnkgdGhlIG9sZCBrZXk=".into(),
        by_new: "YnkgdGhlIG5ldyBrZXk=".into(),
        jid: Some("20261122060732000100".parse().expect("a jid")),
    };
    let start = Start {
        version: "0.1.0".into(),
        journal: "j".into(),
        store: None,
        open: vec![],
        message_max: None,
        successor: Some(fingerprint(1)),
        grains: Map::new(),
    };
    let grains = BTreeMap::from([("uuid".to_owned(), "4c4c4544".to_owned())]);
    vec![
        ("rotate", 7, ToMaster::Rotate(Box::new(rotate.clone()))),
        ("rotate_unasked", 7, ToMaster::Rotate(Box::new(Rotate { jid: None, ..rotate }))),
        ("learned", 8, ToMaster::Learned(Learned { successor: Some(fingerprint(1)) })),
        ("forgotten", 8, ToMaster::Learned(Learned { successor: None })),
        ("start", 2, ToMaster::Start(Box::new(start))),
        ("knock", 1, ToMaster::Knock(Knock { host: "web1".into(), grains, ..Knock::default() })),
    ]
}

/// What a master says.
fn to_minion() -> Vec<(&'static str, u8, ToMinion)> {
    let rotated = |refused: Option<&str>| {
        let refused = refused.map(str::to_owned);
        ToMinion::Rotated(Rotated { fingerprint: fingerprint(200), refused })
    };
    vec![
        ("rotated", 40, rotated(None)),
        ("refused", 40, rotated(Some("the new key is known here as rejected"))),
        ("config", 41, ToMinion::Config(Config { offer: "AQE=".into() })),
    ]
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn writes_and_reads_these_bytes() {
    for (name, kind, message) in to_master() {
        let frame = message.to_frame();
        assert_eq!((frame.kind, text(&frame.json)), (kind, text(&golden(name))), "{name}");
        assert_eq!(ToMaster::from_frame(&Frame::control(kind, golden(name))), Ok(message), "{name}");
    }
    for (name, kind, message) in to_minion() {
        let frame = message.to_frame();
        assert_eq!((frame.kind, text(&frame.json)), (kind, text(&golden(name))), "{name}");
        assert_eq!(ToMinion::from_frame(&Frame::control(kind, golden(name))), Ok(message), "{name}");
    }
}

/// A file that no test reads guards nothing.
#[test]
fn every_file_is_read_here() {
    let read: BTreeSet<String> = to_master()
        .into_iter()
        .map(|(name, ..)| name)
        .chain(to_minion().into_iter().map(|(name, ..)| name))
        .map(|name| format!("{name}.json"))
        .collect();
    let there: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(read, there);
}
