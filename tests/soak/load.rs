//! The work: jobs of several kinds, each followed to its end and each ending judged.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brine_tests::api::Api;
use serde_json::{Value, json};

/// A job that has not ended by then is a fault. Queued ones wait for absent minions.
const PATIENCE: f64 = 60.0;

/// What all kinds of work share.
#[derive(Debug)]
pub struct Load {
    /// The master's control API.
    pub api: Api,
    /// Set when it is over.
    pub stop: AtomicBool,
    /// When it all began.
    pub begun: Instant,
    /// Round trips of single pings: seconds since the beginning, milliseconds.
    pub trips: Mutex<Vec<(f64, f64)>>,
    /// Jobs followed to their end.
    pub jobs: AtomicU64,
    /// Rows that ended, by state.
    pub rows: Mutex<BTreeMap<String, u64>>,
    /// What went otherwise than it has to.
    pub faults: Mutex<Vec<String>>,
    /// How many minions are connected, and how many are let in and absent.
    pub minions: (usize, usize),
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One ping after the other to one minion, timed.
    Probe,
    /// A ping to all.
    PingAll,
    /// Answers of several sizes from a tenth.
    Sizes,
    /// Jobs that take their time.
    Sleep,
    /// A few at a time.
    Batch,
    /// For minions that are absent as well.
    Queue,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Probe, Self::PingAll, Self::Sizes, Self::Sleep, Self::Batch, Self::Queue];

    fn every(self) -> Duration {
        Duration::from_millis(match self {
            Self::Probe => 100,
            Self::PingAll => 3000,
            Self::Sizes | Self::Sleep => 1000,
            Self::Batch => 2000,
            Self::Queue => 5000,
        })
    }

    /// Job number `n` of this kind.
    fn request(self, n: usize) -> Value {
        // Ids have five digits; this names a hundred of the first thousand.
        let hundred = format!("swarm-00{}*", n % 10);
        let ten = format!("swarm-00{}{}*", n / 10 % 10, n % 10);
        let job = |target: &str, function: &str, arguments: Value| json!({"target": {"expression": target}, "calls": [{"function": function, "arguments": arguments}]});
        let seconds = [0.2, 1.5, 5.0][n % 3];
        match self {
            Self::Probe => job(&format!("swarm-{:05}", n * 37 % 1000), "test.ping", json!([])),
            Self::PingAll => job("swarm-*", "test.ping", json!([])),
            Self::Sizes => match n % 4 {
                0 => job(&hundred, "test.echo", json!(["x".repeat(2000)])),
                size => {
                    job(&hundred, "swarm.reply", json!([10_usize.pow(1 + u32::try_from(size).unwrap_or(1))]))
                }
            },
            Self::Sleep => job(&ten, "test.sleep", json!([seconds])),
            Self::Batch => {
                let mut request = job(&hundred, "test.ping", json!([]));
                request["batch"] = json!({"size": "20%"});
                request
            }
            Self::Queue => {
                let mut request = job(&format!("swarm-00{}00 or away-*", n % 10), "test.ping", json!([]));
                request["target"]["kind"] = json!("compound");
                request["delivery"] = json!({"queue": {"ttl_ms": 20_000}});
                request
            }
        }
    }
}

impl Load {
    /// Does one kind of work until it is told to stop.
    pub fn work(&self, kind: Kind) {
        let mut next = Instant::now();
        for n in 0.. {
            while Instant::now() < next && !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20).min(next - Instant::now().min(next)));
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            next = (next + kind.every()).max(Instant::now());
            let begun = Instant::now();
            match self.follow(&kind.request(n)) {
                Ok(rows) => self.judge(kind, &rows),
                Err(why) => self.fault(format!("{kind:?} {n}: {why}")),
            }
            if kind == Kind::Probe {
                let at = (begun - self.begun).as_secs_f64();
                let took = begun.elapsed().as_secs_f64() * 1e3;
                self.trips.lock().expect("no holder panics").push((at, took));
            }
        }
    }

    fn fault(&self, what: String) {
        eprintln!("FAULT {what}");
        self.faults.lock().expect("no holder panics").push(what);
    }

    /// Submits a job and follows it to its end; how many rows ended in which state.
    fn follow(&self, request: &Value) -> Result<BTreeMap<String, u64>, String> {
        let mut events = self.api.events("POST", "/v1/jobs", Some(request.to_string()));
        let mut rows = BTreeMap::new();
        let begun = Instant::now();
        loop {
            let left = (PATIENCE - begun.elapsed().as_secs_f64()).max(0.0);
            let event =
                events.next_within(left).ok_or(format!("no end within {PATIENCE} s, so far {rows:?}"))?;
            match event.name.as_str() {
                "row" => {
                    let state = event.data["ending"]["state"].as_str().unwrap_or("none").to_owned();
                    *rows.entry(state).or_default() += 1;
                }
                "end" => return Ok(rows),
                _ => {}
            }
        }
    }

    fn judge(&self, kind: Kind, rows: &BTreeMap<String, u64>) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        let (all, absent) = (self.minions.0 as u64, self.minions.1 as u64);
        let expected: &[(&str, u64)] = match kind {
            Kind::Probe => &[("returned", 1)],
            Kind::PingAll => &[("returned", all)],
            Kind::Sizes | Kind::Batch => &[("returned", 100)],
            Kind::Sleep => &[("returned", 10)],
            Kind::Queue => &[("expired", absent), ("returned", 1)],
        };
        let expected: BTreeMap<String, u64> =
            expected.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect();
        if *rows != expected {
            self.fault(format!("{kind:?}: rows ended {rows:?} and not {expected:?}"));
        }
        let mut all = self.rows.lock().expect("no holder panics");
        for (state, count) in rows {
            *all.entry(state.clone()).or_default() += count;
        }
    }
}
