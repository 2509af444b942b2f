//! The minion's side of a detached job: starts its supervisor, watches it, hears its end.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use brine_protocol::Jid;
use brine_protocol::job::Ending;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::supervisor::Spec;
use super::{About, Detached, Folder, spawned};
use crate::book::Process;
use crate::engine::Job;
use crate::functions::{Context, NOT_INHERITED};
use crate::leftovers::kill_jobs;
use crate::processes::{Spawned, start_ticks};

/// How often a supervisor is looked at that an earlier minion started.
const LOOK: Duration = Duration::from_millis(100);

/// How long a supervisor that was told to stop may take to end its command and to say so.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What is needed to start a detached job.
pub(crate) struct Start<'a> {
    pub(crate) job: &'a Job,
    pub(crate) context: &'a Context,
    pub(crate) journal: &'a str,
    pub(crate) about: About,
    pub(crate) detached: &'a Detached,
    /// Hears of the supervisor's process.
    pub(crate) on_supervisor: Box<dyn FnOnce(Process) + Send + 'a>,
    /// Told once that process is in the journal.
    pub(crate) proceed: oneshot::Receiver<()>,
}

/// Starts a detached job and waits for its end. Dropping the future leaves it alone, unless it was
/// not begun.
pub(crate) async fn start(start: Start<'_>, killed: oneshot::Receiver<String>) -> Ending {
    let (journal, jid) = (start.journal.to_owned(), start.job.jid);
    let folder = start.detached.job(jid);
    match begin(start).await {
        Ok((child, process)) => watch_by(Some(child), process, &folder, &journal, jid, killed).await,
        Err(error) => Ending::Failed { why: format!("the job cannot be detached: {error:#}") },
    }
}

/// Waits for the end of a job that an earlier run of this minion has detached.
pub(crate) async fn watch(
    process: Option<Process>,
    folder: &Folder,
    journal: &str,
    jid: Jid,
    killed: oneshot::Receiver<String>,
) -> Ending {
    // The number of one that has ended, perhaps before a boot, may be anybody's.
    if let Some(ending) = folder.ending() {
        return ending;
    }
    let process = process.unwrap_or(Process { pid: 0, start: None });
    watch_by(None, process, folder, journal, jid, killed).await
}

async fn begin(start: Start<'_>) -> Result<(Child, Process)> {
    let Start { job, context, journal, about, detached, on_supervisor, proceed } = start;
    let folder = detached.make(job.jid, &about)?;
    // The program that runs now, also when its file was replaced since.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("brine-minion")
        .arg("supervise")
        .arg(&folder.0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command.envs(context.marker.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().context("its supervisor cannot be started")?;
    let pid = child.id().context("its supervisor was gone at once")?;
    let process = Process { pid, start: start_ticks(pid) };
    on_supervisor(process);
    // Without an answer the minion stops, and a supervisor that is told nothing runs nothing.
    proceed.await.context("the minion stops")?;
    let spec = Spec {
        jid: job.jid,
        journal: journal.to_owned(),
        calls: job.calls.clone(),
        timeout_ms: job.timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        id: context.id.clone(),
        grains: (*context.grains.all()).clone(),
        pillar: (*context.pillar.all()).clone(),
        modules: context.modules.folder(),
        output_max: context.output_max,
        path: context.path.clone(),
        environment: context.environment.changes(),
    };
    let spec = serde_json::to_vec(&spec)?;
    let mut stdin = child.stdin.take().context("its supervisor has no standard input")?;
    // One that is gone already shows when it is watched.
    if stdin.write_all(&spec).await.is_ok() {
        let _ = stdin.shutdown().await;
    }
    Ok((child, process))
}

async fn watch_by(
    mut child: Option<Child>,
    process: Process,
    folder: &Folder,
    journal: &str,
    jid: Jid,
    killed: oneshot::Receiver<String>,
) -> Ending {
    let supervisor = spawned(&process);
    let killed = async {
        match killed.await {
            Ok(by) => by,
            Err(_) => std::future::pending().await,
        }
    };
    let by = tokio::select! {
        biased;
        () = gone(&mut child, supervisor) => None,
        by = killed => Some(by),
    };
    if let Some(by) = &by {
        // Without it a minion that starts while this one waits would not know who ended the job, and
        // that is all.
        let _ = folder.tell_cancelled(by);
        terminate(supervisor);
        let _ = timeout(STOP_WAIT, gone(&mut child, supervisor)).await;
    }
    let ending = folder.ending();
    if matches!(ending, None | Some(Ending::Interrupted { .. } | Ending::Cancelled { .. })) {
        let journal = journal.to_owned();
        // Nothing that it started may go on once it is said to be over.
        let _ = tokio::task::spawn_blocking(move || kill_jobs(&journal, &[jid])).await;
    }
    match (ending, by) {
        (None | Some(Ending::Interrupted { .. }), Some(by)) => Ending::Cancelled { by },
        (Some(ending), _) => ending,
        (None, None) => Ending::Interrupted {
            why: "the process that watched over the detached job was killed".to_owned(),
        },
    }
}

async fn gone(child: &mut Option<Child>, supervisor: Spawned) {
    match child {
        // It fails only when there is nothing to wait for.
        Some(child) => drop(child.wait().await),
        None => {
            while supervisor.is_alive() {
                sleep(LOOK).await;
            }
        }
    }
}

fn terminate(supervisor: Spawned) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    if supervisor.is_alive() {
        // It fails when it is gone already.
        let _ = kill(Pid::from_raw(supervisor.pid.cast_signed()), Signal::SIGTERM);
    }
}
