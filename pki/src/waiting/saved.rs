//! The file of the waiting keys: `{"v":1,"keys":[…]}`, replaced as a whole.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use brine_local::file::{self, FileError};
use brine_local::text::escape;
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};

use super::{Waiting, WaitingKey, WaitingLimits, cut};
use crate::ledger::{name_aside, read_key};

/// The largest file that is read, in bytes. The costliest keys that strangers can file have 3.7 KB
/// each, of which 2 KB are claims that consist of quotation marks: ten thousand of them have 37 MB.
const FILE_MAX: u64 = 256 * 1024 * 1024;

/// The version that the file names.
const VERSION: u32 = 1;

/// The file of waiting keys was damaged: it is set aside, and nobody waits until they knock again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}; it is kept as {} and waiting keys start anew", .path.display(), .aside.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: String,
    /// Where it is now.
    pub aside: PathBuf,
}

/// The file of waiting keys can neither be read nor set aside.
pub type LoadError = FileError;

#[derive(Serialize, Deserialize)]
struct Saved<K> {
    v: u32,
    keys: Vec<K>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey {
    id: MinionId,
    fingerprint: Fingerprint,
    key: String,
    first_seen: Timestamp,
    last_seen: Timestamp,
    address: IpAddr,
    attempts: u64,
    #[serde(default)]
    claims: Knock,
}

impl Waiting {
    /// Reads the file that [`Waiting::to_json`] fills. A file that cannot be understood is set
    /// aside with a warning.
    ///
    /// # Errors
    /// The file cannot be read at all, or not be set aside.
    pub fn load(path: &Path, limits: WaitingLimits) -> Result<(Self, Option<Damage>), LoadError> {
        Self::load_up_to(path, limits, FILE_MAX)
    }

    pub(super) fn load_up_to(
        path: &Path,
        limits: WaitingLimits,
        max: u64,
    ) -> Result<(Self, Option<Damage>), LoadError> {
        let reason = match file::read(path, max) {
            Ok(bytes) => match parse(&bytes) {
                Ok(keys) => return Ok((Self::fill(keys, limits), None)),
                Err(reason) => reason,
            },
            Err(FileError::TooLarge { max, .. }) => format!("it is larger than {max} bytes"),
            Err(error) if error.is_not_found() => return Ok((Self::new(limits), None)),
            Err(error) => return Err(error),
        };
        let aside = set_aside(path)?;
        Ok((Self::new(limits), Some(Damage { path: path.to_owned(), reason, aside })))
    }

    /// Keeps the order in which keys were last heard of, and the limits, which may be lower now.
    fn fill(mut keys: Vec<WaitingKey>, limits: WaitingLimits) -> Self {
        let mut waiting = Self::new(limits);
        keys.sort_by_key(|key| key.last_seen);
        for key in keys {
            if waiting.get(&key.id, key.fingerprint).is_none() {
                waiting.make_room(&key.id, key.address);
                waiting.file(key);
            }
        }
        waiting.is_changed = false;
        waiting
    }

    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let keys = self.iter().map(|key| SavedKey {
            id: key.id.clone(),
            fingerprint: key.fingerprint,
            key: Base64::encode_string(&key.key),
            first_seen: key.first_seen,
            last_seen: key.last_seen,
            address: key.address,
            attempts: key.attempts,
            claims: key.claims.clone(),
        });
        let saved = Saved { v: VERSION, keys: keys.collect() };
        let mut json = serde_json::to_vec(&saved).expect("waiting keys hold nothing JSON cannot say");
        json.push(b'\n');
        json
    }
}

/// Gives the file another name, whatever its size.
fn set_aside(path: &Path) -> Result<PathBuf, FileError> {
    let aside = name_aside(path);
    fs::rename(path, &aside).map_err(|reason| FileError::System {
        doing: "rename",
        path: path.to_owned(),
        reason,
    })?;
    file::sync_folder(path)?;
    Ok(aside)
}

fn parse(bytes: &[u8]) -> Result<Vec<WaitingKey>, String> {
    let saved: Saved<SavedKey> = serde_json::from_slice(bytes).map_err(|error| escape(&error.to_string()))?;
    if saved.v != VERSION {
        return Err(format!("version {} is not known here", saved.v));
    }
    let read = |key: SavedKey| {
        let der = read_key(&key.key, key.fingerprint)
            .ok_or_else(|| format!("a key of {} does not belong to its fingerprint", key.id))?;
        Ok(WaitingKey {
            id: key.id,
            fingerprint: key.fingerprint,
            key: der,
            first_seen: key.first_seen,
            last_seen: key.last_seen,
            address: key.address,
            attempts: key.attempts,
            claims: cut(&key.claims),
        })
    };
    saved.keys.into_iter().map(read).collect()
}
