//! The bodies that came with pillar, byte for byte; still version 1, which only grew.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1-pillar`. A body that has
//! to be written otherwise is a new version with golden files of its own beside these.

mod bytes;

use brine_protocol::frame::Frame;
use brine_protocol::message::{ToMaster, ToMinion};
use brine_protocol::pillar::{Pillar, RefreshPillar};
use bytes::{Golden, Said, names};
use serde_json::{Value, json};

const GOLDEN: Golden = Golden("v1-pillar");

fn to_master() -> Said<ToMaster> {
    vec![("refresh_pillar", 9, ToMaster::RefreshPillar(RefreshPillar { ask: 7 }))]
}

fn to_minion() -> Said<ToMinion> {
    let Value::Object(pillar) =
        json!({"site": "Dijon", "ports": [22, 443], "users": {"alice": {"uid": 1000}}})
    else {
        panic!("a map")
    };
    let told = Pillar { pillar: Some(pillar), ask: Some(7), problem: None };
    let problem = "the master's pillar files cannot be used as they are".to_owned();
    let kept = Pillar { pillar: None, ask: Some(8), problem: Some(problem) };
    vec![
        ("pillar", 43, ToMinion::Pillar(Box::new(told))),
        ("pillar_kept", 43, ToMinion::Pillar(Box::new(kept))),
    ]
}

#[test]
fn writes_and_reads_these_bytes() {
    GOLDEN.check_to_master(to_master());
    GOLDEN.check_to_minion(to_minion());
    GOLDEN.check_all_read(names(&to_master()).into_iter().chain(names(&to_minion())));
}

#[test]
fn what_may_be_left_out_and_what_may_be_added() {
    let down = |body: &str| ToMinion::from_frame(&Frame::control(43, body.into()));
    assert_eq!(down("{}"), Ok(ToMinion::Pillar(Box::default())));
    let empty = Pillar { pillar: Some(serde_json::Map::new()), ..Pillar::default() };
    assert_eq!(down(r#"{"pillar":{},"signed":true}"#), Ok(ToMinion::Pillar(Box::new(empty))));
    assert!(down(r#"{"pillar":[]}"#).is_err());
}
