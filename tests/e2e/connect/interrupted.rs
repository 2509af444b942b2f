//! brine-connect.sh when it is killed: the next run does the rest, and no private key is left about.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use brine_tests::Done;
use brine_tests::fixtures::{key_file, place_key};

use super::machine::Machine;

/// What the script writes with.
const STEPS: [&str; 6] = ["cp", "mkdir", "mktemp", "mv", "rm", "sync"];

/// Stands before the real programs: counts the steps, and kills the script after one of them.
const STEP: &str = r#"#!/bin/sh
here=${0%/*}
PATH=${PATH#*:}
"${0##*/}" "$@"
ended=$?
echo "${0##*/} $*" >>"$here/steps"
[ "$(wc -l <"$here/steps")" -ne "$KILL_AFTER" ] || kill -s KILL $PPID
exit $ended
"#;

/// Runs the script until it has done so many steps, and says which was the last.
fn killed_after(machine: &Machine, step: usize, arguments: &[&str]) -> (Done, String) {
    let folder = machine.fleet.dir().join("steps");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("text"), STEP).unwrap();
    // What is run must not be open for writing, as it may be in a child that another test starts.
    let mut install = Command::new("install");
    install.args(["-m", "700"]).args([folder.join("text"), folder.join("step")]);
    Done::run(install).expect(0);
    for name in STEPS {
        symlink("step", folder.join(name)).unwrap();
    }
    let mut command: Command = machine.command(arguments);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value).unwrap();
    let path = format!("{}:{}", folder.display(), path.display());
    let done = Done::run({
        command.env("PATH", path).env("KILL_AFTER", step.to_string());
        command
    });
    let steps = fs::read_to_string(folder.join("steps")).unwrap_or_default();
    (done, steps.lines().last().unwrap_or_default().to_owned())
}

/// What the script made for itself, and has to take away.
fn leftovers(machine: &Machine) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| path.to_string_lossy().contains("/.brine-");
    machine.tree().into_keys().filter(is_ours).collect()
}

fn is_somewhere(machine: &Machine, content: &str) -> bool {
    machine.tree().values().any(|found| found.content.as_deref() == Some(content.as_bytes()))
}

#[test]
fn killed_after_any_step_the_next_run_does_the_rest() {
    let key = |name: &str| fs::read_to_string(key_file(name)).unwrap();
    let (earlier, new) = (key("m2.pem"), key("m1.pem"));
    let mut machine = Machine::new();
    let bundle = machine.place_bundle(&machine.bundle());
    let flags = ["--bundle", &bundle, "--yes"];
    let mut left = 0;
    for step in 1.. {
        machine.renew();
        machine.connect(&["--id", "old1"]).expect(0);
        place_key("m2", &machine.file("pki/minion"), "minion");

        let (done, last) = killed_after(&machine, step, &flags);
        let at = format!("step {step}: {last}");
        assert!(is_somewhere(&machine, &earlier), "the earlier key is lost, {at}");
        left += usize::from(!leftovers(&machine).is_empty());
        let is_whole = done.code == 0;
        assert!(is_whole || done.code == 137, "{at}: {done:?}");

        let done = machine.run(&flags).expect(0);
        assert_eq!(machine.text("pki/minion/minion.pem"), new, "{at}: {}", done.stdout);
        assert_eq!(machine.text("pki/minion/minion_master.pub"), key("master.pub"), "{at}");
        assert!(machine.text("minion.yaml").contains("\nid: 'web1'\n"), "{at}");
        assert_eq!(leftovers(&machine), Vec::<PathBuf>::new(), "{at}");
        if is_whole {
            assert!(step > 15 && left > 5, "after {step} steps there was nothing to heal ({left})");
            return;
        }
    }
}

#[test]
fn what_a_killed_run_left_goes_even_if_nothing_else_does() {
    let machine = Machine::new();
    let left = machine.file(".brine-connect.a1B2c3");
    let leave = || {
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("minion.pem"), "8317").unwrap();
    };
    leave();
    let done = machine.run(&["--uninstall"]).expect(0);
    assert!(done.stdout.contains("nothing to remove") && !left.exists(), "{}", done.stdout);
    machine.connect(&["--id", "web1"]).expect(0);
    leave();
    machine.connect(&["--id", "web1", "--dry-run"]).expect(0);
    assert!(left.exists());
    let done = machine.connect(&["--id", "web1"]).expect(0);
    assert!(done.stdout.contains("nothing to change") && !left.exists(), "{}", done.stdout);
    leave();
    machine.run(&["--uninstall", "--yes"]).expect(0);
    assert!(!left.exists());
}

#[test]
fn a_reader_that_goes_away_leaves_nothing_behind() {
    let machine = Machine::new();
    let bundle = machine.place_bundle(&machine.bundle());
    // An identity of before, so that something is said while the folder with the key still stands.
    place_key("m2", &machine.file("pki/minion"), "minion");
    let script = machine.command(&["--bundle", &bundle, "--yes"]);
    let mut command = Command::new("bash");
    command.args(["-c", "set -o pipefail; \"$@\" | true", "bash"]);
    command.arg(script.get_program()).args(script.get_args());
    for (name, value) in script.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let done = Done::run(command);
    assert_eq!(done.code, 141, "{done:?}");
    assert_eq!(leftovers(&machine), Vec::<PathBuf>::new());
}
