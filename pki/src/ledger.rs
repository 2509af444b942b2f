//! The ledger: the append-only file of trust decisions, one JSON line each, chained by hashes.
//!
//! It is both what the registry is folded from and the audit log. **Invariants:** a line that
//! [`Log::append`] returned is on disk; a line is never changed or removed except by [`repair()`],
//! which says so in a line of its own; what cannot be read stops the reader, it is never skipped.
//!
//! A last line without its line feed was never acknowledged to anybody (power was lost while it
//! was written), so it is cut off when the ledger is opened. Anything else that does not fit is
//! damage: the error names the line, and [`repair()`] mends it with the master stopped.

mod entry;
mod hash;
mod memory;
mod repair;

pub use entry::{Break, Deed, Draft, Entry, KeyAct, LineError, MinionKey, ServerDeed, TokenDeed};
pub(crate) use entry::{keeps_key, read_key};
pub use hash::Hash;
pub use memory::MemoryLedger;
pub(crate) use repair::name_aside;
pub use repair::{Repaired, repair};

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_local::file::{self, FileError, Lock};
use brine_protocol::time::Timestamp;

/// The longest line, in bytes. A decision with a 4096-bit key and the longest reason has 3 KiB;
/// the rest is room for a repair that lists many breaks.
pub const LINE_MAX: usize = 256 * 1024;

/// Where decisions are recorded: the ledger's file, memory in tests, several masters' shared log
/// later.
pub trait Log {
    /// Records a decision. When it returns, the decision is safe.
    ///
    /// # Errors
    /// It was not recorded, and nothing of it is left to confuse the next one.
    fn append(&mut self, draft: Draft, at: Timestamp) -> Result<Entry, LedgerError> {
        let mut entries = self.append_all(vec![draft], at)?;
        Ok(entries.pop().expect("one draft makes one entry"))
    }

    /// Records decisions, in order and for the price of one. When it returns, all are safe.
    ///
    /// # Errors
    /// None was recorded, and nothing of them is left to confuse the next one.
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError>;

    /// Everything that is recorded, in order.
    ///
    /// # Errors
    /// It cannot be read back.
    fn entries(&self) -> Result<Vec<Entry>, LedgerError>;

    /// The hash of the last line.
    fn head(&self) -> Hash;
}

/// Why the ledger cannot be used: one sentence that names the place.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file operation failed, or another process holds the lock.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line cannot be read.
    #[error("{}, line {line}: {error}; stop the master and run: brine-key ledger repair", .path.display())]
    Line {
        /// The ledger.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// A line does not continue the one before it.
    #[error(
        "{}, line {}: the chain is broken: this line follows {}, but the line before it is {}; \
         stop the master and run: brine-key ledger repair",
        .path.display(), .found.line, .found.found.short(), .found.expected.short()
    )]
    Broken {
        /// The ledger.
        path: PathBuf,
        /// Where, and the two hashes.
        found: Break,
    },
    /// A line's number is not the one after the last.
    #[error("{}, line {line}: expected entry number {expected}, found {found}; stop the master and run: brine-key ledger repair", .path.display())]
    Number {
        /// The ledger.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The number after the last.
        expected: u64,
        /// The line's number.
        found: u64,
    },
    /// An entry was not written.
    #[error("cannot append to {}: {reason}", .path.display())]
    Append {
        /// The ledger.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// An earlier entry was written in part and could not be taken back.
    #[error("{} may end in half an entry and takes no more; restart the master", .0.display())]
    Poisoned(PathBuf),
    /// An entry that would make a line longer than [`LINE_MAX`].
    #[error("a ledger entry of {0} bytes is longer than {LINE_MAX}")]
    TooLong(usize),
}

/// The end of a chain of lines: what the next one has to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Chain {
    seq: u64,
    head: Hash,
}

impl Chain {
    /// The next entry and its line, without the line feed.
    fn next(self, draft: Draft, at: Timestamp) -> Result<(Entry, String), LedgerError> {
        let entry = Entry {
            seq: self.seq + 1,
            at,
            by: draft.by,
            reason: draft.reason,
            deed: draft.deed,
            prev: self.head,
        };
        let line = entry.to_line();
        if line.len() > LINE_MAX {
            return Err(LedgerError::TooLong(line.len()));
        }
        Ok((entry, line))
    }

    /// The next entries, their lines with line feeds, and what the one behind them continues.
    fn next_all(self, drafts: Vec<Draft>, at: Timestamp) -> Result<(Vec<Entry>, String, Self), LedgerError> {
        let (mut entries, mut lines, mut chain) = (Vec::with_capacity(drafts.len()), String::new(), self);
        for draft in drafts {
            let (entry, line) = chain.next(draft, at)?;
            chain = Self::after(&entry, &line);
            lines.push_str(&line);
            lines.push('\n');
            entries.push(entry);
        }
        Ok((entries, lines, chain))
    }

    fn after(entry: &Entry, line: &str) -> Self {
        Self { seq: entry.seq, head: Hash::of(line.as_bytes()) }
    }
}

/// The ledger in its file. Holding it is holding the lock `ledger.lock` beside it.
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
    end: End<File>,
    chain: Chain,
    _lock: Lock,
}

/// An opened ledger.
#[derive(Debug)]
pub struct Opened {
    /// The ledger, ready for the next decision.
    pub ledger: FileLedger,
    /// Everything in it.
    pub entries: Vec<Entry>,
    /// What was cut off.
    pub torn: Option<Torn>,
}

/// A last line that was never finished, and was cut off. Nobody was told that it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: cut off {bytes} bytes of an unfinished entry behind line {line}", .path.display())]
pub struct Torn {
    /// The ledger.
    pub path: PathBuf,
    /// The last whole line.
    pub line: u64,
    /// How much was cut off.
    pub bytes: u64,
}

impl FileLedger {
    /// Opens the ledger at `path`, creating it if it is not there, waiting up to `wait` for
    /// another process to let go of it.
    ///
    /// # Errors
    /// It is locked, cannot be read, or is damaged.
    pub fn open(path: &Path, wait: Duration) -> Result<Opened, LedgerError> {
        let lock = Lock::take_within(&path.with_file_name("ledger.lock"), wait)?;
        let failed = |reason| FileError::System { doing: "open the ledger", path: path.to_owned(), reason };
        let is_new = !path.exists();
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        if is_new {
            file::sync_folder(path)?;
        }
        file::read_anew(&file);
        let read = read(path, &file)?;
        let mut end = End { medium: file, length: read.length, is_poisoned: false };
        let torn =
            (read.torn > 0).then(|| Torn { path: path.to_owned(), line: read.lines, bytes: read.torn });
        if torn.is_some() {
            end.medium.cut(end.length).map_err(failed)?;
        }
        let ledger = Self { path: path.to_owned(), end, chain: read.chain, _lock: lock };
        Ok(Opened { ledger, entries: read.entries, torn })
    }

    /// The ledger's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Log for FileLedger {
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError> {
        let (entries, lines, chain) = self.chain.next_all(drafts, at)?;
        match self.end.append(lines.as_bytes()) {
            Ok(()) => {}
            Err(None) => return Err(LedgerError::Poisoned(self.path.clone())),
            Err(Some(reason)) => {
                return Err(LedgerError::Append { path: self.path.clone(), reason });
            }
        }
        self.chain = chain;
        Ok(entries)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        let failed = |reason| FileError::System { doing: "read", path: self.path.clone(), reason };
        let file = File::open(&self.path).map_err(failed)?;
        Ok(read(&self.path, &file)?.entries)
    }

    fn head(&self) -> Hash {
        self.chain.head
    }
}

/// What the end of the file needs of it; tests put a failing disk here.
trait Medium: Write {
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}

/// The end of the file, where only whole lines stay.
#[derive(Debug)]
struct End<M> {
    medium: M,
    length: u64,
    is_poisoned: bool,
}

impl<M: Medium> End<M> {
    /// Writes and flushes all of these lines, or leaves nothing of them. `Err(None)` when an earlier
    /// failure could not be undone.
    fn append(&mut self, lines: &[u8]) -> Result<(), Option<io::Error>> {
        if self.is_poisoned {
            return Err(None);
        }
        match self.medium.write_all(lines).and_then(|()| self.medium.sync()) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(reason) => {
                self.is_poisoned = self.medium.cut(self.length).is_err();
                Err(Some(reason))
            }
        }
    }
}

/// What a ledger holds, read beside whoever writes it.
#[derive(Debug)]
pub struct Looked {
    /// Every whole line.
    pub entries: Vec<Entry>,
    /// Bytes behind them: a line that is being written now, or was never finished.
    pub torn: u64,
}

/// Reads and checks the ledger at `path` without its lock and without changing anything.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn look(path: &Path) -> Result<Looked, LedgerError> {
    let failed = |reason| FileError::System { doing: "read", path: path.to_owned(), reason };
    let file = File::open(path).map_err(failed)?;
    let read = read(path, &file)?;
    Ok(Looked { entries: read.entries, torn: read.torn })
}

struct ReadBack {
    entries: Vec<Entry>,
    chain: Chain,
    lines: u64,
    /// Bytes of whole lines.
    length: u64,
    /// Bytes behind them.
    torn: u64,
}

/// Reads and checks every line.
fn read(path: &Path, file: &File) -> Result<ReadBack, LedgerError> {
    let mut found = ReadBack { entries: Vec::new(), chain: Chain::default(), lines: 0, length: 0, torn: 0 };
    let mut breaks = Vec::new();
    let mut lines = Lines::new(file);
    loop {
        let line = found.lines + 1;
        let failed = |reason| FileError::System { doing: "read", path: path.to_owned(), reason };
        let bytes = match lines.next().map_err(failed)? {
            Line::Whole(bytes) => bytes,
            Line::Torn(bytes) => {
                found.torn = bytes;
                break;
            }
        };
        let entry = match Entry::from_line(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                let (bytes, has_hole) =
                    (bytes.len() as u64 + 1, bytes.len() <= LINE_MAX && bytes.contains(&0));
                if has_hole && let Some(more) = unfinished(&mut lines).map_err(failed)? {
                    found.torn = bytes + more;
                    break;
                }
                return Err(LedgerError::Line { path: path.to_owned(), line, error });
            }
        };
        if !repair::continues(&entry, found.chain) {
            let expected = found.chain.seq + 1;
            return Err(LedgerError::Number { path: path.to_owned(), line, expected, found: entry.seq });
        }
        if entry.prev != found.chain.head {
            breaks.push(Break { line, expected: found.chain.head, found: entry.prev });
        }
        found.chain = Chain { seq: entry.seq, head: Hash::of(bytes) };
        found.length += bytes.len() as u64 + 1;
        found.lines = line;
        found.entries.push(entry);
    }
    match unmended(&breaks, &found.entries) {
        Some(found) => Err(LedgerError::Broken { path: path.to_owned(), found }),
        None => Ok(found),
    }
}

/// How much follows a line with zeros in it, if all of that was written together with it: the power
/// can fail when the end of what is appended is on disk and its beginning is not. No entry has zeros,
/// and entries that are appended together have one time.
fn unfinished(lines: &mut Lines<'_>) -> io::Result<Option<u64>> {
    let (mut bytes, mut at) = (0, None);
    loop {
        match lines.next()? {
            Line::Torn(more) => return Ok(Some(bytes + more)),
            Line::Whole(line) if line.len() > LINE_MAX => return Ok(None),
            Line::Whole(line) => {
                bytes += line.len() as u64 + 1;
                match Entry::from_line(line) {
                    Ok(entry) if *at.get_or_insert(entry.at) != entry.at => return Ok(None),
                    Err(_) if !line.contains(&0) => return Ok(None),
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

/// The first break that no repair names. Hashes say which break it is: line numbers change when
/// a later repair takes lines out.
fn unmended(breaks: &[Break], entries: &[Entry]) -> Option<Break> {
    let is_mended = |a: &Break| {
        entries.iter().any(|entry| match &entry.deed {
            Deed::Repair { breaks, .. } => {
                breaks.iter().any(|b| (b.expected, b.found) == (a.expected, a.found))
            }
            Deed::Key { .. }
            | Deed::Config { .. }
            | Deed::Rotate { .. }
            | Deed::Announce { .. }
            | Deed::Succeed { .. }
            | Deed::Withdraw { .. }
            | Deed::Server { .. }
            | Deed::Token { .. }
            | Deed::Refuse { .. } => false,
        })
    };
    breaks.iter().find(|found| !is_mended(found)).copied()
}

enum Line<'a> {
    /// A line, without its line feed; of one that is too long only `LINE_MAX + 1` bytes.
    Whole(&'a [u8]),
    /// So many bytes without a line feed, none at the clean end of the file.
    Torn(u64),
}

/// The lines of a file, with one buffer and never more than a line of it in memory.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(file: &'a File) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, file), buffer: Vec::new() }
    }

    fn next(&mut self) -> io::Result<Line<'_>> {
        self.buffer.clear();
        let most = LINE_MAX as u64 + 1;
        (&mut self.reader).take(most).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            return Ok(Line::Whole(&self.buffer));
        }
        if self.buffer.len() as u64 == most {
            // Too long for an entry. If a line feed follows it is a damaged line, else a tail
            // (of zeros, say) that never was one.
            let (skipped, ended) = skip_line(&mut self.reader)?;
            return Ok(if ended { Line::Whole(&self.buffer) } else { Line::Torn(most + skipped) });
        }
        Ok(Line::Torn(self.buffer.len() as u64))
    }
}

/// Skips to the end of the line; how many bytes, and whether there was a line feed.
fn skip_line(reader: &mut impl BufRead) -> io::Result<(u64, bool)> {
    let mut skipped = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok((skipped, false));
        }
        let (used, ended) = match chunk.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, true),
            None => (chunk.len(), false),
        };
        reader.consume(used);
        skipped += used as u64;
        if ended {
            return Ok((skipped, true));
        }
    }
}

#[cfg(test)]
mod tests;
