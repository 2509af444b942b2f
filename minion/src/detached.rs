//! Detached jobs: their commands outlive the minion that started them.
//!
//! ```text
//! order --journaled--> supervisor starts --journaled--> it is told what to run --> ending on disk
//! ```
//! The supervisor is another process of this program. It holds the pipes, keeps the time, writes
//! down how the job ended, and needs no minion for any of it. A minion that starts finds it by the
//! journal: as long as it runs it is watched, and what it wrote down is the job's end. It runs
//! nothing before its number is in the journal, so there is none that a later minion cannot find.
//! Timeouts are the supervisor's: they run on the monotonic clock from its start, whether or not
//! there is a minion meanwhile, and stand still while the machine is suspended.
//!
//! ```text
//! detached/<jid>/job      for whoever watches it: what it is and who asked
//!                process  the command's process
//!                cancelled  who told a minion to end it, written before that tells the supervisor
//!                ending   how it ended; written whole, at the end
//! ```

mod supervisor;
mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use brine_local::file;
use brine_protocol::Jid;
use brine_protocol::job::Ending;
use brine_protocol::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::book::{Book, Held, Process, Stage};
use crate::leftovers::kill_jobs;
use crate::processes::Spawned;
pub use supervisor::serve;
pub(crate) use watch::{Start, start, watch};

/// Largest file read of those a supervisor writes. What functions return is bounded to far less.
const FILE_MAX: u64 = 256 * 1024 * 1024;

/// The detached jobs of one minion: a folder of folders.
#[derive(Debug, Clone)]
pub struct Detached(PathBuf);

/// What is known of a detached job besides the journal's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The journal it was taken under.
    pub journal: String,
    /// Its functions, joined by commas.
    pub functions: String,
    /// Who asked.
    pub principal: String,
    /// When it was started.
    pub started: Timestamp,
}

/// The command's process, as its supervisor tells it.
#[derive(Serialize, Deserialize)]
struct Command {
    pid: u32,
    start: Option<u64>,
}

impl Detached {
    /// The jobs under this folder, which need not be there.
    #[must_use]
    pub fn of(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// One of them.
    #[must_use]
    pub fn job(&self, jid: Jid) -> Folder {
        Folder(self.0.join(jid.to_string()))
    }

    /// Makes the folder of a job.
    fn make(&self, jid: Jid, about: &About) -> Result<Folder> {
        file::create_private_dir(&self.0)?;
        let folder = self.job(jid);
        file::create_private_dir(&folder.0)?;
        write(&folder.0.join("job"), about)?;
        Ok(folder)
    }

    /// The open jobs of `book` that go on, or have ended and nobody was told: whose supervisor
    /// runs, or has written down an ending.
    #[must_use]
    pub fn found(&self, book: &Book, boot: Option<&String>) -> BTreeSet<Jid> {
        let is_found = |jid: Jid, held: &Held| match &held.stage {
            Stage::Open { is_detached: true, boot: taken_in, processes, .. } => {
                // Numbers and times of processes mean nothing after a boot.
                let is_same_boot = taken_in.as_ref() == boot;
                let runs = || processes.first().is_some_and(|process| spawned(process).is_alive());
                self.job(jid).ending().is_some() || is_same_boot && runs()
            }
            Stage::Open { .. } | Stage::Ended(_) => false,
        };
        book.jobs().filter(|(jid, held)| is_found(*jid, held)).map(|(jid, _)| jid).collect()
    }

    /// Ends and removes what belongs to none of these jobs: of a journal that was lost, or of a
    /// job whose end was journaled just before a crash.
    pub fn sweep(&self, kept: &BTreeSet<Jid>) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let Some(jid) = entry.file_name().to_str().and_then(|name| name.parse::<Jid>().ok()) else {
                continue;
            };
            if kept.contains(&jid) {
                continue;
            }
            let folder = self.job(jid);
            // What one has left behind that ended by itself lives on.
            if let Some(about) = folder.about().filter(|_| folder.ending().is_none()) {
                kill_jobs(&about.journal, &[jid]);
            }
            folder.remove();
        }
    }
}

/// What there is of one detached job.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// What is known of it.
    #[must_use]
    pub fn about(&self) -> Option<About> {
        read(&self.0.join("job"))
    }

    /// The process of its command, once that is started.
    #[must_use]
    pub fn process(&self) -> Option<Spawned> {
        let Command { pid, start } = read(&self.0.join("process"))?;
        Some(Spawned { pid, start_ticks: start })
    }

    /// How it ended, once it has. A supervisor that was told to stop does not know why; the minion
    /// that told it may be gone by now.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        let ending = read(&self.0.join("ending"))?;
        let by =
            matches!(ending, Ending::Interrupted { .. }).then(|| read(&self.0.join("cancelled"))).flatten();
        Some(by.map_or(ending, |by| Ending::Cancelled { by }))
    }

    fn exists(&self) -> bool {
        self.0.is_dir()
    }

    fn tell_process(&self, spawned: Spawned) -> Result<()> {
        write(&self.0.join("process"), &Command { pid: spawned.pid, start: spawned.start_ticks })
    }

    fn tell_cancelled(&self, by: &str) -> Result<()> {
        write(&self.0.join("cancelled"), &by)
    }

    fn tell_ending(&self, ending: &Ending) -> Result<()> {
        write(&self.0.join("ending"), ending)
    }

    /// Forgets it, once its end is in the journal.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), "cannot remove what is left of a detached job: {error}");
        }
    }
}

fn spawned(process: &Process) -> Spawned {
    Spawned { pid: process.pid, start_ticks: process.start }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value)?;
    Ok(file::replace(path, &json, 0o600)?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&file::read(path, FILE_MAX).ok()?).ok()
}

#[cfg(test)]
mod tests;
