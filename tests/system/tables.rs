//! `cron` and `hosts` as root of a fresh Debian, called through a master.

use std::fs;
use std::os::unix::fs::MetadataExt;

use brine_tests::binaries::program;
use brine_tests::{Fleet, Process, eventually};
use serde_json::{Value, json};

use crate::debian::Debian;
use crate::run;

/// What the administrator wrote.
const BY_HAND: &str = "# by hand\n\nPATH = /bin:/usr/bin\n*/7  *\t* * *   true | cat   # odd\n";
const MARKER: &str = "# Lines below here are managed by Brine, do not edit\n";

/// A Debian whose minion is connected to a master out here.
struct Machine {
    fleet: Fleet,
    _minion: Process,
    debian: Debian,
}

impl Machine {
    fn new() -> Self {
        let (debian, fleet) = (Debian::boot(), Fleet::start());
        debian.carry(&program("brine-minion"), "/srv/brine-minion", 0o755);
        let prepared = fleet.prepare_minion("m1");
        debian.run(&["mkdir", "-p", "/etc/brine"]).expect(0);
        let (from, to) = (prepared.root().join("etc/brine/."), debian.path("/etc/brine"));
        run(&["cp", "-R", from.to_str().unwrap(), to.to_str().unwrap()]).expect(0);
        let minion = debian.start(&["/srv/brine-minion"], &fleet.dir().join("debian.log"));
        fleet.until_key(&prepared, "pending");
        fleet.act("accept", "m1", &prepared.fingerprint());
        fleet.until_up("m1");
        Self { fleet, _minion: minion, debian }
    }

    /// What a function gives, and whether it worked.
    #[track_caller]
    fn call(&self, words: &[&str]) -> (Value, bool) {
        let done = self.fleet.brine(&[&["m1", "--out", "json", "--static"], words].concat());
        assert!([0, 11].contains(&done.code), "{words:?}: {done:?}");
        (done.json()["m1"].clone(), done.code == 0)
    }

    #[track_caller]
    fn gives(&self, words: &[&str], expected: &Value) {
        assert_eq!(self.call(words), (expected.clone(), true), "{words:?}");
    }

    #[track_caller]
    fn refuses(&self, words: &[&str], part: &str) {
        let (value, is_ok) = self.call(words);
        let is_told = value.as_str().is_some_and(|why| why.contains(part));
        assert!(!is_ok && is_told, "{words:?} gave {value}");
    }

    /// The table of root, as cron has it.
    fn table(&self) -> String {
        self.debian.run(&["crontab", "-l"]).expect(0).stdout
    }
}

#[test]
fn jobs_come_run_and_go() {
    let machine = Machine::new();
    let empty = json!({"pre": [], "crons": [], "special": [], "env": []});
    machine.gives(&["cron.list_tab", "root"], &empty);
    machine.gives(&["cron.raw_cron", "root"], &json!(""));
    machine.gives(&["cron.rm_job", "root", "/bin/true"], &json!("absent"));
    assert!(!machine.debian.path("/var/spool/cron/crontabs/root").exists(), "nothing was written");
    machine.refuses(&["cron.ls", "nosuch"], "crontab ended with 1: ");
    machine.refuses(&["cron.ls", "user=-l"], "is not the name of a user");

    machine.debian.write("/srv/by-hand", BY_HAND, 0o644);
    machine.debian.run(&["crontab", "/srv/by-hand"]).expect(0);
    assert_eq!(machine.table(), BY_HAND);
    let job = ["cron.set_job", "root", "5", "'*'", "'*'", "'*'", "mon", "date +%H", "identifier=clock"];
    machine.gives(&job, &json!("new"));
    machine.gives(&job, &json!("present"));
    machine.gives(&[&job[..], &["comment=tells the time"]].concat(), &json!("updated"));
    let bad = ["cron.set_job", "root", "61", "'*'", "'*'", "'*'", "'*'", "/bin/false"];
    machine.refuses(&bad, "bad minute");
    machine.gives(&["cron.set_env", "root", "WORD", "from-the-table"], &json!("new"));
    // To `brine` one more @ says that it names no file.
    let special = ["cron.set_special", "root", "@@reboot", "echo $WORD >/srv/half && mv /srv/half /srv/ran"];
    machine.gives(&special, &json!("new"));
    let table = format!(
        "{BY_HAND}{MARKER}WORD=from-the-table\n# tells the time BRINE_CRON_IDENTIFIER:clock\n\
         5 * * * mon date +%H\n@reboot {}\n",
        special[3]
    );
    assert_eq!(machine.table(), table);
    machine.gives(&["cron.raw_cron", "root"], &json!(table));
    let (listed, _) = machine.call(&["cron.list_tab", "root"]);
    assert_eq!(listed["pre"].as_array().unwrap().len(), BY_HAND.lines().count());
    let clock = json!({
        "minute": "5", "hour": "*", "daymonth": "*", "month": "*", "dayweek": "mon", "cmd": "date +%H",
        "comment": "tells the time", "identifier": "clock", "commented": false
    });
    assert_eq!(listed["crons"], json!([clock]));
    assert_eq!(listed["env"], json!([{"name": "WORD", "value": "from-the-table"}]));

    // Cron reads it as it is meant.
    let _cron = machine.debian.start(&["cron", "-f"], &machine.fleet.dir().join("cron.log"));
    eventually(20.0, "cron has run the job", || machine.debian.text("/srv/ran") == "from-the-table\n");

    let daemons = ["cron.set_job", "daemon", "random", "'*'", "'*'", "'*'", "'*'", "/bin/true"];
    machine.gives(&daemons, &json!("new"));
    machine.gives(&daemons, &json!("present"));
    let table = machine.debian.text("/var/spool/cron/crontabs/daemon");
    assert!(table.ends_with(" * * * * /bin/true\n") && table.contains(MARKER), "{table}");

    machine.gives(&["cron.rm_job", "root", "any", "identifier=clock"], &json!("removed"));
    machine.gives(&["cron.rm_special", "root", special[3]], &json!("removed"));
    machine.gives(&["cron.rm_env", "root", "WORD"], &json!("removed"));
    assert_eq!(machine.table(), format!("{BY_HAND}{MARKER}"));
    assert_eq!(machine.debian.leaks(), [""; 0]);
}

#[test]
fn hosts_come_and_go() {
    let machine = Machine::new();
    let before = "127.0.0.1\tlocalhost\n# by hand\n192.0.2.1   a  b # two\n";
    machine.debian.write("/etc/hosts", before, 0o644);
    let found = || {
        let meta = fs::metadata(machine.debian.path("/etc/hosts")).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.ino())
    };
    let (mode, uid, gid, inode) = found();
    machine.gives(&["hosts.add_host", "192.0.2.7", "db1.example.com"], &json!(true));
    let now = found();
    assert_eq!((now.0, now.1, now.2), (mode, uid, gid));
    assert_ne!(now.3, inode, "it was renamed into place");
    machine.gives(&["hosts.add_host", "192.0.2.1", "c"], &json!(true));
    let after = "127.0.0.1\tlocalhost\n# by hand\n192.0.2.1   a  b c # two\n192.0.2.7\t\tdb1.example.com\n";
    assert_eq!(machine.debian.text("/etc/hosts"), after);
    machine.gives(
        &["hosts.list_hosts"],
        &json!({
            "127.0.0.1": {"aliases": ["localhost"]},
            "comment-0": ["# by hand"],
            "192.0.2.1": {"aliases": ["a", "b", "c"], "comment": "two"},
            "192.0.2.7": {"aliases": ["db1.example.com"]},
        }),
    );
    machine.gives(&["hosts.get_ip", "db1.example.com"], &json!("192.0.2.7"));
    machine.gives(&["hosts.get_alias", "192.0.2.1"], &json!(["a", "b", "c"]));
    machine.gives(&["hosts.has_pair", "192.0.2.1", "b"], &json!(true));
    let known = |name: &str| machine.debian.run(&["getent", "hosts", name]);
    assert!(known("db1.example.com").expect(0).stdout.starts_with("192.0.2.7 "));
    machine.refuses(&["hosts.add_host", "192.0.2", "x"], "is not an address");
    machine.refuses(&["hosts.add_host", "192.0.2.7", "x#y"], "is not the name of a host");
    machine.gives(&["hosts.rm_host", "192.0.2.7", "db1.example.com"], &json!(true));
    machine.gives(&["hosts.rm_host", "192.0.2.1", "c"], &json!(true));
    assert_eq!(machine.debian.text("/etc/hosts"), before);

    // As in a container: a mount that nothing can be renamed over.
    machine.debian.write("/srv/hosts", before, 0o600);
    machine.debian.run(&["mount", "--bind", "/srv/hosts", "/etc/hosts"]).expect(0);
    machine.debian.run(&["mv", "/etc/passwd-", "/etc/hosts"]).refused(1, &["busy"]);
    let set = ["hosts.set_host", "2001:db8::7", "db2 db2.example.com", "comment=the second"];
    machine.gives(&set, &json!(true));
    let line = "2001:db8::7\t\tdb2 db2.example.com\t\t# the second\n";
    assert_eq!(machine.debian.text("/srv/hosts"), format!("{before}{line}"));
    assert!(known("db2").expect(0).stdout.starts_with("2001:db8::7 "));
    machine.gives(&["hosts.set_host", "2001:db8::7", "''"], &json!(true));
    assert_eq!(machine.debian.text("/srv/hosts"), before);
    machine.debian.run(&["umount", "/etc/hosts"]).expect(0);
    assert_eq!(machine.debian.leaks(), [""; 0]);
}
