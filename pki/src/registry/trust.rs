//! The registry, its ledger and the waiting keys as one thing, for the master and, while the
//! master is stopped, for the key tool.
//!
//! **Invariant:** a decision is in the ledger before the registry knows it.

mod deciding;
mod listing;
mod rotations;
mod ruling;
mod servers;
mod tokens;

pub use deciding::{ActError, Done, Imported};
pub use rotations::{RotateError, SuccessionError};
pub use ruling::Rejudged;
pub use servers::{Created, Replace, ServerDone, ServerError};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_local::file::{self, FileError};
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};

use super::rules::Rules;
use super::{Registry, Verdict};
use crate::ledger::{Deed, Draft, Entry, FileLedger, Hash, LedgerError, Log, Torn};
use crate::waiting::{Damage, Waiting, WaitingKey, WaitingLimits};

pub use crate::waiting::Knocker;

/// Who is trusted, who waits, and the record of how it came to be.
#[derive(Debug)]
pub struct Trust<L: Log = FileLedger> {
    registry: Registry,
    log: L,
    waiting: Waiting,
    rules: Rules,
    /// The ids of waiting keys that `autoreject_file` turns away, with its lines. Listing ten
    /// thousand keys must not match each of them again.
    ruled_out: BTreeMap<MinionId, String>,
    /// The most keys that may be accepted or suspended; 0 means no limit.
    max_minions: usize,
    /// The file of the waiting keys; none in tests.
    file: Option<PathBuf>,
    /// What is only known since the start, of keys that were decided about.
    sightings: BTreeMap<(MinionId, Fingerprint), Sighting>,
    saved_at: Option<Timestamp>,
    is_unsaved: bool,
}

#[derive(Debug, Clone)]
struct Sighting {
    first_seen: Timestamp,
    last_seen: Timestamp,
    address: Option<IpAddr>,
    attempts: u64,
    claims: Knock,
}

/// What opening found that an administrator should hear of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The ledger ended in an unfinished line.
    #[error(transparent)]
    Torn(Torn),
    /// The file of waiting keys was set aside.
    #[error(transparent)]
    Damage(Damage),
}

/// Why trust cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ledger is locked, damaged or unreadable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Another file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Opened trust.
#[derive(Debug)]
pub struct Opened {
    /// The trust.
    pub trust: Trust,
    /// What should be logged.
    pub warnings: Vec<Warning>,
}

/// What became of a knock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knocked {
    /// Where the key stands.
    pub verdict: Verdict,
    /// Whether nobody has decided about the key, so that it is filed and waits.
    pub waits: bool,
    /// Whether the key was not waiting before.
    pub is_new: bool,
    /// Waiting keys that had to make room or had waited too long.
    pub dropped: Vec<WaitingKey>,
}

impl Trust {
    /// Opens the ledger and the waiting keys, waiting up to `wait` for another process to let go.
    ///
    /// # Errors
    /// Something is locked, damaged or unreadable.
    pub fn open(
        ledger: &Path,
        waiting: &Path,
        limits: WaitingLimits,
        wait: Duration,
    ) -> Result<Opened, OpenError> {
        if let Some(folder) = ledger.parent() {
            // Not ours alone: root opens the files of a master that runs as another user.
            file::create_dir(folder, 0o700)?;
            file::close_to_others(folder)?;
        }
        let opened = FileLedger::open(ledger, wait)?;
        let (mut keys, damage) = Waiting::load(waiting, limits)?;
        let registry = Registry::fold(&opened.entries);
        // The file may be older than the last decision.
        let decided: Vec<_> = keys
            .iter()
            .filter(|key| registry.key(&key.id, key.fingerprint).is_some())
            .map(|key| (key.id.clone(), key.fingerprint))
            .collect();
        for (id, fingerprint) in decided {
            keys.remove(&id, fingerprint);
        }
        let warnings = opened.torn.map(Warning::Torn).into_iter().chain(damage.map(Warning::Damage));
        let warnings = warnings.collect();
        let trust = Self::assemble(registry, opened.ledger, keys, Some(waiting.to_owned()));
        Ok(Opened { trust, warnings })
    }
}

impl<L: Log> Trust<L> {
    /// Trust on any log, with nobody waiting and no file for those who will.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn with_log(log: L, limits: WaitingLimits) -> Result<Self, LedgerError> {
        let registry = Registry::fold(&log.entries()?);
        Ok(Self::assemble(registry, log, Waiting::new(limits), None))
    }

    fn assemble(registry: Registry, log: L, waiting: Waiting, file: Option<PathBuf>) -> Self {
        Self {
            registry,
            log,
            waiting,
            rules: Rules::default(),
            ruled_out: BTreeMap::new(),
            max_minions: 0,
            file,
            sightings: BTreeMap::new(),
            saved_at: None,
            is_unsaved: false,
        }
    }

    /// The fold of all decisions.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    #[cfg(test)]
    pub(super) fn log(&self) -> &L {
        &self.log
    }

    #[cfg(test)]
    pub(super) fn ruled_out_len(&self) -> usize {
        self.ruled_out.len()
    }

    /// Where a key stands with this id, known or not: the verdict at its handshake.
    #[must_use]
    pub fn standing(&self, id: &MinionId, fingerprint: Fingerprint) -> Verdict {
        match self.registry.standing(id, fingerprint) {
            Verdict::Pending if self.ruled_out(id).is_some() => Verdict::Rejected,
            verdict => verdict,
        }
    }

    /// Whether the key that was accepted by this decision is accepted now: asked for every frame.
    #[must_use]
    pub fn is_accepted(&self, id: &MinionId, generation: u64) -> bool {
        self.registry.is_accepted(id, generation)
    }

    /// Notes the first sealed message of a session, and files its key if it has to wait.
    pub fn knock(&mut self, knocker: Knocker, now: Timestamp) -> Knocked {
        let verdict = self.standing(&knocker.id, knocker.fingerprint);
        match self.registry.standing(&knocker.id, knocker.fingerprint) {
            Verdict::Pending | Verdict::Denied => {
                let id = knocker.id.clone();
                let is_new = self.waiting.get(&id, knocker.fingerprint).is_none();
                let dropped = self.waiting.knock(knocker, now);
                self.note_waiting(&id);
                for name in &dropped {
                    self.note_waiting(&name.id);
                }
                Knocked { verdict, waits: true, is_new, dropped }
            }
            Verdict::Accepted { .. } | Verdict::Rejected | Verdict::Suspended => {
                let address = Some(knocker.address);
                let sighting = self.sighting(knocker.id, knocker.fingerprint, now);
                sighting.last_seen = now;
                sighting.address = address;
                sighting.attempts = sighting.attempts.saturating_add(1);
                Knocked { verdict, waits: false, is_new: false, dropped: Vec::new() }
            }
        }
    }

    fn sighting(&mut self, id: MinionId, fingerprint: Fingerprint, now: Timestamp) -> &mut Sighting {
        let first_seen = self.registry.key(&id, fingerprint).map_or(now, |key| key.since);
        self.sightings.entry((id, fingerprint)).or_insert_with(|| Sighting {
            first_seen,
            last_seen: first_seen,
            address: None,
            attempts: 0,
            claims: Knock::default(),
        })
    }

    /// Notes that the session of a key is alive.
    pub fn heard(&mut self, id: &MinionId, fingerprint: Fingerprint, now: Timestamp) {
        if self.registry.key(id, fingerprint).is_some() {
            self.sighting(id.clone(), fingerprint, now).last_seen = now;
        } else {
            self.waiting.heard(id, fingerprint, now);
        }
    }

    /// Forgets the keys that have waited for too long.
    pub fn expire(&mut self, now: Timestamp) -> Vec<WaitingKey> {
        let expired = self.waiting.expire(now);
        for name in &expired {
            self.note_waiting(&name.id);
        }
        expired
    }

    fn record(&mut self, draft: Draft, now: Timestamp) -> Result<Entry, LedgerError> {
        let entry = self.log.append(draft, now)?;
        self.registry.apply(&entry);
        Ok(entry)
    }

    /// Takes the next serial for a handshake config of the master.
    ///
    /// # Errors
    /// The ledger could not be written.
    pub fn next_config_serial(&mut self, by: &str, now: Timestamp) -> Result<u64, LedgerError> {
        let serial = self.registry.config_serial() + 1;
        self.record(Draft { by: by.to_owned(), reason: None, deed: Deed::Config { serial } }, now)?;
        Ok(serial)
    }

    /// The hash of the ledger's last line.
    #[must_use]
    pub fn head(&self) -> Hash {
        self.log.head()
    }

    /// The new content of the file of waiting keys, if it is time to write it. The more keys wait,
    /// the rarer: a flood must not become a flood of writes. For a caller that writes it on
    /// another thread with [`file::replace`]; others call [`Trust::save`].
    pub fn unsaved(&mut self, now: Timestamp) -> Option<(PathBuf, Vec<u8>)> {
        let pause = 1 + (self.waiting.len() as i64 / 200).min(60);
        self.is_unsaved |= self.waiting.take_changed();
        // A clock that was set back must not stop the writing.
        let is_due = self.saved_at.is_none_or(|at| (now.0 - at.0).abs() >= pause * 1_000_000);
        let file = self.file.clone().filter(|_| self.is_unsaved && is_due)?;
        self.saved_at = Some(now);
        self.is_unsaved = false;
        Some((file, self.waiting.to_json()))
    }

    /// Writes the waiting keys now, if they changed.
    ///
    /// # Errors
    /// The file cannot be replaced; the next call tries again.
    pub fn save(&mut self) -> Result<(), FileError> {
        self.is_unsaved |= self.waiting.take_changed();
        if let Some(path) = self.file.as_deref().filter(|_| self.is_unsaved) {
            file::replace(path, &self.waiting.to_json(), 0o600)?;
            self.is_unsaved = false;
        }
        Ok(())
    }
}
