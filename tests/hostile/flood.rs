//! Strangers who knock under one name after the other, each time with proof of a key.

use std::net::Ipv4Addr;

use brine_protocol::message::{Knock, ToMaster};
use brine_tests::eventually;
use brine_tests::peer::{Peer, boastful, hello, random};
use brine_tests::zmtp::Wire;

use crate::siege::Siege;

/// Ids that one address tries to file.
const IDS: usize = 450;

/// Keys that may wait.
const PENDING_MAX: usize = 100;

/// Knocks under this id; none if the master hangs up before it is filed.
fn knock(from: Ipv4Addr, port: u16, id: &str, claims: Knock) -> Option<Peer> {
    let mut wire = Wire::dial_from(from, port).ok()?;
    wire.shake("DEALER", None).ok()?;
    let offer = wire.receive().ok()?;
    let (hello, waiting) = hello(&offer[0], id, "m2", random());
    if !wire.message(&[&hello]) {
        return None;
    }
    let answer = wire.receive().ok()?;
    let (welcome, channel) = waiting.welcome(&answer[0]).ok()?;
    let heartbeat_ms = welcome.pace.heartbeat_ms;
    let mut peer = Peer { wire, channel, standing: welcome.standing, heartbeat_ms };
    peer.send(&ToMaster::Knock(claims)).then_some(peer)
}

#[test]
fn hundreds_of_names_from_one_address_push_out_nobody_else() {
    let mut siege = Siege::lay(&format!(
        "pending_max: {PENDING_MAX}\nconnect_rate_per_address: 40\nconnect_burst_per_address: 250\n"
    ));
    let m3 = siege.fleet.stranger("m3");
    siege.fleet.until_key(&m3, "pending");
    let (ledger, port) = (siege.fleet.ledger(), siege.fleet.ret_port);
    let attacker = Ipv4Addr::new(127, 0, 0, 66);
    let mut filed = 0;
    for i in 0..IDS {
        // Each hangs up at once, so that no cap on open connections helps.
        filed += usize::from(knock(attacker, port, &format!("flood{i}"), boastful()).is_some());
        if i % 200 == 150 {
            siege.holds("a flood of names");
        }
    }
    assert!(filed > PENDING_MAX, "the flood is larger than what may wait: {filed}");
    siege.reason("refused_connect_rate_per_address", 50);
    siege.holds("a flood of names");

    let keys = siege.fleet.api().get("/v1/keys?public_key=false").expect(200).json();
    let keys = keys.as_array().unwrap();
    let of_flood = keys.iter().filter(|key| key["id"].as_str().unwrap().starts_with("flood")).count();
    assert_eq!((keys.len(), of_flood), (PENDING_MAX + 1, PENDING_MAX - 1), "m1, m3, and the rest is bounded");
    assert_eq!(siege.fleet.key_state("m3", &m3.fingerprint()).as_deref(), Some("pending"));
    assert_eq!(siege.fleet.ledger(), ledger, "a knock is no decision");
    let waiting = siege.fleet.root().join("var/lib/brine/master/waiting.json");
    let size = || std::fs::metadata(&waiting).map_or(0, |found| found.len());
    eventually(5.0, "who waits is on disk", || size() > 0);
    // 19 texts of at most 256 bytes and a key: below 8 KiB for each.
    assert!(size() < PENDING_MAX as u64 * 8192, "{} bytes", size());

    siege.fleet.act("accept", "m3", &m3.fingerprint());
    siege.fleet.until_up("m3");
    siege.fleet.ping("m3");
    // The attacker's address gets no further; another one does at once.
    let other = knock(Ipv4Addr::new(127, 0, 0, 77), port, "late", Knock::default());
    assert!(other.is_some());
    eventually(5.0, "the newcomer waits", || {
        let keys = siege.fleet.api().get("/v1/keys?id=late").expect(200).json();
        keys.as_array().unwrap().len() == 1
    });
}
