//! What the programs hold when nothing is to be done: as much after the last round as after the first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use brine_tests::checker::COUNTER;
use brine_tests::eventually;
use brine_tests::process::rss_kib;

/// Rounds until what a program needs for its work has shown.
const WARM_UP: usize = 5;

/// Descriptors that may be open now and then: a client that asks, a file that is read.
const DESCRIPTORS_MORE: usize = 8;

/// Memory that may be held on top of half as much again as in the first rounds, in KiB.
const MEMORY_MORE: u64 = 32 * 1024;

/// And for each round, in KiB: the jobs of a round stay in the store, and some of that in its cache.
const MEMORY_A_ROUND: u64 = 64;

/// What one program held, at most, after the first rounds and since.
#[derive(Debug, Default)]
struct Held {
    first: (u64, usize),
    most: (u64, usize),
}

/// What all of them held.
#[derive(Debug, Default)]
pub struct Resources {
    held: BTreeMap<String, Held>,
}

impl Resources {
    /// Looks at a program after a round.
    ///
    /// # Panics
    /// It holds more than its work can explain.
    pub fn look(&mut self, round: usize, name: &str, pid: i32) {
        let held = self.held.entry(name.to_owned()).or_default();
        if round < WARM_UP {
            let (memory, open) = (rss_kib(pid), descriptors(pid));
            held.first = (held.first.0.max(memory), held.first.1.max(open));
        } else {
            let first = held.first;
            eventually(10.0, &format!("{name} has not many more descriptors than {}", first.1), || {
                descriptors(pid) <= first.1 + DESCRIPTORS_MORE
            });
            let memory = rss_kib(pid);
            let most = first.0 / 2 * 3 + MEMORY_MORE + MEMORY_A_ROUND * round as u64;
            assert!(memory <= most, "{name} had {} KiB, and has {memory}", first.0);
        }
        held.most = (held.most.0.max(rss_kib(pid)), held.most.1.max(descriptors(pid)));
    }

    /// A line a program.
    pub fn print(&self) {
        for (name, Held { first, most }) in &self.held {
            println!(
                "crash: {name}: at first {} KiB and {} descriptors, at most {} KiB and {}",
                first.0, first.1, most.0, most.1
            );
        }
    }
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The processes that count for minions of this folder, and are none of these: what jobs left behind.
pub fn left_behind(folder: &Path, minions: &[i32]) -> Vec<String> {
    let mark = format!("{COUNTER}={}/", folder.display());
    let pids = fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| !minions.contains(pid)).filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_ours = environment.windows(mark.len()).any(|window| window == mark.as_bytes());
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_ours.then(|| {
            format!("{pid}: {}", String::from_utf8_lossy(&line[..line.len().min(200)]).replace('\0', " "))
        })
    });
    ours.collect()
}
