//! Version 1 of a broadcast, byte for byte.
//!
//! These bytes have shipped: do not change this test or `golden/v1/broadcast.bin`, and never
//! record it anew. They were made by a program that shares no code with this one. A broadcast
//! that has to look otherwise is a new version with a golden file of its own.

use brine_pki::publish::{OVERHEAD, PublishError, Reader, Writer};
use brine_protocol::frame::{Frame, HEADER};
use brine_protocol::message::Epoch;
use bytes::Bytes;

const GOLDEN: &[u8] = include_bytes!("golden/v1/broadcast.bin");
const ORDER: &[u8] = include_bytes!("../../protocol/tests/golden/v1/order.json");
const EPOCH: &[u8] = include_bytes!("../../protocol/tests/golden/v1/epoch.json");

fn order() -> Frame {
    Frame::control(35, ORDER.to_vec())
}

fn epoch() -> Epoch {
    serde_json::from_slice(EPOCH).expect("an epoch")
}

#[test]
fn the_master_writes_these_bytes() {
    let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
    assert_eq!(writer.epoch(), epoch(), "the keys as minions are told them");
    assert_eq!(writer.seal(&order()), GOLDEN);
    assert_eq!(writer.epoch().next, 1);
}

#[test]
fn the_minion_reads_these_bytes() {
    let mut reader = Reader::new();
    assert_eq!(reader.install(&epoch()), Ok(vec![]));
    assert_eq!(reader.open(Bytes::from_static(GOLDEN)), Ok(Some(order())));
    let again = PublishError::Replayed { got: 0, expected: 1 };
    assert_eq!(reader.open(Bytes::from_static(GOLDEN)), Err(again));
}

#[test]
fn fields_are_where_they_are_documented() {
    assert_eq!(GOLDEN.len(), HEADER + ORDER.len() + OVERHEAD);
    assert_eq!(OVERHEAD, 16 + 8 + 16 + 64);
    assert_eq!(GOLDEN[..16], [1; 16], "the epoch's id");
    assert_eq!(GOLDEN[16..24], [0; 8], "the sequence number");
}
