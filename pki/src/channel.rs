//! A sealed channel: what master and minion say once the handshake gave them keys.
//!
//! A sealed message is `version | 4 | AES-256-GCM(frame)`; the first two bytes are associated
//! data. The nonce is four zero bytes and a big-endian counter of the frames sent in this
//! direction: it is not sent, so a frame opens only if it is exactly the next one. A frame that
//! was lost, repeated, reordered or changed ends the channel, and there is no way to go on.
//!
//! Keys are replaced by count and age: the last frame under a key carries [`frame::REKEY`], and
//! the next is sealed under a key derived from it. The counter goes on.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use brine_protocol::frame::{self, Frame, FrameError};
use brine_protocol::version::CURRENT;
use bytes::{Buf, Bytes, BytesMut};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::handshake::kind;

/// Frames under one key before the sender replaces it. AES-GCM allows 2^32 with counted nonces;
/// replacing early is cheap and keeps what one leaked key opens small.
pub const REKEY_FRAMES: u64 = 1 << 16;

/// Age of a key, in seconds, at which the sender replaces it with the next frame.
pub const REKEY_SECONDS: u64 = 3600;

/// A receiver refuses more frames than this under one key: the sender ignores its duty.
const KEY_FRAMES_MAX: u64 = REKEY_FRAMES * 2;

/// Bytes in front of the ciphertext.
const PREFIX: [u8; 2] = [CURRENT, kind::SEALED];

/// Bytes that sealing adds to a frame.
pub const OVERHEAD: usize = PREFIX.len() + 16;

/// Why a channel ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not a sealed message at all: nothing in clear is accepted after the handshake.
    #[error("a message that is not sealed arrived on a sealed channel")]
    NotSealed,
    /// Forged, changed, repeated or out of order.
    #[error("a sealed frame does not open: it was changed, repeated or is out of order")]
    Forged,
    /// The sender uses one key for too long.
    #[error("the sender did not replace its key in time")]
    KeyWornOut,
    /// The frame opened and says nothing that is understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Both directions of a channel, from one side's view.
#[derive(Debug)]
pub struct Channel {
    /// What this side sends.
    pub sealer: Sealer,
    /// What this side receives.
    pub opener: Opener,
}

struct Direction {
    key: Zeroizing<[u8; 32]>,
    cipher: Aes256Gcm,
    counter: u64,
    under_key: u64,
}

impl Direction {
    fn new(key: Zeroizing<[u8; 32]>) -> Self {
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
        Self { key, cipher, counter: 0, under_key: 0 }
    }

    fn nonce(&self) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        nonce.into()
    }

    fn advance(&mut self) {
        self.counter += 1;
        self.under_key += 1;
    }

    fn replace_key(&mut self) {
        let mut next = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::from_prk(&*self.key)
            .expect("32 bytes are a key for HKDF-SHA256")
            .expand(b"brine/1 next key", &mut *next)
            .expect("32 bytes can be expanded");
        self.cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*next));
        self.key = next;
        self.under_key = 0;
    }
}

impl std::fmt::Debug for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direction(frame {})", self.counter)
    }
}

/// Seals what this side sends.
#[derive(Debug)]
pub struct Sealer {
    direction: Direction,
    key_since: Option<u64>,
}

impl Sealer {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { direction: Direction::new(key), key_since: None }
    }

    /// Seals the next frame. `now_s` is any clock in seconds that does not go back; it only
    /// decides when a key is old.
    ///
    /// Call it in the order in which the bytes go to the socket, and send every result.
    pub fn seal(&mut self, frame: &Frame, now_s: u64) -> Bytes {
        let since = *self.key_since.get_or_insert(now_s);
        let rekey =
            self.direction.under_key + 1 >= REKEY_FRAMES || now_s.saturating_sub(since) >= REKEY_SECONDS;
        let mut message = BytesMut::with_capacity(frame.encoded_len() + OVERHEAD);
        message.extend_from_slice(&PREFIX);
        let mut sealed = message.split_off(PREFIX.len());
        frame.encode(&mut sealed);
        if rekey {
            sealed[1] |= frame::REKEY;
        }
        self.direction
            .cipher
            .encrypt_in_place(&self.direction.nonce(), &PREFIX, &mut sealed)
            .expect("frames are far below AES-GCM's 64 GiB");
        self.direction.advance();
        if rekey {
            self.direction.replace_key();
            self.key_since = Some(now_s);
        }
        message.unsplit(sealed);
        message.freeze()
    }
}

/// Opens what this side receives.
#[derive(Debug)]
pub struct Opener {
    direction: Direction,
}

impl Opener {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { direction: Direction::new(key) }
    }

    /// Opens the next message.
    ///
    /// # Errors
    /// Any error is final: drop the connection.
    pub fn open(&mut self, mut message: Bytes) -> Result<Frame, ChannelError> {
        if message.len() < OVERHEAD || message[..PREFIX.len()] != PREFIX {
            return Err(ChannelError::NotSealed);
        }
        if self.direction.under_key >= KEY_FRAMES_MAX {
            return Err(ChannelError::KeyWornOut);
        }
        message.advance(PREFIX.len());
        // Opened in place when nobody else holds these bytes.
        let mut opened = BytesMut::from(message);
        self.direction
            .cipher
            .decrypt_in_place(&self.direction.nonce(), &PREFIX, &mut opened)
            .map_err(|_| ChannelError::Forged)?;
        self.direction.advance();
        let mut frame = Frame::decode(&opened.freeze())?;
        if frame.flags & frame::REKEY != 0 {
            self.direction.replace_key();
            frame.flags &= !frame::REKEY;
        }
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sealer, Opener) {
        let key = Zeroizing::new([7; 32]);
        (Sealer::new(key.clone()), Opener::new(key))
    }

    fn frame(n: usize) -> Frame {
        Frame::control(3, format!("{{\"n\":{n}}}").into_bytes())
    }

    #[test]
    fn opens_what_was_sealed_in_order() {
        let (mut sealer, mut opener) = pair();
        for n in 0..5 {
            assert_eq!(opener.open(sealer.seal(&frame(n), 0)), Ok(frame(n)));
        }
    }

    #[test]
    fn refuses_repeated_skipped_swapped_and_changed() {
        let (mut sealer, mut opener) = pair();
        let first = sealer.seal(&frame(1), 0);
        let second = sealer.seal(&frame(2), 0);
        let third = sealer.seal(&frame(3), 0);
        assert_eq!(opener.open(second.clone()), Err(ChannelError::Forged), "skipped");
        assert_eq!(opener.open(first.clone()), Ok(frame(1)));
        assert_eq!(opener.open(first), Err(ChannelError::Forged), "repeated");
        assert_eq!(opener.open(third), Err(ChannelError::Forged), "out of order");
        for at in 0..second.len() {
            let mut changed = BytesMut::from(second.clone());
            changed[at] ^= 1;
            assert!(opener.open(changed.freeze()).is_err(), "byte {at}");
        }
        assert_eq!(opener.open(Bytes::from_static(b"\x01\x04")), Err(ChannelError::NotSealed));
        assert_eq!(opener.open(second), Ok(frame(2)), "the honest frame still opens");
    }

    #[test]
    fn replaces_its_key_by_count_and_by_age() {
        let (mut sealer, mut opener) = pair();
        let before = *sealer.direction.key;
        for n in 0..REKEY_FRAMES as usize + 10 {
            assert!(opener.open(sealer.seal(&frame(n), 0)).is_ok(), "frame {n}");
        }
        let after_count = *sealer.direction.key;
        assert_ne!(after_count, before);
        assert!(opener.open(sealer.seal(&frame(0), REKEY_SECONDS)).is_ok());
        assert_ne!(*sealer.direction.key, after_count);
        assert!(opener.open(sealer.seal(&frame(0), REKEY_SECONDS)).is_ok());
    }

    /// Version 1 of three frames with a new key after the second. These bytes have shipped and were
    /// made by a program that shares no code with this one: never record them anew.
    #[test]
    fn golden_rekey() {
        const GOLDEN: &[u8] = include_bytes!("../tests/golden/v1/rekey.bin");
        let beat = || Frame::control(3, b"{}".to_vec());
        let (mut sealer, mut opener) = pair();
        for (at, now_s) in [(0, 0), (30, REKEY_SECONDS), (60, REKEY_SECONDS)] {
            let golden = Bytes::from_static(&GOLDEN[at..at + 30]);
            assert_eq!(sealer.seal(&beat(), now_s), golden, "byte {at}");
            assert_eq!(opener.open(golden), Ok(beat()), "byte {at}");
        }
    }

    #[test]
    fn a_sender_that_keeps_its_key_is_cut_off() {
        let (mut sealer, mut opener) = pair();
        opener.direction.under_key = KEY_FRAMES_MAX;
        assert_eq!(opener.open(sealer.seal(&frame(0), 0)), Err(ChannelError::KeyWornOut));
    }
}
