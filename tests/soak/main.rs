//! The long run: a thousand simulated minions, mixed work, and a master that must not grow.
//!
//! `make soak` runs it; `SOAK_MINUTES` (20) says for how long. After a warm-up of five minutes, or a
//! fifth of a shorter run, the master's memory, descriptors, threads and disk are sampled every ten
//! seconds. It fails when one of them certainly grows by more than 1 % an hour (see [`slope`]; memory
//! counts from the tenth minute on, when the store's has levelled off), when round trips at the end
//! are slower than at the start, or when any row of any job ends otherwise than it has to. Runs that
//! are too short for a slope say so and judge the rest.

mod load;
mod sample;
mod slope;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brine_tests::swarm::{Options, Pool, Swarm, provision, usage};
use brine_tests::{Fleet, eventually};

use load::{Kind, Load};

/// Connected minions. The work names a thousand ids.
const MINIONS: usize = 1000;

/// Minions that are let in and never come.
const ABSENT: usize = 10;

/// Seconds between samples.
const EVERY: f64 = 10.0;

/// Samples of which one is shown while it runs.
const TOLD_EVERY: usize = 6;

/// Seconds of a bucket of the store at the shortest, and what is kept.
const BUCKET: f64 = 60.0;

/// Seconds until what is sampled levels off, in the order of the names. With each of the first eight or
/// nine databases that are filled and dropped, the memory of sled grows, alone in a process as well,
/// and then stays; the first bucket is dropped after three.
const LEVELS_AFTER: [f64; 4] = [10.0 * BUCKET, 4.0 * BUCKET, 4.0 * BUCKET, 4.0 * BUCKET];

/// Growth that is allowed, in percent of the mean an hour.
const GROWTH_MAX: f64 = 1.0;

/// How much slower the end may be than the start: this factor, or so many milliseconds.
const SLOWER_MAX: (f64, f64) = (1.25, 5.0);

fn main() -> ExitCode {
    let minutes = std::env::var("SOAK_MINUTES").ok().map_or(Ok(20.0), |text| text.parse::<f64>());
    let Some(minutes) = minutes.ok().filter(|minutes| (1.0..=100_000.0).contains(minutes)) else {
        eprintln!("SOAK_MINUTES is a number of minutes, at least 1");
        return ExitCode::FAILURE;
    };
    if std::env::var_os("BRINE_BIN_DIR").is_none() {
        eprintln!("BRINE_BIN_DIR names the folder of the programs; `make soak` sets it");
        return ExitCode::FAILURE;
    }
    let total = minutes * 60.0;
    let warm_up = if total < 1200.0 { total / 5.0 } else { 300.0 };
    let faults = run(total, warm_up);
    for fault in &faults {
        println!("FAILED: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(total: f64, warm_up: f64) -> Vec<String> {
    let _ = usage::raise_descriptor_limit();
    let mut fleet = Fleet::prepare_with_ports("keep_jobs_seconds: 60\nheartbeat: 5\n");
    let options = Options::local(MINIONS, fleet.publish_port, fleet.ret_port);
    let away = Options { minions: ABSENT, prefix: "away-".to_owned(), ..options.clone() };
    let keys = Pool::fixed();
    for options in [&options, &away] {
        provision::accept(&fleet.root(), Swarm::ids(options), &keys).expect("a master that does not run");
    }
    fleet.start_master();
    let pid = fleet.master().pid();
    let swarm = Swarm::start(options, keys).expect("threads can be started");
    eventually(120.0, "all minions are in", || swarm.stats().live() == MINIONS);
    println!("{MINIONS} minions are in; {total:.0} s of work, of which {warm_up:.0} s warm-up");

    let load = Arc::new(Load {
        api: fleet.api(),
        stop: AtomicBool::new(false),
        begun: Instant::now(),
        trips: Mutex::default(),
        jobs: AtomicU64::new(0),
        rows: Mutex::default(),
        faults: Mutex::default(),
        minions: (MINIONS, ABSENT),
    });
    let workers = Kind::ALL.map(|kind| {
        let load = Arc::clone(&load);
        std::thread::spawn(move || load.work(kind))
    });
    let cpu_before = usage::cpu_of(pid).unwrap_or_default();
    let mut samples: Vec<(f64, [f64; 4])> = Vec::new();
    let folder = fleet.root().join("var/lib/brine/master");
    let sleep_until = |at: f64| {
        let wait = at - load.begun.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs_f64(wait.max(0.0)));
    };
    let times = (0..).map(|n| warm_up + f64::from(n) * EVERY).take_while(|at| *at <= total);
    for at in times {
        sleep_until(at);
        let Some(sample) = sample::take(pid, &folder) else {
            load.faults.lock().expect("no holder panics").push("the master is gone".to_owned());
            break;
        };
        if samples.len().is_multiple_of(TOLD_EVERY) {
            eprintln!("{}", told(load.begun.elapsed().as_secs_f64(), &sample));
        }
        samples.push((load.begun.elapsed().as_secs_f64(), sample));
    }
    sleep_until(total);
    load.stop.store(true, Ordering::Relaxed);
    let mut faults = Vec::new();
    for (kind, worker) in Kind::ALL.iter().zip(workers) {
        if worker.join().is_err() {
            faults.push(format!("the work of {kind:?} ended in a panic"));
        }
    }
    let cpu = usage::cpu_of(pid).unwrap_or_default().saturating_sub(cpu_before);
    let rows: BTreeMap<String, u64> = load.rows.lock().expect("no holder panics").clone();
    println!(
        "{} jobs, rows {rows:?}; the master used {:.1} % of a core",
        load.jobs.load(Ordering::Relaxed),
        100.0 * cpu.as_secs_f64() / load.begun.elapsed().as_secs_f64()
    );
    faults.extend(load.faults.lock().expect("no holder panics").iter().take(20).cloned());
    faults.extend(growth(&samples));
    faults.extend(slowness(&load.trips.lock().expect("no holder panics"), warm_up, total));
    swarm.stop();
    if !fleet.master().stop().success() {
        faults.push("the master did not stop well".to_owned());
    }
    faults
}

fn told(at: f64, sample: &[f64; 4]) -> String {
    let named = sample::NAMES.iter().zip(sample).map(|(name, value)| format!("{name} {value:.1}"));
    format!("{:>5.1} min  {}", at / 60.0, named.collect::<Vec<_>>().join(", "))
}

/// Prints what was sampled, and says what certainly grows.
fn growth(samples: &[(f64, [f64; 4])]) -> Vec<String> {
    println!(
        "\n{:<14} {:>9} {:>9} {:>9} {:>9}  slope (% an hour)",
        "master", "first", "last", "least", "most"
    );
    let mut faults = Vec::new();
    for (at, name) in sample::NAMES.iter().enumerate() {
        let values: Vec<(f64, f64)> = samples.iter().map(|(time, sample)| (*time, sample[at])).collect();
        let Some((first, last)) = values.first().zip(values.last()) else { continue };
        let least = values.iter().map(|value| value.1).fold(f64::INFINITY, f64::min);
        let most = values.iter().map(|value| value.1).fold(0.0, f64::max);
        let level = |(time, _): &(f64, f64)| *time >= LEVELS_AFTER[at];
        let level: Vec<(f64, f64)> = values.iter().copied().filter(level).collect();
        let fitted = slope::fit(&level, BUCKET);
        let said = fitted.map_or("not judged: too short a run".to_owned(), |slope| {
            format!("{:+.2} ± {:.2}", slope.percent, slope.noise)
        });
        println!("{name:<14} {:>9.1} {:>9.1} {least:>9.1} {most:>9.1}  {said}", first.1, last.1);
        if let Some(slope) = fitted.filter(|slope| slope.is_above(GROWTH_MAX)) {
            faults.push(format!(
                "{name} grows by {:.2} ± {:.2} % an hour, more than {GROWTH_MAX}",
                slope.percent, slope.noise
            ));
        }
    }
    faults
}

/// Prints how long round trips took, and says what became slower.
fn slowness(trips: &[(f64, f64)], from: f64, to: f64) -> Vec<String> {
    let fifth = (to - from) / 5.0;
    let of = |from: f64, to: f64| {
        let mut took: Vec<f64> =
            trips.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, took)| *took).collect();
        took.sort_by(f64::total_cmp);
        took
    };
    let (start, end) = (of(from, from + fifth), of(to - fifth, to));
    if start.is_empty() || end.is_empty() {
        return vec!["no round trips were measured at the start or at the end".to_owned()];
    }
    println!("\nround trip of one ping, durable, under load ({} and {} of them)", start.len(), end.len());
    println!("{:<14} {:>9} {:>9}", "", "start ms", "end ms");
    let mut faults = Vec::new();
    for (name, share) in [("median", 0.5), ("p99", 0.99)] {
        let at = |took: &[f64]| took[((took.len() - 1) as f64 * share).round() as usize];
        let (start, end) = (at(&start), at(&end));
        println!("{name:<14} {start:>9.1} {end:>9.1}");
        let (factor, more) = SLOWER_MAX;
        if end > (start * factor).max(start + more) {
            faults.push(format!("the {name} of round trips went from {start:.1} ms to {end:.1} ms"));
        }
    }
    faults
}
