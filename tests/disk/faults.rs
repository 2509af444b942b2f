//! Calls that fail under running programs.

use std::path::Path;

use brine_tests::checker::Checker;
use brine_tests::disk::{Disk, Rule};
use brine_tests::{Fleet, Minion, Process, eventually};
use nix::errno::Errno;
use serde_json::json;

struct World {
    fleet: Fleet,
    minion: Minion,
    disk: Disk,
    minion_disk: Disk,
    checker: Checker,
}

impl World {
    fn begin() -> Self {
        let mut fleet = Fleet::prepare_with_ports("heartbeat: 1\n");
        let disk = Disk::under(&fleet.root(), &fleet.dir().join("disk-M"), 0);
        let mut command = fleet.command("brine-master", &[]);
        disk.give_to(&mut command);
        fleet.start_master_by(command);
        let minion = fleet.prepare_minion("m1");
        let minion_disk = Disk::under(&minion.root(), &fleet.dir().join("disk-m1"), 0);
        let checker = Checker::new(fleet.dir().to_owned());
        let mut world = Self { fleet, minion, disk, minion_disk, checker };
        world.start_minion();
        world.fleet.until_key(&world.minion, "pending");
        world.fleet.act("accept", "m1", &world.minion.fingerprint());
        world.fleet.until_up("m1");
        world
    }

    fn start_minion(&mut self) {
        let mut command = self.minion.command(&[]);
        self.minion_disk.give_to(&mut command);
        command.env(brine_tests::checker::COUNTER, self.checker.counter("m1"));
        self.minion.process = Some(Process::start(command, &self.fleet.dir().join("m1.log")));
    }

    fn start_master(&mut self) {
        let mut command = self.fleet.command("brine-master", &[]);
        self.disk.give_to(&mut command);
        self.fleet.start_master_by(command);
    }

    /// Gives an order that counts itself, and says which job it was, if it was accepted.
    fn order(&mut self, token: &str) -> Option<String> {
        let command = format!("echo {token} >> \"${}\"", brine_tests::checker::COUNTER);
        let request = brine_tests::fleet::job("m1", "cmd.run", &[json!(command)]);
        let reply = self.fleet.api().try_request("POST", "/v1/jobs", Some(request.to_string())).ok()?;
        let jid = (reply.status == 201).then(|| reply.json()["jid"].as_str().expect("a jid").to_owned())?;
        let (minions, token) = (vec!["m1".to_owned()], Some(token.to_owned()));
        self.checker.add([brine_tests::checker::Order { jid: jid.clone(), minions, token }]);
        Some(jid)
    }

    fn settle(&mut self) {
        self.checker.settle(&self.fleet.api(), 0, 20.0);
        self.checker.check_counters(&["m1"]);
    }

    fn is_well(&self) -> bool {
        let reply = self.fleet.api().try_request("GET", "/v1/health", None);
        reply.is_ok_and(|reply| reply.json()["status"] == "ok")
    }

    /// Waits for the end of a master that gives up, and returns its last words.
    fn until_master_ends(&mut self) -> String {
        let _ = self.fleet.master().wait(10.0);
        self.fleet.log()
    }
}

/// The logs of all buckets, ours and sled's.
fn logs_in(root: &Path) -> Vec<std::path::PathBuf> {
    let store = root.join("var/lib/brine/master/store");
    let folders = std::fs::read_dir(store).expect("the store").flatten();
    let files = folders.flat_map(|entry| ["redo", "db"].map(|name| entry.path().join(name)));
    files.filter(|path| path.exists()).collect()
}

#[test]
fn a_failed_flush_of_the_store_ends_the_master_and_the_next_one_reads_what_the_disk_has() {
    let mut world = World::begin();
    let kept = world.order("before").expect("accepted");
    world.settle();
    world.disk.rule(&[Rule::once("eio", "sync", "*/store/jobs-*/redo", Errno::EIO)]);
    assert_eq!(world.order("during"), None, "nothing is promised on a disk that may not have it");
    let log = world.until_master_ends();
    assert!(log.contains("broken until it is opened anew"), "{log}");
    assert_eq!(world.disk.fired("eio"), 1);
    // What memory shows is not what the disk has.
    let revealed = world.disk.reveal();
    assert!(revealed.iter().any(|path| path.ends_with("redo")), "{revealed:?}");
    world.disk.rule(&[]);
    world.start_master();
    for log in logs_in(&world.fleet.root()) {
        assert!(world.disk.was_read_anew(&log), "{} was read from memory", log.display());
    }
    world.fleet.until_up("m1");
    let after = world.order("after").expect("accepted");
    world.settle();
    // And nothing that came after it stands on what the disk never got.
    world.fleet.kill_master();
    let _ = world.disk.cut(None);
    world.start_master();
    world.settle();
    for jid in [kept, after] {
        assert_eq!(world.fleet.ending(&jid, "m1", 10.0)["state"], "returned");
    }
}

#[test]
fn a_store_whose_log_takes_no_write_ends_the_master_or_goes_on_and_loses_nothing() {
    let short =
        Rule { errno: 0, short: 100, ..Rule::once("short", "write", "*/store/jobs-*/redo", Errno::EIO) };
    let full = Rule::once("full", "write", "*/store/jobs-*/redo", Errno::ENOSPC);
    let facts = Rule::once("facts", "write", "*/store/facts/redo", Errno::EIO);
    let ceiling = Rule::once("ceiling", "sync", "*jid.ceiling*", Errno::EIO);
    let mut world = World::begin();
    for (n, rule) in [short, full, facts, ceiling].into_iter().enumerate() {
        let id = rule.id;
        world.disk.rule(&[rule]);
        let token = format!("n{n}");
        if id == "facts" {
            world.minion.kill();
            world.start_minion();
        }
        if id == "ceiling" {
            // It is raised ahead of the orders, by a good while.
            world.fleet.kill_master();
            world.start_master();
        }
        let mut orders = 0;
        eventually(20.0, &format!("{id} comes true"), || {
            orders += 1;
            let _ = world.order(&format!("{token}-{orders}"));
            world.disk.fired(id) > 0
        });
        eventually(15.0, &format!("the master ends or is well after {id}"), || {
            !world.fleet.master().is_alive() || world.is_well()
        });
        world.disk.rule(&[]);
        if !world.fleet.master().is_alive() {
            world.start_master();
        }
        world.fleet.until_up("m1");
        let _ = world.order(&format!("{token}-after")).expect("accepted");
        world.settle();
    }
}

#[test]
fn a_decision_whose_line_was_not_flushed_was_not_made() {
    let mut world = World::begin();
    let ledger = "*/ledger.jsonl";
    let before = world.fleet.ledger();
    let make = |world: &World, name: &str| {
        world.fleet.api().post("/v1/servers", &json!({"name": name, "model": "m"})).status
    };
    let short = Rule { errno: 0, short: 10, ..Rule::once("short", "write", ledger, Errno::EIO) };
    let after_short = Rule::once("full", "write", ledger, Errno::ENOSPC);
    for rules in [
        vec![Rule::once("sync", "sync", ledger, Errno::EIO)],
        vec![Rule::once("write", "write", ledger, Errno::ENOSPC)],
        vec![short, after_short],
    ] {
        world.disk.rule(&rules);
        assert_eq!(make(&world, "never"), 503, "{rules:?}");
        assert!(rules.iter().all(|rule| world.disk.fired(rule.id) == 1), "{rules:?}");
        assert_eq!(world.fleet.ledger(), before, "nothing of it is left");
        world.disk.rule(&[]);
    }
    assert_eq!(make(&world, "second"), 201);
    // Not even what was not flushed can be taken back: then it takes no more, and says so.
    let rules =
        ["sync", "truncate"].map(|call| Rule { times: -1, ..Rule::once(call, call, ledger, Errno::EIO) });
    world.disk.rule(&rules);
    assert_eq!(make(&world, "poisoned"), 503);
    world.disk.rule(&[]);
    assert_eq!(make(&world, "refused"), 503, "it takes no more");
    world.fleet.kill_master();
    let _ = world.disk.reveal();
    world.start_master();
    assert!(world.disk.was_read_anew(&world.fleet.root().join("var/lib/brine/master/ledger.jsonl")));
    assert_eq!(make(&world, "third"), 201);
    world.fleet.kill_master();
    let _ = world.disk.cut(None);
    let _ = world.fleet.brine_key(&["ledger", "verify"]).expect(0);
    let text = world.fleet.ledger();
    assert!(
        text.contains("\"second\"") && text.contains("\"third\"") && !text.contains("\"never\""),
        "{text}"
    );
    world.start_master();
}

#[test]
fn a_journal_that_takes_nothing_holds_the_order_back_and_then_runs_it_once() {
    let journal = "*/minion/journal*";
    let mut world = World::begin();
    let short = Rule { errno: 0, short: 7, ..Rule::once("short", "write", journal, Errno::EIO) };
    let after_short = Rule::once("full", "write", journal, Errno::ENOSPC);
    for (n, rules) in [
        vec![Rule::once("sync", "sync", journal, Errno::EIO)],
        vec![Rule { skip: 1, ..Rule::once("second-sync", "sync", journal, Errno::EIO) }],
        vec![Rule::once("write", "write", journal, Errno::ENOSPC)],
        vec![short, after_short],
    ]
    .into_iter()
    .enumerate()
    {
        world.minion_disk.rule(&rules);
        let jid = world.order(&format!("j{n}")).expect("accepted");
        assert_eq!(world.fleet.ending(&jid, "m1", 15.0)["state"], "returned", "{rules:?}");
        assert!(rules.iter().all(|rule| world.minion_disk.fired(rule.id) == 1), "{rules:?}");
        world.settle();
    }
    // What failed was written again: the cut takes nothing that was promised, and leaves no hole.
    world.minion.kill();
    let _ = world.minion_disk.cut(None);
    world.start_minion();
    world.fleet.until_up("m1");
    let jid = world.order("last").expect("accepted");
    assert_eq!(world.fleet.ending(&jid, "m1", 15.0)["state"], "returned");
    world.settle();
    let log = std::fs::read_to_string(world.fleet.dir().join("m1.log")).expect("a log");
    assert!(log.contains("waiting for the disk") && !log.contains("set aside"), "{log}");
}

#[test]
fn waiting_keys_that_cannot_be_saved_wait_on() {
    let mut world = World::begin();
    let rules = ["write", "sync", "rename"]
        .map(|call| Rule { times: -1, ..Rule::once(call, call, "*waiting.json*", Errno::ENOSPC) });
    world.disk.rule(&rules);
    let stranger = world.fleet.stranger("m2");
    world.fleet.until_key(&stranger, "pending");
    eventually(20.0, "saving fails", || rules.iter().any(|rule| world.disk.fired(rule.id) > 0));
    world.fleet.kill_master();
    let _ = world.disk.cut(None);
    world.start_master();
    world.fleet.until_key(&stranger, "pending");
    world.fleet.act("accept", "m2", &stranger.fingerprint());
    world.fleet.until_up("m2");
}
