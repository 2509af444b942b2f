//! Salt on the same machine, where a Python has it: one master, one minion, the same question.

use std::fs;
use std::path::Path;
use std::process::Command;

use brine_tests::fixtures::{reserve_port, short_dir};
use brine_tests::process::rss_kib;
use brine_tests::{Done, Process, within};
use nix::sys::signal::Signal;

use crate::bench::Bench;
use crate::program::run_s;

/// What this group measures.
pub const NAMES: &[&str] = &["salt_cli_one_ms", "salt_api_rtt_p50_ms", "salt_minion_rss_mb"];

/// Salt needs half a minute until its minion answers for the first time.
const STARTS: f64 = 120.0;

/// Its daemons end their children one after the other.
const ENDS: f64 = 30.0;

/// Calls, of which the median is taken.
const CALLS: usize = 5;

/// The same question by its Python client, in one process, as often as the second argument says; prints
/// the seconds of each, after one that does not count.
const CLIENT: &str = "
import json, sys, time
import salt.client
client = salt.client.LocalClient(c_path=sys.argv[1])
times = []
for _ in range(int(sys.argv[2]) + 1):
    begun = time.monotonic()
    assert client.cmd('one', 'test.ping') == {'one': True}
    times.append(time.monotonic() - begun)
print(json.dumps(times[1:]))
";

/// Round trips by the Python client.
const TRIPS: usize = 20;

/// Measures Salt with the Python that was given.
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
    bench.put_runs("salt_cli_one_ms", &times, None, CALLS);
    let mut client = Command::new(python);
    client.args(["-c", CLIENT]).arg(folder.path().join("master")).arg(TRIPS.to_string());
    let seconds: Vec<f64> = serde_json::from_value(Done::run(client).expect(0).json()).expect("seconds");
    let trips: Vec<f64> = seconds.iter().map(|seconds| seconds * 1e3).collect();
    bench.put_runs("salt_api_rtt_p50_ms", &trips, None, TRIPS);
    let memory: u64 = tree(daemons[1].pid()).into_iter().map(rss_kib).sum();
    bench.put("salt_minion_rss_mb", memory as f64 * 1024.0 / 1e6, None, 1);
    for daemon in &mut daemons {
        daemon.signal(Signal::SIGTERM);
    }
    for daemon in &mut daemons {
        let _ = daemon.wait(ENDS);
    }
}

/// A process and all that it has started, and those.
fn tree(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children.flat_map(tree)).collect()
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
