//! A store with damage at random: each bucket opens with right answers, or is set aside and named.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brine_master::store::{Facts, Record, Row, Store, StoreOptions};
use brine_protocol::job::{Ending, Job};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use brine_tests::disk::Chance;
use serde_json::json;

use crate::{number, seed};

/// 2026-11-22.
const DAY: i64 = 1_795_305_600;
const BUCKET: i64 = 3 * 3600;
const BUCKETS: i64 = 3;
const JOBS: i64 = 16;

fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

fn job(bucket: i64, n: i64) -> Arc<Job> {
    let at = Timestamp((DAY + bucket * BUCKET + n) * 1_000_000);
    let job = json!({
        "jid": Jid::at(at, 0), "calls": [{"function": "test.ping"}],
        "target": {"kind": "glob", "expression": "*"}, "delivery": "now", "principal": "unix:0 (root)",
        "submitted": at, "number": at.0, "minions": [["a", 1], ["b", 1]],
    });
    Arc::new(serde_json::from_value(job).expect("a job"))
}

/// Every fourth is so large that it is kept in a file of its own.
fn row(n: i64) -> Row {
    let length = if n % 4 == 0 { 300_000 } else { 700 };
    let why = format!("{n} ").repeat(length / 3);
    Row { ending: Ending::Failed { why }, at: Timestamp(DAY * 1_000_000 + n) }
}

fn open(folder: &Path) -> (Store, Vec<String>) {
    let options =
        StoreOptions { keep_jobs_seconds: 86_400, cache_bytes: 4 << 20, orphans_per_minion: 3, room_min: 0 };
    Store::open(&folder.join("store"), &folder.join("jid.ceiling"), options).expect("the store opens")
}

/// The bucket that is packed: no job in it is open.
const PACKED: i64 = 0;

fn is_open(bucket: i64, n: i64) -> bool {
    n == JOBS - 1 && bucket != PACKED
}

/// A store with jobs in each bucket, in all but the packed one of which one is open; opened and closed in
/// between, as by a master that was started anew.
fn filled(folder: &Path) {
    for part in 0..3 {
        let (store, said) = open(folder);
        assert_eq!(said, Vec::<String>::new());
        for bucket in 0..BUCKETS {
            for n in (0..JOBS).filter(|n| n * 3 / JOBS == part) {
                let job = job(bucket, n);
                let ended = |name: &str| Record::Row { jid: job.jid, id: id(name), row: Box::new(row(n)) };
                store.commit(&[Record::Job(Arc::clone(&job))]).expect("commits");
                store.commit(&[ended("a")]).expect("commits");
                if !is_open(bucket, n) {
                    store.commit(&[ended("b"), Record::Closed(job.jid)]).expect("commits");
                }
            }
        }
        for name in ["a", "b"] {
            let facts =
                Facts { generation: part as u64 + 1, journal: format!("j{part}"), ..Facts::default() };
            store.commit(&[Record::Facts(id(name), Box::new(facts))]).expect("commits");
        }
        if part == 2 {
            store.retire(Timestamp((DAY + BUCKETS * BUCKET) * 1_000_000)).expect("packs what is over");
        }
    }
    let all = files(&folder.join("store"));
    assert_eq!(all.iter().filter(|path| is_packed(path)).count(), 1, "{all:?}");
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "packed")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

/// What is done to which file.
fn damage(folder: &Path, chance: &mut Chance) -> String {
    let all = files(&folder.join("store"));
    // There are many more blobs than logs.
    let is_blob = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "blobs");
    let (blobs, others): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|path| !path.ends_with("store/id")).partition(is_blob);
    let some = if chance.below(5) == 0 { blobs } else { others };
    let path = some[chance.below(some.len())].clone();
    let mut bytes = fs::read(&path).expect("reads");
    // What is behind the end of a log is zeros, and no damage there can be seen.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |at| at + 1);
    let at = chance.below(used);
    let what = match chance.below(6) {
        // A bucket that is gone whole is not noticed.
        0 if !is_packed(&path) => {
            fs::remove_file(&path).expect("removes");
            return format!("{} removed", path.display());
        }
        1 => {
            bytes.truncate(at);
            format!("cut at {at} of {used}")
        }
        2 => {
            let end = (at + 4096).min(used);
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end} of {used}")
        }
        _ => {
            bytes[at] ^= 1 << chance.below(8);
            format!("a bit flipped at {at} of {used}")
        }
    };
    fs::write(&path, bytes).expect("writes");
    format!("{}: {what}", path.display())
}

/// What became of each bucket.
#[derive(Debug, Default)]
struct Tally {
    whole: usize,
    /// Made anew from its redo files, with all that was in it.
    anew: usize,
    /// Set aside with something that is lost.
    aside: usize,
    /// Jobs of a bucket that opened, of which one thing cannot be read, which is said.
    errors: usize,
}

/// How a line ends that says that nothing is.
const ALL: &str = "nothing is lost";

/// The start of the master, a look at all that was stored, and a commit into each bucket.
fn look(folder: &Path, tally: &mut Tally) {
    let (store, said) = open(folder);
    let said = said.join("\n");
    let open_jobs: Vec<Jid> = store.open_jobs().expect("reads").iter().map(|open| open.job.jid).collect();
    store.idempotency().expect("reads");
    store.events(100).expect("reads");
    store.last_jid().expect("reads");
    let facts: BTreeMap<_, _> = store.facts().expect("reads").into_iter().collect();
    let is_lost = |holds: &str| {
        said.lines().any(|line| line.contains("set aside") && line.contains(holds) && !line.ends_with(ALL))
    };
    assert!(facts.len() == 2 || is_lost("what is known of each minion"), "{said}");
    assert!(facts.values().all(|facts| facts.journal == "j2"), "{facts:?}");
    for bucket in 0..BUCKETS {
        let start = DAY + bucket * BUCKET;
        let range = format!(
            "jobs from {} to {}",
            Timestamp(start * 1_000_000),
            Timestamp((start + BUCKET) * 1_000_000)
        );
        let is_aside = is_lost(&range);
        tally.anew += said.lines().filter(|line| line.contains(&range) && line.ends_with(ALL)).count();
        tally.aside += usize::from(is_aside);
        tally.whole += usize::from(!is_aside);
        for n in 0..JOBS {
            let expected = job(bucket, n);
            match store.job(expected.jid) {
                Ok(None) => assert!(is_aside, "job {} is gone without a word:\n{said}", expected.jid),
                Ok(Some(job)) => assert!(job == *expected, "{job:?}"),
                Err(_) => tally.errors += 1,
            }
            let (rows, ended) = (store.rows(expected.jid), if is_open(bucket, n) { 1 } else { 2 });
            match rows {
                Ok(rows) => {
                    let is_right = rows.len() == ended || is_aside && rows.len() < ended;
                    assert!(is_right, "rows of {}:\n{said}", expected.jid);
                    let is_right = rows.values().all(|found| found.ending.as_ref() == Some(&row(n).ending));
                    assert!(is_right, "a row of {} says what nobody said", expected.jid);
                }
                Err(_) => tally.errors += 1,
            }
            let was_open = open_jobs.contains(&expected.jid);
            let is_right = was_open == is_open(bucket, n) || is_aside && !was_open;
            assert!(is_right, "job {} of:\n{said}", expected.jid);
        }
        let fresh = job(bucket, JOBS + 1);
        let late = Record::Report { jid: job(bucket, 1).jid, id: id("a"), row: Box::new(row(77)) };
        store.commit(&[Record::Job(Arc::clone(&fresh)), late]).expect("that time can be written");
        assert_eq!(store.job(fresh.jid).expect("reads"), Some((*fresh).clone()));
    }
}

#[test]
fn a_store_damaged_anywhere_answers_right_or_says_what_it_lost() {
    let (seed, rounds) = (seed(), number("DISK_DAMAGES").unwrap_or(16));
    let pristine = tempfile::tempdir().expect("a temporary folder");
    filled(pristine.path());
    let mut tally = Tally::default();
    look_at_copy(pristine.path(), &mut tally, |_| "nothing".to_owned());
    assert_eq!((tally.whole, tally.aside, tally.errors), (3, 0, 0), "nothing was damaged");
    for round in 0..rounds {
        let mut chance = Chance(seed ^ round << 32);
        look_at_copy(pristine.path(), &mut tally, |folder| damage(folder, &mut chance));
    }
    println!("disk: {rounds} damages: {tally:?}");
    assert!(
        rounds < 100 || tally.anew + tally.aside > 0,
        "most damage is mended without a word, not all of it: {tally:?}"
    );
}

fn look_at_copy(pristine: &Path, tally: &mut Tally, damage: impl FnOnce(&Path) -> String) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    copy(pristine, scratch.path());
    let what = damage(scratch.path());
    let outcome = catch_unwind(AssertUnwindSafe(|| look(scratch.path(), tally)));
    assert!(outcome.is_ok(), "after {what}");
    // A second start finds what the first one left.
    let (_, said) = open(scratch.path());
    assert_eq!(said, Vec::<String>::new(), "after {what}, at the second start");
}
