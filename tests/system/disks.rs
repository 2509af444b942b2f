//! Disks that are full, read-only or slow: the master and the minion say so, lose nothing of what they
//! took, and go on by themselves once the disk does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use brine_protocol::message::ToMaster;
use brine_tests::eventually;
use brine_tests::peer::Peer;
use brine_tests::wait::stays;
use serde_json::{Map, json};

use crate::machine::{World, apart, assert_says};

const MIB: u64 = 1 << 20;

#[test]
fn a_full_disk_stops_new_orders_and_loses_none() {
    apart("disks::a_full_disk_stops_new_orders_and_loses_none", || {
        let mut world = World::begin("disk_free_min: 8388608\n", 48, 0);
        let pid = world.fleet.master().pid();
        world.order("before");
        let (stored, kept) = (world.order_that_waits("stored"), world.order_that_waits("kept"));
        world.settle_one("before");
        // Too little for new orders, and enough for the ends of old ones.
        world.mounts[0].fill(5 * MIB);
        let said = world.until_degraded("disk_free_min");
        assert!(said.contains("bytes left"), "{said}");
        world.takes_no_order("bytes left");
        world.let_go("stored");
        let _ = world.fleet.ending(&stored, "m1", 10.0);
        // And now for nothing.
        world.mounts[0].fill(0);
        world.let_go("kept");
        eventually(10.0, "the disk does not take a return", || world.fleet.counter("commit_failed") > 0);
        assert!(world.has_counted("kept"));
        world.takes_no_order("bytes left");
        stays(2.5, "what is not on disk has not ended, and its minion is up", || {
            world.is_open(&kept) && world.fleet.presence("m1") == "up"
        });
        // The minion has it until it is acknowledged, whatever happens to the minion.
        world.minion.kill();
        world.start_minion();
        world.takes_no_order("bytes left");
        assert!(world.is_open(&kept));
        assert_eq!(world.decides("while full"), 503);
        world.mounts[0].empty();
        world.until_well();
        let _ = world.fleet.ending(&kept, "m1", 10.0);
        world.fleet.until_up("m1");
        world.order("after");
        world.settle();
        assert_eq!(world.decides("after"), 201);
        assert_eq!(world.fleet.master().pid(), pid, "it is the same process");
        assert!(world.fleet.master().is_alive());
        assert_eq!(world.doctor().code, 0);
        let log = world.fleet.log();
        assert!(log.contains("degraded, new orders are refused") && log.contains("well again"), "{log}");
    });
}

/// Nothing watches over the room here: the database meets the end of the disk in the midst of a write.
#[test]
fn a_disk_that_fills_up_in_the_midst_of_a_write_costs_nothing_that_was_accepted() {
    apart("disks::a_disk_that_fills_up_in_the_midst_of_a_write_costs_nothing_that_was_accepted", || {
        let mut world = World::begin("disk_free_min: 0\n", 32, 0);
        world.order("before");
        let kept = world.order_that_waits("kept");
        world.settle_one("before");
        world.mounts[0].fill(0);
        // Files that are there have room, so it takes some. What is not refused waits with its answer, or is
        // told of by the end of the master.
        let mut large = world.request("large", false);
        large["calls"][0]["function"] = "test.echo".into();
        large["calls"][0]["arguments"][0] = "x".repeat(300_000).into();
        let api = world.fleet.api();
        let is_enough = Arc::new(AtomicBool::new(false));
        let flood = thread::spawn({
            let (api, is_enough) = (api.clone(), Arc::clone(&is_enough));
            move || {
                let give = || api.try_request("POST", "/v1/jobs", Some(large.to_string()));
                while give().is_ok_and(|reply| reply.status == 201) && !is_enough.load(Ordering::Relaxed) {}
            }
        });
        eventually(20.0, "the master is degraded or ends", || {
            let health = api.try_request("GET", "/v1/health", None);
            health.map_or(!world.fleet.master().is_alive(), |reply| reply.json()["status"] == "degraded")
        });
        assert!(world.fleet.log().contains("cannot write to the store"));
        world.let_go("kept");
        eventually(10.0, "the job ends", || world.has_counted("kept"));
        is_enough.store(true, Ordering::Relaxed);
        world.mounts[0].empty();
        if world.fleet.master().is_alive() {
            world.until_well();
        } else {
            world.start_master();
        }
        flood.join().unwrap();
        world.fleet.until_up("m1");
        let _ = world.fleet.ending(&kept, "m1", 10.0);
        world.order("after");
        world.settle();
    });
}

#[test]
fn a_disk_that_turns_read_only_stops_new_orders_and_loses_none() {
    apart("disks::a_disk_that_turns_read_only_stops_new_orders_and_loses_none", || {
        let mut world = World::begin("", 96, 0);
        let pid = world.fleet.master().pid();
        let kept = world.order_that_waits("kept");
        // The kernel does this to a file system in use only when its disk fails.
        world.of_master.tell("readonly", "");
        world.until_degraded("is read-only");
        world.takes_no_order("is read-only");
        world.let_go("kept");
        eventually(10.0, "the disk does not take a return", || world.fleet.counter("commit_failed") > 0);
        stays(2.5, "what is not on disk has not ended, and its minion is up", || {
            world.is_open(&kept) && world.fleet.presence("m1") == "up"
        });
        assert_eq!(world.decides("while read-only"), 503);
        world.of_master.take_back("readonly");
        world.until_well();
        let _ = world.fleet.ending(&kept, "m1", 10.0);
        assert_eq!(world.decides("after"), 201);
        world.order("after");
        world.settle();
        assert_eq!(world.fleet.master().pid(), pid, "it is the same process");

        // Nor does a master begin on one.
        world.fleet.master().stop();
        let _ = world.mounts[0].remount("ro").expect(0);
        let command = world.of_master.give_to(world.fleet.command("brine-master", &[]));
        let refused = brine_tests::Done::run(command);
        assert!(refused.code != 0 && refused.stderr.contains("Read-only file system"), "{refused:?}");
        let _ = world.mounts[0].remount("rw").expect(0);
        world.start_master();
        world.fleet.until_up("m1");
        world.order("again");
        world.settle();
    });
}

#[test]
fn while_the_disk_stands_still_beats_go_on_and_presence_is_right() {
    apart("disks::while_the_disk_stands_still_beats_go_on_and_presence_is_right", || {
        let mut world = World::begin("", 0, 0);
        let m2 = world.fleet.minion("m2");
        let kept = world.order_that_waits("kept");
        world.of_master.tell("hold", "");
        world.let_go("kept");
        eventually(10.0, "the job ends", || world.has_counted("kept"));
        // Given before anybody knows: it waits with its answer.
        let (api, request) = (world.fleet.api(), world.request("early", false));
        let early = thread::spawn(move || api.post("/v1/jobs", &request).expect(201).json());
        world.until_degraded("not finished a write");
        world.takes_no_order("not finished a write");
        assert_eq!(world.decides("while it stands"), 503, "and nobody waits for it");
        let mut gone = m2;
        gone.process().stop();
        eventually(4.0, "who goes is gone", || world.fleet.presence("m2") == "offline");
        stays(4.0, "who is there is up", || world.fleet.presence("m1") == "up");
        assert!(!early.is_finished() && !world.has_counted("early"));
        world.of_master.take_back("hold");
        world.until_well();
        let early = early.join().unwrap();
        world.add(early["jid"].as_str().unwrap(), "early");
        let _ = world.fleet.ending(&kept, "m1", 10.0);
        world.order("after");
        world.settle();
    });
}

#[test]
fn a_minion_without_a_disk_takes_no_order_and_keeps_what_it_owes() {
    apart("disks::a_minion_without_a_disk_takes_no_order_and_keeps_what_it_owes", || {
        let mut world = World::begin("", 0, 4);
        for (how, word) in [("full", "is full"), ("read-only", "is read-only")] {
            let owed = format!("owed-{how}");
            let (token, jid) = (owed.clone(), world.order_that_waits(&owed));
            match how {
                "full" => world.mounts[0].fill(0),
                _ => world.of_minion.tell("readonly", ""),
            }
            world.let_go(&token);
            eventually(10.0, "the job ends", || world.has_counted(&token));
            let held = world.order(&format!("held-{how}"));
            let log = || std::fs::read_to_string(world.fleet.dir().join("m1.log")).unwrap();
            eventually(10.0, "the minion says so", || log().matches("waiting for the disk").count() > 0);
            let said = world.minion_doctor();
            assert_eq!(said.code, 1, "{}", said.stdout);
            assert_says(&said, "state", "fail", word);
            stays(2.0, "nothing is promised, and nothing runs", || {
                world.is_open(&jid) && world.is_open(&held) && !world.has_counted(&format!("held-{how}"))
            });
            match how {
                "full" => world.mounts[0].empty(),
                _ => world.of_minion.take_back("readonly"),
            }
            for jid in [jid, held] {
                assert_eq!(world.fleet.ending(&jid, "m1", 20.0)["state"], "returned");
            }
            world.fleet.until_up("m1");
            world.order(&format!("after-{how}"));
            world.settle();
        }
    });
}

/// Grains are written as they come, so a minion that tells them without end could fill the memory of a
/// master whose disk is slower than the network.
#[test]
fn who_tells_grains_without_end_waits_for_the_disk_too() {
    apart("disks::who_tells_grains_without_end_waits_for_the_disk_too", || {
        let mut world = World::begin("", 0, 0);
        let (mut peer, _) = Peer::live(&world.fleet, "m2", "m2");
        world.fleet.until_up("m2");
        world.of_master.tell("hold", "");
        let before = world.fleet.master().rss_kib();
        let flood = thread::spawn(move || {
            for n in 0..60 {
                let mut grains = Map::new();
                grains.insert("n".into(), n.into());
                grains.insert("ballast".into(), "x".repeat(800_000).into());
                assert!(peer.send(&ToMaster::Grains(grains)), "cut off at {n}");
            }
            peer
        });
        world.until_degraded("not finished a write");
        stays(1.0, "what it says is not held in memory", || {
            world.fleet.master().rss_kib() < before + 24 * 1024
        });
        assert!(!flood.is_finished(), "it waits");
        world.of_master.take_back("hold");
        let _peer = flood.join().unwrap();
        world.until_well();
        eventually(10.0, "the last grains are told", || {
            let minion = world.fleet.api().get("/v1/minions/m2").expect(200).json();
            minion["grains"]["n"] == 59
        });
        world.order("after");
        world.settle();
    });
}

impl World {
    /// Has a record made, and gives the status of the answer. It is a line of the ledger that does not fit into
    /// the last block of a full disk.
    fn decides(&self, name: &str) -> u16 {
        let labels: Map<_, _> = (0..32).map(|n| (format!("l{n}"), "x".repeat(200).into())).collect();
        let record = json!({"name": name, "model": "m", "labels": labels});
        self.fleet.api().post("/v1/servers", &record).status
    }

    fn settle_one(&self, token: &str) {
        eventually(10.0, &format!("{token} ends"), || self.has_counted(token));
    }
}
