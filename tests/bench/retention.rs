//! What a store takes on the disk once it lets go of what is too old, beside what it still holds.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use brine_local::Paths;
use brine_master::store::Record;
use brine_protocol::time::Timestamp;
use brine_tests::fixtures::short_dir;

use crate::bench::Bench;
use crate::ledger;
use crate::row::Limit;
use crate::stock::fill;

/// What this group measures.
pub const NAMES: &[&str] = &["retention_disk_mb"];

/// How long jobs are kept here, in seconds of a clock that is an argument.
const KEEP: i64 = 400;

/// Three times as long as that is written, so that the first two thirds have to be gone.
const WRITTEN: i64 = 3 * KEEP;

/// Bytes of the text in each return.
const TEXT: usize = 500;

/// When it begins: any time will do.
const BEGIN: i64 = 1_700_000_000;

/// Writes job after job, lets the store retire what is over as the master does, and measures what is
/// left of the disk.
///
/// # Panics
/// The store cannot be written.
pub fn measure(bench: &mut Bench) {
    let folder = short_dir();
    let paths = Paths::new(Some(folder.path()), None);
    let store = fill::open(&paths, KEEP.unsigned_abs());
    let (minions, every) = bench.scale.retained;
    let mut live: VecDeque<(i64, usize)> = VecDeque::new();
    for second in (0..WRITTEN).step_by(every) {
        let at = Timestamp((BEGIN + second) * 1_000_000);
        let job = Arc::new(fill::job(at, second.unsigned_abs() + 1, minions));
        let mut records = vec![Record::Job(Arc::clone(&job))];
        records.extend((0..minions).map(|number| fill::row(job.jid, ledger::name(number), at, TEXT)));
        records.push(Record::Closed(job.jid));
        store.commit(&records).expect("room for the returns");
        live.push_back((second, records.iter().map(bytes).sum()));
        store.retire(at).expect("a store that works");
    }
    live.retain(|(second, _)| *second >= WRITTEN - KEEP);
    let held: usize = live.iter().map(|(_, bytes)| bytes).sum();
    let used = disk(&paths.store_dir()) as f64 / 1e6;
    let name = "the jobs and returns that are to be kept, as JSON";
    bench.put("retention_disk_mb", used, Limit::of(held as f64 / 1e6, name), live.len() * minions);
}

/// What a record has to say, without what a database adds.
fn bytes(record: &Record) -> usize {
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data").len();
    match record {
        Record::Job(job) => json(serde_json::to_vec(job)),
        Record::Row { id, row, .. } => json(serde_json::to_vec(row)) + id.as_str().len(),
        _ => 0,
    }
}

/// Bytes that a folder takes on the disk.
fn disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder of the store");
    let size = |entry: fs::DirEntry| {
        let found = entry.metadata().expect("a file of the store");
        if found.is_dir() { disk(&entry.path()) } else { found.blocks() * 512 }
    };
    entries.flatten().map(size).sum()
}
