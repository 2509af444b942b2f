//! The folder of custom modules: which files count, and which are refused.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use brine_local::text::escape;
use brine_local::walk::{Facts, VetError, vet};
use brine_protocol::modules::{FileName, FileNameError, MODULE_MAX, MODULES_MAX};
use nix::unistd::{AccessFlags, access, geteuid};

use super::super::table;
use super::shown;

/// Most files of the folder that are looked at.
const FILES_MAX: usize = 10_000;

/// A file that is, or claims to be, a custom module.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The module's name; of a file that cannot be one, the file's.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
    /// Why it is not used.
    pub(super) refused: Option<String>,
}

/// What there is in the folder, in the order of the files' names; only of the module `wanted`, if
/// one is.
///
/// A file is a module when its name says so; hidden files and folders are nothing to us.
pub(super) fn look(folder: &Path, wanted: Option<&str>) -> Vec<Candidate> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<String> = entries
        .take(FILES_MAX)
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|file| !file.starts_with('.'))
        .collect();
    files.sort();
    // What editors and package managers leave beside a file (`name.py~`) is no name of one.
    let files: Vec<(String, Result<FileName, FileNameError>)> =
        files.into_iter().map(|file| (file.clone(), file.parse())).collect();
    let mut files_of: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files.iter().filter_map(|(_, parsed)| parsed.as_ref().ok()) {
        *files_of.entry(file.module()).or_default() += 1;
    }
    let open = weakness(folder);
    let mut count = 0;
    let mut found = Vec::new();
    for (file, parsed) in &files {
        count += usize::from(parsed.is_ok());
        let name = parsed.as_ref().map_or(file.as_str(), FileName::module);
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let path = folder.join(file);
        // Of a link, not of what it leads to.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let is_twice = files_of.get(name).is_some_and(|count| *count > 1);
        let refused = if let Some(why) = &open {
            Some(why.clone())
        } else if let Err(why) = parsed {
            Some(why.to_string())
        } else if is_builtin(name) {
            Some(format!("the minion has a module {name} of its own; give the file another name"))
        } else if is_twice {
            Some(format!("several files of its folder are called {name}; leave one of them there"))
        } else if count > MODULES_MAX {
            Some(format!("there are more than {MODULES_MAX} files in its folder; take some away"))
        } else {
            weakness_of_file(&path, &metadata)
        };
        found.push(Candidate { name: escape(name), path, facts: Facts::of(&metadata), refused });
        // One of them says it for all.
        if wanted.is_none() && (open.is_some() || count > MODULES_MAX) {
            break;
        }
    }
    found
}

/// Whether the minion has a module of this name itself: whoever may run a function of that one must
/// not get another in its place.
pub(in super::super) fn is_builtin(module: &str) -> bool {
    module == "saltutil" || table().iter().any(|function| function.name.split('.').next() == Some(module))
}

/// How others than root and the minion's user could change what is at the end of this path.
fn weakness(path: &Path) -> Option<String> {
    match vet(path, geteuid().as_raw()) {
        Ok(_) => None,
        Err(VetError::Read(error)) => Some(format!("{} cannot be looked at: {error}", shown(path))),
        Err(VetError::Open { path, why, mend }) => {
            Some(format!("others could change {} ({why}); mend it with: {}", shown(&path), escape(&mend)))
        }
    }
}

/// What keeps a file from being run, as it is there.
fn weakness_of_file(path: &Path, metadata: &Metadata) -> Option<String> {
    if !metadata.is_file() {
        return Some("it is not a regular file; put the program itself there".to_owned());
    }
    if metadata.len() > MODULE_MAX as u64 {
        return Some(format!("it has {} bytes, more than {MODULE_MAX}", metadata.len()));
    }
    let may_run = || access(path, AccessFlags::X_OK).is_ok();
    let no_program = || format!("it cannot be run; mend it with: chmod u+x {}", shown(path));
    weakness(path).or_else(|| (!may_run()).then(no_program))
}
