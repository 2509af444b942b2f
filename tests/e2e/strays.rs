//! Processes that leave their group, session and parent belong to their job all the same.

use std::fs;
use std::path::Path;

use brine_tests::fleet::{Fleet, job};
use brine_tests::process::exists;
use brine_tests::{eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A shell command that starts a process in a session of its own and one that is forked twice, and
/// waits; all three write their numbers to `pids`.
fn straying(pids: &Path) -> String {
    let stray = format!("setsid sh -c 'echo $$ >> {}; exec sleep 1000'", pids.display());
    format!("{stray} & ({stray} &); echo $$ >> {}; wait", pids.display())
}

fn three(pids: &Path) -> Vec<i32> {
    let pids: Vec<i32> = within(10.0, "the processes tell their numbers", || {
        let text = fs::read_to_string(pids).ok()?;
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 3).then_some(pids)
    });
    assert!(pids.iter().all(|pid| exists(*pid)), "{pids:?}");
    pids
}

#[track_caller]
fn assert_gone(pids: &[i32]) {
    let left: Vec<&i32> = pids.iter().filter(|pid| exists(**pid)).collect();
    assert!(left.is_empty(), "these still run: {left:?}");
}

fn submit(fleet: &Fleet, request: &Value) -> String {
    fleet.api().post("/v1/jobs", request).expect(201).json()["jid"].as_str().unwrap().to_owned()
}

#[test]
fn strays_end_with_their_job_however_it_ends() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let file = |name: &str| fleet.dir().join(name);

    let mut request = job("m1", "cmd.run", &[json!(straying(&file("job")))]);
    request["job_timeout_ms"] = json!(3000);
    let jid = submit(&fleet, &request);
    let pids = three(&file("job"));
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "timed_out");
    assert_gone(&pids);

    let mut request = job("m1", "cmd.run", &[json!(straying(&file("call")))]);
    request["calls"][0]["keywords"] = json!({"timeout": 3});
    let jid = submit(&fleet, &request);
    let pids = three(&file("call"));
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert!(ending["value"].as_str().unwrap().ends_with("Timed out after 3 seconds"), "{ending}");
    assert_gone(&pids);

    let jid = fleet.submit("m1", "cmd.run", &[json!(straying(&file("cancel")))]);
    let pids = three(&file("cancel"));
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["state"], "cancelled");
    assert_gone(&pids);

    let jid = fleet.submit("m1", "cmd.run", &[json!(straying(&file("stop")))]);
    let pids = three(&file("stop"));
    assert!(m1.process().stop().success());
    assert_gone(&pids);
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "interrupted");

    fleet.until_back(&m1);
    let jid = fleet.submit("m1", "cmd.run", &[json!(straying(&file("crash")))]);
    let pids = three(&file("crash"));
    m1.kill();
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "interrupted");
    assert_gone(&pids);
}

#[test]
fn a_local_call_that_is_broken_off_leaves_no_stray() {
    let fleet = Fleet::prepare("");
    let m1 = fleet.prepare_minion("m1");
    let file = fleet.dir().join("pids");
    let command = m1.command(&["call", "cmd.run", &straying(&file)]);
    let mut process = brine_tests::process::Process::start(command, &fleet.dir().join("call.log"));
    let pids = three(&file);
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait(5.0).code(), Some(130));
    eventually(5.0, "what it started is gone", || !pids.iter().any(|pid| exists(*pid)));
}

#[test]
fn what_a_job_left_behind_at_its_own_end_lives_on() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let jid = fleet.submit("m1", "cmd.run", &[json!("setsid sleep 1000 > /dev/null 2>&1 & echo $!")]);
    let ending = fleet.ending(&jid, "m1", 10.0);
    let pid: i32 = ending["value"].as_str().unwrap().parse().unwrap();
    let other = fleet.submit("m1", "cmd.run", &[json!("sleep 1000")]);
    eventually(10.0, "another job runs", || fleet.brine(&["m1", "brine.running"]).stdout.contains(&other));
    m1.kill();
    m1.start();
    assert_eq!(fleet.ending(&other, "m1", 10.0)["state"], "interrupted");
    assert!(m1.process().stop().success());
    assert!(exists(pid), "it was started to stay");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}
