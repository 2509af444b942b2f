//! Jobs while they run: one task each, a table of them, and the ways they end.

mod detached;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brine_protocol::job::Ending;
use brine_protocol::signal::SignalName;
use brine_protocol::{Jid, MinionId};
use futures_util::FutureExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::book::Process;
use crate::detached::{Detached, Folder};
use crate::engine::{Input, Job};
use crate::functions::{self, Context, Environment, Jobs, Modules, RunningJob, Signalled, search_path};
use crate::grains::Grains;
use crate::leftovers::{kill_jobs, marker};
use crate::pillar::Pillars;
use crate::processes::Spawned;
use crate::rotation::KeyChange;
use crate::sync::Syncs;

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
    /// Its pillar.
    pub pillar: Arc<Pillars>,
    /// Its custom modules.
    pub modules: Modules,
    /// The way to the master's.
    pub syncs: Arc<Syncs>,
    /// Where its detached jobs are.
    pub detached: Detached,
}

struct Entry {
    shown: RunningJob,
    order: u64,
    /// Processes that it has started and that may still be there.
    processes: Vec<Spawned>,
    kill: Option<oneshot::Sender<String>>,
    /// Where a detached job is.
    detached: Option<Folder>,
    /// Waits for the supervisor of a detached job to be in the journal.
    proceed: Option<oneshot::Sender<()>>,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Entries {
    jobs: BTreeMap<Jid, Entry>,
    next: u64,
    environment: Environment,
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
        let shown = RunningJob {
            jid,
            functions: job.functions(),
            pid: None,
            started: brine_local::clock::wall(),
            principal: job.principal.clone(),
            is_detached: job.is_detached,
        };
        let context = self.context(jid, world, inputs.clone());
        if job.is_detached {
            let (world, tell, about) = (world.clone(), inputs.clone(), shown.clone());
            let folder = world.detached.job(jid);
            let (proceed, may_proceed) = oneshot::channel();
            self.begin(shown, Some(folder), Some(proceed), inputs, move |killed| {
                detached::run(job, about, context, world, tell, may_proceed, killed)
            });
            return;
        }
        let (table, journal) = (self.clone(), world.journal.clone());
        self.begin(shown, None, None, inputs, move |killed| async move {
            let ending = run(&job, &context, killed).await;
            let is_killed = matches!(ending, Ending::TimedOut { .. } | Ending::Cancelled { .. });
            if is_killed && table.has_spawned(jid) {
                // What has left its group, also of the job's earlier functions.
                let _ = tokio::task::spawn_blocking(move || kill_jobs(&journal, &[jid])).await;
            }
            ending
        });
    }

    /// Puts a job into the table, and its end into the inputs.
    fn begin<F: Future<Output = Ending> + Send + 'static>(
        &self,
        shown: RunningJob,
        detached: Option<Folder>,
        proceed: Option<oneshot::Sender<()>>,
        inputs: mpsc::UnboundedSender<Input>,
        body: impl FnOnce(oneshot::Receiver<String>) -> F,
    ) {
        let jid = shown.jid;
        let (kill, killed) = oneshot::channel();
        {
            let mut entries = self.lock();
            entries.next += 1;
            let order = entries.next;
            let (kill, processes) = (Some(kill), Vec::new());
            let entry = Entry { shown, order, processes, kill, detached, proceed, task: None };
            entries.jobs.insert(jid, entry);
        }
        let (table, ending) = (self.clone(), body(killed));
        let task = tokio::spawn(async move {
            let ending = ending.await;
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
            pillar: Arc::clone(&world.pillar),
            modules: world.modules.clone(),
            syncs: Arc::clone(&world.syncs),
            job: Some(jid),
            on_pid: Arc::new(move |spawned| {
                if let Some(entry) = table.lock().jobs.get_mut(&jid) {
                    entry.shown.pid = Some(spawned.pid);
                    entry.processes.retain(Spawned::is_there);
                    entry.processes.push(spawned);
                }
                let process = Process { pid: spawned.pid, start: spawned.start_ticks };
                let _ = inputs.send(Input::Spawned { jid, process });
            }),
            path: search_path(),
            environment: self.lock().environment.clone(),
            marker: marker(&world.journal, jid),
        }
    }

    /// Ends a job as cancelled by `by`. False when it does not run or is being ended already.
    pub fn cancel(&self, jid: Jid, by: &str) -> bool {
        let kill = self.lock().jobs.get_mut(&jid).and_then(|entry| entry.kill.take());
        kill.is_some_and(|kill| kill.send(by.to_owned()).is_ok())
    }

    fn has_spawned(&self, jid: Jid) -> bool {
        self.lock().jobs.get(&jid).is_some_and(|entry| entry.shown.pid.is_some())
    }

    /// Ends all jobs that are not detached, without a word, and kills what they started. Gives those
    /// of which nothing is left; of others a later minion looks for what is.
    pub async fn abort_all(&self, journal: &str) -> Vec<Jid> {
        let jobs = {
            let mut entries = self.lock();
            let all = std::mem::take(&mut entries.jobs).into_iter();
            let (going_on, jobs): (BTreeMap<_, _>, BTreeMap<_, _>) =
                all.partition(|(_, entry)| entry.detached.is_some());
            entries.jobs = going_on;
            jobs
        };
        for entry in jobs.values() {
            if let Some(task) = &entry.task {
                task.abort();
            }
        }
        let jids: Vec<Jid> = jobs.keys().copied().collect();
        if jobs.values().all(|entry| entry.shown.pid.is_none()) {
            return jids;
        }
        let (journal, killed) = (journal.to_owned(), jids.clone());
        let is_clean = tokio::task::spawn_blocking(move || kill_jobs(&journal, &killed)).await;
        if is_clean.unwrap_or(false) { jids } else { Vec::new() }
    }
}

impl Jobs for Table {
    fn running(&self) -> Vec<RunningJob> {
        let mut entries = self.lock();
        entries.jobs.values_mut().for_each(Entry::look);
        let mut jobs: Vec<&Entry> = entries.jobs.values().collect();
        jobs.sort_by_key(|entry| entry.order);
        jobs.into_iter().map(|entry| entry.shown.clone()).collect()
    }

    fn kill(&self, jid: Jid) -> bool {
        self.cancel(jid, "brine.kill_job")
    }

    fn signal(&self, jid: Jid, signal: SignalName, by: &str) -> Signalled {
        let mut entries = self.lock();
        let Some(entry) = entries.jobs.get_mut(&jid) else {
            return Signalled::Nothing;
        };
        entry.look();
        entry.processes.retain(Spawned::is_there);
        if let Some(last) = entry.processes.last() {
            for process in &entry.processes {
                send(process.pid, signal);
            }
            return Signalled::Sent(last.pid);
        }
        drop(entries);
        if signal.is_for_ending() && self.cancel(jid, &format!("signal {signal} from {by}")) {
            return Signalled::Ended;
        }
        Signalled::Nothing
    }
}

/// Signals a process and all that it has started: it leads a group of its own.
fn send(pid: u32, signal: SignalName) {
    let name = format!("SIG{signal}");
    if let (Ok(pid), Ok(signal)) = (i32::try_from(pid), name.parse::<Signal>()) {
        // It fails when nobody is left to hear it.
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Runs a job to its end, to its timeout, or until it is killed; the first of these decides, and
/// dropping the call's future kills what it started.
pub(crate) async fn run(job: &Job, context: &Context, killed: oneshot::Receiver<String>) -> Ending {
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
            // Tests run side by side, and what belongs to a job is found by this name.
            journal: format!("j-{}", uuid::Uuid::new_v4().simple()),
            keys: Arc::new(crate::rotation::NoMaster),
            pillar: Arc::default(),
            modules: Modules::default(),
            syncs: Arc::default(),
            detached: Detached::of("/nonexistent".into()),
        }
    }

    fn job(n: u64, function: &str, argument: serde_json::Value, timeout: Option<Duration>) -> Job {
        let call = Call { function: function.into(), arguments: vec![argument], keywords: Map::new() };
        Job { jid: jid(n), calls: vec![call], timeout, principal: "p".into(), is_detached: false }
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
    async fn a_signal_reaches_the_whole_group_of_a_running_process_and_nobody_else() {
        let (table, world) = (Table::default(), world());
        let (tell, mut inputs) = mpsc::unbounded_channel();
        let script = "trap 'echo caught; kill $!; exit 7' USR1; sleep 60 & echo ready >&2; wait";
        table.start(job(1, "cmd.run", json!(script), None), &world, tell.clone());
        let Some(Input::Spawned { process, .. }) = inputs.recv().await else { panic!("no process") };
        let usr1: SignalName = "USR1".parse().unwrap();
        assert_eq!(table.signal(jid(2), usr1, "ann"), Signalled::Nothing);
        // Until the shell has set its trap, the signal would end it.
        let status = format!("/proc/{}/status", process.pid);
        let catches = || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
            mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & (1 << 9) != 0)
        };
        while !catches() {
            tokio::task::yield_now().await;
        }
        assert_eq!(table.signal(jid(1), usr1, "ann"), Signalled::Sent(process.pid));
        let (_, ending) = end(&mut inputs).await;
        let Ending::Returned(returned) = ending else { panic!("{ending:?}") };
        assert_eq!(returned.retcode, 7, "{}", returned.value);
        assert!(returned.value.as_str().unwrap().contains("caught"), "{}", returned.value);
        assert_eq!(table.signal(jid(1), usr1, "ann"), Signalled::Nothing, "it is over");
    }

    #[tokio::test]
    async fn a_job_without_a_process_is_ended_by_what_ends_processes() {
        let (table, world) = (Table::default(), world());
        let (tell, mut inputs) = mpsc::unbounded_channel();
        table.start(job(1, "test.sleep", json!(60), None), &world, tell);
        let usr1: SignalName = "USR1".parse().unwrap();
        assert_eq!(table.signal(jid(1), usr1, "ann"), Signalled::Nothing);
        assert_eq!(table.signal(jid(1), SignalName::TERM, "ann"), Signalled::Ended);
        let by = "signal TERM from ann".to_owned();
        assert_eq!(end(&mut inputs).await, (jid(1), Ending::Cancelled { by }));
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
            matches!(ending, Ending::Returned(returned) if returned.value == format!("{} {}", world.journal, jid(1)))
        );
    }
}
