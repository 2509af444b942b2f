//! Attacks on the publish port by peers that speak ZMTP well.

use brine_tests::eventually;
use brine_tests::fleet::job;
use brine_tests::peer::{ALL, Peer, random, subscriber, subscription, token_topic};
use brine_tests::zmtp::{Wire, frame};
use serde_json::json;

use crate::siege::Siege;

#[test]
fn a_subscriber_without_a_token_is_closed_and_sees_nothing() {
    let mut siege = Siege::lay("subscriber_token_ms: 1000\n");
    let mut without = subscriber(siege.fleet.publish_port, None);
    let mut wrong = subscriber(siege.fleet.publish_port, Some(&random()));
    let mut everything = Wire::connect(siege.fleet.publish_port, "SUB", None);
    everything.message(&[&subscription(b"")]);
    siege.fleet.brine(&["*", "test.echo", "canary"]).expect(0);
    for wire in [&mut without, &mut wrong, &mut everything] {
        let begun = std::time::Instant::now();
        let heard = wire.receive();
        let error = heard.expect_err("a broadcast reached a subscriber without a session");
        assert!(
            !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
            "it stays open"
        );
        assert!(begun.elapsed().as_secs_f64() < 5.0);
    }
    siege.holds("subscribers without a token");
    siege.counted("subscribers without a token", 3);
}

#[test]
fn a_token_works_once_and_ends_with_its_session() {
    let mut siege = Siege::lay("subscriber_token_ms: 1000\n");
    let (mut peer, token) = Peer::live(&siege.fleet, "m2", "m2");
    let mut first = subscriber(siege.fleet.publish_port, Some(&token));
    let _epoch = peer.epoch();
    let mut second = subscriber(siege.fleet.publish_port, Some(&token));
    assert!(second.is_closed_within(3.0), "a token is used up by its first use");
    assert!(!first.is_closed_within(0.2));
    drop(peer);
    assert!(first.is_closed_within(3.0), "a subscriber closes with its session");
    siege.holds("tokens");
}

#[test]
fn subscription_bombs() {
    let mut siege = Siege::lay("");
    let flood = |next: &mut dyn FnMut(u32) -> Vec<u8>| {
        let mut wire = Wire::connect(siege.fleet.publish_port, "SUB", None);
        let sent = (0..1000_u32)
            .take_while(|i| {
                let chunk: Vec<u8> =
                    (0..100).flat_map(|j| frame(0, &subscription(&next(i * 100 + j)))).collect();
                wire.send(&chunk)
            })
            .count();
        assert!(sent < 1000, "100,000 subscriptions were taken");
    };
    flood(&mut |i| format!("topic{i}").into_bytes());
    flood(&mut |_| ALL.to_vec());
    flood(&mut |i| token_topic(&[i as u8; 32]));
    let mut long = Wire::connect(siege.fleet.publish_port, "SUB", None);
    long.message(&[&subscription(&[b'x'; 4096])]);
    assert!(long.is_closed_within(2.0), "a subscription of 4 KiB was taken");
    let mut talk = Wire::connect(siege.fleet.publish_port, "SUB", None);
    talk.message(&[b"\x07publish this"]);
    assert!(talk.is_closed_within(2.0), "a subscriber that talks was kept");
    siege.holds("subscription bombs");
    siege.reason("too_many_subscriptions", 2);
    siege.reason("subscription_too_long", 1);
    siege.counted("subscription bombs", 5);
}

/// Options under which a peer that takes nothing is cut off within a test's patience.
const IMPATIENT: &str = "write_stall_ms: 1000\nsend_queue_max: 2097152\n";

#[test]
fn a_subscriber_that_stops_reading_is_cut_off() {
    let mut siege = Siege::lay(IMPATIENT);
    let (mut peer, token) = Peer::live(&siege.fleet, "m2", "m2");
    let _stalled = subscriber(siege.fleet.publish_port, Some(&token));
    let _epoch = peer.epoch();
    siege.fleet.until_up("m2");
    for i in 0..200 {
        // More than the kernel's buffers of a connection hold, in orders that return little.
        let mut request = job("*", "cmd.run", &[json!("true")]);
        request["calls"][0]["keywords"] = json!({"stdin": "x".repeat(600_000)});
        siege.fleet.api().post("/v1/jobs", &request).expect(201);
        if i % 8 == 7 {
            siege.holds("a stalled subscriber");
        }
        if siege.fleet.presence("m2") == "offline" {
            break;
        }
    }
    eventually(5.0, "the stalled peer's session is over", || siege.fleet.presence("m2") == "offline");
    siege.holds("a stalled subscriber");
    siege.counted("a stalled subscriber", 1);
}

#[test]
fn a_minion_that_stops_reading_is_cut_off() {
    let mut siege = Siege::lay(IMPATIENT);
    let (_peer, _) = Peer::live(&siege.fleet, "m2", "m2");
    siege.fleet.until_up("m2");
    // More than the socket's buffers and the send queue hold together. Each job is kept while it
    // is open, so this is what the master's memory may grow by.
    for _ in 0..40 {
        let request = job("m2", "test.echo", &[json!("x".repeat(600_000))]);
        let status = siege.fleet.api().post("/v1/jobs", &request).status;
        assert_eq!(status, 201);
        if siege.fleet.presence("m2") == "offline" {
            break;
        }
    }
    eventually(5.0, "the stalled peer's session is over", || siege.fleet.presence("m2") == "offline");
    siege.holds("a stalled minion");
    siege.counted("a stalled minion", 1);
}
