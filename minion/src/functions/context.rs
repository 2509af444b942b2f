//! What a function may know and touch.

use std::sync::Arc;

use brine_protocol::signal::SignalName;
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};

use super::custom::Modules;
use super::environ::Environment;
use crate::grains::Grains;
use crate::pillar::Pillars;
use crate::processes::Spawned;
use crate::rotation::{KeyChange, NoMaster};
use crate::sync::Syncs;

/// The default of [`Context::output_max`], in bytes: a full return fits into a message.
pub const OUTPUT_MAX: usize = 256 * 1024;

/// Hears of each process that a function starts, before anything waits for it.
pub type OnPid = Arc<dyn Fn(Spawned) + Send + Sync>;

/// What a function may know and touch. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The minion's id.
    pub id: MinionId,
    /// The minion's grains.
    pub grains: Arc<Grains>,
    /// Cap of each output stream of a command, in bytes.
    pub output_max: usize,
    /// The jobs that run on this minion.
    pub jobs: Arc<dyn Jobs>,
    /// Who changes the minion's key.
    pub keys: Arc<dyn KeyChange>,
    /// The minion's pillar.
    pub pillar: Arc<Pillars>,
    /// Modules that are executables of the administrator's.
    pub modules: Modules,
    /// The way to the master's.
    pub syncs: Arc<Syncs>,
    /// The job this is about; none for a local call.
    pub job: Option<Jid>,
    /// Told of each process started, so that the journal can name it.
    pub on_pid: OnPid,
    /// Where programs are looked for, folders separated by `:`.
    pub path: String,
    /// Environment variables that jobs set for those after them.
    pub environment: Environment,
    /// Environment variables put into each process started, so that what is left of a job can be
    /// found after a crash.
    pub marker: Vec<(String, String)>,
}

impl Context {
    /// The context of a call without a master: no job, no other jobs, nobody to tell of processes.
    #[must_use]
    pub fn local(id: MinionId, grains: Arc<Grains>) -> Self {
        Self {
            id,
            grains,
            output_max: OUTPUT_MAX,
            jobs: Arc::new(NoJobs),
            keys: Arc::new(NoMaster),
            pillar: Arc::default(),
            modules: Modules::default(),
            syncs: Arc::default(),
            job: None,
            on_pid: Arc::new(|_| {}),
            path: super::tool::search_path(),
            environment: Environment::default(),
            marker: Vec::new(),
        }
    }
}

/// A job that runs on this minion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningJob {
    /// The job.
    pub jid: Jid,
    /// Its functions, joined by commas.
    pub functions: String,
    /// The process it started last, if it started any.
    pub pid: Option<u32>,
    /// When it was started.
    pub started: Timestamp,
    /// Who asked.
    pub principal: String,
    /// Whether it goes on without this minion.
    pub is_detached: bool,
}

/// The jobs that run on this minion, as its driver knows them.
pub trait Jobs: Send + Sync {
    /// All of them, oldest first.
    fn running(&self) -> Vec<RunningJob>;

    /// Ends a job. False when it does not run here.
    fn kill(&self, jid: Jid) -> bool;

    /// Signals the processes of a job; one without any is ended by signals that are there for that,
    /// as cancelled by this.
    fn signal(&self, jid: Jid, signal: SignalName, by: &str) -> Signalled;
}

/// What a signal to a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The job does not run, or has no process for which this signal means something.
    Nothing,
    /// The job is being ended.
    Ended,
    /// It was sent to all of the job's processes; the one that was started last.
    Sent(u32),
}

/// No jobs: the world of a local call.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJobs;

impl Jobs for NoJobs {
    fn running(&self) -> Vec<RunningJob> {
        Vec::new()
    }

    fn kill(&self, _jid: Jid) -> bool {
        false
    }

    fn signal(&self, _jid: Jid, _signal: SignalName, _by: &str) -> Signalled {
        Signalled::Nothing
    }
}
