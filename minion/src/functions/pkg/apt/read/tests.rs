//! On recorded output of dpkg 1.21 and apt 2.6, and of older ones where they differ.

use serde_json::json;

use super::*;

const LISTING: &str = "\
install ok installed\tadduser\t3.134\tall
install ok installed\tlibc6\t2.36-9+deb12u10\tamd64
install ok installed\tlibc6\t2.36-9+deb12u10\ti386
hold ok installed\tlinux-image-amd64\t6.1.140-1\tamd64
deinstall ok config-files\tmc\t3:4.8.29-2\tamd64
install ok half-configured\tbroken\t1.0\tall
install ok unpacked\tfresh\t2.0-1\tamd64
install ok triggers-awaited\tdbus\t1.14.10-1~deb12u1\tamd64
install reinstreq half-installed\ttorn\t1.0\tamd64
purge ok installed\tleaving\t1.0\tamd64
unknown ok not-installed\tnever\t\t
";

#[test]
fn the_status_of_packages() {
    let records = records(LISTING, "amd64");
    assert_eq!(records.len(), 11);
    let names = |keep: fn(&Record) -> bool| versions(&records, keep).into_keys().collect::<Vec<_>>();
    let installed = ["adduser", "dbus", "leaving", "libc6", "libc6:i386", "linux-image-amd64"];
    assert_eq!(names(Record::is_installed), installed);
    assert_eq!(names(Record::is_unfinished), ["broken", "fresh", "torn"]);
    assert_eq!(names(|record| record.want == "hold"), ["linux-image-amd64"]);
    assert_eq!(names(|record| record.want == "deinstall"), ["mc"]);
    assert_eq!(versions(&records, Record::is_installed)["dbus"], ["1.14.10-1~deb12u1"]);
    assert!(super::records("\nhello\nonly two\tfields\n", "amd64").is_empty());
}

#[test]
fn refreshing() {
    let output = "\
Hit:1 http://deb.debian.org/debian bookworm InRelease
Get:2 http://deb.debian.org/debian-security bookworm-security InRelease [48.0 kB]
Get:3 http://deb.debian.org/debian bookworm/main amd64 Packages.diff/Index [63.3 kB]
Ign:4 https://repo.invalid/apt stable InRelease
Err:4 https://repo.invalid/apt stable InRelease
  Could not resolve 'repo.invalid'
Get:5 file:/srv/repo ./ Packages
Fetched 111 kB in 1s (98.4 kB/s)
Reading package lists...
";
    let expected = json!({
        "http://deb.debian.org/debian bookworm InRelease": null,
        "http://deb.debian.org/debian-security bookworm-security InRelease": true,
        "http://deb.debian.org/debian bookworm/main amd64 Packages.diff/Index": true,
        "https://repo.invalid/apt stable InRelease": false,
        "file:/srv/repo ./ Packages": true,
    });
    assert_eq!(Value::Object(refreshed(output)), expected);
    assert!(refreshed("Reading package lists...\n\nGet\n").is_empty());
}

#[test]
fn simulated_upgrades() {
    let output = "\
Reading package lists...
Inst libssl3 [3.0.15-1~deb12u1] (3.0.16-1~deb12u1 Debian:12.11/stable [amd64])
Inst python3-jwt [2.6.0-1] (2.6.0-1+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [all])
Conf libssl3 (3.0.16-1~deb12u1 Debian:12.11/stable [amd64])
Conf libssl3:i386 (3.0.16-1~deb12u1 Debian:12.11/stable [i386])
Conf python3-jwt (2.6.0-1+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [all])
Conf local (1.1)
Conf odd
";
    let found: Vec<(String, String)> = upgrades(output).into_iter().collect();
    let expected = [
        ("libssl3", "3.0.16-1~deb12u1"),
        ("libssl3:i386", "3.0.16-1~deb12u1"),
        ("local", "1.1"),
        ("python3-jwt", "2.6.0-1+deb12u1"),
    ];
    assert_eq!(found, expected.map(|(name, version)| (name.to_owned(), version.to_owned())));
}

#[test]
fn candidates() {
    let output = "\
bash:
  Installed: 5.2.15-2+b8
  Candidate: 5.2.15-2+b13
  Version table:
     5.2.15-2+b13 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
 *** 5.2.15-2+b8 100
        100 /var/lib/dpkg/status
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
vim:
  Installed: (none)
  Candidate: 2:9.0.1378-2
  Version table:
";
    let policies = policies(output);
    let policy = |name: &str| (policies[name].installed.as_str(), policies[name].candidate.as_str());
    assert_eq!(policies.len(), 3);
    assert_eq!(policy("bash"), ("5.2.15-2+b8", "5.2.15-2+b13"));
    assert_eq!(policy("mail-transport-agent"), ("", ""));
    assert_eq!(policy("vim"), ("", "2:9.0.1378-2"));
    assert!(super::policies("  Installed: 1\n").is_empty());
}

#[test]
fn selected_states() {
    let output = "adduser\t\t\t\t\t\tinstall\nlinux-image-amd64\t\t\t\thold\nodd\n";
    let selections = selections(output);
    assert_eq!(
        (selections["adduser"].as_str(), selections["linux-image-amd64"].as_str()),
        ("install", "hold")
    );
    assert_eq!(selections.len(), 2);
}

#[test]
fn locks() {
    for (said, expected) in [
        (
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 3541 (unattended-upgr)\n\
             N: Be aware that removing the lock file is not a solution and may break your system.\n\
             E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
            "the lock /var/lib/dpkg/lock-frontend is held by process 3541 (unattended-upgr)",
        ),
        (
            "E: Could not get lock /var/lib/apt/lists/lock - open (11: Resource temporarily unavailable)\n\
             E: Unable to lock directory /var/lib/apt/lists/",
            "the lock /var/lib/apt/lists/lock is held by another process",
        ),
        (
            "E: Could not get lock /var/lib/dpkg/lock. It is held by process 0",
            "the lock /var/lib/dpkg/lock is held by another process",
        ),
        (
            "dpkg: error: dpkg frontend lock was locked by another process with pid 24\n\
             Note: removing the lock file is always wrong, can damage the locked area",
            "the dpkg frontend lock is held by process 24",
        ),
        (
            "dpkg: error: dpkg status database is locked by another process",
            "the dpkg status database is held by another process",
        ),
        (
            "dpkg: error: dpkg database lock was locked by another process",
            "the dpkg database lock is held by another process",
        ),
        (
            "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
            "the lock /var/lib/dpkg/lock-frontend is held by another process",
        ),
        ("E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?", ""),
        ("E: Unable to locate package nosuch", ""),
        ("E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)", ""),
    ] {
        assert_eq!(held_lock(said).unwrap_or_default(), expected);
    }
}

#[test]
fn an_interrupted_run() {
    let said =
        "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. ";
    assert!(is_interrupted(said) && !is_interrupted("E: Unable to locate package dpkg"));
}
