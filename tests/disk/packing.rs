//! The power fails, or the disk takes nothing, while a bucket that is over becomes a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_local::Paths;
use brine_local::clock::wall;
use brine_master::store::{Record, Row, Store, StoreOptions};
use brine_protocol::Jid;
use brine_protocol::job::{Ending, Job};
use brine_protocol::time::Timestamp;
use brine_tests::disk::{Chance, Disk, Rule};
use brine_tests::{Fleet, Process, eventually};
use nix::errno::Errno;
use serde_json::json;

use crate::{number, seed};

/// As masters are delivered.
const KEEP: u64 = 86_400;

/// Jobs of the bucket.
const JOBS: i64 = 40;

/// A flush that takes its time has each step be seen.
const FLUSH_US: u64 = 20_000;

/// A master whose store has one bucket that was over hours ago.
struct World {
    fleet: Fleet,
    disk: Disk,
    begin: i64,
    /// The store before anything is packed.
    pristine: tempfile::TempDir,
}

impl World {
    fn begin() -> Self {
        let fleet = Fleet::prepare("");
        let disk = Disk::under(&fleet.root(), &fleet.dir().join("disk-M"), FLUSH_US);
        let begin = (wall().seconds() - 6 * 3600) / 10_800 * 10_800;
        let pristine = tempfile::tempdir().expect("a temporary folder");
        let world = Self { fleet, disk, begin, pristine };
        let store = world.open();
        for n in 0..JOBS {
            let job = world.job(n);
            let ended = |minion: &str| {
                let (id, row) = (minion.parse().expect("an id"), Box::new(row(n)));
                Record::Row { jid: job.jid, id, row }
            };
            let rows = [Record::Job(Arc::clone(&job)), ended("a"), ended("b"), Record::Closed(job.jid)];
            store.commit(&rows).expect("commits");
        }
        drop(store);
        copy(&world.paths().store_dir(), world.pristine.path());
        world
    }

    fn paths(&self) -> Paths {
        Paths::new(Some(&self.fleet.root()), None)
    }

    fn open(&self) -> Store {
        let options = StoreOptions {
            keep_jobs_seconds: KEEP,
            cache_bytes: 4 << 20,
            orphans_per_minion: 3,
            room_min: 0,
        };
        let paths = self.paths();
        let (store, said) =
            Store::open(&paths.store_dir(), &paths.jid_ceiling(), options).expect("the store opens");
        assert_eq!(said, Vec::<String>::new());
        store
    }

    fn job(&self, n: i64) -> Arc<Job> {
        let at = Timestamp((self.begin + n) * 1_000_000);
        let job = json!({
            "jid": Jid::at(at, 0), "calls": [{"function": "test.ping"}],
            "target": {"kind": "glob", "expression": "*"}, "delivery": "now", "principal": "unix:0 (root)",
            "submitted": at, "number": at.0, "minions": [["a", 1], ["b", 1]],
        });
        Arc::new(serde_json::from_value(job).expect("a job"))
    }

    /// The database, the new file without and with its name.
    fn places(&self) -> [PathBuf; 3] {
        let name = format!("jobs-{}-{}", self.begin, self.begin + 10_800);
        ["", ".packed.new", ".packed"].map(|end| self.paths().store_dir().join(name.clone() + end))
    }

    /// Begins again with the bucket unpacked.
    fn restore(&self) {
        let store = self.paths().store_dir();
        fs::remove_dir_all(&store).expect("removes");
        copy(self.pristine.path(), &store);
        self.disk.forget();
    }

    fn start(&self) -> Process {
        let mut command = self.fleet.command("brine-master", &[]);
        self.disk.give_to(&mut command);
        Process::start(command, &self.fleet.dir().join("master.log"))
    }

    /// All is there, in whatever it is in.
    fn is_whole(&self, store: &Store, what: &str) {
        for n in 0..JOBS {
            let job = self.job(n);
            assert_eq!(store.job(job.jid).expect("reads").as_ref(), Some(&*job), "{what}");
            let rows = store.rows(job.jid).expect("reads");
            let endings: Vec<_> = rows.values().filter_map(|row| row.ending.clone()).collect();
            assert_eq!(endings, [row(n).ending, row(n).ending], "{what}: rows of {}", job.jid);
        }
        assert!(store.open_jobs().expect("reads").is_empty(), "{what}");
    }

    /// The store as it was left: all is there before it is packed, if it is not, and after that.
    fn is_well(&self, what: &str) {
        let [database, new, file] = self.places();
        let store = self.open();
        self.is_whole(&store, what);
        assert!(!new.exists() && database.exists() != file.exists(), "{what}: one of them is left");
        store.retire(wall()).expect("retires");
        assert!(file.exists() && !database.exists(), "{what}: it is packed at last");
        self.is_whole(&store, what);
        drop(store);
        self.is_whole(&self.open(), what);
    }
}

/// Some are so large that they are kept in a file of their own.
fn row(n: i64) -> Row {
    let length = if n % 8 == 0 { 300_000 } else { 3000 };
    Row { ending: Ending::Failed { why: format!("{n} ").repeat(length / 3) }, at: Timestamp(n) }
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

#[test]
fn a_power_cut_at_any_step_of_packing_loses_nothing() {
    let (seed, rounds) = (seed(), number("DISK_ROUNDS").unwrap_or(10) + 2);
    let world = World::begin();
    let [database, new, file] = world.places();
    let mut left = [0, 0];
    for round in 0..rounds {
        let mut chance = Chance(seed ^ round << 32);
        world.restore();
        let mut master = world.start();
        let step: (&str, &dyn Fn() -> bool) = match round % 4 {
            0 => ("the file is begun", &|| new.exists()),
            1 => ("the file has its name", &|| file.exists()),
            2 => ("the database goes", &|| file.exists() && !database.join("redo").exists()),
            _ => ("the database is gone", &|| file.exists() && !database.exists()),
        };
        let begun = Instant::now();
        while !step.1() {
            assert!(
                begun.elapsed() < Duration::from_secs(30) && master.is_alive(),
                "{}: {}",
                step.0,
                master.log()
            );
        }
        // And any moment after that.
        let more = Duration::from_micros(chance.below(30_000) as u64);
        let reached = Instant::now();
        while reached.elapsed() < more {}
        master.kill();
        let taken = world.disk.cut((round % 3 > 0).then_some(&mut chance));
        let what = format!("round {round}, {} since {more:?}, {taken:?}", step.0);
        left[usize::from(file.exists())] += 1;
        world.is_well(&what);
    }
    println!(
        "disk: {rounds} cuts while packing, {} before the file had its name, {} after",
        left[0], left[1]
    );
    assert!(left.iter().all(|count| *count > 0), "cuts of one kind prove half of it: {left:?}");
}

#[test]
fn a_disk_that_does_not_take_the_file_leaves_the_bucket_and_the_master_as_they_are() {
    let world = World::begin();
    let [database, new, file] = world.places();
    let pattern = "*/store/jobs-*.packed.new";
    let once = |id, call, errno| Rule::once(id, call, pattern, errno);
    let short = Rule { errno: 0, short: 1000, ..once("short", "write", Errno::EIO) };
    let after_short = Rule { times: -1, ..once("after", "write", Errno::ENOSPC) };
    for rules in [
        vec![once("create", "create", Errno::ENOSPC)],
        vec![once("full", "write", Errno::ENOSPC)],
        vec![Rule { skip: 1, ..once("second", "write", Errno::EIO) }],
        vec![short, after_short],
        vec![once("sync", "sync", Errno::EIO)],
        vec![Rule::once("rename", "rename", "*/store/jobs-*.packed", Errno::EIO)],
        vec![Rule::once("name", "sync", "*/store", Errno::EIO)],
    ] {
        let what = format!("{rules:?}");
        world.restore();
        // The folder is flushed by a start as well.
        let is_for_later = rules[0].id == "name";
        world.disk.rule(if is_for_later { &[] } else { &rules });
        let mut master = world.start();
        if is_for_later {
            eventually(30.0, "the file is begun", || new.exists());
            world.disk.rule(&rules);
        }
        eventually(30.0, &what, || master.log().contains("cannot be dropped or packed"));
        assert!(rules.iter().all(|rule| world.disk.fired(rule.id) >= 1), "{what}");
        assert!(database.exists() && !new.exists() && !file.exists(), "{what}");
        assert_eq!(world.fleet.health()["status"], "ok", "{what}: it goes on");
        let rows = world.fleet.api().get(&format!("/v1/jobs/{}", world.job(3).jid)).expect(200).json();
        assert_eq!(rows["rows"].as_array().map(Vec::len), Some(2), "{what}: {rows}");
        assert!(master.is_alive(), "{what}");
        master.kill();
        let _ = world.disk.cut(None);
        world.is_well(&what);
    }
}

#[test]
fn a_damaged_file_is_set_aside_the_rest_goes_on_and_health_says_so() {
    let mut world = World::begin();
    let [_, _, file] = world.places();
    world.open().retire(wall()).expect("packs it");
    let mut bytes = fs::read(&file).expect("reads");
    let end = bytes.len();
    bytes[end - 40] ^= 1;
    fs::write(&file, bytes).expect("writes");
    world.fleet.start_master();
    let health = world.fleet.health();
    let problems = health["problems"].as_array().expect("a list");
    let said = problems[0].as_str().expect("a sentence");
    assert_eq!((problems.len(), health["status"].as_str()), (1, Some("degraded")), "{health}");
    assert!(said.contains(".packed is damaged") && said.contains("it holds jobs from"), "{said}");
    let minion = world.fleet.minion("m1");
    world.fleet.until_back(&minion);
    let jid = world.fleet.submit("m1", "test.ping", &[]);
    assert_eq!(world.fleet.ending(&jid, "m1", 10.0)["state"], "returned");
    assert!(!file.exists());
    // The next start has nothing new to say.
    world.fleet.kill_master();
    world.fleet.start_master();
    assert_eq!(world.fleet.health()["status"], "ok");
}
