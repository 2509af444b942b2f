//! Automatic decisions of the real programs: files that change, grains that are claimed, and what
//! stops the start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use brine_tests::eventually;
use brine_tests::fixtures::key_file;
use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Done;
use serde_json::{Value, json};

/// A fleet whose master is not started, with these options.
fn prepare(options: &str) -> Fleet {
    let fleet = Fleet::prepare(options);
    chmod(&fleet, "", 0o755);
    fleet
}

fn started(options: &str, files: &[(&str, &str)]) -> Fleet {
    let mut fleet = prepare(options);
    for (name, text) in files {
        write(&fleet, name, text);
    }
    fleet.start_master();
    fleet
}

fn path(fleet: &Fleet, name: &str) -> PathBuf {
    fleet.root().join("etc/brine").join(name)
}

fn chmod(fleet: &Fleet, name: &str, mode: u32) {
    fs::set_permissions(path(fleet, name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts a file in place as an editor does.
fn write(fleet: &Fleet, name: &str, text: &str) {
    let folder = path(fleet, name).parent().unwrap().to_owned();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let new = folder.join(".new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, path(fleet, name)).unwrap();
}

fn history(fleet: &Fleet, id: &str) -> Vec<Value> {
    let decisions = fleet.api().get(&format!("/v1/keys/{id}/history")).expect(200).json();
    decisions.as_array().unwrap().clone()
}

fn state(fleet: &Fleet, minion: &Minion) -> Option<String> {
    fleet.key_state(&minion.id, &minion.fingerprint())
}

#[test]
fn a_changed_file_lets_a_waiting_minion_in_within_seconds() {
    let fleet = started("autosign_file: autosign.conf\n", &[("autosign.conf", "# nobody yet\n")]);
    let (m1, m2) = (fleet.stranger("m1"), fleet.stranger("m2"));
    fleet.until_key(&m1, "pending");
    fleet.until_key(&m2, "pending");
    write(&fleet, "autosign.conf", "# the first\nm[1]\n");
    fleet.until_key(&m1, "accepted");
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(state(&fleet, &m2).as_deref(), Some("pending"));
    let decisions = history(&fleet, "m1");
    assert_eq!((&decisions[0]["by"], &decisions[0]["act"]), (&json!("rule:autosign_file"), &json!("accept")));
    assert_eq!((&decisions[0]["reason"], decisions.len()), (&json!("m[1]"), 1));
    // Who knocks later is let in at its knock.
    let m3 = fleet.prepare_minion("m3");
    write(&fleet, "autosign.conf", "m3\n");
    fleet.until_key(&m1, "accepted");
    let mut m3 = m3;
    m3.start();
    fleet.until_back(&m3);
}

#[test]
fn everybody_is_let_in_and_it_is_said_aloud() {
    let fleet = started("auto_accept: true\nmax_minions: 1\n", &[]);
    let _m1 = fleet.stranger("m1");
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(history(&fleet, "m1")[0]["by"], "rule:auto_accept");
    let m2 = fleet.stranger("m2");
    fleet.until_key(&m2, "pending");
    let refused = fleet.brine_key(&["-a", "m2", "-y"]);
    assert_ne!(refused.code, 0);
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("max_minions is 1"), "{refused:?}");
    let notices = fleet.health()["notices"].clone();
    assert!(notices[0].as_str().unwrap().starts_with("auto_accept is on"), "{notices}");
    assert!(notices[1].as_str().unwrap().contains("no more can be accepted"), "{notices}");
    assert!(fleet.log().contains("auto_accept is on"), "{}", fleet.log());
}

#[test]
fn a_claimed_grain_lets_in() {
    let fleet = started(
        "autosign_grains_dir: autosign_grains\n",
        &[("autosign_grains/serial", "s-0\n# s-1\n42\n"), ("autosign_grains/rack", "r-7\n")],
    );
    let claim = |id: &str, lines: &str| fleet.stranger_with(id, id, lines);
    let m1 = claim("m1", "grains: {serial: 42, rack: r-1}\nautosign_grains: [serial]\n");
    let m2 = claim("m2", "grains: {serial: s-1, rack: r-7}\nautosign_grains: [serial]\n");
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(history(&fleet, "m1")[0]["reason"], "serial: 42");
    fleet.until_key(&m2, "pending");
    let keys = fleet.api().get("/v1/keys?id=m2&public_key=false").expect(200).json();
    assert_eq!(keys[0]["claims"]["grains"], json!({"serial": "s-1"}), "and no other: {keys}");
    assert_eq!((keys[0]["public_key"].clone(), keys.as_array().unwrap().len()), (Value::Null, 1));
    write(&fleet, "autosign_grains/serial", "s-1\n");
    fleet.until_key(&m2, "accepted");
    fleet.until_key(&m1, "accepted");
}

#[test]
fn a_rejection_by_rule_yields_to_an_operator() {
    let fleet =
        started("auto_accept: true\nautoreject_file: autoreject.conf\n", &[("autoreject.conf", "m1\n")]);
    let before = fleet.ledger();
    let mut m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "rejected");
    let keys = fleet.api().get("/v1/keys?id=m1").expect(200).json();
    assert_eq!(keys[0]["rule"], "autoreject_file: m1");
    assert_eq!(fleet.ledger(), before, "a rule that turns strangers away writes nothing");
    let _m2 = fleet.stranger("m2");
    fleet.until_up("m2");
    let saw = |state: &str| {
        let key = json!({"id": "m1", "fingerprint": m1.fingerprint(), "state": state});
        let acted = fleet.api().post("/v1/keys/act", &json!({"act": "accept", "keys": [key]}));
        acted.expect(200).json()[0]["refused"].clone()
    };
    assert_eq!(saw("pending"), "the key of m1 changed meanwhile: it is rejected, not pending");
    assert_eq!(saw("rejected"), Value::Null);
    // It was sent away, and comes back by itself.
    eventually(30.0, "m1 is up", || fleet.presence("m1") == "up");
    assert!(m1.process().is_alive());
}

#[test]
fn what_would_let_anybody_in_stops_the_start() {
    let mut fleet = prepare("open_mode: true\n");
    let start = |fleet: &Fleet| Done::run(fleet.command("brine-master", &[]));
    start(&fleet).refused(1, &["open_mode", "auto_accept", "rejected"]);
    fleet.set_options("autosign_file: autosign.conf\n");
    start(&fleet).refused(1, &["autosign.conf", "autosign_file"]);
    write(&fleet, "autosign.conf", "m1\n(?!prod-).*\n");
    start(&fleet).refused(1, &["autosign.conf", "line 2 is neither"]);
    write(&fleet, "autosign.conf", "m1\n");
    chmod(&fleet, "autosign.conf", 0o666);
    start(&fleet).refused(1, &["autosign.conf", "0666", "chmod go-w"]);
    chmod(&fleet, "autosign.conf", 0o644);
    chmod(&fleet, "", 0o777);
    start(&fleet).refused(1, &["etc/brine", "0777", "chmod go-w"]);
    chmod(&fleet, "", 0o755);
    fleet.set_options("autosign_file: autosign.conf\nopen_mode: false\n");
    fleet.start_master();
}

#[test]
fn a_file_that_falls_open_stops_every_rule() {
    let fleet =
        started("auto_accept: true\nautoreject_file: autoreject.conf\n", &[("autoreject.conf", "evil*\n")]);
    chmod(&fleet, "autoreject.conf", 0o664);
    eventually(10.0, "the problem is named", || fleet.health()["status"] == "degraded");
    let problem = fleet.health()["problems"][0].clone();
    let text = problem.as_str().unwrap();
    assert!(text.contains("autoreject.conf") && text.contains("no key is decided automatically"), "{text}");
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    // A line that would be skipped is as bad.
    write(&fleet, "autoreject.conf", "(?!prod-).*\n");
    eventually(10.0, "the line is named", || {
        fleet.health()["problems"][0].as_str().is_some_and(|text| text.contains("line 1 is neither"))
    });
    fleet.until_key(&m1, "pending");
    write(&fleet, "autoreject.conf", "evil*\n");
    fleet.until_up("m1");
    eventually(5.0, "all is well", || fleet.health()["status"] == "ok");
}

#[test]
fn keys_are_imported_and_who_asks_is_told() {
    let fleet = Fleet::start_with("roles:\n  vera: {role: viewer}\n");
    let pem = |name: &str| fs::read_to_string(key_file(&format!("{name}.pub"))).unwrap();
    let keys = json!([
        {"id": "m1", "public_key": pem("m1"), "state": "accepted"},
        {"id": "m2", "public_key": pem("m2"), "state": "pending"},
        {"id": "m3", "public_key": "no key", "state": "accepted"},
    ]);
    let results = fleet.api().post("/v1/keys/import", &json!({"keys": keys})).expect(200).json();
    assert_eq!((&results[0]["refused"], &results[1]["refused"]), (&Value::Null, &Value::Null));
    assert!(results[2]["refused"].as_str().unwrap().contains("m3"), "{results}");
    let many = json!({"keys": vec![keys[2].clone(); 1001]});
    fleet.api().post("/v1/keys/import", &many).is_problem(400, "bad_request");
    // Its machine comes with the key, and is in.
    let _m1 = fleet.stranger("m1");
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(history(&fleet, "m1")[0]["reason"], "imported");

    let me = fleet.api().get("/v1/whoami").expect(200).json();
    assert_eq!((me["role"].as_str(), me["verbs"].as_array().unwrap().len()), (Some("admin"), 17), "{me}");
    let vera = fleet.api().act_as("vera").get("/v1/whoami").expect(200).json();
    assert!(vera["principal"].as_str().unwrap().ends_with(" as vera"), "{vera}");
    assert!(!vera["verbs"].as_array().unwrap().contains(&json!("keys_act")), "{vera}");
    fleet.api().get("/v1/keys?colour=red").is_problem(400, "bad_request");
    fleet.api().get("/v1/keys/-x/history").is_problem(400, "bad_request");
    assert!(history(&fleet, "nobody").is_empty());
}
