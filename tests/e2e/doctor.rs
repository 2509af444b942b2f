//! The doctors: each fault is named in one sentence, and looking at it disturbs nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use brine_tests::fake::FakeMaster;
use brine_tests::fixtures::key_file;
use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Done;
use brine_tests::wait::eventually;
use brine_tests::zmtp::Wire;
use serde_json::Value;

/// Asserts that a doctor says exactly this of something: its grade, and words of its sentence.
#[track_caller]
fn assert_says(done: &Done, about: &str, grade: &str, words: &[&str]) {
    let checks = done.json();
    let fits = |check: &Value| {
        let text = format!("{} {}", check["says"], check["advice"]);
        check["about"] == about && check["grade"] == grade && words.iter().all(|word| text.contains(word))
    };
    let checks = checks.as_array().expect("a list");
    assert!(checks.iter().any(fits), "no {grade} {about} with {words:?} in:\n{}", done.stdout);
    let fails = checks.iter().any(|check| check["grade"] == "fail");
    assert_eq!(done.code, i32::from(fails), "{}", done.stdout);
}

fn doctor(minion: &Minion) -> Done {
    minion.run(&["doctor", "--out", "json", "--timeout", "3"])
}

#[test]
fn a_running_minion_is_looked_at_and_not_disturbed() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    fleet.ping("m1");
    let since = |fleet: &Fleet| fleet.api().get("/v1/minions/m1").expect(200).json()["since"].clone();
    let (before, sessions) = (since(&fleet), fleet.health()["sessions"].clone());
    let attempts = |fleet: &Fleet| fleet.api().get("/v1/keys").expect(200).json()[0]["attempts"].clone();
    let knocked = attempts(&fleet);
    let pid = m1.process.as_ref().unwrap().pid();
    for _ in 0..3 {
        let said = doctor(&m1);
        assert_eq!(said.code, 0, "{}", said.stdout);
        assert_says(&said, "key", "ok", &["accepted it for m1"]);
        assert_says(&said, "own key", "ok", &[&m1.fingerprint()]);
        assert_says(&said, "daemon", "ok", &[&format!("process {pid}")]);
        assert_says(&said, "session", "ok", &["connected"]);
        assert_says(&said, "master key", "ok", &["as pinned"]);
        assert_says(&said, "clock", "ok", &["agrees"]);
        assert_says(&said, "return port", "ok", &[&fleet.ret_port.to_string()]);
        assert_says(&said, "publish port", "ok", &[&fleet.publish_port.to_string()]);
        assert_says(&said, "state", "ok", &["can be written"]);
    }
    assert_eq!(since(&fleet), before, "the session is the same");
    assert_eq!((fleet.health()["sessions"].clone(), attempts(&fleet)), (sessions, knocked));
    fleet.ping("m1");
    let text = m1.run(&["doctor"]).expect(0).stdout;
    assert!(text.contains("ok    key") && !text.contains("FAIL"), "{text}");
}

#[test]
fn each_verdict_is_named_with_what_to_do() {
    let fleet = Fleet::start();
    let mut m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    assert_says(&doctor(&m1), "key", "fail", &["pending", "brine-key -a m1"]);
    fleet.act("reject", "m1", &m1.fingerprint());
    assert_says(&doctor(&m1), "key", "fail", &["rejected", "brine-key history m1", "--include-rejected"]);
    assert_says(&fleet.brine(&["doctor", "--minion", "m1", "--out", "json"]), "key", "fail", &["rejected"]);
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_up("m1");
    fleet.act("suspend", "m1", &m1.fingerprint());
    assert_says(&doctor(&m1), "key", "fail", &["suspended", "brine-key resume m1"]);
    fleet.act("resume", "m1", &m1.fingerprint());
    fleet.until_up("m1");

    let other = fleet.stranger_with("m1", "m2", "");
    fleet.until_key(&other, "denied");
    assert_says(&doctor(&other), "key", "fail", &["another machine has the same id", "brine-key -d m1"]);
    let said = fleet.brine(&["doctor", "--minion", "m1", "--out", "json"]);
    assert_says(&said, "key", "ok", &["accepted", &m1.fingerprint()]);
    assert_says(&said, "key", "warn", &["denied", &other.fingerprint()]);
    assert_says(&said, "presence", "ok", &["up", "127.0.0.1"]);
    assert_says(
        &fleet.brine(&["doctor", "--out", "json"]),
        "keys",
        "warn",
        &["1 were denied", "brine-key doctor"],
    );

    m1.kill();
    assert_says(&doctor(&m1), "daemon", "warn", &["does not run"]);
    eventually(10.0, "the master sees that it is gone", || fleet.presence("m1") == "offline");
    let said = fleet.brine(&["doctor", "--minion", "m1", "--out", "json"]);
    assert_says(&said, "presence", "fail", &["offline since", "brine-minion doctor"]);
    let nobody = fleet.brine(&["doctor", "--minion", "m9", "--out", "json"]);
    assert_says(&nobody, "key", "fail", &["no machine has come with the id m9"]);
}

#[test]
fn the_way_to_the_master_is_looked_at_step_by_step() {
    let fleet = Fleet::start();
    // A port where nobody listens, for each of the two in turn.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut m1 = fleet.prepare_minion("m1");
    m1.dial(fleet.publish_port, closed);
    let said = doctor(&m1);
    assert_says(&said, "return port", "fail", &[&closed.to_string(), "ret_port"]);
    assert_says(&said, "publish port", "ok", &[]);
    m1.dial(closed, fleet.ret_port);
    let said = doctor(&m1);
    assert_says(&said, "publish port", "fail", &[&closed.to_string(), "publish_port"]);
    assert_says(&said, "key", "fail", &["pending"]);
    assert!(!m1.has_pin(), "nothing is written");
    assert!(fleet.api().get("/v1/keys").expect(200).json().as_array().unwrap().is_empty(), "no knock");

    let wrong = brine_tests::fixtures::fingerprint_of(&fs::read_to_string(key_file("m2.pub")).unwrap());
    let pinned = fleet.prepare_minion_with("m3", "m3", &format!("master_finger: '{wrong}'\n"));
    assert_says(&doctor(&pinned), "master key", "fail", &[&wrong, "trust-master", "nothing was sent"]);

    let lost = fleet.prepare_minion("m4");
    let config = lost.root().join("etc/brine/minion.yaml");
    fs::write(&config, "master: no-such-master.invalid\nid: m4\n").unwrap();
    assert_says(&doctor(&lost), "name", "fail", &["no-such-master.invalid", "DNS"]);
    fs::write(&config, "mastr: x\n").unwrap();
    assert_says(&doctor(&lost), "config", "fail", &["mastr", "minion.yaml"]);
}

#[test]
fn another_version_of_the_protocol_is_named() {
    let fleet = Fleet::prepare("");
    let publish = |mut wire: Wire| {
        let _ = wire.shake("XPUB", None);
        let _ = wire.is_closed_within(10.0);
    };
    let ret = |mut wire: Wire| {
        let _ = wire.shake("ROUTER", None);
        // An Offer of a version that nobody speaks any more.
        wire.message(&[&[0, 1, 0, 0]]);
        let _ = wire.is_closed_within(10.0);
    };
    let fake = FakeMaster::start_apart(publish, ret);
    let mut m1 = fleet.prepare_minion("m1");
    m1.dial(fake.publish_port, fake.ret_port);
    assert_says(&doctor(&m1), "protocol", "fail", &["version 0", "too old"]);
}

#[test]
fn files_that_others_may_touch_are_named() {
    let fleet = Fleet::start();
    let m1 = fleet.prepare_minion("m1");
    let key = m1.root().join("etc/brine/pki/minion/minion.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert_says(&doctor(&m1), "permissions", "fail", &["minion.pem", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(m1.root().join("etc/brine"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_says(&doctor(&m1), "permissions", "fail", &["every user may write", "chmod o-w"]);
    fs::remove_file(&key).unwrap();
    assert_says(&doctor(&m1), "own key", "fail", &["no key", "start brine-minion"]);
    assert!(!key.exists(), "a doctor makes none");
}

#[test]
fn a_descriptor_limit_that_is_too_low_is_named() {
    let mut fleet = Fleet::prepare("descriptors_reserved: 8\n");
    fleet.start_master_within(80);
    let pki = fleet.dir().join("salt");
    fs::create_dir_all(pki.join("minions")).unwrap();
    for n in 0..30 {
        let key = key_file(&format!("m{}.pub", n % 6 + 1));
        fs::copy(key, pki.join(format!("minions/web{n}"))).unwrap();
    }
    assert_says(&fleet.brine(&["doctor", "--out", "json"]), "master", "ok", &["ok: version"]);
    fleet.brine_key(&["import", "--from-salt", pki.to_str().unwrap(), "-y"]).expect(0);
    let said = fleet.brine(&["doctor", "--out", "json"]);
    assert_says(&said, "health", "fail", &["30 keys are accepted", "ulimit -n", "LimitNOFILE"]);
}

#[test]
fn machines_with_one_id_and_one_key_are_told_of() {
    let fleet = Fleet::start();
    let first = fleet.minion("m1");
    let mut copy = fleet.prepare_minion_with("m1", "m2", "");
    for name in ["minion.pem", "minion.pub"] {
        let pki = "etc/brine/pki/minion";
        fs::copy(first.root().join(pki).join(name), copy.root().join(pki).join(name)).unwrap();
    }
    copy.start();
    eventually(60.0, "the master tells of the clash", || {
        let said = fleet.brine(&["doctor", "--minion", "m1"]).stdout;
        said.contains("FAIL  clash") && said.contains("both from 127.0.0.1")
    });
    let said = fleet.brine(&["doctor", "--out", "json"]);
    assert_says(&said, "health", "fail", &["two machines use the id m1 with one key", "set another id"]);
}

#[test]
fn without_a_master_the_reason_is_named() {
    let mut fleet = Fleet::prepare("");
    let said = fleet.brine(&["doctor", "--out", "json"]);
    assert_says(&said, "master", "fail", &["not running", "systemctl start brine-master"]);
    fleet.start_master();
    assert_says(&fleet.brine(&["doctor", "--out", "json"]), "master", "ok", &["answers since"]);
    let pid = fleet.master().pid();
    fleet.kill_master();
    let said = fleet.brine(&["doctor", "--out", "json"]);
    assert_says(&said, "master", "fail", &["nobody listens"]);
    assert_says(&said, "process", "fail", &[&format!("process {pid}, which is gone")]);
}
