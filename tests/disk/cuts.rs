//! The power fails while jobs flow and decisions are made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use brine_tests::checker::{COUNTER, Checker, Order};
use brine_tests::disk::{Chance, Disk, Taken};
use brine_tests::{Fleet, Minion, Process, eventually};
use serde_json::Value;

use crate::clients::{Client, ORDERS, decide, follow};
use crate::{number, seed};

const IDS: [&str; 3] = ["m1", "m2", "m3"];
const CLIENTS: usize = 2;

/// A flush that takes its time leaves more under way when the power fails.
const FLUSH_US: u64 = 2000;

struct World {
    fleet: Fleet,
    minions: Vec<Minion>,
    checker: Checker,
    master_disk: Disk,
    minion_disks: Vec<Disk>,
}

impl World {
    fn begin() -> Self {
        let mut fleet = Fleet::prepare_with_ports("heartbeat: 1\n");
        let disk =
            |root: &Path, name: &str| Disk::under(root, &fleet.dir().join(format!("disk-{name}")), FLUSH_US);
        let minions: Vec<Minion> = IDS.iter().map(|id| fleet.prepare_minion(id)).collect();
        let master_disk = disk(&fleet.root(), "M");
        let minion_disks = minions.iter().map(|minion| disk(&minion.root(), &minion.id)).collect();
        let checker = Checker::new(fleet.dir().to_owned());
        let command = on(&master_disk, fleet.command("brine-master", &[]));
        fleet.start_master_by(command);
        let mut world = Self { fleet, minions, checker, master_disk, minion_disks };
        for n in 0..IDS.len() {
            world.start_minion(n);
            let minion = &world.minions[n];
            world.fleet.until_key(minion, "pending");
            world.fleet.act("accept", &minion.id, &minion.fingerprint());
        }
        world
    }

    fn start_minion(&mut self, n: usize) {
        let minion = &mut self.minions[n];
        let mut command = on(&self.minion_disks[n], minion.command(&[]));
        command.env(COUNTER, self.checker.counter(&minion.id));
        let log = self.fleet.dir().join(format!("{}.log", minion.id));
        minion.process = Some(Process::start(command, &log));
    }

    fn start_master(&mut self) {
        let command = on(&self.master_disk, self.fleet.command("brine-master", &[]));
        self.fleet.start_master_by(command);
    }

    fn is_complete(&mut self) {
        self.checker.settle(&self.fleet.api(), 0, 60.0);
        self.checker.check_counters(&IDS);
    }

    fn until_all_are_up(&self) {
        eventually(20.0, "all minions are up", || IDS.iter().all(|id| self.fleet.presence(id) == "up"));
    }
}

fn on(disk: &Disk, mut command: std::process::Command) -> std::process::Command {
    disk.give_to(&mut command);
    command
}

/// Who loses power, after how many accepted orders.
#[derive(Debug)]
struct Cut {
    after: usize,
    master: bool,
    minions: Vec<usize>,
    /// Some of what was not flushed is left, whole or torn.
    tears: bool,
}

impl Cut {
    /// The cut of a round. The master has most to remember: it is spared once in four.
    fn plan(chance: &mut Chance, round: usize) -> Self {
        let after = 1 + chance.below(CLIENTS * ORDERS - 1);
        let master = chance.below(4) > 0;
        let minions: Vec<usize> = (0..IDS.len()).filter(|_| chance.below(3) == 0).collect();
        Self { after, master: master || minions.is_empty(), minions, tears: round % 2 == 1 }
    }
}

/// What a master told before the power failed.
#[derive(Default)]
struct Told {
    orders: Vec<Order>,
    /// Server records whose making was answered.
    records: Vec<String>,
    /// Endings that followers heard of: job and minion.
    endings: Vec<(String, String)>,
}

/// One round: clients at work, a cut for those that the plan names, and everybody at work again.
fn round(world: &mut World, number: usize, chance: &mut Chance) -> (Cut, Taken, Told) {
    let cut = Cut::plan(chance, number);
    let (accepted, is_cut) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut taken = Taken::default();
    let api = world.fleet.api();
    let socket = world.fleet.root().join("run/brine/control.sock");
    let events = api.events("GET", "/v1/events", None);
    let is_over = || is_cut.load(Ordering::SeqCst);
    let chances: Vec<Chance> = (0..CLIENTS).map(|_| Chance(chance.below(usize::MAX) as u64)).collect();
    let told = std::thread::scope(|scope| {
        let records = scope.spawn(|| decide(&api, number, is_over));
        let endings = scope.spawn(|| follow(events, is_over));
        let clients: Vec<_> = chances
            .into_iter()
            .enumerate()
            .map(|(n, chance)| Client {
                socket: socket.clone(),
                minions: &IDS,
                chance,
                name: format!("r{number}c{n}"),
                accepted: &accepted,
            })
            .map(|client| scope.spawn(|| client.run()))
            .collect();
        eventually(60.0, "orders are accepted", || accepted.load(Ordering::SeqCst) >= cut.after);
        if cut.master {
            world.fleet.kill_master();
        }
        is_cut.store(true, Ordering::SeqCst);
        for dead in &cut.minions {
            world.minions[*dead].kill();
        }
        let mut lose = |disk: &Disk| taken += disk.cut(cut.tears.then_some(&mut *chance));
        if cut.master {
            lose(&world.master_disk);
            let _ = world.fleet.brine_key(&["ledger", "verify"]).expect(0);
        }
        cut.minions.iter().for_each(|dead| lose(&world.minion_disks[*dead]));
        for dead in &cut.minions {
            world.start_minion(*dead);
        }
        if cut.master {
            world.start_master();
        }
        Told {
            orders: clients.into_iter().flat_map(|client| client.join().expect("no client panics")).collect(),
            records: records.join().expect("it does not panic"),
            endings: endings.join().expect("it does not panic"),
        }
    });
    (cut, taken, told)
}

/// Cuts of one store. Of the last 8 MiB that were written nothing is lost whatever a cut leaves of sled's
/// files: sectors in any order. Of what is older that holds only where they are lost from some place on.
const WORLD: usize = 10;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let (seed, rounds) = (seed(), usize::try_from(number("DISK_ROUNDS").unwrap_or(10)).expect("rounds"));
    let begun = Instant::now();
    let mut world = World::begin();
    let (mut all, mut jobs, mut records, mut endings) = (Taken::default(), 0, 0, 0);
    for number in 0..rounds {
        if number > 0 && number % WORLD == 0 {
            world.is_complete();
            world = World::begin();
        }
        world.until_all_are_up();
        let from = world.checker.len();
        let (cut, taken, told) = round(&mut world, number, &mut Chance(seed ^ (number as u64) << 32));
        println!("disk: round {number}: {cut:?}, {taken:?}");
        world.until_all_are_up();
        let ledger = world.fleet.ledger();
        for name in &told.records {
            assert!(ledger.contains(&format!("\"{name}\"")), "record {name} was answered and is gone");
        }
        for (jid, id) in &told.endings {
            let row = world.fleet.row(jid, id);
            assert_ne!(row["ending"], Value::Null, "the ending of {jid} on {id} was told and is gone: {row}");
        }
        world.checker.add(told.orders.clone());
        world.checker.settle(&world.fleet.api(), from, 60.0);
        world.checker.check_counters(&IDS);
        no_return_is_lost(&world.fleet, &told.orders, &cut);
        all += taken;
        (records, endings) = (records + told.records.len(), endings + told.endings.len());
        jobs += told.orders.len();
    }
    world.is_complete();
    assert!(
        rounds < 10 || all.writes > 0 && all.torn > 0 && all.names > 0,
        "cuts that take nothing prove nothing: {all:?}"
    );
    println!(
        "disk: {rounds} cuts, {jobs} jobs, {records} decisions, {endings} endings told, {all:?}, endings of the last {WORLD} {:?}, {:?}",
        world.checker.endings(),
        begun.elapsed()
    );
}

/// A minion that lost no power answers for all that it was told, whatever became of the master.
fn no_return_is_lost(fleet: &Fleet, orders: &[Order], cut: &Cut) {
    for order in orders {
        for (n, id) in IDS.iter().enumerate() {
            if order.minions.iter().any(|minion| minion == id) && !cut.minions.contains(&n) {
                let row = fleet.row(&order.jid, id);
                let state = row["ending"]["state"].as_str().unwrap_or("?");
                assert!(!matches!(state, "lost" | "interrupted" | "?"), "job {} on {id}: {row}", order.jid);
            }
        }
    }
}
