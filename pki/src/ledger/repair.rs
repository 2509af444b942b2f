//! Mending a damaged ledger, with the master stopped.
//!
//! Every line that can still be read stays, because a lost `delete` would give trust back; lines
//! that cannot be read are put aside, and one new line says what was accepted, by whom.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_local::file::{self, FileError, Lock};
use brine_protocol::time::Timestamp;

use super::{Break, Chain, Deed, Draft, Entry, Hash, LedgerError, Line, Lines, unmended};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The new line.
    pub entry: Entry,
    /// The numbers of the lines that were taken out, as they were before.
    pub removed: Vec<u64>,
    /// The file that holds them now.
    pub aside: Option<PathBuf>,
}

/// Mends the ledger at `path` and records that `by` accepted its damage. `None` when there was
/// nothing to mend.
///
/// # Errors
/// It is locked (the master runs), or cannot be read or written; it is then as it was.
pub fn repair(path: &Path, by: &str, at: Timestamp, wait: Duration) -> Result<Option<Repaired>, LedgerError> {
    let _lock = Lock::take_within(&path.with_file_name("ledger.lock"), wait)?;
    let failed = |reason| FileError::System { doing: "read", path: path.to_owned(), reason };
    let file = File::open(path).map_err(failed)?;
    let (lines, torn) = read_all(&file).map_err(failed)?;
    let is_kept = longest_ascent(&lines);

    let mut mended = Vec::new();
    let mut entries = Vec::new();
    let (mut aside, mut removed) = (Vec::new(), Vec::new());
    let mut breaks = Vec::new();
    let mut chain = Chain::default();
    for (number, ((bytes, entry), is_kept)) in (1..).zip(lines.into_iter().zip(is_kept)) {
        let kept = entry.filter(|entry| is_kept && continues(entry, chain));
        let Some(entry) = kept else {
            removed.push(number);
            aside.extend_from_slice(&bytes);
            aside.push(b'\n');
            continue;
        };
        let line = entries.len() as u64 + 1;
        if entry.prev != chain.head {
            breaks.push(Break { line, expected: chain.head, found: entry.prev });
        }
        chain = Chain { seq: entry.seq, head: Hash::of(&bytes) };
        mended.extend_from_slice(&bytes);
        mended.push(b'\n');
        entries.push(entry);
    }
    breaks.retain(|found| unmended(std::slice::from_ref(found), &entries).is_some());
    if removed.is_empty() && breaks.is_empty() && torn.is_empty() {
        return Ok(None);
    }
    aside.extend_from_slice(&torn);

    let kept_in = if aside.is_empty() { None } else { Some(set_aside(path, &aside)?) };
    let name = kept_in.as_deref().and_then(Path::file_name);
    let deed = Deed::Repair {
        breaks,
        removed: removed.len() as u64,
        aside: name.map(|name| name.to_string_lossy().into_owned()),
    };
    let (entry, line) = chain.next(Draft { by: by.to_owned(), reason: None, deed }, at)?;
    mended.extend_from_slice(line.as_bytes());
    mended.push(b'\n');
    file::replace(path, &mended, 0o600)?;
    Ok(Some(Repaired { entry, removed, aside: kept_in }))
}

/// What a broken chain goes on with at most: far from every number that is, and from the last there is.
const SEQ_MAX: u64 = 1 << 48;

/// Whether a line can follow: with the number after the last, or any higher one where the chain
/// is broken. The reader has the same rule.
pub(super) fn continues(entry: &Entry, chain: Chain) -> bool {
    let next = chain.seq + 1;
    if entry.prev == chain.head { entry.seq == next } else { (next..=SEQ_MAX).contains(&entry.seq) }
}

/// Puts bytes into a file beside this one.
fn set_aside(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let aside = name_aside(path);
    file::replace(&aside, bytes, 0o600)?;
    Ok(aside)
}

/// The first `<name>.damaged-<n>` that is free.
pub(crate) fn name_aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (1..)
        .map(|n: u64| path.with_file_name(format!("{name}.damaged-{n}")))
        .find(|path| !path.exists())
        .expect("a folder holds fewer files than there are numbers")
}

pub(super) type Read = (Vec<u8>, Option<Entry>);

/// Every line with its entry, if it is one, and what follows the last line feed.
fn read_all(file: &File) -> std::io::Result<(Vec<Read>, Vec<u8>)> {
    use std::os::unix::fs::FileExt;
    let mut lines = Lines::new(file);
    let mut found = Vec::new();
    loop {
        match lines.next()? {
            Line::Whole(bytes) => found.push((bytes.to_vec(), Entry::from_line(bytes).ok())),
            Line::Torn(length) => {
                // Only its beginning can be of use to anybody.
                let mut tail = vec![0; length.min(super::LINE_MAX as u64) as usize];
                file.read_exact_at(&mut tail, file.metadata()?.len() - length)?;
                return Ok((found, tail));
            }
        }
    }
}

/// The most lines whose numbers ascend. A line that damage gave another number would otherwise
/// make all those after it, or before it, look out of order.
pub(super) fn longest_ascent(lines: &[Read]) -> Vec<bool> {
    let seq = |i: usize| lines[i].1.as_ref().map(|entry| entry.seq);
    // ends[k]: the line with the smallest number that ends an ascent of k + 1 lines.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; lines.len()];
    for i in (0..lines.len()).filter(|i| lines[*i].1.is_some()) {
        let k = ends.partition_point(|end| seq(*end) < seq(i));
        before[i] = k.checked_sub(1).map(|k| ends[k]);
        if k == ends.len() {
            ends.push(i);
        } else {
            ends[k] = i;
        }
    }
    let mut is_kept = vec![false; lines.len()];
    let mut next = ends.last().copied();
    while let Some(i) = next {
        is_kept[i] = true;
        next = before[i];
    }
    is_kept
}
