//! What is in files: read with a bound, replaced as a whole.
//!
//! **Invariant:** only regular files are opened for their contents, so that no pipe or device can
//! make a job wait for ever; a reader of a replaced file sees the old bytes or the new ones.

use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::unistd::{Gid, Uid, fchown};

use super::super::Fault;
use super::path::{failed, reason};

/// The largest file that is edited as text: it is held in memory, about three times.
pub(super) const TEXT_MAX: u64 = 64 * 1024 * 1024;

/// What kind of file it is, in Salt's words.
pub(super) fn kind(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "dir",
        kind if kind.is_symlink() => "link",
        kind if kind.is_fifo() => "pipe",
        kind if kind.is_socket() => "socket",
        kind if kind.is_char_device() => "char",
        kind if kind.is_block_device() => "block",
        _ => "file",
    }
}

/// Opens a regular file for reading; links are followed.
pub(in crate::functions) fn open(path: &Path) -> Result<File, Fault> {
    open_with(path, OpenOptions::new().read(true))
}

/// As [`open`], in the way `options` say.
pub(super) fn open_with(path: &Path, options: &mut OpenOptions) -> Result<File, Fault> {
    // Looked at before it is opened, since opening alone can set off a device; and after, since
    // it may have been changed in between.
    check_regular(path, &fs::metadata(path).map_err(failed(path))?)?;
    let file = options.custom_flags(O_NONBLOCK | O_NOCTTY).open(path).map_err(failed(path))?;
    check_regular(path, &file.metadata().map_err(failed(path))?)?;
    Ok(file)
}

fn check_regular(path: &Path, found: &Metadata) -> Result<(), Fault> {
    match kind(found.file_type()) {
        "file" => Ok(()),
        "dir" => Err(failed(path)(io::Error::from_raw_os_error(nix::libc::EISDIR))),
        other => Err(Fault::Execution(format!("'{}' is a {other}, not a regular file", path.display()))),
    }
}

/// Reads up to `max` bytes, and whether there are more.
pub(super) fn read_some(path: &Path, max: usize) -> Result<(Vec<u8>, bool), Fault> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take((max as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(failed(path))?;
    let is_cut = bytes.len() > max;
    bytes.truncate(max);
    Ok((bytes, is_cut))
}

/// Reads a whole file that is to be edited.
pub(in crate::functions) fn read_text(path: &Path) -> Result<Vec<u8>, Fault> {
    let (bytes, is_cut) = read_some(path, usize::try_from(TEXT_MAX).unwrap_or(usize::MAX))?;
    if is_cut {
        let limit = TEXT_MAX / 1024 / 1024;
        return Err(Fault::Execution(format!(
            "'{}' is larger than {limit} MiB, which is too large to be edited as text",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Where a path leads. One that is not there is itself; a link to nothing is an error.
pub(super) fn follow(path: &Path) -> Result<PathBuf, Fault> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(failed(path)(error)),
        Ok(_) => fs::canonicalize(path).map_err(failed(path)),
    }
}

/// Whether the file keeps its place on disk, for those who know it by another name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::functions) enum Place {
    /// A file with several names is written where it is.
    Kept,
    /// Always a new file.
    New,
}

/// Puts `bytes` in the place of the file at `path`, or creates it; links are followed. Owner,
/// group, mode and extended attributes stay.
///
/// It is written beside and renamed. Where that cannot be (the file has several names, is a mount
/// point, or belongs to somebody else, or the folder takes no new file) it is written in place.
pub(in crate::functions) fn replace(path: &Path, bytes: &[u8], place: Place) -> Result<(), Fault> {
    let there = follow(path)?;
    let folder = match there.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(failed(path)(io::Error::from_raw_os_error(nix::libc::EISDIR))),
    };
    let old = match fs::symlink_metadata(&there) {
        Ok(found) => {
            // Asked of the kernel by the path as given, so that its rules for links in folders
            // that all may write to hold here as well.
            let opened = open(path)?.metadata().map_err(failed(path))?;
            if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
                let why = format!("'{}' was changed while it was being written", path.display());
                return Err(Fault::Execution(why));
            }
            Some(found)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(path)(error)),
    };
    let Some(old) = old else {
        return write_beside(folder, &there, bytes, None).map_err(failed(path));
    };
    if old.nlink() > 1 && place == Place::Kept {
        return write_in_place(&there, bytes);
    }
    match write_beside(folder, &there, bytes, Some(&old)) {
        Ok(()) => Ok(()),
        Err(error) if is_refused(&error) => write_in_place(&there, bytes),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Not found is what the kernel's own file systems answer when a file is to be made in them.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ResourceBusy | NotFound)
}

fn write_beside(folder: &Path, there: &Path, bytes: &[u8], old: Option<&Metadata>) -> io::Result<()> {
    let mode = old.map_or(0o666, |_| 0o600);
    let mut file = tempfile::Builder::new()
        .prefix(".brine-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        dress(file.as_file(), there, old)?;
    }
    file.as_file().sync_all()?;
    // A temporary file that could not be renamed is removed when it is dropped.
    file.persist(there).map_err(|error| error.error)?;
    // The names are durable at the next flush anyway; some file systems refuse to flush folders.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Gives `file` the owner, attributes and mode that `old` at `there` has.
pub(super) fn dress(file: &File, there: &Path, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file.as_fd(), Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
    }
    copy_attributes(there, file);
    // Behind the change of owner, which takes set-user-ID away.
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

/// As far as the system lets us: some are for root or for the kernel alone, and some file systems
/// have none.
fn copy_attributes(from: &Path, to: &File) {
    use xattr::FileExt;
    let Ok(names) = xattr::list(from) else { return };
    for name in names {
        if let Ok(Some(value)) = xattr::get(from, &name) {
            let _ = to.set_xattr(&name, &value);
        }
    }
}

fn write_in_place(there: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut file = open_with(there, OpenOptions::new().write(true))?;
    let written = file.write_all(bytes).and_then(|()| file.set_len(bytes.len() as u64)).and_then(|()| {
        match file.sync_all() {
            // The kernel's own file systems have nothing to flush.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    });
    written.map_err(|error| {
        let why = reason(&error, there);
        Fault::Execution(format!("{why}; the file may hold a part of the new text now"))
    })
}

/// Puts a copy of a file beside it, under its name with `suffix`, with its owner and mode.
pub(super) fn back_up(path: &Path, bytes: &[u8], suffix: &str) -> Result<PathBuf, Fault> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    let backup = PathBuf::from(name);
    if suffix.contains('/') {
        let why = format!("the backup's ending {suffix:?} contains '/'; give one as '.bak'");
        return Err(Fault::Invocation(why));
    }
    let unable = |error: &io::Error| {
        let why = reason(error, &backup);
        Fault::Execution(format!("Unable to create the backup file of {}. Exception: {why}", path.display()))
    };
    let old = fs::metadata(path).map_err(|error| unable(&error))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    write_beside(folder, &backup, bytes, Some(&old)).map_err(|error| unable(&error))?;
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn owner_mode_and_attributes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-a b\nc");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o4751)).unwrap();
        let has_attributes = xattr::set(&file, "user.note", b"kept").is_ok();
        if Uid::effective().is_root() {
            nix::unistd::chown(&file, Some(Uid::from_raw(12)), Some(Gid::from_raw(34))).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o4751)).unwrap();
        }
        let before = fs::metadata(&file).unwrap();
        replace(&file, b"new", Place::Kept).unwrap();
        let after = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "it was renamed");
        if has_attributes {
            assert_eq!(xattr::get(&file, "user.note").unwrap(), Some(b"kept".to_vec()));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn links_are_followed_and_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        fs::hard_link(at("file"), at("second")).unwrap();
        replace(&at("link"), b"new", Place::Kept).unwrap();
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read(at("second")).unwrap(), b"new", "both names have it");
        replace(&at("file"), b"n", Place::New).unwrap();
        assert_eq!(
            (fs::read(at("file")).unwrap(), fs::read(at("second")).unwrap()),
            (b"n".into(), b"new".into())
        );
        assert!(matches!(replace(&at("dangling"), b"x", Place::Kept), Err(Fault::Execution(_))));
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn what_cannot_be_renamed_is_written_in_place() {
        // Its folder takes no new files, as that of a mount point or of somebody else.
        let name = Path::new("/proc/self/comm");
        replace(name, b"brine-in-place", Place::Kept).unwrap();
        assert_eq!(fs::read(name).unwrap(), b"brine-in-place\n", "the kernel ends the line");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let path = pipe.display();
        let refused = Err(Fault::Execution(format!("'{path}' is a pipe, not a regular file")));
        assert_eq!(read_some(&pipe, 10), refused);
        assert_eq!(replace(&pipe, b"x", Place::Kept), refused.map(drop));
        let refused = read_some(Path::new("/dev/zero"), 10);
        assert_eq!(refused, Err(Fault::Execution("'/dev/zero' is a char, not a regular file".to_owned())));
        let folder = read_some(folder.path(), 10);
        assert!(matches!(folder, Err(Fault::Execution(why)) if why.starts_with("[Errno 21] Is a directory")));
    }

    #[test]
    fn large_files_are_not_edited() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(TEXT_MAX + 1).unwrap();
        let why =
            format!("'{}' is larger than 64 MiB, which is too large to be edited as text", large.display());
        assert_eq!(read_text(&large), Err(Fault::Execution(why)));
    }
}
