//! A beat that counts broadcasts, byte for byte. These bytes have shipped: see `golden.rs`.

#[expect(dead_code, reason = "minions count no broadcasts")]
mod bytes;

use brine_protocol::frame::Frame;
use brine_protocol::message::{Counted, ToMinion, kind};
use bytes::{Golden, Said, names};

const GOLDEN: Golden = Golden("v1-counted");

fn to_minion() -> Said<ToMinion> {
    vec![("counted", kind::MASTER_BEAT, ToMinion::Counted(Counted { epoch: [1; 16], next: 7 }))]
}

#[test]
fn what_a_master_says() {
    GOLDEN.check_to_minion(to_minion());
}

#[test]
fn a_beat_without_a_count_that_is_understood_is_a_sign_of_life() {
    for body in ["{}", "", "[]", "7", r#"{"broadcasts":{"epoch":"01","next":7}}"#, r#"{"broadcasts":null}"#] {
        let frame = Frame::control(kind::MASTER_BEAT, body.as_bytes().to_vec());
        assert_eq!(ToMinion::from_frame(&frame), Ok(ToMinion::Beat), "{body}");
    }
}

#[test]
fn every_file_is_read_here() {
    GOLDEN.check_all_read(names(&to_minion()));
}
