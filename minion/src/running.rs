//! Jobs while they run: one task each, a table of them, and the ways they end.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brine_protocol::job::Ending;
use brine_protocol::{Jid, MinionId};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::book::Process;
use crate::engine::{Input, Job};
use crate::functions::{self, Context, Jobs, RunningJob};
use crate::grains::Grains;
use crate::leftovers::{MARK_JID, MARK_JOURNAL};
use crate::rotation::KeyChange;

/// What every job gets.
#[derive(Clone)]
pub struct World {
    /// The minion's id.
    pub id: MinionId,
    /// Its grains.
    pub grains: Arc<Grains>,
    /// Cap of each output stream.
    pub output_max: usize,
    /// The journal's id, to mark processes with.
    pub journal: String,
    /// Who changes the minion's key.
    pub keys: Arc<dyn KeyChange>,
}

struct Entry {
    shown: RunningJob,
    order: u64,
    kill: Option<oneshot::Sender<String>>,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Entries {
    jobs: BTreeMap<Jid, Entry>,
    next: u64,
}

/// The jobs that run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<Entries>>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Entries are whole at every point where a panic could happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job. Its processes and its end come as inputs for the engine.
    pub fn start(&self, job: Job, world: &World, inputs: mpsc::UnboundedSender<Input>) {
        let jid = job.jid;
        let (kill, killed) = oneshot::channel();
        let shown = RunningJob {
            jid,
            functions: job.functions(),
            pid: None,
            started: brine_local::clock::wall(),
            principal: job.principal.clone(),
        };
        {
            let mut entries = self.lock();
            entries.next += 1;
            let order = entries.next;
            entries.jobs.insert(jid, Entry { shown, order, kill: Some(kill), task: None });
        }
        let context = self.context(jid, world, inputs.clone());
        let table = self.clone();
        let task = tokio::spawn(async move {
            let ending = run(&job, &context, killed).await;
            table.lock().jobs.remove(&jid);
            // Nobody listens any more when the minion stops.
            let _ = inputs.send(Input::Ended { jid, ending });
        });
        if let Some(entry) = self.lock().jobs.get_mut(&jid) {
            entry.task = Some(task.abort_handle());
        }
    }

    fn context(&self, jid: Jid, world: &World, inputs: mpsc::UnboundedSender<Input>) -> Context {
        let table = self.clone();
        Context {
            id: world.id.clone(),
            grains: world.grains.clone(),
            output_max: world.output_max,
            jobs: Arc::new(self.clone()),
            keys: Arc::clone(&world.keys),
            job: Some(jid),
            on_pid: Arc::new(move |spawned| {
                if let Some(entry) = table.lock().jobs.get_mut(&jid) {
                    entry.shown.pid = Some(spawned.pid);
                }
                let process = Process { pid: spawned.pid, start: spawned.start_ticks };
                let _ = inputs.send(Input::Spawned { jid, process });
            }),
            marker: vec![
                (MARK_JOURNAL.to_owned(), world.journal.clone()),
                (MARK_JID.to_owned(), jid.to_string()),
            ],
        }
    }

    /// Ends a job as cancelled by `by`. False when it does not run or is being ended already.
    pub fn cancel(&self, jid: Jid, by: &str) -> bool {
        let kill = self.lock().jobs.get_mut(&jid).and_then(|entry| entry.kill.take());
        kill.is_some_and(|kill| kill.send(by.to_owned()).is_ok())
    }

    /// Ends all jobs without a word: what they started is killed.
    pub fn abort_all(&self) -> usize {
        let jobs = std::mem::take(&mut self.lock().jobs);
        for entry in jobs.values() {
            if let Some(task) = &entry.task {
                task.abort();
            }
        }
        jobs.len()
    }
}

impl Jobs for Table {
    fn running(&self) -> Vec<RunningJob> {
        let entries = self.lock();
        let mut jobs: Vec<&Entry> = entries.jobs.values().collect();
        jobs.sort_by_key(|entry| entry.order);
        jobs.into_iter().map(|entry| entry.shown.clone()).collect()
    }

    fn kill(&self, jid: Jid) -> bool {
        self.cancel(jid, "brine.kill_job")
    }
}

/// Runs a job to its end, to its timeout, or until it is killed; the first of these decides, and
/// dropping the call's future kills what it started.
async fn run(job: &Job, context: &Context, killed: oneshot::Receiver<String>) -> Ending {
    let call = AssertUnwindSafe(functions::run(&job.calls, context)).catch_unwind();
    let timeout = async {
        match job.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let killed = async {
        match killed.await {
            Ok(by) => by,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        result = call => match result {
            Ok(Ok(returned)) => Ending::Returned(returned),
            Ok(Err(why)) => Ending::Failed { why },
            Err(_) => Ending::Failed { why: format!("{} crashed; the minion's log says where", job.functions()) },
        },
        by = killed => Ending::Cancelled { by },
        () = timeout => Ending::TimedOut {
            after_ms: job.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brine_protocol::job::Call;
    use serde_json::{Map, json};

    use super::*;
    use crate::book::tests::jid;

    fn world() -> World {
        let id: MinionId = "m1".parse().unwrap();
        World {
            grains: Arc::new(Grains::load(id.clone(), Map::new(), None).unwrap()),
            id,
            output_max: 4096,
            journal: "j-test".into(),
            keys: Arc::new(crate::rotation::NoMaster),
        }
    }

    fn job(n: u64, function: &str, argument: serde_json::Value, timeout: Option<Duration>) -> Job {
        let call = Call { function: function.into(), arguments: vec![argument], keywords: Map::new() };
        Job { jid: jid(n), calls: vec![call], timeout, principal: "p".into() }
    }

    async fn end(inputs: &mut mpsc::UnboundedReceiver<Input>) -> (Jid, Ending) {
        loop {
            match inputs.recv().await {
                Some(Input::Ended { jid, ending }) => return (jid, ending),
                Some(_) => {}
                None => panic!("no end"),
            }
        }
    }

    #[tokio::test]
    async fn the_ways_to_end() {
        let (table, world) = (Table::default(), world());
        let (tell, mut inputs) = mpsc::unbounded_channel();
        table.start(job(1, "test.echo", json!("hi"), None), &world, tell.clone());
        let (_, ending) = end(&mut inputs).await;
        assert!(matches!(ending, Ending::Returned(returned) if returned.value == "hi"));

        table.start(
            job(2, "cmd.run", json!("sleep 60"), Some(Duration::from_millis(50))),
            &world,
            tell.clone(),
        );
        assert_eq!(end(&mut inputs).await, (jid(2), Ending::TimedOut { after_ms: 50 }));

        table.start(job(3, "test.sleep", json!(60), None), &world, tell.clone());
        assert_eq!(table.running().len(), 1);
        assert!(table.kill(jid(3)));
        assert!(!table.kill(jid(3)));
        assert_eq!(end(&mut inputs).await, (jid(3), Ending::Cancelled { by: "brine.kill_job".into() }));
        assert!(table.running().is_empty());
    }

    #[tokio::test]
    async fn processes_are_marked_and_told() {
        let (table, world) = (Table::default(), world());
        let (tell, mut inputs) = mpsc::unbounded_channel();
        table.start(job(1, "cmd.run", json!("echo $BRINE_JOURNAL $BRINE_JID"), None), &world, tell);
        let Some(Input::Spawned { process, .. }) = inputs.recv().await else { panic!("no process") };
        assert!(process.pid > 0);
        let (_, ending) = end(&mut inputs).await;
        assert!(
            matches!(ending, Ending::Returned(returned) if returned.value == format!("j-test {}", jid(1)))
        );
    }
}
