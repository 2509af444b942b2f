//! The folder on the disk: listed, vetted, bounded.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use brine_local::text::escape;
use brine_local::walk::{self, Facts, VetError};
use brine_protocol::modules::{Digest, FileName, Listed, MODULE_MAX, MODULES_MAX, Refused};
use bytes::Bytes;
use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::Source;

/// The most names that are looked at in the folder, and the most that are named as refused.
const ENTRIES_MAX: usize = 4096;
const REFUSED_MAX: usize = 64;

/// What is in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// What is handed out.
    pub files: BTreeMap<FileName, Listed>,
    /// What is not, and why; of very many, the first.
    pub refused: Vec<Refused>,
    /// Why nothing is, in one sentence.
    pub problem: Option<String>,
}

pub(super) fn list(source: &Source) -> Catalogue {
    let broken = |problem: String| Catalogue { problem: Some(problem), ..Catalogue::default() };
    let names = match vet_folder(source).and_then(|there| if there { names(source) } else { Ok(Vec::new()) })
    {
        Ok(names) => names,
        Err(problem) => return broken(problem),
    };
    let mut catalogue = Catalogue::default();
    let mut by_module: BTreeMap<&str, usize> = BTreeMap::new();
    let read: Vec<(&String, Option<FileName>)> = names.iter().map(|name| (name, name.parse().ok())).collect();
    for name in read.iter().filter_map(|(_, name)| name.as_ref()) {
        *by_module.entry(name.module()).or_default() += 1;
    }
    let mut refused = Vec::new();
    for (text, name) in &read {
        let judged = match name {
            None => Err(brine_protocol::modules::FileNameError.to_string()),
            Some(name) if by_module[name.module()] > 1 => {
                Err(format!("several files are called {}; leave one of them there", name.module()))
            }
            Some(_) if catalogue.files.len() >= MODULES_MAX => {
                Err(format!("there are more than {MODULES_MAX} modules; take some away"))
            }
            Some(name) => bytes(source, name).map(|bytes| (name, bytes)),
        };
        match judged {
            Ok((name, bytes)) => {
                let listed = Listed { sha256: digest(&bytes), size: bytes.len() };
                catalogue.files.insert(name.clone(), listed);
            }
            Err(why) => refused.push(Refused { name: escape(text), why }),
        }
    }
    if refused.len() > REFUSED_MAX {
        let more = refused.len() - (REFUSED_MAX - 1);
        refused.truncate(REFUSED_MAX - 1);
        refused.push(Refused { name: format!("{more} more"), why: "see those before".to_owned() });
    }
    catalogue.refused = refused;
    catalogue
}

pub(super) fn read(source: &Source, name: &FileName, sha256: Digest) -> Result<Bytes, String> {
    if !vet_folder(source)? {
        return Err("it is not there any more".to_owned());
    }
    let bytes = bytes(source, name)?;
    if digest(&bytes) != sha256 {
        return Err("it has changed since it was listed; run the function again".to_owned());
    }
    Ok(bytes.into())
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Whether the folder is there, and nobody else could write to it.
fn vet_folder(source: &Source) -> Result<bool, String> {
    match walk::vet(&source.folder, source.own_uid) {
        Ok(_) => Ok(true),
        Err(VetError::Read(error)) if source.is_default && error.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        Err(error) => Err(format!("the folder {}: {}", shown(&source.folder), vetted(error))),
    }
}

/// The names of all that could be meant as a module, sorted. What editors leave beside a file is not.
fn names(source: &Source) -> Result<Vec<String>, String> {
    let failed = |error: io::Error| format!("the folder {} cannot be read: {error}", shown(&source.folder));
    let mut names = Vec::new();
    for (count, entry) in fs::read_dir(&source.folder).map_err(failed)?.enumerate() {
        if count >= ENTRIES_MAX {
            return Err(format!(
                "the folder {} has more than {ENTRIES_MAX} files; take some away",
                shown(&source.folder)
            ));
        }
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder && !name.starts_with('.') && !name.ends_with('~') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A file's bytes, once it is known that nobody else could have written them.
fn bytes(source: &Source, name: &FileName) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    let real = walk::vet(&source.folder.join(name.as_str()), source.own_uid).map_err(vetted)?;
    // Without waiting: the name may have become a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
        .open(&real)
        .map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if let Some((why, mend)) = Facts::of(&found).weakness(&real, source.own_uid, true) {
        return Err(vetted(VetError::Open { path: real, why, mend }));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0).min(MODULE_MAX));
    file.take(MODULE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MODULE_MAX {
        let size = found.len().max(bytes.len() as u64);
        return Err(format!("it has {size} bytes, more than {MODULE_MAX}"));
    }
    Ok(bytes)
}

fn vetted(error: VetError) -> String {
    match error {
        VetError::Read(error) => format!("it cannot be read: {error}"),
        VetError::Open { path, why, mend } => format!(
            "{} could be written by others than root and this master ({why}), who could run what they like on every \
             minion; run on the master: {}",
            shown(&path),
            escape(&mend)
        ),
    }
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}
