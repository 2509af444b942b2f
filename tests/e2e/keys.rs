//! Deciding about keys, on the command line and through the API.

use std::time::Instant;

use brine_tests::eventually;
use brine_tests::fixtures::{fingerprint, key_file};
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;
use brine_tests::wait::stays;
use serde_json::json;

#[test]
fn one_is_accepted_and_one_rejected() {
    let fleet = Fleet::start();
    let (m1, mut m2) = (fleet.stranger("m1"), fleet.stranger("m2"));
    fleet.until_key(&m1, "pending");
    fleet.until_key(&m2, "pending");
    let listed = fleet.brine_key(&["-L"]).expect(0).stdout;
    assert!(listed.contains("Unaccepted Keys:\nm1\nm2\n"), "{listed}");
    for heading in ["Accepted Keys:", "Denied Keys:", "Rejected Keys:"] {
        assert!(listed.contains(heading), "{heading} in {listed}");
    }
    fleet.brine(&["*", "test.ping"]).refused(2, &["*"]);

    let done = fleet.brine_key(&["-a", "m1", "-y"]).expect(0);
    assert!(done.stdout.contains("Key for minion m1 accepted."), "{}", done.stdout);
    let done = fleet.brine_key(&["-r", "m2", "-y"]).expect(0);
    assert!(done.stdout.contains("Key for minion m2 rejected."), "{}", done.stdout);
    fleet.until_up("m1");
    let all = fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).expect(0).json();
    assert_eq!(all, json!({"m1": true}));
    let keys = fleet.brine_key(&["-L", "--out", "json"]).expect(0).json();
    assert_eq!(
        (&keys["minions"], &keys["minions_rejected"], &keys["minions_pre"]),
        (&json!(["m1"]), &json!(["m2"]), &json!([]))
    );
    assert!(m2.process().is_alive(), "a negative answer never ends a minion");
}

#[test]
fn prompts_ask_and_the_answer_counts() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    let ask = |arguments: &[&str], answer: &str| {
        Done::run_with_input(fleet.command("brine-key", arguments), answer)
    };
    let said = ask(&["-a", "m1"], "n\n");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("[n/Y]"), "{said:?}");
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("pending"));
    let none = ask(&["-a", "m1"], "");
    assert_ne!(none.code, 0, "end of input is no consent: {none:?}");
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("pending"));
    ask(&["-a", "m1"], "\n").expect(0);
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("accepted"));
    let said = ask(&["-d", "m1"], "\n");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("[N/y]"), "{said:?}");
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("accepted"));
    ask(&["-d", "m1"], "y\n").expect(0);
    assert_ne!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("accepted"));
}

#[test]
fn globs_and_all() {
    let fleet = Fleet::start();
    let minions =
        [("web1", "m1"), ("web2", "m2"), ("db1", "m3")].map(|(id, key)| fleet.stranger_with(id, key, ""));
    fleet.brine_key(&["-a", "web*", "-y", "--wait-for", "3", "--timeout", "20"]).expect(0);
    let states = || minions.each_ref().map(|m| fleet.key_state(&m.id, &m.fingerprint()).unwrap_or_default());
    assert_eq!(states(), ["accepted", "accepted", "pending"]);
    fleet.brine_key(&["-R", "-y"]).expect(0);
    assert_eq!(states(), ["accepted", "accepted", "rejected"]);
    let nothing = fleet.brine_key(&["-a", "mail*", "-y"]);
    assert_ne!(nothing.code, 0, "nothing matched is no success");
    assert!(nothing.stdout.contains("mail*"), "where salt-key says it: {nothing:?}");
}

#[test]
fn fingerprints_and_public_keys_are_those_of_the_minion() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    for arguments in [&["-f", "m1"][..], &["-f", "*"], &["-F"]] {
        let said = fleet.brine_key(arguments).expect(0).stdout;
        assert!(said.contains(&m1.fingerprint()), "{arguments:?}: {said}");
    }
    assert!(fleet.brine_key(&["-F"]).expect(0).stdout.contains(&fingerprint("master")));
    let json = fleet.brine_key(&["-f", "m1", "--out", "json"]).expect(0).json();
    assert_eq!(json["minions_pre"]["m1"], json!(m1.fingerprint()));
    let pem = std::fs::read_to_string(key_file("m1.pub")).unwrap();
    let shown = fleet.brine_key(&["-p", "m1"]).expect(0).stdout;
    for line in pem.lines() {
        assert!(shown.contains(line.trim()), "{shown}");
    }
}

#[test]
fn waiting_for_keys_ends_with_the_keys_or_the_time() {
    let fleet = Fleet::start();
    let begun = Instant::now();
    let late = fleet.brine_key(&["-A", "-y", "--wait-for", "1", "--timeout", "1"]);
    assert_ne!(late.code, 0);
    assert!((0.9..10.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert!(!late.stderr.is_empty() && !late.stderr.contains("panicked"), "{late:?}");
}

#[test]
fn a_waiting_minion_is_live_within_a_second() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    let begun = Instant::now();
    eventually(1.0, "accepted means live within a second", || fleet.presence("m1") == "up");
    let took = begun.elapsed();
    fleet.ping("m1");
    assert!(took.as_secs_f64() < 1.0, "{took:?}");
}

#[test]
fn deleting_a_key_ends_its_session_at_once_and_no_other() {
    let fleet = Fleet::start();
    let (mut m1, mut m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let seen = |id: &str| {
        let keys = fleet.api().get("/v1/keys").expect(200).json();
        keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()["last_seen"].clone()
    };
    let before = seen("m2");
    let jid = fleet.submit("m1", "test.sleep", &[json!(60)]);
    fleet.brine_key(&["-d", "m1", "-y"]).expect(0);
    eventually(1.0, "m1 is no minion any more", || fleet.presence("m1").is_empty());
    let ending = fleet.ending(&jid, "m1", 2.0);
    assert_eq!(ending["state"], "cancelled", "{ending}");
    fleet.brine(&["m1", "test.ping"]).refused(2, &["m1"]);
    stays(0.5, "m2 stays up", || fleet.presence("m2") == "up");
    assert_eq!(seen("m2"), before, "m2's session is the same");
    fleet.ping("m2");
    fleet.until_key(&m1, "pending");
    assert!(m1.process().is_alive() && m2.process().is_alive());
}

#[test]
fn a_suspended_minion_is_cut_off_and_comes_back() {
    let fleet = Fleet::start();
    let (mut m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    fleet.act("suspend", "m1", &m1.fingerprint());
    fleet.until_key(&m1, "suspended");
    let all = fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).expect(0).json();
    assert_eq!(all, json!({"m2": true}));
    fleet.brine(&["m1", "test.ping"]).refused(2, &["m1"]);
    fleet.act("resume", "m1", &m1.fingerprint());
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    fleet.ping("m1");
}

#[test]
fn a_second_key_for_an_id_is_denied_while_the_first_works() {
    let fleet = Fleet::start();
    let first = fleet.minion_with("m1", "m1", "");
    let mut second = fleet.stranger_with("m1", "m2", "");
    fleet.until_key(&second, "denied");
    fleet.ping("m1");
    assert_eq!(fleet.key_state("m1", &first.fingerprint()).as_deref(), Some("accepted"));
    assert!(second.process().is_alive());
    let (log, other) = (second.log(), first.fingerprint());
    assert!(!log.contains(&other), "a stranger learns nothing of the other key: {log}");
}

#[test]
fn two_waiting_keys_for_an_id_need_the_fingerprint() {
    let fleet = Fleet::start();
    let (first, second) = (fleet.stranger_with("m1", "m1", ""), fleet.stranger_with("m1", "m2", ""));
    fleet.until_key(&first, "pending");
    fleet.until_key(&second, "pending");
    let ambiguous = fleet.brine_key(&["-a", "m1", "-y"]);
    assert_ne!(ambiguous.code, 0, "{ambiguous:?}");
    assert!(ambiguous.stderr.contains("m1") && !ambiguous.stderr.contains("panicked"), "{ambiguous:?}");
    fleet.until_key(&first, "pending");
    fleet.until_key(&second, "pending");
    fleet.act("accept", "m1", &second.fingerprint());
    fleet.until_key(&second, "accepted");
    fleet.until_key(&first, "denied");
    fleet.until_up("m1");
}

#[test]
fn decisions_are_on_disk_with_who_and_survive_a_crash() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let (_m1, m2) = (fleet.minion("m1"), fleet.stranger("m2"));
    fleet.until_key(&m2, "pending");
    assert_eq!(fleet.ledger().matches("m2").count(), 0, "a knock is no decision");
    fleet.act("reject", "m2", &m2.fingerprint());
    fleet.kill_master();
    let ledger = fleet.ledger();
    for line in ledger.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert!(ledger.contains("m1") && ledger.contains("m2") && ledger.contains(&m2.fingerprint()), "{ledger}");
    fleet.start_master();
    assert_eq!(fleet.key_state("m2", &m2.fingerprint()).as_deref(), Some("rejected"));
    fleet.until_up("m1");
    fleet.ping("m1");
}

#[test]
fn key_pairs_are_made_for_machines_to_come() {
    let fleet = Fleet::start();
    let folder = fleet.dir().join("new");
    std::fs::create_dir(&folder).unwrap();
    let mut command = fleet.command("brine-key", &["--gen-keys", "web7", "--keysize", "2048"]);
    command.current_dir(&folder);
    Done::run(command).expect(0);
    let private = std::fs::read_to_string(folder.join("web7.pem")).unwrap();
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----"));
    let public = std::fs::read_to_string(folder.join("web7.pub")).unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.join("web7.pem")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let mut again = fleet.command("brine-key", &["--gen-keys", "web7", "--keysize", "2048"]);
    again.current_dir(&folder);
    assert_ne!(Done::run(again).code, 0, "an existing key is not overwritten");
    assert_eq!(std::fs::read_to_string(folder.join("web7.pem")).unwrap(), private);
}
