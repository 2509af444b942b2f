//! Performs what the engine decides.
//!
//! Two places run: the loop that feeds the engine, and one thread that writes. An output that
//! follows something to be written goes to that thread behind it, and happens there once the
//! write is durable. What was queued during one write is committed together with the next: there
//! is no timer, an idle disk is used at once.

mod desk;
mod disk;
mod keys;
mod preseed;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_local::supervisor::Supervisor;
use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::key::PrivateKey;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Event, MasterState, Problem, ProblemKind};
use brine_protocol::time::Timestamp;
use tokio::sync::mpsc;

use crate::bundles::Bundles;
use crate::config::Config;
use crate::counters::Counters;
use crate::engine::{Answer, Engine, Input, ModuleStep, Now, Output};
use crate::gate::Gate;
use crate::master_key::KeyFiles;
use crate::store::Store;
pub use desk::{Desk, Follow, Waiter};
use keys::KeyWork;
use writer::Writer;

/// How often the disk is looked at, and expired buckets are dropped. Until a look has found it wanting, new
/// orders are taken up and wait with their answer.
const DISK_EVERY: Duration = Duration::from_secs(1);
const RETIRE_EVERY: Duration = Duration::from_secs(60);

/// Both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock whose steady side starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: brine_local::clock::wall(), steady: self.0.elapsed() }
    }
}

/// What the driver drives.
pub struct Driver {
    /// The decisions.
    pub engine: Engine,
    /// The network.
    pub gate: Arc<Gate>,
    /// The disk.
    pub store: Arc<Store>,
    /// The operators.
    pub desk: Arc<Desk>,
    /// The options.
    pub config: Arc<Config>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The master's key, and the one that is to follow it.
    pub keys: KeyFiles,
    /// The keys that were made for server records and wait to be fetched.
    pub bundles: Bundles,
    /// Has the pillar files read again.
    pub pillar: mpsc::UnboundedSender<()>,
    /// Has custom modules read.
    pub modules: mpsc::UnboundedSender<ModuleStep>,
    /// Where minions reach this master, as far as that is known.
    pub master_address: Option<String>,
    /// What the master says about itself in a file.
    pub state: MasterState,
    /// That file.
    pub state_file: std::path::PathBuf,
    /// Both clocks.
    pub clock: Clock,
    /// The folder whose disk has to have room.
    pub disk: std::path::PathBuf,
    /// Who watches that this loop turns.
    pub supervisor: Supervisor,
}

/// Signs an agreement with the next serial, which is in the ledger before it is offered.
///
/// # Errors
/// The ledger cannot be written.
pub fn new_agreement(
    trust: &mut brine_pki::registry::Trust,
    key: &PrivateKey,
    successor: Option<Fingerprint>,
    now: Timestamp,
) -> Result<Arc<Agreement>, brine_pki::ledger::LedgerError> {
    let serial = trust.next_config_serial("master", now)?;
    let succession = Succession { successor, ..Succession::default() };
    Ok(Agreement::new(key, serial, brine_pki::random::bytes(), &succession))
}

impl Driver {
    /// Runs until `stop` is ready, then leaves everything on disk.
    ///
    /// # Errors
    /// What is on disk could not be left as it should be.
    pub async fn run(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let hands = Arc::new(Hands {
            gate: Arc::clone(&self.gate),
            desk: Arc::clone(&self.desk),
            counters: Arc::clone(&self.counters),
        });
        let writer = Writer::start(Arc::clone(&self.store), Arc::clone(&hands), self.disk.clone());
        let mut batch = Vec::new();
        let mut disk_due = Duration::ZERO;
        let mut was_degraded = false;
        let mut retire_due = Duration::ZERO;
        let (mut work, mut done) = KeyWork::new(self);
        let mut head = self.engine.trust().head();
        tokio::pin!(stop);
        // Without the writing thread nothing would ever be answered again: better to end, which
        // loses nothing that was promised, and be started anew.
        let broken = || anyhow::anyhow!("the master ends because the store cannot be written any more");
        loop {
            let until = self.engine.next_deadline().min(disk_due).min(work.due());
            let wait = until.saturating_sub(self.clock.now().steady);
            self.supervisor.beat(Instant::now());
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = writer.batches.closed() => return Err(broken()),
                received = inputs.recv_many(&mut batch, 256) => if received == 0 { break },
                Some(done) = done.recv() => batch.push(self.on_key_work(done)),
                () = tokio::time::sleep(wait) => {}
                () = at(self.supervisor.due()) => {}
            }
            let now = self.clock.now();
            // Inputs that never stop must not hold up what is due.
            if now.steady >= self.engine.next_deadline() {
                batch.push(Input::Tick);
            }
            if now.steady >= disk_due {
                disk_due = now.steady + DISK_EVERY;
                let problem = self.disk_problem();
                if problem.is_some() != was_degraded {
                    was_degraded = problem.is_some();
                    match &problem {
                        Some(problem) => tracing::warn!("degraded, new orders are refused: {problem}"),
                        None => tracing::info!("the disk is well again, orders are taken"),
                    }
                }
                batch.push(Input::Disk(problem));
            }
            let mut ordered = Vec::new();
            for input in batch.drain(..) {
                if let Some(refusal) = self.refusal(&input) {
                    hands.perform(refusal);
                    continue;
                }
                self.engine.handle(input, self.clock.now());
                while let Some(output) = self.engine.poll_output() {
                    match output {
                        Output::Welcome { .. }
                        | Output::Cut { .. }
                        | Output::SendNow { .. }
                        | Output::AnswerNow { .. }
                        | Output::Count(_) => {
                            hands.perform(output);
                        }
                        Output::CheckRotation(check) => work.check(check),
                        Output::Key(step) => self.on_key_step(step, &mut work),
                        Output::Bundle(step) => self.on_bundle_step(step, &work),
                        // Nobody reads them any more when the master stops.
                        Output::ReadPillar => drop(self.pillar.send(())),
                        Output::Modules(step) => drop(self.modules.send(step)),
                        _ => ordered.push(output),
                    }
                }
            }
            // A disk that takes nothing must not hold up the end either.
            tokio::select! {
                is_taken = writer.take(ordered) => if !is_taken {
                    return Err(broken());
                },
                () = &mut stop => break,
                () = keep_alive(&mut self.supervisor) => {}
            }

            if let Some((path, bytes)) = self.engine.trust().unsaved(now.wall) {
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = brine_local::file::replace(&path, &bytes, 0o600) {
                        tracing::warn!(%error, "cannot save the waiting keys, they will knock again");
                    }
                });
            }
            let newest = self.engine.trust().head();
            if newest != head {
                head = newest;
                tracing::info!(head = %String::from(head), "the ledger has grown");
            }
            self.key_work_due(&mut work);
            if now.steady >= retire_due {
                retire_due = now.steady + RETIRE_EVERY;
                let store = Arc::clone(&self.store);
                tokio::task::spawn_blocking(move || match store.retire(now.wall) {
                    Ok(0) => {}
                    Ok(dropped) => tracing::info!(dropped, "expired jobs were dropped"),
                    Err(error) => tracing::error!(%error, "jobs that are over cannot be dropped or packed"),
                });
            }
        }
        self.supervisor.stopping();
        writer.finish().await;
        Ok(self.engine.trust().save()?)
    }

    /// Why the disk takes no line of the ledger now, if that is known. The line is written in the loop: on a
    /// disk that stands still it would hold up everybody, and a ledger whose end cannot even be cut off takes
    /// no further line.
    fn ledger_problem(&self) -> Option<String> {
        self.desk.stuck(Instant::now()).or_else(|| disk::read_only(&self.disk))
    }

    /// The answer to a decision about trust that is not even tried.
    fn refusal(&self, input: &Input) -> Option<Output> {
        let Input::Request(request) = input else { return None };
        let _ = request.ask.about_trust()?;
        let detail = format!("nothing was done: {}", self.ledger_problem()?);
        let answer = Box::new(Answer::Refused(Problem::new(ProblemKind::Degraded, detail)));
        Some(Output::AnswerNow { request: request.id, answer })
    }

    /// Why the disk takes no new orders, if it does not.
    fn disk_problem(&self) -> Option<String> {
        self.desk
            .write_problem(Instant::now())
            .or_else(|| disk::problem(&self.disk, self.config.disk_free_min))
    }
}

/// Ready at this moment, if there is one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Gives signs of life while something else is waited for.
async fn keep_alive(supervisor: &mut Supervisor) {
    loop {
        at(supervisor.due()).await;
        supervisor.beat(Instant::now());
    }
}

/// What performs an output that nothing has to wait for.
struct Hands {
    gate: Arc<Gate>,
    desk: Arc<Desk>,
    counters: Arc<Counters>,
}

impl Hands {
    /// Decisions about keys, and who comes and goes, are for the log as well. Knocks are not: a
    /// stranger must not be able to fill it.
    fn log(&self, event: &Event) {
        let words: Vec<&str> = event.tag.split('/').collect();
        let (jid, minion) = match words[..] {
            [_, "job", jid, "ret", minion] => (Some(jid), Some(minion)),
            [_, "job", jid, ..] => (Some(jid), None),
            [_, "key" | "minion", minion, ..] => (None, Some(minion)),
            _ => (None, None),
        };
        let peer = event.data.get("address").and_then(serde_json::Value::as_str);
        // Of what happens to keys, only knocks come from an address.
        let is_knock = event.tag.starts_with("brine/key/") && peer.is_some();
        if event.tag.starts_with("brine/job/") || event.tag.ends_with("/grains") || is_knock {
            tracing::debug!(tag = event.tag, jid, minion, peer, data = %event.data, "event");
        } else if event.tag == "brine/master/key/succeeded" && event.data["missing_count"] != 0 {
            tracing::warn!(
                tag = event.tag,
                data = %event.data,
                "this master's new key has taken over; the missing minions will refuse it until somebody runs \
                 brine-minion trust-master on them"
            );
        } else {
            tracing::info!(tag = event.tag, jid, minion, peer, data = %event.data, "event");
        }
    }

    fn perform(&self, output: Output) {
        match output {
            // Done elsewhere: by the writing thread, and beside the loop.
            Output::Persist(_)
            | Output::CheckRotation(_)
            | Output::Key(_)
            | Output::Bundle(_)
            | Output::ReadPillar
            | Output::Modules(_) => {}
            Output::Welcome { conn, standing, generation } => self.gate.welcome(conn, standing, generation),
            Output::Grant { conn, generation } => self.gate.grant(conn, generation),
            Output::Send { conn, message } | Output::SendNow { conn, message } => {
                self.gate.send(conn, &message);
            }
            Output::Broadcast(body) => self.gate.broadcast(&body),
            Output::Mark(conn) => self.gate.mark(conn),
            Output::Close { conn, why } => self.gate.close(conn, why),
            Output::Cut { conn, why } => self.gate.cut(conn, why),
            Output::Answer { request, answer } | Output::AnswerNow { request, answer } => {
                self.desk.answer(request, *answer);
            }
            Output::Event(event) => {
                self.log(&event);
                self.desk.publish(event);
            }
            Output::JobEvent { jid, event } => self.desk.tell_followers(jid, &event),
            Output::Count(name) => self.counters.count(name),
        }
    }
}
