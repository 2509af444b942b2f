//! Whether a database still has all that was committed to it.
//!
//! sled takes the first damage in its log for the end of it and cuts off what follows, without a
//! word. So each commit is counted within the database, behind what it writes, and, once it is
//! flushed, in a file beside it. A database that counts less than the file has lost commits.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

/// The tree of the count; other readers of the database do not see it.
const TREE: &str = "commits";

/// The file: the count and its checksum. It is not flushed: what a power cut leaves of it is an
/// earlier count, which holds too, or none.
const NAME: &str = "commits";

#[derive(Debug)]
pub(super) struct Witness {
    tree: sled::Tree,
    file: File,
    count: AtomicU64,
}

impl Witness {
    /// Compares both counts.
    ///
    /// # Errors
    /// The database counts less, or cannot be read; or the file cannot be opened.
    pub(super) fn open(db: &sled::Db, path: &Path) -> Result<Self, StoreError> {
        let failed = |error: sled::Error| StoreError::database(path, &error);
        let tree = db.open_tree(TREE).map_err(failed)?;
        let stored = tree.get("").map_err(failed)?;
        let stored = stored.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        let count = stored.unwrap_or_default();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(NAME))
            .map_err(|error| StoreError::database(path, &error))?;
        let seen = read(&file).unwrap_or_default();
        if count < seen {
            let why = format!("{count} of {seen} commits are left");
            return Err(StoreError::database(path, &why));
        }
        Ok(Self { tree, file, count: AtomicU64::new(count) })
    }

    /// Counts a commit whose records are in the database's log, before that is flushed.
    pub(super) fn step(&self) -> sled::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.tree.insert("", &count.to_be_bytes()).map(drop)
    }

    /// Notes that all commits so far are flushed. Without the note less damage is noticed; nothing
    /// else depends on it.
    pub(super) fn note(&self) {
        let count = self.count.load(Ordering::Relaxed).to_be_bytes();
        let note = [&count[..], &crc32fast::hash(&count).to_be_bytes()].concat();
        let _ = self.file.write_all_at(&note, 0);
    }
}

fn read(file: &File) -> Option<u64> {
    let mut note = [0; 12];
    file.read_exact_at(&mut note, 0).ok()?;
    let (count, crc) = note.split_at(8);
    (crc32fast::hash(count).to_be_bytes() == crc).then_some(u64::from_be_bytes(count.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (sled::Db, Result<Witness, StoreError>) {
        let db = sled::open(path.join("db")).expect("opens");
        let witness = Witness::open(&db, path);
        (db, witness)
    }

    /// Commits three times, with what the file says before each.
    fn three(path: &Path) -> Vec<Vec<u8>> {
        let (_db, witness) = open(path);
        let witness = witness.expect("is whole");
        let commit = |_| {
            let before = std::fs::read(path.join(NAME)).expect("reads");
            witness.step().expect("counts");
            witness.note();
            before
        };
        (0..3).map(commit).collect()
    }

    #[test]
    fn a_database_that_lost_a_commit_is_told_from_one_that_lost_none() {
        let (first, second) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let _ = three(first.path());
        let _ = three(first.path());
        let earlier = three(second.path());
        // A power cut leaves an earlier note or none.
        for note in &earlier {
            std::fs::write(second.path().join(NAME), note).expect("writes");
            assert!(open(second.path()).1.is_ok());
        }
        // Six commits were noted, and here are three.
        std::fs::copy(first.path().join(NAME), second.path().join(NAME)).expect("copies");
        let said = open(second.path()).1.expect_err("three are gone").to_string();
        assert!(said.contains("3 of 6 commits are left"), "{said}");
    }

    #[test]
    fn a_note_torn_or_changed_at_any_byte_says_nothing() {
        let place = tempfile::tempdir().expect("a folder");
        let _ = three(place.path());
        let path = place.path().join(NAME);
        let note = std::fs::read(&path).expect("reads");
        let reads = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("writes");
            read(&File::open(&path).expect("opens"))
        };
        assert_eq!(reads(&note), Some(3));
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert_eq!((reads(&note[..at]), reads(&changed)), (None, None), "{at}");
        }
    }
}
