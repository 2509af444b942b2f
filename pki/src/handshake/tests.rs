//! Both sides against each other, in memory, and against whoever sits between them.

use brine_protocol::message::{Pace, Standing, ToMaster};
use brine_protocol::{Fingerprint, MinionId};
use std::sync::Arc;

mod resume;

use super::master::{Agreement, Offer, Succession, endorse};
use super::minion::{Offered, Pin, Waiting};
use super::*;
use crate::key::tests::fixed;
use crate::key::{PrivateKey, PublicKey};

const PACE: Pace = Pace { heartbeat_ms: 10_000, message_max: None, clock: None };

fn config(key: &PrivateKey, serial: u64) -> Arc<Agreement> {
    Agreement::new(key, serial, [11; 32], &Succession::default())
}

fn id() -> MinionId {
    "web1".parse().expect("an id")
}

fn said(offer: &Offer) -> Vec<u8> {
    offer.message().to_vec()
}

/// A Hello for this Offer from the fixed minion, and the state that waits for the verdict.
fn hello_to(offer: &[u8], pin: &Pin) -> (Vec<u8>, Waiting) {
    Offered::read(offer, pin).expect("an honest Offer").hello(&fixed("minion"), &id(), [22; 32])
}

#[test]
fn both_sides_agree_and_talk() {
    let offer = config(&fixed("master"), 1).offer([1; 32]);
    let (hello, waiting) = hello_to(offer.message(), &Pin::FirstUse);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    assert_eq!(verified.id(), &id());
    assert_eq!(verified.key(), fixed("minion").public());
    let (welcome, mut master) = verified
        .welcome([33; 32], Standing::Accepted { token: [5; 32] }, PACE, 0)
        .expect("an honest exchange");
    let (verdict, mut minion) = waiting.welcome(&welcome).expect("authentic");
    assert_eq!(verdict.standing, Standing::Accepted { token: [5; 32] });
    assert_eq!(verdict.pace, PACE);
    for n in 0..3 {
        let up = ToMaster::Bye.to_frame();
        assert_eq!(master.opener.open(minion.sealer.seal(&up, n)), Ok(up));
        let down = brine_protocol::message::ToMinion::Probe.to_frame();
        assert_eq!(minion.opener.open(master.sealer.seal(&down, n)), Ok(down));
    }
    // The two directions have different keys: an echo does not open.
    let echo = master.sealer.seal(&ToMaster::Bye.to_frame(), 9);
    assert!(master.opener.open(echo).is_err());
}

#[test]
fn a_replayed_hello_is_refused_on_any_other_connection() {
    let config = config(&fixed("master"), 1);
    let first = config.offer([1; 32]);
    let (hello, _) = hello_to(first.message(), &Pin::FirstUse);
    // Even to somebody who knows the ephemeral secret behind it ([22; 32] here): the signature
    // covers the Offer, and no other connection has that nonce.
    let later = config.offer([2; 32]);
    let refused = later.read_hello(&hello).expect("well-formed").verify().expect_err("replayed");
    assert_eq!(refused, HandshakeError::Signature("Hello"));
    // Nor does a Hello to one master open another one.
    let other = super::master::Agreement::new(&fixed("other"), 1, [11; 32], &Succession::default());
    let refused = other.offer([1; 32]).read_hello(&hello).expect("well-formed").verify();
    assert!(refused.is_err());
}

#[test]
fn a_leaked_ephemeral_opens_one_session_and_no_other() {
    let config = config(&fixed("master"), 1);
    let offer = config.offer([1; 32]);
    let (hello, _) = hello_to(offer.message(), &Pin::FirstUse);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, _) = verified.welcome([33; 32], Standing::Pending, PACE, 0).expect("honest");
    // Whoever has the ephemeral secret still cannot sign a Hello for the minion's key: with a key
    // of his own he is somebody else.
    let second = config.offer([2; 32]);
    let (forged, thief) = Offered::read(second.message(), &Pin::FirstUse).expect("honest").hello(
        &fixed("other"),
        &id(),
        [22; 32],
    );
    let verified = second.read_hello(&forged).expect("well-formed").verify().expect("his own key");
    assert_ne!(verified.key(), fixed("minion").public());
    // And the answer of the first connection does not open on another, same secret or not.
    assert!(matches!(thief.welcome(&welcome), Err(HandshakeError::Verdict(_))));
}

#[test]
fn a_forged_verdict_does_not_open() {
    let offer = config(&fixed("master"), 1).offer([1; 32]);
    let bytes = said(&offer);
    let (hello, waiting) = hello_to(&bytes, &Pin::FirstUse);
    // The forger has seen everything on the wire, and does not have the config's secret.
    let forger = Agreement::new(&fixed("master"), 1, [99; 32], &Succession::default());
    let mut forged_offer = forger.offer([1; 32]);
    forged_offer.set_message(bytes);
    let verified = forged_offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, _) = verified.welcome([33; 32], Standing::Rejected, PACE, 0).expect("made");
    assert!(matches!(waiting.welcome(&welcome), Err(HandshakeError::Verdict(_))));
}

#[test]
fn every_changed_byte_is_noticed() {
    let pin = Pin::Fingerprint(fixed("master").public().fingerprint());
    let offer = said(&config(&fixed("master"), 1).offer([1; 32]));
    for at in 0..offer.len() {
        let mut changed = offer.clone();
        changed[at] ^= 1;
        // The nonce is free to differ; the Hello made for a changed one is then refused.
        if let Ok(offered) = Offered::read(&changed, &pin) {
            let (hello, _) = offered.hello(&fixed("minion"), &id(), [22; 32]);
            let honest = config(&fixed("master"), 1).offer([1; 32]);
            let verdict = honest.read_hello(&hello).expect("well-formed").verify();
            assert!(verdict.is_err(), "byte {at} of the Offer");
        }
    }
    let honest = config(&fixed("master"), 1).offer([1; 32]);
    let (hello, _) = hello_to(honest.message(), &pin);
    for at in 0..hello.len() {
        let mut changed = hello.clone();
        changed[at] ^= 1;
        let offer = config(&fixed("master"), 1).offer([1; 32]);
        let verdict = offer.read_hello(&changed).and_then(super::master::Unverified::verify);
        assert!(verdict.is_err(), "byte {at} of the Hello");
    }
    for cut in 0..hello.len() {
        let offer = config(&fixed("master"), 1).offer([1; 32]);
        assert!(offer.read_hello(&hello[..cut]).is_err(), "Hello cut to {cut}");
    }
}

#[test]
fn pins_are_checked_before_anything_else() {
    let master = fixed("master").public().fingerprint();
    let other = fixed("other").public().fingerprint();
    let offer = said(&config(&fixed("master"), 7).offer([1; 32]));
    let known = |trust_key, serial, successor| Pin::Known { trust_key, serial, successor };
    let cases: Vec<(Pin, Result<u64, HandshakeError>)> = vec![
        (Pin::FirstUse, Ok(7)),
        (Pin::Fingerprint(master), Ok(7)),
        (Pin::Fingerprint(other), Err(HandshakeError::Pin { got: master, pinned: other })),
        (known(master, 7, None), Ok(7)),
        (known(master, 8, None), Err(HandshakeError::Serial { got: 7, seen: 8 })),
        (known(other, 1, None), Err(HandshakeError::Pin { got: master, pinned: other })),
        (known(other, 99, Some(master)), Ok(7)),
        (known(other, 1, Some(other)), Err(HandshakeError::Pin { got: master, pinned: other })),
    ];
    for (pin, expected) in cases {
        let got = Offered::read(&offer, &pin).map(|offered| offered.serial());
        assert_eq!(got, expected, "{pin:?}");
    }
}

#[test]
fn a_signing_key_needs_the_trust_keys_word() {
    let trust = fixed("master");
    let signing = fixed("other");
    let pin = Pin::Fingerprint(trust.public().fingerprint());
    let endorsed = endorse(&trust, signing.public());
    let offer = |endorsement: &[u8], successor: Option<Fingerprint>| {
        let succession = Succession { trust_key: Some((trust.public(), endorsement)), successor };
        said(&Agreement::new(&signing, 1, [11; 32], &succession).offer([1; 32]))
    };
    let successor = Fingerprint([8; 32]);
    let offered = Offered::read(&offer(&endorsed, Some(successor)), &pin).expect("endorsed");
    assert_eq!(offered.trust_key(), trust.public());
    assert_eq!(offered.successor(), Some(successor));
    let by_itself = endorse(&signing, signing.public());
    let refused = Offered::read(&offer(&by_itself, None), &pin).expect_err("not endorsed");
    assert_eq!(refused, HandshakeError::Signature("signing key"));
    // The whole exchange works through the deputy.
    let succession = Succession { trust_key: Some((trust.public(), &endorsed)), successor: None };
    let offer = Agreement::new(&signing, 1, [11; 32], &succession).offer([1; 32]);
    let (hello, waiting) = hello_to(offer.message(), &pin);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, _) = verified.welcome([3; 32], Standing::Pending, PACE, 0).expect("honest");
    assert!(waiting.welcome(&welcome).is_ok());
}

#[test]
fn degenerate_exchange_values_are_refused() {
    // A minion that sends the all-zero point would make the fresh exchange constant.
    let offer = config(&fixed("master"), 1).offer([1; 32]);
    let key = fixed("minion");
    let mut hello = begin(kind::HELLO);
    hello.short(b"web1").long(key.public().der()).raw(&[0; 32]);
    let context = context(offer.message(), fixed("master").public().fingerprint());
    let signature = key.sign(crate::key::Label::Hello, &[&context, &hello.0]);
    hello.long(&signature);
    let verified = offer.read_hello(&hello.0).expect("well-formed").verify().expect("signed");
    let refused = verified.welcome([33; 32], Standing::Pending, PACE, 0).expect_err("degenerate");
    assert_eq!(refused, HandshakeError::Degenerate);
}

/// What a session is told in mid-course is judged like an Offer in a handshake.
#[test]
fn an_offer_as_text() {
    let (key, other) = (fixed("master"), fixed("other"));
    let pin = Pin::Known { trust_key: key.public().fingerprint(), serial: 5, successor: None };
    let successor = Some(other.public().fingerprint());
    let text = |key: &PrivateKey, serial| {
        let succession = Succession { successor, ..Succession::default() };
        Agreement::new(key, serial, [1; 32], &succession).offer([2; 32]).to_text()
    };
    let offered = Offered::read_text(&text(&key, 5), &pin).expect("by the pinned key");
    assert_eq!((offered.serial(), offered.successor()), (5, successor));
    let refused = |text: &str| Offered::read_text(text, &pin).expect_err("refused");
    assert!(matches!(refused(&text(&other, 9)), HandshakeError::Pin { .. }));
    assert!(matches!(refused(&text(&key, 4)), HandshakeError::Serial { .. }));
    let long = "A".repeat(HANDSHAKE_MAX * 2);
    for text in ["", "?", &text(&key, 5)[..400], &long] {
        assert!(matches!(refused(text), HandshakeError::Malformed(_)), "{text:.40}");
    }
}

#[test]
fn other_versions_and_busy_are_told_apart() {
    let offer = said(&config(&fixed("master"), 1).offer([1; 32]));
    let mut newer = offer.clone();
    newer[0] = 2;
    assert_eq!(Offered::read(&newer, &Pin::FirstUse).expect_err("newer"), HandshakeError::Version(2));
    let waiting = || hello_to(&offer, &Pin::FirstUse).1;
    let later = HandshakeError::Busy { retry_after_ms: 1500 };
    assert_eq!(Offered::read(&busy(1500), &Pin::FirstUse).expect_err("busy"), later);
    assert_eq!(waiting().welcome(&busy(1500)).expect_err("busy"), later);
    assert_eq!(waiting().welcome(&[1, 5]).expect_err("cut"), HandshakeError::Malformed("Busy"));
    assert_eq!(waiting().welcome(&[]).expect_err("empty"), HandshakeError::Malformed("Welcome"));
    assert!(Offered::read(&vec![1; HANDSHAKE_MAX + 1], &Pin::FirstUse).is_err());
}

/// Shipped bytes, recorded once with the keys in `tests/keys` and the secrets used here. They are
/// never to be recorded again: a change that needs it is a new version of the protocol.
mod golden {
    use super::*;

    const OFFER: &[u8] = include_bytes!("../../tests/golden/v1/offer.bin");
    const HELLO: &[u8] = include_bytes!("../../tests/golden/v1/hello.bin");
    const WELCOME: &[u8] = include_bytes!("../../tests/golden/v1/welcome.bin");
    const SEALED: &[u8] = include_bytes!("../../tests/golden/v1/sealed.bin");

    #[test]
    fn the_master_reads_a_recorded_hello() {
        let mut offer = config(&fixed("master"), 1).offer([1; 32]);
        offer.set_message(OFFER.to_vec());
        let verified = offer.read_hello(HELLO).expect("well-formed").verify().expect("signed");
        assert_eq!(verified.id(), &id());
        let (welcome, mut channel) =
            verified.welcome([33; 32], Standing::Accepted { token: [5; 32] }, PACE, 0).expect("honest");
        assert_eq!(welcome, WELCOME, "everything but the signatures is determined");
        let frame = channel.opener.open(bytes::Bytes::from_static(SEALED)).expect("opens");
        assert_eq!(ToMaster::from_frame(&frame), Ok(ToMaster::Bye));
    }

    #[test]
    fn the_minion_reads_a_recorded_offer() {
        let pin = Pin::Fingerprint(fixed("master").public().fingerprint());
        let offered = Offered::read(OFFER, &pin).expect("an honest Offer");
        assert_eq!(offered.serial(), 1);
        let (hello, mut waiting) = offered.hello(&fixed("minion"), &id(), [22; 32]);
        let fields = hello.len() - 2 - 256;
        assert_eq!(hello[..fields], HELLO[..fields], "everything but the signature is determined");
        waiting.replace_hello(HELLO.to_vec());
        let (verdict, mut channel) = waiting.welcome(WELCOME).expect("opens");
        assert_eq!(verdict.standing, Standing::Accepted { token: [5; 32] });
        let sealed = channel.sealer.seal(&ToMaster::Bye.to_frame(), 0);
        assert_eq!(sealed, SEALED);
    }
}

#[test]
fn public_keys_on_the_wire_are_bounded() {
    assert!(PublicKey::from_der(&[0x30; 601]).is_err());
}
