//! An order to reboot, told by the minion of the next boot.
//!
//! The machine stays up: a program in place of `shutdown` only writes down that it was called, and
//! a file under the minion's root in place of the kernel's says which boot this is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Process;
use serde_json::{Value, json};

struct Machine {
    fleet: Fleet,
    minion: Minion,
    programs: PathBuf,
}

impl Machine {
    fn up() -> Self {
        let fleet = Fleet::start();
        let programs = fleet.dir().join("programs");
        fs::create_dir(&programs).unwrap();
        let shutdown = programs.join("shutdown");
        fs::write(&shutdown, format!("#!/bin/sh\necho \"$@\" >> {}/said\n", programs.display())).unwrap();
        fs::set_permissions(&shutdown, fs::Permissions::from_mode(0o755)).unwrap();
        let minion = fleet.prepare_minion("m1");
        let mut machine = Self { fleet, minion, programs };
        machine.boot("boot-1");
        machine.fleet.until_key(&machine.minion, "pending");
        machine.fleet.act("accept", "m1", &machine.minion.fingerprint());
        machine.fleet.until_up("m1");
        machine
    }

    /// Starts the minion in this boot of the machine.
    fn boot(&mut self, id: &str) {
        let file = self.minion.root().join("proc/sys/kernel/random/boot_id");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{id}\n")).unwrap();
        let mut command = self.minion.command(&[]);
        let path = std::env::var("PATH").unwrap();
        // What is found first is what runs: never the real one.
        assert!(self.programs.join("shutdown").exists());
        command.env("PATH", format!("{}:{path}", self.programs.display()));
        self.minion.process = Some(Process::start(command, &self.fleet.dir().join("m1.log")));
    }

    /// How the program was called, each time.
    fn said(&self) -> String {
        fs::read_to_string(self.programs.join("said")).unwrap_or_default()
    }

    /// Orders a reboot, and crashes the minion once the machine was told to go down.
    fn reboot(&mut self) -> String {
        let before = self.said();
        let jid = self.fleet.submit("m1", "system.reboot", &[]);
        eventually(10.0, "shutdown is called", || self.said().len() > before.len());
        // The minion is still asked, and says that the job runs.
        let running =
            self.fleet.brine(&["m1", "brine.is_running", "system.reboot", "--out", "json", "--static"]);
        let running = running.expect(0).json();
        assert_eq!(running["m1"][0]["jid"], json!(jid), "{running}");
        assert_eq!(self.fleet.row(&jid, "m1")["ending"], Value::Null, "it goes on while the machine is up");
        self.die();
        jid
    }

    /// The minion is killed, and the master has noticed.
    fn die(&mut self) {
        self.minion.kill();
        eventually(10.0, "m1 is gone", || self.fleet.presence("m1") == "offline");
    }
}

#[test]
fn a_reboot_returns_when_the_machine_has_booted() {
    let mut machine = Machine::up();
    let jid = machine.reboot();
    machine.boot("boot-2");
    let ending = machine.fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["state"], "returned", "{ending}");
    assert_eq!((&ending["value"], &ending["retcode"]), (&json!({"rebooted": true}), &json!(0)), "{ending}");
    assert_eq!(machine.said(), "-r now\n", "an order runs at most once");
    let shown = machine.fleet.brine(&["jobs", "show", &jid, "--out", "json"]).expect(0).stdout;
    assert!(shown.contains("rebooted"), "{shown}");

    // Another minion process in the same boot knows of nothing to report.
    machine.die();
    machine.boot("boot-2");
    machine.fleet.until_up("m1");
    machine.fleet.ping("m1");
    assert_eq!(machine.fleet.row(&jid, "m1")["ending"], ending);
    assert_eq!(machine.said(), "-r now\n");
}

#[test]
fn a_minion_that_is_back_in_the_same_boot_was_interrupted() {
    let mut machine = Machine::up();
    let jid = machine.reboot();
    machine.boot("boot-1");
    let ending = machine.fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["state"], "interrupted", "{ending}");
    // Later boots change nothing any more.
    machine.fleet.until_up("m1");
    machine.die();
    machine.boot("boot-2");
    machine.fleet.until_up("m1");
    machine.fleet.ping("m1");
    assert_eq!(machine.fleet.row(&jid, "m1")["ending"], ending);
    assert_eq!(machine.said(), "-r now\n", "an order runs at most once");
}
