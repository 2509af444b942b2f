//! The processes of a job, wherever they went: found in `/proc`, and killed.
//!
//! A process that leaves its group or its parent (`setsid`, a double fork) keeps its environment,
//! and everything that a job starts is marked there. So what belongs to a job is: what bears its
//! mark, what was seen to be started, and what descends from either. Not found is only what has
//! emptied its environment *and* left its parent and its group, and what another daemon was asked
//! to start. A start time tells a process from a stranger that got its number later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Pause between two looks at what was killed.
const PAUSE: Duration = Duration::from_millis(20);

/// Most bytes read of a process's environment; the kernel allows no more by default.
const ENVIRONMENT_MAX: u64 = 4 * 1024 * 1024;

/// A process that was started, in terms that outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawned {
    /// Its number, which is also its group's.
    pub pid: u32,
    /// When it was started, in clock ticks since boot: with the number this names one process
    /// until the next boot. None where `/proc` cannot be read.
    pub start_ticks: Option<u64>,
}

impl Spawned {
    /// Whether it is still there, be it as a zombie: its number may be somebody else's by now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.start_ticks.is_some() && start_ticks(self.pid) == self.start_ticks
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| Some(stat.start) == self.start_ticks && !stat.is_zombie)
    }
}

/// When the process `pid` was started, in clock ticks since boot. None when there is none.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// What tells some processes from all others.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Processes that were seen to be started.
    pub known: Vec<Spawned>,
    /// Environment variables, as `NAME=value`: all of one of these lists are in the environment.
    pub marks: Vec<Vec<String>>,
}

/// Kills them and all that descends from them, again and again, because they may start others
/// meanwhile. Gives those that were there, and those of them that were not gone in time: one that
/// hangs in the kernel goes when the kernel lets it. Blocks.
#[must_use]
pub fn end(wanted: &Wanted, patience: Duration) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut found, until) = (BTreeSet::new(), Instant::now() + patience);
    loop {
        let left = end_once(wanted);
        if left.is_empty() || Instant::now() >= until {
            return (found, left);
        }
        found.extend(left);
        std::thread::sleep(PAUSE);
    }
}

/// Kills what is there of them now, without waiting for their end.
pub fn end_once(wanted: &Wanted) -> BTreeSet<u32> {
    let left = find(wanted);
    for (&pid, stat) in &left {
        kill_one(pid, stat, &left);
    }
    left.into_keys().collect()
}

/// Kills a process, and its group if the group is one of them as well.
fn kill_one(pid: u32, seen: &Stat, left: &BTreeMap<u32, Stat>) {
    let raw = |pid: u32| Pid::from_raw(pid.cast_signed());
    let is_same = |pid: u32, seen: &Stat| start_ticks(pid) == Some(seen.start);
    let group = raw(seen.group);
    // Failure means that it is gone already.
    if let Some(leader) = left.get(&seen.group)
        && group != nix::unistd::getpgrp()
        && is_same(seen.group, leader)
    {
        let _ = killpg(group, Signal::SIGKILL);
    }
    if is_same(pid, seen) {
        let _ = kill(raw(pid), Signal::SIGKILL);
    }
}

fn find(wanted: &Wanted) -> BTreeMap<u32, Stat> {
    // A job may have started this very minion.
    let spared = ancestry();
    let all: BTreeMap<u32, Stat> = pids()
        .filter(|pid| !spared.contains(pid))
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .filter(|(_, stat)| !stat.is_zombie)
        .collect();
    let known = |pid: u32, stat: &Stat| {
        wanted.known.iter().any(|known| known.pid == pid && known.start_ticks == Some(stat.start))
    };
    let mut found: BTreeSet<u32> = all
        .iter()
        .filter(|(pid, stat)| known(**pid, stat) || is_marked(**pid, &wanted.marks))
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let children = all.iter().filter(|(pid, stat)| found.contains(&stat.parent) && !found.contains(pid));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    all.into_iter().filter(|(pid, _)| found.contains(pid)).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The environment of other users' processes cannot be looked into; then they are not ours either,
/// or we are not root.
fn is_marked(pid: u32, marks: &[Vec<String>]) -> bool {
    if marks.is_empty() {
        return false;
    }
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT_MAX).read_to_end(&mut environment));
    if read.is_err() {
        return false;
    }
    let variables: BTreeSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
    marks.iter().any(|all| !all.is_empty() && all.iter().all(|mark| variables.contains(mark.as_bytes())))
}

/// This process and those it descends from.
fn ancestry() -> BTreeSet<u32> {
    let mut line = BTreeSet::new();
    let mut pid = std::process::id();
    while pid > 0 && line.insert(pid) {
        pid = stat(pid).map_or(0, |stat| stat.parent);
    }
    line
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    is_zombie: bool,
    parent: u32,
    group: u32,
    start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The program's name stands in parentheses and may contain anything, parentheses too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    const MARK: &str = "BRINE_TEST_PROCESSES";

    fn marked(name: &str) -> Wanted {
        let mark = format!("{MARK}={name}-{}", std::process::id());
        Wanted { marks: vec![vec![mark]], ..Wanted::default() }
    }

    fn start(name: &str, program: &str, arguments: &[&str]) -> Child {
        let value = format!("{name}-{}", std::process::id());
        Command::new(program).args(arguments).env(MARK, value).process_group(0).spawn().unwrap()
    }

    fn until(wanted: &Wanted, count: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while find(wanted).len() != count {
            assert!(Instant::now() < end, "there are {:?}, not {count}", find(wanted));
            std::thread::sleep(PAUSE);
        }
    }

    #[test]
    fn stats() {
        let text = "42 (a) b (c)) S 1 41 42 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 98765 1000 10 184";
        let expected = Stat { is_zombie: false, parent: 1, group: 41, start: 98765 };
        assert_eq!(parse_stat(text), Some(expected));
        assert!(parse_stat(&text.replace(" S ", " Z ")).is_some_and(|stat| stat.is_zombie));
        for bad in ["42 (a) S 1", "", "42 (a)", "42"] {
            assert_eq!(parse_stat(bad), None);
        }
        assert!(start_ticks(std::process::id()).is_some_and(|ticks| ticks > 0));
        assert_eq!(start_ticks(u32::MAX), None);
    }

    #[test]
    fn who_left_group_session_and_parent_is_found_and_killed() {
        // A session of its own; a double fork into one; one with an empty environment that stayed.
        let script = "setsid sleep 600 & (setsid sleep 600 &) ; env -i sleep 600 & wait";
        let mut shell = start("left", "sh", &["-c", script]);
        let wanted = marked("left");
        until(&wanted, 4);
        let pid = shell.id();
        let reaper = std::thread::spawn(move || shell.wait());
        let (found, left) = end(&wanted, Duration::from_secs(10));
        assert!(found.contains(&pid) && found.len() == 4, "{found:?}");
        assert_eq!(left, BTreeSet::new());
        assert!(!reaper.join().unwrap().unwrap().success());
    }

    #[test]
    fn all_of_a_list_of_marks_are_wanted() {
        let mut child = start("list", "sleep", &["600"]);
        let wanted = marked("list");
        until(&wanted, 1);
        let more = vec![wanted.marks[0][0].clone(), "BRINE_TEST_OTHER=1".to_owned()];
        for marks in [vec![], vec![vec![]], vec![more]] {
            assert_eq!(end_once(&Wanted { marks, ..Wanted::default() }), BTreeSet::new());
        }
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_never_found() {
        let pid = std::process::id();
        let known = vec![Spawned { pid, start_ticks: start_ticks(pid) }];
        assert!(!find(&Wanted { known, ..Wanted::default() }).contains_key(&pid));
        let line = ancestry();
        assert!(line.contains(&pid) && line.contains(&1));
    }

    #[test]
    fn a_number_that_is_somebody_elses_by_now_is_not_there() {
        let pid = std::process::id();
        let ours = start_ticks(pid);
        let there = |start_ticks| Spawned { pid, start_ticks };
        assert!(there(ours).is_there() && there(ours).is_alive());
        for start in [ours.map(|ticks| ticks + 1), None] {
            assert!(!there(start).is_there() && !there(start).is_alive());
        }
    }

    #[test]
    fn a_zombie_is_there_and_not_alive() {
        let mut child = start("zombie", "sleep", &["600"]);
        let spawned = Spawned { pid: child.id(), start_ticks: start_ticks(child.id()) };
        assert!(spawned.is_alive());
        child.kill().unwrap();
        while spawned.is_alive() {
            std::thread::sleep(PAUSE);
        }
        assert!(spawned.is_there(), "nobody has waited for it");
        child.wait().unwrap();
        assert!(!spawned.is_there());
    }
}
