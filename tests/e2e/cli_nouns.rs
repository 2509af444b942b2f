//! `brine jobs`, `brine minions` and `brine events` with what narrows them down, and completion.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::manual::offered;

fn jids(done: &Done) -> Vec<String> {
    let jobs = done.json();
    jobs.as_array().unwrap().iter().map(|job| job["jid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn jobs_are_narrowed_down() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let run = |target: &str, function: &str, arguments: &[Value]| {
        let jid = fleet.submit(target, function, arguments);
        let id = if target == "m2" { "m2" } else { "m1" };
        let _ = fleet.ending(&jid, id, 10.0);
        jid
    };
    let ping = run("m1", "test.ping", &[]);
    let bad = run("m2", "cmd.run", &[json!("exit 7")]);
    let echo = run("m*", "test.echo", &[json!("x")]);
    let _ = fleet.ending(&echo, "m2", 10.0);
    let listed = |filters: &[&str]| {
        let mut words = vec!["jobs", "list", "--out", "json"];
        words.extend(filters);
        jids(&fleet.brine(&words).expect(0))
    };
    assert_eq!(listed(&[]), [&*echo, &*bad, &*ping]);
    assert_eq!(listed(&["--function", "test.*"]), [&*echo, &*ping]);
    assert_eq!(listed(&["--function", "test.*", "--minion", "m2"]), [&*echo]);
    assert_eq!(listed(&["--failed"]), [&*bad]);
    assert_eq!(listed(&["--target", "m*"]).len(), 3, "a glob over the target as it was written");
    assert_eq!(listed(&["--target", "m2"]), [&*bad]);
    assert_eq!(listed(&["--limit", "2"]), [&*echo, &*bad]);
    assert_eq!(listed(&["--since", "1h"]).len(), 3);
    assert!(listed(&["--until", "1h"]).is_empty());
    assert_eq!(listed(&["--user", "nobody-of-that-name"]), Vec::<String>::new());
    let of_bad = fleet.api().get(&format!("/v1/jobs/{bad}")).expect(200).json();
    let when = of_bad["submitted"].as_str().unwrap();
    assert_eq!(listed(&["--since", when, "--until", when]), [&*bad]);
    assert_eq!(jids(&fleet.brine(&["--out", "json", "jobs", "active"]).expect(0)), Vec::<String>::new());

    assert_eq!(fleet.brine(&["jobs", "last", "--out", "json"]).expect(0).json()["jid"], json!(echo));
    let last = fleet.brine(&["jobs", "last", "--failed"]).expect(0).stdout;
    assert!(last.contains(&bad) && last.contains("retcode 7"), "{last}");
    fleet.brine(&["jobs", "last", "--function", "no.such"]).refused(2, &["no such job"]);
    for bad in [["--since", "yesterday"], ["--limit", "0"], ["--minion", "a/b"]] {
        fleet.brine(&["jobs", "list", bad[0], bad[1]]).refused(2, &[bad[1]]);
    }
}

#[test]
fn signals_reach_the_processes_of_a_job() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for (name, words) in [("TERM", &["term"][..]), ("USR1", &["signal", "sigusr1"])] {
        let ready = fleet.dir().join(format!("ready-{name}"));
        let script = format!(
            "trap 'echo caught {name}; exit 5' {name}; : > {}; while :; do sleep 0.05; done",
            ready.display()
        );
        let jid = fleet.submit("m1", "cmd.run_all", &[json!(script)]);
        eventually(10.0, "the trap is set", || ready.exists());
        let mut line = vec!["jobs", words[0], &jid];
        line.extend(&words[1..]);
        let said = fleet.brine(&line).expect(0).stdout;
        assert_eq!(said, format!("{name} for job {jid} was sent to: m1\n"));
        let ending = fleet.ending(&jid, "m1", 10.0);
        assert_eq!(ending["value"]["stdout"], format!("caught {name}"), "{ending}");
        assert_eq!(ending["value"]["retcode"], 5);
        let again = fleet.brine(&line).expect(0).stdout;
        assert!(again.contains("nothing to signal"), "{again}");
        let mut for_programs = line.clone();
        for_programs.extend(["--out", "json"]);
        assert_eq!(fleet.brine(&for_programs).expect(0).json(), json!({"signalled": []}));
    }
    fleet.brine(&["jobs", "signal", "20010101000000000000", "NOSUCH"]).refused(2, &["NOSUCH"]);
}

#[test]
fn minions_by_whether_they_are_there() {
    let fleet = Fleet::start();
    let (_m1, mut m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let jid = fleet.submit("m1", "test.ping", &[]);
    let _ = fleet.ending(&jid, "m1", 10.0);
    m2.kill();
    eventually(10.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let status = fleet.brine(&["minions", "status", "--out", "json"]).expect(0).json();
    assert_eq!(status, json!({"up": ["m1"], "down": ["m2"]}));
    let page = fleet.brine(&["minions", "status"]).expect(0).stdout;
    assert!(page.starts_with("up: 1\n    m1\ndown: 1\n    m2: offline since 20"), "{page}");
    for (verb, id) in [("up", "m1"), ("down", "m2")] {
        let minions = fleet.brine(&["minions", verb, "--out", "json"]).expect(0).json();
        assert_eq!(minions.as_array().unwrap().len(), 1, "{minions}");
        assert_eq!(minions[0]["id"], id);
    }
    let list = fleet.brine(&["minions"]).expect(0).stdout;
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PRESENCE", "SINCE", "ADDRESS", "VERSION", "LAST", "JOB"]);
    assert_eq!((lines[1][0], lines[1][1]), ("m1", "up"));
    assert!(lines[1][2].ends_with('Z') && lines[1][3].contains("127.0.0.1"), "{list}");
    assert_eq!(lines[1].last(), Some(&&*jid), "{list}");
    assert_eq!((lines[2][0], lines[2][1]), ("m2", "offline"));
}

#[test]
fn events_are_narrowed_down_and_counted() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let follow = |filters: &[&str]| {
        let mut words = vec!["events", "--out", "json"];
        words.extend(filters);
        let command = fleet.command("brine", &words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut following = command.unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let lines = BufReader::new(following.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let mut tags = Vec::new();
        eventually(30.0, "it ends behind so many events", || {
            // When a stream is open is not told: so there are events until it has enough.
            let jid = fleet.submit("m*", "test.ping", &[]);
            let _ = fleet.ending(&jid, "m1", 10.0);
            let _ = fleet.ending(&jid, "m2", 10.0);
            following.try_wait().unwrap().is_some()
        });
        assert_eq!(following.wait().unwrap().code(), Some(0));
        while let Ok(line) = told.recv_timeout(std::time::Duration::from_secs(5)) {
            let event: Value = serde_json::from_str(&line).unwrap();
            tags.push(event["tag"].as_str().unwrap().to_owned());
        }
        tags
    };
    let of_m2 = follow(&["--minion", "m2", "--count", "2"]);
    assert_eq!(of_m2.len(), 2);
    assert!(of_m2.iter().all(|tag| tag.ends_with("/ret/m2")), "{of_m2:?}");
    let new = follow(&["--tag", "brine/job/*/new", "--tag", "brine/key/*", "--count", "2"]);
    assert!(new.len() == 2 && new.iter().all(|tag| tag.ends_with("/new")), "{new:?}");
}

#[test]
fn a_shell_is_offered_what_is_there_at_the_moment() {
    let mut fleet = Fleet::start();
    let (_web1, _web2, _db) = (
        fleet.minion_with("web1", "m1", ""),
        fleet.minion_with("web2", "m2", ""),
        fleet.minion_with("db", "m3", ""),
    );
    let jid = fleet.submit("db", "test.ping", &[]);
    let _ = fleet.ending(&jid, "db", 10.0);
    let root = format!("brine --root-dir {}", fleet.root().display());
    assert_eq!(offered(&format!("{root} web")), ["web1", "web2"]);
    assert_eq!(offered(&format!("{root} -L db,we")), ["db,web1", "db,web2"]);
    assert_eq!(offered(&format!("{root} minions show d")), ["db"]);
    assert_eq!(offered(&format!("{root} jobs kill 20")), [&*jid]);
    assert_eq!(offered(&format!("{root} jobs sig")), ["signal"]);
    assert_eq!(offered(&format!("{root} ke")), ["key"]);
    let options = offered(&format!("{root} jobs list --s"));
    assert!(options.contains(&"--since".to_owned()), "{options:?}");
    assert!(offered(&format!("{root} web1 web")).is_empty(), "a function is no minion");
    fleet.kill_master();
    assert!(offered(&format!("{root} web")).is_empty());
    fleet.start_master();
    fleet.master().signal(Signal::SIGSTOP);
    let begun = std::time::Instant::now();
    assert!(offered(&format!("{root} web")).is_empty());
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    fleet.master().signal(Signal::SIGCONT);
    for shell in ["bash", "zsh", "fish"] {
        let script = fleet.brine(&["completion", shell]).expect(0).stdout;
        assert!(script.contains("BRINE_COMPLETE"), "{shell}: {script}");
    }
}
