//! Broadcasts: sealed once for everybody, and signed so that nobody who can read one can make one.
//!
//! ```text
//! epoch id 16 | sequence u64, big-endian | AES-256-GCM(frame) | Ed25519 signature 64
//! ```
//! The signature (RFC 8032) is over `brine/1 broadcast\0`, the epoch id, the sequence number and
//! the ciphertext, and is checked first. The nonce is the sequence number. Keys come over each
//! minion's own sealed channel ([`Epoch`]). Sequence numbers are taken one by one: a repeated
//! frame is refused, and so is a gap, because it means that an order was missed. That the last one
//! of an epoch was missed no later one tells: the master counts them over the channel ([`Counted`]).

use std::collections::VecDeque;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use brine_protocol::frame::{Frame, FrameError};
use brine_protocol::message::{Counted, Epoch};
use bytes::{BufMut, Bytes, BytesMut};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"brine/1 broadcast\0";
const HEAD: usize = 24;
const SIGNATURE: usize = 64;
const TAG: usize = 16;

/// Bytes that sealing and signing add to a frame.
pub const OVERHEAD: usize = HEAD + TAG + SIGNATURE;

/// How many epochs a reader keeps: broadcasts of the last one may still be on their way on one
/// connection when the next ones' keys arrive on the other. Each acceptance may make one.
const EPOCHS_KEPT: usize = 64;

/// How many of those that are no longer kept are still known by their id.
const FORGOTTEN_MAX: usize = 1024;

/// How many broadcasts of an epoch still unknown are held, and how many bytes.
const HELD_MAX: usize = 64;
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a broadcast is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not a broadcast.
    #[error("a broadcast is shorter than its envelope")]
    Short,
    /// Not signed by the master of this epoch.
    #[error("a broadcast's signature does not verify")]
    Signature,
    /// Signed, and not sealed under the epoch's key.
    #[error("a broadcast does not open")]
    Sealed,
    /// Seen before.
    #[error("broadcast {got} was seen before, the next one is {expected}")]
    Replayed {
        /// Its sequence number.
        got: u64,
        /// The number that is due.
        expected: u64,
    },
    /// Some were missed.
    #[error("broadcast {got} arrived where {expected} is due: some were missed")]
    Gap {
        /// Its sequence number.
        got: u64,
        /// The number that is due.
        expected: u64,
    },
    /// The master has counted more than came.
    #[error("a broadcast that the master has counted did not arrive")]
    Missing,
    /// Too many of an epoch whose key never came.
    #[error("too many broadcasts of an epoch whose key has not arrived")]
    TooManyHeld,
    /// Its epoch's key came, and so many after it that it is no longer kept.
    #[error("a broadcast comes too late: its epoch's key is no longer kept")]
    TooLate,
    /// An epoch key that is no key.
    #[error("an epoch's verification key is malformed")]
    Key,
    /// The frame opened and says nothing that is understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// The master's side of one epoch.
pub struct Writer {
    id: [u8; 16],
    key: Zeroizing<[u8; 32]>,
    cipher: Aes256Gcm,
    signer: SigningKey,
    next: u64,
}

impl Writer {
    /// An epoch with a random id, a random group key and a random Ed25519 seed.
    #[must_use]
    pub fn new(id: [u8; 16], key: [u8; 32], seed: &[u8; 32]) -> Self {
        Self {
            id,
            cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(key)),
            key: Zeroizing::new(key),
            signer: SigningKey::from_bytes(seed),
            next: 0,
        }
    }

    /// What a minion needs to read the broadcasts from the next one on.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch { id: self.id, key: *self.key, verify: self.signer.verifying_key().to_bytes(), next: self.next }
    }

    /// How many broadcasts the epoch has had.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted { epoch: self.id, next: self.next }
    }

    /// Seals and signs the next broadcast.
    pub fn seal(&mut self, frame: &Frame) -> Bytes {
        let mut message = BytesMut::with_capacity(frame.encoded_len() + OVERHEAD);
        message.put_slice(&self.id);
        message.put_u64(self.next);
        let mut sealed = message.split_off(HEAD);
        frame.encode(&mut sealed);
        self.cipher
            .encrypt_in_place(&nonce(self.next), &message[..], &mut sealed)
            .expect("frames are far below AES-GCM's 64 GiB");
        message.unsplit(sealed);
        let signature = self.signer.sign(&[LABEL, &message[..]].concat());
        message.put_slice(&signature.to_bytes());
        self.next += 1;
        message.freeze()
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer(broadcast {})", self.next)
    }
}

fn nonce(sequence: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    nonce.into()
}

struct Known {
    id: [u8; 16],
    cipher: Aes256Gcm,
    verifier: VerifyingKey,
    /// The first that was meant for this minion.
    first: u64,
    next: u64,
    /// The next one as the master counts.
    counted: u64,
}

impl Known {
    fn is_behind(&self) -> bool {
        self.next < self.counted
    }
}

/// The minion's side: what it can read, and what it still waits to read.
#[derive(Default)]
pub struct Reader {
    known: VecDeque<Known>,
    forgotten: VecDeque<[u8; 16]>,
    held: VecDeque<Bytes>,
    held_bytes: usize,
}

impl Reader {
    /// A reader that knows no epoch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns an epoch, and opens what was held for it, in order.
    ///
    /// # Errors
    /// Any error ends the session.
    pub fn install(&mut self, epoch: &Epoch) -> Result<Vec<Frame>, PublishError> {
        let verifier = VerifyingKey::from_bytes(&epoch.verify).map_err(|_| PublishError::Key)?;
        self.known.retain(|known| known.id != epoch.id);
        if self.known.len() == EPOCHS_KEPT
            && let Some(oldest) = self.known.pop_front()
        {
            if oldest.is_behind() {
                return Err(PublishError::Missing);
            }
            if self.forgotten.len() == FORGOTTEN_MAX {
                self.forgotten.pop_front();
            }
            self.forgotten.push_back(oldest.id);
        }
        self.known.push_back(Known {
            id: epoch.id,
            cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(epoch.key)),
            verifier,
            first: epoch.next,
            next: epoch.next,
            counted: epoch.next,
        });
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let mut frames = Vec::new();
        for message in held {
            frames.extend(self.open(message)?);
        }
        Ok(frames)
    }

    /// Learns how many broadcasts an epoch has had.
    pub fn count(&mut self, counted: &Counted) {
        // Of an epoch that is no longer kept nothing is taken any more.
        if let Some(known) = self.known.iter_mut().find(|known| known.id == counted.epoch) {
            known.counted = known.counted.max(counted.next);
        }
    }

    /// Whether a broadcast that the master has counted has not come. It may be on its way: it and
    /// the count take two connections.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.known.iter().any(Known::is_behind)
    }

    /// Opens a broadcast; nothing comes back while its epoch's key has not arrived, and of what was
    /// broadcast before the master gave this minion the key.
    ///
    /// # Errors
    /// Any error ends the session.
    pub fn open(&mut self, message: Bytes) -> Result<Option<Frame>, PublishError> {
        if message.len() < OVERHEAD {
            return Err(PublishError::Short);
        }
        let Some(known) = self.known.iter_mut().find(|known| known.id == message[..16]) else {
            // Held, it would wait for a key that has been here, and its order with it.
            if self.forgotten.iter().any(|id| *id == message[..16]) {
                return Err(PublishError::TooLate);
            }
            self.held_bytes += message.len();
            if self.held.len() == HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
                return Err(PublishError::TooManyHeld);
            }
            self.held.push_back(message);
            return Ok(None);
        };
        let (signed, signature) = message.split_at(message.len() - SIGNATURE);
        let signature = Signature::from_bytes(signature.try_into().expect("split at its length"));
        known
            .verifier
            .verify_strict(&[LABEL, signed].concat(), &signature)
            .map_err(|_| PublishError::Signature)?;
        let got = u64::from_be_bytes(signed[16..HEAD].try_into().expect("eight bytes"));
        let expected = known.next;
        match got.cmp(&expected) {
            // Never meant for this minion, and slower than the key, which comes another way.
            std::cmp::Ordering::Less if got < known.first => return Ok(None),
            std::cmp::Ordering::Less => return Err(PublishError::Replayed { got, expected }),
            std::cmp::Ordering::Greater => return Err(PublishError::Gap { got, expected }),
            std::cmp::Ordering::Equal => {}
        }
        let mut opened = BytesMut::from(&signed[HEAD..]);
        known
            .cipher
            .decrypt_in_place(&nonce(got), &signed[..HEAD], &mut opened)
            .map_err(|_| PublishError::Sealed)?;
        known.next += 1;
        Ok(Some(Frame::decode(&opened.freeze())?))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} epochs, {} held)", self.known.len(), self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: usize) -> Frame {
        Frame::control(35, format!("{{\"n\":{n}}}").into_bytes())
    }

    #[test]
    fn reads_in_order_and_only_once() {
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut reader = Reader::new();
        reader.install(&writer.epoch()).expect("a key");
        let first = writer.seal(&frame(1));
        let second = writer.seal(&frame(2));
        let third = writer.seal(&frame(3));
        assert_eq!(reader.open(first.clone()), Ok(Some(frame(1))));
        let replayed = PublishError::Replayed { got: 0, expected: 1 };
        assert_eq!(reader.open(first), Err(replayed));
        assert_eq!(reader.open(third), Err(PublishError::Gap { got: 2, expected: 1 }));
        assert_eq!(reader.open(second), Ok(Some(frame(2))));
    }

    #[test]
    fn a_reader_with_the_group_key_cannot_forge() {
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let epoch = writer.epoch();
        let mut reader = Reader::new();
        reader.install(&epoch).expect("a key");
        // An accepted minion knows the id and the group key, and has some signing key of its own.
        let mut forger = Writer::new(epoch.id, epoch.key, &[9; 32]);
        assert_eq!(reader.open(forger.seal(&frame(6))), Err(PublishError::Signature));
        // Nor does a signature move to other bytes.
        let honest = writer.seal(&frame(1));
        for at in 0..honest.len() {
            let mut changed = BytesMut::from(honest.clone());
            changed[at] ^= 1;
            assert_ne!(reader.open(changed.freeze()), Ok(Some(frame(1))), "byte {at}");
        }
    }

    #[test]
    fn holds_what_it_cannot_read_yet_within_bounds() {
        let mut old = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut new = Writer::new([4; 16], [5; 32], &[6; 32]);
        let mut reader = Reader::new();
        reader.install(&old.epoch()).expect("a key");
        let epoch = new.epoch();
        assert_eq!(reader.open(new.seal(&frame(1))), Ok(None));
        assert_eq!(reader.open(new.seal(&frame(2))), Ok(None));
        assert_eq!(reader.install(&epoch), Ok(vec![frame(1), frame(2)]));
        assert_eq!(reader.open(old.seal(&frame(3))), Ok(Some(frame(3))), "one that was under way");
        let mut never = Writer::new([7; 16], [8; 32], &[9; 32]);
        let error = (0..=HELD_MAX).find_map(|n| reader.open(never.seal(&frame(n))).err());
        assert_eq!(error, Some(PublishError::TooManyHeld));
    }

    #[test]
    fn a_slow_broadcast_is_read_or_refused_however_many_epochs_overtake_it() {
        let epoch = |n: u8| Writer::new([n; 16], [n; 32], &[n; 32]);
        let mut slow = epoch(0);
        let mut reader = Reader::new();
        reader.install(&slow.epoch()).expect("a key");
        let (first, second) = (slow.seal(&frame(1)), slow.seal(&frame(2)));
        for n in 1..20 {
            reader.install(&epoch(n).epoch()).expect("a key");
        }
        assert_eq!(reader.open(first), Ok(Some(frame(1))));
        for n in 20..100 {
            reader.install(&epoch(n).epoch()).expect("a key");
        }
        assert_eq!(reader.open(second), Err(PublishError::TooLate), "never held for ever");
    }

    #[test]
    fn the_last_broadcast_of_an_epoch_is_missed_by_its_count() {
        let mut old = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut reader = Reader::new();
        let before = old.seal(&frame(1));
        reader.install(&old.epoch()).expect("a key");
        reader.count(&old.counted());
        assert!(!reader.is_behind(), "what came before its key was not meant for it");
        let last = old.seal(&frame(2));
        assert!(!reader.is_behind(), "nobody has told");
        reader.count(&old.counted());
        assert!(reader.is_behind());
        let mut new = Writer::new([4; 16], [5; 32], &[6; 32]);
        reader.install(&new.epoch()).expect("a key");
        let (first, second) = (new.seal(&frame(3)), new.seal(&frame(4)));
        assert_eq!(reader.open(first), Ok(Some(frame(3))));
        assert_eq!(reader.open(before), Ok(None));
        assert!(reader.is_behind(), "another epoch's broadcast is not the one that is missing");
        assert_eq!(reader.open(last), Ok(Some(frame(2))), "it was only slow");
        assert!(!reader.is_behind());
        // A count that is overtaken by what it counts takes nothing back, nor does an older one.
        let one = Counted { epoch: [4; 16], next: 1 };
        assert_eq!(reader.open(second), Ok(Some(frame(4))));
        reader.count(&new.counted());
        reader.count(&one);
        reader.count(&Counted { epoch: [9; 16], next: 7 });
        assert!(!reader.is_behind());
    }

    #[test]
    fn an_epoch_is_not_forgotten_while_one_of_its_broadcasts_is_missing() {
        let mut old = Writer::new([0; 16], [0; 32], &[0; 32]);
        let mut reader = Reader::new();
        reader.install(&old.epoch()).expect("a key");
        let _taken_off_the_wire = old.seal(&frame(1));
        reader.count(&old.counted());
        let later = |n: u8| Writer::new([n; 16], [n; 32], &[n; 32]).epoch();
        let error = (1..100).find_map(|n| reader.install(&later(n)).err());
        assert_eq!(error, Some(PublishError::Missing));
    }

    #[test]
    fn skips_what_was_broadcast_before_it_joined() {
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut reader = Reader::new();
        let before = writer.seal(&frame(1));
        assert_eq!(reader.open(before), Ok(None));
        let overtaken = writer.seal(&frame(2));
        assert_eq!(reader.install(&writer.epoch()), Ok(vec![]));
        assert_eq!(reader.open(overtaken), Ok(None), "the key was quicker");
        let meant = writer.seal(&frame(3));
        assert_eq!(reader.open(meant.clone()), Ok(Some(frame(3))));
        assert_eq!(reader.open(meant), Err(PublishError::Replayed { got: 2, expected: 3 }));
    }

    #[test]
    fn a_removed_minion_cannot_read_the_next_epoch() {
        let old = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut new = Writer::new([4; 16], [5; 32], &[6; 32]);
        let mut removed = Reader::new();
        removed.install(&old.epoch()).expect("a key");
        let message = new.seal(&frame(1));
        assert_eq!(removed.open(message.clone()), Ok(None));
        // Not even by trying its old key on the new ciphertext.
        let mut guess = old.epoch();
        guess.id = [4; 16];
        guess.verify = new.epoch().verify;
        let mut removed = Reader::new();
        removed.install(&guess).expect("a key");
        assert_eq!(removed.open(message), Err(PublishError::Sealed));
    }
}
