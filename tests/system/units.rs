//! The service files, as systemd judges them.

use std::fs;
use std::path::Path;
use std::process::Command;

use brine_tests::process::Done;

/// The exposure from which a service is no longer called well protected by this project.
const EXPOSURE_MAX: f64 = 4.0;

fn analyze(arguments: &[&str]) -> Done {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    Done::run(command)
}

fn unit(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    root.join(name).display().to_string()
}

#[test]
fn the_service_of_the_master_is_locked_in() {
    let done = analyze(&["security", "--offline=yes", &unit("master/brine-master.service")]);
    let last = done.stdout.lines().last().expect("a verdict").to_owned();
    let level = last.split_once("brine-master.service: ").and_then(|(_, rest)| rest.split(' ').next());
    let level: f64 =
        level.and_then(|level| level.parse().ok()).unwrap_or_else(|| panic!("a number in {last}"));
    println!("{last}");
    assert!(level <= EXPOSURE_MAX, "{}", done.stdout);
}

/// Whatever confines the minion confines the commands that operators run with it.
#[test]
fn the_service_of_the_minion_confines_no_command() {
    let text = fs::read_to_string(unit("minion/brine-minion.service")).unwrap();
    let settings: Vec<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let known = [
        "Description",
        "Wants",
        "After",
        "StartLimitIntervalSec",
        "Type",
        "ExecStart",
        "ExecReload",
        "Restart",
        "RestartSec",
        "WatchdogSec",
        "TimeoutStopSec",
        "KillMode",
        "OOMPolicy",
        "TasksMax",
        "LimitNOFILE",
        "WantedBy",
    ];
    for setting in settings.iter().filter(|line| !line.starts_with('#')) {
        assert!(known.contains(setting), "is a command confined by {setting}?");
    }
    assert!(text.contains("\nKillMode=process\n"));
}

#[test]
fn systemd_understands_every_line() {
    let folder = tempfile::tempdir().unwrap();
    for (name, program) in [("master/brine-master", "brine-master"), ("minion/brine-minion", "brine-minion")]
    {
        let text = fs::read_to_string(unit(&format!("{name}.service"))).unwrap();
        // The program and its page need not be installed where this is tested.
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with("Documentation=man:"))
            .map(|line| format!("{line}\n"))
            .collect();
        let copy = folder.path().join(format!("{program}.service"));
        fs::write(&copy, text.replace(&format!("/usr/bin/{program}"), "/bin/true")).unwrap();
        let done = analyze(&["verify", &copy.display().to_string()]);
        let said = format!("{}{}", done.stdout, done.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(program)).collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
}
