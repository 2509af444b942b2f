//! Supervisors without a process of their own; the real ones are in the end-to-end tests.

use std::collections::BTreeMap;
use std::time::Duration;

use brine_protocol::job::{Call, Returned};
use serde_json::{Map, json};
use tokio::sync::oneshot;

use super::supervisor::{Spec, run, write_down};
use super::*;
use crate::book::Entry;
use crate::book::tests::{detached, jid};
use crate::processes::start_ticks;

fn spec(command: &str, timeout_ms: Option<u64>) -> Spec {
    Spec {
        jid: jid(1),
        journal: format!("j-{}", uuid::Uuid::new_v4().simple()),
        calls: vec![Call {
            function: "cmd.run".into(),
            arguments: vec![json!(command)],
            keywords: Map::new(),
        }],
        timeout_ms,
        id: "m1".parse().unwrap(),
        grains: Map::new(),
        pillar: Map::new(),
        modules: None,
        output_max: 1000,
        path: crate::functions::search_path(),
        environment: BTreeMap::from([("SET".to_owned(), Some("before".to_owned()))]),
    }
}

fn about(journal: &str) -> About {
    About {
        journal: journal.to_owned(),
        functions: "cmd.run".into(),
        principal: "p".into(),
        started: Timestamp(1),
    }
}

/// A temporary folder of detached jobs.
fn place() -> (tempfile::TempDir, Detached) {
    let folder = tempfile::tempdir().unwrap();
    let detached = Detached::of(folder.path().join("detached"));
    (folder, detached)
}

#[tokio::test]
async fn a_job_runs_with_what_its_minion_had_and_tells_its_process() {
    let (_place, detached) = place();
    let folder = detached.make(jid(1), &about("j")).unwrap();
    assert_eq!((folder.about(), folder.ending()), (Some(about("j")), None));
    let (_kill, killed) = oneshot::channel();
    let spec = spec("echo $$ $SET $BRINE_JOURNAL; yes | head -c 5000; exit 3", None);
    let journal = spec.journal.clone();
    let ending = run(spec, &folder, killed).await;
    let Ending::Returned(Returned { value, retcode: 3, truncated: true, .. }) = &ending else {
        panic!("{ending:?}")
    };
    let pid = folder.process().unwrap().pid;
    let text = value.as_str().unwrap();
    assert!(text.starts_with(&format!("{pid} before {journal}\ny\n")), "{text}");
    folder.tell_ending(&ending).unwrap();
    assert_eq!(folder.ending(), Some(ending));
    folder.remove();
    assert_eq!((folder.about(), folder.ending()), (None, None));
}

#[tokio::test]
async fn time_and_signals_end_it_with_all_that_it_started() {
    let (place, detached) = place();
    let folder = detached.make(jid(1), &about("j")).unwrap();
    let file = place.path().join("pid");
    let stray = format!("setsid sh -c 'echo $$ > {}; exec sleep 600' & wait", file.display());
    let pid = || -> Option<u32> { std::fs::read_to_string(&file).ok()?.trim().parse().ok() };
    let gone = |pid: u32| !Spawned { pid, start_ticks: start_ticks(pid) }.is_alive();

    let (_kill, killed) = oneshot::channel();
    assert_eq!(run(spec(&stray, Some(500)), &folder, killed).await, Ending::TimedOut { after_ms: 500 });
    assert!(gone(pid().unwrap()));

    std::fs::remove_file(&file).unwrap();
    let (kill, killed) = oneshot::channel();
    let until_started = async {
        while pid().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill.send("SIGTERM".to_owned()).unwrap();
    };
    let (ending, ()) = tokio::join!(run(spec(&stray, None), &folder, killed), until_started);
    assert!(matches!(ending, Ending::Interrupted { .. }), "{ending:?}");
    assert!(gone(pid().unwrap()));
}

#[tokio::test]
async fn an_ending_waits_for_the_disk() {
    let (_place, detached) = place();
    let folder = detached.make(jid(1), &about("j")).unwrap();
    // Nothing can take the place of a folder.
    let in_the_way = folder.0.join("ending");
    std::fs::create_dir(&in_the_way).unwrap();
    let written = write_down(&folder, &Ending::Expired);
    tokio::pin!(written);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut written).await.is_err(),
        "it goes on trying"
    );
    std::fs::remove_dir(&in_the_way).unwrap();
    written.await.unwrap();
    assert_eq!(folder.ending(), Some(Ending::Expired));
    folder.remove();
    assert!(write_down(&folder, &Ending::Expired).await.is_err(), "nobody asks for it any more");
}

#[test]
fn who_told_a_supervisor_to_stop_is_known_to_a_later_minion() {
    let (_place, jobs) = place();
    let folder = jobs.make(jid(1), &about("j")).unwrap();
    let told_to_stop = Ending::Interrupted { why: "told to stop".into() };
    folder.tell_ending(&told_to_stop).unwrap();
    assert_eq!(folder.ending(), Some(told_to_stop));
    folder.tell_cancelled("ann").unwrap();
    assert_eq!(folder.ending(), Some(Ending::Cancelled { by: "ann".into() }));
    // It was faster.
    folder.tell_ending(&Ending::Expired).unwrap();
    assert_eq!(folder.ending(), Some(Ending::Expired));
}

fn opened(n: u64, boot: &str, is_detached: bool) -> Entry {
    match detached(n, boot) {
        Entry::Open { number, jid, functions, digest, boot, .. } => {
            Entry::Open { number, jid, functions, digest, boot, detached: is_detached }
        }
        other => other,
    }
}

#[test]
fn found_is_what_runs_in_this_boot_or_has_ended() {
    let (_place, jobs) = place();
    let pid = std::process::id();
    let here = |n| Entry::Pid { jid: jid(n), pid, start: start_ticks(pid) };
    let gone = |n| Entry::Pid { jid: jid(n), pid, start: Some(1) };
    let story = [
        (opened(1, "b", true), here(1)),
        (opened(2, "b", true), gone(2)),
        (opened(3, "old", true), here(3)),
        (opened(4, "b", false), here(4)),
        (opened(5, "old", true), gone(5)),
    ];
    let mut book = Book::new("j".into());
    for (open, process) in story {
        book.apply(&open);
        book.apply(&process);
    }
    book.apply(&opened(6, "b", true));
    jobs.make(jid(5), &about("j")).unwrap().tell_ending(&Ending::Expired).unwrap();
    let found = jobs.found(&book, Some(&"b".to_owned()));
    assert_eq!(found, BTreeSet::from([jid(1), jid(5)]));
}

#[test]
fn what_belongs_to_no_job_is_ended_and_removed() {
    let (_place, detached) = place();
    detached.sweep(&BTreeSet::new());
    let journal = format!("j-{}", uuid::Uuid::new_v4().simple());
    let kept = detached.make(jid(1), &about(&journal)).unwrap();
    let lost = detached.make(jid(2), &about(&journal)).unwrap();
    let start = |n| {
        let mut command = std::process::Command::new("sleep");
        command.arg("600").envs(crate::leftovers::marker(&journal, jid(n)));
        command.spawn().unwrap()
    };
    let (mut one, mut two) = (start(1), start(2));
    let environ = |pid: u32| std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    for pid in [one.id(), two.id()] {
        while !String::from_utf8_lossy(&environ(pid)).contains(&journal) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let ended = detached.make(jid(3), &about(&journal)).unwrap();
    ended.tell_ending(&Ending::Expired).unwrap();
    let mut three = start(3);
    detached.sweep(&BTreeSet::from([jid(1)]));
    assert_eq!((three.try_wait().unwrap(), ended.about()), (None, None), "it ended by itself");
    three.kill().unwrap();
    three.wait().unwrap();
    assert!(!two.wait().unwrap().success());
    assert!(one.try_wait().unwrap().is_none());
    assert_eq!((kept.about(), lost.about()), (Some(about(&journal)), None));
    one.kill().unwrap();
    one.wait().unwrap();
}
