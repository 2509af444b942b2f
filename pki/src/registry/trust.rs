//! The registry, its ledger and the waiting keys as one thing, for the master and, while the
//! master is stopped, for the key tool.
//!
//! **Invariant:** a decision is in the ledger before the registry knows it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use brine_local::file::{self, FileError};
use brine_protocol::control::{Act, Key, KeyName, KeyState};
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};

use super::{Fate, Refusal, Registry, Verdict, transition};
use crate::ledger::{Deed, Draft, Entry, FileLedger, Hash, LedgerError, Log, Torn};
use crate::waiting::{Damage, Waiting, WaitingLimits};

pub use crate::waiting::Knocker;

/// Who is trusted, who waits, and the record of how it came to be.
#[derive(Debug)]
pub struct Trust<L: Log = FileLedger> {
    registry: Registry,
    log: L,
    waiting: Waiting,
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
    /// Whether the key was not waiting before.
    pub is_new: bool,
    /// Waiting keys that had to make room or had waited too long.
    pub dropped: Vec<KeyName>,
}

/// An act that was done and is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The ledger entry.
    pub entry: Entry,
    /// The key.
    pub id: MinionId,
    /// The key.
    pub fingerprint: Fingerprint,
    /// Where it stood.
    pub was: Verdict,
    /// Where it stands; none when it is forgotten.
    pub is: Option<Verdict>,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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
            file::create_private_dir(folder)?;
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
        Self { registry, log, waiting, file, sightings: BTreeMap::new(), saved_at: None, is_unsaved: false }
    }

    /// The fold of all decisions.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where a key stands with this id, known or not: the verdict at its handshake.
    #[must_use]
    pub fn standing(&self, id: &MinionId, fingerprint: Fingerprint) -> Verdict {
        self.registry.standing(id, fingerprint)
    }

    /// Whether the key that was accepted by this decision is accepted now: asked for every frame.
    #[must_use]
    pub fn is_accepted(&self, id: &MinionId, generation: u64) -> bool {
        self.registry.is_accepted(id, generation)
    }

    /// Notes the first sealed message of a session, and files its key if it has to wait.
    pub fn knock(&mut self, knocker: Knocker, now: Timestamp) -> Knocked {
        let verdict = self.standing(&knocker.id, knocker.fingerprint);
        match verdict {
            Verdict::Pending | Verdict::Denied => {
                let is_new = self.waiting.get(&knocker.id, knocker.fingerprint).is_none();
                let dropped = self.waiting.knock(knocker, now);
                Knocked { verdict, is_new, dropped }
            }
            Verdict::Accepted { .. } | Verdict::Rejected | Verdict::Suspended => {
                let address = Some(knocker.address);
                let sighting = self.sighting(knocker.id, knocker.fingerprint, now);
                sighting.last_seen = now;
                sighting.address = address;
                sighting.attempts = sighting.attempts.saturating_add(1);
                Knocked { verdict, is_new: false, dropped: Vec::new() }
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
    pub fn expire(&mut self, now: Timestamp) -> Vec<KeyName> {
        self.waiting.expire(now)
    }

    /// Does an act on a key. When it returns, the decision is on disk and holds.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written; nothing has changed.
    pub fn act(
        &mut self,
        act: Act,
        name: &KeyName,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Done, ActError> {
        let (id, fingerprint) = (&name.id, name.fingerprint);
        let was = self.standing(id, fingerprint);
        let waiting = self.waiting.get(id, fingerprint).map(|key| key.key.as_slice());
        let draft = self.registry.decide(act, name, waiting, by, reason)?;
        let entry = self.record(draft, now)?;
        let waited = self.waiting.remove(id, fingerprint);
        let is = if transition(was.state(), act) == Fate::Gone {
            self.sightings.remove(&(id.clone(), fingerprint));
            None
        } else {
            if let Some(key) = waited {
                let sighting = self.sighting(id.clone(), fingerprint, now);
                *sighting = Sighting {
                    first_seen: key.first_seen,
                    last_seen: key.last_seen,
                    address: Some(key.address),
                    attempts: key.attempts,
                    claims: key.claims,
                };
            }
            Some(self.standing(id, fingerprint))
        };
        Ok(Done { entry, id: id.clone(), fingerprint, was, is })
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

    /// Every key, by id: decided ones, then those that wait. Nobody is connected as far as trust
    /// knows; a master fills that in.
    #[must_use]
    pub fn list(&self) -> Vec<Key> {
        let decided = self.registry.keys().map(|(id, key)| {
            let seen = self.sightings.get(&(id.clone(), key.fingerprint));
            Key {
                id: id.clone(),
                state: key.state,
                fingerprint: key.fingerprint,
                public_key: pem(&key.key),
                generation: key.generation,
                first_seen: seen.map_or(key.since, |seen| seen.first_seen),
                last_seen: seen.map_or(key.since, |seen| seen.last_seen),
                address: seen.and_then(|seen| seen.address).map(|address| address.to_string()),
                attempts: seen.map_or(0, |seen| seen.attempts),
                claims: seen.map(|seen| seen.claims.clone()).unwrap_or_default(),
                known_before: self.registry.known_before(id, key.fingerprint),
                connected: false,
                rule: None,
            }
        });
        let waiting = self.waiting.iter().map(|key| Key {
            id: key.id.clone(),
            state: self.standing(&key.id, key.fingerprint).state(),
            fingerprint: key.fingerprint,
            public_key: pem(&key.key),
            generation: 0,
            first_seen: key.first_seen,
            last_seen: key.last_seen,
            address: Some(key.address.to_string()),
            attempts: key.attempts,
            claims: key.claims.clone(),
            known_before: self.registry.known_before(&key.id, key.fingerprint),
            connected: false,
            rule: None,
        });
        let mut keys: Vec<_> = decided.chain(waiting).collect();
        // Stable, so that decided keys of an id stay before waiting ones.
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        keys
    }

    /// How many keys are in a state.
    #[must_use]
    pub fn count(&self, state: KeyState) -> usize {
        let decided = self.registry.keys().filter(|(_, key)| key.state == state).count();
        let waits =
            |key: &&crate::waiting::WaitingKey| self.standing(&key.id, key.fingerprint).state() == state;
        decided + self.waiting.iter().filter(waits).count()
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

/// DER SubjectPublicKeyInfo as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let base64 = Base64::encode_string(der);
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}
