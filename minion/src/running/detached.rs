//! Detached jobs in the table: started, found again, forgotten.

use brine_protocol::Jid;
use brine_protocol::job::Ending;
use tokio::sync::{mpsc, oneshot};

use super::{Entry, Table, World};
use crate::book::Process;
use crate::detached::{self, About};
use crate::engine::{DetachedStep, Input, Job};
use crate::functions::{Context, RunningJob};

impl Table {
    /// Does the next step for a detached job.
    pub fn on_detached(
        &self,
        jid: Jid,
        step: DetachedStep,
        world: &World,
        inputs: &mpsc::UnboundedSender<Input>,
    ) {
        match step {
            DetachedStep::Proceed => {
                let proceed = self.lock().jobs.get_mut(&jid).and_then(|entry| entry.proceed.take());
                if let Some(proceed) = proceed {
                    // It has failed already when nobody listens.
                    let _ = proceed.send(());
                }
            }
            DetachedStep::Resume { functions, process } => {
                self.resume(jid, functions, process, world, inputs);
            }
            DetachedStep::Forget => {
                let folder = world.detached.job(jid);
                drop(tokio::task::spawn_blocking(move || folder.remove()));
            }
        }
    }

    fn resume(
        &self,
        jid: Jid,
        functions: String,
        process: Option<Process>,
        world: &World,
        inputs: &mpsc::UnboundedSender<Input>,
    ) {
        let folder = world.detached.job(jid);
        let about = folder.about();
        tracing::info!(%jid, fun = functions, "a detached job is watched again");
        let shown = RunningJob {
            jid,
            functions,
            pid: None,
            started: about.as_ref().map_or_else(brine_local::clock::wall, |about| about.started),
            principal: about.map(|about| about.principal).unwrap_or_default(),
            is_detached: true,
        };
        let (journal, watched) = (world.journal.clone(), folder.clone());
        self.begin(shown, Some(folder), None, inputs.clone(), move |killed| async move {
            detached::watch(process, &watched, &journal, jid, killed).await
        });
    }
}

/// Starts a detached job and waits for its end.
pub(super) async fn run(
    job: Job,
    shown: RunningJob,
    context: Context,
    world: World,
    inputs: mpsc::UnboundedSender<Input>,
    proceed: oneshot::Receiver<()>,
    killed: oneshot::Receiver<String>,
) -> Ending {
    let jid = job.jid;
    let about = About {
        journal: world.journal.clone(),
        functions: shown.functions,
        principal: shown.principal,
        started: shown.started,
    };
    let start = detached::Start {
        job: &job,
        context: &context,
        journal: &world.journal,
        about,
        detached: &world.detached,
        on_supervisor: Box::new(move |process| {
            // Nobody listens any more when the minion stops.
            let _ = inputs.send(Input::Spawned { jid, process });
        }),
        proceed,
    };
    detached::start(start, killed).await
}

impl Entry {
    /// What runs for it: of a detached job, what its supervisor has started.
    pub(super) fn look(&mut self) {
        if let Some(process) = self.detached.as_ref().and_then(detached::Folder::process) {
            self.shown.pid = Some(process.pid);
            self.processes = vec![process];
        }
    }
}
