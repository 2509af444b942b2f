//! Opening a database that a crash may have left in pieces, and making writes durable.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use brine_local::file;

use super::StoreError;
use super::witness::Witness;

/// What is said of a database that could not even say what is wrong with it.
pub(super) const PANICKED: &str = "opening or reading it fails badly";

/// Opens a database, and mends what is known to happen to sled 0.34 after a crash: a damaged
/// snapshot is rebuilt from the log; a database that cannot be opened even so is set aside.
/// Gives no database, and says so, in that last case.
pub(super) fn open_guarded(
    path: &Path,
    cache_bytes: u64,
    holds: &str,
) -> Result<(Option<sled::Db>, Option<String>), StoreError> {
    let open = || {
        catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None).open()
        }))
    };
    files_of(path).for_each(|file| file::read_anew(&file));
    let why = match open() {
        Ok(Ok(db)) => return kept(path).map(|()| (Some(db), None)),
        Ok(Err(sled::Error::Io(error))) if !is_damage(&error) => {
            return Err(StoreError::database(path, &error));
        }
        Ok(Err(error)) => {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    std::fs::remove_file(entry.path()).map_err(|error| StoreError::database(path, &error))?;
                }
            }
            if let Ok(Ok(db)) = open() {
                let said = format!(
                    "{}: a damaged snapshot was rebuilt from the log; nothing is lost",
                    path.display()
                );
                return kept(path).map(|()| (Some(db), Some(said)));
            }
            error.to_string()
        }
        Err(_panic) => PANICKED.to_owned(),
    };
    set_aside(path, holds, &why).map(|said| (None, Some(said)))
}

/// Whether an error is the database's own, and not one of this moment or of its surroundings.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
        || error.raw_os_error() == Some(nix::libc::EIO)
}

/// sled flushes neither its settings nor any name.
fn kept(path: &Path) -> Result<(), StoreError> {
    let flushed = files_of(path).try_for_each(|file| file.sync_all()).and_then(|()| sync_all(path));
    flushed.map_err(|error| StoreError::database(path, &error))?;
    Ok(file::sync_folder(path)?)
}

/// Takes a folder out of the way, and says so.
pub(super) fn set_aside(path: &Path, holds: &str, why: &str) -> Result<String, StoreError> {
    let aside = aside(path);
    std::fs::rename(path, &aside).map_err(|error| StoreError::database(path, &error))?;
    let (path, aside) = (path.display(), aside.display());
    Ok(format!("{path} is damaged ({why}) and was set aside as {aside}: it holds {holds}"))
}

fn aside(path: &Path) -> PathBuf {
    (1..)
        .map(|n| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".damaged-{n}"));
            // A folder that is set aside is no bucket any more.
            let name = PathBuf::from(name);
            let file =
                name.file_name().unwrap_or_default().to_string_lossy().replace("jobs-", "damaged-jobs-");
            name.with_file_name(file)
        })
        .find(|name| !name.exists())
        .expect("some number is free")
}

/// What sled keeps in files of their own because it is large, as far as it was flushed. sled
/// itself never flushes these.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    pub(super) flushed: Mutex<BTreeSet<OsString>>,
    /// A flush has failed: what is not flushed yet has to be written again first.
    is_doubtful: AtomicBool,
}

impl Blobs {
    fn sync(&self, path: &Path) -> Result<(), StoreError> {
        let folder = path.join("blobs");
        let failed = |error| StoreError::database(path, &error);
        let mut flushed = self.flushed.lock().expect("no holder panics");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !flushed.contains(&name) && !self.sync_one(&folder.join(&name)).map_err(failed)? {
                continue;
            }
            found.insert(name);
        }
        if !found.is_subset(&flushed) {
            // Names cannot be written again.
            sync_all(&folder).map_err(|error| StoreError::broken(path, &error))?;
        }
        *flushed = found;
        self.is_doubtful.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// False when sled has removed it meanwhile. sled writes such a file once.
    fn sync_one(&self, path: &Path) -> std::io::Result<bool> {
        let open = File::options().read(true).write(true).open(path);
        let flush = |mut file: File| {
            if self.is_doubtful.load(Ordering::Relaxed) {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                file.write_all_at(&bytes, 0)?;
            }
            file.sync_data()
        };
        match open.and_then(flush) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => {
                self.is_doubtful.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

/// Writes a batch and makes it durable.
pub(super) fn commit(
    db: &sled::Db,
    batch: sled::Batch,
    path: &Path,
    blobs: &Blobs,
    witness: &Witness,
) -> Result<(), StoreError> {
    db.apply_batch(batch).and_then(|()| witness.step()).map_err(|error| StoreError::broken(path, &error))?;
    sync(db, path, blobs)?;
    witness.note();
    Ok(())
}

/// Makes everything written so far durable. sled's own flush on Linux starts the write-out and
/// does not wait for the disk, so its log file is synced through a second descriptor. When that
/// fails nobody knows what the disk has, and a second attempt that works would not say it: only
/// opening it anew tells.
fn sync(db: &sled::Db, path: &Path, blobs: &Blobs) -> Result<(), StoreError> {
    db.flush().map_err(|error| StoreError::broken(path, &error))?;
    blobs.sync(path)?;
    File::open(path.join("db"))
        .and_then(|file| file.sync_data())
        .map_err(|error| StoreError::broken(path, &error))
}

fn sync_all(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// The files of a database, and the folders whose names lead to them.
fn files_of(path: &Path) -> impl Iterator<Item = File> {
    let within = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = within(path.to_owned()).chain(within(path.join("blobs")));
    files.filter_map(|entry| File::open(entry.path()).ok())
}
