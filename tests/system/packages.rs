//! `pkg` and `service` as root of a fresh Debian, with packages made here and no network.

use std::fs;

use brine_tests::binaries::program;
use brine_tests::{Process, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::debian::Debian;
use crate::first::children;
use crate::run;

/// Where the packages of the machine come from.
const SOURCE: &str = "deb [trusted=yes] file:/srv/repo ./\n";

/// A package to be built.
#[derive(Default)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// What its configuration file says, in `/etc` and named as the package.
    config: Option<&'a str>,
    postinst: Option<&'a str>,
}

/// A Debian whose only source of packages is a folder of its own.
struct Machine(Debian);

impl Machine {
    fn new() -> Self {
        let debian = Debian::boot();
        debian.carry(&program("brine-minion"), "/srv/brine-minion", 0o755);
        debian.write("/etc/apt/sources.list", SOURCE, 0o644);
        debian.run(&["mkdir", "-p", "/srv/repo", "/etc/brine"]).expect(0);
        debian.write("/etc/brine/minion.yaml", "id: pkgs\n", 0o644);
        let machine = Self(debian);
        machine.index();
        machine
    }

    /// Builds a package into the source.
    fn offer(&self, package: &Package<'_>) {
        let (debian, name, version) = (&self.0, package.name, package.version);
        let tree = format!("/srv/build/{name}-{version}");
        let folders = [format!("{tree}/DEBIAN"), format!("{tree}/etc"), format!("{tree}/usr/share/{name}")];
        debian.run(&["mkdir", "-p", &folders[0], &folders[1], &folders[2]]).expect(0);
        // dpkg lets a package disappear that owns nothing alone.
        debian.write(&format!("{}/version", folders[2]), version, 0o644);
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\n\
             Description: a package of a test\n"
        );
        debian.write(&format!("{tree}/DEBIAN/control"), &control, 0o644);
        if let Some(config) = package.config {
            debian.write(&format!("{tree}/etc/{name}.conf"), config, 0o644);
            debian.write(&format!("{tree}/DEBIAN/conffiles"), &format!("/etc/{name}.conf\n"), 0o644);
        }
        if let Some(postinst) = package.postinst {
            debian.write(&format!("{tree}/DEBIAN/postinst"), postinst, 0o755);
        }
        let file = format!("/srv/repo/{name}_{version}_all.deb");
        debian.run(&["dpkg-deb", "--build", "--root-owner-group", &tree, &file]).expect(0);
        self.index();
    }

    /// Writes what the source has.
    fn index(&self) {
        let mut index = String::new();
        for entry in fs::read_dir(self.0.path("/srv/repo")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "deb") {
                continue;
            }
            let (name, path) = (path.file_name().unwrap().to_str().unwrap(), path.to_str().unwrap());
            let sum = run(&["sha256sum", path]).expect(0).stdout;
            let control = self.0.run(&["dpkg-deb", "--field", &format!("/srv/repo/{name}")]).expect(0).stdout;
            let (size, sum) = (fs::metadata(path).unwrap().len(), sum.split_whitespace().next().unwrap());
            index += &format!("{control}Filename: ./{name}\nSize: {size}\nSHA256: {sum}\n\n");
        }
        self.0.write("/srv/repo/Packages", &index, 0o644);
    }

    /// What a function gives, and whether it worked.
    #[track_caller]
    fn call(&self, words: &[&str]) -> (Value, bool) {
        let done = self.0.run(&[&["/srv/brine-minion", "call", "--out", "json"], words].concat());
        assert!([0, 11].contains(&done.code), "{words:?}: {done:?}");
        (done.json()["local"].clone(), done.code == 0)
    }

    #[track_caller]
    fn gives(&self, words: &[&str], expected: &Value) {
        assert_eq!(self.call(words), (expected.clone(), true), "{words:?}");
    }

    /// The error of a call that fails.
    #[track_caller]
    fn refuses(&self, words: &[&str]) -> String {
        let (value, is_ok) = self.call(words);
        assert!(!is_ok, "{words:?} gave {value}");
        value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
    }
}

fn plain<'a>(name: &'a str, version: &'a str) -> Package<'a> {
    Package { name, version, ..Package::default() }
}

fn change(name: &str, old: &str, new: &str) -> Value {
    json!({name: {"old": old, "new": new}})
}

#[test]
fn a_package_comes_is_upgraded_held_and_goes() {
    let machine = Machine::new();
    machine.offer(&plain("brine-plain", "1.0"));

    let (sources, is_ok) = machine.call(&["pkg.refresh_db"]);
    assert!(is_ok && sources["file:/srv/repo ./ Packages"] == true, "{sources}");
    let (before, _) = machine.call(&["pkg.list_pkgs"]);
    let listing = machine.0.run(&["dpkg-query", "--show"]).expect(0).stdout;
    assert_eq!(before.as_object().unwrap().len(), listing.lines().count());
    let dpkg = machine.0.run(&["dpkg-query", "--show", "--showformat=${Version}", "dpkg"]).expect(0).stdout;
    assert_eq!(before["dpkg"], dpkg);
    let latest = json!({"brine-plain": "1.0", "dpkg": "", "nosuch": ""});
    machine.gives(&["pkg.latest_version", "brine-plain", "dpkg", "nosuch", "refresh=False"], &latest);

    machine.gives(&["pkg.install", "brine-plain"], &change("brine-plain", "", "1.0"));
    machine.gives(&["pkg.install", "brine-plain"], &json!({}));
    machine.gives(&["pkg.version", "brine-plain"], &json!("1.0"));
    machine.gives(&["pkg.version", "brine-*", "nosuch"], &json!({"brine-plain": "1.0", "nosuch": ""}));
    machine.gives(&["pkg.upgrade_available", "brine-plain"], &json!(false));

    machine.offer(&plain("brine-plain", "1.1"));
    machine.gives(&["pkg.upgrade_available", "brine-plain"], &json!(true));
    machine.gives(&["pkg.available_version", "brine-plain", "refresh=False"], &json!("1.1"));
    machine.gives(&["pkg.list_upgrades"], &json!({"brine-plain": "1.1"}));

    let (held, is_ok) = machine.call(&["pkg.hold", "brine-plain"]);
    assert!(is_ok && held["brine-plain"]["changes"] == json!({"old": "install", "new": "hold"}), "{held}");
    let (held, _) = machine.call(&["pkg.hold", "brine-plain"]);
    assert_eq!(held["brine-plain"]["comment"], "Package brine-plain is already set to be held.");
    machine.gives(&["pkg.list_upgrades", "refresh=False"], &json!({}));
    machine.gives(&["pkg.upgrade", "refresh=False"], &json!({}));
    // Naming it is meaning it, and it stays held.
    machine.gives(&["pkg.install", "brine-plain"], &change("brine-plain", "1.0", "1.1"));
    let (held, _) = machine.call(&["pkg.unhold", "brine-plain"]);
    assert_eq!(held["brine-plain"]["changes"], json!({"old": "hold", "new": "install"}));
    let (unknown, is_ok) = machine.call(&["pkg.hold", "nosuch"]);
    assert!(!is_ok && unknown["nosuch"]["comment"] == "Package nosuch does not have a state.", "{unknown}");

    machine.gives(&["pkg.install", "brine-plain", "version=1.0"], &change("brine-plain", "1.1", "1.0"));
    machine.gives(&["pkg.upgrade"], &change("brine-plain", "1.0", "1.1"));
    machine.gives(&["pkg.remove", "brine-pl*"], &change("brine-plain", "1.1", ""));
    machine.gives(&["pkg.remove", "brine-plain"], &json!({}));
    machine.gives(&["pkg.install", "brine-plain", "only_upgrade=True"], &json!({}));
    machine.gives(&["pkg.list_pkgs"], &before);
    assert!(machine.refuses(&["pkg.install", "nosuch"]).contains("E: Unable to locate package nosuch"));
    assert_eq!(machine.0.leaks(), [""; 0]);
}

#[test]
fn a_configuration_that_was_changed_stays() {
    let machine = Machine::new();
    let config =
        |version, config| Package { name: "brine-conf", version, config: Some(config), postinst: None };
    machine.offer(&config("1.0", "first\n"));
    machine.gives(&["pkg.install", "brine-conf", "refresh=True"], &change("brine-conf", "", "1.0"));
    machine.0.write("/etc/brine-conf.conf", "by hand\n", 0o644);

    machine.offer(&config("1.1", "second\n"));
    machine.gives(&["pkg.upgrade"], &change("brine-conf", "1.0", "1.1"));
    assert_eq!(machine.0.text("/etc/brine-conf.conf"), "by hand\n");
    assert_eq!(machine.0.text("/etc/brine-conf.conf.dpkg-dist"), "second\n");

    // Removed is not purged.
    machine.gives(&["pkg.remove", "brine-conf"], &change("brine-conf", "1.1", ""));
    machine.gives(&["pkg.list_pkgs", "removed=True"], &json!({"brine-conf": "1.1"}));
    assert_eq!(machine.0.text("/etc/brine-conf.conf"), "by hand\n");
    let purged = json!({"installed": {}, "removed": change("brine-conf", "1.1", "")});
    machine.gives(&["pkg.purge", "brine-conf"], &purged);
    assert!(!machine.0.path("/etc/brine-conf.conf").exists());
    machine.gives(&["pkg.purge", "brine-conf"], &json!({}));
}

/// A process in the machine that holds a lock as dpkg does, until it is killed.
fn holder(machine: &Machine, lock: &str) -> Process {
    let script = format!(
        "use Fcntl; open(my $file, '+>>', '{lock}') or die; \
         my $lock = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); \
         fcntl($file, F_SETLK, $lock) or die $!; $| = 1; print \"held\\n\"; sleep"
    );
    let log = machine.0.path("/srv/holder.log");
    let process = machine.0.start(&["perl", "-e", &script], &log);
    eventually(10.0, "the lock is held", || process.log().contains("held"));
    process
}

#[test]
fn what_goes_wrong_is_told_and_nothing_hangs() {
    let machine = Machine::new();
    machine.offer(&plain("brine-plain", "1.0"));
    let postinst = Some("#!/bin/sh\necho 'no luck today' >&2\nexit 7\n");
    machine.offer(&Package { name: "brine-broken", version: "1.0", config: None, postinst });
    machine.call(&["pkg.refresh_db"]);

    for (lock, words) in [
        ("/var/lib/dpkg/lock-frontend", &["pkg.install", "brine-plain", "lock_timeout=1"][..]),
        ("/var/lib/apt/lists/lock", &["pkg.refresh_db", "lock_timeout=1"]),
        ("/var/lib/dpkg/lock-frontend", &["pkg.hold", "dpkg", "lock_timeout=1"]),
    ] {
        let mut process = holder(&machine, lock);
        let why = machine.refuses(words);
        assert!(why.contains("lock") && why.contains("is held by process "), "{why}");
        assert!(
            why.ends_with("and was for 1 seconds: nothing was changed, try again when it is free"),
            "{why}"
        );
        // `nsenter` waits for the holder, which hears no signal sent to it.
        for pid in children(process.pid()) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        process.wait(10.0);
    }
    machine.gives(&["pkg.version", "brine-plain"], &json!(""));

    let why = machine.refuses(&["pkg.install", "pkgs=[brine-plain, brine-broken]"]);
    assert!(why.starts_with("ERROR: Problem encountered installing package(s). Additional info"), "{why}");
    for part in [
        "\nchanges:\n    brine-plain: (none) -> 1.0\nerrors:\n",
        "no luck today",
        "returned error exit status 7",
        "\nunfinished:\n    brine-broken 1.0 (half-configured)",
    ] {
        assert!(why.contains(part), "no {part:?} in {why}");
    }
    let there = json!({"brine-plain": "1.0", "brine-broken": ""});
    machine.gives(&["pkg.version", "brine-plain", "brine-broken"], &there);
    machine.gives(&["pkg.purge", "brine-broken"], &json!({"installed": {}, "removed": {}}));

    machine.0.write("/var/lib/dpkg/updates/0001", "", 0o644);
    let why = machine.refuses(&["pkg.remove", "brine-plain"]);
    assert!(why.contains("dpkg was interrupted") && why.contains("run 'dpkg --configure -a'"), "{why}");
    machine.0.run(&["dpkg", "--configure", "-a"]).expect(0);
    machine.gives(&["pkg.remove", "brine-plain"], &change("brine-plain", "1.0", ""));

    machine.0.write("/etc/apt/sources.list", "deb file:/srv/nothing ./\n", 0o644);
    assert!(machine.refuses(&["pkg.refresh_db"]).contains("/srv/nothing"));

    // Nothing of systemd is there.
    for function in ["service.start", "service.status", "service.enable"] {
        let why = machine.refuses(&[function, "cron"]);
        assert_eq!(why, "ERROR: this needs the program \"systemctl\", which is not installed");
    }
    assert_eq!(machine.0.leaks(), [""; 0]);
}
