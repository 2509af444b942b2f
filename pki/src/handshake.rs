//! The handshake: who is there, on both sides, with forward secrecy and nothing to replay.
//!
//! ```text
//! master                                     minion
//!   | -- Offer   config, signed once; nonce --> |   checks pin and config
//!   | <-- Hello  id, key, ephemeral; signed --- |   signed over the Offer and the master's name
//!   | -- Welcome ephemeral; sealed verdict ---> |   opens only under keys from both exchanges
//!   | <====== sealed frames (crate::channel) ==> |  the first one proves possession
//! ```
//!
//! With a ticket ([`crate::ticket`]) from an earlier Welcome, a Resume takes the Hello's place:
//!
//! ```text
//!   | <-- Resume ticket, ephemeral; MAC ------- |   by a key that only the ticket and the minion have
//!   | -- Welcome as above, or Refused --------> |   behind which the Hello is due, for the same Offer
//! ```
//!
//! Keys come from two X25519 exchanges (RFC 7748), the minion's ephemeral with the master's
//! config key and with a fresh ephemeral of the master, through HKDF-SHA256 (RFC 5869) salted
//! with the hash of the whole transcript. All-zero results are refused. The minion's signature
//! covers the Offer's nonce, so a Hello is good for one connection, even to somebody who knows
//! its ephemeral secret. The master signs nothing per minion: that it holds the config's secret
//! shows when the verdict opens. A Resume does without the signature and with nothing else: both
//! exchanges are made anew, and what the ticket keeps only joins them, so whoever steals a ticket,
//! or the key it is sealed under, reads no session. The bytes of each message are in
//! `docs/protocol.md`.
//!
//! Both sides are pure: random bytes and time come in as arguments.

pub mod master;
pub mod minion;

use brine_protocol::version::{CURRENT, is_served};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey as Exchange, StaticSecret};
use zeroize::Zeroizing;

use crate::channel::{Channel, ChannelError, Opener, Sealer};
use crate::key::KeyError;
use crate::ticket::Resumption;
use crate::wire::{Reader, Writer};

/// The second byte of every message, after the version.
pub mod kind {
    /// Master to minion, in clear, right behind READY.
    pub const OFFER: u8 = 1;
    /// Minion to master, in clear, signed.
    pub const HELLO: u8 = 2;
    /// Master to minion: an ephemeral in clear, a sealed verdict.
    pub const WELCOME: u8 = 3;
    /// Either direction, sealed.
    pub const SEALED: u8 = 4;
    /// Master to minion, in clear: come back later. Only ever lengthens a minion's back-off.
    pub const BUSY: u8 = 5;
    /// Minion to master, in clear, with a ticket and a MAC.
    pub const RESUME: u8 = 6;
    /// Master to minion, in clear: the ticket is of no use, a Hello is due.
    pub const REFUSED: u8 = 7;
}

/// Larger handshake messages are refused unread. An Offer with two 4096-bit keys and two
/// signatures has about 2,200 bytes.
pub const HANDSHAKE_MAX: usize = 4096;

/// Why a handshake ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// A version that is not spoken here.
    #[error("the peer speaks version {0} of the protocol, this side speaks {CURRENT}")]
    Version(u8),
    /// Another message than the one that is due, or a malformed one.
    #[error("the peer's {0} is malformed")]
    Malformed(&'static str),
    /// The id is none.
    #[error("the peer's minion id is malformed")]
    Id,
    /// The key is none that is accepted here.
    #[error("the peer's key: {0}")]
    Key(#[source] KeyError),
    /// A signature does not verify.
    #[error("the signature on the peer's {0} does not verify")]
    Signature(&'static str),
    /// The master's trust key is not the pinned one.
    #[error("the master's key is {got}, and {pinned} is pinned")]
    Pin {
        /// The fingerprint it showed.
        got: brine_protocol::Fingerprint,
        /// The fingerprint that was expected.
        pinned: brine_protocol::Fingerprint,
    },
    /// The master's config is older than one seen before.
    #[error(
        "the master's config has serial {got}, and {seen} was seen before: it is a replay or a restored backup"
    )]
    Serial {
        /// The serial it showed.
        got: u64,
        /// The highest serial seen.
        seen: u64,
    },
    /// An exchange gave all zeros: the peer's public value is a point of small order.
    #[error("the peer's key exchange value is degenerate")]
    Degenerate,
    /// The master asks to come back later.
    #[error("the master is busy and asks to come back in {retry_after_ms} ms")]
    Busy {
        /// When, in milliseconds. Not authenticated: use it only to wait longer.
        retry_after_ms: u32,
    },
    /// The verdict does not open or makes no sense.
    #[error("the master's verdict is not authentic: {0}")]
    Verdict(#[source] ChannelError),
}

/// A `Busy` message: come back in about this long.
#[must_use]
pub fn busy(retry_after_ms: u32) -> Vec<u8> {
    let mut message = begin(kind::BUSY);
    message.raw(&retry_after_ms.to_be_bytes());
    message.0
}

fn begin(kind: u8) -> Writer {
    let mut writer = Writer::default();
    writer.u8(CURRENT).u8(kind);
    writer
}

/// Checks version and kind, and gives the fields behind them.
fn enter<'a>(message: &'a [u8], expected: u8, name: &'static str) -> Result<Reader<'a>, HandshakeError> {
    if message.len() > HANDSHAKE_MAX {
        return Err(HandshakeError::Malformed(name));
    }
    let mut reader = Reader(message);
    let version = reader.u8().ok_or(HandshakeError::Malformed(name))?;
    if !is_served(version) {
        return Err(HandshakeError::Version(version));
    }
    match reader.u8() {
        Some(found) if found == expected => Ok(reader),
        _ => Err(HandshakeError::Malformed(name)),
    }
}

/// Both sides' secrets, and what was said: all that the keys depend on.
struct Schedule {
    minion_to_master: Zeroizing<[u8; 32]>,
    master_to_minion: Zeroizing<[u8; 32]>,
    resumption: Resumption,
}

impl Schedule {
    /// From the exchange with the config, the fresh one, what an earlier session left to this one,
    /// and the messages up to the sealed verdict.
    fn new(
        exchanges: [&Zeroizing<[u8; 32]>; 2],
        earlier: Option<&Resumption>,
        [offer, answer, welcome_head]: [&[u8]; 3],
    ) -> Self {
        let mut transcript = Sha256::new();
        transcript.update(b"brine/1 transcript\0");
        for part in [offer, answer, welcome_head] {
            transcript.update((part.len() as u64).to_be_bytes());
            transcript.update(part);
        }
        let mut secret = Zeroizing::new([0; 96]);
        secret[..32].copy_from_slice(&**exchanges[0]);
        secret[32..64].copy_from_slice(&**exchanges[1]);
        let length = earlier.map_or(64, |earlier| {
            secret[64..].copy_from_slice(earlier.bytes());
            96
        });
        let hkdf = Hkdf::<Sha256>::new(Some(&transcript.finalize()), &secret[..length]);
        let derive = |info: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(info, &mut *key).expect("32 bytes can be expanded");
            key
        };
        Self {
            minion_to_master: derive(b"brine/1 minion to master"),
            master_to_minion: derive(b"brine/1 master to minion"),
            resumption: Resumption::from(derive(b"brine/1 resumption")),
        }
    }

    fn minion(self) -> (Channel, Resumption) {
        let (sealer, opener) = (Sealer::new(self.minion_to_master), Opener::new(self.master_to_minion));
        (Channel { sealer, opener }, self.resumption)
    }

    fn master(self) -> (Channel, Resumption) {
        let (sealer, opener) = (Sealer::new(self.master_to_minion), Opener::new(self.minion_to_master));
        (Channel { sealer, opener }, self.resumption)
    }
}

/// One X25519 exchange; all-zero results are refused (RFC 7748 §6.1).
fn exchange(secret: &StaticSecret, theirs: [u8; 32]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
    let shared = secret.diffie_hellman(&Exchange::from(theirs));
    if !shared.was_contributory() {
        return Err(HandshakeError::Degenerate);
    }
    Ok(Zeroizing::new(shared.to_bytes()))
}

/// What a Hello's signature, or a Resume's MAC, covers besides its own fields.
fn context(offer: &[u8], trust_key: brine_protocol::Fingerprint) -> [u8; 64] {
    let mut context = [0; 64];
    context[..32].copy_from_slice(&Sha256::digest(offer));
    context[32..].copy_from_slice(&trust_key.0);
    context
}

/// The MAC of a Resume, over what a Hello's signature is over.
fn resume_mac(earlier: &Resumption, context: &[u8; 64], head: &[u8]) -> Hmac<Sha256> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::from_prk(earlier.bytes())
        .expect("32 bytes are a key for HKDF-SHA256")
        .expand(b"brine/1 resume", &mut *key)
        .expect("32 bytes can be expanded");
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
    mac.update(context);
    mac.update(head);
    mac
}

#[cfg(test)]
mod tests;
