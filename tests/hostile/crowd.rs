//! Many connections at once.

use brine_tests::fleet::Fleet;
use brine_tests::peer::{hello, offered, random};
use brine_tests::wait::stays;
use brine_tests::zmtp::{Wire, greeting};
use brine_tests::{eventually, within};

use crate::siege::Siege;

/// Limits that would only slow these tests down: all their connections come from one address.
const OPEN: &str = "connect_rate_per_address: 100000\nconnect_burst_per_address: 100000\n";

#[test]
fn six_hundred_connections_of_garbage() {
    let mut siege = Siege::lay(OPEN);
    let mut held = Vec::new();
    for i in 0..300 {
        for (port, _) in siege.ports() {
            let mut wire = Wire::dial(port);
            if i % 2 == 0 {
                wire.send(&greeting());
            }
            for _ in 0..4 {
                wire.send(&random());
            }
            held.push(wire);
        }
        if i % 100 == 50 {
            siege.holds("garbage");
        }
    }
    siege.holds("garbage");
    // Random bytes may by chance announce a short frame and wait for it; most are refused at once.
    siege.counted("garbage", 400);
}

#[test]
fn silent_connections_are_closed_in_time() {
    let mut siege = Siege::lay(&format!("{OPEN}handshake_timeout_ms: 1000\n"));
    let mut silent: Vec<Wire> =
        siege.ports().iter().flat_map(|(port, _)| (0..50).map(|_| Wire::dial(*port))).collect();
    let mut half: Vec<Wire> =
        siege.ports().iter().flat_map(|(port, _)| (0..50).map(|_| Wire::dial(*port))).collect();
    for wire in &mut half {
        wire.send(&greeting());
    }
    let mut unsaid: Vec<Wire> =
        (0..20).map(|_| Wire::connect(siege.fleet.ret_port, "DEALER", None)).collect();
    siege.holds("silent connections");
    for wire in silent.iter_mut().chain(&mut half).chain(&mut unsaid) {
        assert!(wire.is_closed_within(5.0), "a silent connection stays open");
    }
    siege.counted("silent connections", 220);
    siege.holds("silent connections");
}

#[test]
fn a_greeting_byte_by_byte_is_cut_off() {
    let mut siege = Siege::lay(&format!("{OPEN}handshake_timeout_ms: 1000\n"));
    let mut wires: Vec<Wire> = siege.ports().iter().map(|(port, _)| Wire::dial(*port)).collect();
    for wire in &mut wires {
        let closed = greeting().iter().any(|byte| !wire.send(&[*byte]) || wire.is_closed_within(0.1));
        assert!(closed, "64 bytes in 6 s were waited for");
    }
    siege.holds("slow loris");
    siege.counted("slow loris", 2);
}

#[test]
fn hellos_with_garbage_signatures() {
    let mut siege = Siege::lay(OPEN);
    let mut held = Vec::new();
    for i in 0..150 {
        let (mut wire, offer) = offered(siege.fleet.ret_port);
        let (mut message, _) = hello(&offer, "m2", "m2", random());
        let last = message.len() - 1;
        message[last] ^= 0xff;
        wire.message(&[&message]);
        held.push(wire);
        if i % 50 == 25 {
            siege.holds("garbage signatures");
        }
    }
    siege.counted("garbage signatures", 150);
    siege.holds("garbage signatures");
    let keys = siege.fleet.api().get("/v1/keys").json();
    assert_eq!(keys.as_array().unwrap().len(), 1, "none of them is filed: {keys}");
}

#[test]
fn more_connections_of_one_address_than_allowed() {
    let mut siege = Siege::lay(&format!("{OPEN}connections_per_address: 20\n"));
    let mut held: Vec<Wire> = (0..60).map(|_| Wire::dial(siege.fleet.ret_port)).collect();
    let closed = held.iter_mut().filter_map(|wire| wire.is_closed_within(0.3).then_some(())).count();
    assert!((40..60).contains(&closed), "{closed} of 60 were turned away");
    siege.holds("one address");
    siege.counted("one address", 40);
    let m2 = siege.fleet.prepare_minion("m2");
    drop(held);
    let mut m2 = m2;
    m2.start();
    siege.fleet.until_key(&m2, "pending");
}

#[test]
fn running_out_of_descriptors() {
    let mut fleet = Fleet::prepare_with_ports(OPEN);
    fleet.start_master_within(160);
    let mut siege = Siege::around(fleet);
    let mut held: Vec<Wire> = Vec::new();
    for _ in 0..200 {
        for (port, _) in siege.ports() {
            held.extend(Wire::try_dial(port));
        }
    }
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", siege.fleet.master().pid())).unwrap().count();
    assert!(descriptors < 160, "some are kept for the control socket and the store");
    siege.holds("out of descriptors");
    // Long against the clock of CPU time, which ticks in hundredths.
    let before = cpu_seconds(siege.fleet.master().pid());
    let begun = std::time::Instant::now();
    stays(1.0, "the master lives", || siege.fleet.master().is_alive());
    siege.holds("out of descriptors");
    let share = (cpu_seconds(siege.fleet.master().pid()) - before) / begun.elapsed().as_secs_f64();
    assert!(share < 0.5, "the master spins: {share} of a core");
    siege.counted("out of descriptors", 1);
    drop(held);
    let m2 = siege.fleet.stranger("m2");
    within(15.0, "there is room again", || siege.fleet.key_state("m2", &m2.fingerprint()));
}

/// CPU time used by a process, in seconds.
fn cpu_seconds(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

#[test]
fn stolen_identities_change_nothing() {
    let mut siege = Siege::lay(OPEN);
    let claims: [&[u8]; 5] = [b"m1", b"\0\0\0\0\x01", b"", &[0], &[b'x'; 255]];
    let mut held = Vec::new();
    for identity in claims.iter().cycle().take(40) {
        let mut wire = Wire::connect(siege.fleet.ret_port, "DEALER", Some(identity));
        assert!(wire.receive().is_ok(), "each gets an Offer of its own");
        held.push(wire);
    }
    siege.holds("stolen identities");
    assert_eq!(siege.fleet.health()["sessions"], 1);
    eventually(1.0, "m1 is up", || siege.fleet.presence("m1") == "up");
    assert!(
        held.iter_mut().all(|wire| !wire.is_closed_within(0.01)),
        "the name is ignored, not the peer refused"
    );
}

#[test]
fn strangers_cannot_fill_the_place_of_minions() {
    use brine_protocol::message::{Knock, ToMaster};
    use brine_tests::peer::Peer;
    let mut siege = Siege::lay(&format!("{OPEN}pending_max: 5\npending_per_id: 3\n"));
    let mut peers = Vec::new();
    for i in 0..12 {
        let mut peer = Peer::open(siege.fleet.ret_port, &format!("flood{i}"), ["m2", "m3", "m4"][i % 3]);
        peer.send(&ToMaster::Knock(Knock::default()));
        peers.push(peer);
    }
    eventually(5.0, "some of them wait", || {
        siege.fleet.api().get("/v1/keys").json().as_array().unwrap().len() > 3
    });
    siege.holds("strangers");
    let keys = siege.fleet.api().get("/v1/keys").json();
    assert!(keys.as_array().unwrap().len() <= 6, "the accepted one and five that wait: {keys}");
    assert_eq!(siege.fleet.ledger().matches("flood").count(), 0, "strangers cannot grow the ledger");
}
