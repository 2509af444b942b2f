//! Hostile masters against the real minion: it survives, and finds the real one later.

use brine_tests::eventually;
use brine_tests::fake::FakeMaster;
use brine_tests::fleet::Fleet;
use brine_tests::impostor::shake;
use brine_tests::peer::random;
use brine_tests::zmtp::{Wire, frame, greeting, header};

/// How much memory a minion under attack may have, in KiB.
const RSS_MAX_KIB: u64 = 64 * 1024;

/// Lets a minion dial a fake master that treats every connection so, until it has come back
/// twice; then a real master takes the fake one's place on the same ports.
fn survives(treat: impl Fn(&mut Wire) + Send + Sync + 'static) {
    let mut fleet = Fleet::prepare_with_ports("");
    let fake = FakeMaster::start_on(fleet.publish_port, fleet.ret_port, move |mut wire| {
        treat(&mut wire);
        // The minion has to leave on its own account.
        let _ = wire.is_closed_within(8.0);
    });
    let mut minion =
        fleet.prepare_minion_with("m1", "m1", "handshake_timeout: 1\nstall_timeout: 1\nreconnect_max: 0.5\n");
    minion.start();
    let pid = minion.process().pid();
    eventually(20.0, "the minion comes back for more", || {
        assert!(minion.process().rss_kib() < RSS_MAX_KIB, "{} KiB", minion.process().rss_kib());
        fake.visits() >= 3
    });
    assert!(minion.process().is_alive(), "the minion died:\n{}", minion.log());
    assert!(!minion.log().contains("panicked"), "{}", minion.log());
    assert!(!minion.has_pin(), "a fake master was pinned");
    drop(fake);
    fleet.start_master();
    fleet.until_key(&minion, "pending");
    assert_eq!(minion.process().pid(), pid);
    fleet.act("accept", "m1", &minion.fingerprint());
    fleet.until_up("m1");
    fleet.ping("m1");
}

#[test]
fn lengths_that_no_memory_holds_before_ready() {
    survives(|wire| {
        wire.send(&greeting());
        wire.send(&header(0, 1 << 60));
    });
}

#[test]
fn lengths_that_no_memory_holds_after_ready() {
    survives(|wire| {
        if shake(wire, "ROUTER") {
            wire.send(&header(1, 1 << 60));
        }
    });
}

#[test]
fn a_length_at_the_edge_of_a_signed_number() {
    survives(|wire| {
        if shake(wire, "ROUTER") {
            wire.send(&header(0, (1 << 63) - 1));
        }
    });
}

#[test]
fn malformed_ready() {
    survives(|wire| {
        wire.send(&greeting());
        wire.send(&frame(0x04, b"\x05READY\x0bSocket-Type\xff\xff\xff\xffROUTER"));
    });
}

#[test]
fn endless_frames_of_one_message() {
    survives(|wire| {
        if shake(wire, "ROUTER") {
            let flood = frame(0x01, b"").repeat(4096);
            let sent = (0..4096).take_while(|_| wire.send(&flood)).count();
            assert!(sent < 4096, "32 MiB of empty frames were taken");
        }
    });
}

#[test]
fn silence_from_the_start() {
    survives(|_| {});
}

#[test]
fn silence_after_ready() {
    survives(|wire| {
        shake(wire, "ROUTER");
    });
}

#[test]
fn a_greeting_byte_by_byte() {
    survives(|wire| {
        for byte in greeting() {
            if !wire.send(&[byte]) || wire.is_closed_within(0.2) {
                break;
            }
        }
    });
}

#[test]
fn garbage_where_the_offer_is_due() {
    survives(|wire| {
        if shake(wire, "ROUTER") {
            wire.message(&[&random(), &random()]);
            wire.message(&[&[1, 1, 0, 0, 0, 0]]);
            wire.message(&[&[]]);
            for _ in 0..100 {
                wire.message(&[&[1; 60_000]]);
            }
        }
    });
}

#[test]
fn something_that_is_no_zmtp() {
    survives(|wire| {
        wire.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        for _ in 0..64 {
            wire.send(&random());
        }
    });
}
