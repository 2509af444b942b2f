//! Keys that give way to others: a minion's, and the master's own.

use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};

use super::super::{Announced, RotationRefusal, SuccessionRefusal};
use super::Trust;
use crate::key::PublicKey;
use crate::ledger::{Entry, LedgerError, Log};
use crate::rotation::Handover;

/// Why a minion's key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] RotationRefusal),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why the master's key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] SuccessionRefusal),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl<L: Log> Trust<L> {
    /// Lets a minion's key give way to the one that it vouched for. When it returns, the new key
    /// holds the id, on disk, and the old one is worth nothing.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written.
    pub fn rotate(
        &mut self,
        id: &MinionId,
        handover: &Handover,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Entry, RotateError> {
        let draft = self.registry.decide_rotation(id, handover, by, reason)?;
        let entry = self.record(draft, now)?;
        let fingerprint = handover.key.fingerprint();
        // It no longer waits, and what was seen of the old key was seen of this minion.
        self.waiting.remove(id, fingerprint);
        self.note_waiting(id);
        if let Some(sighting) = self.sightings.remove(&(id.clone(), handover.from)) {
            self.sightings.insert((id.clone(), fingerprint), sighting);
        }
        Ok(entry)
    }

    /// Announces the key that is to follow the master's.
    ///
    /// # Errors
    /// One is announced already, or the ledger could not be written.
    pub fn announce(
        &mut self,
        from: Fingerprint,
        new: &PublicKey,
        until: Timestamp,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Announced, SuccessionError> {
        let draft = self.registry.decide_announcement(from, new, until, by, reason)?;
        self.record(draft, now)?;
        Ok(Announced { from, to: new.fingerprint(), since: now, until })
    }

    /// Makes the announced key the master's.
    ///
    /// # Errors
    /// Nothing is announced, or the ledger could not be written.
    pub fn succeed(
        &mut self,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Announced, SuccessionError> {
        let (announced, draft) = self.registry.decide_succession(false, by, reason)?;
        self.record(draft, now)?;
        Ok(announced)
    }

    /// Takes an announcement back.
    ///
    /// # Errors
    /// Nothing is announced, or the ledger could not be written.
    pub fn withdraw(
        &mut self,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Announced, SuccessionError> {
        let (announced, draft) = self.registry.decide_succession(true, by, reason)?;
        self.record(draft, now)?;
        Ok(announced)
    }
}
