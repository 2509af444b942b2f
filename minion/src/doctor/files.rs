//! The minion's files: who may read and write them, and whether there is room.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use brine_local::checkup::{self, Check};
use brine_local::{Paths, file};

/// Free bytes below which to warn, and below which returns are in danger.
const ROOM: (u64, u64) = (256 << 20, 16 << 20);

/// As much as a line of the journal may need.
const PROBE: usize = 4096;

/// Keys for their owner alone, and nothing that others may change.
pub(super) fn permissions(paths: &Paths) -> Vec<Check> {
    let about = "permissions";
    let mut checks = Vec::new();
    let pki = paths.pki_minion();
    for name in ["minion.pem", "minion.next.pem"] {
        let path = pki.join(name);
        // What cannot be read is told of with the key itself.
        if let Err(error @ file::FileError::NotPrivate { .. }) = file::check_private(&path) {
            let says = format!("{} is open to others, and the minion refuses it", path.display());
            checks.push(Check::fail(about, says, error.to_string()));
        }
    }
    let config = paths.config_dir();
    for path in [&config, &paths.config_file("minion"), &pki, &paths.minion_state_dir(), &paths.journal()] {
        checks.extend(closed(path));
    }
    if checks.is_empty() {
        checks.push(Check::ok(about, "keys are private, and others may change nothing"));
    }
    checks
}

/// Others may not write where they could make a minion theirs.
fn closed(path: &Path) -> Option<Check> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o002 != 0).then(|| {
        let path = path.display();
        Check::fail(
            "permissions",
            format!("every user may write to {path} (mode {mode:04o})"),
            format!("run: chmod o-w {path}"),
        )
    })
}

/// Whether the journal can be written: tried with a file of its own, which is removed.
pub(super) fn state(paths: &Paths) -> Vec<Check> {
    let (about, folder) = ("state", paths.minion_state_dir());
    if !folder.is_dir() {
        return vec![Check::warn(
            about,
            format!("there is no {}", folder.display()),
            "the first start of brine-minion makes it",
        )];
    }
    let tried = try_to_write(&folder).and_then(|()| try_journal(&paths.journal()));
    let mut checks = vec![match tried {
        Ok(()) => Check::ok(about, format!("{} can be written", folder.display())),
        Err(error) => cannot_write(&folder, &error),
    }];
    let advice = "make room: without it the minion takes no orders, and returns wait in memory";
    checks.extend(
        checkup::free(&folder).map(|free| checkup::room(&folder.display().to_string(), free, ROOM, advice)),
    );
    checks
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(&[0; PROBE]).and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Opening for appending changes nothing.
fn try_journal(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn cannot_write(folder: &Path, error: &io::Error) -> Check {
    let folder = folder.display();
    let (says, advice) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            format!("the disk under {folder} is full"),
            "make room there: until then the minion takes no orders",
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            format!("the file system of {folder} is read-only"),
            "look at dmesg for errors of the disk, then mount it writable again",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not write to {folder}"),
            "run this as root or as the minion's user; the folder should be that user's, mode 0700",
        ),
        _ => (format!("{folder} cannot be written: {error}"), "look at dmesg for errors of the disk"),
    };
    Check::fail("state", says, advice)
}

#[cfg(test)]
mod tests {
    use brine_local::checkup::Grade;

    use super::*;

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        assert_eq!(state(&paths)[0].grade, Grade::Warn, "not there yet");
        fs::create_dir_all(paths.minion_state_dir()).unwrap();
        fs::write(paths.journal(), "x").unwrap();
        assert_eq!(state(&paths)[0].grade, Grade::Ok);
        assert_eq!(fs::read_to_string(paths.journal()).unwrap(), "x");
        assert_eq!(fs::read_dir(paths.minion_state_dir()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_others_may_change_is_named() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        fs::create_dir_all(paths.pki_minion()).unwrap();
        let key = paths.pki_minion().join("minion.pem");
        fs::write(&key, "k").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(permissions(&paths)[0].grade, Grade::Ok, "{:?}", permissions(&paths));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(paths.config_dir(), fs::Permissions::from_mode(0o777)).unwrap();
        let said = permissions(&paths);
        assert_eq!(said.iter().filter(|check| check.grade == Grade::Fail).count(), 2, "{said:?}");
        assert!(said[0].advice.as_ref().unwrap().contains("chmod 600"), "{said:?}");
    }

    #[test]
    fn why_nothing_can_be_written_is_said() {
        for (errno, expected) in
            [(28, "is full"), (30, "read-only"), (13, "may not write"), (5, "cannot be written")]
        {
            let said = cannot_write(Path::new("/x"), &io::Error::from_raw_os_error(errno));
            assert!(said.says.contains(expected), "{errno}: {said:?}");
        }
    }
}
