//! The journal on disk: an append-only file of checked lines that is also the spool of returns.
//!
//! ```text
//! crc32 of the JSON, 8 lower-case hex digits | space | JSON of one Entry | LF
//! ```
//! **Invariant:** when [`Journal::append`] returns, the entries survive the end of the process, and
//! those on which something is promised ([`Entry::is_promise`]) survive a power cut.
//!
//! Bytes behind the last LF were being written when the power went: they were promised to nobody
//! and are cut off. Any other wrong line is damage. Then nobody can know which orders were taken,
//! so the file is set aside and a new journal with a new id begins, from whose id the master sees
//! that; the returns that can still be read are kept.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use brine_local::file;

use crate::book::{Book, Entry, Stage, VERSION};

/// A file this much larger than what it has to say is written anew.
const SLACK: u64 = 1024 * 1024;

/// At most this much waits for a flush that something else needs.
const UNFLUSHED_MAX: usize = 64 * 1024;

/// The file, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Length up to which everything is known to be whole.
    len: u64,
    /// The end of that, as far as it was not flushed. A flush that fails may lose it, whatever a
    /// later one says, so it is written again then.
    unflushed: Vec<u8>,
    /// Whether there may be something behind that.
    is_dirty: bool,
    /// Whether the path may name another file than the open one, which nobody would read again.
    is_replaced: bool,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// No journal: this is the first start, or it was removed.
    Nothing,
    /// A whole one.
    Whole,
    /// One with this many bytes behind its last line, which were cut off.
    Torn(u64),
    /// A damaged one, now under this name, with the old id if that could be read.
    Damaged {
        /// Where it is now.
        aside: PathBuf,
        /// The first wrong line.
        line: usize,
        /// The fold of the lines that can be read.
        old: Box<Book>,
    },
}

impl Journal {
    /// Opens the journal, or begins one with the id `fresh`.
    ///
    /// # Errors
    /// The file cannot be read or written. Damage is not an error.
    pub fn open(path: &Path, fresh: &str, size_max: u64) -> Result<(Self, Book, Found)> {
        if let Ok(file) = File::open(path) {
            file::read_anew(&file);
        }
        let bytes = match file::read(path, size_max) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                let (journal, book) = Self::begin(path, Book::new(fresh.to_owned()))?;
                return Ok((journal, book, Found::Nothing));
            }
            Err(error) => return Err(error.into()),
        };
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let torn = (bytes.len() - whole) as u64;
        if whole == 0 {
            // Not even the first line was flushed, so no order was taken under its id.
            let (journal, book) = Self::begin(path, Book::new(fresh.to_owned()))?;
            return Ok((journal, book, if torn == 0 { Found::Nothing } else { Found::Torn(torn) }));
        }
        let (book, wrong) = read(&bytes[..whole]);
        if let Some(line) = wrong {
            let aside = path.with_extension(format!("damaged-{fresh}"));
            std::fs::rename(path, &aside).with_context(|| format!("cannot set {} aside", path.display()))?;
            let mut kept = Book::new(fresh.to_owned());
            for (_, held) in book.jobs() {
                if let Stage::Ended(returned) = &held.stage {
                    kept.apply(&Entry::End { returned: returned.clone(), foreign: true });
                }
            }
            let (journal, kept) = Self::begin(path, kept)?;
            return Ok((journal, kept, Found::Damaged { aside, line, old: Box::new(book) }));
        }
        let mut journal = Self::reopen(path)?;
        if torn > 0 {
            journal.len = whole as u64;
            journal.cut()?;
        }
        Ok((journal, book, if torn > 0 { Found::Torn(torn) } else { Found::Whole }))
    }

    fn begin(path: &Path, book: Book) -> Result<(Self, Book)> {
        file::replace(path, &encode(&book.entries()), 0o600)?;
        Ok((Self::reopen(path)?, book))
    }

    fn reopen(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let len = file.seek(SeekFrom::End(0)).with_context(|| format!("cannot read {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, file, len, unflushed: Vec::new(), is_dirty: false, is_replaced: false })
    }

    /// Appends entries; if one of them is a promise, all are on disk when this returns.
    ///
    /// # Errors
    /// They are not. The next attempt, or the next start, cuts off what was written of them.
    pub fn append(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.is_replaced {
            *self = Self::reopen(&self.path)?;
        }
        // What a failed attempt wrote may be whole lines, so it must not stay.
        if self.is_dirty {
            self.cut()?;
        }
        let bytes = encode(entries);
        self.is_dirty = true;
        let is_promise = entries.iter().any(Entry::is_promise);
        let is_flushed = is_promise || self.unflushed.len() + bytes.len() > UNFLUSHED_MAX;
        self.file
            .write_all(&bytes)
            .and_then(|()| if is_flushed { self.file.sync_data() } else { Ok(()) })
            .with_context(|| format!("cannot append to {}", self.path.display()))?;
        self.is_dirty = false;
        self.len += bytes.len() as u64;
        if is_flushed {
            self.unflushed.clear();
        } else {
            self.unflushed.extend(bytes);
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let flushed = self.len - self.unflushed.len() as u64;
        self.file
            .set_len(flushed)
            .and_then(|()| self.file.seek(SeekFrom::Start(flushed)))
            .and_then(|_| self.file.write_all(&self.unflushed))
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("cannot cut off the end of {}", self.path.display()))?;
        self.unflushed.clear();
        self.is_dirty = false;
        Ok(())
    }

    /// Writes the file anew when most of it is about jobs that are settled.
    ///
    /// # Errors
    /// It cannot be written, or not be opened: the next entry is appended to what is there then.
    pub fn compact(&mut self, book: &Book) -> Result<bool> {
        if self.len < 2 * book.bytes() + SLACK {
            return Ok(false);
        }
        // Also when it fails: the folder may not have been flushed, out of descriptors say.
        self.is_replaced = true;
        file::replace(&self.path, &encode(&book.entries()), 0o600)?;
        *self = Self::reopen(&self.path)?;
        Ok(true)
    }
}

/// Lines of these entries.
#[must_use]
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let json = serde_json::to_vec(entry).expect("entries hold nothing JSON cannot say");
        let crc = crc32fast::hash(&json);
        write!(bytes, "{crc:08x} ").expect("writing to memory cannot fail");
        bytes.extend_from_slice(&json);
        bytes.push(b'\n');
    }
    bytes
}

/// Folds whole lines, and gives the number of the first wrong one.
fn read(bytes: &[u8]) -> (Book, Option<usize>) {
    let mut book = Book::new(String::new());
    let mut wrong = None;
    for (at, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let entry = decode(&line[..line.len() - 1]);
        // Another version is not damage to be read around, but it is nothing to build on either.
        let is_first = matches!(entry, Some(Entry::Journal { version: VERSION, .. }));
        match entry {
            Some(entry) if is_first == (at == 0) => book.apply(&entry),
            Some(_) | None => {
                wrong.get_or_insert(at + 1);
            }
        }
    }
    (book, wrong)
}

fn decode(line: &[u8]) -> Option<Entry> {
    let (crc, json) = line.split_at_checked(9)?;
    let crc = std::str::from_utf8(crc).ok()?.strip_suffix(' ')?;
    if crc != format!("{:08x}", crc32fast::hash(json)) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::{detached, end, jid, opened};

    const MAX: u64 = 1 << 20;

    fn story() -> Vec<Entry> {
        vec![
            Entry::Journal { version: VERSION, id: "6f1c".into() },
            Entry::Store { id: "5a0e".into() },
            opened(7, "cmd.run", None),
            Entry::Pid { jid: jid(7), pid: 4711, start: Some(123_456) },
            end(7),
            Entry::Stored { numbers: vec![7], floor: 3 },
            opened(9, "cmd.run,test.ping", None),
        ]
    }

    fn fold(entries: &[Entry]) -> Book {
        let mut book = Book::new(String::new());
        entries.iter().for_each(|entry| book.apply(entry));
        book
    }

    /// Do not change this test: the file is what released minions have on disk.
    #[test]
    fn golden() {
        let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal-v1")).unwrap();
        assert_eq!(String::from_utf8(encode(&story())).unwrap(), String::from_utf8(golden.clone()).unwrap());
        assert_eq!(read(&golden), (fold(&story()), None));
    }

    /// Do not change this test either.
    #[test]
    fn golden_of_a_detached_order() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal-v1-detached");
        let golden = std::fs::read(path).unwrap();
        let story = [Entry::Journal { version: VERSION, id: "6f1c".into() }, detached(7, "b1")];
        assert_eq!(String::from_utf8(encode(&story)).unwrap(), String::from_utf8(golden.clone()).unwrap());
        assert_eq!(read(&golden), (fold(&story), None));
    }

    #[test]
    fn torn_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let bytes = encode(&story());
        for end in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let lines = bytes[..end].iter().filter(|b| **b == b'\n').count();
            let (mut journal, book, found) = Journal::open(&path, "new", MAX).unwrap();
            let expected = if lines == 0 { Book::new("new".into()) } else { fold(&story()[..lines]) };
            assert_eq!(book, expected, "cut at {end}");
            assert!(!matches!(found, Found::Damaged { .. }), "cut at {end}");
            journal.append(&story()[6..]).unwrap();
            drop(journal);
            let (_, again, found) = Journal::open(&path, "other", MAX).unwrap();
            assert_eq!((again.id(), found), (expected.id(), Found::Whole), "cut at {end}");
            assert!(again.is_taken(9));
        }
    }

    #[test]
    fn zeros_behind_the_end_are_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut bytes = encode(&story());
        bytes.extend([0; 512]);
        std::fs::write(&path, &bytes).unwrap();
        let (_, book, found) = Journal::open(&path, "new", MAX).unwrap();
        assert_eq!((book, found), (fold(&story()), Found::Torn(512)));
    }

    #[test]
    fn any_changed_byte_is_found_and_returns_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = encode(&[&story()[..3], &[end(7), end(8)]].concat());
        for at in 0..bytes.len() - 1 {
            let path = dir.path().join("journal");
            let mut changed = bytes.clone();
            if changed[at] == b'\n' {
                continue;
            }
            changed[at] ^= 0x20;
            std::fs::write(&path, &changed).unwrap();
            let (_, book, found) = Journal::open(&path, "new", MAX).unwrap();
            let Found::Damaged { aside, line, .. } = found else { panic!("byte {at}: {found:?}") };
            assert_eq!(std::fs::read(&aside).unwrap(), changed);
            assert_eq!(book.id(), "new");
            let returns = book.jobs().filter(|(_, held)| held.is_ended() && held.is_foreign).count();
            let of_end = bytes[..=at].split(|b| *b == b'\n').count() >= 4;
            assert_eq!(returns, if of_end { 1 } else { 2 }, "byte {at}, line {line}");
            let (_, again, found) = Journal::open(&path, "other", MAX).unwrap();
            assert_eq!((again, found), (book, Found::Whole));
            std::fs::remove_file(aside).unwrap();
        }
    }

    #[test]
    fn a_later_version_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        std::fs::write(&path, encode(&[Entry::Journal { version: 2, id: "x".into() }])).unwrap();
        assert!(matches!(Journal::open(&path, "new", MAX).unwrap().2, Found::Damaged { line: 1, .. }));
    }

    #[test]
    fn what_a_failed_flush_may_have_lost_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, mut book, _) = Journal::open(&path, "j", MAX).unwrap();
        let stored = Entry::Stored { numbers: vec![], floor: 3 };
        journal.append(std::slice::from_ref(&stored)).unwrap();
        assert_eq!(journal.unflushed, encode(std::slice::from_ref(&stored)), "nothing is promised on it");
        // As a flush leaves it that failed.
        let mut bytes = std::fs::read(&path).unwrap();
        let flushed = bytes.len() - journal.unflushed.len();
        bytes[flushed..].fill(0);
        bytes.extend(b"and a part of what was appended");
        std::fs::write(&path, bytes).unwrap();
        journal.is_dirty = true;
        journal.append(&[end(7)]).unwrap();
        assert!(journal.unflushed.is_empty());
        [stored, end(7)].iter().for_each(|entry| book.apply(entry));
        let (_, again, found) = Journal::open(&path, "other", MAX).unwrap();
        assert_eq!((again, found), (book, Found::Whole));
    }

    #[test]
    fn what_waits_for_a_flush_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _, _) = Journal::open(&dir.path().join("journal"), "j", MAX).unwrap();
        for floor in 0..4000 {
            journal.append(&[Entry::Stored { numbers: vec![], floor }]).unwrap();
            assert!(journal.unflushed.len() <= UNFLUSHED_MAX);
        }
    }

    #[test]
    fn nothing_is_appended_to_a_file_that_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, mut book, _) = Journal::open(&path, "j", MAX).unwrap();
        // As a compaction leaves it whose last step failed.
        journal.is_replaced = true;
        file::replace(&path, &encode(&book.entries()), 0o600).unwrap();
        journal.append(&[end(1)]).unwrap();
        book.apply(&end(1));
        assert_eq!(Journal::open(&path, "other", MAX).unwrap().1, book);
    }

    #[test]
    fn compaction_keeps_what_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, mut book, _) = Journal::open(&path, "j", MAX).unwrap();
        assert!(!journal.compact(&book).unwrap());
        for number in 0..8000 {
            let entries = [end(number), Entry::Stored { numbers: vec![number], floor: number }];
            entries.iter().for_each(|entry| book.apply(entry));
            journal.len += encode(&entries).len() as u64;
        }
        assert!(journal.compact(&book).unwrap());
        journal.append(&[end(9000)]).unwrap();
        book.apply(&end(9000));
        drop(journal);
        assert!(std::fs::metadata(&path).unwrap().len() < 1000);
        assert_eq!(Journal::open(&path, "other", MAX).unwrap().1.entries(), book.entries());
    }
}
