//! Fifty healthy minions, forty-seven simulated and three real ones, and how long their jobs take.

use std::time::{Duration, Instant};

use brine_tests::Minion;
use brine_tests::fleet::{Fleet, job};
use brine_tests::swarm::usage::{cpu_of, process_cpu};
use brine_tests::swarm::{Options, Swarm};
use brine_tests::wait::eventually;

/// What the ids of healthy minions begin with, and a target that means them all.
const PREFIX: &str = "ok-";
const ALL: &str = "ok-*";

const SIMULATED: usize = 47;
const REAL: [&str; 3] = ["m1", "m2", "m3"];

/// How long a job may take before it counts as lost, in seconds.
const PATIENCE: f64 = 20.0;

/// What the simulated ones are.
pub fn options(fleet: &Fleet) -> Options {
    Options { prefix: PREFIX.to_owned(), ..Options::local(SIMULATED, fleet.publish_port, fleet.ret_port) }
}

/// All of them, live.
pub struct Healthy {
    swarm: Swarm,
    real: Vec<Minion>,
    pids: Vec<i32>,
}

impl Healthy {
    /// Around a swarm of [`options`] whose keys are accepted.
    pub fn start(fleet: &Fleet, swarm: Swarm) -> Self {
        let mut real: Vec<Minion> =
            REAL.iter().map(|key| fleet.minion_with(&format!("{PREFIX}{key}"), key, "")).collect();
        let pids = real.iter_mut().map(|minion| minion.process().pid()).collect();
        eventually(20.0, "the simulated minions are in", || swarm.stats().live() == SIMULATED);
        Self { swarm, real, pids }
    }

    /// Checks that none of them had to come back.
    #[track_caller]
    pub fn are_well(&mut self) {
        assert_eq!(self.swarm.stats().live(), SIMULATED, "{}", self.swarm.stats().to_json());
        assert_eq!(self.swarm.stats().handshakes(), SIMULATED as u64, "{}", self.swarm.stats().to_json());
        for (minion, pid) in self.real.iter_mut().zip(&self.pids) {
            assert!(minion.process().is_alive() && minion.process().pid() == *pid, "{} died", minion.id);
            let sessions = minion.log().matches("the master accepts this minion").count();
            assert!(sessions <= 1, "{} lost its session:\n{}", minion.id, minion.log());
        }
    }
}

/// Jobs for all, one after the other.
#[derive(Debug)]
pub struct Window {
    /// How long each took, in milliseconds, sorted.
    millis: Vec<f64>,
    seconds: f64,
    /// CPU time of the master, and of this process, which is the simulated minions and the attackers.
    cpu: (Duration, Duration),
}

impl Window {
    /// Runs at least so many jobs, for at least so long.
    pub fn measure(fleet: &mut Fleet, jobs: usize, seconds: f64) -> Self {
        let pid = fleet.master().pid();
        let used = || (cpu_of(pid).expect("the master lives"), process_cpu());
        let (begun, before) = (Instant::now(), used());
        let mut millis = Vec::new();
        while millis.len() < jobs || begun.elapsed().as_secs_f64() < seconds {
            millis.push(follow(fleet));
        }
        millis.sort_by(f64::total_cmp);
        let after = used();
        let cpu = (after.0 - before.0, after.1 - before.1);
        Self { millis, seconds: begun.elapsed().as_secs_f64(), cpu }
    }

    /// Of a hundred jobs, so many took at most this long, in milliseconds.
    pub fn percentile(&self, of_hundred: usize) -> f64 {
        self.millis[(self.millis.len() * of_hundred).div_ceil(100) - 1]
    }

    /// One line.
    pub fn tell(&self) -> String {
        let share = |cpu: Duration| cpu.as_secs_f64() / self.seconds;
        format!(
            "{} jobs in {:.1} s: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, worst {:.1} ms; cores used: master \
             {:.2}, peers {:.2}",
            self.millis.len(),
            self.seconds,
            self.percentile(50),
            self.percentile(90),
            self.percentile(99),
            self.percentile(100),
            share(self.cpu.0),
            share(self.cpu.1),
        )
    }
}

/// From a request to the control API to the last of fifty returns, in milliseconds.
fn follow(fleet: &Fleet) -> f64 {
    let request = job(ALL, "test.ping", &[]).to_string();
    let begun = Instant::now();
    let mut events = fleet.api().events("POST", "/v1/jobs", Some(request));
    let mut returned = 0;
    loop {
        let left = PATIENCE - begun.elapsed().as_secs_f64();
        let event = events.next_within(left.max(0.0));
        let event = event.unwrap_or_else(|| panic!("after {PATIENCE} s only {returned} have answered"));
        match event.name.as_str() {
            "row" => {
                assert_eq!(event.data["ending"]["value"], true, "{}", event.data);
                returned += 1;
            }
            "end" => break,
            _ => {}
        }
    }
    assert_eq!(returned, SIMULATED + REAL.len(), "rows of one job");
    begun.elapsed().as_secs_f64() * 1e3
}
