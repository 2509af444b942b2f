//! A store of a million returns of ten thousand minions, written by the master's own code: how long a
//! master takes to be ready with it, and how long an operator waits for what is in it.

pub mod fill;

use std::fs;
use std::path::Path;

use brine_local::Paths;
use brine_protocol::control::Act;
use brine_tests::Fleet;

use crate::bench::{Bench, timed};
use crate::ledger;
use crate::numbers::median;
use crate::program::{runs_ms, start_s};
use crate::row::Limit;

/// What this group measures.
pub const NAMES: &[&str] = &["start_1m_returns_s", "jobs_list_1m_ms", "jobs_show_10000_ms"];

/// Starts, of which the median is taken.
const STARTS: usize = 3;

/// The part of the store's cache that each database gets, as masters are delivered.
const CACHE: u64 = 16 * 1024 * 1024;

/// Measures with a master of its own.
pub fn measure(bench: &mut Bench) {
    let mut fleet = Fleet::prepare("");
    let paths = Paths::new(Some(&fleet.root()), None);
    let (returns, minions) = bench.scale.returns;
    ledger::write(&paths.ledger(), bench.scale.keys, &[Act::Accept]);
    eprintln!("writing {returns} returns");
    let newest = fill::fill(&paths, returns, minions);

    let mut starts = Vec::new();
    let mut limits = Vec::new();
    for _ in 0..STARTS {
        limits.push(open_s(&paths.store_dir()) + ledger::read_s(&paths.ledger()));
        starts.push(start_s(&mut fleet));
        if starts.len() < STARTS {
            assert!(fleet.master().stop().success(), "the master stops well");
        }
    }
    let limit = "sled opening the same databases, and the ledger read, hashed and parsed";
    bench.put("start_1m_returns_s", median(&starts), Limit::of(median(&limits), limit), returns);

    let (start, _) = runs_ms(bench, || fleet.command("brine", &["--version"]));
    let job = format!("/v1/jobs/{newest}");
    let jid = newest.to_string();
    let show = ["jobs", "show", jid.as_str()];
    let asked: [(&str, &str, &[&str], usize); 2] = [
        ("jobs_list_1m_ms", "/v1/jobs", &["jobs", "list"], returns),
        ("jobs_show_10000_ms", &job, &show, minions),
    ];
    for (name, path, arguments, n) in asked {
        if bench.wants(name) {
            let api = fleet.api();
            let gets: Vec<f64> =
                (0..bench.scale.runs).map(|_| timed(|| drop(api.get(path).expect(200))) * 1e3).collect();
            let (value, _) = runs_ms(bench, || fleet.command("brine", arguments));
            let limit =
                Limit::of(start + median(&gets), "`brine --version`, and the same by plain HTTP, unread");
            bench.put(name, value, limit, n);
        }
    }
}

/// Opening every database of a store that nobody uses, by sled alone, in seconds.
fn open_s(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).expect("a store");
    let databases: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("db").exists()).collect();
    assert!(!databases.is_empty(), "a store has databases");
    let mut opened = Vec::new();
    // Closing them writes a snapshot; that is not part of it.
    timed(|| {
        for path in &databases {
            let config = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
            opened.push(config.open().expect("a database that was closed"));
        }
    })
}
