//! Who can read what: a job's content reaches exactly its targets.

use brine_pki::publish::Reader;
use brine_protocol::message::ToMinion;
use brine_tests::fleet::Fleet;
use brine_tests::peer::{ALL, Peer, subscriber};
use brine_tests::proxy::{Proxy, contains};
use brine_tests::wait::stays;
use brine_tests::within;
use bytes::Bytes;
use serde_json::json;

const CANARY: &str = "canary-9f1c2e7b5a";

#[test]
fn a_third_minion_gets_nothing_of_an_order_for_another() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let (mut third, token) = Peer::live(&fleet, "m2", "m2");
    let mut broadcasts = subscriber(fleet.publish_port, Some(&token));
    let _epoch = third.epoch();
    let jid = fleet.submit("m1", "test.echo", &[json!(CANARY)]);
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["value"], CANARY);
    let heard = third.receive_for(0.5);
    assert!(!heard.iter().any(|message| matches!(message, ToMinion::Order(_))), "{heard:?}");
    broadcasts.patience(0.2);
    assert!(broadcasts.receive().is_err(), "an order for one is not broadcast");
    // The same peer does get its own, so that silence above means something.
    let own = fleet.submit("m2", "test.echo", &[json!("own")]);
    let order = within(5.0, "its own order", || match third.receive() {
        ToMinion::Order(order) => Some(order),
        _ => None,
    });
    assert_eq!(order.jid.as_str(), own);
}

#[test]
fn no_argument_and_no_return_is_in_clear_on_any_wire() {
    let fleet = Fleet::start();
    let (publish, ret) = (Proxy::before(fleet.publish_port), Proxy::before(fleet.ret_port));
    let _m1 = fleet.minion("m1");
    let mut m3 = fleet.prepare_minion("m3");
    m3.dial(publish.port, ret.port);
    m3.start();
    fleet.until_key(&m3, "pending");
    fleet.act("accept", "m3", &m3.fingerprint());
    fleet.until_up("m3");
    for target in ["m1", "m3", "*"] {
        let all = fleet.brine(&[target, "test.echo", CANARY, "--out", "json", "--static"]).expect(0);
        assert!(all.stdout.contains(CANARY));
    }
    let wires = [publish.to_client(), publish.to_server(), ret.to_client(), ret.to_server()];
    assert!(wires.iter().all(|bytes| bytes.len() > 64), "the proxies were used");
    assert!(contains(&wires[0], ALL), "broadcasts go over the publish port");
    for bytes in &wires {
        assert!(!contains(bytes, CANARY.as_bytes()), "an argument is readable on the wire");
    }
}

#[test]
fn a_removed_minion_cannot_read_the_next_publish() {
    let fleet = Fleet::start();
    let tap = Proxy::before(fleet.publish_port);
    let mut m1 = fleet.prepare_minion("m1");
    m1.dial(tap.port, fleet.ret_port);
    m1.start();
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_up("m1");
    let (mut removed, token) = Peer::live(&fleet, "m2", "m2");
    let mut broadcasts = subscriber(fleet.publish_port, Some(&token));
    let epoch = removed.epoch();
    let mut reader = Reader::new();
    reader.install(&epoch).unwrap();

    // While it belongs to the fleet it reads.
    let _ = fleet.submit("*", "test.echo", &[json!(CANARY)]);
    let parts = broadcasts.receive().unwrap();
    assert_eq!(parts[0], ALL);
    let frame = reader.open(Bytes::from(parts[1].clone())).unwrap().expect("it opens");
    assert!(contains(&frame.json, CANARY.as_bytes()));

    fleet.act("delete", "m2", &brine_tests::fixtures::fingerprint("m2"));
    assert!(removed.is_closed_within(1.0), "its session ends at once");
    assert!(broadcasts.is_closed_within(1.0), "and its subscription with it");
    let before = tap.to_client().len();
    let jid = fleet.submit("*", "test.echo", &[json!(CANARY)]);
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["value"], CANARY);
    let bytes = tap.to_client()[before..].to_vec();
    let at = bytes.windows(ALL.len()).position(|window| window == ALL).expect("it was broadcast") + ALL.len();
    // Behind the topic: a frame header of two or nine bytes, then the message.
    let body = if bytes[at] & 0x02 == 0 { &bytes[at + 2..] } else { &bytes[at + 9..] };
    assert_ne!(body[..16], epoch.id, "a new epoch");
    let opened = reader.open(Bytes::copy_from_slice(body));
    assert!(!matches!(opened, Ok(Some(_))), "a removed minion reads the next broadcast");
    stays(0.2, "m1 is undisturbed", || fleet.presence("m1") == "up");
}
