//! More minions than the descriptors carry: as many as fit are in and at work, the others come back, and
//! operators notice nothing but a sentence that says so.

use brine_tests::fleet::job;
use brine_tests::swarm::{Options, Pool, Swarm, provision};
use brine_tests::wait::stays;
use brine_tests::{Fleet, eventually, within};
use serde_json::Value;

/// Descriptors of the master, for everything.
const DESCRIPTORS: usize = 256;

/// More than these descriptors carry, in two crowds.
const KNOWN: usize = 100;

/// Growth of the master's memory while it turns away, in KiB: nothing is kept of an attempt.
const GROWTH_MAX: u64 = 2 * 1024;

fn crowd(fleet: &Fleet, prefix: &str, minions: usize) -> Options {
    let mut options = Options::local(minions, fleet.publish_port, fleet.ret_port);
    prefix.clone_into(&mut options.prefix);
    options
}

/// How many the master says that it carries.
fn carried(fleet: &Fleet) -> usize {
    let log = fleet.log();
    let text = log.split_once("minions_max=").expect("the master says how many it carries").1;
    text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Submits a ping of all and returns how many answer.
fn answers(fleet: &Fleet) -> usize {
    let jid = fleet.api().post("/v1/jobs", &job("*", "test.ping", &[])).expect(201).json()["jid"].clone();
    let rows = within(20.0, "the job has ended for all", || {
        let view = fleet.api().get(&format!("/v1/jobs/{}", jid.as_str()?)).expect(200).json();
        let rows = view["rows"].as_array()?.clone();
        rows.iter().all(|row| !row["ending"].is_null()).then_some(rows)
    });
    rows.iter().filter(|row| row["ending"]["state"] == "returned").count()
}

#[test]
fn more_minions_than_fit_come_back_until_there_is_a_place_and_disturb_nobody() {
    let mut fleet = Fleet::prepare_with_ports("heartbeat: 1\n");
    for prefix in ["stay-", "leave-"] {
        let options = crowd(&fleet, prefix, KNOWN);
        provision::accept(&fleet.root(), Swarm::ids(&options), &Pool::fixed()).unwrap();
    }
    fleet.start_master_within(DESCRIPTORS);
    let fit = carried(&fleet);
    assert!((20..KNOWN).contains(&fit), "{fit}");
    let wanted = fit * 12 / 10;
    let start =
        |prefix: &str, minions: usize| Swarm::start(crowd(&fleet, prefix, minions), Pool::fixed()).unwrap();
    let leave = start("leave-", wanted - fit + 2);
    eventually(20.0, "the first are in", || leave.stats().live() == wanted - fit + 2);
    let stay = start("stay-", fit - 2);
    let live = || leave.stats().live() + stay.stats().live();
    eventually(20.0, "as many as fit are in", || live() == fit);
    let turned_away = || fleet.counter("refused_max_minions_connected");
    eventually(20.0, "each of the others was told", || turned_away() >= (wanted - fit) as u64);
    let before = turned_away();
    let mut worked = 0;
    eventually(20.0, "some have come back in vain, and work went on", || {
        assert_eq!(answers(&fleet), fit, "each that is in answers");
        worked += 1;
        worked >= 10 && turned_away() >= before + 2
    });
    assert_eq!((live(), &fleet.health()["sessions"]), (fit, &Value::from(fit)), "nobody was disturbed");
    let authenticated = |swarm: &Swarm| swarm.stats().to_json()["authenticated"].as_u64().unwrap();
    assert_eq!(authenticated(&leave) + authenticated(&stay), fit as u64, "no session was opened twice");
    // Jobs fill caches: what turning away takes is seen without them.
    let (before, memory) = (turned_away(), fleet.master.as_ref().unwrap().rss_kib());
    eventually(30.0, "each of the others has come back in vain", || {
        turned_away() >= before + (wanted - fit) as u64
    });
    let grown = fleet.master.as_ref().unwrap().rss_kib().saturating_sub(memory);
    assert!(grown < GROWTH_MAX, "{grown} KiB more");

    // Those who operate it have what they need, and a new machine is seen.
    assert!(fleet.brine_key(&["-L"]).expect(0).stdout.contains("leave-00000"));
    let stranger = fleet.stranger("m1");
    fleet.until_key(&stranger, "pending");
    let doctor = fleet.brine(&["doctor"]).expect(1).stdout;
    assert!(doctor.contains("200 keys are accepted") && doctor.contains("max_minions_connected"), "{doctor}");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", fleet.master().pid())).unwrap().count();
    assert!(descriptors < DESCRIPTORS, "{descriptors}");
    assert_eq!(fleet.counter("accept_failed"), 0, "the descriptors have sufficed");

    leave.stop();
    eventually(60.0, "all others are in", || stay.stats().live() == fit - 2);
    assert_eq!(answers(&fleet), fit - 2);
    stays(0.5, "they stay", || stay.stats().live() == fit - 2);
}
