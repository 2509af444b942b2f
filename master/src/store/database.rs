//! One sled database that keeps what it was given.
//!
//! A commit is durable in the [`Redo`] before the database has it: so nobody reads what a power cut can
//! take back, and sled itself is flushed only when a redo file is full. A database that is opened
//! is given again what its redo files have. The commits that it has are counted in it, so that one that
//! lost more than they have is told from a whole one.

use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use brine_local::file;

use super::StoreError;
use super::guard::{self, Blobs, PANICKED, Whole};
use super::redo::{self, Batch, Failed, Redo};

/// The tree of the count; readers of the database do not see it.
const COUNT: &str = "commits";

/// What the name of a folder ends with in which a damaged database is made anew.
pub(super) const ANEW: &str = ".anew";

/// How a sentence ends about damage that was mended.
pub(super) const NOTHING_IS_LOST: &str = "nothing is lost";

/// A database and its redo files.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    db: sled::Db,
    count: sled::Tree,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    redo: Redo,
    blobs: Blobs,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All is in the database, flushed.
    Settled,
    /// The redo files may have more than what the database has flushed.
    Open,
    /// A flush has failed: only the next start knows what the disk has.
    Broken,
}

impl Database {
    /// Opens or makes one, with a sentence about what was mended.
    ///
    /// # Errors
    /// The disk cannot be read or written.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Whole<(Self, Option<String>)>, StoreError> {
        if !path.exists() {
            redo::begin(path)?;
        }
        let (db, said) = match guard::open(path, cache_bytes)? {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let why = match catch_unwind(AssertUnwindSafe(|| catch_up(path, &db))) {
            Ok(Ok((count, redo))) => {
                let state = State { redo, blobs: Blobs::default(), stage: Stage::Settled };
                let database = Self { path: path.to_owned(), db, count, state: Mutex::new(state) };
                return Ok(Ok((database, said)));
            }
            Ok(Err(error)) => Err(error),
            Err(_panic) => Ok(PANICKED.to_owned()),
        };
        // Closing what failed would fail again, or wait for ever for what was not written.
        std::mem::forget(db);
        match why {
            Err(error @ StoreError::Broken { .. }) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
            Ok(why) => Ok(Err(why)),
        }
    }

    /// Makes a batch durable, and then part of the database. Nothing costs nothing: who repeats what is
    /// known, or goes on beyond what is kept, makes the disk no work.
    ///
    /// # Errors
    /// [`StoreError::Database`]: nothing has happened, try again. [`StoreError::Broken`]: the next start
    /// finds out what has.
    pub(super) fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        state.stage = Stage::Open;
        let committed = self.commit_to(&mut state, batch);
        note_broken(&mut state, committed)
    }

    fn commit_to(&self, state: &mut State, batch: &Batch) -> Result<(), StoreError> {
        let number = state.redo.append(batch).map_err(|failed| self.failed(failed))?;
        apply(&self.db, &self.count, number, batch)
            .map_err(|error| StoreError::broken(&self.path, &error))?;
        if state.redo.is_full() {
            self.flush(state)?;
            match state.redo.turn() {
                // Then this file grows, and the next commit tries again.
                Ok(()) | Err(Failed::Unwritten(_)) => {}
                Err(failed) => return Err(self.failed(failed)),
            }
        }
        Ok(())
    }

    /// Flushes the database itself.
    ///
    /// # Errors
    /// The disk takes it not.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.stage != Stage::Open {
            return Ok(());
        }
        let settled = self.flush(&state);
        if settled.is_ok() {
            state.stage = Stage::Settled;
        }
        note_broken(&mut state, settled)
    }

    /// Settles it, and gives the space of its redo files back.
    ///
    /// # Errors
    /// The disk takes it not.
    pub(super) fn rest(&self) -> Result<(), StoreError> {
        self.settle()?;
        let mut state = self.state();
        if state.stage != Stage::Settled {
            return Ok(());
        }
        let rested = state.redo.rest().map_err(|failed| self.failed(failed));
        note_broken(&mut state, rested)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of its last commit, when all is in it, flushed.
    pub(super) fn settled(&self) -> Option<u64> {
        let state = self.state();
        (state.stage == Stage::Settled).then(|| state.redo.last())
    }

    fn flush(&self, state: &State) -> Result<(), StoreError> {
        let flushed = guard::flush(&self.db, &self.path, &state.blobs);
        flushed.map_err(|error| StoreError::broken(&self.path, &error))
    }

    fn failed(&self, failed: Failed) -> StoreError {
        match failed {
            Failed::Unwritten(error) => StoreError::database(&self.path, &error),
            Failed::Unknown(error) => StoreError::broken(&self.path, &error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Has every commit from now on fail.
    #[cfg(test)]
    pub(super) fn break_it(&self) {
        self.state().redo.break_it();
    }

    #[cfg(test)]
    pub(super) fn flushed_blobs(&self) -> std::collections::BTreeSet<std::ffi::OsString> {
        self.settle().expect("settles");
        self.state().blobs.flushed.lock().expect("no holder panics").clone()
    }
}

impl Deref for Database {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        &self.db
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What cannot be flushed now is given again at the next start.
        if !std::thread::panicking() {
            let _ = self.settle();
        }
    }
}

fn note_broken(state: &mut State, done: Result<(), StoreError>) -> Result<(), StoreError> {
    if matches!(done, Err(StoreError::Broken { .. })) {
        state.stage = Stage::Broken;
    }
    done
}

/// Opens a database and what is built on it. What is damaged is set aside, made anew, and given what
/// the redo files have; without these there is none. A sentence says so, and what it `holds`.
///
/// # Errors
/// The disk cannot be read or written.
pub(super) fn open_or_rebuild<T>(
    path: &Path,
    holds: &str,
    open: impl Fn() -> Result<Whole<(T, Option<String>)>, StoreError>,
) -> Result<(Option<T>, Option<String>), StoreError> {
    let failed = |error: io::Error| StoreError::database(path, &error);
    let anew = anew(path);
    // A crash came between the two renames below, or before the first.
    match (anew.exists(), path.exists()) {
        (true, false) => std::fs::rename(&anew, path).map_err(failed)?,
        (true, true) => std::fs::remove_dir_all(&anew).map_err(failed)?,
        (false, _) => {}
    }
    let why = match open()? {
        Ok((opened, said)) => return Ok((Some(opened), said)),
        Err(why) => why,
    };
    let salvaged = salvage(path, &anew)?;
    let aside = guard::set_aside(path)?;
    let (shown, is_now) = (path.display(), aside.display());
    let said = format!("{shown} is damaged ({why}) and was set aside as {is_now}: it holds {holds}");
    let Some((first, last)) = salvaged else {
        return Ok((None, Some(said)));
    };
    std::fs::rename(&anew, path).map_err(failed)?;
    file::sync_folder(path)?;
    let what = match first {
        1 => NOTHING_IS_LOST.to_owned(),
        _ => format!("what was written before commit {first} of {last} is missing"),
    };
    match open()? {
        Ok((opened, _)) => Ok((Some(opened), Some(format!("{said}; made anew from its redo files, {what}")))),
        Err(_) => Ok((None, Some(said))),
    }
}

/// Where a database is made anew until it takes the place of a damaged one.
fn anew(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ANEW);
    name.into()
}

/// Begins a database at `path` that has the redo files of another one, and goes on where they do. Gives
/// the numbers of their first and last commit, or none when there is nothing in them.
fn salvage(from: &Path, path: &Path) -> Result<Option<(u64, u64)>, StoreError> {
    let failed = |error: io::Error| StoreError::database(path, &error);
    let Ok(found) = redo::found(from) else { return Ok(None) };
    let Some((first, last)) = found.entries.first().map(|entry| entry.number).zip(found.last) else {
        return Ok(None);
    };
    file::create_private_dir(path)?;
    redo::copy(from, path).map_err(failed)?;
    let begun = sled::open(path).and_then(|db| {
        db.open_tree(COUNT)?.insert("", &(first - 1).to_be_bytes())?;
        db.flush()
    });
    begun.map_err(|error| StoreError::database(path, &error))?;
    Ok(Some((first, last)))
}

/// Gives a database what it may have lost, and flushes it. [`StoreError::Broken`] is a disk that fails;
/// any other error is damage.
fn catch_up(path: &Path, db: &sled::Db) -> Result<(sled::Tree, Redo), StoreError> {
    let judged = |error: &sled::Error| match error {
        sled::Error::Io(io) if !guard::is_damage(io) => StoreError::broken(path, error),
        _ => StoreError::database(path, error),
    };
    let count = db.open_tree(COUNT).map_err(|error| judged(&error))?;
    let counted = count.get("").map_err(|error| judged(&error))?;
    let counted = counted.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?)));
    let counted = counted.unwrap_or_default();
    let (redo, found) = Redo::open(path, counted).map_err(|error| judged(&error.into()))?;
    if !found.is_there && counted == 0 && db.is_empty() {
        return Err(StoreError::database(path, &"there is nothing in it"));
    }
    let last = found.last.unwrap_or_default();
    if counted < found.entries.first().map_or(last, |entry| entry.number - 1) {
        let why = format!("{counted} of {last} commits are left");
        return Err(StoreError::database(path, &why));
    }
    // A database that was closed as it should be gets them too: one of whose files is gone forgets what it was
    // told without a word.
    if !found.entries.is_empty() {
        for entry in &found.entries {
            apply(db, &count, entry.number, &entry.batch).map_err(|error| judged(&error))?;
        }
        guard::flush(db, path, &Blobs::default()).map_err(|error| judged(&error))?;
    }
    Ok((count, redo))
}

fn apply(db: &sled::Db, count: &sled::Tree, number: u64, batch: &Batch) -> sled::Result<()> {
    let mut changes = sled::Batch::default();
    let wrong = || sled::Error::ReportableBug(format!("commit {number} is no batch"));
    for (key, value) in batch.changes().ok_or_else(wrong)? {
        match value {
            Some(value) => changes.insert(key, value),
            None => changes.remove(key),
        }
    }
    db.apply_batch(changes)?;
    count.insert("", &number.to_be_bytes()).map(drop)
}
