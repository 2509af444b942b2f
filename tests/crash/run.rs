//! One run: the programs, those who keep them busy, and what is held against them after each round.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use brine_tests::checker::{COUNTER, Checker};
use brine_tests::wait::stays;
use brine_tests::{Fleet, Minion, Process, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::clients::{Client, ORDERS};
use crate::keys::{self, Deed, Keeper};
use crate::plan::{Crash, Death, Dice};
use crate::resources::{Resources, left_behind};
use crate::{CLUMSY, IDS, TENDED};

const CLIENTS: usize = 3;

/// In seconds: short, so that a minion that stays away loses what it was handed.
const LOST_AFTER: u64 = 2;

/// The longest pause of a minion that was told no, and a little more, in seconds.
const SLOW_MAX: f64 = 35.0;

/// What takes only small messages.
const SMALL: &str = "message_max: 65536\nreturn_max: 32768\noutput_max: 8192\nspool_max: 1048576\n";

/// What happened so far.
#[derive(Debug, Default)]
struct Tally {
    master_kills: usize,
    master_stops: usize,
    minion_kills: usize,
    minion_stops: usize,
    hangups: usize,
    stayed_away: usize,
    printed: usize,
    /// Orders whose answer was lost and that were one job all the same when they were said again.
    repeated: usize,
}

pub struct Run {
    seed: u64,
    fleet: Fleet,
    minions: Vec<Minion>,
    pub checker: Checker,
    deeds: Vec<Deed>,
    resources: Resources,
    tally: Tally,
}

impl Run {
    pub fn start(seed: u64) -> Self {
        let options = format!("heartbeat: 1\nlost_after: {LOST_AFTER}\nstore_cache_bytes: 8388608\n");
        let mut fleet = Fleet::prepare_with_ports(&options);
        fleet.start_master();
        let checker = Checker::new(fleet.dir().to_owned());
        let minions = IDS.iter().chain(&TENDED).map(|id| {
            let small = if *id == CLUMSY { SMALL } else { "" };
            fleet.prepare_minion_with(id, id, &format!("reconnect_max: 0.5\n{small}"))
        });
        let minions = minions.collect();
        let mut run = Self {
            seed,
            fleet,
            minions,
            checker,
            deeds: Vec::new(),
            resources: Resources::default(),
            tally: Tally::default(),
        };
        for who in 0..run.minions.len() {
            if run.minions[who].id == CLUMSY {
                let state = run.minions[who].root().join("var/lib/brine/minion");
                fs::create_dir_all(&state).expect("the fleet's folder");
                // A file where the folder of detached jobs would be.
                fs::write(state.join("detached"), "").expect("the fleet's folder");
            }
            run.start_minion(who);
            let minion = &run.minions[who];
            run.fleet.until_key(minion, "pending");
            run.fleet.act("accept", &minion.id, &minion.fingerprint());
        }
        run
    }

    fn start_minion(&mut self, who: usize) {
        let minion = &mut self.minions[who];
        let mut command = minion.command(&[]);
        command.env(COUNTER, self.checker.counter(&minion.id));
        let log = self.fleet.dir().join(format!("{}.log", minion.id));
        minion.process = Some(Process::start(command, &log));
    }

    /// One crash in a stream of orders, and everything that must hold after it.
    pub fn round(&mut self, round: usize) {
        self.until_all_are_up();
        // What was final before the crash is looked at again after it, with that of the round before.
        let from = self.checker.len().saturating_sub(2 * CLIENTS * ORDERS);
        self.checker.look(&self.fleet.api(), from);
        let crash =
            Crash::plan(&mut Dice::new(self.seed, round, 0), CLIENTS * ORDERS, IDS.len() + TENDED.len());
        let (accepted, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let repeated = AtomicUsize::new(0);
        let (root, folder) = (self.fleet.root(), self.fleet.dir().to_owned());
        let (api, seed) = (self.fleet.api(), self.seed);
        let mut printed = Vec::new();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| Client {
                    root: root.clone(),
                    dice: Dice::new(seed, round, 1 + number),
                    name: format!("r{round}c{number}"),
                    accepted: &accepted,
                    repeated: &repeated,
                    by_program: number == 0,
                })
                .map(|client| scope.spawn(|| client.run()))
                .collect();
            let keeper = Keeper {
                api: api.clone(),
                folder: folder.clone(),
                dice: Dice::new(seed, round, 1 + CLIENTS),
                name: format!("r{round}"),
                accepted: &accepted,
                is_over: &is_over,
            };
            let keeper = scope.spawn(move || keeper.run());
            eventually(60.0, "orders are accepted", || accepted.load(Ordering::SeqCst) >= crash.hangup_after);
            self.hang_up(&crash);
            eventually(60.0, "orders are accepted", || accepted.load(Ordering::SeqCst) >= crash.after);
            self.crash(&crash);
            for (number, client) in clients.into_iter().enumerate() {
                let orders = client.join().expect("no client panics");
                if number == 0 {
                    printed.extend(orders.iter().map(|order| order.jid.clone()));
                }
                self.checker.add(orders);
            }
            is_over.store(true, Ordering::SeqCst);
            let (deeds, orders) = keeper.join().expect("the keeper does not panic");
            self.deeds.extend(deeds);
            self.checker.add(orders);
        });
        if crash.stays_away {
            let who = crash.minions[0].0;
            let id = self.minions[who].id.clone();
            stays(LOST_AFTER as f64 + 1.5, "who is not there is not up", || self.fleet.presence(&id) != "up");
            self.start_minion(who);
            self.tally.stayed_away += 1;
        }
        self.until_all_are_up();
        self.checker.settle(&self.fleet.api(), from, 60.0);
        self.check(round);
        for jid in &printed {
            let shown = self.fleet.brine(&["jobs", "show", jid]);
            assert!(shown.code != 2 && shown.stdout.contains(jid), "job {jid} was printed: {shown:?}");
        }
        self.tally.printed += printed.len();
        self.tally.repeated += repeated.into_inner();
    }

    fn hang_up(&mut self, crash: &Crash) {
        for who in &crash.hangups {
            let process = if *who == 0 { self.fleet.master() } else { self.minions[who - 1].process() };
            process.signal(Signal::SIGHUP);
            self.tally.hangups += 1;
        }
    }

    fn crash(&mut self, crash: &Crash) {
        if crash.is_master_first {
            self.end_master(crash);
        }
        for (who, death) in &crash.minions {
            let process = self.minions[*who].process();
            match death {
                Death::Kill => {
                    process.kill();
                    self.tally.minion_kills += 1;
                }
                Death::Stop => {
                    assert!(process.stop().success(), "a minion stops in order");
                    self.tally.minion_stops += 1;
                }
            }
        }
        if !crash.is_master_first {
            self.end_master(crash);
        }
        if crash.master.is_some() {
            // The ledger is locked while a master runs: this is how the crash has left it.
            let _ = self.fleet.brine_key(&["ledger", "verify"]).expect(0);
        }
        if !crash.is_master_first {
            self.begin_master(crash);
        }
        for (who, _) in crash.minions.iter().skip(usize::from(crash.stays_away)) {
            self.start_minion(*who);
        }
        if crash.is_master_first {
            self.begin_master(crash);
        }
    }

    fn end_master(&mut self, crash: &Crash) {
        match crash.master {
            Some(Death::Kill) => {
                self.fleet.kill_master();
                self.tally.master_kills += 1;
            }
            Some(Death::Stop) => {
                assert!(self.fleet.master().stop().success(), "the master stops in order");
                self.tally.master_stops += 1;
            }
            None => {}
        }
    }

    fn begin_master(&mut self, crash: &Crash) {
        if crash.master.is_some() {
            self.fleet.start_master();
        }
    }

    fn until_all_are_up(&self) {
        eventually(20.0, "all minions are up", || IDS.iter().all(|id| self.fleet.presence(id) == "up"));
    }

    fn check(&mut self, round: usize) {
        let ids: Vec<&str> = IDS.iter().chain(&TENDED).copied().collect();
        self.checker.check_counters(&ids);
        self.check_keys();
        let pids: Vec<i32> = self.minions.iter_mut().map(|minion| minion.process().pid()).collect();
        eventually(15.0, "no process of an ended job is left", || {
            let left = left_behind(self.fleet.dir(), &pids);
            left.is_empty()
        });
        let master = self.fleet.master().pid();
        self.resources.look(round, "master", master);
        for (id, pid) in ids.iter().zip(pids) {
            self.resources.look(round, id, pid);
        }
    }

    fn check_keys(&self) {
        let ledger: Vec<Value> = self
            .fleet
            .ledger()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        let keys = self.fleet.api().get("/v1/keys").expect(200).json();
        let keys = keys.as_array().expect("a list");
        let faults = keys::faults(&self.deeds, &ledger, keys);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        for minion in &self.minions[IDS.len()..] {
            let id = minion.id.as_str();
            if keys.iter().any(|key| key["id"] == id && key["state"] == "accepted") {
                eventually(SLOW_MAX, &format!("{id}, whose key is accepted, is up with it"), || {
                    let key = self.fleet.key_state(id, &minion.fingerprint());
                    key.as_deref() == Some("accepted") && self.fleet.presence(id) == "up"
                });
            } else {
                assert_ne!(self.fleet.presence(id), "up", "{id}, whose key is not accepted");
            }
        }
    }

    /// # Panics
    /// A program has found its files in disorder, or has panicked.
    pub fn nothing_was_set_aside(&self) {
        for name in IDS.iter().chain(&TENDED).chain(&["master"]) {
            let log = fs::read(self.fleet.dir().join(format!("{name}.log"))).expect("a log");
            let log = String::from_utf8_lossy(&log);
            let found = log.lines().find(|line| line.contains("set aside") || line.contains("panicked"));
            assert_eq!(found, None, "the log of {name}");
        }
    }

    /// Everything once more, from the first job on.
    pub fn end(&mut self) {
        self.checker.settle(&self.fleet.api(), 0, 60.0);
        let ids: Vec<&str> = IDS.iter().chain(&TENDED).copied().collect();
        self.checker.check_counters(&ids);
        self.fleet.kill_master();
        let _ = self.fleet.brine_key(&["ledger", "verify"]).expect(0);
        let mut acts = std::collections::BTreeMap::new();
        for deed in &self.deeds {
            *acts.entry((deed.act, deed.is_done)).or_insert(0) += 1;
        }
        let rotations = self.fleet.ledger().matches("\"act\":\"rotate\"").count();
        let (late, detached) = self.checker.late_and_detached();
        self.resources.print();
        println!("crash: {:?}", self.tally);
        println!("crash: acts on keys, done, refused or not answered: {acts:?}, {rotations} rotations");
        println!(
            "crash: {} jobs, endings {:?}, {late} late reports, {detached} detached ones returned",
            self.checker.len(),
            self.checker.endings()
        );
    }
}
