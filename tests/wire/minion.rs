//! Attacks on a real minion, by somebody between it and its master and by impostors.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use brine_pki::publish::Writer;
use brine_protocol::job::Call;
use brine_protocol::message::{Order, Standing, ToMaster, ToMinion};
use brine_protocol::target::Target;
use brine_tests::eventually;
use brine_tests::fake::FakeMaster;
use brine_tests::fleet::Fleet;
use brine_tests::impostor::{self, Session};
use brine_tests::peer::{ALL, Peer, offered, random};
use brine_tests::proxy::Proxy;
use brine_tests::wait::stays;
use brine_tests::zmtp::{Wire, frame};
use serde_json::json;

/// An order to make a file.
fn touch(path: &std::path::Path, number: u64) -> ToMinion {
    ToMinion::Order(Box::new(Order {
        jid: format!("202611220607320{number:05}").parse().unwrap(),
        number,
        calls: vec![Call {
            function: "cmd.run".to_owned(),
            arguments: vec![json!(format!("echo ran >> {}", path.display()))],
            keywords: serde_json::Map::new(),
        }],
        target: Target::glob("*"),
        job_timeout_ms: None,
        expires_in_ms: None,
        principal: "unix:0 (root)".to_owned(),
        detach: false,
    }))
}

fn lines(path: &std::path::Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// A master and a minion that reaches its broadcasts through a proxy.
fn between() -> (Fleet, brine_tests::Minion, Proxy) {
    let fleet = Fleet::start();
    let proxy = Proxy::before(fleet.publish_port);
    let mut m1 = fleet.prepare_minion("m1");
    m1.dial(proxy.port, fleet.ret_port);
    m1.start();
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_up("m1");
    // Until its subscriber has shown its token, orders for all reach it over its own channel.
    eventually(5.0, "orders for all are broadcast", || {
        fleet.ping("m1");
        proxy.to_client().windows(ALL.len()).any(|window| window == ALL)
    });
    (fleet, m1, proxy)
}

/// A message of two frames as PUB sends it.
fn broadcast(body: &[u8]) -> Vec<u8> {
    [frame(1, ALL), frame(0, body)].concat()
}

#[test]
fn a_publish_forged_by_an_accepted_minion_is_refused() {
    let (fleet, mut m1, proxy) = between();
    let (mut insider, token) = Peer::live(&fleet, "m2", "m2");
    let _subscriber = brine_tests::peer::subscriber(fleet.publish_port, Some(&token));
    let epoch = insider.epoch();
    let marker = fleet.dir().join("forged");
    // The insider knows the group key and the numbers; it does not hold the signing key.
    let mut writer = Writer::new(epoch.id, epoch.key, &random());
    let order = touch(&marker, 90_000).to_frame();
    let mut forged = writer.seal(&order);
    for _ in 0..epoch.next {
        forged = writer.seal(&order);
    }
    proxy.inject(&broadcast(&forged));
    eventually(5.0, "the minion says why it left", || m1.log().contains("signature"));
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(lines(&marker), 0, "the forged order ran");
    assert!(m1.process().is_alive());
}

#[test]
fn a_replayed_publish_runs_nothing_again() {
    let (fleet, mut m1, proxy) = between();
    let counter = fleet.dir().join("counter");
    let before = proxy.to_client().len();
    let jid = fleet.submit("*", "cmd.run", &[json!(format!("echo ran >> {}", counter.display()))]);
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["state"], "returned");
    let recorded = proxy.to_client()[before..].to_vec();
    assert!(recorded.windows(ALL.len()).any(|window| window == ALL), "an order for all is broadcast");
    let at = recorded.windows(ALL.len()).position(|window| window == ALL).unwrap() - 2;
    proxy.inject(&recorded[at..]);
    eventually(5.0, "the minion notices", || m1.log().contains("seen before"));
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(lines(&counter), 1);
    assert!(m1.process().is_alive());
}

#[test]
fn garbage_and_clear_orders_on_the_publish_port_are_refused() {
    let (fleet, mut m1, proxy) = between();
    let marker = fleet.dir().join("clear");
    let mut plain = bytes::BytesMut::new();
    touch(&marker, 90_001).to_frame().encode(&mut plain);
    proxy.inject(&broadcast(&plain));
    fleet.until_up("m1");
    fleet.ping("m1");
    proxy.inject(&broadcast(&[7; 200]));
    fleet.ping("m1");
    assert_eq!(lines(&marker), 0);
    assert!(m1.process().is_alive());
}

/// An impostor that holds the master's own key, for what only a key holder can try.
fn impostor(treat: impl Fn(Session) + Send + Sync + 'static) -> FakeMaster {
    let config = impostor::config("master", 1 << 40);
    let publish = AtomicUsize::new(0);
    FakeMaster::start_apart(
        move |mut wire: Wire| {
            publish.fetch_add(1, Ordering::Relaxed);
            if impostor::shake(&mut wire, "PUB") {
                let _ = wire.is_closed_within(30.0);
            }
        },
        move |wire| {
            let standing = Standing::Accepted { token: random() };
            if let Some(session) = Session::accept(wire, &config, standing, 10_000) {
                treat(session);
            }
        },
    )
}

fn dial(fleet: &Fleet, fake: &FakeMaster) -> brine_tests::Minion {
    let mut m1 = fleet.prepare_minion("m1");
    m1.dial(fake.publish_port, fake.ret_port);
    m1.start();
    m1
}

/// Answers Start as a master does, so that orders may follow.
fn open_for_orders(session: &mut Session) -> bool {
    let started = matches!(session.receive(), Some(ToMaster::Start(_)));
    let stored = brine_protocol::message::Stored { store: "ab".repeat(16), numbers: Vec::new(), floor: 1 };
    started && session.send(&ToMinion::Stored(stored))
}

#[test]
fn a_sealed_frame_out_of_order_or_twice_ends_the_session_of_a_minion() {
    let fleet = Fleet::prepare("");
    for repeat in [true, false] {
        let file = fleet.dir().join(format!("ran{repeat}"));
        let path = file.clone();
        let fake = impostor(move |mut session| {
            if !open_for_orders(&mut session) {
                return;
            }
            let first = session.seal(&touch(&path, 5));
            let second = session.seal(&touch(&path, 6));
            if repeat {
                session.wire.message(&[&first]);
                session.wire.message(&[&first]);
            } else {
                session.wire.message(&[&second]);
            }
            assert!(session.wire.is_closed_within(5.0), "the minion leaves");
        });
        let mut m1 = dial(&fleet, &fake);
        eventually(10.0, "the minion has left and come back", || fake.visits() >= 4);
        if repeat {
            eventually(5.0, "the first copy ran", || lines(&file) == 1);
        }
        stays(0.5, "nothing else runs", || lines(&file) == usize::from(repeat));
        assert!(m1.process().is_alive(), "{}", m1.log());
        drop(m1);
    }
}

#[test]
fn an_order_in_clear_ends_the_session_of_a_minion() {
    let fleet = Fleet::prepare("");
    let file = fleet.dir().join("ran");
    let path = file.clone();
    let left = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&left);
    let fake = impostor(move |mut session| {
        if !open_for_orders(&mut session) {
            return;
        }
        let mut plain = bytes::BytesMut::new();
        touch(&path, 5).to_frame().encode(&mut plain);
        session.wire.message(&[&plain]);
        seen.store(session.wire.is_closed_within(5.0), Ordering::Relaxed);
    });
    let mut m1 = dial(&fleet, &fake);
    eventually(10.0, "the minion leaves", || left.load(Ordering::Relaxed));
    assert_eq!(lines(&file), 0);
    assert!(m1.process().is_alive());
}

#[test]
fn an_order_with_a_known_number_is_the_same_order() {
    let fleet = Fleet::prepare("");
    let file = fleet.dir().join("ran");
    let path = file.clone();
    let fake = impostor(move |mut session| {
        if open_for_orders(&mut session) {
            session.send(&touch(&path, 5));
            session.send(&touch(&path, 5));
            // Below the floor: named as finished, so never to be sent again by an honest master.
            session.send(&touch(&path, 0));
            while session.receive().is_some() {}
        }
    });
    let mut m1 = dial(&fleet, &fake);
    eventually(10.0, "the order runs", || lines(&file) == 1);
    m1.kill();
    m1.start();
    stays(1.5, "it runs once, in this process and the next", || lines(&file) == 1);
}

#[test]
fn an_older_config_serial_is_refused() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    m1.kill();
    let reached = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reached);
    // The master's own key on an older config, as in a stolen backup or a recorded Offer whose
    // secret leaked.
    let config = impostor::config("master", 0);
    let fake = FakeMaster::start(move |wire| {
        let session = Session::accept(wire, &config, Standing::Accepted { token: random() }, 10_000);
        seen.fetch_or(session.is_some(), Ordering::Relaxed);
    });
    m1.dial(fake.publish_port, fake.ret_port);
    m1.start();
    eventually(10.0, "the minion says why it refuses", || m1.log().contains("serial"));
    assert!(!reached.load(Ordering::Relaxed), "the minion answered an old config");
    assert!(m1.process().is_alive());
}

#[test]
fn a_forged_verdict_is_refused_and_pins_nobody() {
    let fleet = Fleet::start();
    let real = fleet.ret_port;
    let after = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&after);
    let fake = FakeMaster::start(move |mut wire| {
        if !impostor::shake(&mut wire, "ROUTER") {
            return;
        }
        // A real Offer, passed on; the verdict is made up by somebody without the config's secret.
        let (_upstream, offer) = offered(real);
        wire.message(&[&offer]);
        let Ok(_hello) = wire.receive() else { return };
        let forged = [&[1, 3][..], &random(), &[0, 100], &[9; 100]].concat();
        wire.message(&[&forged]);
        if wire.receive().is_ok() {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut m1 = dial(&fleet, &fake);
    eventually(15.0, "the minion has tried twice", || fake.visits() >= 2);
    assert_eq!(after.load(Ordering::Relaxed), 0, "the minion went on behind a forged verdict");
    assert!(!m1.has_pin(), "nobody is pinned before the verdict has opened");
    assert!(m1.process().is_alive());
    m1.kill();
    m1.dial(fleet.publish_port, fleet.ret_port);
    m1.start();
    fleet.until_key(&m1, "pending");
}

#[test]
fn a_busy_answer_only_makes_a_minion_wait() {
    let fleet = Fleet::prepare_with_ports("");
    let fake = FakeMaster::start(|mut wire| {
        if impostor::shake(&mut wire, "ROUTER") {
            wire.message(&[&brine_pki::handshake::busy(100)]);
            let _ = wire.is_closed_within(5.0);
        }
    });
    let mut m1 = dial(&fleet, &fake);
    eventually(20.0, "it comes back", || fake.visits() >= 2);
    assert!(m1.process().is_alive());
    assert!(!m1.has_pin());
}
