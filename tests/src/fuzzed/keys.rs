//! What strangers and sealed peers send while keys are agreed on and used. Nobody guesses a
//! signature, so most targets feed the bytes as they are, and then as edits of a good message.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;

use brine_pki::channel::Channel;
use brine_pki::handshake::master::{Agreement, Succession, Unverified};
use brine_pki::handshake::minion::{Offered, Pin, Waiting};
use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::publish::{PublishError, Reader, Writer};
use brine_pki::rotation;
use brine_protocol::frame::Frame;
use brine_protocol::message::{Epoch, Pace, Rotate, Standing};
use brine_protocol::{Fingerprint, MinionId};
use bytes::Bytes;

use super::scratch::edited;
use crate::fixtures::key_file;

const SERIAL: u64 = 7;
const NONCE: std::ops::Range<usize> = 2..34;

/// Both ends, with keys that are always the same.
struct Pair {
    master: Arc<Agreement>,
    minion: PrivateKey,
    id: MinionId,
    offer: Vec<u8>,
    hello: Vec<u8>,
    rotate: Rotate,
    at_master: Channel,
    at_minion: Channel,
}

thread_local! {
    static PAIR: RefCell<Option<Pair>> = const { RefCell::new(None) };
}

pub(super) fn key(name: &str) -> PrivateKey {
    let pem = fs::read_to_string(key_file(&format!("{name}.pem"))).expect("a test key");
    PrivateKey::from_pem(&pem).expect("a good key")
}

fn with_pair(run: impl FnOnce(&mut Pair)) {
    PAIR.with_borrow_mut(|pair| run(pair.get_or_insert_with(Pair::new)));
}

impl Pair {
    fn new() -> Self {
        let (trust, minion, next) = (key("master"), key("m1"), key("m2"));
        let succession = Succession { trust_key: None, successor: None };
        let master = Agreement::new(&trust, SERIAL, [9; 32], &succession);
        let id: MinionId = "web1".parse().expect("an id");
        let offer = master.offer([1; 32]).message().to_vec();
        let rotate = rotation::sign(&id, &minion, &next, None);
        let (hello, waiting) = answer(&offer, &minion, &id);
        let (welcome, at_master) = verdict(&master, &hello);
        let (_, at_minion) = waiting.welcome(&welcome).expect("a good verdict");
        Self { master, minion, id, offer, hello, rotate, at_master, at_minion }
    }
}

fn answer(offer: &[u8], minion: &PrivateKey, id: &MinionId) -> (Vec<u8>, Waiting) {
    Offered::read(offer, &Pin::FirstUse).expect("a good offer").hello(minion, id, [3; 32])
}

fn verdict(master: &Arc<Agreement>, hello: &[u8]) -> (Vec<u8>, Channel) {
    let pace = Pace { heartbeat_ms: 30_000, message_max: Some(1 << 20), clock: None };
    let unverified = master.offer([1; 32]).read_hello(hello).expect("a good hello");
    let verified = unverified.verify().expect("a signed hello");
    verified.welcome([5; 32], Standing::Accepted { token: [6; 32] }, pace, 0).expect("a good exchange")
}

/// What a minion takes from whoever answers.
pub(super) fn handshake_offer(bytes: &[u8]) {
    with_pair(|pair| {
        let trust_key = key_of(pair);
        for pin in [Pin::FirstUse, Pin::Known { trust_key, serial: SERIAL, successor: None }] {
            let _ = Offered::read(bytes, &pin);
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = Offered::read_text(text, &pin);
            }
            let message = edited(&pair.offer, bytes);
            let is_same = message.len() == pair.offer.len()
                && (0..message.len()).all(|at| NONCE.contains(&at) || message[at] == pair.offer[at]);
            // Only the nonce is not signed: the Hello is over it.
            assert_eq!(
                Offered::read(&message, &pin).is_ok(),
                is_same,
                "an offer that the master did not make"
            );
        }
    });
}

fn key_of(pair: &Pair) -> Fingerprint {
    Offered::read(&pair.offer, &Pin::FirstUse).expect("a good offer").trust_key().fingerprint()
}

/// What a master takes from whoever dials it.
pub(super) fn handshake_hello(bytes: &[u8]) {
    with_pair(|pair| {
        if let Ok(unverified) = pair.master.offer([1; 32]).read_hello(bytes) {
            let is_ours = bytes == pair.hello;
            assert_eq!(unverified.verify().is_ok(), is_ours, "a hello that nobody signed for this offer");
        }
        let message = edited(&pair.hello, bytes);
        let verified = pair.master.offer([1; 32]).read_hello(&message).and_then(Unverified::verify);
        assert_eq!(verified.is_ok(), message == pair.hello, "a hello that its minion did not sign");
    });
}

/// What a minion that said Hello takes. With an odd first byte it is an edit of a good verdict.
pub(super) fn handshake_welcome(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    with_pair(|pair| {
        let (hello, waiting) = answer(&pair.offer, &pair.minion, &pair.id);
        if how & 1 == 0 {
            assert!(waiting.welcome(rest).is_err(), "a verdict that the master did not give");
            return;
        }
        let (good, mut master) = verdict(&pair.master, &hello);
        let message = edited(&good, rest);
        match waiting.welcome(&message) {
            Ok((_, mut minion)) => {
                assert!(message == good, "a verdict that was changed");
                let frame = Frame::control(3, rest.to_vec());
                let sealed = master.sealer.seal(&frame, 0);
                assert_eq!(minion.opener.open(sealed), Ok(frame));
            }
            Err(error) => assert!(message != good, "{error}"),
        }
    });
}

/// A kind, eighteen bytes of edits, and a frame, whose binary part is behind a zero.
fn frame_of(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (script, rest) = rest.split_at(rest.len().min(18));
    let json = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let body = Bytes::copy_from_slice(rest.get(json + 1..).unwrap_or_default());
    Some((Frame { body, ..Frame::control(*kind, rest[..json].to_vec()) }, script))
}

/// An honest frame between forged and changed ones.
pub(super) fn sealed_channel(bytes: &[u8]) {
    let Some((frame, script)) = frame_of(bytes) else { return };
    with_pair(|pair| {
        let sealed = pair.at_minion.sealer.seal(&frame, 0);
        let opener = &mut pair.at_master.opener;
        assert!(opener.open(Bytes::copy_from_slice(bytes)).is_err(), "bytes that nobody sealed");
        let changed = edited(&sealed, script);
        if changed != sealed {
            assert!(opener.open(changed.into()).is_err(), "a frame that was changed on its way");
        }
        assert_eq!(opener.open(sealed), Ok(frame), "the honest frame opens after all of them");
    });
}

/// The same for a broadcast, before and after its key has come.
pub(super) fn broadcast(bytes: &[u8]) {
    let Some((frame, script)) = frame_of(bytes) else { return };
    let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
    let (epoch, mut reader) = (writer.epoch(), Reader::new());
    let sealed = writer.seal(&frame);
    let foreign = Bytes::copy_from_slice(bytes);
    let changed = Bytes::from(edited(&sealed, script));
    // Strangers' frames wait for a key that never comes, and only so many of them.
    let held = (0..100).take_while(|_| matches!(reader.open(foreign.clone()), Ok(None))).count();
    assert!(held <= 64, "{held} are held");

    let mut reader = Reader::new();
    assert_eq!(reader.open(sealed.clone()), Ok(None), "its key is still to come");
    assert_eq!(reader.install(&epoch), Ok(vec![frame.clone()]));
    if changed != sealed {
        let opened = reader.open(changed);
        assert!(!matches!(opened, Ok(Some(_))), "a broadcast that was changed on its way");
    }
    assert_eq!(reader.open(sealed), Err(PublishError::Replayed { got: 0, expected: 1 }));
    let next = writer.seal(&frame);
    assert_eq!(reader.open(next), Ok(Some(frame)));
    if let Some((verify, rest)) = bytes.split_first_chunk::<32>() {
        let id = rest.first_chunk::<16>().copied().unwrap_or([1; 16]);
        let _ = reader.install(&Epoch { id, key: [2; 32], verify: *verify, next: u64::MAX });
        let _ = reader.open(foreign);
    }
}

/// A minion's old key hands over to a new one.
pub(super) fn key_rotation(bytes: &[u8]) {
    with_pair(|pair| {
        let old = pair.minion.public().der();
        let good = serde_json::to_vec(&pair.rotate).expect("JSON");
        let changed = edited(&good, bytes);
        for json in [bytes, &changed] {
            let Ok(rotate) = serde_json::from_slice::<Rotate>(json) else { continue };
            let _ = rotation::named(&rotate);
            let is_good = (&rotate.key, &rotate.by_old, &rotate.by_new)
                == (&pair.rotate.key, &pair.rotate.by_old, &pair.rotate.by_new);
            let verified = rotation::verify(&pair.id, old, &rotate);
            assert_eq!(verified.is_ok(), is_good, "a handover that its keys did not sign");
        }
        // Whatever the old key was said to be.
        let _ = rotation::verify(&pair.id, bytes, &pair.rotate);
    });
}

/// Keys as DER and PEM.
pub(super) fn key_text(bytes: &[u8]) {
    if let Ok(key) = PublicKey::from_der(bytes) {
        assert_eq!(key.der(), bytes, "one key has one text");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }
    if let Ok(key) = PrivateKey::from_pem(text) {
        let again = PrivateKey::from_pem(&key.to_pem()).expect("it was written here");
        assert_eq!(again.public(), key.public());
    }
}
