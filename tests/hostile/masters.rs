//! Hostile masters against the real minion: it survives, and finds the real one later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brine_protocol::job::Call;
use brine_protocol::message::{Order, Standing, Stored, ToMinion};
use brine_protocol::target::Target;
use brine_tests::eventually;
use brine_tests::fake::FakeMaster;
use brine_tests::fleet::Fleet;
use brine_tests::impostor::{self, Session, shake};
use brine_tests::peer::random;
use brine_tests::wait::stays;
use brine_tests::zmtp::{Wire, frame, greeting, header};
use serde_json::json;

/// How much memory a minion under attack may have, in KiB.
const RSS_MAX_KIB: u64 = 64 * 1024;

/// The same while it is given orders, whose answers it keeps until they are acknowledged: these are on
/// disk, and a part of them in memory.
const FLOODED_RSS_MAX_KIB: u64 = 256 * 1024;

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

/// Orders of one flood: many times what a minion may have open.
const FLOOD: u64 = 5_000;

/// A master that an operator pinned by mistake, or one that was taken over, has the minion's trust. What
/// it may not have is the machine's memory.
#[test]
fn a_flood_of_orders() {
    let fleet = Fleet::prepare("");
    let agreement = impostor::config("master", 1 << 40);
    let given = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&given);
    let fake = FakeMaster::start_apart(
        |mut wire| {
            if shake(&mut wire, "PUB") {
                let _ = wire.is_closed_within(60.0);
            }
        },
        move |wire| {
            let standing = Standing::Accepted { token: random() };
            let Some(mut session) = Session::accept(wire, &agreement, standing, 10_000) else { return };
            let stored = Stored { store: "ab".repeat(16), numbers: Vec::new(), floor: 1 };
            if session.receive().is_none() || !session.send(&ToMinion::Stored(stored)) {
                return;
            }
            // Nothing is acknowledged, and what comes back is never read.
            for number in 1..=FLOOD {
                let Ok(jid) = format!("202611220607{number:08}").parse() else { continue };
                let order = Order {
                    jid,
                    number,
                    calls: vec![Call {
                        function: "test.echo".to_owned(),
                        arguments: vec![json!("x".repeat(2048))],
                        keywords: serde_json::Map::new(),
                    }],
                    target: Target::glob("*"),
                    job_timeout_ms: None,
                    expires_in_ms: None,
                    principal: "unix:0 (root)".to_owned(),
                    detach: false,
                };
                if !session.send(&ToMinion::Order(Box::new(order))) {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
            let _ = session.wire.is_closed_within(60.0);
        },
    );
    let mut minion = fleet.prepare_minion_with("m1", "m1", "stall_timeout: 2\n");
    minion.dial(fake.publish_port, fake.ret_port);
    minion.start();
    let pid = minion.process().pid();
    let mut largest = 0;
    let mut is_bounded = |minion: &mut brine_tests::Minion| {
        largest = minion.process().rss_kib().max(largest);
        assert!(minion.process().is_alive(), "the minion died:\n{}", minion.log());
        assert!(largest < FLOODED_RSS_MAX_KIB, "{largest} KiB");
    };
    eventually(60.0, "the flood is out, or the minion has left and come back for more", || {
        is_bounded(&mut minion);
        given.load(Ordering::Relaxed) >= FLOOD || fake.visits() >= 4
    });
    stays(1.0, "what was taken is worked off within bounds", || {
        is_bounded(&mut minion);
        true
    });
    println!("{} orders of 2 KiB given, the minion had {largest} KiB at most", given.load(Ordering::Relaxed));
    assert_eq!(minion.process().pid(), pid);
    assert!(!minion.log().contains("panicked"), "{}", minion.log());
}
