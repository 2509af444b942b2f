//! Damage to the ledger of trust decisions.

use std::fs;

use brine_tests::fleet::Fleet;
use brine_tests::process::Done;

/// A stopped master whose ledger holds three decisions about m1 and one about m2.
fn with_history() -> Fleet {
    let mut fleet = Fleet::start();
    {
        let (m1, m2) = (fleet.minion("m1"), fleet.stranger("m2"));
        fleet.until_key(&m2, "pending");
        fleet.act("suspend", "m1", &m1.fingerprint());
        fleet.act("resume", "m1", &m1.fingerprint());
        fleet.act("reject", "m2", &m2.fingerprint());
    }
    assert!(fleet.master().stop().success());
    assert!(fleet.ledger().lines().count() >= 4, "{}", fleet.ledger());
    fleet
}

fn path(fleet: &Fleet) -> std::path::PathBuf {
    fleet.root().join("var/lib/brine/master/ledger.jsonl")
}

#[test]
fn a_torn_last_line_is_cut_off_with_a_warning() {
    let mut fleet = with_history();
    let whole = fleet.ledger();
    let torn = format!("{whole}{{\"n\":99,\"prev\":\"");
    fs::write(path(&fleet), torn).unwrap();
    fleet.start_master();
    assert!(fleet.log().contains("ledger"), "a warning: {}", fleet.log());
    assert!(fleet.ledger().starts_with(&whole));
    assert!(!fleet.ledger().contains("\"n\":99"), "the torn line is gone");
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    let state =
        |id: &str| keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()["state"].clone();
    assert_eq!((state("m1"), state("m2")), ("accepted".into(), "rejected".into()));
}

#[test]
fn a_broken_chain_stops_the_master_with_the_line_number() {
    let fleet = with_history();
    let whole = fleet.ledger();
    let lines: Vec<&str> = whole.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    let changed = lines[1].replace("m1", "m9");
    assert_ne!(changed, lines[1], "{}", lines[1]);
    let mut edited = lines.clone();
    edited[1] = &changed;
    let mut dropped = lines.clone();
    dropped.remove(1);
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    let mut garbage = lines.clone();
    garbage[1] = "not json";
    // A change of a line shows in the hash that the next one carries.
    for (what, text, accepted) in [
        ("edited", join(&edited), [2, 3]),
        ("dropped", join(&dropped), [2, 2]),
        ("swapped", join(&swapped), [2, 3]),
        ("garbage", join(&garbage), [2, 2]),
    ] {
        fs::write(path(&fleet), &text).unwrap();
        let done = Done::run(fleet.command("brine-master", &[]));
        eprintln!("{what}: {}", done.stderr);
        done.refused(done.code, &["ledger.jsonl", "line"]);
        assert!((1..126).contains(&done.code), "{done:?}");
        let named = accepted.iter().any(|line| {
            done.stderr.contains(&format!("line {line}")) || done.stderr.contains(&format!(":{line}"))
        });
        assert!(named, "{what}: line {accepted:?} in {}", done.stderr);
        assert_eq!(fleet.ledger(), text, "nothing was changed");
    }
}

#[test]
fn a_repair_records_the_break() {
    let mut fleet = with_history();
    let whole = fleet.ledger();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.remove(1);
    fs::write(path(&fleet), lines.join("\n") + "\n").unwrap();
    assert_ne!(Done::run(fleet.command("brine-master", &[])).code, 0);
    fleet.brine_key(&["ledger", "repair", "-y"]).expect(0);
    fleet.start_master();
    assert!(fleet.ledger().lines().count() >= lines.len(), "nothing that can be read is thrown away");
    assert!(fleet.ledger().contains("repair") || fleet.ledger().contains("break"), "{}", fleet.ledger());
}

#[test]
fn damaged_waiting_keys_stop_nobody() {
    let mut fleet = with_history();
    fs::write(fleet.root().join("var/lib/brine/master/waiting.json"), "{\"half").unwrap();
    fleet.start_master();
    assert!(fleet.log().contains("waiting.json"), "{}", fleet.log());
    let m3 = fleet.stranger("m3");
    fleet.until_key(&m3, "pending");
}
