//! The thread that writes: what follows a record happens here, once that is durable.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Hands, disk};
use crate::engine::Output;
use crate::store::{Record, Store, StoreError};

/// Batches that may wait for the writing thread before the engine waits for it, and answers nobody any more. A
/// disk that stands still for a while must not get it there: each turn of the loop is a batch, of one return
/// perhaps.
const BATCHES_MAX: usize = 65_536;

/// Records committed together at most: one commit is never much longer than a flush.
const RECORDS_MAX: usize = 4096;

/// The pause before a failed commit is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Of the failures in a row, one of so many is logged: the log may be on the disk that is full.
const SAID_EVERY: u32 = 120;

/// The writing thread, and what is on its way there.
pub(super) struct Writer {
    pub(super) batches: mpsc::Sender<Vec<Output>>,
    under_way: Arc<AtomicUsize>,
    hands: Arc<Hands>,
    thread: std::thread::JoinHandle<()>,
}

impl Writer {
    /// Starts the thread; `disk` is a folder of the file system that it writes to.
    pub(super) fn start(store: Arc<Store>, hands: Arc<Hands>, disk: PathBuf) -> Self {
        let (batches, received) = mpsc::channel(BATCHES_MAX);
        let under_way = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn({
                let (under_way, hands) = (Arc::clone(&under_way), Arc::clone(&hands));
                move || write(&Place { store, hands, disk }, received, &under_way)
            })
            .expect("a thread can be started at start-up");
        Self { batches, under_way, hands, thread }
    }

    /// Takes outputs in order. Without anything to write, now or before, they happen at once.
    /// False when the thread has ended.
    pub(super) async fn take(&self, outputs: Vec<Output>) -> bool {
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

    pub(super) async fn finish(self) {
        drop(self.batches);
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

/// Where the thread writes, and who does what follows.
struct Place {
    store: Arc<Store>,
    hands: Arc<Hands>,
    disk: PathBuf,
}

fn write(place: &Place, mut received: mpsc::Receiver<Vec<Output>>, under_way: &AtomicUsize) {
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
        if !records.is_empty() && !place.commit(&records, || received.is_closed()) {
            return;
        }
        for effect in effects {
            place.hands.perform(effect);
        }
        under_way.fetch_sub(batches, Ordering::AcqRel);
    }
}

impl Place {
    /// Commits until it works: nothing behind these records may happen before. False when it never
    /// will, or nobody waits for it any more: what was not committed was promised to nobody.
    fn commit(&self, records: &[Record], is_stopping: impl Fn() -> bool) -> bool {
        let Self { hands, .. } = self;
        let mut failures = 0_u32;
        while let Err(error) = self.try_commit(records) {
            hands.counters.count("commit_failed");
            hands.desk.set_write_problem(Some(error.to_string()));
            if matches!(error, Failed::Store(StoreError::Broken { .. })) || is_stopping() {
                tracing::error!(%error, "cannot write to the store");
                return false;
            }
            if failures.is_multiple_of(SAID_EVERY) {
                tracing::error!(%error, "cannot write to the store, trying again; new orders are refused meanwhile");
            }
            failures += 1;
            std::thread::sleep(RETRY);
        }
        hands.desk.set_write_problem(None);
        hands.counters.count("commits");
        hands.counters.add("records_committed", records.len() as u64);
        true
    }

    fn try_commit(&self, records: &[Record]) -> Result<(), Failed> {
        // A database that once failed to write has to be opened anew, so it is not asked to try.
        if let Some(problem) = disk::read_only(&self.disk) {
            return Err(Failed::ReadOnly(problem));
        }
        self.hands.desk.set_writing(Some(Instant::now()));
        let committed = self.store.commit(records);
        self.hands.desk.set_writing(None);
        Ok(committed?)
    }
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    ReadOnly(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use brine_pki::handshake::master::{Agreement, Succession};
    use brine_pki::key::PrivateKey;
    use brine_protocol::time::Timestamp;

    use super::*;
    use crate::config::Config;
    use crate::counters::Counters;
    use crate::driver::Desk;
    use crate::gate::Gate;
    use crate::store::StoreOptions;

    async fn rig(room_min: u64) -> (tempfile::TempDir, Arc<Hands>, Writer) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options =
            StoreOptions { keep_jobs_seconds: 60, cache_bytes: 1 << 20, orphans_per_minion: 1, room_min };
        let store = Store::open(&folder.path().join("store"), &folder.path().join("ceiling"), options);
        let pem = include_str!("../../../pki/tests/keys/master.pem");
        let key = PrivateKey::from_pem(pem).expect("a key");
        let agreement = Agreement::new(&key, 1, [1; 32], &Succession::default());
        let counters = Arc::<Counters>::default();
        let (inputs, _) = mpsc::channel(1);
        let tickets = Arc::new(crate::tickets::Tickets::open(folder.path()));
        let gate = Gate::new(Arc::new(Config::default()), Arc::clone(&counters), agreement, tickets, inputs);
        let desk = Arc::new(Desk::new(1, std::collections::VecDeque::new(), 1));
        let hands = Arc::new(Hands { gate, desk, counters });
        let writer =
            Writer::start(Arc::new(store.expect("opens").0), Arc::clone(&hands), folder.path().to_owned());
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
        assert!(hands.desk.write_problem(Instant::now()).is_some());
    }
}
