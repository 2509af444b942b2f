//! The folder of modules on the disk.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use brine_local::file;
use brine_local::text::escape;
use brine_local::walk::{VetError, vet};
use brine_protocol::modules::{Digest, FileName, MODULE_MAX};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::plan::{Fetch, Found, Here, Origins};

/// Which files came from the master.
const MANIFEST: &str = ".from-master";

/// Its largest size: that of twice as many modules as a master has.
const MANIFEST_MAX: u64 = 256 * 1024;

/// The most names that are looked at.
const ENTRIES_MAX: usize = 4096;

/// The folder of modules.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    files: Origins,
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Folder {
    /// The folder, made when it is not there and `is_needed`. What a crash left in it is cleared away.
    pub(super) fn open(path: &Path, is_needed: bool) -> Result<Option<Self>, String> {
        let is_there = match path.symlink_metadata() {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(format!("cannot look at {}: {error}", shown(path))),
        };
        if !is_there {
            if !is_needed {
                return Ok(None);
            }
            file::create_private_dir(path).map_err(|error| escape(&error.to_string()))?;
        }
        let real = vet(path, nix::unistd::geteuid().as_raw()).map_err(|error| match error {
            VetError::Read(error) => format!("cannot look at {}: {error}", shown(path)),
            VetError::Open { path, why, mend } => format!(
                "others could change {} ({why}), and with it what this minion runs; mend it with: {}",
                shown(&path),
                escape(&mend)
            ),
        })?;
        let folder = Self(real);
        folder.sweep()?;
        Ok(Some(folder))
    }

    /// What is in it.
    pub(super) fn look(&self) -> Result<Here, String> {
        Ok(Here { files: self.files()?, origins: self.manifest()?.files })
    }

    /// Keeps on disk what came from the master.
    pub(super) fn remember(&self, origins: &Origins) -> Result<(), String> {
        let manifest = Manifest { files: origins.clone() };
        if self.manifest()? == manifest {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&manifest).expect("names and hashes are JSON");
        file::replace(&self.0.join(MANIFEST), &bytes, 0o600).map_err(|error| escape(&error.to_string()))
    }

    /// Puts a module in its place, unless that is not as it was seen.
    pub(super) fn place(&self, fetch: &Fetch, bytes: &[u8]) -> Result<(), String> {
        let target = self.0.join(fetch.name.as_str());
        // Under another extension the old file becomes the new one before it gets its name: at
        // every moment there is one of this module, and not two.
        let at = fetch.over.as_ref().map_or_else(|| target.clone(), |over| self.0.join(over.as_str()));
        let is_free = at == target || found(&target)?.is_none();
        if !is_free || found(&at)? != fetch.seen.map(Found::File) {
            return Err("somebody has changed it here meanwhile; left as it is".to_owned());
        }
        file::replace(&at, bytes, 0o700).map_err(|error| error.to_string())?;
        if at != target {
            fs::rename(&at, &target).map_err(|error| format!("cannot rename {}: {error}", at.display()))?;
            file::sync_folder(&target).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Removes what the master no longer has, and keeps on disk what came from it of what is there.
    pub(super) fn finish(&self, remove: &[(FileName, Digest)], origins: &Origins) -> Result<(), String> {
        for (name, digest) in remove {
            let path = self.0.join(name.as_str());
            if found(&path)? == Some(Found::File(*digest)) {
                fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", shown(&path)))?;
                tracing::info!(%name, "the master no longer has this module: removed");
            }
        }
        if !remove.is_empty() {
            file::sync_folder(&self.0.join(MANIFEST)).map_err(|error| escape(&error.to_string()))?;
        }
        let mut settled = Origins::new();
        for (name, found) in self.files()? {
            if let (Found::File(digest), Some(known)) = (found, origins.get(&name))
                && known.contains(&digest)
            {
                settled.insert(name, vec![digest]);
            }
        }
        self.remember(&settled)
    }

    fn manifest(&self) -> Result<Manifest, String> {
        let path = self.0.join(MANIFEST);
        let bytes = match file::read(&path, MANIFEST_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Manifest::default()),
            Err(error) => return Err(escape(&error.to_string())),
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            format!(
                "{} says which modules came from the master and cannot be read ({error}); remove it, and these \
                 modules with it, and run this again",
                shown(&path)
            )
        })
    }

    fn names(&self) -> Result<Vec<String>, String> {
        let failed = |error: io::Error| format!("cannot read {}: {error}", shown(&self.0));
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            if names.len() >= ENTRIES_MAX {
                return Err(format!("{} has more than {ENTRIES_MAX} files; take some away", shown(&self.0)));
            }
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn files(&self) -> Result<BTreeMap<FileName, Found>, String> {
        let mut files = BTreeMap::new();
        for name in self.names()?.into_iter().filter_map(|name| name.parse::<FileName>().ok()) {
            if let Some(found) = found(&self.0.join(name.as_str()))? {
                files.insert(name, found);
            }
        }
        Ok(files)
    }

    /// Removes unfinished files of a process that is no more.
    fn sweep(&self) -> Result<(), String> {
        for name in self.names()?.iter().filter(|name| is_unfinished(name)) {
            let path = self.0.join(name);
            fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", shown(&path)))?;
        }
        Ok(())
    }
}

/// Whether a file is what [`file::replace`] begins with: `.NAME.PID-NUMBER.new`.
fn is_unfinished(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new")?.rsplit_once('.'));
    let Some((name, numbers)) = parts else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_numbered =
        numbers.split_once('-').is_some_and(|(pid, number)| is_number(pid) && is_number(number));
    is_numbered && (name == MANIFEST || name.parse::<FileName>().is_ok())
}

/// What is under a path.
fn found(path: &Path) -> Result<Option<Found>, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", shown(path));
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() || found.len() > MODULE_MAX as u64 => return Ok(Some(Found::Other)),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(Some(Found::Other));
    }
    let mut bytes = Vec::new();
    file.take(MODULE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(if bytes.len() > MODULE_MAX { Found::Other } else { Found::File(digest(&bytes)) }))
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}
