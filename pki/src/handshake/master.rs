//! The master's side of the handshake.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use brine_protocol::message::{Pace, Standing, Welcome};
use brine_protocol::{Fingerprint, MinionId};
use x25519_dalek::{PublicKey as Exchange, StaticSecret};

use super::{HandshakeError, Schedule, begin, enter, exchange, hello_context, kind};
use crate::channel::Channel;
use crate::key::{Label, PrivateKey, PublicKey};
use crate::wire::Writer;

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
        let context = hello_context(&self.offer.message, self.offer.config.trust_key);
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

    /// Answers with a verdict. `ephemeral` is a fresh random X25519 secret; `now_s` any clock in
    /// seconds that does not go back.
    ///
    /// # Errors
    /// [`HandshakeError::Degenerate`] when the minion's exchange value is.
    pub fn welcome(
        self,
        ephemeral: [u8; 32],
        standing: Standing,
        pace: Pace,
        now_s: u64,
    ) -> Result<(Vec<u8>, Channel), HandshakeError> {
        let Unverified { offer, hello, ephemeral: theirs, .. } = self.0;
        let ephemeral = StaticSecret::from(ephemeral);
        let mut message = begin(kind::WELCOME);
        message.raw(Exchange::from(&ephemeral).as_bytes());
        let mut channel = Schedule::new(
            &exchange(&offer.config.secret, theirs)?,
            &exchange(&ephemeral, theirs)?,
            &offer.message,
            &hello,
            &message.0,
        )
        .master();
        let verdict = Welcome { standing, pace }.to_frame();
        message.long(&channel.sealer.seal(&verdict, now_s));
        Ok((message.0, channel))
    }
}

#[cfg(test)]
impl Offer {
    /// Stands in for another Offer, as a man in the middle would.
    pub(super) fn set_message(&mut self, message: Vec<u8>) {
        self.message = message;
    }
}
