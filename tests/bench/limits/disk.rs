//! What the disk under the master's folder does: single flushes, and sled alone.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use brine_tests::fixtures::short_dir;

use crate::numbers::median;

/// What one flush of a small write amounts to in sled's log and most file systems.
const PAGE: usize = 4096;

/// A stored return of 500 bytes, with what is said about it.
const ROW: usize = 700;

/// As much of the store's cache as one bucket gets.
const CACHE: u64 = 16 * 1024 * 1024;

/// Flushes that are enough for a median.
const FLUSHES_MAX: usize = 500;

/// The median of appending a page and waiting until the disk has it, in seconds.
///
/// # Panics
/// The temporary folder cannot be written.
#[must_use]
pub fn fsync_s(seconds: f64) -> f64 {
    let folder = short_dir();
    let mut file = File::create(folder.path().join("log")).expect("a file");
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (begun.elapsed().as_secs_f64() < seconds && times.len() < FLUSHES_MAX) {
        let begun = Instant::now();
        file.write_all(&[7; PAGE]).and_then(|()| file.sync_data()).expect("room for a page");
        times.push(begun.elapsed().as_secs_f64());
    }
    median(&times)
}

/// Rows a second that sled takes in batches of so many, each on the disk before the next.
///
/// # Panics
/// The temporary folder cannot be written.
#[must_use]
pub fn sled_rows_per_s(batch: usize, seconds: f64) -> f64 {
    let folder = short_dir();
    let db = sled::Config::new().path(folder.path()).cache_capacity(CACHE).flush_every_ms(None).open();
    let db = db.expect("a new database");
    let log = File::open(folder.path().join("db")).expect("sled's log");
    let begun = Instant::now();
    let mut rows = 0_usize;
    while rows == 0 || begun.elapsed().as_secs_f64() < seconds {
        let mut writes = sled::Batch::default();
        for row in rows..rows + batch {
            writes.insert(
                format!("r/20261122060732{:06}/swarm-{row:010}", row / 1000).as_bytes(),
                vec![7; ROW],
            );
        }
        db.apply_batch(writes).and_then(|()| db.flush()).expect("room for the rows");
        log.sync_data().expect("room for the rows");
        rows += batch;
    }
    rows as f64 / begun.elapsed().as_secs_f64()
}
