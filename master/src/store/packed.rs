//! A bucket that is over, in one file that never changes: its keys in order, with their values.
//!
//! ```text
//! file    block… index end                                 big-endian, as all numbers
//! block   entry…                                           some 32 KiB, or one larger entry
//! entry   length of key u32, of value u32, key, value
//! index   place…
//! place   length of block u32, crc32 of it u32, entries u32, length of first key u32, first key
//! end     offset of the index u64, commits u64, crc32 of index and these two u32, "brinepk1"
//! ```
//! The commits are those of the database that it was made of, which is given up for it. It has its name
//! when all of it is on disk. What is read of it is compared with its crc32.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brine_local::file;
use sled::IVec;

/// What a name ends with until the file is whole.
pub(super) const NEW: &str = ".new";

/// A block is full from here on: what is read to find one key.
const BLOCK: usize = 32 * 1024;

/// What the file ends with.
const MAGIC: &[u8; 8] = b"brinepk1";

/// Bytes of the end.
const END: u64 = 8 + 8 + 4 + 8;

/// A key and its value.
pub(super) type Item = (IVec, IVec);

/// Writes a file from its first key to its last.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
    block: Vec<u8>,
    first: Vec<u8>,
    entries: u32,
    index: Vec<u8>,
}

impl Writer {
    /// Begins the file of that name, under another one.
    ///
    /// # Errors
    /// The disk takes it not.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(named(path, NEW))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(8 * BLOCK, file),
            written: 0,
            block: Vec::with_capacity(2 * BLOCK),
            first: Vec::new(),
            entries: 0,
            index: Vec::new(),
        })
    }

    /// Adds a key that is above all before.
    ///
    /// # Errors
    /// The disk takes it not.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        // A key of a large value is told from the index alone.
        if self.entries > 0 && self.block.len() + value.len() > BLOCK {
            self.end_block()?;
        }
        if self.entries == 0 {
            self.first = key.to_vec();
        }
        self.block.extend_from_slice(&length(key)?);
        self.block.extend_from_slice(&length(value)?);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.entries += 1;
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.index.extend_from_slice(&length(&self.block)?);
        self.index.extend_from_slice(&crc32fast::hash(&self.block).to_be_bytes());
        self.index.extend_from_slice(&self.entries.to_be_bytes());
        self.index.extend_from_slice(&length(&self.first)?);
        self.index.extend_from_slice(&self.first);
        self.file.write_all(&self.block)?;
        self.written += self.block.len() as u64;
        self.block.clear();
        self.entries = 0;
        Ok(())
    }

    /// Ends the file, has it on disk, and reads all of it from there. It has its name when it is
    /// [kept](Packed::keep).
    ///
    /// # Errors
    /// The disk takes it not, or does not give back what it took.
    pub(super) fn finish(mut self, commits: u64) -> io::Result<Packed> {
        if self.entries > 0 {
            self.end_block()?;
        }
        self.index.extend_from_slice(&self.written.to_be_bytes());
        self.index.extend_from_slice(&commits.to_be_bytes());
        self.file.write_all(&self.index)?;
        self.file.write_all(&crc32fast::hash(&self.index).to_be_bytes())?;
        self.file.write_all(MAGIC)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        file::read_anew(&file);
        let packed = Packed { path: self.path.clone(), ..Packed::open(&named(&self.path, NEW))? };
        (0..packed.places.len()).try_for_each(|at| packed.block(at).map(drop))?;
        Ok(packed)
    }
}

/// A file that is whole, open for reading.
#[derive(Debug)]
pub(super) struct Packed {
    path: PathBuf,
    file: File,
    places: Vec<Place>,
    commits: u64,
}

/// Where a block is, and what is in it.
#[derive(Debug)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
    entries: u32,
    first: Box<[u8]>,
}

impl Packed {
    /// Opens one. No memory is taken but for what the file is large enough for.
    ///
    /// # Errors
    /// It cannot be read; what [`is_damage`](super::guard::is_damage) says of the error tells why.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its index is damaged");
        let size = file.metadata()?.len();
        let end_at = size.checked_sub(END).ok_or_else(damaged)?;
        let mut end = [0; END as usize];
        file.read_exact_at(&mut end, end_at)?;
        let (mut numbers, mut rest) = end.split_at(16);
        let index_at = take_u64(&mut numbers).filter(|at| *at <= end_at).ok_or_else(damaged)?;
        let commits = take_u64(&mut numbers).ok_or_else(damaged)?;
        let crc = take_u32(&mut rest).ok_or_else(damaged)?;
        let mut index = vec![0; usize::try_from(end_at + 16 - index_at).map_err(io::Error::other)?];
        file.read_exact_at(&mut index, index_at)?;
        if rest != MAGIC || crc32fast::hash(&index) != crc {
            return Err(damaged());
        }
        index.truncate(index.len() - 16);
        let places = places(&index).filter(|places| ends_at(places) == index_at).ok_or_else(damaged)?;
        Ok(Self { path: path.to_owned(), file, places, commits })
    }

    /// The number of the last commit that is in it.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Gives a new file its name, or none where it cannot be had for certain.
    ///
    /// # Errors
    /// The disk takes it not.
    pub(super) fn keep(&self) -> io::Result<()> {
        std::fs::rename(named(&self.path, NEW), &self.path)?;
        file::sync_folder(&self.path).map_err(|error| {
            let _ = std::fs::remove_file(&self.path);
            io::Error::other(error)
        })
    }

    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<IVec>> {
        let Some(at) = self.places.partition_point(|place| &*place.first <= key).checked_sub(1) else {
            return Ok(None);
        };
        // What is read and compared for a key that is not there is as little as can be.
        if self.places[at].entries == 1 && &*self.places[at].first != key {
            return Ok(None);
        }
        let block = self.block(at)?;
        let found = entries(&block).find(|(found, _)| *found == key);
        Ok(found.map(|(_, value)| IVec::from(value)))
    }

    /// The items from this key up to that one, which is not included. Without their values when only the
    /// keys are wanted, for which large values are not read.
    pub(super) fn scan(self: &Arc<Self>, keys: &Range<Vec<u8>>, is_reverse: bool, has_values: bool) -> Scan {
        let below = |key: &[u8]| self.places.partition_point(|place| &*place.first < key);
        // The first key may be within the block before the first that begins behind it.
        let blocks = below(&keys.start).saturating_sub(1)..below(&keys.end);
        Scan {
            packed: Arc::clone(self),
            blocks,
            keys: keys.clone(),
            is_reverse,
            has_values,
            items: Vec::new().into_iter(),
        }
    }

    fn block(&self, at: usize) -> io::Result<Vec<u8>> {
        let place = &self.places[at];
        let mut block = vec![0; place.length as usize];
        self.file.read_exact_at(&mut block, place.offset)?;
        if crc32fast::hash(&block) != place.crc {
            let why = format!("the block at {} of {} is damaged", place.offset, self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(block)
    }

    fn items(&self, at: usize, has_values: bool) -> io::Result<Vec<Item>> {
        let place = &self.places[at];
        if !has_values && place.entries == 1 {
            return Ok(vec![(IVec::from(&*place.first), IVec::default())]);
        }
        let value = |value: &[u8]| if has_values { value.into() } else { IVec::default() };
        Ok(entries(&self.block(at)?).map(|(key, bytes)| (key.into(), value(bytes))).collect())
    }
}

/// Items in order, or against it, block by block.
pub(super) struct Scan {
    packed: Arc<Packed>,
    blocks: Range<usize>,
    keys: Range<Vec<u8>>,
    is_reverse: bool,
    has_values: bool,
    items: std::vec::IntoIter<Item>,
}

impl Iterator for Scan {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(Ok(item));
            }
            let at = if self.is_reverse { self.blocks.next_back() } else { self.blocks.next() }?;
            let mut items = match self.packed.items(at, self.has_values) {
                Ok(items) => items,
                Err(error) => {
                    self.blocks = 0..0;
                    return Some(Err(error));
                }
            };
            items.retain(|(key, _)| (&*self.keys.start..&*self.keys.end).contains(&&**key));
            if self.is_reverse {
                items.reverse();
            }
            self.items = items.into_iter();
        }
    }
}

/// The same path with more at the end of its name.
pub(super) fn named(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    u32::try_from(bytes.len()).map(u32::to_be_bytes).map_err(io::Error::other)
}

fn ends_at(places: &[Place]) -> u64 {
    places.last().map_or(0, |place| place.offset + u64::from(place.length))
}

fn places(mut index: &[u8]) -> Option<Vec<Place>> {
    let (mut places, mut offset) = (Vec::new(), 0_u64);
    while !index.is_empty() {
        let (length, crc) = (take_u32(&mut index)?, take_u32(&mut index)?);
        let (entries, key) = (take_u32(&mut index)?, take_u32(&mut index)?);
        let first = index.split_off(..key as usize)?.into();
        places.push(Place { offset, length, crc, entries, first });
        offset = offset.checked_add(u64::from(length))?;
    }
    Some(places)
}

/// The keys and values of a block, up to what is none.
fn entries(mut block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (key, value) = (take_u32(&mut block)?, take_u32(&mut block)?);
        Some((block.split_off(..key as usize)?, block.split_off(..value as usize)?))
    })
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    bytes.split_off(..4)?.try_into().ok().map(u32::from_be_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    bytes.split_off(..8)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests;
