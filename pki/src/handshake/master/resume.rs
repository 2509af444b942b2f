//! A Resume: a ticket and a MAC in place of a Hello's key and signature.

use hmac::Mac;

use super::{Offer, Opening};
use crate::handshake::{HandshakeError, begin, enter, kind, resume_mac};
use crate::ticket::{Granted, TicketKeys};

/// Why a Resume does not resume.
#[derive(Debug)]
pub enum NotResumed {
    /// It is no Resume at all.
    Malformed(HandshakeError),
    /// Its ticket or its MAC is not good, no longer good, or not good here: a Hello for the same Offer
    /// may follow. Which of these it was is nobody's business.
    Refused(Offer),
}

/// Answers a Resume whose ticket is of no use: a Hello is due.
#[must_use]
pub fn refused() -> Vec<u8> {
    begin(kind::REFUSED).0
}

impl Offer {
    /// Reads a Resume that answers this Offer, and checks its ticket and its MAC: microseconds, no signature.
    /// `now_s` is the wall clock in seconds.
    ///
    /// # Errors
    /// It is malformed, or is of no use.
    pub fn read_resume(self, message: &[u8], keys: &TicketKeys, now_s: u64) -> Result<Resumed, NotResumed> {
        const NAME: &str = "Resume";
        let malformed = || NotResumed::Malformed(HandshakeError::Malformed(NAME));
        let mut reader = enter(message, kind::RESUME, NAME).map_err(NotResumed::Malformed)?;
        let mut fields = || Some((reader.long()?, reader.array()?));
        let (sealed, ephemeral) = fields().ok_or_else(malformed)?;
        let head = &message[..message.len() - reader.0.len()];
        let mac: [u8; 32] = reader.array().ok_or_else(malformed)?;
        if !reader.is_empty() {
            return Err(malformed());
        }
        let Some(granted) = keys.open(self.trust_key(), sealed, now_s) else {
            return Err(NotResumed::Refused(self));
        };
        match resume_mac(&granted.resumption, &self.context(), head).verify_slice(&mac) {
            Ok(()) => Ok(Resumed { offer: self, message: message.to_vec(), granted, ephemeral }),
            Err(_) => Err(NotResumed::Refused(self)),
        }
    }
}

/// A Resume that the holder of its ticket made for this very connection. What the key's state says now is
/// still to be asked.
#[derive(Debug)]
pub struct Resumed {
    offer: Offer,
    message: Vec<u8>,
    granted: Granted,
    ephemeral: [u8; 32],
}

impl Resumed {
    /// What the ticket says.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Gives the Offer back for a Hello.
    #[must_use]
    pub fn refuse(self) -> Offer {
        self.offer
    }

    /// Makes the session's keys: both exchanges anew, joined by what the earlier session left. `ephemeral` is
    /// a fresh random X25519 secret.
    ///
    /// # Errors
    /// [`HandshakeError::Degenerate`] when the minion's exchange value is.
    pub fn open(self, ephemeral: [u8; 32]) -> Result<Opening, HandshakeError> {
        let Self { offer, message, granted, ephemeral: theirs } = self;
        Opening::new(&offer, &message, theirs, ephemeral, Some(&granted.resumption))
    }
}
