//! Masters that are killed the moment something is on disk.

use std::fs;
use std::time::{Duration, Instant};

use brine_tests::api::Api;
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use serde_json::json;

use super::super::{create, token, used, with_token};
use super::{
    SERVER, bundles, bundles_are_as_the_ledger_says, create_until_it_answers, creation, decisions, is_whole,
    ledger_path, ping_record, until_connected, until_known,
};

/// When a master is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So many microseconds after it was asked.
    After(u64),
    /// As soon as there is a file of a bundle.
    Bundle,
    /// As soon as the ledger has grown so many times.
    Grown(usize),
}

/// Asks the master for something, and kills it at this moment.
fn kill_at(fleet: &mut Fleet, moment: Moment, ask: impl FnOnce(Api) + Send + 'static) {
    let size = |fleet: &Fleet| fs::metadata(ledger_path(fleet)).map_or(0, |meta| meta.len());
    let (mut grown, mut last) = (0, size(fleet));
    let (api, begun) = (fleet.api(), Instant::now());
    let asking = std::thread::spawn(move || ask(api));
    // No pause in between: the moment is a short one.
    loop {
        let now = size(fleet);
        if now != last {
            (grown, last) = (grown + 1, now);
        }
        let is_now = match moment {
            Moment::After(micros) => begun.elapsed() >= Duration::from_micros(micros),
            Moment::Bundle => bundles(fleet) > 0,
            Moment::Grown(times) => grown >= times,
        };
        // What is written in one piece is not seen in two.
        if is_now || asking.is_finished() {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{moment:?} does not come");
    }
    fleet.kill_master();
    asking.join().expect("asking does not panic");
}

/// Moments spread over the time that a decision without a key takes.
fn moments() -> Vec<Moment> {
    let after = [0, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 5000].map(Moment::After);
    after.into_iter().chain([Moment::Grown(1); 5]).collect()
}

#[test]
fn a_master_that_is_killed_while_it_pairs_has_paired_or_has_not() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let server = create(&fleet, &["--name", "web1"]);
    let m1 = fleet.stranger_with("m1", "m1", "reconnect_max: 0.2\n");
    let key = m1.fingerprint();
    let mut ends = [0, 0];
    for moment in moments() {
        fleet.until_key(&m1, "pending");
        let path = format!("/v1/servers/{server}/pair");
        let body = json!({"key": {"id": "m1", "fingerprint": key, "state": "pending"}}).to_string();
        kill_at(&mut fleet, moment, move |api| drop(api.try_request("POST", &path, Some(body))));
        fleet.start_master();
        let is_linked = is_whole(&fleet, &server, "m1");
        ends[usize::from(is_linked)] += 1;
        until_known(&fleet, "m1", &key);
        fleet.brine(&["server", "pair", "web1", "m1", "--expect", &key, "-y"]).expect(0);
        until_connected(&fleet, &server, &key);
        assert_eq!(ping_record(&fleet, "web1"), json!({"m1": true}), "{moment:?}");
        fleet.brine(&["server", "unpair", "web1", "--key", "delete", "-y"]).expect(0);
    }
    assert!(ends.iter().all(|count| *count > 0), "no moment before the write, or none after it: {ends:?}");
}

#[test]
fn a_master_that_is_killed_while_it_makes_a_key_has_made_it_or_has_not() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let grown = [1, 2, 3].map(Moment::Grown);
    let after = [300, 3000].map(Moment::After);
    for (number, moment) in after.into_iter().chain([Moment::Bundle; 3]).chain(grown).chain(grown).enumerate()
    {
        let body = creation().to_string();
        kill_at(&mut fleet, moment, move |api| drop(api.try_request("POST", "/v1/servers", Some(body))));
        fleet.start_master();
        bundles_are_as_the_ledger_says(&fleet);
        create_until_it_answers(&fleet, &format!("kill{number}"));
        fleet.brine(&["server", "delete", "4711", "--key", "delete", "-y"]).expect(0);
    }
    assert!(!decisions(&fleet, "preseed").is_empty());
    fleet.api().get(&format!("/v1/servers/{SERVER}")).is_problem(404, "not_found");
}

#[test]
fn a_master_that_is_killed_while_it_enrols_has_enrolled_or_has_not() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let key = fingerprint("m1");
    for moment in
        [Moment::After(20_000), Moment::After(40_000), Moment::Grown(1), Moment::Grown(1), Moment::Grown(1)]
    {
        let server = create(&fleet, &["--name", "web1"]);
        let (id, secret) = token(&fleet, &["--server", "web1"]);
        let mut m1 =
            fleet.prepare_minion_with("m1", "m1", &format!("{}reconnect_max: 0.2\n", with_token(&secret)));
        m1.start();
        // It is the minion that asks; here somebody looks on for as long as there is a master.
        kill_at(&mut fleet, moment, |api| while api.try_request("GET", "/v1/health", None).is_ok() {});
        fleet.start_master();
        is_whole(&fleet, &server, "m1");
        until_connected(&fleet, &server, &key);
        assert_eq!(used(&fleet, &id), 1, "{moment:?}");
        assert_eq!(ping_record(&fleet, "web1"), json!({"m1": true}));
        m1.kill();
        fleet.brine(&["server", "delete", "web1", "--key", "delete", "-y"]).expect(0);
    }
    assert_eq!(decisions(&fleet, "enrol").len(), 5, "{}", fleet.ledger());
}
