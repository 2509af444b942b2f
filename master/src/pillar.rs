//! Pillar: static data for each minion, out of YAML files that only the master reads.
//!
//! [`files`] reads, [`top`] says which files are whose, [`tree`] is what was read and makes of it
//! what one minion gets; that is pure, and the engine's. **Invariant:** what is in the files is in
//! memory and in the messages to its minion, and nowhere else: no `Debug`, error, log line or event
//! has a value of them.

mod files;
mod roots;
mod top;
mod tree;

use std::path::{Path, PathBuf};

use brine_local::Paths;
use brine_protocol::target::Nodegroups;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::engine::Input;
pub use files::{Fault, Read};
pub use roots::Roots;
pub use tree::{Compiled, Selection, Tree};

/// Where pillar is read from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The folders, the first one that has a file first.
    roots: Vec<PathBuf>,
    /// Nobody named them: the folder need not be there.
    is_default: bool,
    nodegroups: Nodegroups,
    own_uid: u32,
}

impl Source {
    /// As the options say; relative folders are under that of the configuration.
    #[must_use]
    pub fn new(config: &Config, paths: &Paths) -> Self {
        let named = config.pillar_roots.folders();
        let folder = paths.config_dir();
        let roots = match named {
            [] => vec![paths.pillar()],
            named => named.iter().map(|root| folder.join(root)).collect(),
        };
        Self {
            roots,
            is_default: named.is_empty(),
            nodegroups: config.nodegroups.clone(),
            own_uid: nix::unistd::geteuid().as_raw(),
        }
    }

    /// Folders for tests.
    #[cfg(test)]
    fn of(roots: &[&Path]) -> Self {
        Self {
            roots: roots.iter().map(|root| root.to_path_buf()).collect(),
            is_default: false,
            nodegroups: Nodegroups::new(),
            own_uid: nix::unistd::geteuid().as_raw(),
        }
    }

    /// Reads the files.
    #[must_use]
    pub fn read(&self) -> Read {
        files::read(self)
    }

    /// The folders in one line.
    fn shown(&self) -> String {
        let shown: Vec<String> = self.roots.iter().map(|root| shown(root)).collect();
        shown.join(", ")
    }
}

fn shown(path: &Path) -> String {
    brine_local::text::escape(&path.display().to_string())
}

/// Reads the files again when they are elsewhere, on SIGHUP, and when the engine asks for it, as long
/// as that runs.
pub async fn watch(
    mut source: watch::Receiver<Source>,
    mut asks: mpsc::UnboundedReceiver<()>,
    mut said: Said,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        let asked = tokio::select! {
            changed = source.changed() => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
            ask = asks.recv() => match ask {
                Some(()) => true,
                None => return,
            },
        };
        let present = source.borrow_and_update().clone();
        // A disk may be slow, and one on the network may not answer at all.
        let read = match tokio::task::spawn_blocking(move || present.read()).await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "reading the pillar files has failed");
                continue;
            }
        };
        if inputs.send(said.input(read, asked)).await.is_err() {
            return;
        }
    }
}

/// What the log has of the files already.
#[derive(Debug, Default)]
pub struct Said {
    fault: Option<Fault>,
    warning: Option<String>,
}

impl Said {
    /// Logs what is new, and makes of it what the engine takes.
    #[must_use]
    pub fn input(&mut self, read: Read, asked: bool) -> Input {
        self.say(&read);
        Input::Pillar { tree: read.tree.map_err(|fault| fault.to_string()), asked }
    }

    fn say(&mut self, read: &Read) {
        let fault = read.tree.as_ref().err();
        if fault != self.fault.as_ref() {
            match fault {
                Some(fault) => tracing::error!(
                    "the pillar files cannot be used, and what was read before stays: {fault}"
                ),
                None => tracing::info!("the pillar files can be used again"),
            }
            self.fault = fault.cloned();
        }
        if read.warning != self.warning {
            if let Some(warning) = &read.warning {
                tracing::warn!("{warning}");
            }
            self.warning.clone_from(&read.warning);
        }
    }
}

#[cfg(test)]
mod tests;
