//! The files of automatic decisions: read, checked for who may write them, and read again when
//! they change.
//!
//! **Invariant:** whoever could write to one of these files could let machines into the fleet, so
//! one that others than root and the master's own user may write is not used, and neither is any
//! other rule then: an `autoreject_file` that fell away must not leave `auto_accept` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_local::text::escape;
use brine_pki::registry::rules::{BYTES_MAX, Expressions, ExpressionsError, Rules};
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

/// What tells that a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// None when the file cannot be looked at.
    facts: Option<Facts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    file: (u64, u64),
    /// Mode and owner.
    access: (u32, u32),
    /// Size, and when content or anything above changed, in seconds and nanoseconds. None of a
    /// folder, which changes with each file beside these: only who may write it matters.
    content: Option<(u64, i64, i64)>,
}

impl Facts {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            access: (found.mode(), found.uid()),
            content: (!found.is_dir()).then(|| (found.size(), found.ctime(), found.ctime_nsec())),
        }
    }
}

/// The files, and how they looked when they were read last.
#[derive(Debug)]
pub struct RuleFiles {
    auto_accept: bool,
    autosign: Option<PathBuf>,
    autoreject: Option<PathBuf>,
    grains: Option<PathBuf>,
    own_uid: u32,
    seen: Vec<Stamp>,
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
            seen: Vec::new(),
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
        let changed = self.seen.iter().filter_map(|stamp| stamp.facts?.content).map(|(_, at, _)| at);
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

    fn look(&self) -> Vec<Stamp> {
        let mut paths: Vec<PathBuf> = [&self.autosign, &self.autoreject, &self.grains]
            .into_iter()
            .flatten()
            .flat_map(|path| path.parent().map(Path::to_owned).into_iter().chain([path.clone()]))
            .collect();
        if let Some(Ok(files)) = self.grains.as_deref().map(listed) {
            paths.extend(files);
        }
        let stamp = |path: PathBuf| {
            let facts = fs::metadata(&path).ok().map(|found| Facts::of(&found));
            Stamp { path, facts }
        };
        paths.into_iter().map(stamp).collect()
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
        let files = listed(folder).map_err(|reason| RuleFileError::Read {
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
            let lines = text.lines().map(str::trim);
            let values = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
            grains.insert(name, values.collect());
        }
        Ok(grains)
    }

    /// A file's text, once it is known that nobody else could have written it.
    fn text(&self, option: &'static str, path: &Path) -> Result<String, RuleFileError> {
        let failed = |reason| RuleFileError::Read { option, path: path.to_owned(), reason };
        // The file behind a link, and the folder that it really is in.
        let real = path.canonicalize().map_err(failed)?;
        if let Some(folder) = real.parent() {
            self.check(option, folder, &fs::metadata(folder).map_err(failed)?)?;
        }
        // Without waiting: the name may have become a pipe.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&real)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        self.check(option, &real, &found)?;
        content(file).map_err(|reason| RuleFileError::Content { option, path: path.to_owned(), reason })
    }

    /// Refuses what others may write.
    fn check(&self, option: &'static str, path: &Path, found: &Metadata) -> Result<(), RuleFileError> {
        let open = |why, mend| RuleFileError::Open { option, path: path.to_owned(), why, mend };
        if found.uid() != 0 && found.uid() != self.own_uid {
            let mend = format!("chown {} {}", self.own_uid, path.display());
            return Err(open(format!("it belongs to user {}", found.uid()), mend));
        }
        // In a folder like /tmp nobody can replace what is somebody else's.
        let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !is_sticky {
            let mend = format!("chmod go-w {}", path.display());
            return Err(open(format!("mode {:04o}", found.mode() & 0o7777), mend));
        }
        Ok(())
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

/// Looks at the files as long as the engine runs, and tells it what they say when they change.
pub async fn watch(mut files: RuleFiles, inputs: mpsc::Sender<Input>) {
    if !files.is_any() {
        return;
    }
    let mut problem: Option<String> = None;
    loop {
        tokio::time::sleep(EVERY).await;
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
