//! What is left of jobs, found and killed: of those that an earlier run of this minion started, and
//! of those that are ended before their time.
//!
//! The former is done before any session: the master is told `interrupted` only when it is true.
//! Processes are found by number and start time from the journal, and by the markers that every
//! process of a job inherits. What an ended job left in the background, a service it started say,
//! is no leftover and lives on.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use brine_protocol::Jid;

use crate::book::{Book, Stage};
use crate::functions::MARK_RUN;
use crate::processes::{self, Spawned, Wanted};

/// The variable that names the journal in the environment of a job's processes.
const MARK_JOURNAL: &str = "BRINE_JOURNAL";

/// The variable that names the job.
const MARK_JID: &str = "BRINE_JID";

/// How long killed processes may take to be gone. One that hangs in the kernel stays; it is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// As [`PATIENCE`], for the end of a job, which somebody waits for.
const JOB_PATIENCE: Duration = Duration::from_secs(2);

/// Kills what is left of the open jobs of `book`, but for the detached ones that go on. Gives the
/// processes that were there, and those of them that did not go.
#[must_use]
pub fn kill_leftovers(book: &Book, going_on: &BTreeSet<Jid>) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let mut wanted = Wanted::default();
    for (jid, held) in book.jobs().filter(|(jid, _)| !going_on.contains(jid)) {
        if let Stage::Open { processes, .. } = &held.stage {
            wanted.known.extend(processes.iter().map(|p| Spawned { pid: p.pid, start_ticks: p.start }));
            wanted.marks.extend(marks(book.id(), jid));
        }
    }
    if wanted.known.is_empty() && wanted.marks.is_empty() {
        return (BTreeSet::new(), BTreeSet::new());
    }
    processes::end(&wanted, PATIENCE)
}

/// Kills what these jobs have started and is still there, whatever has become of its groups.
/// Blocks until it is gone, and says whether it is.
pub fn kill_jobs(journal: &str, jids: &[Jid]) -> bool {
    let marks = jids.iter().filter_map(|jid| marks(journal, *jid)).collect();
    let (_, left) = processes::end(&Wanted { marks, ..Wanted::default() }, JOB_PATIENCE);
    if !left.is_empty() {
        tracing::error!(processes = ?left, ?jids, "these processes of ended jobs cannot be killed");
    }
    left.is_empty()
}

/// Becomes this program once more without the marks of a job, if a job has started it, as one does
/// that upgrades the minion: the minion is no part of that job and must not end with it. To be
/// called before there is another thread.
pub fn shed_marks() {
    let marks = [MARK_JOURNAL, MARK_JID, MARK_RUN];
    if marks.iter().all(|name| std::env::var_os(name).is_none()) {
        return;
    }
    // Its own file, for the name by which it is listed, unless that was replaced meanwhile.
    let path = std::env::current_exe().ok().filter(|path| path.is_file());
    let mut command = Command::new(path.unwrap_or_else(|| "/proc/self/exe".into()));
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    for name in marks {
        command.env_remove(name);
    }
    let error = command.args(arguments).exec();
    // It can serve all the same.
    eprintln!("brine-minion: cannot start anew without the marks of the job that started it: {error}");
}

/// The environment variables that mark what a job starts.
#[must_use]
pub fn marker(journal: &str, jid: Jid) -> Vec<(String, String)> {
    vec![(MARK_JOURNAL.to_owned(), journal.to_owned()), (MARK_JID.to_owned(), jid.to_string())]
}

fn marks(journal: &str, jid: Jid) -> Option<Vec<String>> {
    let marks = || marker(journal, jid).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Without the journal's name the marks would be those of any minion.
    (!journal.is_empty()).then(marks)
}

#[cfg(test)]
mod tests {
    use std::process::Child;

    use super::*;
    use crate::book::Entry;
    use crate::book::tests::{jid, opened};
    use crate::processes::start_ticks;

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
        let result = kill_leftovers(book, &BTreeSet::new());
        assert!(!reaper.join().unwrap().unwrap().success());
        result
    }

    #[test]
    fn found_by_number_and_start_time() {
        let child = sleeper(None);
        let pid = child.id();
        let book = book("none", Some((pid, start_ticks(pid))));
        assert_eq!(kill_leftovers(&book, &BTreeSet::from([jid(1)])), (BTreeSet::new(), BTreeSet::new()));
        let (found, left) = while_reaping(child, &book);
        assert_eq!((found, left), (BTreeSet::from([pid]), BTreeSet::new()));
    }

    #[test]
    fn found_by_its_mark() {
        let mark = format!("mark-{}", std::process::id());
        let child = sleeper(Some((&mark, 1)));
        let mut service = sleeper(Some((&mark, 2)));
        let pid = child.id();
        // The environment is the new program's only once it runs.
        for pid in [pid, service.id()] {
            let environ = || std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            while !String::from_utf8_lossy(&environ()).contains(&mark) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let (found, left) = while_reaping(child, &book(&mark, None));
        assert_eq!((found, left), (BTreeSet::from([pid]), BTreeSet::new()));
        assert!(service.try_wait().unwrap().is_none(), "its job is not open any more");
        kill_jobs("", &[jid(2)]);
        kill_jobs(&mark, &[jid(3)]);
        assert!(service.try_wait().unwrap().is_none(), "it is no process of theirs");
        let reaper = std::thread::spawn(move || service.wait());
        kill_jobs(&mark, &[jid(2)]);
        assert!(!reaper.join().unwrap().unwrap().success());
    }

    #[test]
    fn strangers_with_the_same_number_live() {
        let mut child = sleeper(None);
        let pid = child.id();
        let other_start = start_ticks(pid).map(|ticks| ticks + 1);
        for start in [other_start, None] {
            assert_eq!(
                kill_leftovers(&book("none", Some((pid, start))), &BTreeSet::new()),
                (BTreeSet::new(), BTreeSet::new())
            );
        }
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
