//! Orders that are given all the time, and what must hold of them in the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brine_tests::api::Api;
use brine_tests::checker::{COUNTER, Checker, Order};
use brine_tests::faults::Dice;
use brine_tests::{Fleet, Minion, Process};
use serde_json::{Value, json};

/// Between two orders, and between two pings of the healthy minion.
const PACE: Duration = Duration::from_millis(500);

/// Within this the healthy minion answers, whatever happens to its neighbours.
const ANSWER_MAX: f64 = 3.0;

/// How long what waits for a minion may wait: longer than any outage.
const TTL_MS: u64 = 600_000;

/// The traffic of one fleet.
pub struct Flow {
    api: Api,
    checker: Mutex<Checker>,
    dice: Mutex<Dice>,
    is_over: AtomicBool,
    folder: std::path::PathBuf,
}

impl Flow {
    pub fn new(fleet: &Fleet, seed: u64) -> Self {
        Self {
            api: fleet.api(),
            checker: Mutex::new(Checker::new(fleet.dir().to_owned())),
            dice: Mutex::new(Dice::new(seed)),
            is_over: AtomicBool::new(false),
            folder: fleet.dir().to_owned(),
        }
    }

    /// Starts a minion that counts, and lets it in.
    pub fn start_minion(&self, fleet: &Fleet, mut minion: Minion) -> Minion {
        let mut command = minion.command(&[]);
        command.env(COUNTER, self.checker.lock().expect("no holder panics").counter(&minion.id));
        let log = self.folder.join(format!("{}.log", minion.id));
        minion.process = Some(Process::start(command, &log));
        fleet.until_key(&minion, "pending");
        fleet.act("accept", &minion.id, &minion.fingerprint());
        fleet.until_up(&minion.id);
        minion
    }

    /// Ends [`Self::give_orders`] and [`Self::ping`].
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Gives orders until it is stopped, and looks now and then that what was final stays so.
    pub fn give_orders(&self, ids: &[&str]) {
        for number in 0.. {
            if !self.goes_on() {
                return;
            }
            let order = self.give(number, ids);
            let mut checker = self.checker.lock().expect("no holder panics");
            checker.add([order]);
            if number % 20 == 19 {
                let from = checker.len().saturating_sub(60);
                checker.look(&self.api, from);
            }
            drop(checker);
            std::thread::sleep(PACE);
        }
    }

    fn give(&self, number: usize, ids: &[&str]) -> Order {
        let mut dice = self.dice.lock().expect("no holder panics");
        let (target, minions): (&str, Vec<String>) = match dice.below(3) {
            0 => ("*", ids.iter().map(|id| (*id).to_owned()).collect()),
            _ => {
                let id = ids[usize::try_from(dice.below(ids.len() as u64)).expect("an index")];
                (id, vec![id.to_owned()])
            }
        };
        let token = format!("n{number}");
        let count = format!("echo {token} >> \"${COUNTER}\"");
        let (function, arguments, counts) = match dice.below(8) {
            0 => ("test.ping", Vec::new(), false),
            1 => ("cmd.run", vec![json!(format!("{count}; head -c 60000 /dev/zero | tr '\\0' x"))], true),
            2 => ("cmd.run", vec![json!(format!("{count}; sleep 2"))], true),
            _ => ("cmd.run", vec![json!(count)], true),
        };
        let mut request = brine_tests::fleet::job(target, function, &arguments);
        if dice.below(3) == 0 {
            request["delivery"] = json!({"queue": {"ttl_ms": TTL_MS}});
        }
        let job = self.api.post("/v1/jobs", &request).expect(201).json();
        let jid = job["jid"].as_str().expect("a jid").to_owned();
        Order { jid, minions, token: counts.then_some(token) }
    }

    /// Gives everybody an order that nobody waits for.
    pub fn ask_all(&self) {
        let request = brine_tests::fleet::job("*", "test.ping", &[]);
        let _ = self.api.post("/v1/jobs", &request).expect(201);
    }

    /// Gives one minion an order that is answered at once if it is there, and says how it ended within
    /// `seconds`.
    pub fn ask(&self, id: &str, seconds: f64) -> Option<Value> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let request = brine_tests::fleet::job(id, "test.ping", &[]);
        let job = self.api.post("/v1/jobs", &request).expect(201).json();
        let path = format!("/v1/jobs/{}", job["jid"].as_str().expect("a jid"));
        loop {
            let ending = self.api.get(&path).expect(200).json()["rows"][0]["ending"].clone();
            if !ending.is_null() {
                return Some(ending);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Pings a minion until it is stopped and returns how long the slowest answer took, in seconds.
    pub fn ping(&self, id: &str) -> f64 {
        let mut slowest = 0.0_f64;
        while self.goes_on() {
            let begun = Instant::now();
            let ending = self.ask(id, ANSWER_MAX).unwrap_or_else(|| panic!("{id} says nothing"));
            assert_eq!(ending["state"], "returned", "{id}: {ending}");
            slowest = slowest.max(begun.elapsed().as_secs_f64());
            std::thread::sleep(PACE);
        }
        slowest
    }

    /// Holds every order that was given against what became of it.
    pub fn check(&self, ids: &[&str]) -> BTreeMap<String, usize> {
        let mut checker = self.checker.lock().expect("no holder panics");
        assert!(!checker.is_empty());
        checker.settle(&self.api, 0, 60.0);
        checker.check_counters(ids);
        let endings = checker.endings();
        // No program died and nobody waited for too long: nothing else can have become of an order.
        let is_right = |state: &String| matches!(state.as_str(), "returned" | "offline");
        assert!(endings.keys().all(is_right), "{endings:?}");
        endings
    }
}
