//! The daemons as first process of a container, in a process namespace of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use brine_tests::fleet::Fleet;
use brine_tests::process::Process;
use brine_tests::{eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run;

/// The same command with a namespace in which it is the first process.
fn as_first(command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.arg(command.get_program()).args(command.get_args()).env_remove("RUST_LOG");
    unshare
}

pub(crate) fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn state_and_name(pid: i32) -> Option<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    Some((after.trim().chars().next()?, before.split_once('(')?.1.to_owned()))
}

/// The first process of the namespace that this `unshare` made, seen from here.
fn first(unshare: &Process) -> i32 {
    within(10.0, "the first process is there", || children(unshare.pid()).first().copied())
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn start_master(fleet: &mut Fleet) {
    let command = as_first(&fleet.command("brine-master", &[]));
    let process = Process::start(command, &fleet.dir().join("master.log"));
    let socket = fleet.root().join("run/brine/control.sock");
    let state = within(10.0, "the master listens", || fleet.state().filter(|_| socket.exists()));
    let port = |name: &str| u16::try_from(state[name].as_u64().unwrap()).unwrap();
    (fleet.publish_port, fleet.ret_port) = (port("publish_port"), port("ret_port"));
    fleet.master = Some(process);
}

#[test]
fn a_master_reloads_and_stops() {
    for (stop, options) in [(Signal::SIGTERM, "max_minions: 3\n"), (Signal::SIGINT, "max_minions: 4\n")] {
        let mut fleet = Fleet::prepare("");
        start_master(&mut fleet);
        let pid = first(fleet.master());
        fleet.set_options(options);
        // From within, as `docker exec` does: what no handler waits for never reaches a first process.
        let target = pid.to_string();
        run(&["nsenter", "--target", &target, "--pid", "--mount", "kill", "-HUP", "1"]).expect(0);
        eventually(10.0, "it has reloaded", || fleet.log().contains("the configuration was reloaded"));
        assert_eq!(fleet.health()["status"], "ok");
        signal(pid, stop);
        assert!(fleet.master().wait(10.0).success(), "{}", fleet.log());
        assert!(fleet.log().contains("stopped") && fleet.state().is_none(), "{}", fleet.log());
    }
}

#[test]
fn a_minion_leaves_no_zombie_and_stops() {
    let mut fleet = Fleet::prepare_with_ports("auto_accept: true\n");
    fleet.start_master();
    let mut minion = fleet.prepare_minion("m1");
    let log = fleet.dir().join("m1.log");
    minion.process = Some(Process::start(as_first(&minion.command(&[])), &log));
    fleet.until_up("m1");
    let pid = first(minion.process());
    // Grandchildren that outlive their parents, and one that nobody waits for.
    let orphans =
        "for i in 1 2 3 4 5; do setsid sh -c 'echo $$ >> orphans; sleep 0.1 & sleep 0.2' & done; exit 7";
    let job = format!("cd {}; {orphans}", fleet.dir().display());
    for round in 1..=3 {
        // The end of the minion's own child is the minion's to hear.
        let done = fleet.brine(&["m1", "cmd.retcode", &job, "--out", "json", "--static"]);
        assert_eq!(done.json()["m1"], 7, "{done:?}");
        let started = || lines(&fleet.dir().join("orphans"));
        eventually(10.0, "the orphans have run", || started() == 5 * round);
    }
    let daemon = children(pid)[0];
    assert_eq!(state_and_name(daemon).unwrap().1, "brine-minion");
    eventually(10.0, "all orphans are buried", || children(pid) == [daemon] && children(daemon).is_empty());

    signal(pid, Signal::SIGHUP);
    eventually(10.0, "it has reloaded", || minion.log().contains("the configuration was reloaded"));
    signal(pid, Signal::SIGTERM);
    assert!(minion.process().wait(10.0).success(), "{}", minion.log());
    eventually(5.0, "it has said goodbye", || fleet.presence("m1") == "offline");
}

#[test]
fn what_ends_the_daemon_ends_the_first_process_the_same_way() {
    let fleet = Fleet::prepare("open_mode: true\n");
    let mut refused =
        Process::start(as_first(&fleet.command("brine-master", &[])), &fleet.dir().join("refused.log"));
    assert_eq!(refused.wait(10.0).code(), Some(1), "{}", refused.log());
    assert!(refused.log().contains("open_mode"), "{}", refused.log());

    let mut fleet = Fleet::prepare("");
    start_master(&mut fleet);
    let daemon = children(first(fleet.master()))[0];
    signal(daemon, Signal::SIGKILL);
    assert_eq!(fleet.master().wait(10.0).code(), Some(137), "{}", fleet.log());
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}
