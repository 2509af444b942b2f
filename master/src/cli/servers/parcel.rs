//! Where a secret is put: a new file for its user alone, or stdout.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use brine_local::file::{FileError, sync_folder};
use brine_protocol::Secret;

use crate::cli::failure::Failure;
use crate::cli::run::Interrupt;

/// Room that is taken before anything is asked for. A bundle has some 4 kB, a script that carries
/// one some 30 kB; a disk without so much room has to show before a key is made and handed out.
const ROOM: usize = 64 * 1024;

/// The place for a secret, ready before the secret is.
pub(super) enum Parcel {
    Stdout,
    File(NewFile),
}

/// A file that goes away again unless something was put into it.
pub(super) struct NewFile {
    path: PathBuf,
    file: File,
    is_full: bool,
}

impl Parcel {
    /// Makes the file, which must not be there yet; `-` is stdout.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Parcel::Stdout);
        }
        let failed = |reason| FileError::System { doing: "create", path: path.to_owned(), reason };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let mut new = NewFile { path: path.to_owned(), file, is_full: false };
        let room = new.file.write_all(&vec![b'\n'; ROOM]).and_then(|()| new.file.sync_all());
        room.and_then(|()| new.file.rewind()).map_err(failed)?;
        Ok(Parcel::File(new))
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Parcel::Stdout)
    }

    /// Puts the secret there, to stay.
    pub(super) fn fill(self, secret: &Secret, out: &mut dyn Write) -> Result<(), Failure> {
        let bytes = secret.expose().as_bytes();
        match self {
            Parcel::Stdout => Ok(out.write_all(bytes).and_then(|()| out.flush())?),
            Parcel::File(mut new) => {
                let written = new
                    .file
                    .write_all(bytes)
                    .and_then(|()| new.file.set_len(bytes.len() as u64))
                    .and_then(|()| new.file.sync_all());
                written.map_err(|reason| FileError::System {
                    doing: "write",
                    path: new.path.clone(),
                    reason,
                })?;
                // Whether its name survives a power cut is no reason to throw it away.
                new.is_full = true;
                Ok(sync_folder(&new.path)?)
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_full {
            // There is nobody left to tell, and what stays behind is a file of empty lines.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether what is written there ends in a file that others than its user may read.
pub(in crate::cli) fn is_exposed(out: BorrowedFd<'_>) -> bool {
    let file = out.try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    file.is_ok_and(|file| file.is_file() && file.mode() & 0o044 != 0)
}

/// Waits for an answer; Ctrl-C gives up with what is held still being tidied up.
pub(super) async fn unless_interrupted<T, E>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, Failure> {
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        done = work => Ok(done),
        () = interrupt.next() => Err(Failure::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_was_there_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle");
        std::fs::write(&path, "mine").expect("a file");
        let error = Parcel::open(&path).map(drop).expect_err("it is there");
        assert!(error.to_string().contains("File exists"), "{error}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"mine");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).expect("a link");
        assert!(Parcel::open(&link).is_err(), "a link that dangles is not followed");
        assert!(Parcel::open(&folder.path().join("no/such/folder")).is_err());
    }

    #[test]
    fn what_came_stays_and_nothing_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle");
        drop(Parcel::open(&path).expect("a new file"));
        assert!(!path.exists(), "nothing came");
        let parcel = Parcel::open(&path).expect("a new file");
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        parcel.fill(&Secret::from("brine-bundle: 1\n".to_owned()), &mut io::sink()).expect("it fits");
        assert_eq!(std::fs::read(&path).expect("a file"), b"brine-bundle: 1\n");
    }

    #[test]
    fn a_file_that_others_may_read_is_told_from_what_is_one_s_own() {
        use std::os::fd::AsFd;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let file = File::create(&path).expect("a file");
        for (mode, exposed) in [(0o600, false), (0o640, true), (0o604, true), (0o622, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its own file");
            assert_eq!(is_exposed(file.as_fd()), exposed, "{mode:o}");
        }
        let (pipe, _other) = io::pipe().expect("a pipe");
        assert!(!is_exposed(pipe.as_fd()), "who reads a pipe was given it");
    }

    #[test]
    fn stdout_gets_the_secret_and_nothing_else() {
        let parcel = Parcel::open(Path::new("-")).expect("stdout");
        assert!(parcel.is_stdout());
        let mut out = Vec::new();
        parcel.fill(&Secret::from("x\n".to_owned()), &mut out).expect("memory does not fail");
        assert_eq!(out, b"x\n");
    }
}
