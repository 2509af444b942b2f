//! Simulated minions by the hundred, thousand and ten thousand: what orders, arrivals, memory and idling
//! cost, and how that grows with their number.

mod gathered;
mod work;

use std::thread::sleep;
use std::time::Duration;

use brine_tests::swarm::usage;

use crate::bench::{Bench, timed};
use crate::limits::BATCH;
use crate::limits::raw::Raw;
use crate::numbers::{growth, median};
use crate::row::Limit;
use gathered::Gathered;

/// Descriptors of this process that are neither a minion's nor the swarm's reserve: logs, the API, and
/// those that the master keeps free for itself.
const DESCRIPTORS_KEPT: u64 = 256;

/// After an arrival the master still stores facts and tells; idling begins later.
const SETTLES: Duration = Duration::from_secs(3);

/// What the names of the master's counters begin with that count minions which came back with a ticket.
const RESUMED: &str = "resumed";

/// What each of the three crowds measures, and what is fitted over all of them.
pub const NAMES: [&[&str]; 4] = [
    &["jobs_per_s_100", "broadcast_100_s"],
    &["broadcast_1000_s", "returns_per_s", "handshakes_per_s"],
    &[
        "storm_cold_10000_s",
        "master_kb_per_minion",
        "idle_cpu_pct_10000",
        "broadcast_10000_s",
        "half_10000_s",
        "cli_all_10000_s",
        "master_mb_10000",
        "storm_10000_s",
        "storm_10000_cpu_s",
    ],
    &["growth_broadcast", "growth_storm", "growth_idle_cpu", "growth_memory"],
];

/// Gathers the crowds one after the other, the smallest first.
pub fn measure(bench: &mut Bench) {
    let carried = usage::minions_within(usage::raise_descriptor_limit().saturating_sub(DESCRIPTORS_KEPT));
    // Before anybody is there who would take processor time from it.
    let _ = (bench.limits.crypto(bench.keys()), bench.limits.echo(), bench.limits.sled_rows_per_s(BATCH));
    for (size, minions) in bench.scale.crowds.into_iter().enumerate() {
        if !bench.wants_any(NAMES[size]) && !bench.wants_any(NAMES[3]) {
            continue;
        }
        let minions = minions.min(carried);
        let raw = RawCrowd::measure(minions, bench.scale.broadcasts[size]);
        let mut crowd = Gathered::start(bench, minions);
        arrived(bench, &crowd, size, &raw);
        idle(bench, &crowd, size);
        work::measure(bench, &mut crowd, size, &raw);
        if size == 2 && bench.wants_any(&["storm_10000_s", "storm_10000_cpu_s"]) {
            storm(bench, &mut crowd);
        }
    }
    for name in NAMES[3] {
        let points = bench.costs.remove(*name).unwrap_or_default();
        let largest = points.last().map_or(0.0, |point| point.0) as usize;
        if let Some(exponent) = growth(&points) {
            bench.put(
                name,
                exponent,
                Limit::of(1.0, "linear: the same for each, however many there are"),
                largest,
            );
        }
    }
}

/// What plain TCP does with as many connections.
struct RawCrowd {
    /// Telling all and having all replies, in seconds.
    tell_s: f64,
    /// Memory of the process with all connections, in MB.
    memory_mb: f64,
}

impl RawCrowd {
    fn measure(minions: usize, runs: usize) -> Self {
        let mut raw = Raw::start(minions);
        let memory_mb = raw.memory_mb();
        let times: Vec<f64> = (0..runs).map(|_| raw.tell_s()).collect();
        Self { tell_s: median(&times), memory_mb }
    }
}

/// What it cost to let them all in, who came at the same time and with nothing to resume.
fn arrived(bench: &mut Bench, crowd: &Gathered, size: usize, raw: &RawCrowd) {
    let crypto = bench.limits.crypto(bench.keys());
    let minions = crowd.minions as f64;
    bench.costs.entry("growth_storm").or_default().push((minions, crowd.arrival_cpu_s));
    let memory = crowd.memory_mb() - crowd.alone_mb;
    bench.costs.entry("growth_memory").or_default().push((minions, memory));
    if size == 1 {
        let rate = minions / crowd.arrival_cpu_s;
        let name = format!(
            "1 verification of {} bits, 2 X25519 exchanges, 1 X25519 key; the swarm signed for {:.1} CPU s",
            crypto.bits,
            crowd.signing_s()
        );
        bench.put("handshakes_per_s", rate, Limit::of(1.0 / crypto.handshake_s(), name), crowd.minions);
    }
    if size == 2 {
        let name = format!("the crypto of both sides on all cores, {} bits", crypto.bits);
        let limit = Limit::of(crypto.both_sides_s() * minions / cores(), name);
        bench.put("storm_cold_10000_s", crowd.arrival_s, limit, crowd.minions);
        let each = (raw.memory_mb - bench.limits.echo().idle_mb) * 1000.0 / minions;
        let limit = Limit::of(2.0 * each, "two connections of a process that only answers");
        bench.put("master_kb_per_minion", 1000.0 * memory / minions, limit, crowd.minions);
    }
}

/// What they cost while nothing is asked of them but to be there.
fn idle(bench: &mut Bench, crowd: &Gathered, size: usize) {
    let is_wanted = size == 2 && bench.wants("idle_cpu_pct_10000");
    if !is_wanted && !bench.wants("growth_idle_cpu") {
        return;
    }
    sleep(SETTLES.min(bench.scale.idle));
    let before = crowd.busy_s();
    let watched = timed(|| sleep(bench.scale.idle));
    let percent = 100.0 * (crowd.busy_s() - before) / watched;
    let minions = crowd.minions as f64;
    bench.costs.entry("growth_idle_cpu").or_default().push((minions, percent));
    if size == 2 {
        let (echo, crypto) = (bench.limits.echo(), bench.limits.crypto(bench.keys()));
        let each = echo.cpu_s + crypto.seal_open_s;
        let every = bench.scale.heartbeat;
        let name = format!("a beat each way every {every} s: plain TCP, AES-256-GCM");
        let limit = Limit::of(100.0 * minions * each / every, name);
        bench.put("idle_cpu_pct_10000", percent, limit, crowd.minions);
    }
}

/// The master is killed under them and started again.
fn storm(bench: &mut Bench, crowd: &mut Gathered) {
    let signed = crowd.signing_s();
    let (wall, cpu) = crowd.restart();
    let signed = crowd.signing_s() - signed;
    let resumed = crowd.fleet.counter(RESUMED);
    let crypto = bench.limits.crypto(bench.keys());
    let minions = crowd.minions as f64;
    let name = |what: &str| {
        let bits = crypto.bits;
        format!("cold: {what}, {bits} bits; {resumed} have resumed, the swarm signed for {signed:.1} CPU s")
    };
    let both =
        Limit::of(crypto.both_sides_s() * minions / cores(), name("the crypto of both sides on all cores"));
    bench.put("storm_10000_s", wall, both, crowd.minions);
    let ours = Limit::of(crypto.handshake_s() * minions, name("the master's crypto"));
    bench.put("storm_10000_cpu_s", cpu, ours, crowd.minions);
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}
