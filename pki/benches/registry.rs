//! How long the ledger takes from bytes to who may do what: its lines read, and folded.

use std::hint::black_box;

use brine_pki::key::PublicKey;
use brine_pki::ledger::{Deed, Entry, Hash};
use brine_pki::registry::Registry;
use brine_protocol::Fingerprint;
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use criterion::{Criterion, Throughput};
use sha2::{Digest, Sha256};

/// Minions, each of which is let in, suspended and resumed.
const MINIONS: u64 = 1000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(30);
    let entries = entries();
    let lines: Vec<String> = entries.iter().map(Entry::to_line).collect();
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(entries.len() as u64));
    group.bench_function("read lines", |bencher| {
        bencher.iter(|| {
            let read = |line: &String| Entry::from_line(line.as_bytes()).expect("a line that was written");
            black_box(&lines).iter().map(read).collect::<Vec<_>>()
        });
    });
    group.bench_function("fold", |bencher| bencher.iter(|| Registry::fold(black_box(&entries))));
    group.finish();
    criterion.final_summary();
}

fn entries() -> Vec<Entry> {
    let public = PublicKey::from_pem(include_str!("../tests/keys/minion.pub")).expect("a fixed key");
    let acts = [Act::Accept, Act::Suspend, Act::Resume];
    let deeds = acts.into_iter().flat_map(|act| (0..MINIONS).map(move |minion| (act, minion)));
    let mut prev = Hash::default();
    let mut entries = Vec::new();
    for (seq, (act, minion)) in deeds.enumerate() {
        let mut der = public.der().to_vec();
        let middle = der.len() / 2;
        der[middle..middle + 8].copy_from_slice(&minion.to_be_bytes());
        let fingerprint = Fingerprint(Sha256::digest(&der).into());
        let id = format!("web{minion:05}").parse().expect("an id");
        let entry = Entry {
            seq: seq as u64 + 1,
            at: Timestamp(1_700_000_000_000_000),
            by: "unix:0 (root)".to_owned(),
            reason: None,
            deed: Deed::Key { act, id, fingerprint, key: (act == Act::Accept).then_some(der) },
            prev,
        };
        prev = Hash::of(entry.to_line().as_bytes());
        entries.push(entry);
    }
    entries
}
