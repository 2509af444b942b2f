//! Who this minion is, and which master it trusts: files in the `pki/minion` folder.
//!
//! ```text
//! minion.pem          the private key, 0600, made at the first start
//! minion.pub          the public half, for people
//! minion_master.pub   the master's trust key: pinned at first use, or put there beforehand
//! minion_master.json  what goes with it: highest config serial, announced successor
//! ```
//! **Invariant:** nothing about a master is written before its verdict has opened.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use brine_local::file;
use brine_pki::handshake::minion::Pin;
use brine_pki::key::{PrivateKey, PublicKey};
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};

const KEY_FILE_MAX: u64 = 16 * 1024;

/// Generating a key longer than this is told on standard error.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the minion's key, or makes it.
///
/// # Errors
/// The key cannot be read or is open to others, or a new one cannot be made or written.
pub fn load_or_make_key(folder: &Path, bits: usize) -> Result<PrivateKey> {
    file::create_private_dir(folder)?;
    let path = folder.join("minion.pem");
    let key = match file::read_text(&path, KEY_FILE_MAX).map(zeroize_later) {
        Ok(pem) => {
            file::check_private(&path)?;
            PrivateKey::from_pem(&pem).with_context(|| format!("cannot use {}", path.display()))?
        }
        Err(error) if error.is_not_found() => {
            let key = make_key(bits)?;
            file::replace(&path, key.to_pem().as_bytes(), 0o600)?;
            key
        }
        Err(error) => return Err(error.into()),
    };
    let public = folder.join("minion.pub");
    let pem = key.public().to_pem();
    if file::read_text(&public, KEY_FILE_MAX).ok().as_deref() != Some(&pem) {
        file::replace(&public, pem.as_bytes(), 0o644)?;
    }
    Ok(key)
}

fn zeroize_later(pem: String) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(pem)
}

fn make_key(bits: usize) -> Result<PrivateKey> {
    let started = Instant::now();
    let (done, is_done) = mpsc::channel::<()>();
    let told = std::thread::spawn(move || {
        let is_slow = is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        if is_slow {
            eprintln!(
                "making this minion's RSA key of {bits} bits, once; a slow machine needs up to a minute ..."
            );
        }
        is_slow
    });
    let key = PrivateKey::generate(bits).context("cannot make this minion's key")?;
    drop(done);
    if told.join().unwrap_or(false) {
        eprintln!("... made in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(key)
}

/// The id for a host name, when no option says one.
///
/// # Errors
/// The host name is no minion id.
pub fn id_from_host() -> Result<MinionId> {
    let host = nix::unistd::gethostname().context("cannot read the host name")?;
    let host = host.to_string_lossy();
    host.parse::<MinionId>().map_err(|error| {
        let host = brine_local::text::escape(&host);
        anyhow::anyhow!(
            "the host name {host:?} cannot be this minion's id: {error}; give one with the option `id`"
        )
    })
}

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
        let memory = self.memory()?;
        Ok(match (self.master_finger, memory) {
            (None, None) => Pin::FirstUse,
            (Some(finger), Some(memory))
                if finger != memory.trust_key && !memory.follows.contains(&finger) =>
            {
                Pin::Fingerprint(finger)
            }
            (Some(finger), None) => Pin::Fingerprint(finger),
            (_, Some(memory)) => {
                Pin::Known { trust_key: memory.trust_key, serial: memory.serial, successor: memory.successor }
            }
        })
    }

    fn memory(&self) -> Result<Option<Memory>> {
        let path = self.key_file();
        let pem = match file::read_text(&path, KEY_FILE_MAX) {
            Ok(pem) => pem,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let key = PublicKey::from_pem(&pem).with_context(|| format!("cannot use {}", path.display()))?;
        let trust_key = key.fingerprint();
        let fresh = Memory { trust_key, serial: 0, successor: None, follows: Vec::new() };
        let path = self.memory_file();
        match file::read(&path, KEY_FILE_MAX) {
            Ok(bytes) => {
                let memory: Memory = serde_json::from_slice(&bytes).with_context(|| {
                    format!("{} is damaged; remove it to forget the master's serial", path.display())
                })?;
                // The key file is what an administrator replaces; memory of another key is void.
                Ok(Some(if memory.trust_key == trust_key { memory } else { fresh }))
            }
            Err(error) if error.is_not_found() => Ok(Some(fresh)),
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers a master whose verdict has opened.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn remember(&self, key: &PublicKey, serial: u64, successor: Option<Fingerprint>) -> Result<()> {
        let old = self.memory()?;
        let trust_key = key.fingerprint();
        let follows = match &old {
            Some(old) if old.trust_key == trust_key => {
                if serial < old.serial {
                    bail!("serial {serial} is below {}", old.serial);
                }
                old.follows.clone()
            }
            Some(old) if old.successor == Some(trust_key) => {
                old.follows.iter().copied().chain([old.trust_key]).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let new = Memory { trust_key, serial, successor, follows };
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        if old.is_none_or(|old| old.trust_key != trust_key) {
            file::replace(&self.key_file(), key.to_pem().as_bytes(), 0o644)?;
        }
        let mut text = serde_json::to_vec_pretty(&new).expect("fingerprints and numbers are JSON");
        text.push(b'\n');
        file::replace(&self.memory_file(), &text, 0o600)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pki/minion");
        let first = load_or_make_key(&folder, 2048).unwrap();
        let again = load_or_make_key(&folder, 4096).unwrap();
        assert_eq!(first.public(), again.public());
        assert_eq!(std::fs::metadata(folder.join("minion.pem")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        std::fs::write(folder.join("minion.pem"), "junk").unwrap();
        let error = format!("{:#}", load_or_make_key(&folder, 2048).unwrap_err());
        assert!(error.contains("minion.pem"), "{error}");
    }

    #[test]
    fn pins_follow_what_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let key = |pem: &str| PublicKey::from_pem(pem).unwrap();
        let (one, two) = (
            PrivateKey::generate(2048).unwrap().public().clone(),
            PrivateKey::generate(2048).unwrap().public().clone(),
        );
        let trust = |finger| Trust::new(dir.path(), finger);
        let known = |key: &PublicKey, serial, successor| Pin::Known {
            trust_key: key.fingerprint(),
            serial,
            successor,
        };
        assert_eq!(trust(None).pin().unwrap(), Pin::FirstUse);
        assert_eq!(trust(Some(one.fingerprint())).pin().unwrap(), Pin::Fingerprint(one.fingerprint()));

        trust(None).remember(&one, 5, Some(two.fingerprint())).unwrap();
        assert_eq!(key(&std::fs::read_to_string(dir.path().join("minion_master.pub")).unwrap()), one);
        assert_eq!(trust(None).pin().unwrap(), known(&one, 5, Some(two.fingerprint())));
        assert_eq!(trust(Some(one.fingerprint())).pin().unwrap(), known(&one, 5, Some(two.fingerprint())));
        assert_eq!(trust(Some(two.fingerprint())).pin().unwrap(), Pin::Fingerprint(two.fingerprint()));
        assert!(trust(None).remember(&one, 4, None).is_err());

        // A rollover: the option may keep naming the key that announced this one.
        trust(None).remember(&two, 1, None).unwrap();
        assert_eq!(trust(Some(one.fingerprint())).pin().unwrap(), known(&two, 1, None));

        // An administrator puts another key there: what was remembered of the old one is void.
        std::fs::write(dir.path().join("minion_master.pub"), one.to_pem()).unwrap();
        assert_eq!(trust(None).pin().unwrap(), known(&one, 0, None));
    }
}
