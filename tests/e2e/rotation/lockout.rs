//! What could lock a minion out: a disk that takes nothing, a master without room, an old master.

use super::*;

/// The ledger takes the rotation, and the store nothing at all.
#[test]
fn a_store_that_takes_no_writes_keeps_nobody_from_the_masters_new_key() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    fleet.kill_master();
    fleet.set_options("disk_free_min: 1000000000000000000\nhandshake_timeout_ms: 1000\n");
    fleet.start_master();
    fleet.until_up("m1");
    eventually(10.0, "the store is stuck", || fleet.counter("commit_failed") > 0);
    let new = announce(&fleet, 1);
    until_learned(&fleet, 1);
    master_is(&fleet, &new);
    m1.kill();
    eventually(10.0, "m1 is offline", || fleet.presence("m1") == "offline");
    m1.start();
    fleet.until_back(&m1);
    fleet.kill_master();
    fleet.set_options("");
    fleet.start_master();
    fleet.until_up("m1");
    fleet.ping("m1");
    ledger_verifies(&mut fleet);
}

/// The master does not know the next key, and has no room for one more that it does not know.
#[test]
fn a_next_key_that_finds_no_room_does_not_stand_in_the_present_ones_way() {
    // One key may wait.
    let mut fleet = Fleet::prepare_with_ports("waiting_share_percent: 1\n");
    fleet.start_master_within(160);
    let mut m1 = fleet.minion_with("m1", "m1", QUICK);
    m1.kill();
    put(&m1, "m2", "minion.next.pem");
    let mut stranger = Peer::open(fleet.ret_port, "m3", "m3");
    assert_eq!(stranger.standing, Standing::Pending);
    stranger.send(&ToMaster::Knock(Knock::default()));
    let before = fleet.counter("refused_waiting_share");
    m1.start();
    all_is_well(&fleet, &m1);
    eventually(10.0, "it is counted that the places were taken", || {
        fleet.counter("refused_waiting_share") > before
    });
    assert_eq!(m1.fingerprint(), fingerprint("m2"), "and the rotation is finished");
    ledger_verifies(&mut fleet);
}

#[test]
fn a_session_ends_once_its_master_is_not_trusted_any_more() {
    let fleet = Fleet::start();
    let m1 = fleet.minion_with("m1", "m1", QUICK);
    m1.run(&["trust-master", &fingerprint("master2")]).expect(0);
    eventually(10.0, "the session is over", || fleet.presence("m1") == "offline");
    eventually(10.0, "the next one is refused", || m1.log().contains("brine-minion trust-master"));
    assert_eq!(fleet.presence("m1"), "offline");
    m1.run(&["trust-master", &fingerprint("master")]).expect(0);
    fleet.until_up("m1");
    fleet.ping("m1");
}

/// A kill between the ledger's line and the files: the ledger has the last word.
#[test]
fn the_key_that_is_shown_offline_is_the_ledgers() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let new = announce(&fleet, 3600);
    let folder = fleet.root().join("etc/brine/pki/master");
    let aside = fleet.dir().join("aside");
    fs::create_dir(&aside).unwrap();
    // With their modes.
    let copy = |from: &PathBuf, to: &PathBuf| {
        for name in ["master.pem", "master.pub", "master.next.pem"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    copy(&folder, &aside);
    fleet.api().post("/v1/master/rotation/finish", &json!({})).expect(200);
    fleet.kill_master();
    copy(&aside, &folder);
    let shown = fleet.brine_key(&["-F"]).expect(0).stdout;
    assert!(shown.contains(&new) && !shown.contains(&fingerprint("master")), "{shown}");
    fleet.start_master();
    master_is(&fleet, &new);
}
