//! Open folders.
//!
//! **Invariant:** what is in an open folder is named from there and never through a link, unless
//! the name of a function says so: who swaps a name above, or a name in it for a link, cannot make
//! the minion read, write or remove anything elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::super::Fault;
use super::blocking::Stop;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const CONTENTS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// How many names are held at once of a folder that is removed.
const NAMES_MAX: usize = 10_000;

/// Whether both are the same file, under whatever names.
pub(super) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn swapped() -> io::Error {
    io::Error::other("it was changed while it was being handled")
}

/// A folder that is held open.
#[derive(Debug)]
pub(super) struct Folder(File);

impl Folder {
    /// Opens a folder by its path; links are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(AT_FDCWD, path, FOLDER, Mode::empty())?.into()))
    }

    /// As [`Self::open`], also one that may be passed through and not read.
    fn place(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self(openat(AT_FDCWD, path, LOOK | OFlag::O_DIRECTORY, Mode::empty())?.into()))
    }

    /// The open folder that a path is in, and its name there.
    pub(super) fn above(path: &Path) -> io::Result<(Self, OsString)> {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
            return Ok((Self::place(folder)?, name.to_owned()));
        }
        let real = std::fs::canonicalize(path)?;
        match (real.parent(), real.file_name()) {
            (Some(folder), Some(name)) => Ok((Self::place(folder)?, name.to_owned())),
            _ => Ok((Self::place(&real)?, OsString::from("."))),
        }
    }

    /// Opens a folder in it.
    pub(super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty())?.into()))
    }

    /// As [`Self::folder`], and a link is followed.
    pub(super) fn folder_followed(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, FOLDER, Mode::empty())?.into()))
    }

    /// The folder itself.
    pub(super) fn as_file(&self) -> &File {
        &self.0
    }

    /// What a name in it is.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Metadata> {
        File::from(openat(&self.0, name, LOOK | OFlag::O_NOFOLLOW, Mode::empty())?).metadata()
    }

    /// What a name in it leads to.
    pub(super) fn look_followed(&self, name: &OsStr) -> io::Result<Metadata> {
        File::from(openat(&self.0, name, LOOK, Mode::empty())?).metadata()
    }

    /// Opens the regular file `found` for reading, if it still has that name.
    pub(super) fn contents(&self, name: &OsStr, found: &Metadata) -> io::Result<File> {
        self.contents_with(name, found, OFlag::O_NOFOLLOW)
    }

    /// As [`Self::contents`], where the name may be a link to it.
    pub(super) fn contents_followed(&self, name: &OsStr, found: &Metadata) -> io::Result<File> {
        self.contents_with(name, found, OFlag::empty())
    }

    fn contents_with(&self, name: &OsStr, found: &Metadata, links: OFlag) -> io::Result<File> {
        // Opening alone can set off a device.
        if !found.is_file() {
            return Err(swapped());
        }
        let file = File::from(openat(&self.0, name, CONTENTS | links, Mode::empty())?);
        if is_same(&file.metadata()?, found) { Ok(file) } else { Err(swapped()) }
    }

    /// Up to `max` of the names in it.
    pub(super) fn names(&self, max: usize) -> io::Result<Vec<OsString>> {
        let mut open = Dir::openat(&self.0, ".", FOLDER, Mode::empty())?;
        let mut names = Vec::new();
        for entry in open.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == max {
                break;
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
        Ok(names)
    }

    /// Makes a folder in it and opens it.
    pub(super) fn make(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::from_bits_truncate(mode))?;
        self.folder(name)
    }

    /// Makes a file that nobody else can open yet, under a name that nobody can guess.
    pub(super) fn new_file(&self) -> io::Result<NewFile<'_>> {
        let name = OsString::from(format!(".brine-{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.0, name.as_os_str(), flags, Mode::from_bits_truncate(0o600))?;
        Ok(NewFile { folder: self, name, file: file.into(), is_kept: false })
    }

    /// Where a link in it points to.
    pub(super) fn points_to(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(readlinkat(&self.0, name)?)
    }

    /// Makes a link in it, with its owner.
    pub(super) fn link(&self, name: &OsStr, target: &OsStr, owner: Option<(u32, u32)>) -> io::Result<()> {
        symlinkat(target, &self.0, name)?;
        let Some((uid, gid)) = owner else { return Ok(()) };
        let made = File::from(openat(&self.0, name, LOOK | OFlag::O_NOFOLLOW, Mode::empty())?);
        if !made.metadata()?.is_symlink() {
            return Err(swapped());
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(fchownat(&made, "", uid, gid, AtFlags::AT_EMPTY_PATH)?)
    }

    /// Removes what has a name in it, if that is still `found`; a folder with all that is in it.
    ///
    /// # Errors
    /// The system's; inside, that the job was ended.
    pub(super) fn remove(
        &self,
        name: &OsStr,
        found: &Metadata,
        stop: &Stop,
    ) -> io::Result<Result<(), Fault>> {
        if !found.is_dir() {
            // Between this look and the removal only a name in this very folder can be changed.
            if !is_same(&self.look(name)?, found) {
                return Err(swapped());
            }
            unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?;
            return Ok(Ok(()));
        }
        let inner = self.folder(name)?;
        if name == "." || !is_same(&inner.0.metadata()?, found) {
            return Err(swapped());
        }
        if let Err(ended) = inner.clear(stop)? {
            return Ok(Err(ended));
        }
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?;
        Ok(Ok(()))
    }

    /// Removes all that is in it, entry by entry, so that a cancelled job stops.
    fn clear(self, stop: &Stop) -> io::Result<Result<(), Fault>> {
        let names = self.names(NAMES_MAX)?;
        let mut levels = vec![(self, OsString::new(), names)];
        while let Some((folder, _, names)) = levels.last_mut() {
            if let Err(ended) = stop.check() {
                return Ok(Err(ended));
            }
            let Some(name) = names.pop() else {
                *names = folder.names(NAMES_MAX)?;
                if names.is_empty()
                    && let Some((_, own, _)) = levels.pop()
                    && let Some((above, ..)) = levels.last()
                {
                    gone(unlinkat(&above.0, own.as_os_str(), UnlinkatFlags::RemoveDir))?;
                }
                continue;
            };
            let found = match folder.look(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            if found.is_dir() {
                let inner = folder.folder(&name)?;
                let names = inner.names(NAMES_MAX)?;
                levels.push((inner, name, names));
            } else {
                gone(unlinkat(&folder.0, name.as_os_str(), UnlinkatFlags::NoRemoveDir))?;
            }
        }
        Ok(Ok(()))
    }
}

/// Somebody else may have removed it first.
fn gone(removed: nix::Result<()>) -> io::Result<()> {
    match removed {
        Err(nix::errno::Errno::ENOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// A file on its way to its name; one that does not get there is removed.
#[derive(Debug)]
pub(super) struct NewFile<'a> {
    folder: &'a Folder,
    name: OsString,
    file: File,
    is_kept: bool,
}

impl NewFile<'_> {
    /// The file, for writing.
    pub(super) fn as_file(&self) -> &File {
        &self.file
    }

    /// Flushes it and gives it its name; what had the name gives way.
    pub(super) fn keep(mut self, name: &OsStr) -> io::Result<()> {
        self.file.sync_all()?;
        renameat(&self.folder.0, self.name.as_os_str(), &self.folder.0, name)?;
        self.is_kept = true;
        // The names are durable at the next flush anyway; some file systems refuse to flush folders.
        let _ = openat(&self.folder.0, ".", FOLDER, Mode::empty()).map(|open| File::from(open).sync_all());
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = unlinkat(&self.folder.0, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

#[cfg(test)]
mod tests;
