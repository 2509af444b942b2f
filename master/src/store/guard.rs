//! Opening a database that a crash may have left in pieces, and making writes durable.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::StoreError;

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
    match open() {
        Ok(Ok(db)) => return Ok((Some(db), None)),
        Ok(Err(sled::Error::Io(error))) => return Err(StoreError::database(path, &error)),
        Ok(Err(_)) => {
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
                return Ok((Some(db), Some(said)));
            }
        }
        Err(_panic) => {}
    }
    set_aside(path, holds).map(|said| (None, Some(said)))
}

/// Takes a folder out of the way, and says so.
pub(super) fn set_aside(path: &Path, holds: &str) -> Result<String, StoreError> {
    let aside = aside(path);
    std::fs::rename(path, &aside).map_err(|error| StoreError::database(path, &error))?;
    Ok(format!("{} is damaged and was set aside as {}: it holds {holds}", path.display(), aside.display()))
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
pub(super) struct Blobs(pub(super) Mutex<BTreeSet<OsString>>);

impl Blobs {
    fn sync(&self, folder: &Path) -> std::io::Result<()> {
        let mut flushed = self.0.lock().expect("no holder panics");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !flushed.contains(&name) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_data()?,
                    // sled has removed it meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            found.insert(name);
        }
        if !found.is_subset(&flushed) {
            File::open(folder)?.sync_all()?;
        }
        *flushed = found;
        Ok(())
    }
}

/// Makes everything written so far durable. sled's own flush on Linux starts the write-out and
/// does not wait for the disk, so its log file is synced through a second descriptor.
pub(super) fn sync(db: &sled::Db, path: &Path, blobs: &Blobs) -> Result<(), StoreError> {
    db.flush().map_err(|error| StoreError::broken(path, &error))?;
    blobs
        .sync(&path.join("blobs"))
        .and_then(|()| File::open(path.join("db")))
        .and_then(|file| file.sync_data())
        .map_err(|error| StoreError::database(path, &error))
}
