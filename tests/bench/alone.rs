//! One minion and ten of them, all real: what an operator of a small site waits for, and what a minion
//! costs its machine.

use std::thread::sleep;

use brine_tests::process::rss_kib;
use brine_tests::swarm::usage::busy_of;
use brine_tests::{Fleet, Minion, eventually};

use crate::bench::{Bench, timed};
use crate::jobs::{self, follow, ping};
use crate::numbers::{median, percentile};
use crate::program::{runs_ms, times_ms};
use crate::row::Limit;

/// What this group measures.
pub const NAMES: &[&str] = &[
    "cli_one_ms",
    "cli_ten_ms",
    "api_rtt_p50_ms",
    "api_rtt_p99_ms",
    "jobs_per_s_1",
    "minion_rss_mb",
    "minion_idle_cpu_pct",
];

/// Minions of a small site.
const TEN: usize = 10;

/// What the round trip of one ping waits for on the master's disk. The minion has no part in it: a
/// ping may be repeated, so it is not journaled.
const FLUSHES: f64 = 2.0;

/// Measures with a master of its own.
pub fn measure(bench: &mut Bench) {
    let fleet = Fleet::start_with(&bench.scale.options());
    let first = join(&fleet, "one");
    trips(bench, &fleet);
    if bench.wants_any(&["minion_rss_mb", "minion_idle_cpu_pct"]) {
        minion(bench, first.process.as_ref().expect("it was started").pid());
    }
    program(bench, &fleet, "cli_one_ms", "one");
    if bench.wants("cli_ten_ms") {
        let others: Vec<Minion> = (1..TEN).map(|number| join(&fleet, &format!("ten-{number}"))).collect();
        program(bench, &fleet, "cli_ten_ms", "*");
        drop(others);
    }
}

/// Starts a minion with a key of its own, as one that is installed, and lets it in.
fn join(fleet: &Fleet, id: &str) -> Minion {
    let mut minion = fleet.prepare_keyless_minion(id);
    minion.start();
    let key = minion.root().join("etc/brine/pki/minion/minion.pub");
    eventually(20.0, &format!("{id} has made its key"), || key.exists());
    fleet.until_key(&minion, "pending");
    fleet.act("accept", id, &minion.fingerprint());
    fleet.until_up(id);
    minion
}

/// Jobs over the control API: one after the other, and many at the same time.
fn trips(bench: &mut Bench, fleet: &Fleet) {
    let api = fleet.api();
    let request = ping("one");
    if bench.wants_any(&["api_rtt_p50_ms", "api_rtt_p99_ms"]) {
        let runs = bench.scale.trips;
        let before = fleet.counter("commits");
        let trips: Vec<f64> =
            (0..runs).map(|_| timed(|| assert!(follow(&api, &request) > 0)) * 1e3).collect();
        let commits = (fleet.counter("commits") - before) as f64 / runs as f64;
        let flush = bench.limits.fsync_s() * 1e3;
        let path = format!(
            "{FLUSHES} flushes of {flush:.3} ms: the job, its return; the master committed {commits:.1} times a job"
        );
        for (name, share) in [("api_rtt_p50_ms", 0.5), ("api_rtt_p99_ms", 0.99)] {
            bench.put(name, percentile(&trips, share), Limit::of(FLUSHES * flush, path.as_str()), runs);
        }
    }
    if bench.wants("jobs_per_s_1") {
        let rate = jobs::rate(&api, bench.scale.jobs, |_| request.clone());
        let limit = job_limit(bench);
        bench.put("jobs_per_s_1", rate, limit, 1);
    }
}

/// Jobs a second when nothing is done but to store each and its return, as many at a time as there are
/// clients.
pub fn job_limit(bench: &Bench) -> Option<Limit> {
    let clients = bench.scale.jobs.1;
    let rows = bench.limits.sled_rows_per_s(clients);
    Limit::of(rows / FLUSHES, format!("sled alone, two rows a job, {clients} to a flush: as many as clients"))
}

/// What one costs its machine after it has worked.
fn minion(bench: &mut Bench, pid: i32) {
    let echo = bench.limits.echo();
    let busy = || busy_of(pid).expect("the minion runs").as_secs_f64();
    let before = busy();
    let watched = timed(|| sleep(bench.scale.idle));
    let percent = 100.0 * (busy() - before) / watched;
    let every = bench.scale.heartbeat;
    let beats = Limit::of(100.0 * echo.cpu_s / every, format!("an echo every {every} s, plain TCP"));
    bench.put("minion_idle_cpu_pct", percent, beats, 1);
    let process = Limit::of(echo.idle_mb, "a process with an idle runtime");
    bench.put("minion_rss_mb", rss_kib(pid) as f64 * 1024.0 / 1e6, process, 1);
}

/// The whole process, beside one that only starts and a round trip without it.
fn program(bench: &mut Bench, fleet: &Fleet, name: &str, target: &'static str) {
    if !bench.wants(name) {
        return;
    }
    let (start, _) = runs_ms(bench, || fleet.command("brine", &["--version"]));
    let (api, request) = (fleet.api(), ping(target));
    let trips: Vec<f64> =
        (0..bench.scale.runs).map(|_| timed(|| assert!(follow(&api, &request) > 0)) * 1e3).collect();
    let times = times_ms(bench, || fleet.command("brine", &[target, "test.ping"]));
    let limit = Limit::of(start + median(&trips), "`brine --version`, and the same round trip over the API");
    bench.put_runs(name, &times, limit, times.len());
}
