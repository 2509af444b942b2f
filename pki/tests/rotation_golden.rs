//! A minion's handover as it crosses the wire: recorded once, and read ever since.
//!
//! These bytes have shipped: do not change this test or `golden/rotate.json`. Signatures are
//! randomised, so they are verified rather than made anew.

use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::rotation::{self, RotationError};
use brine_protocol::MinionId;
use brine_protocol::message::Rotate;

const GOLDEN: &str = include_str!("golden/rotate.json");

fn public(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).expect("a key")
}

#[test]
fn these_bytes_are_a_handover() {
    let rotate: Rotate = serde_json::from_str(GOLDEN).expect("a body");
    let (old, new) = (include_str!("keys/minion.pub"), include_str!("keys/other.pub"));
    let id: MinionId = "web-01.example".parse().expect("an id");
    let handover = rotation::verify(&id, public(old).der(), &rotate).expect("it verifies");
    assert_eq!((handover.key, handover.from), (public(new), public(old).fingerprint()));
    assert_eq!(handover.jid.map(|jid| jid.to_string()).as_deref(), Some("20261122060732000100"));

    let other: MinionId = "web-02.example".parse().expect("an id");
    let refused = rotation::verify(&other, public(old).der(), &rotate);
    assert_eq!(refused, Err(RotationError::Signature("old")));
}

#[test]
fn what_is_made_now_has_the_same_form() {
    let key = |pem| PrivateKey::from_pem(pem).expect("a key");
    let (old, new) = (key(include_str!("keys/minion.pem")), key(include_str!("keys/other.pem")));
    let recorded: Rotate = serde_json::from_str(GOLDEN).expect("a body");
    let made = rotation::sign(&"web-01.example".parse().expect("an id"), &old, &new, recorded.jid);
    assert_eq!(made.key, recorded.key);
    assert_eq!((made.by_old.len(), made.by_new.len()), (recorded.by_old.len(), recorded.by_new.len()));
    assert_ne!(made.by_old, recorded.by_old, "randomised");
}
