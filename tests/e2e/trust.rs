//! Whom a minion takes for its master.

use std::fs;

use brine_tests::fixtures::{fingerprint, place_key};
use brine_tests::fleet::Fleet;
use brine_tests::{Minion, eventually};

fn no_key_filed(fleet: &Fleet) -> bool {
    fleet.api().get("/v1/keys").expect(200).json().as_array().unwrap().is_empty()
}

/// Every file under the minion's state folder and its pin, with contents.
fn written(minion: &Minion) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![minion.root().join("etc/brine/pki"), minion.root().join("var/lib/brine/minion")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "lock" {
                // The lock names the process that holds it; it knows nothing of masters.
                found.push((entry.path(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_swapped_master_key_is_refused_with_both_fingerprints() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion("m1");
    assert!(m1.has_pin());
    assert!(m1.process().stop().success());
    let mut other = Fleet::prepare("");
    place_key("master2", &other.root().join("etc/brine/pki/master"), "master");
    other.start_master();
    let before = written(&m1);
    m1.dial(other.publish_port, other.ret_port);
    m1.start();
    eventually(10.0, "the minion names both fingerprints", || {
        let log = m1.log();
        log.contains(&fingerprint("master")) && log.contains(&fingerprint("master2"))
    });
    assert!(no_key_filed(&other), "nothing of the minion reached the other master");
    assert_eq!(written(&m1), before, "nothing was written");
    assert!(m1.process().is_alive(), "it goes on trying");
    m1.kill();
    m1.dial(fleet.publish_port, fleet.ret_port);
    m1.start();
    fleet.until_back(&m1);
}

#[test]
fn a_wrong_master_finger_writes_nothing() {
    let fleet = Fleet::start();
    let option = format!("master_finger: '{}'\n", fingerprint("master2"));
    let mut m1 = fleet.prepare_minion_with("m1", "m1", &option);
    let before = written(&m1);
    m1.start();
    eventually(10.0, "the minion names both fingerprints", || {
        let log = m1.log();
        log.contains(&fingerprint("master")) && log.contains(&fingerprint("master2"))
    });
    assert!(no_key_filed(&fleet));
    assert!(!m1.has_pin());
    let pki: Vec<_> =
        written(&m1).into_iter().filter(|(path, _)| path.starts_with(m1.root().join("etc"))).collect();
    assert_eq!(pki, before);
    assert!(m1.process().is_alive());
}

#[test]
fn the_right_master_finger_in_any_dress_is_trusted() {
    let fleet = Fleet::start();
    let option = format!("master_finger: '{}'\n", fingerprint("master").to_uppercase());
    let _m1 = fleet.minion_with("m1", "m1", &option);
    let option = format!("master_finger: '{}'\n", fingerprint("master").replace(':', ""));
    let _m2 = fleet.minion_with("m2", "m2", &option);
    fleet.ping("m1");
    fleet.ping("m2");
}

#[test]
fn the_first_master_is_pinned_on_disk() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    eventually(2.0, "the pin is on disk", || m1.has_pin());
    let pinned = fs::read_to_string(m1.root().join("etc/brine/pki/minion/minion_master.pub")).unwrap();
    assert_eq!(brine_tests::fixtures::fingerprint_of(&pinned), fingerprint("master"));
}

#[test]
fn a_damaged_pin_is_no_invitation_to_trust_anew() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    m1.kill();
    let pin = m1.root().join("etc/brine/pki/minion/minion_master.pub");
    fs::write(&pin, "garbage").unwrap();
    let done = m1.run(&[]);
    done.refused(done.code, &["minion_master.pub"]);
    assert_ne!(done.code, 0);
    assert_eq!(fs::read_to_string(&pin).unwrap(), "garbage");
}

#[test]
fn secrets_are_in_no_log() {
    let mut fleet = Fleet::prepare("log_level: trace\n");
    fleet.start_master();
    let m1 = fleet.minion_with("m1", "m1", "log_level: trace\n");
    fleet.ping("m1");
    let (master, minion) = (fleet.log(), m1.log());
    assert!(!master.is_empty() && !minion.is_empty());
    for key in ["master", "m1"] {
        let pem = fs::read_to_string(brine_tests::fixtures::key_file(&format!("{key}.pem"))).unwrap();
        for line in pem.lines().filter(|line| line.len() == 64) {
            assert!(!master.contains(line) && !minion.contains(line), "a line of {key}.pem is in a log");
        }
    }
    assert!(!master.contains("PRIVATE KEY") && !minion.contains("PRIVATE KEY"));
}
