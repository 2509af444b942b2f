//! Signals to jobs, byte for byte. These bytes have shipped: see `golden.rs`.

#[expect(dead_code, reason = "minions send no signals")]
mod bytes;

use brine_protocol::message::ToMinion;
use brine_protocol::signal::{Signal, SignalName};
use bytes::{Golden, Said, names};

const GOLDEN: Golden = Golden("v1-signal");

fn to_minion() -> Said<ToMinion> {
    let signal = Signal {
        jid: "20261122060732000100".parse().expect("a jid"),
        number: 1_795_327_652_000_100,
        signal: SignalName::TERM,
        by: "unix:1000 (alice)".to_owned(),
    };
    vec![("signal", 44, ToMinion::Signal(signal))]
}

#[test]
fn what_a_master_says() {
    GOLDEN.check_to_minion(to_minion());
}

#[test]
fn every_file_is_read_here() {
    GOLDEN.check_all_read(names(&to_minion()));
}
