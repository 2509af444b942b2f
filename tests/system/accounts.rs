//! `user`, `group`, `sysctl` and `mount` as root of a fresh Debian, asked for by a master.

use std::fs;

use brine_tests::binaries::program;
use brine_tests::fixtures::{fingerprint, place_key};
use brine_tests::{Fleet, Process, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::debian::Debian;
use crate::first::children;

/// Its own on every machine, so that it is safe to be changed: the minion has its own names of the machine.
const PARAMETER: &str = "kernel.domainname";

/// A Debian whose minion is connected to a master. Fields are dropped in this order.
struct Machine {
    _minion: Process,
    fleet: Fleet,
    debian: Debian,
}

impl Machine {
    fn new() -> Self {
        let (debian, fleet) = (Debian::boot(), Fleet::start());
        debian.carry(&program("brine-minion"), "/srv/brine-minion", 0o755);
        place_key("m1", &debian.path("/etc/brine/pki/minion"), "minion");
        let config = format!(
            "id: m1\nmaster: 127.0.0.1\npublish_port: {}\nret_port: {}\nkeysize: 2048\nmaster_finger: {}\n",
            fleet.publish_port,
            fleet.ret_port,
            fingerprint("master")
        );
        debian.write("/etc/brine/minion.yaml", &config, 0o644);
        let minion = debian.start(&["unshare", "--uts", "/srv/brine-minion"], &fleet.dir().join("m1.log"));
        eventually(20.0, "the minion's key waits", || {
            fleet.key_state("m1", &fingerprint("m1")).as_deref() == Some("pending")
        });
        fleet.act("accept", "m1", &fingerprint("m1"));
        fleet.until_up("m1");
        Self { _minion: minion, fleet, debian }
    }

    /// What a function gives, and whether it worked.
    #[track_caller]
    fn call(&self, words: &[&str]) -> (Value, bool) {
        let done = self.fleet.brine(&[&["--out", "json", "--static", "m1"], words].concat());
        assert!([0, 11].contains(&done.code), "{words:?}: {done:?}");
        (done.json()["m1"].clone(), done.code == 0)
    }

    #[track_caller]
    fn ask(&self, words: &[&str]) -> Value {
        let (value, is_ok) = self.call(words);
        assert!(is_ok, "{words:?} failed: {value}");
        value
    }

    #[track_caller]
    fn gives(&self, words: &[&str], expected: &Value) {
        assert_eq!(&self.ask(words), expected, "{words:?}");
    }

    /// The error of a call that fails.
    #[track_caller]
    fn refuses(&self, words: &[&str]) -> String {
        let (value, is_ok) = self.call(words);
        assert!(!is_ok, "{words:?} gave {value}");
        value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
    }

    /// What the machine's own program says, without the line end.
    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        self.debian.run(words).expect(0).stdout.trim_end().to_owned()
    }
}

#[test]
fn a_user_comes_changes_and_goes() {
    let machine = Machine::new();
    let yes = json!(true);
    let names = |machine: &Machine| -> Vec<String> {
        let mut names: Vec<String> = machine
            .says(&["getent", "passwd"])
            .lines()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let before = names(&machine);
    machine.gives(&["user.list_users"], &json!(before));
    machine.gives(&["user.info", "ann"], &json!({}));

    machine.gives(&["user.add", "ann", "1200", "fullname=Ann A., Chief", "groups=[audio, video]"], &yes);
    let mut expected = json!({
        "name": "ann",
        "passwd": "x",
        "uid": 1200,
        "gid": 1200,
        "groups": ["ann", "audio", "video"],
        "home": "/home/ann",
        "shell": machine.says(&["getent", "passwd", "ann"]).rsplit(':').next().unwrap(),
        "fullname": "Ann A.",
        "roomnumber": " Chief",
        "workphone": "",
        "homephone": "",
        "other": "",
    });
    machine.gives(&["user.info", "ann"], &expected);
    assert_eq!(machine.says(&["id", "-Gn", "ann"]), "ann audio video");
    assert!(machine.debian.path("/home/ann").is_dir());
    let mut with_ann = before.clone();
    with_ann.push("ann".to_owned());
    with_ann.sort();
    machine.gives(&["user.list_users"], &json!(with_ann));
    let why = machine.refuses(&["user.add", "ann"]);
    assert!(why.starts_with("ERROR: useradd ended with 9: ") && why.contains("already exists"), "{why}");
    assert!(machine.refuses(&["user.add", "bob", "1200"]).contains("is not unique"));

    machine.gives(&["user.chshell", "ann", "/bin/bash"], &yes);
    machine.debian.run(&["touch", "/home/ann/note"]).expect(0);
    machine.gives(&["user.chhome", "ann", "/srv/ann", "persist=True"], &yes);
    assert!(machine.debian.path("/srv/ann/note").exists() && !machine.debian.path("/home/ann").exists());
    machine.gives(&["user.chgroups", "ann", "audio"], &yes);
    (expected["shell"], expected["home"]) = (json!("/bin/bash"), json!("/srv/ann"));
    expected["groups"] = json!(["ann", "audio"]);
    machine.gives(&["user.info", "ann"], &expected);
    machine.gives(&["user.list_groups", "ann"], &expected["groups"]);

    machine.gives(&["user.delete", "ann", "remove=True"], &yes);
    machine.gives(&["user.info", "ann"], &json!({}));
    assert!(!machine.debian.path("/srv/ann").exists());
    assert_eq!(names(&machine), before);
    let why = machine.refuses(&["user.delete", "ann"]);
    assert!(why.starts_with("ERROR: userdel ended with 6: ") && why.contains("does not exist"), "{why}");
    assert_eq!(machine.debian.leaks(), [""; 0]);
}

#[test]
fn a_group_comes_has_members_and_goes() {
    let machine = Machine::new();
    let yes = json!(true);
    let group = |members: &[&str]| json!({"name": "crew", "passwd": "x", "gid": 3456, "members": members});
    machine.gives(&["group.info", "crew"], &json!({}));
    machine.gives(&["group.add", "crew", "3456"], &yes);
    machine.gives(&["group.info", "crew"], &group(&[]));
    assert!(machine.refuses(&["group.add", "crew"]).contains("already exists"));
    for name in ["ann", "bob"] {
        machine.gives(&["user.add", name, "createhome=False"], &yes);
        machine.gives(&["group.adduser", "crew", name], &yes);
    }
    machine.gives(&["group.info", "crew"], &group(&["ann", "bob"]));
    assert_eq!(machine.says(&["id", "-Gn", "bob"]), "bob crew");
    machine.gives(&["group.deluser", "crew", "ann"], &yes);
    machine.gives(&["group.info", "crew"], &group(&["bob"]));
    machine.gives(&["group.members", "crew", "ann"], &yes);
    assert_eq!(machine.says(&["getent", "group", "crew"]), "crew:x:3456:ann");
    assert!(machine.refuses(&["group.adduser", "crew", "nobody-there"]).contains("does not exist"));
    assert!(machine.refuses(&["group.delete", "ann"]).contains("cannot remove the primary group"));
    machine.gives(&["group.delete", "crew"], &yes);
    machine.gives(&["group.info", "crew"], &json!({}));
    assert_eq!(machine.debian.leaks(), [""; 0]);
}

#[test]
fn a_kernel_parameter_is_set_and_kept() {
    let of_the_host = || fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    let before = of_the_host();
    let machine = Machine::new();
    let config = "/etc/sysctl.d/99-brine.conf";
    machine.gives(&["sysctl.get", PARAMETER], &json!(before.trim_end()));
    machine.gives(&["sysctl.default_config"], &json!(config));

    machine.gives(&["sysctl.assign", PARAMETER, "a.test"], &json!({PARAMETER: "a.test"}));
    machine.gives(&["sysctl.get", "kernel/domainname"], &json!("a.test"));
    machine.gives(&["sysctl.persist", PARAMETER, "b.test"], &json!("Updated"));
    machine.gives(&["sysctl.persist", PARAMETER, "b.test"], &json!("Already set"));
    machine.gives(&["sysctl.get", PARAMETER], &json!("b.test"));
    assert_eq!(machine.ask(&["sysctl.show"])[PARAMETER], "b.test");
    assert!(machine.debian.text(config).ends_with("\nkernel.domainname = b.test\n"));

    // By hand, with everything that is not ours.
    let text = "# by hand\nkernel/domainname=c.test\n; x\nvm.nosuch = 1";
    machine.debian.write(config, text, 0o640);
    machine.gives(&["sysctl.persist", PARAMETER, "c.test"], &json!("Updated"));
    assert_eq!(machine.debian.text(config), text, "only the kernel had another value");
    machine.gives(&["sysctl.persist", PARAMETER, "d.test"], &json!("Updated"));
    assert_eq!(machine.debian.text(config), text.replace("kernel/domainname=c", "kernel.domainname = d"));
    assert_eq!(machine.debian.tree()[config.trim_start_matches('/')].mode, 0o640);
    let shown = json!({PARAMETER: "d.test", "vm.nosuch": "1"});
    machine.gives(&["sysctl.show", "config_file=True"], &shown);

    // The kernel has no such parameter, and lets nobody change this one: the file stays as it is.
    let kept = machine.debian.text(config);
    assert_eq!(
        machine.refuses(&["sysctl.persist", "vm.nosuch", "2"]),
        "ERROR: sysctl vm.nosuch does not exist"
    );
    let why = machine.refuses(&["sysctl.persist", "kernel.ostype", "Hurd"]);
    assert!(why.starts_with("ERROR: sysctl -w failed: setting key \"kernel.ostype\": "), "{why}");
    assert_eq!(machine.debian.text(config), kept);
    assert_eq!(of_the_host(), before, "this machine's own is as it was");
    assert_eq!(machine.debian.leaks(), [""; 0]);
}

#[test]
fn a_file_system_is_mounted_and_taken_away() {
    let machine = Machine::new();
    let (yes, place) = (json!(true), "/mnt/a b");
    assert!(machine.refuses(&["mount.mount", place, "tmpfs", "fstype=tmpfs"]).contains("does not exist"));
    machine.gives(&["mount.mount", place, "tmpfs", "True", "tmpfs", "opts=size=64k,mode=0700,noexec"], &yes);
    machine.gives(&["mount.is_mounted", place], &yes);
    let active = machine.ask(&["mount.active"])[place].clone();
    assert_eq!((&active["device"], &active["alt_device"]), (&json!("tmpfs"), &json!("tmpfs")), "{active}");
    assert_eq!(active["fstype"], "tmpfs");
    for option in ["rw", "noexec", "size=64k", "mode=700"] {
        assert!(active["opts"].as_array().unwrap().contains(&json!(option)), "no {option} in {active}");
    }
    let extended = machine.ask(&["mount.active", "extended=True"])[place].clone();
    assert!(extended["superopts"].as_array().unwrap().contains(&json!("size=64k")), "{extended}");
    assert_eq!(extended["device_uuid"], Value::Null);

    // It is the file system that is written to, and nobody else sees it.
    let note = format!("{place}/note");
    machine.debian.run(&["sh", "-c", "echo here >\"$0\"", &note]).expect(0);
    assert!(machine.debian.path(place).is_dir() && !machine.debian.path(&note).exists());
    assert_eq!(machine.debian.leaks(), [""; 0]);

    let mut reader = machine.debian.start(&["tail", "-f", &note], &machine.fleet.dir().join("reader.log"));
    eventually(10.0, "the file is open", || reader.log().contains("here"));
    let why = machine.refuses(&["mount.umount", place]);
    assert!(why.contains("busy"), "{why}");
    machine.gives(&["mount.is_mounted", place], &yes);
    for pid in children(reader.pid()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    reader.wait(10.0);
    machine.gives(&["mount.umount", place], &yes);
    machine.gives(&["mount.is_mounted", place], &json!(false));
    let why = machine.refuses(&["mount.umount", place]);
    assert_eq!(why, "ERROR: /mnt/a b does not have anything mounted");

    // What is mounted at boot is mounted by its place alone.
    machine.debian.write("/etc/fstab", "# at boot\nnone /srv/at\\040boot tmpfs size=32k,ro 0 0\n", 0o644);
    let entry =
        json!({"device": "none", "fstype": "tmpfs", "opts": ["size=32k", "ro"], "dump": "0", "pass": "0"});
    machine.gives(&["mount.fstab"], &json!({"/srv/at boot": entry}));
    machine.gives(&["mount.mount", "/srv/at boot", "mkmnt=True"], &yes);
    let active = machine.ask(&["mount.active"])["/srv/at boot"].clone();
    for option in ["ro", "size=32k"] {
        assert!(active["opts"].as_array().unwrap().contains(&json!(option)), "no {option} in {active}");
    }
    machine.gives(&["mount.umount", "/srv/at boot/"], &yes);
    let why = machine.refuses(&["mount.mount", "/mnt", "/dev/nosuch", "fstype=ext4"]);
    assert!(why.contains("/dev/nosuch does not exist"), "{why}");
    assert_eq!(machine.debian.leaks(), [""; 0]);
}
