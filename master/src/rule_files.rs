//! The files of automatic decisions: read, checked for who may write them, and read again when
//! they change.
//!
//! **Invariant:** whoever could write to one of these files could let machines into the fleet, so
//! one that others than root and the master's own user may write, or put another in the place of,
//! is not used, and neither is any other rule then: an `autoreject_file` that fell away must not
//! leave `auto_accept` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_local::text::escape;
use brine_local::walk::{self, Facts, VetError, walk};
use brine_pki::registry::rules::{BYTES_MAX, Expressions, ExpressionsError, Rules, lines};
use nix::fcntl::OFlag;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::engine::Input;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// How long a file has to be unchanged before one look at it counts for good: a file system's
/// clock may be coarser than two writes are apart.
const SETTLED_S: u64 = 2;

/// The most grains that `autosign_grains_dir` may list.
const GRAINS_MAX: usize = 100;

/// Why automatic decisions are not made, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum RuleFileError {
    /// It is not there, or cannot be read.
    #[error("cannot read {} (option {option:?}): {reason}", .path.display())]
    Read {
        /// The option that names it.
        option: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Others may write it.
    #[error(
        "{} (option {option:?}) could be written by others than root and this master ({why}), who could let machines in; run: {mend}",
        .path.display()
    )]
    Open {
        /// The option that names it.
        option: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its mode or its owner.
        why: String,
        /// What mends it.
        mend: String,
    },
    /// What is in it cannot be used.
    #[error("cannot use {} (option {option:?}): {reason}", .path.display())]
    Content {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The files, and how they looked when they were read last.
#[derive(Debug)]
pub struct RuleFiles {
    auto_accept: bool,
    autosign: Option<PathBuf>,
    autoreject: Option<PathBuf>,
    grains: Option<PathBuf>,
    own_uid: u32,
    /// With everything on the way to them.
    seen: BTreeMap<PathBuf, Option<Facts>>,
    is_settled: bool,
}

impl RuleFiles {
    /// The files that the options name, relative ones under the folder of the configuration.
    #[must_use]
    pub fn new(config: &Config, folder: &Path) -> Self {
        let under = |path: &Option<PathBuf>| path.as_ref().map(|path| folder.join(path));
        Self {
            auto_accept: config.auto_accept,
            autosign: under(&config.autosign_file),
            autoreject: under(&config.autoreject_file),
            grains: under(&config.autosign_grains_dir),
            own_uid: nix::unistd::geteuid().as_raw(),
            seen: BTreeMap::new(),
            is_settled: false,
        }
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// A file cannot be used; then no rule holds.
    pub fn read(&mut self) -> Result<Rules, RuleFileError> {
        // Looked at before it is read: a change in between is a change at the next look.
        self.seen = self.look();
        let now = brine_local::clock::wall().0 / 1_000_000;
        let changed = self.seen.values().flatten().filter_map(Facts::changed_at);
        // One from after a clock was set back is as good as an old one.
        self.is_settled = changed.max().is_none_or(|newest| newest.abs_diff(now) > SETTLED_S);
        let mut rules = Rules { auto_accept: self.auto_accept, ..Rules::default() };
        if let Some(path) = &self.autoreject {
            rules.autoreject = self.expressions("autoreject_file", path)?;
        }
        if let Some(path) = &self.autosign {
            rules.autosign = self.expressions("autosign_file", path)?;
        }
        if let Some(path) = &self.grains {
            rules.autosign_grains = self.grains(path)?;
        }
        Ok(rules)
    }

    /// Reads the rules again if a file may have changed since.
    pub fn changed(&mut self) -> Option<Result<Rules, RuleFileError>> {
        (!self.is_settled || self.look() != self.seen).then(|| self.read())
    }

    /// Whether there is a file to look at.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.autosign.is_some() || self.autoreject.is_some() || self.grains.is_some()
    }

    fn look(&self) -> BTreeMap<PathBuf, Option<Facts>> {
        let named = [&self.autosign, &self.autoreject, &self.grains].into_iter().flatten().cloned();
        let listed = self.grains.as_deref().and_then(|folder| listed(folder).ok()).unwrap_or_default();
        let steps = named.chain(listed).flat_map(|path| walk(&path).0);
        steps.map(|step| (step.path, step.facts)).collect()
    }

    fn expressions(&self, option: &'static str, path: &Path) -> Result<Expressions, RuleFileError> {
        Expressions::parse(&self.text(option, path)?).map_err(|error| RuleFileError::Content {
            option,
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    fn grains(&self, folder: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, RuleFileError> {
        let option = "autosign_grains_dir";
        let files = listed(&self.vet(option, folder)?).map_err(|reason| RuleFileError::Read {
            option,
            path: folder.to_owned(),
            reason,
        })?;
        if files.len() > GRAINS_MAX {
            let reason = format!("it has more than {GRAINS_MAX} files");
            return Err(RuleFileError::Content { option, path: folder.to_owned(), reason });
        }
        let mut grains = BTreeMap::new();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = self.text(option, &path)?;
            grains.insert(name, lines(&text).map(|(_, line)| line.to_owned()).collect());
        }
        Ok(grains)
    }

    /// A file's text, once it is known that nobody else could have written it.
    fn text(&self, option: &'static str, path: &Path) -> Result<String, RuleFileError> {
        let failed = |reason| RuleFileError::Read { option, path: path.to_owned(), reason };
        let real = self.vet(option, path)?;
        // Without waiting: the name may have become a pipe.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
            .open(&real)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        self.check(option, &real, &Facts::of(&found), true)?;
        content(file).map_err(|reason| RuleFileError::Content { option, path: path.to_owned(), reason })
    }

    /// Refuses what others may write, or may put something else in the place of. Returns where it
    /// really is.
    fn vet(&self, option: &'static str, path: &Path) -> Result<PathBuf, RuleFileError> {
        walk::vet(path, self.own_uid).map_err(|error| match error {
            VetError::Read(reason) => RuleFileError::Read { option, path: path.to_owned(), reason },
            VetError::Open { path, why, mend } => RuleFileError::Open { option, path, why, mend },
        })
    }

    fn check(
        &self,
        option: &'static str,
        path: &Path,
        facts: &Facts,
        is_end: bool,
    ) -> Result<(), RuleFileError> {
        let Some((why, mend)) = facts.weakness(path, self.own_uid, is_end) else { return Ok(()) };
        Err(RuleFileError::Open { option, path: path.to_owned(), why, mend })
    }
}

/// The files of a folder, without hidden ones, in the order of their names.
fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.path().is_file() {
            files.push(entry.path());
        }
        // One more than is used tells that there are too many.
        if files.len() > GRAINS_MAX {
            break;
        }
    }
    files.sort();
    Ok(files)
}

fn content(file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > BYTES_MAX {
        return Err(ExpressionsError::Bytes.to_string());
    }
    String::from_utf8(bytes).map_err(|error| escape(&error.utf8_error().to_string()))
}

/// Looks at the files as long as the engine runs, and tells it what they say when they change, or
/// when other files take their place: those have just been read.
pub async fn watch(
    mut files: RuleFiles,
    mut others: mpsc::UnboundedReceiver<(RuleFiles, Rules)>,
    inputs: mpsc::Sender<Input>,
) {
    let mut problem: Option<String> = None;
    loop {
        let read = tokio::select! {
            other = others.recv() => match other {
                Some((other, rules)) => {
                    files = other;
                    Ok(rules)
                }
                None => return,
            },
            () = tokio::time::sleep(EVERY), if files.is_any() => {
                // A disk may be slow, and one on the network may not answer at all.
                let looked = tokio::task::spawn_blocking(move || {
                    let changed = files.changed();
                    (files, changed)
                });
                let changed;
                (files, changed) = match looked.await {
                    Ok(looked) => looked,
                    Err(error) => {
                        tracing::error!(%error, "the files of automatic decisions are no longer looked at");
                        return;
                    }
                };
                let Some(read) = changed else { continue };
                read
            }
        };
        let (rules, found) = match read {
            Ok(rules) => (rules, None),
            Err(error) => (Rules::default(), Some(format!("no key is decided automatically: {error}"))),
        };
        if found != problem {
            match &found {
                Some(sentence) => tracing::error!("{sentence}"),
                None => tracing::info!("keys are decided automatically again"),
            }
            problem.clone_from(&found);
        }
        if inputs.send(Input::Rules { rules: Box::new(rules), problem: found }).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
