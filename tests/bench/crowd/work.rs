//! Orders to a crowd: to one at a time, to half, to all, and as many returns as the store takes.

use std::time::Instant;

use brine_tests::fleet::job;
use brine_tests::swarm;
use serde_json::{Value, json};

use super::gathered::Gathered;
use super::{HUNDRED, RawCrowd, TEN_THOUSAND, THOUSAND};
use crate::alone::job_limit;
use crate::bench::{Bench, until};
use crate::jobs;
use crate::limits::BATCH;
use crate::numbers::median;
use crate::program::run_s;
use crate::row::Limit;

/// Nothing here takes longer.
const PATIENCE: f64 = 120.0;

/// What the text of a stored return has.
const RETURN_BYTES: usize = 500;

/// The names of orders to all, by crowd.
const BROADCASTS: [Option<&str>; 5] =
    [Some("broadcast_100_s"), None, Some("broadcast_1000_s"), None, Some("broadcast_10000_s")];

/// All that is wanted of this crowd.
pub fn measure(bench: &mut Bench, crowd: &mut Gathered, size: usize, raw: &RawCrowd) {
    let runs = bench.scale.broadcasts[size];
    let name = BROADCASTS[size];
    if name.is_some_and(|name| bench.wants(name)) || bench.wants("growth_broadcast") {
        let times = orders_s(crowd, &jobs::ping("*"), crowd.minions, runs);
        let point = (crowd.minions as f64, median(&times));
        bench.costs.entry("growth_broadcast").or_default().push(point);
        if let Some(name) = name {
            let limit = limit(bench, raw, crowd.minions, crowd.minions);
            bench.put_runs(name, &times, limit, crowd.minions);
        }
    }
    if size == HUNDRED && bench.wants("jobs_per_s_100") {
        let minions = crowd.minions;
        let one = |number: usize| jobs::ping(swarm::id("swarm-", number % minions).as_str());
        let rate = jobs::rate(&crowd.fleet.api(), bench.scale.jobs, one);
        let limit = job_limit(bench);
        bench.put("jobs_per_s_100", rate, limit, minions);
    }
    if size == THOUSAND && bench.wants("returns_per_s") {
        returns(bench, crowd);
    }
    if size == TEN_THOUSAND {
        large(bench, crowd, raw, runs);
    }
}

fn large(bench: &mut Bench, crowd: &mut Gathered, raw: &RawCrowd, runs: usize) {
    if bench.wants("half_10000_s") {
        let half = crowd.minions.div_ceil(2);
        let mut even = jobs::ping("swarm-.*[02468]");
        even["target"]["kind"] = json!("pcre");
        let times = orders_s(crowd, &even, half, runs);
        let limit = limit(bench, raw, half, crowd.minions);
        bench.put_runs("half_10000_s", &times, limit, half);
    }
    if bench.wants("cli_all_10000_s") {
        let command = || crowd.fleet.command("brine", &["-y", "*", "test.ping", "--out", "json", "--static"]);
        let times: Vec<f64> = (0..runs).map(|_| run_s(command())).collect();
        let limit = limit(bench, raw, crowd.minions, crowd.minions);
        bench.put_runs("cli_all_10000_s", &times, limit, crowd.minions);
    }
    if bench.wants("master_mb_10000") {
        let limit = Limit::of(raw.memory_mb, "a process that only answers as many connections, one for each");
        bench.put("master_mb_10000", crowd.memory_mb(), limit, crowd.minions);
    }
}

/// Submits an order for so many, several times one after the other; the seconds until the last return of
/// each is durable.
fn orders_s(crowd: &Gathered, request: &Value, meant: usize, runs: usize) -> Vec<f64> {
    let api = crowd.fleet.api();
    (0..runs)
        .map(|_| {
            let before = crowd.stored();
            let begun = Instant::now();
            let _ = api.post("/v1/jobs", request).expect(201);
            // A minion hears that its return is stored when it is on the disk, and counts it here: the
            // same moment at which a client could know, without the cost of a client.
            until(PATIENCE, "all returns are durable", || crowd.stored() >= before + meant as u64);
            begun.elapsed().as_secs_f64()
        })
        .collect()
}

/// What telling so many and storing their returns takes at least: plain TCP to `connected`, of which so
/// many are told, and sled alone.
fn limit(bench: &Bench, raw: &RawCrowd, told: usize, connected: usize) -> Option<Limit> {
    let share = told as f64 / connected as f64;
    let stored = told as f64 / bench.limits.sled_rows_per_s(BATCH.min(told));
    Limit::of(raw.tell_s() * share + stored, "plain TCP to all and back, and sled alone with as many rows")
}

/// The same several times: other work on the machine shows.
const RETURN_RUNS: usize = 3;

fn returns(bench: &mut Bench, crowd: &Gathered) {
    let api = crowd.fleet.api();
    let request = job("*", "swarm.reply", &[json!(RETURN_BYTES)]);
    let wanted = bench.scale.return_jobs * crowd.minions;
    let rates: Vec<f64> = (0..RETURN_RUNS)
        .map(|_| {
            let before = crowd.stored();
            let begun = Instant::now();
            for _ in 0..bench.scale.return_jobs {
                let _ = api.post("/v1/jobs", &request).expect(201);
            }
            until(PATIENCE, "all returns are durable", || crowd.stored() >= before + wanted as u64);
            wanted as f64 / begun.elapsed().as_secs_f64()
        })
        .collect();
    let batch = BATCH.min(crowd.minions);
    let name = format!("sled alone, {batch} rows to a flush");
    bench.put_runs("returns_per_s", &rates, Limit::of(bench.limits.sled_rows_per_s(batch), name), wanted);
}
