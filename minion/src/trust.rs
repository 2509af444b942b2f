//! Which master this minion trusts: files in the `pki/minion` folder.
//!
//! ```text
//! minion_master.pub   the master's trust key: pinned at first use, or put there beforehand
//! minion_master.json  what goes with it: highest config serial, announced successor, and the key
//!                     that an administrator named with `brine-minion trust-master`
//! ```
//! **Invariants:** nothing about a master is written before its verdict has opened; whatever of
//! the two files a crash leaves, the minion accepts the master that it accepted before or the one
//! that it was about to remember; what an administrator names is not undone by a master that was
//! let in before. The folder is locked from reading the pin to writing the files.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use brine_local::file;
use brine_pki::handshake::minion::Pin;
use brine_pki::key::PublicKey;
use brine_protocol::Fingerprint;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

const FILE_MAX: u64 = 16 * 1024;

/// What is remembered of the pinned master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    trust_key: Fingerprint,
    serial: u64,
    #[serde(default)]
    successor: Option<Fingerprint>,
    /// Trust keys that announced this one, oldest first: `master_finger` may still name them.
    #[serde(default)]
    follows: Vec<Fingerprint>,
    /// The key that an administrator named to be trusted instead, until it was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Fingerprint>,
}

impl Memory {
    fn fresh(trust_key: Fingerprint) -> Self {
        Self { trust_key, serial: 0, successor: None, follows: Vec::new(), told: None }
    }

    /// What is remembered when `trust_key` is in the key file. The key file is what an
    /// administrator replaces: memory of another key is void. Unless that other key announced
    /// this one: then a crash came between the two files.
    fn under(self, trust_key: Fingerprint) -> Self {
        if self.trust_key == trust_key {
            return self;
        }
        let follows = if self.successor == Some(trust_key) { self.with_itself() } else { Vec::new() };
        Self { follows, ..Self::fresh(trust_key) }
    }

    fn with_itself(&self) -> Vec<Fingerprint> {
        self.follows.iter().copied().chain([self.trust_key]).collect()
    }
}

/// What became of [`Trust::trust_only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That key was trusted already.
    Already,
    /// The next session trusts that key and no other.
    Pinned {
        /// The key that was pinned before.
        instead: Option<Fingerprint>,
    },
}

/// The pinned master, on disk.
#[derive(Debug)]
pub struct Trust {
    folder: PathBuf,
    master_finger: Option<Fingerprint>,
}

impl Trust {
    /// What is in `folder`, under the rule of the option `master_finger`.
    #[must_use]
    pub fn new(folder: &Path, master_finger: Option<Fingerprint>) -> Self {
        Self { folder: folder.to_owned(), master_finger }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("minion_master.pub")
    }

    fn memory_file(&self) -> PathBuf {
        self.folder.join("minion_master.json")
    }

    /// The master to accept now. Files are read each time, so that an administrator who mends
    /// them need not restart anything.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn pin(&self) -> Result<Pin> {
        let Some(memory) = self.memory()? else {
            return Ok(self.master_finger.map_or(Pin::FirstUse, Pin::Fingerprint));
        };
        Ok(match (self.master_finger, memory.told) {
            (finger, Some(told)) => Pin::Fingerprint(finger.unwrap_or(told)),
            (Some(finger), None) if finger != memory.trust_key && !memory.follows.contains(&finger) => {
                Pin::Fingerprint(finger)
            }
            (_, None) => {
                Pin::Known { trust_key: memory.trust_key, serial: memory.serial, successor: memory.successor }
            }
        })
    }

    /// The fingerprint that is pinned, if one is.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn pinned(&self) -> Result<Option<Fingerprint>> {
        Ok(match self.pin()? {
            Pin::FirstUse => None,
            Pin::Fingerprint(pinned) | Pin::Known { trust_key: pinned, .. } => Some(pinned),
        })
    }

    /// Whether a master with this trust key is to be talked to, as of now.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn admits(&self, key: Fingerprint) -> Result<bool> {
        Ok(match self.pin()? {
            Pin::FirstUse => true,
            Pin::Fingerprint(pinned) => pinned == key,
            Pin::Known { trust_key, successor, .. } => trust_key == key || successor == Some(key),
        })
    }

    /// The right to decide what is in the folder. It is held for as long as two small files take
    /// to be written, so it is waited for.
    fn lock(&self) -> Result<Flock<File>> {
        let cannot = || format!("cannot lock {}", self.folder.display());
        let folder = File::open(&self.folder).with_context(cannot)?;
        Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error).with_context(cannot)
    }

    /// The key that was announced to follow the master's, if one was.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn successor(&self) -> Result<Option<Fingerprint>> {
        Ok(self.memory()?.and_then(|memory| memory.successor))
    }

    fn key(&self) -> Result<Option<PublicKey>> {
        let path = self.key_file();
        match file::read_text(&path, FILE_MAX) {
            Ok(pem) => {
                let key = PublicKey::from_pem(&pem);
                Ok(Some(key.with_context(|| format!("cannot use {}", path.display()))?))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn saved(&self) -> Result<Option<Memory>> {
        let path = self.memory_file();
        match file::read(&path, FILE_MAX) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; remove it to forget the master's serial", path.display())
            })?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn memory(&self) -> Result<Option<Memory>> {
        let Some(key) = self.key()? else {
            // An administrator removed the key to have any master trusted, unless one was named.
            return Ok(self.saved()?.filter(|memory| memory.told.is_some()));
        };
        let trust_key = key.fingerprint();
        Ok(Some(self.saved()?.map_or_else(|| Memory::fresh(trust_key), |memory| memory.under(trust_key))))
    }

    fn save(&self, memory: &Memory) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(memory).expect("fingerprints and numbers are JSON");
        text.push(b'\n');
        Ok(file::replace(&self.memory_file(), &text, 0o600)?)
    }

    /// Remembers a master whose verdict has opened, or whose config was signed by the pinned key.
    ///
    /// # Errors
    /// It is not to be trusted any more, or a file cannot be written.
    pub fn remember(&self, key: &PublicKey, serial: u64, successor: Option<Fingerprint>) -> Result<()> {
        let _alone = self.lock()?;
        let trust_key = key.fingerprint();
        if !self.admits(trust_key)? {
            bail!(
                "the master with the key {trust_key} is not trusted any more: another key was named meanwhile"
            );
        }
        let old = self.memory()?;
        let follows = match &old {
            Some(old) if old.trust_key == trust_key => {
                if serial < old.serial {
                    bail!("serial {serial} is below {}", old.serial);
                }
                old.follows.clone()
            }
            Some(old) if old.successor == Some(trust_key) => old.with_itself(),
            Some(_) | None => Vec::new(),
        };
        let new = Memory { trust_key, serial, successor, follows, told: None };
        if self.key()?.as_ref() != Some(key) {
            file::replace(&self.key_file(), key.to_pem().as_bytes(), 0o644)?;
        }
        if self.saved()?.as_ref() == Some(&new) {
            return Ok(());
        }
        self.save(&new)
    }

    /// Forgets the pinned master and trusts this key only, on an administrator's word.
    ///
    /// # Errors
    /// The option `master_finger` names another key, the folder is another user's, or a file cannot
    /// be written.
    pub fn trust_only(&self, fingerprint: Fingerprint) -> Result<Told> {
        if let Some(finger) = self.master_finger.filter(|finger| *finger != fingerprint) {
            bail!(
                "the option master_finger names {finger}: change that line of the configuration to {fingerprint} \
                 and restart the minion"
            );
        }
        file::create_private_dir(&self.folder)?;
        let _alone = self.lock()?;
        // What cannot be read is forgotten as well.
        let (key, is_readable) = match self.key() {
            Ok(key) => (key.map(|key| key.fingerprint()), true),
            Err(_) => (None, false),
        };
        let instead = self.pinned().ok().flatten();
        if instead == Some(fingerprint) {
            return Ok(Told::Already);
        }
        // Bound to the key file as it is: an administrator who replaces that one later means it.
        let memory = Memory { told: Some(fingerprint), ..Memory::fresh(key.unwrap_or(fingerprint)) };
        self.save(&memory)?;
        if !is_readable {
            let path = self.key_file();
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(Told::Pinned { instead })
    }
}

#[cfg(test)]
mod tests;
