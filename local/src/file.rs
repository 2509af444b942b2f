//! Files that survive a crash, stay private, and have one writer.
//!
//! **Invariant:** after [`replace`] a reader sees the old bytes or the new ones, never a part;
//! what [`replace`] and [`append_synced`] wrote before they returned survives a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

/// What failed, with which file. The text includes the system's reason.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("cannot {doing} {}: {reason}", .path.display())]
    System {
        /// What was tried, as in "cannot …".
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Larger than the reader is willing to hold.
    #[error("{} is larger than {max} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A private file that others can read or write.
    #[error("{} is open to other users (mode {mode:04o}); run: chmod 600 {}", .path.display(), .path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A private folder of another user.
    #[error("{} belongs to the user {owner}; run this as {owner}: sudo -u {owner} ...", .path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Its owner: a name, or a number if nobody has that one.
        owner: String,
    },
    /// A symbolic link in place of a private folder.
    #[error("{} is a symbolic link; put the folder itself there", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("{} is locked by {}", .path.display(), holder(*.pid))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it said so.
        pid: Option<u32>,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl FileError {
    /// Whether it failed because the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::System { reason, .. } if reason.kind() == io::ErrorKind::NotFound)
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + use<'a> {
    move |reason| FileError::System { doing, path: path.to_owned(), reason }
}

/// Puts `bytes` in place of the file at `path`, all or nothing and durably. The new file has
/// exactly the permission bits `mode`, from its first moment on never more.
///
/// # Errors
/// Any step failed; the file at `path` is then as it was, unless only the last step (making the
/// rename durable) failed.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let (mut file, new) = create_beside(path, mode)?;
    let written = file
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if let Err(reason) = written {
        // The first failure is the one to report.
        let _ = fs::remove_file(&new);
        return Err(failed("write", path)(reason));
    }
    sync_folder(path)
}

/// Names are unique per process, so that two writers never share an unfinished file.
fn create_beside(path: &Path, mode: u32) -> Result<(File, PathBuf), FileError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let new = path.with_file_name(format!(".{name}.{}-{number}.new", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&new) {
            Ok(file) => return Ok((file, new)),
            // Left behind by a crash of an earlier process with our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("write", path)(error)),
        }
    }
}

/// Makes the names in the folder of `path` durable: a created, renamed or removed file survives
/// a power cut only after this.
///
/// # Errors
/// The folder cannot be opened or flushed.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush the folder", folder))
}

/// Has a file read from the disk from here on, and not from memory: after a flush that failed the
/// system may hold, and show, what the disk never got, and calls it flushed. Where that cannot be
/// asked for, nothing changes.
pub fn read_anew(file: &File) {
    // Only what is flushed leaves memory.
    let _ = file.sync_all();
    let _ = nix::fcntl::posix_fadvise(file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

/// Appends `bytes` to the file at `path`, creating it with the permission bits `mode`, and
/// returns when they are on disk.
///
/// # Errors
/// The file cannot be opened, written or flushed; a part may have been written.
pub fn append_synced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let is_new = !path.exists();
    let mut file =
        OpenOptions::new().append(true).create(true).mode(mode).open(path).map_err(failed("open", path))?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(failed("append to", path))?;
    if is_new { sync_folder(path) } else { Ok(()) }
}

/// Creates a folder with the permission bits `mode`, its missing parents with 0755. A folder that
/// exists is left as it is.
///
/// # Errors
/// A folder cannot be created, or something else has its name.
pub fn create_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(failed("create the folder", parent))?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if !path.is_dir() => return Err(failed("create the folder", path)(error)),
        Ok(()) | Err(_) => {}
    }
    // What is flushed in a folder is lost with a folder whose name is not.
    missing.into_iter().try_for_each(sync_folder)
}

/// Creates a folder that only its owner can enter (0700), its missing parents with 0755. One that
/// exists is closed to others.
///
/// # Errors
/// A folder cannot be created, something else has its name, or it is another user's.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    check_own_dir(path)?;
    create_dir(path, 0o700)?;
    check_own_dir(path)?;
    close_to_others(path)
}

/// Closes a folder to everybody but its owner.
///
/// # Errors
/// It cannot be looked at, or its permissions not be changed.
pub fn close_to_others(path: &Path) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(failed("look at", path))?.mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("close to others", path))?;
    }
    Ok(())
}

/// Refuses what another user owns, and what only points elsewhere: files that are written there
/// would be out of their owner's reach, or not where they seem to be. What is not there is fine.
///
/// # Errors
/// It is another user's, with the user to run as; or a symbolic link; or cannot be looked at.
pub fn check_own_dir(path: &Path) -> Result<(), FileError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if found.is_symlink() {
        return Err(FileError::Link { path: path.to_owned() });
    }
    let owner = Uid::from_raw(found.uid());
    if owner != Uid::effective() {
        let name = User::from_uid(owner).ok().flatten().map(|user| user.name);
        let owner = name.unwrap_or_else(|| format!("#{owner}"));
        return Err(FileError::NotOurs { path: path.to_owned(), owner });
    }
    Ok(())
}

/// Refuses a private file that group or others can read or write.
///
/// # Errors
/// It is open to others, with the command that mends it, or cannot be looked at.
pub fn check_private(path: &Path) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(failed("read", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::NotPrivate { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Reads a whole file of at most `max` bytes.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(failed("read", path))?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > max {
        return Err(FileError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// Reads a whole UTF-8 file of at most `max` bytes.
///
/// # Errors
/// It cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?)
        .map_err(|error| failed("read", path)(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
}

/// The right to be the only writer of something, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    // Dropping it unlocks. The lock file stays: removing it would let two processes hold "the"
    // lock, one on the old file and one on the new.
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock at once or fails.
    ///
    /// # Errors
    /// Another process holds it, or the lock file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, FileError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed("open the lock", path))?;
        let mut text = String::new();
        let said = (&mut file).take(32).read_to_string(&mut text).ok();
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                let pid = said.and_then(|_| text.trim().parse().ok());
                return Err(FileError::Locked { path: path.to_owned(), pid });
            }
            Err((_, error)) => return Err(failed("lock", path)(error.into())),
        };
        // Only a help for whoever finds it locked.
        let _ = write_pid(&mut lock);
        Ok(Self { _file: lock })
    }

    /// Takes the lock, waiting up to `wait` for another process to let go.
    ///
    /// # Errors
    /// Another process still holds it, or the lock file cannot be opened.
    pub fn take_within(path: &Path, wait: Duration) -> Result<Self, FileError> {
        let until = Instant::now() + wait;
        loop {
            match Self::take(path) {
                Err(FileError::Locked { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => return other,
            }
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    use std::io::Seek;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o640).unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("none/f"), b"", 0o600).unwrap_err().is_not_found());
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(replace(&dir.path().join("d"), b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        append_synced(&path, b"a\n", 0o600).unwrap();
        append_synced(&path, b"b\n", 0o600).unwrap();
        assert_eq!(read_text(&path, 100).unwrap(), "a\nb\n");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn reads_no_more_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(
            read(&path, 4).unwrap_err().to_string(),
            format!("{} is larger than 4 bytes", path.display())
        );
        assert!(matches!(read(Path::new("/dev/zero"), 10), Err(FileError::TooLarge { .. })));
        fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 4).unwrap_err().to_string().contains("invalid utf-8"));
    }

    #[test]
    fn private_folders_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_private_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(deep.parent().unwrap()) & 0o700, 0o700);
        fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
        create_private_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);

        let key = deep.join("key.pem");
        replace(&key, b"secret", 0o600).unwrap();
        check_private(&key).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let said = check_private(&key).unwrap_err().to_string();
        let key = key.display();
        assert_eq!(said, format!("{key} is open to other users (mode 0644); run: chmod 600 {key}"));
        assert!(create_dir(&deep.join("key.pem"), 0o755).is_err());
    }

    #[test]
    fn a_private_folder_is_ours_and_where_it_seems_to_be() {
        let dir = tempfile::tempdir().unwrap();
        // Root can give a folder away; anybody else finds one of root's.
        let theirs = if Uid::effective().is_root() {
            let theirs = dir.path().join("theirs");
            fs::create_dir(&theirs).unwrap();
            std::os::unix::fs::chown(&theirs, Some(54_321), None).unwrap();
            theirs
        } else {
            PathBuf::from("/usr")
        };
        let before = mode(&theirs);
        let refused = create_private_dir(&theirs).unwrap_err();
        assert!(matches!(refused, FileError::NotOurs { .. }), "{refused}");
        assert_eq!(mode(&theirs), before, "left as it is");
        if Uid::effective().is_root() {
            assert!(refused.to_string().contains("sudo -u #54321"), "{refused}");
        }

        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let refused = create_private_dir(&link).unwrap_err();
        assert!(matches!(refused, FileError::Link { .. }), "{refused}");
        assert_eq!(mode(&real), 0o755, "left as it is");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
        assert!(matches!(create_private_dir(&dir.path().join("dangling")), Err(FileError::Link { .. })));
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path).unwrap();
        let started = Instant::now();
        let refused = Lock::take_within(&path, Duration::from_millis(60)).unwrap_err();
        assert!(started.elapsed() >= Duration::from_millis(60));
        let expected = format!("{} is locked by process {}", path.display(), std::process::id());
        assert_eq!(refused.to_string(), expected);
        drop(held);
        Lock::take(&path).unwrap();
    }
}
