//! The process that runs a detached job and outlives the minion.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use brine_protocol::job::{Call, Ending};
use brine_protocol::{Jid, MinionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{FILE_MAX, Folder};
use crate::engine::Job;
use crate::functions::{Context, Environment, Modules};
use crate::grains::Grains;
use crate::leftovers::{kill_jobs, marker};
use crate::pillar::Pillars;
use crate::running;

/// Pause before an ending is written again that the disk did not take.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What a supervisor is told over its standard input. It carries secrets, so it is in no file and
/// no argument.
#[derive(Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) jid: Jid,
    pub(super) journal: String,
    pub(super) calls: Vec<Call>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) id: MinionId,
    pub(super) grains: Map<String, Value>,
    pub(super) pillar: Map<String, Value>,
    pub(super) modules: Option<PathBuf>,
    pub(super) output_max: usize,
    pub(super) path: String,
    pub(super) environment: BTreeMap<String, Option<String>>,
}

/// Serves as supervisor of the detached job of this folder: reads what to run, runs it to its end,
/// and writes down how it ended.
///
/// # Errors
/// The minion ended before it had said what to run, or the ending cannot be written.
pub fn serve(folder: &Path) -> Result<()> {
    // It is started through a link whose name would show in lists of processes.
    let _ = nix::sys::prctl::set_name(c"brine-detached");
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(FILE_MAX).read_to_end(&mut bytes).context("cannot read what to run")?;
    if bytes.is_empty() {
        bail!("this is a part of brine-minion, which starts it by itself");
    }
    let spec: Spec =
        serde_json::from_slice(&bytes).map_err(|_| anyhow!("not told to the end what to run"))?;
    drop(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(spec, Folder(folder.to_owned())))
}

async fn supervise(spec: Spec, folder: Folder) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    // Whoever closes a terminal or breaks off a minion there does not mean this.
    let _ignored = (signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let (kill, killed) = oneshot::channel();
    let run = run(spec, &folder, killed);
    tokio::pin!(run);
    let ending = tokio::select! {
        ending = &mut run => ending,
        _ = terminate.recv() => {
            let _ = kill.send(String::new());
            run.await
        }
    };
    write_down(&folder, &ending).await
}

/// Writes the ending, as soon as the disk takes it: what came of the job must not be lost because
/// the disk is full.
pub(super) async fn write_down(folder: &Folder, ending: &Ending) -> Result<()> {
    while let Err(error) = folder.tell_ending(ending) {
        if !folder.exists() {
            return Err(error);
        }
        sleep(DISK_PAUSE).await;
    }
    Ok(())
}

/// Runs a job to its end, or until `killed` says so.
pub(super) async fn run(spec: Spec, folder: &Folder, killed: oneshot::Receiver<String>) -> Ending {
    let Spec { jid, journal, .. } = &spec;
    let (jid, journal) = (*jid, journal.clone());
    let context = context(&spec, folder.clone());
    let timeout = spec.timeout_ms.map(Duration::from_millis);
    let job = Job { jid, calls: spec.calls, timeout, principal: String::new(), is_detached: true };
    let ending = running::run(&job, &context, killed).await;
    match ending {
        Ending::TimedOut { .. } => drop(kill_jobs(&journal, &[jid])),
        Ending::Cancelled { .. } => {
            kill_jobs(&journal, &[jid]);
            // A minion that cancels it knows better; anybody else has interrupted it.
            let why = "the process that watched over the detached job was told to stop, as at a shutdown";
            return Ending::Interrupted { why: why.to_owned() };
        }
        _ => {}
    }
    ending
}

fn context(spec: &Spec, folder: Folder) -> Context {
    let grains = Grains::fixed(spec.id.clone(), spec.grains.clone());
    let pillar = Pillars::default();
    pillar.set(spec.pillar.clone().into());
    Context {
        output_max: spec.output_max,
        pillar: Arc::new(pillar),
        modules: spec.modules.clone().map(Modules::of).unwrap_or_default(),
        job: Some(spec.jid),
        on_pid: Arc::new(move |spawned| {
            // Without it nobody can signal the command, and that is all.
            let _ = folder.tell_process(spawned);
        }),
        path: spec.path.clone(),
        environment: Environment::of(spec.environment.clone()),
        marker: marker(&spec.journal, spec.jid),
        ..Context::local(spec.id.clone(), Arc::new(grains))
    }
}
