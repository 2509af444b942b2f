//! A Salt master's pki folder, read.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use brine_local::file::FileError;
use brine_local::text::escape;
use brine_pki::key::PublicKey;
use brine_pki::salt::{salt_fingerprint, salt_key_fingerprint};
use brine_protocol::MinionId;
use brine_protocol::control::KeyState;
use nix::fcntl::OFlag;

use crate::failure::Failure;

/// The states that Salt has, in the order in which its master looks at them.
pub(super) const SALT_STATES: [KeyState; 4] =
    [KeyState::Rejected, KeyState::Pending, KeyState::Accepted, KeyState::Denied];

/// A public key has less than one KiB; several denied ones may share a file.
const FILE_MAX: u64 = 64 * 1024;

/// More files in one folder are no fleet but a mistake or an attack.
const FILES_MAX: usize = 200_000;

/// A key that Salt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SaltKey {
    pub(super) id: MinionId,
    pub(super) state: KeyState,
    pub(super) key: PublicKey,
    /// What `salt-call key.finger` prints for it.
    pub(super) salt: String,
    /// What `salt-key -f` prints for it.
    pub(super) salt_key: String,
    /// Where it was found, below the folder.
    pub(super) file: String,
}

/// Something that is not taken in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) file: String,
    pub(super) why: String,
}

/// What a folder holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) keys: Vec<SaltKey>,
    pub(super) left_out: Vec<LeftOut>,
}

/// The folder that has a folder per state: what was named, or `master` in it.
pub(super) fn root(named: &Path) -> Result<PathBuf, Failure> {
    let has_states = |folder: &Path| SALT_STATES.iter().any(|state| folder.join(state.salt_name()).is_dir());
    let candidates = [named.to_owned(), named.join("master")];
    candidates.into_iter().find(|folder| has_states(folder)).ok_or_else(|| {
        Failure::Usage(format!(
            "{} is no pki folder of a Salt master: it has none of the folders minions, minions_pre, \
             minions_rejected and minions_denied; Salt's own is /etc/salt/pki/master",
            named.display()
        ))
    })
}

/// Reads every key.
pub(super) fn read(root: &Path) -> Result<Found, Failure> {
    let mut found = Found::default();
    for state in SALT_STATES {
        let folder = root.join(state.salt_name());
        for name in names(&folder)? {
            let file = format!("{}/{}", state.salt_name(), escape(&name.to_string_lossy()));
            let key = name
                .to_str()
                .ok_or_else(|| "its name is no text".to_owned())
                .and_then(|name| read_file(&folder.join(name), name, state, &file));
            match key {
                Ok(keys) => found.keys.extend(keys),
                Err(why) => found.left_out.push(LeftOut { file, why }),
            }
        }
    }
    Ok(obeyed(found))
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    let failed = |reason| FileError::System { doing: "read the folder", path: folder.to_owned(), reason };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name());
        if names.len() > FILES_MAX {
            return Err(Failure::Refused(format!("{} has more than {FILES_MAX} files", folder.display())));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read_file(path: &Path, name: &str, state: KeyState, file: &str) -> Result<Vec<SaltKey>, String> {
    if name.starts_with('.') {
        return Err("a hidden file, which Salt does not list either".to_owned());
    }
    let id: MinionId = name.parse().map_err(|error| format!("no minion id here: {error}"))?;
    let text = read_text(path)?;
    let blocks = blocks(&text);
    match (blocks.len(), state) {
        (0, _) => return Err("holds no public key".to_owned()),
        (1, _) | (_, KeyState::Denied) => {}
        (several, _) => return Err(format!("holds {several} keys instead of one")),
    }
    let one = |block: &str| {
        let key = PublicKey::from_pem(block).map_err(|error| {
            if block.starts_with("-----BEGIN RSA PUBLIC KEY") {
                return "in PKCS#1 form; write it anew with: openssl rsa -RSAPublicKey_in -pubout -in FILE"
                    .to_owned();
            }
            error.to_string()
        })?;
        // Salt hashes the file as it stands, where that is one key.
        let hashed = if blocks.len() == 1 { text.as_str() } else { block };
        Ok(SaltKey {
            id: id.clone(),
            state,
            key,
            salt: salt_fingerprint(hashed),
            salt_key: salt_key_fingerprint(hashed),
            file: file.to_owned(),
        })
    };
    blocks.iter().map(|block| one(block)).collect()
}

/// A small regular file's text. A symlink is not followed and a pipe is not waited for.
fn read_text(path: &Path) -> Result<String, String> {
    let kind = fs::symlink_metadata(path).map_err(|error| error.to_string())?.file_type();
    if kind.is_symlink() {
        return Err("a symlink, which is not followed".to_owned());
    }
    if !kind.is_file() {
        return Err("no regular file".to_owned());
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("larger than {FILE_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "no text".to_owned())
}

/// The PEM texts in a text.
fn blocks(text: &str) -> Vec<&str> {
    let starts: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

/// What of it Salt itself obeys: it looks into the folders in the order of [`SALT_STATES`], so a
/// rejected file keeps out whoever has the id, and of one key only the first place counts.
fn obeyed(found: Found) -> Found {
    let mut left_out = found.left_out;
    let (mut seen, mut rejected) = (BTreeSet::new(), BTreeSet::new());
    let mut keys: Vec<SaltKey> = Vec::new();
    for key in found.keys {
        let why = if !seen.insert((key.id.clone(), key.key.fingerprint())) {
            Some("the same key is in another state as well, which Salt obeys first")
        } else if key.state == KeyState::Accepted && rejected.contains(&key.id) {
            Some(
                "Salt keeps this minion out, because minions_rejected has its id as well; decide about it by hand",
            )
        } else {
            None
        };
        match why {
            Some(why) => left_out.push(LeftOut { file: key.file, why: why.to_owned() }),
            None => {
                if key.state == KeyState::Rejected {
                    rejected.insert(key.id.clone());
                }
                keys.push(key);
            }
        }
    }
    Found { keys, left_out }
}
