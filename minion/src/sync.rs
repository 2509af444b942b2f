//! Custom modules as the master has them: asked for, checked, put in place one by one.
//!
//! [`plan`] says what is to be done, [`folder`] does it. **Invariant:** at every moment each file
//! is the old one or the new one, and what `.from-master` names with its hash came from the master;
//! nothing else is ever overwritten or removed.

mod folder;
mod plan;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brine_local::text::escape;
use brine_protocol::message::ToMaster;
use brine_protocol::modules::{Digest, FileName, MODULES_MAX, Module, ModuleWanted, Modules, ModulesWanted};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use self::folder::Folder;
use self::plan::{Fetch, Plan};

/// What a job wants of the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Which modules there are.
    List,
    /// One of them, as it was listed.
    Fetch(FileName, Digest),
}

impl Wish {
    /// The wish in a message.
    #[must_use]
    pub fn to_message(&self, ask: u64) -> ToMaster {
        match self {
            Wish::List => ToMaster::ModulesWanted(ModulesWanted { ask }),
            Wish::Fetch(name, sha256) => {
                let wanted = ModuleWanted { ask, name: name.clone(), sha256: *sha256 };
                ToMaster::ModuleWanted(Box::new(wanted))
            }
        }
    }
}

/// What the master answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Wish::List`].
    Listed(Box<Modules>),
    /// To [`Wish::Fetch`].
    Fetched(Box<Module>),
}

/// A job that asks, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What it wants.
    pub wish: Wish,
    /// Closed when it waits no longer.
    pub answer: oneshot::Sender<Answer>,
}

/// What a synchronisation came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The names of the modules that are new or others now.
    pub changed: Vec<String>,
    /// What was not done and why, one sentence each.
    pub notices: Vec<String>,
}

/// The way of jobs to the master's modules; one job at a time goes it.
#[derive(Debug, Default)]
pub struct Syncs {
    asks: Option<mpsc::UnboundedSender<Ask>>,
    turn: Arc<Mutex<()>>,
}

/// That of a minion with a master, and where the asking ends.
#[must_use]
pub fn channel() -> (Arc<Syncs>, mpsc::UnboundedReceiver<Ask>) {
    let (asks, received) = mpsc::unbounded_channel();
    (Arc::new(Syncs { asks: Some(asks), turn: Arc::default() }), received)
}

/// Held while files are changed, also by a thread whose job was killed meanwhile.
type Turn = Arc<OwnedMutexGuard<()>>;

impl Syncs {
    /// Makes the modules in `folder` those of the master. Each of its answers may take `patience`.
    ///
    /// # Errors
    /// The master does not answer, or hands out nothing; or the folder cannot be used. Files that
    /// were not changed until then are as they were.
    pub async fn sync(
        &self,
        folder: PathBuf,
        patience: Duration,
        is_builtin: fn(&str) -> bool,
    ) -> Result<Synced, String> {
        if self.asks.is_none() {
            return Err(
                "there is no master to ask: run brine.sync_modules on this minion from there".to_owned()
            );
        }
        let turn: Turn = Arc::new(Arc::clone(&self.turn).lock_owned().await);
        let listed = self.list(patience).await?;
        let (folder, plan) = on_disk(&turn, move || prepare(&folder, &listed, is_builtin)).await??;
        let Plan { fetch, remove, notices, origins } = plan;
        let mut synced = Synced { changed: Vec::new(), notices };
        let Some(folder) = folder.map(Arc::new) else { return Ok(synced) };
        for wanted in fetch {
            let (name, module) = (wanted.name.clone(), wanted.name.module().to_owned());
            let fetched = match self.fetch(&wanted, patience).await {
                Ok(fetched) => fetched,
                Err(why) if synced.changed.is_empty() => return Err(why),
                Err(why) => return Err(format!("{why}; changed already: {}", synced.changed.join(", "))),
            };
            let in_folder = Arc::clone(&folder);
            let placed = match check(&wanted, &fetched) {
                Ok(()) => on_disk(&turn, move || in_folder.place(&wanted, &fetched.body)).await?,
                Err(why) => Err(why),
            };
            match placed {
                Ok(()) => synced.changed.push(module),
                Err(why) => synced.notices.push(said(&name, why)),
            }
        }
        on_disk(&turn, move || folder.finish(&remove, &origins)).await??;
        Ok(synced)
    }

    async fn list(&self, patience: Duration) -> Result<Modules, String> {
        let listed = match self.ask(Wish::List, patience).await? {
            Answer::Listed(listed) => *listed,
            Answer::Fetched(_) => return Err("the master's answer is to another question".to_owned()),
        };
        if let Some(problem) = &listed.problem {
            return Err(format!("the master hands out no modules, and those here stay: {}", escape(problem)));
        }
        if listed.files.len() > MODULES_MAX {
            return Err(format!("the master lists {} modules, more than {MODULES_MAX}", listed.files.len()));
        }
        Ok(listed)
    }

    async fn fetch(&self, wanted: &Fetch, patience: Duration) -> Result<Module, String> {
        match self.ask(Wish::Fetch(wanted.name.clone(), wanted.listed.sha256), patience).await? {
            Answer::Fetched(fetched) => Ok(*fetched),
            Answer::Listed(_) => Err("the master's answer is to another question".to_owned()),
        }
    }

    async fn ask(&self, wish: Wish, patience: Duration) -> Result<Answer, String> {
        let stopping = || "the minion stops".to_owned();
        let what = match &wish {
            Wish::List => "the list of its modules".to_owned(),
            Wish::Fetch(name, _) => format!("the module {name}"),
        };
        let (answer, answered) = oneshot::channel();
        let asks = self.asks.as_ref().ok_or_else(stopping)?;
        asks.send(Ask { wish, answer }).map_err(|_| stopping())?;
        match timeout(patience, answered).await {
            Ok(answer) => answer.map_err(|_| stopping()),
            Err(_) => Err(format!(
                "the master has not sent {what} within {} s; what was not replaced until now stays as it was",
                patience.as_secs_f64()
            )),
        }
    }
}

/// Where the modules are, if that is needed, and what is to be done there.
fn prepare(
    path: &Path,
    listed: &Modules,
    is_builtin: fn(&str) -> bool,
) -> Result<(Option<Folder>, Plan), String> {
    let Some(folder) = Folder::open(path, !listed.files.is_empty())? else {
        return Ok((None, plan::plan(listed, &plan::Here::default(), is_builtin)));
    };
    let here = folder.look()?;
    let plan = plan::plan(listed, &here, is_builtin);
    // Before any file: one that is found later without its hash here would count as somebody else's.
    folder.remember(&plan.origins)?;
    Ok((Some(folder), plan))
}

/// Whether what came is what was wanted.
fn check(wanted: &Fetch, fetched: &Module) -> Result<(), String> {
    if let Some(why) = &fetched.refused {
        return Err(why.clone());
    }
    if fetched.name != wanted.name || fetched.body.len() != wanted.listed.size {
        return Err(format!(
            "the master sent {} bytes of {} and had listed {}; not taken",
            fetched.body.len(),
            fetched.name,
            wanted.listed.size
        ));
    }
    if folder::digest(&fetched.body) != wanted.listed.sha256 {
        return Err("what the master sent has another SHA-256 than it had listed; not taken".to_owned());
    }
    Ok(())
}

fn said(name: &impl Display, why: impl Display) -> String {
    escape(&format!("{name}: {why}"))
}

/// Does slow work with files, to its end once it has begun.
async fn on_disk<T: Send + 'static>(
    turn: &Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let turn = Arc::clone(turn);
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|_| "writing the modules has crashed; the minion's log says where".to_owned())
}

#[cfg(test)]
mod tests;
