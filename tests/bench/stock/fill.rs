//! Fills a store as a day of work would.

use std::sync::Arc;

use brine_local::Paths;
use brine_local::clock::wall;
use brine_master::config::Config;
use brine_master::store::{Facts, Record, Row, Store, StoreOptions};
use brine_protocol::job::{Call, Delivery, Ending, Job, Returned};
use brine_protocol::target::{Target, TargetKind};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use serde_json::{Map, Value, json};

use crate::ledger;

/// Bytes of the text in each return.
const TEXT: usize = 200;

/// Records to a commit.
const COMMIT: usize = 2000;

/// There are fewer buckets of time than that.
const BUCKETS_MAX: usize = 16;

/// The jobs are spread over so much of the past: all are within `keep_jobs_seconds`.
const PAST_S: usize = 20 * 3600;

/// A store with the options that masters are delivered with, but for how long jobs are kept.
///
/// # Panics
/// It cannot be opened.
#[must_use]
pub fn open(paths: &Paths, keep_jobs_seconds: u64) -> Store {
    let config = Config::default();
    let options = StoreOptions {
        keep_jobs_seconds,
        cache_bytes: config.store_cache_bytes,
        orphans_per_minion: config.orphans_per_minion,
        room_min: config.disk_free_min,
    };
    let opened = Store::open(&paths.store_dir(), &paths.jid_ceiling(), options);
    opened.expect("a folder for the store").0
}

/// A job of so many minions that was submitted then.
#[must_use]
pub fn job(at: Timestamp, number: u64, minions: usize) -> Job {
    Job {
        jid: Jid::at(at, 0),
        calls: vec![Call {
            function: "test.echo".to_owned(),
            arguments: vec![json!("hello")],
            keywords: Map::new(),
        }],
        target: Target::new(TargetKind::Glob, "*"),
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
        principal: "unix:0 (root)".to_owned(),
        submitted: at,
        number,
        minions: (0..minions).map(|at| (ledger::name(at), at as u64 + 1)).collect(),
    }
}

/// What a minion has returned, with a text of so many bytes.
#[must_use]
pub fn row(jid: Jid, id: MinionId, at: Timestamp, bytes: usize) -> Record {
    let returned =
        Returned { value: Value::from("x".repeat(bytes)), retcode: 0, duration_ms: 3, truncated: false };
    Record::Row { jid, id, row: Box::new(Row { ending: Ending::Returned(returned), at }) }
}

/// Writes so many returns of jobs that each ran on so many minions; the newest job.
///
/// # Panics
/// They cannot be written.
#[must_use]
pub fn fill(paths: &Paths, returns: usize, minions: usize) -> Jid {
    let store = open(paths, Config::default().keep_jobs_seconds);
    let commit = |records: &[Record]| store.commit(records).expect("room for the returns");
    let facts: Vec<Record> = (0..minions).map(facts).collect();
    facts.chunks(COMMIT).for_each(commit);
    let jobs = (returns / minions).max(1);
    let begins = wall().plus_micros(-(PAST_S as i64) * 1_000_000);
    let mut newest = None;
    for number in 0..jobs {
        let at = begins.plus_micros((PAST_S / jobs * number) as i64 * 1_000_000);
        let job = Arc::new(job(at, number as u64 + 1, minions));
        newest = Some(job.jid);
        commit(&[Record::Job(Arc::clone(&job))]);
        for from in (0..minions).step_by(COMMIT) {
            let to = (from + COMMIT).min(minions);
            let rows: Vec<Record> =
                (from..to).map(|at| row(job.jid, ledger::name(at), job.submitted, TEXT)).collect();
            commit(&rows);
        }
        commit(&[Record::Closed(job.jid)]);
    }
    // A master that was there meanwhile has packed what is over: a bucket a minute.
    for _ in 0..BUCKETS_MAX {
        store.retire(wall()).expect("room for what is over");
    }
    newest.expect("at least one job")
}

fn facts(at: usize) -> Record {
    let grains = json!({
        "id": ledger::name(at), "os": "Debian", "os_family": "Debian", "osrelease": "12", "kernel": "Linux",
        "kernelrelease": "6.1.0-28-amd64", "cpuarch": "x86_64", "virtual": "kvm", "num_cpus": 8,
        "mem_total": 15_930, "roles": ["web", "cache"], "ipv4": ["127.0.0.1", "10.1.2.3"],
        "ip4_interfaces": {"lo": ["127.0.0.1"], "eth0": ["10.1.2.3"]},
    });
    let Value::Object(grains) = grains else { unreachable!("written as a mapping") };
    let facts = Facts {
        generation: at as u64 + 1,
        journal: format!("{at:032x}"),
        last_seen: wall(),
        address: "10.1.2.3".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        grains,
        successor: None,
    };
    Record::Facts(ledger::name(at), Box::new(facts))
}
