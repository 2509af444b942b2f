//! Which key is this master's, and which is to follow it.
//!
//! ```text
//! (nothing said) --announce--> announced --succeed--> the announced key is current
//!                                  '------withdraw--> as before
//! ```
//! A master that never changed its key has nothing in its ledger about it: the key in its file is
//! its key. From the first announcement on the ledger names it, so that after a crash it is known
//! which of two files holds the key that minions expect.

use brine_protocol::Fingerprint;
use brine_protocol::time::Timestamp;

use super::{REASON_MAX, Registry};
use crate::key::PublicKey;
use crate::ledger::{Deed, Draft, Entry};

/// The master's keys as the ledger tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterKeys {
    /// The master's key, once a decision named it.
    pub current: Option<Fingerprint>,
    /// The key that is to follow.
    pub announced: Option<Announced>,
}

/// A key that is to follow the master's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The master's key when it was announced.
    pub from: Fingerprint,
    /// The key.
    pub to: Fingerprint,
    /// When it was announced.
    pub since: Timestamp,
    /// When it takes over.
    pub until: Timestamp,
}

/// Why the master's key is not changed: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionRefusal {
    /// One at a time.
    #[error("{to} is announced already, until {until}; finish or withdraw that rotation first")]
    UnderWay {
        /// The key.
        to: Fingerprint,
        /// When it takes over.
        until: Timestamp,
    },
    /// Nothing is announced.
    #[error("no rotation of this master's key is under way")]
    None,
    /// The new key is the present one.
    #[error("the new key is the present one")]
    Same,
    /// The reason is too long for the ledger.
    #[error("a reason has at most {REASON_MAX} bytes, this one has {0}")]
    ReasonTooLong(usize),
}

impl MasterKeys {
    pub(super) fn apply(&mut self, entry: &Entry) {
        match &entry.deed {
            Deed::Announce { fingerprint, from, until, .. } => {
                self.current = Some(*from);
                self.announced =
                    Some(Announced { from: *from, to: *fingerprint, since: entry.at, until: *until });
            }
            Deed::Succeed { fingerprint, .. } => {
                self.current = Some(*fingerprint);
                self.announced = None;
            }
            Deed::Withdraw { fingerprint, from } => {
                self.current = Some(*from);
                // After a repair the announcement may be another than the one withdrawn.
                self.announced = self.announced.filter(|announced| announced.to != *fingerprint);
            }
            Deed::Key { .. }
            | Deed::Config { .. }
            | Deed::Repair { .. }
            | Deed::Rotate { .. }
            | Deed::Server { .. }
            | Deed::Token { .. }
            | Deed::Refuse { .. } => {}
        }
    }
}

impl Registry {
    /// The master's keys.
    #[must_use]
    pub fn master_keys(&self) -> &MasterKeys {
        &self.master
    }

    /// Decides whether a key can be announced to follow `from`.
    ///
    /// # Errors
    /// The refusal, in one sentence.
    pub fn decide_announcement(
        &self,
        from: Fingerprint,
        new: &PublicKey,
        until: Timestamp,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Draft, SuccessionRefusal> {
        if let Some(Announced { to, until, .. }) = self.master.announced {
            return Err(SuccessionRefusal::UnderWay { to, until });
        }
        let fingerprint = new.fingerprint();
        if fingerprint == from {
            return Err(SuccessionRefusal::Same);
        }
        let deed = Deed::Announce { fingerprint, key: new.der().to_vec(), from, until };
        draft(deed, by, reason)
    }

    /// Decides whether what is announced can take over, or be withdrawn.
    ///
    /// # Errors
    /// The refusal, in one sentence.
    pub fn decide_succession(
        &self,
        is_withdrawn: bool,
        by: &str,
        reason: Option<&str>,
    ) -> Result<(Announced, Draft), SuccessionRefusal> {
        let announced = self.master.announced.ok_or(SuccessionRefusal::None)?;
        let (fingerprint, from) = (announced.to, announced.from);
        let deed = if is_withdrawn {
            Deed::Withdraw { fingerprint, from }
        } else {
            Deed::Succeed { fingerprint, from }
        };
        Ok((announced, draft(deed, by, reason)?))
    }
}

fn draft(deed: Deed, by: &str, reason: Option<&str>) -> Result<Draft, SuccessionRefusal> {
    match reason {
        Some(reason) if reason.len() > REASON_MAX => Err(SuccessionRefusal::ReasonTooLong(reason.len())),
        _ => Ok(Draft { by: by.to_owned(), reason: reason.map(str::to_owned), deed }),
    }
}
