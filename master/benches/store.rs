//! What the store takes at a time, durable when it returns, and what it gives back.

use std::path::Path;
use std::sync::Arc;

use brine_master::store::{Record, Row, Store, StoreOptions};
use brine_protocol::job::{Call, Delivery, Ending, Job, Returned};
use brine_protocol::target::{Target, TargetKind};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use criterion::{Criterion, Throughput};
use serde_json::{Map, Value};

/// Rows to a commit: alone, as many as come during a flush, and a broadcast's.
const BATCHES: [usize; 3] = [1, 100, 1000];

/// Minions of the job that is read.
const MINIONS: usize = 1000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let store = open(folder.path());
    let mut number = 0;
    let mut group = criterion.benchmark_group("store");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(format!("commit {batch} rows"), |bencher| {
            bencher.iter(|| {
                number += 1;
                let records: Vec<Record> = (0..batch).map(|at| row(jid(number), at)).collect();
                store.commit(&records).expect("room for the rows");
            });
        });
    }
    let job = job(0);
    let rows = (0..MINIONS).map(|at| row(job.jid, at));
    let records: Vec<Record> = std::iter::once(Record::Job(Arc::new(job.clone()))).chain(rows).collect();
    store.commit(&records).expect("room for the rows");
    group.throughput(Throughput::Elements(MINIONS as u64));
    group.bench_function(format!("read a job of {MINIONS} rows"), |bencher| {
        bencher.iter(|| {
            assert!(store.job(job.jid).expect("a store that works").is_some());
            store.rows(job.jid).expect("a store that works")
        });
    });
    group.finish();
    criterion.final_summary();
}

fn open(folder: &Path) -> Store {
    let options = StoreOptions {
        keep_jobs_seconds: 86_400,
        cache_bytes: 64 << 20,
        orphans_per_minion: 100,
        room_min: 1 << 20,
    };
    Store::open(&folder.join("store"), &folder.join("ceiling"), options).expect("a new store").0
}

/// Jids that are a step apart.
fn jid(number: i64) -> Jid {
    Jid::at(Timestamp(1_800_000_000_000_000 + number * 1000), 0)
}

fn id(at: usize) -> MinionId {
    format!("web{at:05}").parse().expect("an id")
}

fn row(jid: Jid, at: usize) -> Record {
    let value = Value::from("x".repeat(500));
    let ending = Ending::Returned(Returned { value, retcode: 0, duration_ms: 3, truncated: false });
    Record::Row { jid, id: id(at), row: Box::new(Row { ending, at: jid.time() }) }
}

fn job(number: i64) -> Job {
    let jid = jid(number);
    Job {
        jid,
        calls: vec![Call { function: "test.ping".to_owned(), arguments: vec![], keywords: Map::new() }],
        target: Target::new(TargetKind::Glob, "*"),
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
        principal: "unix:0 (root)".to_owned(),
        submitted: jid.time(),
        number: 1,
        minions: (0..MINIONS).map(|at| (id(at), 1)).collect(),
    }
}
