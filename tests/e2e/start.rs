//! Starting: in any order, with nothing awaited between the commands.

use std::fs;

use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;
use brine_tests::{Process, eventually};
use serde_json::json;

/// One round of the four commands; every command starts as soon as the one before returned.
fn round() {
    let mut fleet = Fleet::prepare_with_ports("");
    let mut minion = fleet.prepare_minion("m1");
    fleet.master = Some(Process::start(fleet.command("brine-master", &[]), &fleet.dir().join("master.log")));
    minion.start();
    let accepted = fleet.brine_key(&["-A", "-y", "--wait-for", "1", "--timeout", "20"]).expect(0);
    assert!(accepted.stdout.contains("m1"), "{}", accepted.stdout);
    let pong = fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).expect(0);
    assert_eq!(pong.json(), json!({"m1": true}));
}

#[test]
fn four_commands_back_to_back_ten_times() {
    for _ in 0..10 {
        round();
    }
}

#[test]
fn four_commands_back_to_back_ten_more_times() {
    for _ in 0..10 {
        round();
    }
}

#[test]
fn the_state_file_tells_pid_ports_and_fingerprint() {
    let mut fleet = Fleet::start();
    let state = fleet.state().unwrap();
    assert_eq!(state["pid"], fleet.master().pid());
    assert_eq!(state["fingerprint"], fingerprint("master"));
    for port in ["publish_port", "ret_port"] {
        assert_ne!(state[port], 0, "{state}");
    }
    assert_ne!(state["publish_port"], state["ret_port"]);
}

#[test]
fn the_master_gives_large_blocks_of_memory_back() {
    let fleet = Fleet::start();
    let of_master =
        |file| fs::read_to_string(format!("/proc/{}/{file}", fleet.master.as_ref().unwrap().pid()));
    assert!(of_master("environ").unwrap().contains("\0MALLOC_MMAP_THRESHOLD_=131072\0"));
    assert_eq!(of_master("comm").unwrap(), "brine-master\n", "the same name for those who look");
    assert!(of_master("cmdline").unwrap().contains("brine-master\0--root-dir\0"));
}

#[test]
fn a_minion_that_starts_first_finds_the_master_later() {
    let mut fleet = Fleet::prepare_with_ports("");
    let minion = fleet.stranger("m1");
    eventually(10.0, "the minion says that it cannot reach its master", || !minion.log().is_empty());
    fleet.start_master();
    fleet.until_key(&minion, "pending");
}

#[test]
fn keys_are_made_on_the_first_start() {
    use std::os::unix::fs::PermissionsExt;
    let mut fleet = Fleet::prepare("");
    fs::remove_dir_all(fleet.root().join("etc/brine/pki")).unwrap();
    fleet.start_master();
    let mut minion = fleet.prepare_minion("m1");
    let pki = minion.root().join("etc/brine/pki/minion");
    fs::remove_dir_all(&pki).unwrap();
    minion.start();
    fleet.brine_key(&["-A", "-y", "--wait-for", "1", "--timeout", "20"]).expect(0);
    fleet.until_up("m1");
    for (file, mode) in [
        (pki.clone(), 0o700),
        (pki.join("minion.pem"), 0o600),
        (fleet.root().join("etc/brine/pki/master"), 0o700),
        (fleet.root().join("etc/brine/pki/master/master.pem"), 0o600),
    ] {
        let found = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{} has mode {found:o}", file.display());
    }
    assert_eq!(fleet.key_state("m1", &minion.fingerprint()).as_deref(), Some("accepted"));
}

#[test]
fn programs_end_cleanly_when_asked_to() {
    let mut fleet = Fleet::start();
    let mut minion = fleet.minion("m1");
    assert!(minion.process().stop().success(), "{}", minion.log());
    eventually(1.0, "a minion that says goodbye is offline at once", || fleet.presence("m1") == "offline");
    assert!(fleet.master().stop().success(), "{}", fleet.log());
    assert!(fleet.state().is_none(), "master.json is gone with the master");
}

#[test]
fn a_second_master_on_the_same_root_is_refused() {
    let fleet = Fleet::start();
    let second = Done::run(fleet.command("brine-master", &[]));
    assert_ne!(second.code, 0);
    assert!(!second.stderr.contains("panicked"), "{}", second.stderr);
    assert_eq!(fleet.health()["status"], "ok", "the first one is untouched");
}
