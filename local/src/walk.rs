//! A path as the system walks it: every folder, every link, and what is at the end.
//!
//! Whoever can change any of these decides what is read at the end, so each is looked at, not only
//! the last folder: one further up can be moved away, and a link can be pointed elsewhere.

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows.
const LINKS_MAX: usize = 40;

/// What tells that something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    file: (u64, u64),
    kind: FileType,
    mode: u32,
    uid: u32,
    /// Size, and when content or anything above changed, in seconds and nanoseconds. None of a
    /// folder, which changes with each file beside these: only who may write it matters.
    content: Option<(u64, i64, i64)>,
}

impl Facts {
    /// What tells of this.
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            kind: found.file_type(),
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            content: (!found.is_dir()).then(|| (found.size(), found.ctime(), found.ctime_nsec())),
        }
    }

    /// The same with another mode and owner, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with(self, mode: u32, uid: u32) -> Self {
        Self { mode, uid, ..self }
    }

    /// When its content changed, in seconds; none of a folder.
    #[must_use]
    pub fn changed_at(&self) -> Option<i64> {
        self.content.map(|(_, at, _)| at)
    }

    /// How others than root and this user could change it, and the command that mends it.
    ///
    /// On the way to something, a sticky folder such as /tmp is fine: others may add names to it,
    /// but not replace what is there, and what the path names in it has its own owner checked. At
    /// the end it is not: in the folder that is read, an added name matters.
    #[must_use]
    pub fn weakness(&self, path: &Path, own_uid: u32, is_end: bool) -> Option<(String, String)> {
        if self.uid != 0 && self.uid != own_uid {
            let mend = format!("chown -h {own_uid} {}", path.display());
            return Some((format!("it belongs to user {}", self.uid), mend));
        }
        let is_passage = self.kind.is_dir() && self.mode & 0o1000 != 0 && !is_end;
        // Every link has the mode 0777, which means nothing.
        if self.mode & 0o022 != 0 && !is_passage && !self.kind.is_symlink() {
            let mend = format!("chmod go-w {}", path.display());
            return Some((format!("mode {:04o}", self.mode), mend));
        }
        None
    }
}

/// Something on the way.
#[derive(Debug)]
pub struct Step {
    /// Without links, but for one that it may be itself.
    pub path: PathBuf,
    /// None when it cannot be looked at.
    pub facts: Option<Facts>,
}

/// Walks a path, from the root on: the steps as far as it goes, and where it ends.
///
/// The end is an error when something on the way is not there, cannot be looked at, or has too
/// many links.
pub fn walk(path: &Path) -> (Vec<Step>, io::Result<PathBuf>) {
    let mut steps = Vec::new();
    let walked = std::path::absolute(path).and_then(|path| follow(&path, &mut steps));
    (steps, walked)
}

/// Why what a path leads to is not to be relied on.
#[derive(Debug)]
pub enum VetError {
    /// It is not there, or cannot be looked at.
    Read(io::Error),
    /// Others than root and this user could change it, or put another in its place.
    Open {
        /// What they could change: the thing itself or something on the way to it.
        path: PathBuf,
        /// Its mode or its owner.
        why: String,
        /// The command that mends it.
        mend: String,
    },
}

/// Walks a path and refuses what others may write, or may put something else in the place of.
/// Returns where it really is.
///
/// # Errors
/// As [`VetError`] says.
pub fn vet(path: &Path, own_uid: u32) -> Result<PathBuf, VetError> {
    let (steps, walked) = walk(path);
    for step in &steps {
        let is_end = walked.as_ref().is_ok_and(|end| *end == step.path);
        let weakness = step.facts.and_then(|facts| facts.weakness(&step.path, own_uid, is_end));
        if let Some((why, mend)) = weakness {
            return Err(VetError::Open { path: step.path.clone(), why, mend });
        }
    }
    walked.map_err(VetError::Read)
}

fn follow(path: &Path, steps: &mut Vec<Step>) -> io::Result<PathBuf> {
    // Turned round: the next name is at the end.
    let names = |path: &Path| -> Vec<OsString> {
        path.components().rev().map(|name| name.as_os_str().to_owned()).collect()
    };
    let mut here = PathBuf::from("/");
    let mut ahead = names(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        let next = match Path::new(&name).components().next() {
            Some(Component::ParentDir) => {
                // It was a step before.
                here.pop();
                continue;
            }
            Some(Component::RootDir) => PathBuf::from("/"),
            Some(Component::Normal(name)) => here.join(name),
            Some(Component::CurDir | Component::Prefix(_)) | None => continue,
        };
        let found = fs::symlink_metadata(&next);
        steps.push(Step { path: next.clone(), facts: found.as_ref().ok().map(Facts::of) });
        if !found?.is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(nix::errno::Errno::ELOOP.into());
        }
        ahead.extend(names(&fs::read_link(&next)?));
    }
    Ok(here)
}
