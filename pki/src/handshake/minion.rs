//! The minion's side of the handshake.

use base64ct::{Base64, Encoding};
use brine_protocol::message::Welcome;
use brine_protocol::{Fingerprint, MinionId};
use bytes::Bytes;
use hmac::Mac;
use x25519_dalek::{PublicKey as Exchange, StaticSecret};

use super::{HANDSHAKE_MAX, HandshakeError, Schedule, begin, context, enter, exchange, kind, resume_mac};
use crate::channel::{Channel, ChannelError};
use crate::key::{Label, PrivateKey, PublicKey};
use crate::ticket::{Resumption, TICKET_MAX};
use crate::wire::Reader;

/// Which master a minion will talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The one with this trust key, from `master_finger`; nothing is known of it yet.
    Fingerprint(Fingerprint),
    /// The one it has talked to before.
    Known {
        /// Its trust key.
        trust_key: Fingerprint,
        /// The highest config serial seen under that key.
        serial: u64,
        /// The trust key that it announced to follow.
        successor: Option<Fingerprint>,
    },
    /// Whoever answers first.
    FirstUse,
}

/// A master's Offer that passed the pin and whose config is signed.
#[derive(Debug)]
pub struct Offered {
    message: Vec<u8>,
    trust_key: PublicKey,
    serial: u64,
    exchange: [u8; 32],
    successor: Option<Fingerprint>,
}

impl Offered {
    /// Reads an Offer, checks the pin, then the signatures, then the serial.
    ///
    /// # Errors
    /// Any of these fail. Nothing is to be stored then.
    pub fn read(message: &[u8], pin: &Pin) -> Result<Self, HandshakeError> {
        const NAME: &str = "Offer";
        let malformed = || HandshakeError::Malformed(NAME);
        if message.get(1) == Some(&kind::BUSY) {
            return Err(read_busy(message));
        }
        let mut reader = enter(message, kind::OFFER, NAME)?;
        let mut outer = || Some((reader.array::<32>()?, reader.long()?, reader.long()?));
        let (_nonce, body, signature) = outer().ok_or_else(malformed)?;
        let mut inner = Reader(body);
        let mut fields = || {
            Some((
                inner.u64()?,
                inner.array::<32>()?,
                inner.long()?,
                inner.long()?,
                inner.long()?,
                inner.short()?,
            ))
        };
        let (serial, exchange, trust_der, signing_der, endorsement, successor) =
            fields().ok_or_else(malformed)?;
        if !reader.is_empty() || !inner.is_empty() {
            return Err(malformed());
        }
        let successor = match successor {
            [] => None,
            bytes => Some(Fingerprint(bytes.try_into().map_err(|_| malformed())?)),
        };

        let trust_key = PublicKey::from_der(trust_der).map_err(HandshakeError::Key)?;
        let got = trust_key.fingerprint();
        let seen = match pin {
            Pin::FirstUse => 0,
            Pin::Fingerprint(pinned) if *pinned == got => 0,
            Pin::Known { trust_key, serial, .. } if *trust_key == got => *serial,
            Pin::Known { successor: Some(successor), .. } if *successor == got => 0,
            Pin::Fingerprint(pinned) | Pin::Known { trust_key: pinned, .. } => {
                return Err(HandshakeError::Pin { got, pinned: *pinned });
            }
        };
        let signing_key = if signing_der.is_empty() {
            None
        } else {
            let key = PublicKey::from_der(signing_der).map_err(HandshakeError::Key)?;
            trust_key
                .verify(Label::Endorsement, &[key.der()], endorsement)
                .map_err(|_| HandshakeError::Signature("signing key"))?;
            Some(key)
        };
        signing_key
            .as_ref()
            .unwrap_or(&trust_key)
            .verify(Label::Config, &[body], signature)
            .map_err(|_| HandshakeError::Signature("config"))?;
        if serial < seen {
            return Err(HandshakeError::Serial { got: serial, seen });
        }
        Ok(Self { message: message.to_vec(), trust_key, serial, exchange, successor })
    }

    /// Reads an Offer that was told in base64, over a session that is open already. It is worth
    /// what its signature is worth, whoever told it.
    ///
    /// # Errors
    /// As [`Offered::read`].
    pub fn read_text(text: &str, pin: &Pin) -> Result<Self, HandshakeError> {
        let malformed = || HandshakeError::Malformed("Offer");
        if text.len() > HANDSHAKE_MAX.div_ceil(3) * 4 {
            return Err(malformed());
        }
        Self::read(&Base64::decode_vec(text).map_err(|_| malformed())?, pin)
    }

    /// The master's trust key: what is pinned once the verdict has opened.
    #[must_use]
    pub fn trust_key(&self) -> &PublicKey {
        &self.trust_key
    }

    /// The config's serial: kept as the highest seen once the verdict has opened.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// A trust key to be accepted from now on as well.
    #[must_use]
    pub fn successor(&self) -> Option<Fingerprint> {
        self.successor
    }

    /// Answers with a Hello. `secret` is a fresh random X25519 secret. Signing takes about 10 ms
    /// at 4096 bits.
    #[must_use]
    pub fn hello(self, key: &PrivateKey, id: &MinionId, secret: [u8; 32]) -> (Vec<u8>, Waiting) {
        let secret = StaticSecret::from(secret);
        let mut message = begin(kind::HELLO);
        message
            .short(id.as_str().as_bytes())
            .long(key.public().der())
            .raw(Exchange::from(&secret).as_bytes());
        let context = context(&self.message, self.trust_key.fingerprint());
        let signature = key.sign(Label::Hello, &[&context, &message.0]);
        message.long(&signature);
        let waiting = Waiting { offered: self, answer: message.0.clone(), secret, earlier: None };
        (message.0, waiting)
    }

    /// Answers with a Resume in place of a Hello. `secret` is a fresh random X25519 secret. Signs nothing.
    #[must_use]
    pub fn resume(self, ticket: &Ticket, secret: [u8; 32]) -> (Vec<u8>, Waiting) {
        let secret = StaticSecret::from(secret);
        let mut message = begin(kind::RESUME);
        message.long(&ticket.sealed).raw(Exchange::from(&secret).as_bytes());
        let context = context(&self.message, self.trust_key.fingerprint());
        let mac = resume_mac(&ticket.resumption, &context, &message.0).finalize().into_bytes();
        message.raw(&mac);
        let earlier = Some(ticket.resumption.clone());
        let waiting = Waiting { offered: self, answer: message.0.clone(), secret, earlier };
        (message.0, waiting)
    }
}

/// What lets a minion come back without a signature: sealed words that only the master reads, and the
/// secret that goes with them. It is wiped when it is dropped, and never on disk.
#[derive(Debug, Clone)]
pub struct Ticket {
    key: Fingerprint,
    master: Fingerprint,
    sealed: Bytes,
    resumption: Resumption,
}

impl Ticket {
    /// A ticket as it came, for this key of the minion and this trust key of the master; none if there was
    /// none, or one that no Resume has room for.
    #[must_use]
    pub fn new(key: Fingerprint, master: Fingerprint, sealed: &[u8], resumption: Resumption) -> Option<Self> {
        let fits = (1..=TICKET_MAX).contains(&sealed.len());
        // A copy: what came is part of a larger message.
        fits.then(|| Self { key, master, sealed: Bytes::copy_from_slice(sealed), resumption })
    }

    /// Whether it is for this key of the minion.
    #[must_use]
    pub fn is_of(&self, key: Fingerprint) -> bool {
        self.key == key
    }

    /// Whether it is from the master of this trust key.
    #[must_use]
    pub fn is_from(&self, master: Fingerprint) -> bool {
        self.master == master
    }
}

/// A Hello or a Resume was sent; the master's verdict is due.
pub struct Waiting {
    offered: Offered,
    answer: Vec<u8>,
    secret: StaticSecret,
    earlier: Option<Resumption>,
}

/// What the master says to a Hello or a Resume.
#[derive(Debug)]
pub enum Answer {
    /// A verdict.
    Welcome(Box<Welcomed>),
    /// The ticket is of no use: a Hello for the same Offer is due.
    Refused(Offered),
}

/// A session that has begun.
#[derive(Debug)]
pub struct Welcomed {
    /// The verdict.
    pub welcome: Welcome,
    /// The keys.
    pub channel: Channel,
    /// A ticket for the next session; empty without one.
    pub ticket: Bytes,
    /// What belongs to this session's ticket, whenever that comes.
    pub resumption: Resumption,
}

impl Waiting {
    /// Reads the answer. That a verdict opens proves that the master holds the config's secret; that a
    /// ticket was refused proves nothing.
    ///
    /// # Errors
    /// It is malformed, forged, or `Busy`.
    pub fn answer(self, message: &[u8]) -> Result<Answer, HandshakeError> {
        const NAME: &str = "Welcome";
        match message.get(1) {
            Some(&kind::BUSY) => return Err(read_busy(message)),
            Some(&kind::REFUSED) if self.earlier.is_some() => {
                let rest = enter(message, kind::REFUSED, "Refused")?;
                let refused = rest.is_empty().then_some(Answer::Refused(self.offered));
                return refused.ok_or(HandshakeError::Malformed("Refused"));
            }
            Some(_) | None => {}
        }
        let malformed = HandshakeError::Malformed(NAME);
        let mut reader = enter(message, kind::WELCOME, NAME)?;
        let theirs = reader.array().ok_or(malformed.clone())?;
        let head = &message[..message.len() - reader.0.len()];
        let sealed = reader.long().ok_or(malformed.clone())?;
        if !reader.is_empty() {
            return Err(malformed);
        }
        let exchanges = [&exchange(&self.secret, self.offered.exchange)?, &exchange(&self.secret, theirs)?];
        let said = [&self.offered.message[..], &self.answer, head];
        let (mut channel, resumption) = Schedule::new(exchanges, self.earlier.as_ref(), said).minion();
        let frame = channel.opener.open(Bytes::copy_from_slice(sealed)).map_err(HandshakeError::Verdict)?;
        let welcome = Welcome::from_frame(&frame)
            .map_err(|error| HandshakeError::Verdict(ChannelError::Frame(error)))?;
        Ok(Answer::Welcome(Box::new(Welcomed { welcome, channel, ticket: frame.body, resumption })))
    }

    /// Reads the verdict on a Hello, without the ticket.
    ///
    /// # Errors
    /// It is malformed, forged, or `Busy`.
    pub fn welcome(self, message: &[u8]) -> Result<(Welcome, Channel), HandshakeError> {
        match self.answer(message)? {
            Answer::Welcome(welcomed) => Ok((welcomed.welcome, welcomed.channel)),
            Answer::Refused(_) => Err(HandshakeError::Malformed("Welcome")),
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting(for {:?})", self.offered.trust_key)
    }
}

fn read_busy(message: &[u8]) -> HandshakeError {
    let read = || -> Result<u32, HandshakeError> {
        let mut reader = enter(message, kind::BUSY, "Busy")?;
        let millis = reader.array().ok_or(HandshakeError::Malformed("Busy"))?;
        Ok(u32::from_be_bytes(millis))
    };
    match read() {
        Ok(retry_after_ms) => HandshakeError::Busy { retry_after_ms },
        Err(error) => error,
    }
}

#[cfg(test)]
impl Ticket {
    pub(super) fn sealed(&self) -> &Bytes {
        &self.sealed
    }

    pub(super) fn resumption(&self) -> &Resumption {
        &self.resumption
    }
}

#[cfg(test)]
impl Waiting {
    /// Stands in for a Hello recorded earlier.
    pub(super) fn replace_hello(&mut self, hello: Vec<u8>) {
        self.answer = hello;
    }
}
