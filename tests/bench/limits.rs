//! What this machine can do when nothing but the named work is done: the other half of each ratio.
//!
//! Each limit is measured once a run, when it is first asked for, and by the crates alone that the
//! programs are built on: nothing of Brine's own can make its limit look lower than it is.

mod crypto;
mod disk;
pub mod raw;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use brine_tests::swarm::Pool;

use crate::bench::Bench;
pub use crypto::Crypto;
use raw::Raw;

/// What this group tells of what the others were measured by.
pub const NAMES: &[&str] = &[
    "limit_fsync_ms",
    "limit_sled_rows_per_s",
    "limit_echo_ms",
    "limit_verify_ms",
    "limit_exchange_ms",
    "limit_seal_open_ms",
];

/// Rows to a flush of sled alone: more make it no faster.
pub const BATCH: usize = 1000;

/// Takes the limits into the table as rows of their own.
pub fn measure(bench: &mut Bench) {
    let crypto = bench.limits.crypto(bench.keys());
    for (name, value, n) in [
        ("limit_fsync_ms", bench.limits.fsync_s() * 1e3, 1),
        ("limit_sled_rows_per_s", bench.limits.sled_rows_per_s(BATCH), BATCH),
        ("limit_echo_ms", bench.limits.echo().trip_s * 1e3, 1),
        ("limit_verify_ms", crypto.verify_s * 1e3, crypto.bits),
        ("limit_exchange_ms", crypto.exchange_s * 1e3, 1),
        ("limit_seal_open_ms", crypto.seal_open_s * 1e3, crypto::SEALED),
    ] {
        bench.put(name, value, None, n);
    }
}

/// One connection of plain framed TCP, answered by a process that does nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Echo {
    /// Median of the round trips, in seconds.
    pub trip_s: f64,
    /// Processor time of the answering process for one, in seconds.
    pub cpu_s: f64,
    /// Its memory, in MB.
    pub idle_mb: f64,
}

/// The limits that were measured so far.
pub struct Limits {
    seconds: f64,
    crypto: OnceCell<Crypto>,
    fsync_s: OnceCell<f64>,
    sled: RefCell<BTreeMap<usize, f64>>,
    echo: OnceCell<Echo>,
}

impl Limits {
    /// None yet; each of those that are rates takes about so many seconds.
    #[must_use]
    pub fn new(seconds: f64) -> Self {
        Self {
            seconds,
            crypto: OnceCell::new(),
            fsync_s: OnceCell::new(),
            sled: RefCell::default(),
            echo: OnceCell::new(),
        }
    }

    /// Signatures and exchanges with keys as these.
    #[must_use]
    pub fn crypto(&self, keys: &Pool) -> Crypto {
        *self.crypto.get_or_init(|| Crypto::measure(keys, self.seconds))
    }

    /// One write of 4 KiB that is on the disk when it returns, in seconds.
    #[must_use]
    pub fn fsync_s(&self) -> f64 {
        *self.fsync_s.get_or_init(|| disk::fsync_s(self.seconds))
    }

    /// Rows of 700 bytes a second into sled alone, durable after so many each.
    #[must_use]
    pub fn sled_rows_per_s(&self, batch: usize) -> f64 {
        *self.sled.borrow_mut().entry(batch).or_insert_with(|| disk::sled_rows_per_s(batch, self.seconds))
    }

    /// Round trips on one connection.
    #[must_use]
    pub fn echo(&self) -> Echo {
        *self.echo.get_or_init(|| Raw::start(0).echo(self.seconds))
    }
}
