//! Opening a database that a crash may have left in pieces, and making writes durable.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use brine_local::file;

use super::StoreError;
use super::database::NOTHING_IS_LOST;

/// What is said of a database that could not even say what is wrong with it.
pub(super) const PANICKED: &str = "opening or reading it fails badly";

/// What was opened, or why it is damaged.
pub(super) type Whole<T> = Result<T, String>;

/// Opens a database, and mends what is known to happen to sled 0.34 after a crash: a damaged
/// snapshot is rebuilt from the log, and a sentence says so.
///
/// # Errors
/// The disk cannot be read or written.
pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Whole<(sled::Db, Option<String>)>, StoreError> {
    let open = || {
        catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None).open()
        }))
    };
    files_of(path).for_each(|file| file::read_anew(&file));
    match open() {
        Ok(Ok(db)) => keep(path).map(|()| Ok((db, None))),
        Ok(Err(sled::Error::Io(error))) if !is_damage(&error) => Err(StoreError::database(path, &error)),
        Ok(Err(error)) => {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    std::fs::remove_file(entry.path()).map_err(|error| StoreError::database(path, &error))?;
                }
            }
            let Ok(Ok(db)) = open() else { return Ok(Err(error.to_string())) };
            let said =
                format!("{}: a damaged snapshot was rebuilt from the log; {NOTHING_IS_LOST}", path.display());
            keep(path).map(|()| Ok((db, Some(said))))
        }
        Err(_panic) => Ok(Err(PANICKED.to_owned())),
    }
}

/// Whether an error is the database's own, and not one of this moment or of its surroundings.
pub(super) fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(error.kind(), AlreadyExists | InvalidData | InvalidInput | NotFound | UnexpectedEof)
        || error.raw_os_error() == Some(nix::libc::EIO)
}

/// sled flushes neither its settings nor any name.
fn keep(path: &Path) -> Result<(), StoreError> {
    let flushed = files_of(path).try_for_each(|file| file.sync_all()).and_then(|()| sync_all(path));
    flushed.map_err(|error| StoreError::database(path, &error))?;
    Ok(file::sync_folder(path)?)
}

/// What was opened, if it can be read without an error or a panic. A database that lost its end may open,
/// and panic or be damaged when it is read.
pub(super) fn looked_at<T>(opened: T, look: impl FnOnce(&T) -> Result<(), StoreError>) -> Whole<T> {
    let why = match catch_unwind(AssertUnwindSafe(|| look(&opened))) {
        Ok(Ok(())) => return Ok(opened),
        Ok(Err(error)) => error.to_string(),
        Err(_panic) => PANICKED.to_owned(),
    };
    // Closing what panicked once would panic again.
    std::mem::forget(opened);
    Err(why)
}

/// Takes a folder out of the way, and says where it is now.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = aside(path);
    std::fs::rename(path, &aside).map_err(|error| StoreError::database(path, &error))?;
    Ok(aside)
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
}

impl Blobs {
    fn flush(&self, folder: &Path) -> std::io::Result<()> {
        let mut flushed = self.flushed.lock().expect("no holder panics");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            if !flushed.contains(&name) {
                match File::open(folder.join(&name)) {
                    Ok(file) => file.sync_data()?,
                    // sled has removed it meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            found.insert(name);
        }
        if !found.is_subset(&flushed) {
            sync_all(folder)?;
        }
        *flushed = found;
        Ok(())
    }
}

/// Makes everything written so far durable. sled's own flush on Linux starts the write-out and
/// does not wait for the disk, so its log file is synced through a second descriptor. When that
/// fails nobody knows what the disk has, and a second attempt that works would not say it: only
/// opening it anew tells.
pub(super) fn flush(db: &sled::Db, path: &Path, blobs: &Blobs) -> sled::Result<()> {
    db.flush()?;
    blobs.flush(&path.join("blobs"))?;
    Ok(File::open(path.join("db"))?.sync_data()?)
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
