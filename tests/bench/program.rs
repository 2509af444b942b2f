//! Programs, timed from their start: those of operators to their end, a master until it listens.

use std::process::{Command, Stdio};

use brine_tests::{Fleet, Process};

use crate::bench::{Bench, timed, until};
use crate::numbers::median;

/// A master that has not listened by then never will, on any machine.
const STARTS: f64 = 120.0;

/// Runs a program to its end and returns its seconds. What it prints goes nowhere.
///
/// # Panics
/// It fails.
#[must_use]
pub fn run_s(mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    timed(|| {
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(status.success(), "{command:?}: {status}");
    })
}

/// The median of as many runs as the scale says, in milliseconds, and how many those were.
#[must_use]
pub fn runs_ms(bench: &Bench, command: impl Fn() -> Command) -> (f64, usize) {
    let times = times_ms(bench, command);
    (median(&times), times.len())
}

/// As many runs as the scale says, in milliseconds each.
#[must_use]
pub fn times_ms(bench: &Bench, command: impl Fn() -> Command) -> Vec<f64> {
    (0..bench.scale.runs).map(|_| run_s(command()) * 1e3).collect()
}

/// Starts the master of a fleet; the seconds until it listens.
///
/// # Panics
/// It ends, or does not listen in time.
#[must_use]
pub fn start_s(fleet: &mut Fleet) -> f64 {
    timed(|| {
        let process = Process::start(fleet.command("brine-master", &[]), &fleet.dir().join("master.log"));
        let pid = process.pid();
        fleet.master = Some(process);
        until(STARTS, "the master listens", || {
            assert!(fleet.master().is_alive(), "the master ended");
            fleet.state().is_some_and(|state| state["pid"] == pid)
        });
    })
}
