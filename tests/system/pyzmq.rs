//! libzmq, through pyzmq, against the real master.

use brine_tests::Fleet;

use crate::run;

/// Runs `pyzmq.py` with a mode and the master's ports.
fn python(fleet: &Fleet, mode: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/system/pyzmq.py");
    let (publish, ret) = (fleet.publish_port.to_string(), fleet.ret_port.to_string());
    run(&["python3", script, mode, &publish, &ret]).expect(0).stdout
}

#[test]
fn a_dealer_gets_an_offer() {
    let fleet = Fleet::start();
    assert_eq!(python(&fleet, "offer").trim(), "version 1 frames 1");
}

#[test]
fn heartbeats_of_libzmq_are_answered() {
    let fleet = Fleet::start_with("handshake_timeout_ms: 20000\nsubscriber_token_ms: 20000\n");
    assert_eq!(python(&fleet, "heartbeat").trim(), "disconnected 0");
}

#[test]
fn a_sub_without_a_token_is_closed() {
    let fleet = Fleet::start_with("subscriber_token_ms: 500\n");
    assert_eq!(python(&fleet, "subscriber").trim(), "disconnected");
}

#[test]
fn large_messages_of_libzmq_are_refused_and_the_master_lives() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    assert_eq!(python(&fleet, "large").trim(), "disconnected");
    fleet.ping("m1");
}
