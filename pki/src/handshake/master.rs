//! The master's side of the handshake.

mod resume;

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use brine_protocol::message::{Pace, Standing, Welcome};
use brine_protocol::{Fingerprint, MinionId};
use bytes::Bytes;
use x25519_dalek::{PublicKey as Exchange, StaticSecret};

use super::{HandshakeError, Schedule, begin, context, enter, exchange, kind};
use crate::channel::Channel;
use crate::key::{Label, PrivateKey, PublicKey};
use crate::ticket::Resumption;
use crate::wire::Writer;
pub use resume::{NotResumed, Resumed, refused};

/// A master's key-agreement config: signed once per rotation, offered to every minion.
///
/// Its secret lives in memory only and is wiped when the last handshake that uses it is done.
pub struct Agreement {
    body: Vec<u8>,
    signature: Vec<u8>,
    secret: StaticSecret,
    trust_key: Fingerprint,
    serial: u64,
}

/// What a config says besides its serial and its exchange value.
#[derive(Default)]
pub struct Succession<'a> {
    /// The key that minions pin, and its signature over the signing key
    /// ([`endorse`]); none when the signing key is the pinned one.
    pub trust_key: Option<(&'a PublicKey, &'a [u8])>,
    /// A trust key that minions shall accept from now on as well.
    pub successor: Option<Fingerprint>,
}

/// A trust key's signature that makes `signing_key` its deputy.
#[must_use]
pub fn endorse(trust_key: &PrivateKey, signing_key: &PublicKey) -> Vec<u8> {
    trust_key.sign(Label::Endorsement, &[signing_key.der()])
}

impl Agreement {
    /// Signs a config with this serial, which has to be higher than any that was ever offered
    /// under the same trust key, around a fresh X25519 secret.
    #[must_use]
    pub fn new(key: &PrivateKey, serial: u64, secret: [u8; 32], succession: &Succession<'_>) -> Arc<Self> {
        let secret = StaticSecret::from(secret);
        let (trust_key, endorsement) = succession.trust_key.unwrap_or((key.public(), &[]));
        let mut body = Writer::default();
        body.u64(serial)
            .raw(Exchange::from(&secret).as_bytes())
            .long(trust_key.der())
            .long(if endorsement.is_empty() { &[] } else { key.public().der() })
            .long(endorsement)
            .short(succession.successor.as_ref().map_or(&[], |f| &f.0));
        let signature = key.sign(Label::Config, &[&body.0]);
        Arc::new(Self { body: body.0, signature, secret, trust_key: trust_key.fingerprint(), serial })
    }

    /// The serial.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// An Offer for one connection. The nonce has to be fresh and random.
    #[must_use]
    pub fn offer(self: &Arc<Self>, nonce: [u8; 32]) -> Offer {
        let mut message = begin(kind::OFFER);
        message.raw(&nonce).long(&self.body).long(&self.signature);
        Offer { config: Arc::clone(self), message: message.0 }
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agreement(serial {})", self.serial)
    }
}

/// What one connection was offered.
#[derive(Debug)]
pub struct Offer {
    config: Arc<Agreement>,
    message: Vec<u8>,
}

impl Offer {
    /// The bytes to send.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The same in base64, for a session that is open already.
    #[must_use]
    pub fn to_text(&self) -> String {
        Base64::encode_string(&self.message)
    }

    /// The trust key that it was made under: that of the tickets, too.
    #[must_use]
    pub fn trust_key(&self) -> Fingerprint {
        self.config.trust_key
    }

    fn context(&self) -> [u8; 64] {
        context(&self.message, self.config.trust_key)
    }

    /// Reads a Hello that answers this Offer. Cheap: the signature is not checked yet.
    ///
    /// # Errors
    /// It is malformed, of another version, or its key is none that is accepted here.
    pub fn read_hello(self, message: &[u8]) -> Result<Unverified, HandshakeError> {
        const NAME: &str = "Hello";
        let malformed = HandshakeError::Malformed(NAME);
        let mut reader = enter(message, kind::HELLO, NAME)?;
        let mut fields = || Some((reader.short()?, reader.long()?, reader.array()?));
        let (id, der, ephemeral) = fields().ok_or(malformed.clone())?;
        let signed = message.len() - reader.0.len();
        let signature = reader.long().ok_or(malformed.clone())?.to_vec();
        if !reader.is_empty() {
            return Err(malformed);
        }
        let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or(HandshakeError::Id)?;
        let key = PublicKey::from_der(der).map_err(HandshakeError::Key)?;
        Ok(Unverified { offer: self, hello: message.to_vec(), signed, signature, id, key, ephemeral })
    }
}

/// A Hello whose signature has not been checked: it claims an id and shows a key.
#[derive(Debug)]
pub struct Unverified {
    offer: Offer,
    hello: Vec<u8>,
    signed: usize,
    signature: Vec<u8>,
    id: MinionId,
    key: PublicKey,
    ephemeral: [u8; 32],
}

impl Unverified {
    /// Checks the signature: the one costly step, 0.1 ms at 4096 bits.
    ///
    /// # Errors
    /// [`HandshakeError::Signature`].
    pub fn verify(self) -> Result<Verified, HandshakeError> {
        let context = self.offer.context();
        self.key
            .verify(Label::Hello, &[&context, &self.hello[..self.signed]], &self.signature)
            .map_err(|_| HandshakeError::Signature("Hello"))?;
        Ok(Verified(self))
    }
}

/// A Hello that the holder of its key signed for this very connection.
#[derive(Debug)]
pub struct Verified(Unverified);

impl Verified {
    /// The id it claims.
    #[must_use]
    pub fn id(&self) -> &MinionId {
        &self.0.id
    }

    /// The key it proved to sign with.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.0.key
    }

    /// Makes the session's keys. `ephemeral` is a fresh random X25519 secret.
    ///
    /// # Errors
    /// [`HandshakeError::Degenerate`] when the minion's exchange value is.
    pub fn open(self, ephemeral: [u8; 32]) -> Result<Opening, HandshakeError> {
        let Unverified { offer, hello, ephemeral: theirs, .. } = self.0;
        Opening::new(&offer, &hello, theirs, ephemeral, None)
    }

    /// Makes the session's keys, and answers with a verdict and without a ticket.
    ///
    /// # Errors
    /// As [`Verified::open`].
    pub fn welcome(
        self,
        ephemeral: [u8; 32],
        standing: Standing,
        pace: Pace,
        now_s: u64,
    ) -> Result<(Vec<u8>, Channel), HandshakeError> {
        Ok(self.open(ephemeral)?.welcome(&Welcome { standing, pace }, &[], now_s))
    }
}

/// A session whose keys are made; its minion has yet to be told.
#[derive(Debug)]
pub struct Opening {
    trust_key: Fingerprint,
    message: Vec<u8>,
    channel: Channel,
    resumption: Resumption,
}

impl Opening {
    fn new(
        offer: &Offer,
        answer: &[u8],
        theirs: [u8; 32],
        ephemeral: [u8; 32],
        earlier: Option<&Resumption>,
    ) -> Result<Self, HandshakeError> {
        let ephemeral = StaticSecret::from(ephemeral);
        let mut message = begin(kind::WELCOME);
        message.raw(Exchange::from(&ephemeral).as_bytes());
        let exchanges = [&exchange(&offer.config.secret, theirs)?, &exchange(&ephemeral, theirs)?];
        let (channel, resumption) =
            Schedule::new(exchanges, earlier, [&offer.message, answer, &message.0]).master();
        Ok(Self { trust_key: offer.trust_key(), message: message.0, channel, resumption })
    }

    /// The trust key that it was offered under: that of its ticket.
    #[must_use]
    pub fn trust_key(&self) -> Fingerprint {
        self.trust_key
    }

    /// What this session leaves to the next: for its ticket, and nobody else.
    #[must_use]
    pub fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Answers with a verdict, and a ticket if it is not empty. `now_s` is any clock in seconds that does
    /// not go back.
    #[must_use]
    pub fn welcome(mut self, verdict: &Welcome, ticket: &[u8], now_s: u64) -> (Vec<u8>, Channel) {
        let mut frame = verdict.to_frame();
        frame.body = Bytes::copy_from_slice(ticket);
        let sealed = self.channel.sealer.seal(&frame, now_s);
        let mut message = Writer(self.message);
        message.long(&sealed);
        (message.0, self.channel)
    }
}

#[cfg(test)]
impl Offer {
    /// Stands in for another Offer, as a man in the middle would.
    pub(super) fn set_message(&mut self, message: Vec<u8>) {
        self.message = message;
    }
}
