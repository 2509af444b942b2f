//! Somebody in the middle who records everything and passes on only what he likes cannot enrol
//! with it.

use brine_protocol::message::{Knock, Standing, ToMaster, ToMinion};
use brine_tests::eventually;
use brine_tests::fake::FakeMaster;
use brine_tests::fleet::Fleet;
use brine_tests::hunt::Hunt;
use brine_tests::impostor::{self, Session};
use brine_tests::middle::{Middle, Seen};
use brine_tests::peer::{Peer, offered};
use brine_tests::within;
use brine_tests::zmtp::Wire;
use serde_json::json;

use super::{create, decisions, link, token, until_connected, used, with_token};

/// READY and Hello: what comes behind them is sealed.
const HANDSHAKE: usize = 2;

/// Whoever tries to make something of a recording has got nowhere.
#[track_caller]
fn nobody_is_in(fleet: &Fleet, token: &str, server: &str) {
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    assert!(super::list(&keys).iter().all(|key| key["state"] == "pending"), "{keys}");
    assert_eq!((used(fleet, token), link(fleet, server)), (0, json!(null)));
    assert!(decisions(fleet, "enrol").is_empty(), "{}", fleet.ledger());
}

#[test]
fn what_was_recorded_and_withheld_enrols_nobody() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1", "--minion-id", "m1"]);
    let (id, secret) = token(&fleet, &["--server", "web1"]);
    let middle = Middle::before(fleet.ret_port, HANDSHAKE);
    let mut m1 = fleet.prepare_minion_with("m1", "m1", &with_token(&secret));
    m1.dial(fleet.publish_port, middle.port);
    m1.start();
    let seen: Seen = within(10.0, "the minion says its first sealed word", || {
        middle.seen().into_iter().find(|seen| !seen.kept.is_empty())
    });
    m1.kill();
    nobody_is_in(&fleet, &id, &server);

    // The token is not in what he has, in no form; and the search would see it.
    let hunt = Hunt::token(&secret);
    for bytes in [seen.said(), seen.answered.clone()] {
        assert!(bytes.len() > 500, "a handshake was recorded");
        assert_eq!(hunt.find(&bytes), None);
        assert!(hunt.find(&[&bytes[..], &secret.as_bytes()[20..40]].concat()).is_some());
    }

    // All of it at once, as it was said.
    let mut wire = Wire::dial(fleet.ret_port);
    assert!(wire.send(&seen.said()));
    assert!(wire.is_closed_within(10.0), "the master goes on with a replay");
    // In step with the master, whose every Offer is another.
    let body = |frame: &[u8]| frame[if frame[0] & 0x02 == 0 { 2 } else { 9 }..].to_vec();
    let (ready_ends, mut frames) = (64 + 2 + usize::from(seen.passed[65]), Vec::new());
    let hello = body(&seen.passed[ready_ends..]);
    frames.extend(seen.kept.iter().map(|frame| body(frame)));
    let (mut wire, _) = offered(fleet.ret_port);
    wire.message(&[&hello]);
    for frame in &frames {
        wire.message(&[frame]);
    }
    assert!(wire.is_closed_within(10.0), "the master took an old Hello");
    nobody_is_in(&fleet, &id, &server);
    // In a session of his own: of another key under the same id.
    let mut thief = Peer::open(fleet.ret_port, "m1", "m2");
    for frame in &frames {
        thief.wire.message(&[frame]);
    }
    assert!(thief.is_closed_within(10.0), "the master opened what was sealed for another session");
    nobody_is_in(&fleet, &id, &server);
    // What does count is the token itself: a peer with another one is told so.
    let mut guessing = Peer::open(fleet.ret_port, "m1", "m2");
    guessing.send(&ToMaster::Knock(Knock {
        token: Some(format!("brt_{}", "0".repeat(64)).into()),
        ..Knock::default()
    }));
    let refused = within(5.0, "an answer", || match guessing.receive() {
        ToMinion::TokenRefused(refused) => Some(refused.why),
        _ => None,
    });
    assert!(refused.contains("not known here"), "{refused}");
    nobody_is_in(&fleet, &id, &server);

    // The token is as good as ever to the machine that has it.
    m1.dial(fleet.publish_port, fleet.ret_port);
    m1.start();
    until_connected(&fleet, &server, &m1.fingerprint());
    assert_eq!(used(&fleet, &id), 1);
}

/// What a minion with these options says to a master with another key, over two connections, and
/// whether that one got as far as a session.
fn told_to_another(options: &str) -> (Vec<Seen>, bool, String) {
    let fleet = Fleet::start();
    let config = impostor::config("master2", 3);
    let (sender, sessions) = std::sync::mpsc::channel();
    let fake = FakeMaster::start(move |wire| {
        if let Some(mut session) = Session::accept(wire, &config, Standing::Pending, 500) {
            let _ = sender.send(session.receive());
        }
    });
    let middle = Middle::before(fake.ret_port, usize::MAX);
    let mut m1 = fleet.prepare_minion_with("m1", "m1", &format!("{options}reconnect_max: 0.2\n"));
    m1.dial(fake.publish_port, middle.port);
    m1.start();
    let seen = within(10.0, "the minion comes twice", || Some(middle.seen()).filter(|seen| seen.len() > 2));
    let told = sessions.try_iter().any(|first| matches!(first, Some(ToMaster::Knock(_))));
    (seen, told, m1.log())
}

#[test]
fn a_fake_master_is_refused_before_anything_is_said_to_it() {
    let secret = format!("brt_{}", "5c".repeat(32));
    let (seen, is_told, log) = told_to_another(&with_token(&secret));
    assert!(!is_told, "it knocked at a master with another key");
    for Seen { passed, answered, .. } in &seen[..2] {
        assert!(answered.len() > 300, "it was shown an Offer");
        // Greeting and READY, and no Hello behind them.
        assert_eq!(passed.len(), 64 + 2 + usize::from(passed[65]), "{passed:?}");
        assert_eq!(Hunt::token(&secret).find(passed), None);
    }
    eventually(1.0, "it says whom it met", || log.contains("nothing was sent to it"));
    assert!(!log.contains(&secret), "{log}");

    // The same master gets the knock of a minion that pins whom it meets, so it was no lack of its own.
    let (_, is_told, _) = told_to_another("");
    assert!(is_told);
}
