//! Salt on the same machine, where a Python has it: one master, one minion, the same question.

use std::fs;
use std::path::Path;
use std::process::Command;

use brine_tests::Process;
use brine_tests::fixtures::{reserve_port, short_dir};
use brine_tests::within;
use nix::sys::signal::Signal;

use crate::bench::Bench;
use crate::numbers::median;
use crate::program::run_s;

/// What this group measures.
pub const NAMES: &[&str] = &["salt_cli_one_ms"];

/// Salt needs half a minute until its minion answers for the first time.
const STARTS: f64 = 120.0;

/// Its daemons end their children one after the other.
const ENDS: f64 = 30.0;

/// Calls, of which the median is taken.
const CALLS: usize = 5;

/// Measures Salt's command line with the Python that was given.
///
/// # Panics
/// Salt does not start, or its minion does not answer.
pub fn measure(bench: &mut Bench, python: &Path) {
    let folder = short_dir();
    let (publish, ret) = (reserve_port(), reserve_port());
    let root = folder.path().display();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let user = user.map_or_else(|| "root".to_owned(), |user| user.name);
    let common = format!("root_dir: {root}\nuser: {user}\npublish_port: {}\n", publish.0);
    let master = format!("{common}interface: 127.0.0.1\nret_port: {}\nauto_accept: true\n", ret.0);
    let minion = format!("{common}master: 127.0.0.1\nmaster_port: {}\nid: one\n", ret.0);
    for (name, text) in [("master", master), ("minion", minion)] {
        fs::write(folder.path().join(name), text).expect("a temporary directory");
    }
    let command = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(python);
        command.arg("-c").arg(format!("from salt.scripts import {name}; {name}()"));
        command.arg("-c").arg(folder.path()).args(arguments);
        command
    };
    let daemon = |name: &str| Process::start(command(name, &[]), &folder.path().join(format!("{name}.log")));
    let mut daemons = [daemon("salt_master"), daemon("salt_minion")];
    let ping = || command("salt_main", &["one", "test.ping", "--out", "json"]);
    within(STARTS, "the Salt minion answers", || {
        let output = ping().output().ok()?;
        String::from_utf8_lossy(&output.stdout).contains("true").then_some(())
    });
    let times: Vec<f64> = (0..CALLS).map(|_| run_s(ping()) * 1e3).collect();
    bench.put("salt_cli_one_ms", median(&times), None, CALLS);
    for daemon in &mut daemons {
        daemon.signal(Signal::SIGTERM);
    }
    for daemon in &mut daemons {
        let _ = daemon.wait(ENDS);
    }
}

/// Whether this Python has Salt; one sentence if not.
///
/// # Errors
/// It cannot be run, or does not import `salt`.
pub fn check(python: &Path) -> Result<(), String> {
    let status = Command::new(python).args(["-c", "import salt.scripts"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{} cannot import salt; name a Python that can", python.display())),
        Err(error) => Err(format!("cannot run {}: {error}", python.display())),
    }
}
