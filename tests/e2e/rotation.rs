//! Keys that give way to others, with kills of either side at any moment: nobody is locked out.

mod lockout;

use std::fs;
use std::path::PathBuf;

use brine_protocol::message::{Knock, Standing, ToMaster};
use brine_tests::fixtures::{fingerprint, fingerprint_of, place_key};
use brine_tests::fleet::{Fleet, job};
use brine_tests::peer::{Peer, random};
use brine_tests::process::Done;
use brine_tests::{Minion, eventually, within};
use serde_json::{Value, json};

/// A minion that is back quickly after its master died.
const QUICK: &str = "reconnect_max: 0.2\n";

fn pki(minion: &Minion, name: &str) -> PathBuf {
    minion.root().join("etc/brine/pki/minion").join(name)
}

fn has_next(minion: &Minion) -> bool {
    pki(minion, "minion.next.pem").exists()
}

/// Puts a fixed key there as if a kill had left it.
fn put(minion: &Minion, key: &str, name: &str) {
    let folder = minion.root().join("put");
    place_key(key, &folder, "k");
    fs::rename(folder.join("k.pem"), pki(minion, name)).unwrap();
}

/// The fingerprints that are accepted for an id.
fn accepted(fleet: &Fleet, id: &str) -> Vec<String> {
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    let keys = keys.as_array().unwrap().iter().filter(|key| key["id"] == id && key["state"] == "accepted");
    keys.map(|key| key["fingerprint"].as_str().unwrap().to_owned()).collect()
}

fn rotate(fleet: &Fleet, id: &str) -> Done {
    fleet.brine(&[id, "brine.rotate_key", "--out", "json", "--static"])
}

/// The end of every story: the minion answers, holds the one accepted key, and nothing is open.
#[track_caller]
fn all_is_well(fleet: &Fleet, minion: &Minion) {
    fleet.until_back(minion);
    eventually(15.0, "the rotation is finished", || !has_next(minion));
    fleet.until_back(minion);
    fleet.ping(&minion.id);
    assert_eq!(accepted(fleet, &minion.id), [minion.fingerprint()]);
}

/// With the master stopped, the ledger's chain holds.
#[track_caller]
fn ledger_verifies(fleet: &mut Fleet) {
    assert!(fleet.master().stop().success());
    fleet.brine_key(&["ledger", "verify"]).expect(0);
}

/// A moment within so many milliseconds.
fn moment(within_ms: u64) -> std::time::Duration {
    let [a, b, ..] = random();
    std::time::Duration::from_millis(u64::from(u16::from_le_bytes([a, b])) % within_ms)
}

#[test]
fn a_minion_rotates_under_load_without_a_gap() {
    let mut fleet = Fleet::start();
    let (m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let generation = |fleet: &Fleet| {
        let keys = fleet.api().get("/v1/keys?id=m1").expect(200).json();
        keys.as_array().unwrap().iter().find(|key| key["state"] == "accepted").unwrap()["generation"].clone()
    };
    let (before, hellos, counter) =
        (generation(&fleet), fleet.counter("hello_verified"), fleet.dir().join("c"));
    let mut jids = Vec::new();
    let mut old = m1.fingerprint();
    for round in 0..3 {
        let rotation = fleet.submit("m1", "brine.rotate_key", &[]);
        for i in 0..20 {
            // To one, and to all: over the session and broadcast.
            let line = format!("{round}-{i}");
            let script = format!("echo {line} >> {}-$BRINE_JID", counter.display());
            jids.push((fleet.submit(if i % 2 == 0 { "m1" } else { "*" }, "cmd.run", &[json!(script)]), line));
        }
        let ending = fleet.ending(&rotation, "m1", 20.0);
        assert_eq!(ending["retcode"], 0, "{ending}");
        assert_eq!(ending["value"], json!({"old": old, "new": m1.fingerprint()}), "{ending}");
        old = m1.fingerprint();
    }
    for (jid, line) in &jids {
        let ending = fleet.ending(jid, "m1", 15.0);
        assert_eq!(
            (&ending["state"], &ending["retcode"]),
            (&json!("returned"), &json!(0)),
            "{line}: {ending}"
        );
        let text = fs::read_to_string(format!("{}-{jid}", counter.display())).unwrap();
        let expected =
            fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json()["rows"].as_array().unwrap().len();
        eventually(15.0, "m2 ran it as well", || {
            fs::read_to_string(format!("{}-{jid}", counter.display())).unwrap().lines().count() == expected
        });
        assert!(text.lines().all(|ran| ran == line), "{text}");
    }
    assert_eq!(generation(&fleet), before, "the same minion");
    assert_eq!(fleet.counter("hello_verified"), hellos, "in the same session");
    all_is_well(&fleet, &m1);
    let history = fleet.api().get("/v1/keys/m1/history").expect(200).json();
    let rotations: Vec<&Value> =
        history.as_array().unwrap().iter().filter(|decision| decision["act"] == "rotate").collect();
    assert_eq!(rotations.len(), 3, "{history}");
    assert_eq!(
        (&rotations[0]["by"], &rotations[0]["from"]),
        (&json!("minion:m1"), &json!(fingerprint("m1")))
    );
    assert!(rotations[0]["reason"].as_str().unwrap().starts_with("job 20"), "{history}");
    ledger_verifies(&mut fleet);
}

#[test]
fn the_old_key_is_worth_nothing_from_then_on() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    rotate(&fleet, "m1").expect(0);
    let mut thief = Peer::open(fleet.ret_port, "m1", "m1");
    assert_eq!(thief.standing, Standing::Denied);
    thief.send(&ToMaster::Knock(Knock::default()));
    let old = fingerprint("m1");
    eventually(5.0, "it is shown as denied", || fleet.key_state("m1", &old).as_deref() == Some("denied"));
    let keys = fleet.api().get("/v1/keys?id=m1").expect(200).json();
    assert!(keys.as_array().unwrap().iter().all(|key| key["known_before"] == true), "{keys}");
    all_is_well(&fleet, &m1);
}

#[test]
fn without_a_master_nothing_is_rotated() {
    let fleet = Fleet::prepare("");
    let m1 = fleet.prepare_minion("m1");
    let done = m1.run(&["call", "brine.rotate_key"]);
    assert_eq!(done.code, 11, "{done:?}");
    assert!(done.stdout.contains("from there"), "{done:?}");
    assert!(!has_next(&m1));
}

/// Each state of the files that a kill leaves, with a ledger that has the rotation or not.
#[test]
fn every_state_that_a_kill_leaves_is_finished() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let mut restart_with = |fleet: &Fleet, files: [Option<&str>; 2], expected: &str| {
        m1.kill();
        eventually(5.0, "m1 is offline", || fleet.presence("m1") == "offline");
        for (name, key) in ["minion.pem", "minion.next.pem"].into_iter().zip(files) {
            let _ = fs::remove_file(pki(&m1, name));
            if let Some(key) = key {
                put(&m1, key, name);
            }
        }
        m1.start();
        all_is_well(fleet, &m1);
        assert_eq!(m1.fingerprint(), fingerprint(expected), "{files:?}");
    };
    // Killed behind the file, before the master was asked: the next session asks.
    restart_with(&fleet, [Some("m1"), Some("m2")], "m2");
    // Killed behind the ledger's line, before the answer: the master knows the next key.
    restart_with(&fleet, [Some("m1"), Some("m2")], "m2");
    // Killed behind the first of the last two steps, and behind both.
    restart_with(&fleet, [Some("m2"), Some("m2")], "m2");
    restart_with(&fleet, [Some("m2"), None], "m2");
    // Not by a kill: only the next key is left.
    restart_with(&fleet, [None, Some("m2")], "m2");
    ledger_verifies(&mut fleet);
    assert_eq!(fleet.ledger().matches("\"act\":\"rotate\"").count(), 1);
}

#[test]
fn a_key_that_is_known_otherwise_is_refused_and_the_old_one_stays() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let stranger = fleet.stranger_with("m1", "m3", "");
    fleet.until_key(&stranger, "denied");
    fleet.act("reject", "m1", &stranger.fingerprint());
    m1.kill();
    put(&m1, "m3", "minion.next.pem");
    m1.start();
    eventually(10.0, "it is said why", || m1.log().contains("is known here as rejected"));
    all_is_well(&fleet, &m1);
    assert_eq!(m1.fingerprint(), fingerprint("m1"));
}

#[test]
fn kills_of_either_side_in_a_minions_rotation() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    for round in 0..10 {
        let jid = fleet.submit("m1", "brine.rotate_key", &[]);
        std::thread::sleep(moment(400));
        if round % 2 == 0 {
            m1.kill();
            m1.start();
        } else {
            fleet.kill_master();
            fleet.start_master();
        }
        all_is_well(&fleet, &m1);
        let ending = fleet.ending(&jid, "m1", 35.0);
        let state = ending["state"].as_str().unwrap();
        assert!(["returned", "interrupted", "offline", "lost"].contains(&state), "{ending}");
        if state == "returned" && ending["retcode"] == 0 {
            assert_eq!(ending["value"]["new"], json!(m1.fingerprint()), "{ending}");
        }
    }
    ledger_verifies(&mut fleet);
    let used = fleet.ledger().matches("\"act\":\"rotate\"").count();
    assert!((1..=10).contains(&used), "{used} rotations");
}

fn rotation(fleet: &Fleet) -> Value {
    fleet.api().get("/v1/master/rotation").expect(200).json()
}

#[track_caller]
pub(super) fn announce(fleet: &Fleet, grace_s: u64) -> String {
    let begun = fleet
        .api()
        .post("/v1/master/rotation", &json!({"grace_s": grace_s, "reason": "yearly"}))
        .expect(200)
        .json();
    begun["to"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(super) fn until_learned(fleet: &Fleet, count: u64) {
    eventually(10.0, "who is connected has learned the new key", || rotation(fleet)["learned"] == count);
}

/// Everything that shows the master's fingerprint shows this one.
#[track_caller]
pub(super) fn master_is(fleet: &Fleet, expected: &str) {
    let pki = fleet.root().join("etc/brine/pki/master");
    eventually(15.0, "the master has that key", || fleet.health()["fingerprint"] == expected);
    assert_eq!(fingerprint_of(&fs::read_to_string(pki.join("master.pub")).unwrap()), expected);
    assert_eq!(fleet.state().unwrap()["fingerprint"], expected);
    assert!(fleet.brine_key(&["-F"]).expect(0).stdout.contains(expected));
    assert!(!pki.join("master.next.pem").exists());
}

#[test]
fn connected_minions_follow_the_masters_new_key_and_the_others_are_told() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    // One names the old key in its configuration for ever.
    let finger = format!("{QUICK}master_finger: '{}'\n", fingerprint("master"));
    let mut m1 = fleet.minion_with("m1", "m1", &finger);
    let mut m2 = fleet.minion_with("m2", "m2", QUICK);
    let mut m3 = fleet.stranger_with("m3", "m3", QUICK);
    fleet.until_key(&m3, "pending");
    m2.kill();
    eventually(5.0, "m2 is away", || fleet.presence("m2") == "offline");
    let hellos = fleet.counter("hello_verified");

    let new = announce(&fleet, 3600);
    until_learned(&fleet, 1);
    let shown = rotation(&fleet);
    assert_eq!((&shown["from"], &shown["missing"]), (&json!(fingerprint("master")), &json!(["m2"])));
    let notices = fleet.health()["notices"].to_string();
    assert!(notices.contains(&new) && notices.contains("1 of 2"), "{notices}");
    fleet.api().post("/v1/master/rotation", &json!({"grace_s": 1})).is_problem(409, "conflict");
    assert_eq!(fleet.health()["fingerprint"], json!(fingerprint("master")));

    let ended = fleet.api().post("/v1/master/rotation/finish", &json!({})).expect(200).json();
    assert_eq!((&ended["to"], &ended["missing"]), (&json!(new), &json!(["m2"])));
    master_is(&fleet, &new);
    assert_eq!(rotation(&fleet), Value::Null);
    assert!(fleet.log().contains("brine-minion trust-master"), "the log says who is left behind");
    fleet.ping("m1");
    assert_eq!(fleet.counter("hello_verified"), hellos, "no session was disturbed");

    // Both that were connected, the waiting one too, are back under the new key.
    for minion in [&mut m1, &mut m3] {
        minion.kill();
        minion.start();
    }
    fleet.until_back(&m1);
    fleet.act("accept", "m3", &m3.fingerprint());
    fleet.until_up("m3");

    // The one that was away refuses, is told exactly what to run, and needs no restart after it.
    m2.start();
    let command = format!("brine-minion trust-master {new}");
    eventually(10.0, "the advice", || m2.log().contains(&command));
    assert!(m2.log().contains(&fingerprint("master")), "both fingerprints: {}", m2.log());
    let told = m2.run(&["trust-master", &new]).expect(0);
    assert!(told.stdout.contains(&new) && told.stdout.contains(&fingerprint("master")), "{told:?}");
    fleet.until_up("m2");
    fleet.ping("m2");
    // Where the configuration names a key, that line has to change.
    let refused = m1.run(&["trust-master", &fingerprint("master2")]);
    refused.refused(1, &["master_finger", &fingerprint("master2")]);
    let shown = m2.run(&["fingerprint"]).expect(0).stdout;
    assert!(shown.contains(&m2.fingerprint()) && shown.contains(&new) && shown.contains("+---"), "{shown}");
    ledger_verifies(&mut fleet);
}

#[test]
fn a_minion_without_a_key_says_how_it_gets_one() {
    let fleet = Fleet::prepare("");
    let m1 = fleet.prepare_minion("m1");
    let key = pki(&m1, "minion.pem");
    fs::remove_file(&key).unwrap();
    m1.run(&["fingerprint"]).refused(1, &["m1 has no key yet", "adopt-salt"]);
    assert!(!key.exists(), "none is made by asking");
}

#[test]
fn an_announcement_is_withdrawn() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let new = announce(&fleet, 3600);
    until_learned(&fleet, 1);
    let memory = || fs::read_to_string(pki(&m1, "minion_master.json")).unwrap();
    assert!(memory().contains(&new));
    fleet.api().request("DELETE", "/v1/master/rotation", None).expect(200);
    assert_eq!(rotation(&fleet), Value::Null);
    eventually(5.0, "the minion forgets it", || !memory().contains(&new));
    master_is(&fleet, &fingerprint("master"));
    fleet.kill_master();
    fleet.start_master();
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    fleet.ping("m1");
    fleet.api().request("DELETE", "/v1/master/rotation", None).is_problem(409, "conflict");
    ledger_verifies(&mut fleet);
}

#[test]
fn the_grace_outlives_the_master_and_ends_while_it_is_down() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.minion_with("m1", "m1", QUICK);
    let new = announce(&fleet, 2);
    let until = rotation(&fleet)["until"].as_str().unwrap().to_owned();
    fleet.kill_master();
    // A master that is back in the grace goes on with it.
    fleet.start_master();
    assert_eq!(rotation(&fleet)["to"], json!(new));
    fleet.until_up("m1");
    fleet.kill_master();
    eventually(5.0, "the grace has passed", || {
        let now = brine_protocol::time::Timestamp(
            std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64,
        );
        now.to_string() > until
    });
    fleet.start_master();
    fleet.until_up("m1");
    master_is(&fleet, &new);
    fleet.kill_master();
    fleet.start_master();
    fleet.until_up("m1");
    fleet.ping("m1");
    ledger_verifies(&mut fleet);
}

#[test]
fn a_lost_next_key_is_a_problem_that_withdrawing_mends() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let new = announce(&fleet, 0);
    fleet.kill_master();
    let next = fleet.root().join("etc/brine/pki/master/master.next.pem");
    fs::remove_file(&next).unwrap();
    fleet.start_master();
    let health = fleet.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["problems"][0].as_str().unwrap().contains(&new), "{health}");
    fleet.api().post("/v1/master/rotation/finish", &json!({})).is_problem(409, "conflict");
    fleet.until_up("m1");
    fleet.ping("m1");
    fleet.brine_key(&["rotate-master", "--withdraw", "-y"]).expect(0);
    assert_eq!(fleet.health()["status"], "ok");
    master_is(&fleet, &fingerprint("master"));
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    ledger_verifies(&mut fleet);
}

#[test]
fn kills_of_either_side_in_the_masters_rotation() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let post = |fleet: &mut Fleet, m1: &mut Minion, path: &str, kills_minion: bool| {
        let (api, path) = (fleet.api(), path.to_owned());
        let asking = std::thread::spawn(move || {
            // The master may die under it.
            drop(api.try_request("POST", &path, Some(json!({"grace_s": 3600}).to_string())));
        });
        std::thread::sleep(moment(250));
        if kills_minion {
            m1.kill();
            m1.start();
        } else {
            fleet.kill_master();
            fleet.start_master();
        }
        asking.join().unwrap();
        fleet.until_back(m1);
    };
    let mut finished = 0;
    for round in 0..8 {
        post(&mut fleet, &mut m1, "/v1/master/rotation", round % 4 == 3);
        if rotation(&fleet).is_null() {
            continue;
        }
        until_learned(&fleet, 1);
        let new = rotation(&fleet)["to"].as_str().unwrap().to_owned();
        post(&mut fleet, &mut m1, "/v1/master/rotation/finish", round % 4 == 1);
        if rotation(&fleet).is_null() {
            finished += 1;
            master_is(&fleet, &new);
        }
        m1.kill();
        m1.start();
        fleet.until_back(&m1);
        fleet.ping("m1");
        if !rotation(&fleet).is_null() {
            fleet.api().request("DELETE", "/v1/master/rotation", None).expect(200);
        }
    }
    let held: String = within(5.0, "the minion knows the present key", || {
        let pinned = fs::read_to_string(pki(&m1, "minion_master.pub")).ok()?;
        let pinned = fingerprint_of(&pinned);
        (fleet.health()["fingerprint"] == json!(pinned)).then_some(pinned)
    });
    assert!(!held.is_empty());
    ledger_verifies(&mut fleet);
    assert_eq!(fleet.ledger().matches("\"act\":\"succeed\"").count(), finished);
}

#[test]
fn both_kinds_of_rotation_at_once() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    let new = announce(&fleet, 3600);
    let done = fleet.api().post("/v1/jobs", &job("*", "brine.rotate_key", &[])).expect(201).json();
    fleet.api().post("/v1/master/rotation/finish", &json!({})).expect(200);
    let ending = fleet.ending(done["jid"].as_str().unwrap(), "m1", 20.0);
    assert_eq!(ending["retcode"], 0, "{ending}");
    m1.kill();
    m1.start();
    all_is_well(&fleet, &m1);
    master_is(&fleet, &new);
}
