//! Attacks by minions and strangers on a real master.

use brine_protocol::message::{Beat, Knock, Standing, ToMaster, ToMinion};
use brine_tests::eventually;
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::peer::{Peer, hello, offered, random};
use brine_tests::wait::stays;
use brine_tests::zmtp::Wire;
use serde_json::json;

fn keys(fleet: &Fleet) -> usize {
    fleet.api().get("/v1/keys").expect(200).json().as_array().unwrap().len()
}

/// Sends a message and checks that the master closes instead of answering with a verdict.
fn refused(wire: &mut Wire, message: &[u8]) {
    wire.message(&[message]);
    wire.patience(3.0);
    match wire.receive() {
        Err(error) => assert!(
            !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
            "the connection stays open"
        ),
        Ok(parts) => assert_ne!(parts[0].get(1), Some(&3), "a verdict was given"),
    }
}

#[test]
fn a_hello_without_a_sealed_message_files_no_key() {
    let fleet = Fleet::start();
    let peer = Peer::open(fleet.ret_port, "m1", "m1");
    assert_eq!(peer.standing, Standing::Pending);
    stays(0.3, "no key is filed", || keys(&fleet) == 0);
    drop(peer);
    stays(0.3, "no key is filed", || keys(&fleet) == 0);
}

#[test]
fn a_knock_files_the_key_and_its_claims_are_cut() {
    let fleet = Fleet::start();
    let mut peer = Peer::open(fleet.ret_port, "m1", "m1");
    let claim = "\u{1b}[31m".repeat(100);
    peer.send(&ToMaster::Knock(Knock { host: claim, ..Knock::default() }));
    eventually(5.0, "the key is filed", || keys(&fleet) == 1);
    let keys = fleet.api().get("/v1/keys").json();
    assert!(keys[0]["claims"]["host"].as_str().unwrap().len() <= 256, "{keys}");
    let listed = fleet.brine_key(&["-L"]).expect(0).stdout;
    assert!(!listed.contains('\u{1b}'), "claims are shown escaped: {listed:?}");
}

#[test]
fn a_replayed_hello_on_the_same_connection() {
    let fleet = Fleet::start();
    let (wire, offer) = offered(fleet.ret_port);
    let (message, waiting) = hello(&offer, "m1", "m1", random());
    let mut peer = Peer::welcome(wire, &message, waiting);
    peer.wire.message(&[&message]);
    assert!(peer.is_closed_within(2.0), "nothing in clear is taken after the handshake");
    stays(0.2, "no key is filed", || keys(&fleet) == 0);
}

#[test]
fn a_replayed_hello_on_a_later_connection() {
    let fleet = Fleet::start();
    let (wire, offer) = offered(fleet.ret_port);
    let (message, waiting) = hello(&offer, "m1", "m1", random());
    let mut victim = Peer::welcome(wire, &message, waiting);
    victim.send(&ToMaster::Knock(Knock::default()));
    eventually(5.0, "the key waits", || keys(&fleet) == 1);
    fleet.act("accept", "m1", &fingerprint("m1"));
    assert!(matches!(victim.receive(), ToMinion::Standing(Standing::Accepted { .. })));
    victim.start();
    fleet.until_up("m1");
    let (mut later, _) = offered(fleet.ret_port);
    refused(&mut later, &message);
    assert_eq!(fleet.presence("m1"), "up");
    assert!(victim.send(&ToMaster::Beat(Beat::default())));
    assert!(!victim.is_closed_within(0.5), "the victim's session goes on");
}

#[test]
fn a_replayed_hello_after_the_key_was_deleted() {
    let fleet = Fleet::start();
    let (wire, offer) = offered(fleet.ret_port);
    let (message, waiting) = hello(&offer, "m1", "m1", random());
    let mut victim = Peer::welcome(wire, &message, waiting);
    victim.send(&ToMaster::Knock(Knock::default()));
    eventually(5.0, "the key waits", || keys(&fleet) == 1);
    fleet.act("accept", "m1", &fingerprint("m1"));
    fleet.act("delete", "m1", &fingerprint("m1"));
    assert!(victim.is_closed_within(2.0), "deleting ends the session");
    let (mut later, _) = offered(fleet.ret_port);
    refused(&mut later, &message);
    stays(0.3, "the deleted key does not come back", || keys(&fleet) == 0);
}

#[test]
fn a_leaked_ephemeral_is_worthless_on_another_offer() {
    let fleet = Fleet::start();
    let secret = random();
    let (_wire, first) = offered(fleet.ret_port);
    let (recorded, _) = hello(&first, "m1", "m1", secret);
    let (mut wire, second) = offered(fleet.ret_port);
    assert_ne!(first, second, "each connection has its own Offer");
    // The attacker holds no signing key of m1, only its ephemeral and what it signed before: all
    // fields of a new Hello are those of the recorded one, and the signature is over another Offer.
    refused(&mut wire, &recorded);
    // Signing with a key of its own makes it somebody else.
    let (wire, third) = offered(fleet.ret_port);
    let (own, waiting) = hello(&third, "m1", "m2", secret);
    let mut attacker = Peer::welcome(wire, &own, waiting);
    attacker.send(&ToMaster::Knock(Knock::default()));
    eventually(5.0, "the attacker's own key waits", || keys(&fleet) == 1);
    assert_eq!(fleet.key_state("m1", &fingerprint("m1")), None);
}

#[test]
fn every_changed_byte_of_a_hello_is_refused() {
    let fleet = Fleet::start_with("exempt_addresses: [127.0.0.1]\n");
    let length = {
        let (_wire, offer) = offered(fleet.ret_port);
        hello(&offer, "m1", "m1", random()).0.len()
    };
    for at in (0..length).step_by(length / 24) {
        let (mut wire, offer) = offered(fleet.ret_port);
        let (mut message, _) = hello(&offer, "m1", "m1", random());
        message[at] ^= 0x01;
        refused(&mut wire, &message);
    }
    assert_eq!(keys(&fleet), 0);
}

#[test]
fn a_sealed_frame_out_of_order_ends_the_session() {
    let fleet = Fleet::start();
    let (mut peer, _) = Peer::live(&fleet, "m1", "m1");
    fleet.until_up("m1");
    let _skipped = peer.seal(&ToMaster::Beat(Beat::default()));
    let second = peer.seal(&ToMaster::Beat(Beat::default()));
    peer.wire.message(&[&second]);
    assert!(peer.is_closed_within(2.0));
    eventually(2.0, "the session is gone", || fleet.presence("m1") == "offline");
}

#[test]
fn a_repeated_sealed_frame_ends_the_session() {
    let fleet = Fleet::start();
    let (mut peer, _) = Peer::live(&fleet, "m1", "m1");
    fleet.until_up("m1");
    let beat = peer.seal(&ToMaster::Beat(Beat::default()));
    peer.wire.message(&[&beat]);
    peer.wire.message(&[&beat]);
    assert!(peer.is_closed_within(2.0));
}

#[test]
fn a_waiting_minion_may_only_knock_and_beat() {
    let fleet = Fleet::start();
    for message in [
        ToMaster::Start(Box::new(brine_protocol::message::Start {
            version: "0".to_owned(),
            journal: "0".repeat(32),
            store: None,
            open: Vec::new(),
            message_max: None,
            successor: None,
            grains: serde_json::Map::new(),
        })),
        ToMaster::Grains(serde_json::Map::new()),
    ] {
        let mut peer = Peer::open(fleet.ret_port, "m1", "m1");
        assert_eq!(peer.standing, Standing::Pending);
        peer.send(&ToMaster::Knock(Knock::default()));
        eventually(5.0, "the key waits", || fleet.key_state("m1", &fingerprint("m1")).is_some());
        peer.send(&message);
        assert!(peer.is_closed_within(2.0), "{message:?}");
        assert_eq!(fleet.presence("m1"), "", "{message:?}");
        assert_eq!(fleet.health()["sessions"], 0);
    }
}

#[test]
fn a_return_for_a_job_of_another_changes_nothing() {
    use brine_protocol::job::{Ending, Returned};
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let (mut peer, _) = Peer::live(&fleet, "m2", "m2");
    fleet.until_up("m2");
    let jid = fleet.submit("m1", "test.sleep", &[json!(30)]);
    let number = fleet.api().get(&format!("/v1/jobs/{jid}")).json()["number"].as_u64().unwrap();
    peer.send(&ToMaster::Return(Box::new(brine_protocol::message::Return {
        jid: jid.parse().unwrap(),
        number,
        functions: "test.sleep".to_owned(),
        ending: Ending::Returned(Returned {
            value: json!("forged"),
            retcode: 0,
            duration_ms: 1,
            truncated: false,
        }),
    })));
    stays(0.5, "m1's row is open", || fleet.row(&jid, "m1")["ending"].is_null());
    assert!(fleet.row(&jid, "m2").is_null(), "m2 has no part in the job");
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
}

#[test]
fn a_newer_session_displaces_the_older_only_once_it_is_proved() {
    let fleet = Fleet::start();
    let (mut first, _) = Peer::live(&fleet, "m1", "m1");
    fleet.until_up("m1");
    let second = Peer::open(fleet.ret_port, "m1", "m1");
    assert!(matches!(second.standing, Standing::Accepted { .. }));
    assert!(first.send(&ToMaster::Beat(Beat::default())));
    assert!(!first.is_closed_within(0.5), "a Hello alone displaces nobody");
    let mut second = second;
    second.start();
    assert!(first.is_closed_within(2.0), "one session per key");
    assert!(!second.is_closed_within(0.3));
    assert_eq!(fleet.health()["sessions"], 1);
}
