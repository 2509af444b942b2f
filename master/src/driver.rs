//! Performs what the engine decides.
//!
//! Two places run: the loop that feeds the engine, and one thread that writes. An output that
//! follows something to be written goes to that thread behind it, and happens there once the
//! write is durable. What was queued during one write is committed together with the next: there
//! is no timer, an idle disk is used at once.

mod desk;
mod keys;
mod preseed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use brine_local::supervisor::Supervisor;
use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::key::PrivateKey;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Event, MasterState};
use brine_protocol::time::Timestamp;
use tokio::sync::mpsc;

use crate::bundles::Bundles;
use crate::config::Config;
use crate::counters::Counters;
use crate::engine::{Engine, Input, ModuleStep, Now, Output};
use crate::gate::Gate;
use crate::master_key::KeyFiles;
use crate::store::{Record, Store, StoreError};
pub use desk::{Desk, Follow, Waiter};
use keys::KeyWork;

/// Batches that may wait for the writing thread before the engine waits for it.
const BATCHES_MAX: usize = 1024;

/// Records committed together at most: one commit is never much longer than a flush.
const RECORDS_MAX: usize = 4096;

/// How often the disk's room is looked at, and expired buckets are dropped.
const DISK_EVERY: Duration = Duration::from_secs(5);
const RETIRE_EVERY: Duration = Duration::from_secs(60);

/// The pause before a failed commit is tried again.
const RETRY: Duration = Duration::from_millis(500);

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
        let writer = Writer::start(Arc::clone(&self.store), Arc::clone(&hands));
        let mut batch = Vec::new();
        let mut disk_due = Duration::ZERO;
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
                batch.push(Input::Disk(self.disk_problem()));
            }
            let mut ordered = Vec::new();
            for input in batch.drain(..) {
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
                    Err(error) => tracing::error!(%error, "cannot drop expired jobs"),
                });
            }
        }
        self.supervisor.stopping();
        writer.finish().await;
        Ok(self.engine.trust().save()?)
    }

    /// Why the disk takes no new orders, if it does not.
    fn disk_problem(&self) -> Option<String> {
        if let Some(problem) = self.desk.write_problem() {
            return Some(problem);
        }
        let stat = nix::sys::statvfs::statvfs(&self.disk).ok()?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        (free < self.config.disk_free_min).then(|| {
            format!(
                "the disk under {} has {free} bytes left, new orders need {} (disk_free_min)",
                self.disk.display(),
                self.config.disk_free_min
            )
        })
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
            Output::Welcome { conn, standing } => self.gate.welcome(conn, standing),
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

/// The writing thread, and what is on its way there.
struct Writer {
    batches: mpsc::Sender<Vec<Output>>,
    under_way: Arc<AtomicUsize>,
    hands: Arc<Hands>,
    thread: std::thread::JoinHandle<()>,
}

impl Writer {
    fn start(store: Arc<Store>, hands: Arc<Hands>) -> Self {
        let (batches, received) = mpsc::channel(BATCHES_MAX);
        let under_way = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let (under_way, hands) = (Arc::clone(&under_way), Arc::clone(&hands));
                move || write(&store, &hands, received, &under_way)
            })
            .expect("a thread can be started at start-up");
        Self { batches, under_way, hands, thread }
    }

    /// Takes outputs in order. Without anything to write, now or before, they happen at once.
    /// False when the thread has ended.
    async fn take(&self, outputs: Vec<Output>) -> bool {
        let is_idle = self.under_way.load(Ordering::Acquire) == 0;
        if is_idle && !outputs.iter().any(|output| matches!(output, Output::Persist(_))) {
            for output in outputs {
                self.hands.perform(output);
            }
        } else if !outputs.is_empty() {
            self.under_way.fetch_add(1, Ordering::AcqRel);
            return self.batches.send(outputs).await.is_ok();
        }
        true
    }

    async fn finish(self) {
        drop(self.batches);
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

fn write(store: &Store, hands: &Hands, mut received: mpsc::Receiver<Vec<Output>>, under_way: &AtomicUsize) {
    while let Some(first) = received.blocking_recv() {
        let mut batches = 1;
        let mut outputs = first;
        while outputs.len() < RECORDS_MAX
            && let Ok(more) = received.try_recv()
        {
            outputs.extend(more);
            batches += 1;
        }
        let mut records = Vec::new();
        let mut effects = Vec::new();
        for output in outputs {
            match output {
                Output::Persist(record) => records.push(record),
                effect => effects.push(effect),
            }
        }
        if !records.is_empty() && !commit(store, hands, &records, || received.is_closed()) {
            return;
        }
        for effect in effects {
            hands.perform(effect);
        }
        under_way.fetch_sub(batches, Ordering::AcqRel);
    }
}

/// Commits until it works: nothing behind these records may happen before. False when it never
/// will, or nobody waits for it any more: what was not committed was promised to nobody.
fn commit(store: &Store, hands: &Hands, records: &[Record], is_stopping: impl Fn() -> bool) -> bool {
    while let Err(error) = store.commit(records) {
        hands.counters.count("commit_failed");
        hands.desk.set_write_problem(Some(error.to_string()));
        if matches!(error, StoreError::Broken { .. }) || is_stopping() {
            tracing::error!(%error, "cannot write to the store");
            return false;
        }
        tracing::error!(%error, "cannot write to the store, trying again; new orders are refused meanwhile");
        std::thread::sleep(RETRY);
    }
    hands.desk.set_write_problem(None);
    hands.counters.count("commits");
    hands.counters.add("records_committed", records.len() as u64);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    async fn rig(room_min: u64) -> (tempfile::TempDir, Arc<Hands>, Writer) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options =
            StoreOptions { keep_jobs_seconds: 60, cache_bytes: 1 << 20, orphans_per_minion: 1, room_min };
        let store = Store::open(&folder.path().join("store"), &folder.path().join("ceiling"), options);
        let pem = include_str!("../../pki/tests/keys/master.pem");
        let key = PrivateKey::from_pem(pem).expect("a key");
        let agreement = Agreement::new(&key, 1, [1; 32], &Succession::default());
        let counters = Arc::<Counters>::default();
        let (inputs, _) = mpsc::channel(1);
        let gate = Gate::new(Arc::new(Config::default()), Arc::clone(&counters), agreement, inputs);
        let desk = Arc::new(Desk::new(1, std::collections::VecDeque::new(), 1));
        let hands = Arc::new(Hands { gate, desk, counters });
        let writer = Writer::start(Arc::new(store.expect("opens").0), Arc::clone(&hands));
        (folder, hands, writer)
    }

    fn promise() -> Vec<Output> {
        vec![Output::Persist(Record::Ceiling(Timestamp(1))), Output::Count("promised")]
    }

    fn counted(hands: &Hands, name: &str) -> u64 {
        hands.counters.snapshot().get(name).and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    #[tokio::test]
    async fn a_promise_is_kept_once_it_is_on_disk() {
        let (_folder, hands, writer) = rig(0).await;
        assert!(writer.take(promise()).await);
        writer.finish().await;
        assert_eq!((counted(&hands, "commits"), counted(&hands, "promised")), (1, 1));
    }

    #[tokio::test]
    async fn nothing_happens_behind_what_the_disk_does_not_take() {
        let (_folder, hands, writer) = rig(u64::MAX).await;
        assert!(writer.take(promise()).await);
        assert!(writer.take(vec![Output::Count("behind it")]).await);
        while counted(&hands, "commit_failed") == 0 {
            tokio::task::yield_now().await;
        }
        writer.finish().await;
        assert_eq!((counted(&hands, "promised"), counted(&hands, "behind it")), (0, 0));
        assert!(hands.desk.write_problem().is_some());
    }
}
