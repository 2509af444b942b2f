//! A master that is full says so, to minions and to operators, and goes on once it is not.

use std::time::Duration;

use brine_tests::fleet::job;
use brine_tests::wait::{stays, within};
use brine_tests::{Fleet, eventually};
use serde_json::{Value, json};

/// The times that a minion was asked to stay away for, as its log tells.
fn asked_for(log: &str) -> Vec<Duration> {
    let numbers = log.split("the master is busy and asks to come back in ").skip(1);
    let millis = numbers.filter_map(|rest| rest.split(' ').next()?.parse().ok());
    millis.map(Duration::from_millis).collect()
}

/// The times at which it was told so, by the stamps of its log, since an epoch of no meaning.
fn told_at(log: &str) -> Vec<Duration> {
    let lines = log.lines().filter(|line| line.contains("the master is busy and asks to come back in "));
    let stamps = lines.filter_map(|line| line.split(' ').next()?.parse::<jiff::Timestamp>().ok());
    stamps.map(|at| Duration::from_micros(at.as_microsecond() as u64)).collect()
}

#[test]
fn an_accepted_minion_that_finds_no_place_is_told_when_to_come_back_and_gets_in_then() {
    let fleet = Fleet::start_with("max_minions_connected: 1\n");
    let mut m1 = fleet.minion("m1");
    let m2 = fleet.stranger("m2");
    fleet.until_key(&m2, "pending");
    fleet.act("accept", "m2", &m2.fingerprint());
    let asked = within(10.0, "m2 is told when to come back", || asked_for(&m2.log()).first().copied());
    let refused = || fleet.counter("refused_max_minions_connected");
    // The first was the session in which it waited.
    eventually(10.0, "it is counted", || refused() == 2);
    stays(asked.as_secs_f64() - 0.5, "m2 stays away so long, and m1 does not notice", || {
        refused() == 2 && fleet.presence("m1") == "up"
    });
    let _ = fleet.ping("m1");
    let doctor = fleet.brine(&["doctor"]).expect(1).stdout;
    assert!(doctor.contains("2 keys are accepted") && doctor.contains("max_minions_connected"), "{doctor}");
    m1.process().stop();
    // After the pause that was asked for and a random part.
    within(30.0, "m2 is in", || (fleet.presence("m2") == "up").then_some(()));
    assert!(!fleet.brine(&["m2", "test.ping"]).expect(0).stdout.is_empty());
}

#[test]
fn a_minion_whose_handshake_waits_too_long_is_told_when_to_come_back_and_does() {
    let mut fleet = Fleet::prepare_with_ports("verify_deadline_ms: 0\n");
    fleet.start_master();
    let m1 = fleet.stranger("m1");
    let told = within(20.0, "m1 is told twice when to come back", || {
        let told = told_at(&m1.log());
        (told.len() >= 2).then_some(told)
    });
    let (asked, waited) = (asked_for(&m1.log())[0], told[1] - told[0]);
    assert!(waited >= asked, "asked to stay away for {asked:?}, came after {waited:?}");
    // It is counted when the peer has its answer.
    eventually(10.0, "both are counted", || fleet.counter("busy") >= 2);
    fleet.master().stop();
    fleet.set_options("");
    fleet.start_master();
    within(30.0, "m1 knocks", || {
        (fleet.key_state("m1", &m1.fingerprint()).as_deref() == Some("pending")).then_some(())
    });
}

#[test]
fn an_operator_is_told_that_too_many_orders_are_open() {
    let fleet = Fleet::start_with("open_orders_max: 2\n");
    let mut m1 = fleet.minion("m1");
    m1.process().stop();
    eventually(10.0, "m1 is offline", || fleet.presence("m1") == "offline");
    let mut queued = job("m1", "test.ping", &[]);
    queued["delivery"] = json!({"queue": {"ttl_ms": 60_000}});
    let jids: Vec<Value> =
        (0..2).map(|_| fleet.api().post("/v1/jobs", &queued).expect(201).json()["jid"].clone()).collect();
    let reply = fleet.api().post("/v1/jobs", &queued);
    reply.is_problem(503, "busy");
    assert!(reply.json()["detail"].as_str().unwrap().contains("open_orders_max"), "{reply:?}");
    let seconds: u64 = reply.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&seconds), "{reply:?}");
    let said = fleet.brine(&["m1", "test.ping"]);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    said.refused(4, &["2 orders are open", "at most 2", "try again"]);
    m1.start();
    for jid in jids {
        assert_eq!(fleet.ending(jid.as_str().unwrap(), "m1", 15.0)["state"], "returned");
    }
    fleet.ping("m1");
}

#[test]
fn an_operator_is_told_that_the_disk_has_too_little_room() {
    let mut fleet = Fleet::prepare("");
    let stat = nix::sys::statvfs::statvfs(fleet.dir()).unwrap();
    // Enough that what was accepted can go on.
    let min = 2 * stat.blocks_available() * stat.fragment_size();
    fleet.set_options(&format!("disk_free_min: {min}\n"));
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    eventually(10.0, "the master is degraded", || fleet.health()["status"] == "degraded");
    let reply = fleet.api().post("/v1/jobs", &job("m1", "test.ping", &[]));
    reply.is_problem(503, "degraded");
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    let problems = fleet.health()["problems"].clone();
    assert_eq!(problems.as_array().map(Vec::len), Some(1), "told once: {problems}");
    let said = fleet.brine(&["m1", "test.ping"]);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    said.refused(4, &["disk_free_min"]);
    let doctor = fleet.brine(&["doctor"]).expect(1).stdout;
    assert!(doctor.contains("FAIL  health") && doctor.contains("disk_free_min"), "{doctor}");
}
