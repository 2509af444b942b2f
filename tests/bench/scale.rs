//! How much of everything: what the names of the measures say, or little of all.

use std::time::Duration;

use brine_tests::swarm::usage;

/// Descriptors of this process that are neither a minion's nor the swarm's reserve: logs, the API, and
/// those that the master keeps free for itself.
const DESCRIPTORS_KEPT: u64 = 256;

/// Sizes, repetitions and lengths.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Minions of each crowd; cut to what the descriptors carry.
    pub crowds: [usize; 5],
    /// Repetitions of a broadcast, for each crowd.
    pub broadcasts: [usize; 5],
    /// Repetitions of a master's restart, for each crowd.
    pub restarts: [usize; 5],
    /// Runs of a program, or of a request, that takes milliseconds.
    pub runs: usize,
    /// Round trips of one job after the other.
    pub trips: usize,
    /// Jobs for a rate of jobs, and how many clients submit them at the same time.
    pub jobs: (usize, usize),
    /// Jobs of which a rate of returns is made, for the second crowd.
    pub return_jobs: usize,
    /// Seconds between beats.
    pub heartbeat: f64,
    /// How long something idle is watched.
    pub idle: Duration,
    /// How long a limit of the processor or the disk is measured.
    pub limit_s: f64,
    /// Stored returns, and of how many minions each job is.
    pub returns: (usize, usize),
    /// Accepted keys.
    pub keys: usize,
    /// Decisions in the ledger that is replayed.
    pub decisions: usize,
    /// Rows of each job of the store that retires its buckets, and the seconds between two jobs.
    pub retained: (usize, usize),
    /// Bits of the minions' keys, and how many different ones there are.
    pub key_pool: (usize, usize),
}

impl Scale {
    /// What the names of the measures say.
    #[must_use]
    pub fn full() -> Self {
        Self {
            crowds: [100, 300, 1000, 3000, 10_000],
            broadcasts: [15, 11, 9, 7, 7],
            restarts: [3, 3, 1, 1, 1],
            runs: 15,
            trips: 400,
            jobs: (2000, 16),
            return_jobs: 20,
            heartbeat: 10.0,
            idle: Duration::from_secs(20),
            limit_s: 1.0,
            returns: (1_000_000, 10_000),
            keys: 10_000,
            decisions: 30_000,
            retained: (100, 1),
            key_pool: (4096, 4),
        }
    }

    /// Little of everything: it runs within seconds and says nothing about speed.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            crowds: [5, 8, 12, 16, 20],
            broadcasts: [2; 5],
            restarts: [1; 5],
            runs: 2,
            trips: 5,
            jobs: (12, 4),
            return_jobs: 2,
            heartbeat: 0.2,
            idle: Duration::from_millis(700),
            limit_s: 0.03,
            returns: (400, 20),
            keys: 30,
            decisions: 90,
            retained: (2, 20),
            key_pool: (2048, 0),
        }
    }

    /// How many are in this crowd: no more than the descriptors carry.
    #[must_use]
    pub fn minions(&self, step: usize) -> usize {
        let limit = usage::raise_descriptor_limit().saturating_sub(DESCRIPTORS_KEPT);
        self.crowds[step].min(usage::minions_within(limit))
    }

    /// What masters are told besides what they are delivered with.
    #[must_use]
    pub fn options(&self) -> String {
        format!("heartbeat: {}\n", self.heartbeat)
    }
}
