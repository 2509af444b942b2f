//! Ledgers as a master writes them, without a master: ten thousand keys in a fraction of a second.

use std::fs;
use std::path::Path;
use std::time::Duration;

use brine_local::Paths;
use brine_pki::key::PublicKey;
use brine_pki::ledger::{Deed, Entry, Hash};
use brine_pki::registry::Trust;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use brine_tests::fixtures::{key_file, short_dir};
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::bench::{Bench, timed};
use crate::numbers::median;
use crate::row::Limit;

/// What this group measures.
pub const NAMES: &[&str] = &["ledger_replay_30000_ms"];

/// The acts on each key of a ledger that is replayed.
const ACTS: [Act; 3] = [Act::Accept, Act::Suspend, Act::Resume];

/// The id of key number `at`; all are of one length and in order.
///
/// # Panics
/// Never: it is an id.
#[must_use]
pub fn name(at: usize) -> MinionId {
    format!("web{at:05}").parse().expect("an id")
}

/// Writes a ledger of so many decisions: `acts`, each on all keys, one act after the other.
///
/// # Panics
/// The folder cannot be written.
pub fn write(path: &Path, keys: usize, acts: &[Act]) {
    let pem = fs::read_to_string(key_file("m1.pub")).expect("a test key");
    let template = PublicKey::from_pem(&pem).expect("a key").der().to_vec();
    let mut text = String::new();
    let mut prev = Hash::default();
    let deeds = acts.iter().flat_map(|act| (0..keys).map(|at| (*act, at)));
    for (number, (act, at)) in deeds.enumerate() {
        // Another number in the middle of the modulus makes another key of the same form.
        let mut der = template.clone();
        let middle = der.len() / 2;
        der[middle..middle + 8].copy_from_slice(&(at as u64).to_be_bytes());
        let fingerprint = Fingerprint(Sha256::digest(&der).into());
        let key = (act == Act::Accept).then_some(der);
        let entry = Entry {
            seq: number as u64 + 1,
            at: Timestamp(1_700_000_000_000_000 + number as i64),
            by: "unix:0 (root)".to_owned(),
            reason: None,
            deed: Deed::Key { act, id: name(at), fingerprint, key },
            prev,
        };
        let line = entry.to_line();
        prev = Hash::of(line.as_bytes());
        text.push_str(&line);
        text.push('\n');
    }
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder for the ledger");
    fs::write(path, text).expect("room for the ledger");
}

/// Reading a ledger, hashing each line and parsing it as any JSON: what a replay cannot do without, in
/// seconds.
///
/// # Panics
/// It is not there, or has no JSON in it.
#[must_use]
pub fn read_s(path: &Path) -> f64 {
    timed(|| {
        let text = fs::read(path).expect("a ledger");
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            std::hint::black_box(Sha256::digest(line));
            let _: IgnoredAny = serde_json::from_slice(line).expect("a line of JSON");
        }
    })
}

/// Measures how long it takes to read, check and fold a ledger.
pub fn measure(bench: &mut Bench) {
    let folder = short_dir();
    let paths = Paths::new(Some(folder.path()), None);
    write(&paths.ledger(), bench.scale.decisions / ACTS.len(), &ACTS);
    let mut found = 0;
    let times: Vec<f64> = (0..bench.scale.runs)
        .map(|_| {
            timed(|| {
                let opened =
                    Trust::open(&paths.ledger(), &paths.waiting(), WaitingLimits::default(), Duration::ZERO);
                found = opened.expect("the ledger is whole").trust.registry().holders();
            })
        })
        .collect();
    assert_eq!(found, bench.scale.decisions / ACTS.len(), "all are accepted again");
    let reads: Vec<f64> = (0..bench.scale.runs).map(|_| read_s(&paths.ledger())).collect();
    let limit = Limit::of(median(&reads) * 1e3, "the file read, each line hashed and parsed as any JSON");
    bench.put("ledger_replay_30000_ms", median(&times) * 1e3, limit, bench.scale.decisions);
}
