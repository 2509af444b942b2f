//! A bucket's files: opened, made one when it is over, removed.
//!
//! ```text
//! jobs-<span>          the database, until the bucket is packed; beside the file it is what is left of it
//! jobs-<span>.packed   the file
//! jobs-<span>.late     the database of what came after that, if anything has
//! ```
//! A database is removed when all of it is in the file, and the file was read from the disk. Between the
//! two a crash leaves both, and the next start removes the database unless it has commits that the file
//! has not.

use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::StoreError;
use super::bucket::Bucket;
use super::database::{ANEW, Database, open_or_rebuild};
use super::guard::{self, is_damage, looked_at};
use super::layers::{Layers, Order, Want};
use super::packed::{NEW, Packed, Writer, named};
use super::redo;
use super::span::{LATE, PACKED, Span};
use super::summaries::{Changes, OpenJobs};

/// What only matters for jobs that are open, and is not packed.
const OF_OPEN_JOBS: [&[u8]; 3] = [b"c/", b"h/", b"o/"];

impl Bucket {
    /// Opens what there is of a bucket, or makes a new one, with sentences about what was mended or set
    /// aside. None when nothing is left.
    ///
    /// # Errors
    /// The disk cannot be read or written.
    pub(super) fn open(
        folder: &Path,
        span: Span,
        cache_bytes: u64,
    ) -> Result<(Option<Self>, Vec<String>), StoreError> {
        let path = folder.join(span.folder());
        let (file, late) = (named(&path, PACKED), named(&path, LATE));
        remove(&named(&file, NEW))?;
        let mut said = Vec::new();
        let packed = open_packed(&file, span, &mut said)?;
        let is_there = |path: &Path| path.exists() || named(path, ANEW).exists();
        if let Some(packed) = &packed
            && redo::found(&path).is_ok_and(|found| found.last.is_none_or(|last| last <= packed.commits()))
        {
            remove(&path)?;
            remove(&named(&path, ANEW))?;
        }
        let at = if is_there(&late) && !is_there(&path) { &late } else { &path };
        // Where nothing was, there is a new one.
        let is_over = packed.is_some() || !said.is_empty();
        let db = if is_over && !is_there(at) {
            None
        } else {
            let bucket = |layers| Self::new(&path, span, cache_bytes, layers);
            let (db, more) = open_or_rebuild(at, &span.to_string(), || {
                let opened = Database::open(at, cache_bytes)?;
                Ok(opened.and_then(|(db, said)| {
                    let bucket = bucket(Layers { packed: None, db: Some(Arc::new(db)) });
                    looked_at(bucket, Self::try_reading).map(|bucket| (bucket.view().db, said))
                }))
            })?;
            said.extend(more);
            db.flatten()
        };
        let layers = Layers { packed, db };
        let is_something = layers.packed.is_some() || layers.db.is_some();
        Ok((is_something.then(|| Self::new(&path, span, cache_bytes, layers)), said))
    }

    fn new(path: &Path, span: Span, cache_bytes: u64, layers: Layers) -> Self {
        let layers = RwLock::new(layers);
        Self { span, path: path.to_owned(), cache_bytes, layers, open: OpenJobs::default() }
    }

    /// What it consists of now.
    pub(super) fn view(&self) -> Layers {
        self.layers.read().expect("no holder panics").clone()
    }

    /// Makes changes durable, and then part of the bucket.
    ///
    /// # Errors
    /// Those of [`Database::commit`].
    pub(super) fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        if !changes.batch.is_empty() {
            self.commit_batch(&changes)?;
        }
        self.open.apply(changes);
        Ok(())
    }

    fn commit_batch(&self, changes: &Changes) -> Result<(), StoreError> {
        // It is held until the commit is done: what is packed has all of them.
        let layers = self.layers.read().expect("no holder panics");
        if let Some(db) = &layers.db {
            return db.commit(&changes.batch);
        }
        drop(layers);
        let late = named(&self.path, LATE);
        let mut layers = self.layers.write().expect("no holder panics");
        let db = match layers.db.take() {
            Some(db) => db,
            None => match Database::open(&late, self.cache_bytes)? {
                Ok((db, _)) => Arc::new(db),
                Err(why) => return Err(StoreError::database(&late, &why)),
            },
        };
        layers.db.insert(db).commit(&changes.batch)
    }

    /// Puts all of it into one file, when no job in it is open and nobody writes to it or reads it
    /// meanwhile. False when it is not time for that; then the database takes as little as it can.
    ///
    /// # Errors
    /// It cannot be read, or the disk takes it not: then it is what it was, and can be tried again.
    pub(super) fn pack(&self, room: u64) -> Result<bool, StoreError> {
        let view = self.view();
        let Some(db) = &view.db else { return Ok(false) };
        db.rest()?;
        let size = db.size_on_disk().map_err(|error| self.failed(&error))?;
        if !view.is_at(&self.path) || size > room || self.has_open_jobs()? {
            return Ok(false);
        }
        db.commit(&self.missing_summaries()?)?;
        db.rest()?;
        let Some(all) = db.settled() else { return Ok(false) };
        let packed = self.write_packed(&view, all).and_then(|packed| {
            drop(view);
            self.replace(packed, all)
        });
        let left = match packed {
            Ok(Some(left)) => left,
            not => {
                remove(&named(&named(&self.path, PACKED), NEW))?;
                return not.map(|_| false).map_err(|error| StoreError::database(&self.path, &error));
            }
        };
        // It writes while it is closed, and must not be there any more after that.
        drop(left);
        remove(&self.path)?;
        Ok(true)
    }

    fn write_packed(&self, view: &Layers, commits: u64) -> io::Result<Packed> {
        let mut writer = Writer::begin(&named(&self.path, PACKED))?;
        for item in view.range(Vec::new()..vec![0xff], Order::Up, Want::Values) {
            let (key, value) = item?;
            if !OF_OPEN_JOBS.iter().any(|tree| key.starts_with(tree)) {
                writer.add(&key, &value)?;
            }
        }
        writer.finish(commits)
    }

    /// Has the file in place of the database when it has all commits, and nobody reads the database. Who
    /// commits here waits for no more than the file to have its name.
    fn replace(&self, packed: Packed, commits: u64) -> io::Result<Option<Arc<Database>>> {
        let mut layers = self.layers.write().expect("no holder panics");
        let left = layers.db.take_if(|db| db.settled() == Some(commits) && Arc::strong_count(db) == 1);
        let Some(left) = left else { return Ok(None) };
        if let Err(error) = packed.keep() {
            // Nobody knows whether the disk has the name: a start that finds both judges by the commits.
            layers.db = Some(left);
            return Err(error);
        }
        layers.packed = Some(Arc::new(packed));
        Ok(Some(left))
    }

    /// Removes the bucket from the disk. Readers that still hold it see it until they are done.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        remove(&self.path)?;
        remove(&named(&self.path, LATE))?;
        remove(&named(&self.path, PACKED))
    }
}

fn open_packed(file: &Path, span: Span, said: &mut Vec<String>) -> Result<Option<Arc<Packed>>, StoreError> {
    let why = match Packed::open(file) {
        Ok(packed) => {
            let layers = Layers { packed: Some(Arc::new(packed)), db: None };
            let bucket = Bucket::new(file, span, 0, layers);
            match looked_at(bucket, Bucket::try_reading) {
                Ok(bucket) => return Ok(bucket.view().packed),
                Err(why) => why,
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_damage(&error) => error.to_string(),
        Err(error) => return Err(StoreError::database(file, &error)),
    };
    let (shown, aside) = (file.display(), guard::set_aside(file)?);
    let is_now = aside.display();
    said.push(format!("{shown} is damaged ({why}) and was set aside as {is_now}: it holds {span}"));
    Ok(None)
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::database(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
