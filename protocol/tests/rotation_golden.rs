//! The bodies that came with rotations and rules, byte for byte; still version 1, which only grew.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1-rotation`. A body that
//! has to be written otherwise is a new version with golden files of its own beside these.

mod bytes;

use std::collections::BTreeMap;

use brine_protocol::Fingerprint;
use brine_protocol::message::{Config, Knock, Learned, Rotate, Rotated, Start, ToMaster, ToMinion};
use bytes::{Golden, Said, names};
use serde_json::Map;

const GOLDEN: Golden = Golden("v1-rotation");

fn fingerprint(start: u8) -> Fingerprint {
    Fingerprint(std::array::from_fn(|i| start + i as u8))
}

/// What a minion says: file, kind in the frame's header, meaning.
fn to_master() -> Said<ToMaster> {
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
fn to_minion() -> Said<ToMinion> {
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

#[test]
fn writes_and_reads_these_bytes() {
    GOLDEN.check_to_master(to_master());
    GOLDEN.check_to_minion(to_minion());
}

#[test]
fn every_file_is_read_here() {
    GOLDEN.check_all_read(names(&to_master()).into_iter().chain(names(&to_minion())));
}
