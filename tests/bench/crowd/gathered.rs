//! A master and a swarm that has just arrived at it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use brine_tests::Fleet;
use brine_tests::process::rss_kib;
use brine_tests::swarm::usage::{busy_of, cpu_of};
use brine_tests::swarm::{Options, Swarm, provision};

use crate::bench::{Bench, until};

/// Ten thousand that all sign with 4096 bits on two cores take about a minute.
const ARRIVE: f64 = 400.0;

/// All minions of one master, in.
pub struct Gathered {
    /// The master's side.
    pub fleet: Fleet,
    /// Theirs.
    pub swarm: Swarm,
    /// How many.
    pub minions: usize,
    /// The master's memory before anybody came, in MB.
    pub alone_mb: f64,
    /// From the start of all until all were in, in seconds.
    pub arrival_s: f64,
    /// What that cost the master, in seconds of processor time.
    pub arrival_cpu_s: f64,
}

impl Gathered {
    /// Lets them in beforehand, starts the master, and has them all come at once; `together` also shows
    /// all signatures at the same moment, as machines do that each have a processor of their own.
    ///
    /// # Panics
    /// Not all come.
    #[must_use]
    pub fn start(bench: &Bench, minions: usize, together: bool) -> Self {
        let patience = if together { "handshake_timeout_ms: 120000\n" } else { "" };
        let mut fleet = Fleet::prepare_with_ports(&(bench.scale.options() + patience));
        let mut options = Options::local(minions, fleet.publish_port, fleet.ret_port);
        options.ramp = 0.0;
        options.together = together;
        let keys = bench.keys().clone();
        provision::accept(&fleet.root(), Swarm::ids(&options), &keys).expect("a master that does not run");
        fleet.start_master();
        let pid = fleet.master().pid();
        let (alone_mb, cpu) = (memory_mb(pid), cpu_s(pid));
        let begun = Instant::now();
        let swarm = Swarm::start(options, keys).expect("threads can be started");
        until(ARRIVE, &format!("{minions} minions are in"), || swarm.stats().live() == minions);
        let arrival_s = begun.elapsed().as_secs_f64();
        let arrival_cpu_s = cpu_s(pid) - cpu;
        Self { fleet, swarm, minions, alone_mb, arrival_s, arrival_cpu_s }
    }

    fn pid(&self) -> i32 {
        self.fleet.master.as_ref().expect("the master was started").pid()
    }

    /// The master's memory now, in MB.
    #[must_use]
    pub fn memory_mb(&self) -> f64 {
        memory_mb(self.pid())
    }

    /// Processor time of the master so far, in seconds, without threads that have ended.
    #[must_use]
    pub fn busy_s(&self) -> f64 {
        cpu_s(self.pid())
    }

    /// Processor time that the swarm has spent on signing, in seconds.
    #[must_use]
    pub fn signing_s(&self) -> f64 {
        Duration::from_nanos(self.swarm.stats().signing_ns.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Returns that the master has stored so far, as the minions were told.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.swarm.stats().stored.load(Ordering::Relaxed)
    }

    /// Kills the master and starts it again: seconds until all are back, and what that cost it, its
    /// start included, in seconds of processor time.
    ///
    /// # Panics
    /// Not all come back.
    pub fn restart(&mut self) -> (f64, f64) {
        let all = self.minions as u64;
        let before = self.swarm.stats().handshakes();
        let begun = Instant::now();
        self.fleet.kill_master();
        self.fleet.start_master();
        let stats = self.swarm.stats();
        until(ARRIVE, "all are back", || stats.handshakes() >= before + all && stats.live() == self.minions);
        (begun.elapsed().as_secs_f64(), cpu_of(self.pid()).expect("the master runs").as_secs_f64())
    }
}

fn memory_mb(pid: i32) -> f64 {
    rss_kib(pid) as f64 * 1024.0 / 1e6
}

fn cpu_s(pid: i32) -> f64 {
    busy_of(pid).expect("the master runs").as_secs_f64()
}
