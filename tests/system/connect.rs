//! brine-connect.sh as root of a fresh Debian, from the first look at the master to the last file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::fixtures::fingerprint;
use brine_tests::{Done, Fleet, eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::debian::{Debian, Found, changed};
use crate::first::children;
use crate::pairing::{record, server};
use crate::run;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keytool/brine-connect.sh");
const SYSTEMCTL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/system/systemctl.sh");

/// A fresh Debian with the script and the program carried to it, and the master that it is meant for.
struct Machine {
    debian: Debian,
    fleet: Fleet,
    sum: String,
}

impl Machine {
    fn new() -> Self {
        let (debian, fleet) = (Debian::boot(), Fleet::start());
        let minion = program("brine-minion");
        debian.carry(Path::new(SCRIPT), "/srv/brine-connect.sh", 0o644);
        debian.carry(&minion, "/srv/brine-minion", 0o755);
        let runs = debian.run(&["/srv/brine-minion", "--version"]);
        assert_eq!(runs.code, 0, "what is built here has to run on the Debian there: {}", runs.stderr);
        let sum = run(&["sha256sum", minion.to_str().unwrap()]).expect(0).stdout;
        Self { debian, fleet, sum: sum.split_whitespace().next().unwrap().to_owned() }
    }

    /// The script's command line with the program and these flags.
    fn words<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let start = ["dash", "/srv/brine-connect.sh", "--binary", "/srv/brine-minion", "--sha256", &self.sum];
        [&start, flags].concat()
    }

    fn connect(&self, flags: &[&str]) -> Done {
        self.debian.run(&self.words(flags))
    }

    /// The script without the program: what is installed is used.
    fn again(&self, flags: &[&str]) -> Done {
        self.debian.run(&[&["dash", "/srv/brine-connect.sh"], flags].concat())
    }

    fn until_connected(&self, id: &str) {
        eventually(20.0, "the record's minion is connected", || {
            server(&self.fleet, id)["link"]["connected"] == true
        });
    }

    /// What the script has changed, and who may do what with it.
    fn written(&self, before: &BTreeMap<String, Found>) -> Vec<(String, u32, (u32, u32))> {
        let now = self.debian.tree();
        let paths = changed(before, &now);
        paths.into_iter().map(|path| (path.clone(), now[&path].mode, now[&path].owner)).collect()
    }

    /// That nothing is left of it but the one backup, with these files in it.
    #[track_caller]
    fn is_left_with_a_backup(&self, before: &BTreeMap<String, Found>, kept: &[&str]) {
        let left = changed(before, &self.debian.tree());
        let [etc, backup, files @ ..] = &left[..] else { panic!("no backup: {left:?}") };
        assert!(etc == "etc/brine" && backup.starts_with("etc/brine/backup-"), "{left:?}");
        let names: Vec<&str> =
            files.iter().map(|path| path.strip_prefix(&format!("{backup}/")).unwrap()).collect();
        assert_eq!(names, kept);
        let rights = self.debian.tree()[backup].clone();
        assert_eq!((rights.mode, rights.owner), (0o700, (0, 0)));
    }
}

#[test]
fn a_bundle_connects_a_fresh_debian_and_is_taken_away_again() {
    let machine = Machine::new();
    let (debian, fleet) = (&machine.debian, &machine.fleet);
    let bundle = fleet.dir().join("bundle");
    let words =
        ["server", "create", "--name", "eluard", "--model", "scribe-2.9", "--zone", "Dijon", "--preseed"];
    let more = ["--master", "127.0.0.1", "-o", bundle.to_str().unwrap()];
    fleet.brine(&[&words[..], &more].concat()).expect(0);
    debian.carry(&bundle, "/srv/bundle", 0o600);
    let before = debian.tree();

    let wrong = "ab".repeat(32);
    let done = debian.run(&[
        "dash",
        "/srv/brine-connect.sh",
        "--bundle",
        "/srv/bundle",
        "--binary",
        "/srv/brine-minion",
        "--sha256",
        &wrong,
    ]);
    done.refused(5, &["checksum", "not installed"]);
    machine
        .connect(&["--bundle", "/srv/bundle", "--fingerprint", &wrong])
        .refused(4, &["two different masters"]);
    assert_eq!(changed(&before, &debian.tree()), [""; 0]);

    // Where nothing in the folder of temporary files may run, the program is not to blame.
    let mounted = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/tmp"];
    debian.run(&mounted).expect(0);
    machine.connect(&["--bundle", "/srv/bundle"]).refused(6, &["in /tmp", "noexec", "TMPDIR"]);
    let elsewhere = machine.words(&["--bundle", "/srv/bundle", "--dry-run"]);
    debian.run(&[&["env", "TMPDIR=/var/tmp"], &elsewhere[..]].concat()).expect(0);
    debian.run(&["umount", "/tmp"]).expect(0);
    assert_eq!(changed(&before, &debian.tree()), [""; 0]);

    let done = machine.connect(&["--bundle", "/srv/bundle"]).expect(0);
    assert!(
        done.stdout.contains("configured as eluard, whose key the master has accepted already"),
        "{done:?}"
    );
    assert_eq!(done.stderr, "");
    let root = (0, 0);
    // There is a folder for services, but nothing that would start them.
    assert!(debian.path("/etc/systemd/system").is_dir() && !debian.path("/usr/bin/systemctl").exists());
    let expected = [
        ("etc/brine", 0o755),
        ("etc/brine/minion.yaml", 0o644),
        ("etc/brine/pki", 0o755),
        ("etc/brine/pki/minion", 0o700),
        ("etc/brine/pki/minion/minion.pem", 0o600),
        ("etc/brine/pki/minion/minion_master.pub", 0o644),
        ("usr/local/bin/brine-minion", 0o755),
    ];
    assert_eq!(machine.written(&before), expected.map(|(path, mode)| (path.to_owned(), mode, root)));

    let after = debian.tree();
    for flags in
        [machine.words(&["--bundle", "/srv/bundle"]), machine.words(&["--bundle=/srv/bundle", "--yes"])]
    {
        let done = debian.run(&flags).expect(0);
        assert!(done.stdout.contains("nothing to change"), "{done:?}");
        assert_eq!(changed(&after, &debian.tree()), [""; 0]);
    }

    // There is no systemd here, and the words that it says instead start the minion.
    let said = done.stdout.lines().find_map(|line| line.split_once("start the minion with: "));
    let (_, by_hand) = said.unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(by_hand, "/usr/local/bin/brine-minion");
    let log = fleet.dir().join("eluard.log");
    let mut minion = debian.start(&[by_hand], &log);
    machine.until_connected("eluard");
    let answer =
        fleet.brine(&["server", "run", "eluard", "cmd.run", "id -un; cat /etc/debian_version"]).expect(0);
    let version = debian.text("/etc/debian_version");
    assert_eq!(answer.stdout, format!("eluard:\n    root\n    {version}"));
    assert!(!minion.log().contains("WARN") && !minion.log().contains("ERROR"), "{}", minion.log());

    // The bundle was for one machine, and this is it: the same again is still nothing.
    let running = debian.tree();
    machine.connect(&["--bundle", "/srv/bundle"]).expect(0);
    let touched = changed(&running, &debian.tree());
    assert!(touched.iter().all(|path| path.starts_with("var/lib/brine/minion")), "{touched:?}");

    machine.again(&["--uninstall"]).refused(2, &["no terminal to ask on", "--yes"]);
    machine.again(&["--uninstall", "--yes"]).refused(9, &["runs here still", "stop it first"]);
    let inside = within(5.0, "the minion runs", || children(minion.pid()).first().copied());
    kill(Pid::from_raw(inside), Signal::SIGTERM).unwrap();
    assert!(minion.wait(10.0).success(), "{}", minion.log());
    machine.again(&["--uninstall", "--yes"]).expect(0);
    let kept = [
        "minion.yaml",
        "pki",
        "pki/minion",
        "pki/minion/minion.pem",
        "pki/minion/minion.pub",
        "pki/minion/minion_master.json",
        "pki/minion/minion_master.pub",
    ];
    machine.is_left_with_a_backup(&before, &kept);
    let left = debian.tree();
    let done = machine.again(&["--uninstall"]).expect(0);
    assert!(done.stdout.contains("nothing to remove"), "{done:?}");
    assert_eq!(changed(&left, &debian.tree()), [""; 0]);
    assert_eq!(debian.leaks(), [""; 0]);
}

fn bring_systemd(debian: &Debian) {
    for folder in ["/run/systemd/system", "/var/tmp/systemd"] {
        std::fs::create_dir_all(debian.path(folder)).unwrap();
    }
    debian.carry(Path::new(SYSTEMCTL), "/usr/bin/systemctl", 0o755);
}

/// What systemd was asked since the last time somebody looked.
fn calls(debian: &Debian) -> Vec<String> {
    let calls = debian.text("/var/tmp/systemd/calls");
    debian.write("/var/tmp/systemd/calls", "", 0o644);
    let calls = calls.lines().map(|call| call.replace(" --quiet", "").replace(" brine-minion.service", ""));
    calls.collect()
}

#[test]
fn a_token_and_systemd_make_a_service_of_it() {
    let machine = Machine::new();
    let (debian, fleet) = (&machine.debian, &machine.fleet);
    bring_systemd(debian);
    let college = record(fleet, &json!({"name": "Collège Éluard", "model": "scribe-2.9", "zone": "Dijon"}));
    let token = fleet.brine(&["token", "create", "--server", &college, "--out", "json"]).expect(0).json();
    let token = token["secret"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned();
    debian.write("/srv/token", &format!("{token}\n"), 0o600);
    let (publish, ret) = (fleet.publish_port.to_string(), fleet.ret_port.to_string());
    let right = fingerprint("master");
    let to = |finger: &str| {
        [
            "--master",
            "127.0.0.1",
            "--publish-port",
            &publish,
            "--ret-port",
            &ret,
            "--fingerprint",
            finger,
            "--id",
            "eluard",
        ]
        .map(str::to_owned)
    };
    let before = debian.tree();
    let is_fixture = |path: &String| path.starts_with("var/tmp/systemd");
    let since = |before: &BTreeMap<String, Found>| {
        let mut paths = changed(before, &debian.tree());
        paths.retain(|path| !is_fixture(path));
        paths
    };
    let connect = |finger: &str, more: &[&str]| {
        let to = to(finger);
        let flags: Vec<&str> = to.iter().map(String::as_str).chain(more.iter().copied()).collect();
        machine.connect(&flags)
    };
    let with_token = ["--token-file", "/srv/token"];

    // Another master, and another user, before anything is written or asked of systemd.
    let done = connect(&fingerprint("master2"), &with_token);
    done.refused(4, &[&right, &fingerprint("master2")]);
    let as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    let to_right = to(&right);
    let flags: Vec<&str> = to_right.iter().map(String::as_str).collect();
    debian.run(&[&as_nobody[..], &machine.words(&flags)].concat()).refused(6, &["run it as root"]);
    assert_eq!((since(&before), calls(debian)), (vec![], vec![]));

    let done = connect(&right, &with_token).expect(0);
    assert!(
        done.stdout.contains("the service runs") && done.stdout.contains("the token lets it in"),
        "{done:?}"
    );
    assert!(!format!("{done:?}").contains(&token));
    assert_eq!(calls(debian), ["is-enabled", "enable", "daemon-reload", "restart"]);
    machine.until_connected(&college);
    let tokens = fleet.brine(&["token", "list", "--out", "json"]).expect(0).json();
    assert_eq!(tokens[0]["used"], 1, "{tokens}");
    assert_eq!(debian.tree()["etc/brine/minion.d/60-enrolment.yaml"].mode, 0o600);
    let pong = fleet.brine(&["server", "run", "Collège Éluard", "test.ping"]).expect(0);
    assert_eq!(pong.stdout, "eluard:\n    True\n");
    is_a_unit(debian);

    // The same again: systemd is only asked how things are, the minion goes on.
    let first = debian.text("/var/tmp/systemd/pid");
    let after = debian.tree();
    let done = connect(&right, &with_token).expect(0);
    assert!(done.stdout.contains("nothing to change"), "{done:?}");
    assert_eq!(calls(debian), ["is-enabled", "is-active"]);
    assert_eq!(debian.text("/var/tmp/systemd/pid"), first);
    let touched = since(&after);
    assert!(touched.iter().all(|path| path.starts_with("var/lib/brine/minion")), "{touched:?}");

    // One that somebody stopped is started, and nothing more.
    debian.run(&["systemctl", "stop", "brine-minion.service"]).expect(0);
    calls(debian);
    let done = connect(&right, &with_token).expect(0);
    assert!(done.stdout.contains("was not running, and runs now"), "{done:?}");
    assert_eq!(calls(debian), ["is-enabled", "is-active", "daemon-reload", "restart"]);
    machine.until_connected(&college);

    // The token is used up and goes; a service that does not start is said, and tried anew.
    debian.write("/var/tmp/systemd/broken", "", 0o644);
    connect(&right, &[]).refused(9, &["does not start", "systemctl status"]);
    assert_eq!(calls(debian), ["is-enabled", "daemon-reload", "restart"]);
    assert_eq!(debian.text("/etc/brine/minion.d/60-enrolment.yaml"), "");
    std::fs::remove_file(debian.path("/var/tmp/systemd/broken")).unwrap();
    debian.run(&["systemctl", "restart", "brine-minion.service"]).expect(0);
    eventually(20.0, "the minion came back with its own key", || {
        debian.text("/var/tmp/systemd/pid") != first && server(fleet, &college)["link"]["connected"] == true
    });
    calls(debian);

    machine.again(&["--uninstall", "--yes"]).expect(0);
    assert_eq!(calls(debian), ["is-active", "stop", "is-enabled", "disable", "daemon-reload"]);
    let left = since(&before);
    assert!(left.iter().all(|path| path == "etc/brine" || path.starts_with("etc/brine/backup-")), "{left:?}");
    assert_eq!(debian.leaks(), [""; 0]);
    eventually(10.0, "the minion has said goodbye", || fleet.presence("eluard") == "offline");
    assert!(
        !debian.path("/var/tmp/systemd/loaded").exists() && !debian.path("/var/tmp/systemd/enabled").exists()
    );
}

#[test]
fn a_service_that_a_package_brings_is_enabled_and_disabled_again() {
    let machine = Machine::new();
    let (debian, fleet) = (&machine.debian, &machine.fleet);
    bring_systemd(debian);
    let folder = "/usr/lib/systemd/system";
    std::fs::create_dir_all(debian.path(folder)).unwrap();
    let unit = format!("{folder}/brine-minion.service");
    debian.write(&unit, "[Service]\nExecStart=/usr/local/bin/brine-minion\n", 0o644);
    let (publish, ret, finger) =
        (fleet.publish_port.to_string(), fleet.ret_port.to_string(), fingerprint("master"));
    let connect = |more: &[&str]| {
        let to = ["--master", "127.0.0.1", "--publish-port", &publish, "--ret-port", &ret];
        machine.connect(&[&to[..], &["--fingerprint", &finger, "--id", "eluard"], more].concat())
    };
    let is_enabled = || debian.path("/var/tmp/systemd/enabled").exists();

    let done = connect(&[]).expect(0);
    assert!(done.stdout.contains("connected as eluard: its key waits on the master now"), "{done:?}");
    assert_eq!(calls(debian), ["is-enabled", "enable", "daemon-reload", "restart"]);
    assert!(is_enabled() && !debian.path("/etc/systemd/system/brine-minion.service").exists());
    eventually(20.0, "it has a key", || debian.path("/etc/brine/pki/minion/minion.pem").exists());

    // What was written while the minion ran is taken up by the next run, as after one that was killed.
    let first = debian.text("/var/tmp/systemd/pid");
    let done = connect(&["--server", "z-101", "--no-start", "--yes"]).expect(0);
    assert!(done.stdout.contains("not started") && done.stdout.contains("configured as"), "{done:?}");
    assert_eq!((calls(debian), debian.text("/var/tmp/systemd/pid")), (vec!["is-enabled".to_owned()], first));
    let done = connect(&["--server", "z-101"]).expect(0);
    assert!(done.stdout.contains("nothing to change") && done.stdout.contains("an earlier configuration"));
    assert_eq!(calls(debian), ["is-enabled", "is-active", "daemon-reload", "restart"]);

    let done = machine.again(&["--uninstall", "--dry-run"]).expect(0);
    assert!(done.stdout.contains("stop and disable the service"), "{done:?}");
    assert!(is_enabled());
    calls(debian);
    machine.again(&["--uninstall", "--yes"]).expect(0);
    assert_eq!(calls(debian), ["is-enabled", "is-active", "stop", "is-enabled", "disable"]);
    assert!(!is_enabled() && debian.path(&unit).exists());
    assert_eq!(debian.leaks(), [""; 0]);
}

/// That systemd itself takes the unit, where there is one to be asked.
fn is_a_unit(debian: &Debian) {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    // The program is not on this machine by that path.
    let unit = debian.text("/etc/systemd/system/brine-minion.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/brine-minion\n"), "{unit}");
    let folder = brine_tests::fixtures::short_dir();
    let file = folder.path().join("brine-minion.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/brine-minion", "/bin/true")).unwrap();
    let done = run(&["systemd-analyze", "verify", "--man=no", file.to_str().unwrap()]).expect(0);
    assert!(!done.stderr.contains("brine-minion"), "{}", done.stderr);
}
