//! Simulated minions, thousands in one process, against a real master.
//!
//! ```text
//! Swarm ─ one runtime ─ a task per minion: Minion (what it keeps) ─ Session ─ 2 × Wire
//!                       blocking threads: signatures
//! ```
//! Each has its own id, session, connections, beats and sequence numbers, and speaks to the real
//! gate by the protocol and pki crates. What is not like a real one: key pairs are shared by many
//! (`keys`), a broadcast that one has verified is not verified again by the others (`airwaves`),
//! what would be in a journal is in memory (`executor`), and of functions there are few (`answer`).

pub mod airwaves;
pub mod answer;
mod ended;
pub mod executor;
pub mod grains;
pub mod keys;
mod minion;
mod opening;
pub mod options;
pub mod provision;
mod session;
mod start_line;
pub mod stats;
pub mod usage;
mod wire;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brine_protocol::{Fingerprint, MinionId};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use airwaves::Airwaves;
pub use keys::Pool;
pub use options::Options;
use start_line::StartLine;
use stats::Stats;

/// How long minions have for saying goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// The id of minion `number`.
///
/// # Panics
/// The prefix does not begin an id.
#[must_use]
pub fn id(prefix: &str, number: usize) -> MinionId {
    format!("{prefix}{number:05}").parse().expect("the prefix begins an id")
}

/// What all minions of a swarm share.
struct Shared {
    options: Options,
    keys: Pool,
    air: Airwaves,
    stats: Arc<Stats>,
    /// The trust key of the master that was met, and of the one that is to follow it.
    master: Mutex<Option<(Fingerprint, Option<Fingerprint>)>>,
    turns: Semaphore,
    /// Where the first Hellos wait for each other.
    start_line: StartLine,
    stop: watch::Sender<bool>,
}

/// Waits until the swarm is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A running swarm. It ends, without goodbyes, when this is dropped.
pub struct Swarm {
    shared: Arc<Shared>,
    lives: Vec<tokio::task::JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Swarm {
    /// Starts as many minions as were asked for. Whether the descriptors suffice is the caller's to
    /// know ([`usage::minions_within`]).
    ///
    /// # Errors
    /// No threads can be started.
    pub fn start(options: Options, keys: Pool) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads)
            .thread_name("brine-swarm")
            .enable_all()
            .build()?;
        let (at_once, together) =
            if options.together { (options.minions, options.minions) } else { (options.at_once, 1) };
        let shared = Arc::new(Shared {
            air: Airwaves::new(options.check_each),
            turns: Semaphore::new(at_once.max(1)),
            start_line: StartLine::of(together),
            keys,
            stats: Arc::default(),
            master: Mutex::default(),
            stop: watch::Sender::new(false),
            options,
        });
        let live = |number| runtime.spawn(minion::live(Arc::clone(&shared), number));
        let lives = (0..shared.options.minions).map(live).collect();
        Ok(Self { shared, lives, runtime: Some(runtime) })
    }

    /// The ids of a swarm with these options.
    pub fn ids(options: &Options) -> impl Iterator<Item = MinionId> {
        (0..options.minions).map(|number| id(&options.prefix, number))
    }

    /// What it counts.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Signatures of broadcasts verified so far.
    #[must_use]
    pub fn broadcasts_checked(&self) -> u64 {
        self.shared.air.checked()
    }

    /// Has all minions say goodbye and ends them.
    pub fn stop(mut self) {
        self.shared.stop.send_replace(true);
        let lives = std::mem::take(&mut self.lives);
        if let Some(runtime) = &self.runtime {
            // What does not end in time is dropped with the runtime.
            let _ = runtime.block_on(async {
                tokio::time::timeout(GOODBYE, async {
                    for life in lives {
                        let _ = life.await;
                    }
                })
                .await
            });
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
