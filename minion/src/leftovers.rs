//! What is left of jobs that an earlier run of this minion started, found and killed.
//!
//! Done before any session: the master is told `interrupted` only when it is true. Processes are
//! found by number and start time from the journal, and by the markers that every process of a
//! job inherits; a start time tells a process from a stranger that got its number later. What an
//! ended job left in the background, a service it started say, is no leftover and lives on.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::book::{Book, Stage};
use crate::functions::start_ticks;

/// The variable that names the journal in the environment of a job's processes.
pub const MARK_JOURNAL: &str = "BRINE_JOURNAL";

/// The variable that names the job.
pub const MARK_JID: &str = "BRINE_JID";

/// How long killed processes may take to be gone. One that hangs in the kernel stays; it is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills what is left of the open jobs of `book`. Gives the processes that were there, and those
/// of them that did not go.
#[must_use]
pub fn kill_leftovers(book: &Book) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut found, until) = (BTreeSet::new(), Instant::now() + PATIENCE);
    loop {
        // Again and again, because they may start others meanwhile.
        let left = find(book);
        if left.is_empty() || Instant::now() >= until {
            return (found, left);
        }
        for &pid in &left {
            end(pid, &left);
        }
        found.extend(left);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn find(book: &Book) -> BTreeSet<u32> {
    let mut left = BTreeSet::new();
    for (_, held) in book.jobs() {
        if let Stage::Open { processes, .. } = &held.stage {
            let is_same = |p: &&crate::book::Process| {
                p.start.is_some() && start_ticks(p.pid) == p.start && !is_zombie(p.pid)
            };
            left.extend(processes.iter().filter(is_same).map(|p| p.pid));
        }
    }
    let spared = ancestry();
    let open = book.jobs().filter(|(_, held)| !held.is_ended());
    let jids: Vec<String> = open.map(|(jid, _)| format!("{MARK_JID}={jid}")).collect();
    left.extend(marked(book.id(), &jids).into_iter().filter(|pid| !spared.contains(pid)));
    left
}

/// Living processes with the journal's mark and that of one of these jobs. Those of other users cannot be looked into; then
/// they are not ours either, or we are not root.
fn marked(journal: &str, jids: &[String]) -> Vec<u32> {
    if journal.is_empty() || jids.is_empty() {
        return Vec::new();
    }
    let mark = format!("{MARK_JOURNAL}={journal}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                let has = |mark: &str| environ.split(|b| *b == 0).any(|variable| variable == mark.as_bytes());
                has(&mark) && jids.iter().any(|jid| has(jid))
            })
        })
        .collect()
}

/// This process and those it descends from: a job may have started this very minion.
fn ancestry() -> BTreeSet<u32> {
    let mut line = BTreeSet::new();
    let mut pid = std::process::id();
    while pid > 0 && line.insert(pid) {
        pid = stat_field(pid, 1).unwrap_or(0);
    }
    line
}

/// A field of `/proc/<pid>/stat`, counted from the state, which is field 0.
fn stat_field(pid: u32, field: usize) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

/// Kills a process, and its group if the group is a job's own.
fn end(pid: u32, left: &BTreeSet<u32>) {
    let raw = |pid: u32| Pid::from_raw(pid.cast_signed());
    let ours = nix::unistd::getpgrp();
    if let Some(group) = stat_field(pid, 2)
        && left.contains(&group)
        && raw(group) != ours
    {
        // Failure means that it is gone already.
        let _ = killpg(raw(group), Signal::SIGKILL);
    }
    let _ = kill(raw(pid), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;
    use crate::book::Entry;
    use crate::book::tests::{jid, opened};

    fn sleeper(mark: Option<(&str, u64)>) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").process_group(0);
        if let Some((journal, n)) = mark {
            command.env(MARK_JOURNAL, journal).env(MARK_JID, jid(n).to_string());
        }
        command.spawn().unwrap()
    }

    fn book(journal: &str, process: Option<(u32, Option<u64>)>) -> Book {
        let mut book = Book::new(journal.into());
        book.apply(&opened(1, "cmd.run", None));
        if let Some((pid, start)) = process {
            book.apply(&Entry::Pid { jid: jid(1), pid, start });
        }
        book
    }

    /// Reaps the child, so that what is left can be seen to be gone.
    fn while_reaping(mut child: Child, book: &Book) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let reaper = std::thread::spawn(move || child.wait());
        let result = kill_leftovers(book);
        assert!(!reaper.join().unwrap().unwrap().success());
        result
    }

    #[test]
    fn found_by_number_and_start_time() {
        let child = sleeper(None);
        let pid = child.id();
        let (found, left) = while_reaping(child, &book("none", Some((pid, start_ticks(pid)))));
        assert_eq!((found, left), (BTreeSet::from([pid]), BTreeSet::new()));
    }

    #[test]
    fn found_by_its_mark() {
        let mark = format!("mark-{}", std::process::id());
        let child = sleeper(Some((&mark, 1)));
        let mut service = sleeper(Some((&mark, 2)));
        let pid = child.id();
        // The environment is the new program's only once it runs.
        let jids = [1, 2].map(|n| format!("{MARK_JID}={}", jid(n)));
        while marked(&mark, &jids).len() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (found, left) = while_reaping(child, &book(&mark, None));
        assert_eq!((found, left), (BTreeSet::from([pid]), BTreeSet::new()));
        assert!(service.try_wait().unwrap().is_none(), "its job is not open any more");
        service.kill().unwrap();
        service.wait().unwrap();
    }

    #[test]
    fn strangers_with_the_same_number_live() {
        let mut child = sleeper(None);
        let pid = child.id();
        let other_start = start_ticks(pid).map(|ticks| ticks + 1);
        for start in [other_start, None] {
            assert_eq!(kill_leftovers(&book("none", Some((pid, start)))), (BTreeSet::new(), BTreeSet::new()));
        }
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_never_its_own_leftover() {
        let line = ancestry();
        assert!(line.contains(&std::process::id()) && line.contains(&1));
    }
}
