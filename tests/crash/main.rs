//! Crashes at random moments while jobs flow: nothing is lost, doubled or forgotten.
//!
//! `CRASH_ROUNDS` says how many rounds (20), `CRASH_SEED` repeats the plan of a run.

mod clients;
mod plan;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use brine_tests::checker::{COUNTER, Checker};
use brine_tests::{Fleet, Minion, Process, eventually};

use crate::clients::{Client, ORDERS};
use crate::plan::{Crash, Dice};

const IDS: [&str; 4] = ["m1", "m2", "m3", "m4"];
const CLIENTS: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn seed() -> u64 {
    number("CRASH_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("random bytes");
        u64::from_le_bytes(bytes)
    })
}

fn start(fleet: &Fleet, minion: &mut Minion, checker: &Checker) {
    let mut command = minion.command(&[]);
    command.env(COUNTER, checker.counter(&minion.id));
    minion.process = Some(Process::start(command, &fleet.dir().join(format!("{}.log", minion.id))));
}

fn until_all_are_up(fleet: &Fleet) {
    eventually(20.0, "all minions are up", || IDS.iter().all(|id| fleet.presence(id) == "up"));
}

fn nothing_was_set_aside(fleet: &Fleet) {
    for name in ["master", "m1", "m2", "m3", "m4"] {
        let log = fs::read(fleet.dir().join(format!("{name}.log"))).expect("a log");
        let log = String::from_utf8_lossy(&log);
        let found = log.lines().find(|line| line.contains("set aside") || line.contains("panicked"));
        assert_eq!(found, None, "the log of {name}");
    }
}

#[test]
fn crashes_at_random_moments_lose_nothing_and_run_nothing_twice() {
    let (seed, rounds) = (seed(), usize::try_from(number("CRASH_ROUNDS").unwrap_or(20)).expect("rounds"));
    println!("crash: CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let begun = Instant::now();
    let mut fleet = Fleet::prepare_with_ports("heartbeat: 1\n");
    fleet.start_master();
    let mut checker = Checker::new(fleet.dir().to_owned());
    let mut minions: Vec<Minion> = IDS.iter().map(|id| fleet.prepare_minion(id)).collect();
    for minion in &mut minions {
        start(&fleet, minion, &checker);
        fleet.until_key(minion, "pending");
        fleet.act("accept", &minion.id, &minion.fingerprint());
    }
    let (mut master_kills, mut minion_kills, mut printed) = (0, 0, 0);
    for round in 0..rounds {
        until_all_are_up(&fleet);
        // What was final before the crash is looked at again after it, with that of the round before.
        let from = checker.len().saturating_sub(2 * CLIENTS * ORDERS);
        checker.look(&fleet.api(), from);
        let crash = Crash::plan(&mut Dice::new(seed, round, 0), CLIENTS * ORDERS, IDS.len());
        let accepted = AtomicUsize::new(0);
        let root = fleet.root();
        let given: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| Client {
                    root: root.clone(),
                    minions: &IDS,
                    dice: Dice::new(seed, round, 1 + number),
                    name: format!("r{round}c{number}"),
                    accepted: &accepted,
                    by_program: number == 0,
                })
                .map(|client| scope.spawn(|| client.run()))
                .collect();
            eventually(60.0, "orders are accepted", || accepted.load(Ordering::SeqCst) >= crash.after);
            if crash.master {
                fleet.kill_master();
            }
            for dead in &crash.minions {
                minions[*dead].kill();
            }
            for dead in &crash.minions {
                start(&fleet, &mut minions[*dead], &checker);
            }
            if crash.master {
                // The ledger is locked while a master runs: this is how the crash has left it.
                let _ = fleet.brine_key(&["ledger", "verify"]).expect(0);
                fleet.start_master();
            }
            clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
        });
        master_kills += usize::from(crash.master);
        minion_kills += crash.minions.len();
        until_all_are_up(&fleet);
        let by_program: Vec<String> = given[0].iter().map(|order| order.jid.clone()).collect();
        checker.add(given.into_iter().flatten());
        checker.settle(&fleet.api(), from, 60.0);
        checker.check_counters(&IDS);
        for jid in &by_program {
            let shown = fleet.brine(&["jobs", "show", jid]);
            assert!(shown.code != 2 && shown.stdout.contains(jid), "job {jid} was printed: {shown:?}");
        }
        printed += by_program.len();
        if round % 20 == 19 || round + 1 == rounds {
            nothing_was_set_aside(&fleet);
            println!("crash: round {}: {:?} after {:?}", round + 1, checker.endings(), begun.elapsed());
        }
    }
    checker.settle(&fleet.api(), 0, 60.0);
    checker.check_counters(&IDS);
    fleet.kill_master();
    let _ = fleet.brine_key(&["ledger", "verify"]).expect(0);
    println!(
        "crash: {rounds} rounds, {master_kills} kills of the master and {minion_kills} of minions, {} jobs ({printed} by brine), endings {:?}, {:?}",
        checker.len(),
        checker.endings(),
        begun.elapsed()
    );
}
