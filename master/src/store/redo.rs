//! What was committed to a database lately, in files of our own.
//!
//! sled's log may lose more in a power cut than what was not flushed: when later sectors of it reach the
//! disk before earlier ones it drops flushed commits too, old ones among them, and says nothing. So a
//! commit is written here first, in one flush, and what is here is written again into a database that is
//! opened, or into a new one where it is damaged.
//!
//! ```text
//! file    entry…                   `redo`, and what was it before: `redo.old`
//! entry   length u32 of number and changes, crc32 u32 of them, number u64, change…   big-endian
//! change  length of key u32, of value u32 (ffffffff: removed), key, value
//! ```
//! Numbers ascend by one over both files. An entry without a change only keeps the last number. An entry
//! that is torn was never answered for, and ends the file.

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use brine_local::file;

/// The file that is written to.
const NAME: &str = "redo";

/// The file before it.
const OLD: &str = "redo.old";

/// The next file, until it has its name.
const NEW: &str = "redo.new";

/// Bytes from which on a file is the old one: so much was written last, at least, of which nothing is lost
/// whatever becomes of the database.
const FULL: u64 = 8 << 20;

/// Bytes that may stay where nothing is written any more.
const REST: u64 = 4096;

/// Length, crc and number.
const HEAD: usize = 16;

/// In place of a value's length.
const REMOVED: u32 = u32::MAX;

/// A key with its value, or without one where it is removed.
pub(super) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Changes of one database, which happen together or not at all.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<u8>);

impl Batch {
    pub(super) fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.change(key.as_ref(), length(value.len()), value);
    }

    pub(super) fn remove(&mut self, key: impl AsRef<[u8]>) {
        self.change(key.as_ref(), REMOVED, &[]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn change(&mut self, key: &[u8], value_length: u32, value: &[u8]) {
        self.0.extend_from_slice(&length(key.len()).to_be_bytes());
        self.0.extend_from_slice(&value_length.to_be_bytes());
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(value);
    }

    /// What it changes, in order; none where this is no batch.
    pub(super) fn changes(&self) -> Option<Vec<Change<'_>>> {
        let mut changes = Vec::new();
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let key_length = number(rest.split_off(..4)?);
            let value_length = number(rest.split_off(..4)?);
            let key = rest.split_off(..key_length as usize)?;
            let value = match value_length {
                REMOVED => None,
                length => Some(rest.split_off(..length as usize)?),
            };
            changes.push((key, value));
        }
        Some(changes)
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).ok().filter(|length| *length != REMOVED).expect("records are far below 4 GiB")
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// One commit, as it was written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) batch: Batch,
}

/// What both files say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// The number of the last entry.
    pub(super) last: Option<u64>,
    /// Whether there was a file at all.
    pub(super) is_there: bool,
}

/// Why a commit is not here.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not written, and may be tried again.
    Unwritten(io::Error),
    /// Nobody knows what the disk has.
    Unknown(io::Error),
}

/// The files of one database, open for writing.
#[derive(Debug)]
pub(super) struct Redo {
    folder: PathBuf,
    file: File,
    size: u64,
    last: u64,
}

impl Redo {
    /// Reads what is there, and goes on behind it, or behind what the database has `counted`. What is
    /// behind that count is forgotten: older commits must not be given to it again.
    ///
    /// # Errors
    /// The files cannot be read or written, or a number is there twice.
    pub(super) fn open(folder: &Path, counted: u64) -> io::Result<(Self, Found)> {
        let mut found = Found::default();
        if let Ok(old) = File::open(folder.join(OLD)) {
            read(&old, &mut found)?;
        }
        let path = folder.join(NAME);
        found.is_there = path.exists() || found.last.is_some();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut size = read(&file, &mut found)?;
        if found.last.is_some_and(|last| last < counted) {
            // A commit is here before the database has it: these files were damaged, and are behind it.
            found = Found { last: Some(counted), is_there: true, ..Found::default() };
            size = 0;
            std::fs::remove_file(folder.join(OLD)).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
        if file.metadata()?.len() > size {
            file.set_len(size)?;
        }
        file.sync_all()?;
        file::sync_folder(&path).map_err(io::Error::other)?;
        let last = found.last.unwrap_or_default().max(counted);
        Ok((Self { folder: folder.to_owned(), file, size, last }, found))
    }

    /// Writes a batch, and returns its number when it is on disk.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<u64, Failed> {
        self.write(self.last + 1, batch)?;
        self.last += 1;
        Ok(self.last)
    }

    fn write(&mut self, number: u64, batch: &Batch) -> Result<(), Failed> {
        let mut entry = vec![0; 8];
        entry.extend_from_slice(&number.to_be_bytes());
        entry.extend_from_slice(&batch.0);
        let (size, crc) = (length(entry.len() - 8), crc32fast::hash(&entry[8..]));
        entry[..4].copy_from_slice(&size.to_be_bytes());
        entry[4..8].copy_from_slice(&crc.to_be_bytes());
        if let Err(error) = self.file.write_all_at(&entry, self.size) {
            self.file.set_len(self.size).map_err(Failed::Unknown)?;
            return Err(Failed::Unwritten(error));
        }
        self.file.sync_data().map_err(Failed::Unknown)?;
        self.size += entry.len() as u64;
        Ok(())
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Has every write from now on fail.
    #[cfg(test)]
    pub(super) fn break_it(&mut self) {
        self.file = File::open("/dev/null").expect("is there");
    }

    /// Whether it is time for another file.
    pub(super) fn is_full(&self) -> bool {
        self.size >= FULL
    }

    /// Goes on in a new file, and forgets the old one: the database has it all, flushed.
    pub(super) fn turn(&mut self) -> Result<(), Failed> {
        let [path, old, new] = [NAME, OLD, NEW].map(|name| self.folder.join(name));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new).map_err(Failed::Unwritten)?;
        // One name after the other, whatever the file system makes of it.
        for (from, to) in [(&path, &old), (&new, &path)] {
            std::fs::rename(from, to).map_err(Failed::Unknown)?;
            file::sync_folder(to).map_err(|error| Failed::Unknown(io::Error::other(error)))?;
        }
        (self.file, self.size) = (file, 0);
        Ok(())
    }

    /// Forgets all: the database has it, flushed, and is hardly written to any more.
    pub(super) fn rest(&mut self) -> Result<(), Failed> {
        let old = self.folder.join(OLD);
        if self.size > REST || old.exists() {
            self.turn()?;
            self.write(self.last, &Batch::default())?;
            std::fs::remove_file(old).map_err(Failed::Unwritten)?;
        }
        Ok(())
    }
}

/// Makes the folder of a new database with an empty file: from then on there is one.
///
/// # Errors
/// The disk takes it not.
pub(super) fn begin(folder: &Path) -> Result<(), file::FileError> {
    file::create_private_dir(folder)?;
    file::replace(&folder.join(NAME), &[], 0o600)
}

/// What the files in a folder say.
///
/// # Errors
/// They cannot be read, or a number is there twice.
pub(super) fn found(folder: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for name in [OLD, NAME] {
        match File::open(folder.join(name)) {
            Ok(file) => drop(read(&file, &mut found)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Copies the files of one folder to another, onto the disk.
///
/// # Errors
/// They cannot be read or written.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for name in [OLD, NAME] {
        match std::fs::read(from.join(name)) {
            Ok(bytes) => file::replace(&to.join(name), &bytes, 0o600).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the entries of a file up to the first that is torn, and says where they end.
fn read(file: &File, found: &mut Found) -> io::Result<u64> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    let mut rest = &bytes[..];
    while let Some((entry, behind)) = split(rest) {
        let is_mark = entry.batch.is_empty();
        let expected = found.last.map(|last| if is_mark { last } else { last + 1 });
        match expected.map(|expected| entry.number.cmp(&expected)) {
            None | Some(Ordering::Equal) => {}
            // The old file lost its end: what it has is too old to be given again.
            Some(Ordering::Greater) => found.entries.clear(),
            Some(Ordering::Less) => {
                let why = format!("commit {} follows {}", entry.number, found.last.unwrap_or_default());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        found.last = Some(entry.number);
        if !is_mark {
            found.entries.push(entry);
        }
        rest = behind;
    }
    Ok((bytes.len() - rest.len()) as u64)
}

fn split(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, _) = bytes.split_at_checked(HEAD)?;
    let (body, rest) = bytes[8..].split_at_checked(number(&head[..4]) as usize)?;
    let (count, changes) = body.split_at_checked(8)?;
    if crc32fast::hash(body) != number(&head[4..8]) {
        return None;
    }
    let count = u64::from_be_bytes(count.try_into().expect("eight bytes"));
    Some((Entry { number: count, batch: Batch(changes.to_vec()) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &str, value: Option<&str>) -> Batch {
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
        batch
    }

    fn told(found: &Found) -> Vec<(u64, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let tell = |entry: &Entry| {
            let changes = entry.batch.changes().expect("a batch");
            let changes = changes.iter().map(|(key, value)| match value {
                Some(value) => format!("{}={}", text(key), text(value)),
                None => format!("-{}", text(key)),
            });
            (entry.number, changes.collect::<Vec<_>>().join(" "))
        };
        found.entries.iter().map(tell).collect()
    }

    #[test]
    fn what_is_appended_is_found_in_its_order_and_numbers_go_on() {
        let place = tempfile::tempdir().expect("a folder");
        let open = |counted| Redo::open(place.path(), counted).expect("opens");
        let (mut redo, found) = open(7);
        assert_eq!(found.last, None);
        let mut two = batch("a", Some("1"));
        two.remove("b");
        assert_eq!(redo.append(&two).expect("writes"), 8);
        redo.turn().expect("turns");
        assert_eq!(redo.append(&batch("c", Some(""))).expect("writes"), 9);
        let (mut redo, found) = open(8);
        assert_eq!(told(&found), [(8, "a=1 -b".to_owned()), (9, "c=".to_owned())]);
        assert_eq!(found.last, Some(9));
        assert_eq!(redo.append(&batch("d", None)).expect("writes"), 10);
        // Only the file before is kept.
        redo.turn().expect("turns");
        assert_eq!(told(&open(10).1), [(9, "c=".to_owned()), (10, "-d".to_owned())]);
    }

    #[test]
    fn an_entry_torn_or_changed_at_any_byte_never_was_and_the_next_takes_its_place() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join(NAME);
        let (mut redo, _) = Redo::open(place.path(), 0).expect("opens");
        redo.append(&batch("first", Some("whole"))).expect("writes");
        let whole = std::fs::read(&path).expect("reads");
        redo.append(&batch("second", Some("torn"))).expect("writes");
        let both = std::fs::read(&path).expect("reads");
        for at in whole.len()..both.len() {
            let mut changed = both.clone();
            changed[at] ^= 0x40;
            for bytes in [&both[..at], &changed] {
                std::fs::write(&path, bytes).expect("writes");
                let (mut redo, found) = Redo::open(place.path(), 1).expect("opens");
                assert_eq!(told(&found), [(1, "first=whole".to_owned())], "{at}");
                assert_eq!(redo.append(&batch("other", None)).expect("writes"), 2);
                let (_, found) = Redo::open(place.path(), 1).expect("opens");
                assert_eq!(found.entries.len(), 2, "{at}");
            }
        }
    }

    #[test]
    fn what_rests_takes_no_space_and_numbers_go_on() {
        let place = tempfile::tempdir().expect("a folder");
        let (mut redo, _) = Redo::open(place.path(), 0).expect("opens");
        redo.append(&batch("a", Some(&"x".repeat(9000)))).expect("writes");
        redo.rest().expect("rests");
        let names: Vec<_> = std::fs::read_dir(place.path()).expect("reads").flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(std::fs::metadata(place.path().join(NAME)).expect("is there").len() < 100);
        let (mut redo, found) = Redo::open(place.path(), 1).expect("opens");
        assert_eq!((told(&found), found.last), (Vec::new(), Some(1)));
        assert_eq!(redo.append(&batch("b", None)).expect("writes"), 2);
    }

    #[test]
    fn what_does_not_reach_the_rest_is_not_given_again() {
        let place = tempfile::tempdir().expect("a folder");
        let open = |counted| Redo::open(place.path(), counted).map(|(_, found)| found);
        let (mut redo, _) = Redo::open(place.path(), 0).expect("opens");
        for key in ["a", "b", "c"] {
            redo.append(&batch(key, None)).expect("writes");
        }
        redo.turn().expect("turns");
        redo.append(&batch("d", None)).expect("writes");
        // The old file loses its end: "d" alone is new enough for whoever has "c".
        let old = place.path().join(OLD);
        let whole = std::fs::read(&old).expect("reads");
        std::fs::write(&old, &whole[..whole.len() / 2]).expect("writes");
        assert_eq!(told(&open(4).expect("opens")), [(4, "-d".to_owned())]);
        // A database that has more than the files tell is given nothing, and they go on behind it.
        assert_eq!(told(&open(9).expect("opens")), []);
        let (mut redo, _) = Redo::open(place.path(), 9).expect("opens");
        assert_eq!(redo.append(&batch("e", None)).expect("writes"), 10);
        assert_eq!(told(&open(10).expect("opens")), [(10, "-e".to_owned())]);
        // The same number twice is no order of things.
        std::fs::write(&old, std::fs::read(place.path().join(NAME)).expect("reads")).expect("writes");
        assert_eq!(open(10).expect_err("twice").to_string(), "commit 10 follows 10");
    }
}
