//! Simulated minions by the hundred up to ten thousand: what orders, arrivals, memory and idling
//! cost, and how that grows with their number.

mod gathered;
mod work;

use std::thread::sleep;
use std::time::Duration;

use crate::bench::{Bench, timed};
use crate::limits::BATCH;
use crate::limits::raw::Raw;
use crate::numbers::{Growth, median};
use crate::row::{Limit, shown};
use gathered::Gathered;

/// After an arrival the master still stores facts and tells; idling begins later.
const SETTLES: Duration = Duration::from_secs(3);

/// The master's counter of minions that came back with a ticket.
const RESUMED: &str = "resumed";

/// The crowds of which more than growth is measured, by their place among [`NAMES`].
const HUNDRED: usize = 0;
const THOUSAND: usize = 2;
const TEN_THOUSAND: usize = 4;

/// What each of the crowds measures besides what is fitted over all of them.
pub const NAMES: [&[&str]; 5] = [
    &["jobs_per_s_100", "broadcast_100_s"],
    &[],
    &["broadcast_1000_s", "returns_per_s", "handshakes_per_s"],
    &[],
    &[
        "storm_cold_10000_s",
        "storm_cold_10000_cpu_s",
        "master_kb_per_minion",
        "idle_cpu_pct_10000",
        "broadcast_10000_s",
        "half_10000_s",
        "cli_all_10000_s",
        "master_mb_10000",
        "storm_10000_s",
        "storm_10000_cpu_s",
        "limit_tell_10000_s",
    ],
];

/// What is fitted over all crowds.
pub const GROWTH: &[&str] =
    &["growth_broadcast", "growth_arrival", "growth_storm", "growth_idle_cpu", "growth_memory"];

/// Gathers one of the crowds.
pub fn measure(bench: &mut Bench, size: usize) {
    let minions = bench.scale.minions(size);
    // Before anybody is there who would take processor time from it.
    let _ = (bench.limits.crypto(bench.keys()), bench.limits.echo(), bench.limits.sled_rows_per_s(BATCH));
    let raw = RawCrowd::measure(minions, bench.scale.broadcasts[size]);
    if size == TEN_THOUSAND {
        bench.put_runs("limit_tell_10000_s", &raw.tells_s, None, minions);
    }
    if size == THOUSAND && bench.wants("handshakes_per_s") {
        handshakes(bench, minions);
    }
    let mut crowd = Gathered::start(bench, minions, false);
    arrived(bench, &crowd, size, &raw);
    idle(bench, &crowd, size);
    work::measure(bench, &mut crowd, size, &raw);
    let is_wanted = size == TEN_THOUSAND && bench.wants_any(&["storm_10000_s", "storm_10000_cpu_s"]);
    if is_wanted || bench.wants("growth_storm") {
        storm(bench, &mut crowd, size);
    }
}

/// How the costs of the crowds grow with their number.
///
/// # Panics
/// A cost was nothing, or not all crowds were measured.
pub fn grown(bench: &mut Bench) {
    for name in GROWTH.iter().filter(|name| bench.wants(name)).copied().collect::<Vec<_>>() {
        let points = bench.costs.remove(name).unwrap_or_default();
        let fit = Growth::fit(&points).unwrap_or_else(|| panic!("{name} cannot be fitted: {points:?}"));
        let costs: Vec<String> =
            points.iter().map(|(number, cost)| format!("{number:.0}: {}", shown(*cost))).collect();
        let text = format!(
            "linear; {} + {} * N^{:.2} {}, off by {:.0} %; {}",
            shown(fit.constant),
            shown(fit.each),
            fit.exponent,
            unit(name),
            100.0 * fit.off,
            costs.join(", ")
        );
        let largest = points.last().map_or(0.0, |point| point.0) as usize;
        bench.put(name, fit.exponent, Limit::of(1.0, text), largest);
    }
}

/// Of what the cost is.
fn unit(name: &str) -> &'static str {
    match name {
        "growth_broadcast" => "s",
        "growth_idle_cpu" => "%",
        "growth_memory" => "MB",
        _ => "CPU s",
    }
}

/// What plain TCP does with as many connections.
struct RawCrowd {
    /// Telling all and having all replies, in seconds, several times.
    tells_s: Vec<f64>,
    /// Memory of the process with all connections, in MB.
    memory_mb: f64,
}

impl RawCrowd {
    fn measure(minions: usize, runs: usize) -> Self {
        let mut raw = Raw::start(minions);
        let memory_mb = raw.memory_mb();
        Self { tells_s: (0..runs).map(|_| raw.tell_s()).collect(), memory_mb }
    }

    /// The median.
    fn tell_s(&self) -> f64 {
        median(&self.tells_s)
    }
}

/// How many handshakes the master makes in a second of its processor time, when they come as a crowd.
fn handshakes(bench: &mut Bench, minions: usize) {
    let crypto = bench.limits.crypto(bench.keys());
    let crowd = Gathered::start(bench, minions, true);
    let name = format!(
        "1 verification of {} bits, 2 X25519 exchanges, 1 X25519 key; the swarm signed for {:.1} CPU s",
        crypto.bits,
        crowd.signing_s()
    );
    let rate = minions as f64 / crowd.arrival_cpu_s;
    bench.put("handshakes_per_s", rate, Limit::of(1.0 / crypto.handshake_s(), name), minions);
}

/// What it cost to let them all in, who came at the same time and with nothing to resume.
fn arrived(bench: &mut Bench, crowd: &Gathered, size: usize, raw: &RawCrowd) {
    let crypto = bench.limits.crypto(bench.keys());
    let minions = crowd.minions as f64;
    bench.costs.entry("growth_arrival").or_default().push((minions, crowd.arrival_cpu_s));
    let memory = crowd.memory_mb() - crowd.alone_mb;
    bench.costs.entry("growth_memory").or_default().push((minions, memory));
    if size == TEN_THOUSAND {
        let name = format!("the crypto of both sides on all cores, {} bits", crypto.bits);
        let limit = Limit::of(crypto.both_sides_s() * minions / cores(), name);
        bench.put("storm_cold_10000_s", crowd.arrival_s, limit, crowd.minions);
        let name = format!("the master's crypto; the swarm signed for {:.1} CPU s", crowd.signing_s());
        let limit = Limit::of(crypto.handshake_s() * minions, name);
        bench.put("storm_cold_10000_cpu_s", crowd.arrival_cpu_s, limit, crowd.minions);
        let each = (raw.memory_mb - bench.limits.echo().idle_mb) * 1000.0 / minions;
        let limit = Limit::of(2.0 * each, "two connections of a process that only answers");
        bench.put("master_kb_per_minion", 1000.0 * memory / minions, limit, crowd.minions);
    }
}

/// What they cost while nothing is asked of them but to be there.
fn idle(bench: &mut Bench, crowd: &Gathered, size: usize) {
    let is_wanted = size == TEN_THOUSAND && bench.wants("idle_cpu_pct_10000");
    if !is_wanted && !bench.wants("growth_idle_cpu") {
        return;
    }
    sleep(SETTLES.min(bench.scale.idle));
    let before = crowd.busy_s();
    let watched = timed(|| sleep(bench.scale.idle));
    let percent = 100.0 * (crowd.busy_s() - before) / watched;
    let minions = crowd.minions as f64;
    bench.costs.entry("growth_idle_cpu").or_default().push((minions, percent));
    if size == TEN_THOUSAND {
        let (echo, crypto) = (bench.limits.echo(), bench.limits.crypto(bench.keys()));
        let each = echo.cpu_s + crypto.seal_open_s;
        let every = bench.scale.heartbeat;
        let name = format!("a beat each way every {every} s: plain TCP, AES-256-GCM");
        let limit = Limit::of(100.0 * minions * each / every, name);
        bench.put("idle_cpu_pct_10000", percent, limit, crowd.minions);
    }
}

/// The master is killed under them and started again.
fn storm(bench: &mut Bench, crowd: &mut Gathered, size: usize) {
    let signed = crowd.signing_s();
    let storms: Vec<(f64, f64)> = (0..bench.scale.restarts[size]).map(|_| crowd.restart()).collect();
    let signed = crowd.signing_s() - signed;
    let (walls, cpus): (Vec<f64>, Vec<f64>) = storms.into_iter().unzip();
    let minions = crowd.minions as f64;
    bench.costs.entry("growth_storm").or_default().push((minions, median(&cpus)));
    if size != TEN_THOUSAND {
        return;
    }
    // Of the master that runs now.
    let resumed = crowd.fleet.counter(RESUMED);
    let crypto = bench.limits.crypto(bench.keys());
    let name = |what: &str| {
        format!("{what}, 2 exchanges and 1 key; {resumed} resumed, the swarm signed for {signed:.1} CPU s")
    };
    let resumption_s = crypto.resumption_s() * minions;
    let both = Limit::of(2.0 * resumption_s / cores(), name("the X25519 of both sides on all cores"));
    bench.put_runs("storm_10000_s", &walls, both, crowd.minions);
    let ours = Limit::of(resumption_s, name("the master's X25519"));
    bench.put_runs("storm_10000_cpu_s", &cpus, ours, crowd.minions);
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}
