//! A second real user at the control socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::{Done, Fleet};

use crate::command;

/// The command that runs a program as `nobody` on the fleet's root. It is copied to where that user
/// may read it, and the way to the socket is opened: file modes are not what is tested here.
pub(crate) fn nobody(fleet: &Fleet, name: &str, arguments: &[&str]) -> Command {
    let copy = fleet.dir().join(name);
    fs::copy(program(name), &copy).unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(fleet.dir(), 0o755);
    open(&fleet.root(), 0o755);
    open(&fleet.root().join("run"), 0o755);
    open(&fleet.root().join("run/brine"), 0o755);
    open(&fleet.root().join("run/brine/control.sock"), 0o666);
    let root = fleet.root();
    let mut words = vec!["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    let copy = copy.to_str().unwrap().to_owned();
    words.extend([copy.as_str(), "--root-dir", root.to_str().unwrap()]);
    words.extend(arguments);
    command(&words)
}

fn as_nobody(fleet: &Fleet, name: &str, arguments: &[&str]) -> Done {
    Done::run(nobody(fleet, name, arguments))
}

#[test]
fn another_user_is_refused_until_listed() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    as_nobody(&fleet, "brine", &["m1", "test.ping"]).refused(4, &["nobody"]);
    let keys = as_nobody(&fleet, "brine-key", &["-d", "m1", "-y"]);
    assert_ne!(keys.code, 0, "{keys:?}");
    fleet.ping("m1");
    assert!(
        fleet
            .api()
            .get("/v1/jobs")
            .json()
            .as_array()
            .unwrap()
            .iter()
            .all(|job| { !job["principal"].as_str().unwrap().contains("nobody") })
    );

    assert!(fleet.master().stop().success());
    fleet.set_options("roles:\n  nobody: {role: operator, functions: ['test.*']}\n");
    fleet.start_master();
    fleet.until_up("m1");
    let pong = as_nobody(&fleet, "brine", &["m1", "test.ping"]).expect(0);
    assert_eq!(pong.stdout, "m1:\n    True\n");
    as_nobody(&fleet, "brine", &["m1", "cmd.run", "id"]).refused(4, &["cmd.run"]);
    as_nobody(&fleet, "brine", &["--as", "root", "m1", "test.ping"]).refused(4, &["nobody"]);
    let jobs = fleet.api().get("/v1/jobs").json();
    assert!(jobs[0]["principal"].as_str().unwrap().contains("nobody"), "{jobs}");
}

#[test]
fn another_user_without_the_socket_is_told_so() {
    let fleet = Fleet::start();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let _ = as_nobody(&fleet, "brine", &["jobs", "list"]);
    open(&fleet.root().join("run/brine/control.sock"), 0o660);
    let copy = fleet.dir().join("brine");
    let root = fleet.root();
    let words = [
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        copy.to_str().unwrap(),
        "--root-dir",
        root.to_str().unwrap(),
        "jobs",
        "list",
    ];
    let done = Done::run(command(&words));
    assert!(done.code == 3 || done.code == 4, "{done:?}");
    assert!(done.stderr.to_lowercase().contains("permission") || done.stderr.contains("may not"), "{done:?}");
}

#[test]
fn a_minion_runs_commands_as_another_user() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let who = fleet.brine(&["m1", "cmd.run", "id -un", "runas=nobody", "cwd=/"]).expect(0);
    assert_eq!(who.stdout, "m1:\n    nobody\n");
}
