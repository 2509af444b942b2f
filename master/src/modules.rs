//! Custom modules: the folder that minions get theirs from.
//!
//! **Invariant:** whoever could write to a module could run what they like on every minion that
//! fetches it, so one that others than root and the master's own user may write, or put another in
//! the place of, is not handed out. A file is judged when it is listed and again when it is read.

mod folder;

use std::path::PathBuf;
use std::sync::Arc;

use brine_local::Paths;
use brine_protocol::modules::{Digest, FileName};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::engine::{Input, ModuleStep, ModulesDone};
pub use folder::Catalogue;

/// Where the modules are.
#[derive(Debug, Clone)]
pub struct Source {
    folder: PathBuf,
    /// Nobody named it: it need not be there.
    is_default: bool,
    own_uid: u32,
}

impl Source {
    /// As the options say; a relative folder is under that of the configuration.
    #[must_use]
    pub fn new(config: &Config, paths: &Paths) -> Self {
        let folder = match &config.modules_dir {
            Some(folder) => paths.config_dir().join(folder),
            None => paths.modules(),
        };
        let own_uid = nix::unistd::geteuid().as_raw();
        Self { folder, is_default: config.modules_dir.is_none(), own_uid }
    }

    /// What there is, and what of it is handed out.
    #[must_use]
    pub fn list(&self) -> Catalogue {
        folder::list(self)
    }

    /// The bytes of a file that has this hash.
    ///
    /// # Errors
    /// It is not there, is not to be handed out, or is another one by now; one sentence.
    pub fn read(&self, name: &FileName, sha256: Digest) -> Result<Bytes, String> {
        folder::read(self, name, sha256)
    }
}

/// Reads what the engine asks for, as long as that runs. How much at the same time is its to decide.
pub async fn watch(
    source: watch::Receiver<Source>,
    mut steps: mpsc::UnboundedReceiver<ModuleStep>,
    inputs: mpsc::Sender<Input>,
) {
    let said = Arc::new(Said::default());
    while let Some(step) = steps.recv().await {
        let (source, said, inputs) = (source.borrow().clone(), Arc::clone(&said), inputs.clone());
        // Each on its own: a disk may be slow, and whoever fetches does not wait for a long list.
        tokio::spawn(async move {
            // The engine is gone only when the program ends.
            let _ = inputs.send(Input::Modules(perform(source, step, said).await)).await;
        });
    }
}

async fn perform(source: Source, step: ModuleStep, said: Arc<Said>) -> ModulesDone {
    let crashed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "reading the modules has failed");
        "the master cannot read its modules: its log says why".to_owned()
    };
    match step {
        ModuleStep::List => {
            let listed = tokio::task::spawn_blocking(move || {
                let catalogue = source.list();
                said.say(&catalogue);
                catalogue
            });
            let broken = |problem| Catalogue { problem: Some(problem), ..Catalogue::default() };
            ModulesDone::Listed(Arc::new(listed.await.map_err(crashed).unwrap_or_else(broken)))
        }
        ModuleStep::Read(read) => {
            let (name, sha256) = (read.name.clone(), read.sha256);
            let bytes = tokio::task::spawn_blocking(move || source.read(&name, sha256)).await;
            ModulesDone::Read(read, bytes.map_err(crashed).and_then(|bytes| bytes))
        }
    }
}

/// What the log has of the folder already.
#[derive(Debug, Default)]
struct Said(std::sync::Mutex<Vec<String>>);

impl Said {
    /// Logs what is new.
    fn say(&self, catalogue: &Catalogue) {
        let refused = catalogue
            .refused
            .iter()
            .map(|file| format!("the module {} is not handed out: {}", file.name, file.why));
        let problem = catalogue.problem.iter().map(|problem| format!("no module is handed out: {problem}"));
        let notices: Vec<String> = problem.chain(refused).collect();
        let mut said = self.0.lock().expect("no holder panics");
        for notice in notices.iter().filter(|notice| !said.contains(notice)) {
            tracing::warn!("{notice}");
        }
        *said = notices;
    }
}

#[cfg(test)]
mod tests;
