//! brine-connect.sh, the script that is carried to a machine: what it writes, and when it does not.

mod careful;
mod interrupted;
mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use brine_tests::Done;
use brine_tests::binaries::program;
use brine_tests::fixtures::{fingerprint, key_file, place_key};
use brine_tests::fleet::Fleet;
use machine::{Machine, SCRIPT};

const TOKEN: &str = "brt_8317000000000000000000000000000000000000000000000000000000008317";

#[test]
fn with_address_and_fingerprint_the_key_waits() {
    let machine = Machine::new();
    place_key("m1", &machine.file("pki/minion"), "minion");
    let before = machine.tree();
    machine
        .connect(&["--id", "web1"])
        .refused(2, &["has an identity", "no terminal", "--yes", "minion.yaml"]);
    machine.is_as_it_was(&before);
    let done = machine.connect(&["--id", "web1", "--server", "L'école: 1", "--yes"]).expect(0);
    assert!(
        done.stdout.contains("configured as web1: its key waits")
            && done.stdout.contains("brine-key -a web1"),
        "{}",
        done.stdout
    );
    assert_eq!(
        (machine.mode("minion.yaml"), machine.mode("pki/minion"), machine.mode("pki/minion/minion.pem")),
        (0o644, 0o700, 0o600)
    );
    let minion = machine.start();
    machine.until("web1", "m1", "pending");
    machine.fleet.act("accept", "web1", &fingerprint("m1"));
    machine.fleet.until_up("web1");
    assert!(!minion.log().contains("WARN"), "{}", minion.log());

    // The same again, with the minion running, whose state is its own: nothing is touched, and no
    // second backup made.
    assert_eq!(machine.backups().len(), 1, "the key was there before");
    let before = machine.tree();
    let done = machine.connect(&["--id", "web1", "--server", "L'école: 1"]).expect(0);
    assert!(done.stdout.contains("nothing to change"), "{}", done.stdout);
    let changed = machine.changed(&before);
    assert!(changed.iter().all(|path| path.starts_with("var")), "{changed:?}");
}

#[test]
fn nothing_is_written_before_the_master_has_shown_its_fingerprint() {
    let mut machine = Machine::new();
    let before = machine.tree();
    let wrong = fingerprint("master2");
    let done = machine.connect(&["--fingerprint", &wrong, "--token", TOKEN]);
    done.refused(4, &[&wrong, &fingerprint("master")]);
    assert!(!done.stderr.contains("8317"), "{}", done.stderr);
    let done = machine.run(&["--bundle", &machine.place_bundle(&machine.bundle()), "--fingerprint", &wrong]);
    done.refused(4, &["two different masters"]);
    machine.connect(&["--dry-run"]).expect(0);
    machine.fleet.kill_master();
    machine.connect(&[]).refused(3, &["cannot connect"]);
    machine.is_as_it_was(&before);
    assert_eq!(
        fs::read_dir(machine.fleet.dir())
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("brine-connect"))
            .count(),
        0
    );
}

#[test]
fn a_token_is_kept_private_and_goes_when_it_is_not_given_any_more() {
    let machine = Machine::new();
    let file = machine.fleet.dir().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let file = file.display().to_string();
    let done = machine.connect(&["--id", "web1", "--token-file", &file]).expect(0);
    let expected = format!("enrolment_token: '{TOKEN}'");
    assert!(machine.text("minion.d/60-enrolment.yaml").contains(&expected));
    assert_eq!(machine.mode("minion.d/60-enrolment.yaml"), 0o600);
    assert!(!machine.text("minion.yaml").contains("8317") && !done.stdout.contains("8317"));
    let before = machine.tree();

    // From the environment it is the same input.
    let here = machine.here();
    let mut command = machine.command(&here.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("BRINE_CONNECT_TOKEN", TOKEN);
    let done = Done::run(command).expect(0);
    assert!(done.stdout.contains("nothing to change"), "{}", done.stdout);
    machine.is_as_it_was(&before);

    machine.connect(&[]).expect(0);
    assert!(!machine.file("minion.d/60-enrolment.yaml").exists());
    let backup = &machine.backups()[0];
    assert!(!backup.join("minion.d").exists() && backup.join("minion.yaml").exists());
}

#[test]
fn a_bundle_brings_its_own_key() {
    let machine = Machine::new();
    place_key("m2", &machine.file("pki/minion"), "minion");
    fs::copy(key_file("m3.pem"), machine.file("pki/minion/minion.next.pem")).unwrap();
    let bundle = machine.place_bundle(&machine.bundle());
    let before = machine.tree();
    machine.run(&["--bundle", &bundle]).refused(2, &["has an identity", "--yes"]);
    machine.is_as_it_was(&before);
    let done = machine.run(&["--bundle", &bundle, "--yes"]).expect(0);
    assert!(
        done.stdout.contains("configured as web1") && done.stdout.contains("remove the bundle"),
        "{}",
        done.stdout
    );
    let read = |name: &str| fs::read_to_string(key_file(name)).unwrap();
    assert_eq!(machine.text("pki/minion/minion.pem"), read("m1.pem"));
    assert_eq!(machine.text("pki/minion/minion_master.pub"), read("master.pub"));
    assert!(!machine.file("pki/minion/minion.next.pem").exists(), "it belongs to the other identity");
    assert_eq!((machine.mode("pki/minion/minion.pem"), machine.mode("pki/minion")), (0o600, 0o700));
    let [backup] = &machine.backups()[..] else { panic!("one backup") };
    assert_eq!(fs::metadata(backup).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_to_string(backup.join("pki/minion/minion.pem")).unwrap(), read("m2.pem"));
    assert!(backup.join("pki/minion/minion.next.pem").exists());

    let mut minion = machine.start();
    machine.until("web1", "m1", "pending");
    assert!(minion.stop().success());
    let before = machine.tree();
    let done = machine.run(&["--bundle", &bundle]).expect(0);
    assert!(done.stdout.contains("nothing to change"), "{}", done.stdout);
    machine.is_as_it_was(&before);

    // Without its key, the line that names the bundle is not enough.
    fs::remove_file(machine.file("pki/minion/minion.pem")).unwrap();
    machine.run(&["--bundle", &bundle]).expect(0);
    assert_eq!(machine.text("pki/minion/minion.pem"), read("m1.pem"));
    let before = machine.tree();
    machine.run(&["--bundle", &bundle]).expect(0);
    machine.is_as_it_was(&before);

    // A key that was rotated since is the one that the master knows.
    place_key("m4", &machine.file("pki/minion"), "minion");
    let before = machine.tree();
    machine.run(&["--bundle", &bundle]).expect(0);
    machine.is_as_it_was(&before);
}

#[test]
fn a_bundle_that_cannot_be_used_changes_nothing() {
    let machine = Machine::new();
    let good = machine.bundle();
    let line = |start: &str| good.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let key: Vec<&str> = good.lines().skip_while(|line| !line.contains("BEGIN PRIVATE")).collect();
    let (half, body) = (good.find("-----END PRIVATE").unwrap(), key[3].to_owned());
    let before = machine.tree();
    for (bad, part) in [
        (good.replace("brine-bundle: 1", "brine-bundle: 2"), "version"),
        (good.replace("brine-bundle: 1\n", ""), "does not begin with"),
        (good[..half].to_owned(), "cut short"),
        (good.replace("-----END PUBLIC KEY-----", ""), "cut short"),
        (good.replace(&line("minion-id"), ""), "minion-id"),
        (good.replace(&line("minion-id"), "minion-id: a\nminion-id: b"), "twice"),
        (good.replace(&line("minion-id"), "minion-id: ../x"), "minion id"),
        (good.replace(&line("minion-id"), "minion-id: \u{1b}[31m"), "line 3"),
        (good.replace(&line("server"), "server: $(touch /tmp/x)"), "no uuid"),
        (good.replace(&line("expires"), "expires: 2020-01-01T00:00:00.000000Z"), "expired at 2020-01-01"),
        (good.replace(&line("expires"), "expires: tomorrow"), "expires is not understood"),
        (
            good.replace(&line("master-finger"), &format!("master-finger: {}", fingerprint("m1"))),
            "not that of",
        ),
        (good.replace(&line("ret-port"), "ret-port: 99999"), "port"),
        (good.replace(&body, "AAAA"), "minion.pem"),
        (format!("{good}more\n"), "not understood"),
        (String::new(), "empty"),
        ("x".repeat(70_000), "more than 65536"),
    ] {
        let done = machine.run(&["--bundle", &machine.place_bundle(&bad)]);
        done.refused(7, &[part]);
        assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains(&body), "{}", done.stderr);
        machine.is_as_it_was(&before);
    }
    machine.run(&["--bundle", "/nowhere"]).refused(7, &["cannot be read"]);
    let done = machine.run(&["--bundle", &machine.place_bundle(&good), "--token", TOKEN]);
    done.refused(2, &["not both"]);
    // Written where lines end otherwise, it is still the same.
    machine.run(&["--bundle", &machine.place_bundle(&good.replace('\n', "\r\n"))]).expect(0);
    assert_eq!(machine.text("pki/minion/minion.pem"), fs::read_to_string(key_file("m1.pem")).unwrap());
}

#[test]
fn without_a_terminal_what_is_missing_is_named() {
    let machine = Machine::new();
    let before = machine.tree();
    machine.run(&[]).refused(2, &["the master is missing", "--master", "BRINE_CONNECT_MASTER"]);
    let done = machine.run(&["--master", "127.0.0.1"]);
    done.refused(2, &["fingerprint is missing", "--fingerprint", "BRINE_CONNECT_FINGER"]);
    for (flags, part) in [
        (&["--ret-port", "0"][..], "port"),
        (&["--master", "a:4506"], "--ret-port"),
        (&["--master", "-x"], "no host name"),
        (&["--id", "a b"], "--id"),
        (&["--server", "a\nb"], "one line"),
        (&["--token", "8317 $x"], "enrolment token"),
        (&["--fingerprint", "8317"], "64 hex digits"),
        (&["--binary", "/bin/true"], "--sha256"),
        (&["--id"], "needs a value"),
        (&["--frobnicate"], "no such flag"),
        (&["web1"], "only flags"),
        (&["--prefix", "x"], "absolute"),
    ] {
        let done = machine.connect(flags);
        done.refused(2, &[part]);
        assert!(!done.stderr.contains("8317"), "{}", done.stderr);
    }
    machine.connect(&["--root-dir", "/nowhere"]).refused(6, &["does not exist"]);
    machine.is_as_it_was(&before);
    let help = machine.run(&["--help"]).expect(0).stdout;
    for word in ["--bundle", "BRINE_CONNECT_MASTER", "Exit codes", "brine token create"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn settings_in_the_script_win_over_the_environment_and_lose_to_flags() {
    let machine = Machine::new();
    let line = "# @brine-settings@\n";
    let text = fs::read_to_string(SCRIPT).unwrap();
    assert_eq!(text.matches(line).count(), 1);
    let settings = format!(
        "BRINE_CONNECT_MASTER='127.0.0.1'\nBRINE_CONNECT_PUBLISH_PORT='{}'\nBRINE_CONNECT_RET_PORT='{}'\n\
         BRINE_CONNECT_FINGER='{}'\nBRINE_CONNECT_ID='set'\nBRINE_CONNECT_SERVER='set'\n",
        machine.fleet.publish_port,
        machine.fleet.ret_port,
        fingerprint("master"),
    );
    let script = machine.fleet.dir().join("connect.sh");
    fs::write(&script, text.replace(line, &settings)).unwrap();
    let mut command = machine.command_of(&script, &["--id", "flag"]);
    command.env("BRINE_CONNECT_MASTER", "192.0.2.1").env("BRINE_CONNECT_SERVER", "environment");
    command.env("BRINE_CONNECT_TOKEN", TOKEN).env("BRINE_ID", "other");
    Done::run(command).expect(0);
    let written = machine.text("minion.yaml");
    for option in ["master: '127.0.0.1'", "id: 'flag'", "server: 'set'"] {
        assert!(written.contains(option), "{option} is not in\n{written}");
    }
    assert!(machine.text("minion.d/60-enrolment.yaml").contains(TOKEN), "nothing else set one");

    // With a bundle in it, the script is all that a machine needs.
    let other = Machine::of(Fleet::start());
    fs::write(&script, text.replace(line, &format!("BRINE_CONNECT_BUNDLE='{}'\n", other.bundle()))).unwrap();
    Done::run(other.command_of(&script, &[])).expect(0);
    assert_eq!(other.text("pki/minion/minion.pem"), fs::read_to_string(key_file("m1.pem")).unwrap());
}

#[test]
fn somebody_elses_configuration_is_left_alone() {
    let machine = Machine::new();
    fs::create_dir_all(machine.file("minion.d")).unwrap();
    let theirs = "master: elsewhere\nmaster_port: 7\nid: db1\nlog_level: debug\n";
    fs::write(machine.file("minion.yaml"), theirs).unwrap();
    fs::write(machine.file("minion.d/10-more.yaml"), "publish_port: 9\n").unwrap();

    // What is read after ours would win.
    let later = machine.file("minion.d/70-later.yaml");
    for (text, part) in [
        ("master_finger: x\n", "70-later.yaml"),
        ("id: other\n", "another id"),
        ("nonsense: 1\n", "unknown option"),
    ] {
        fs::write(&later, text).unwrap();
        let before = machine.tree();
        let done = machine.connect(&["--id", "web1"]);
        done.refused(8, &[part]);
        assert!(!done.stderr.contains(".brine-connect."), "{}", done.stderr);
        let after = machine.tree();
        // The folder was made ready to be tried; what is in it is as it was.
        assert!(
            after.keys().eq(before.keys())
                && after.values().zip(before.values()).all(|(a, b)| a.content == b.content)
        );
    }
    fs::remove_file(later).unwrap();

    // Which id that is has to be clear.
    fs::write(machine.file("minion.d/10-more.yaml"), "nonsense: 1\n").unwrap();
    machine.connect(&[]).refused(8, &["--id", "10-more.yaml:1: unknown option"]);
    fs::write(machine.file("minion.d/10-more.yaml"), "publish_port: 9\n").unwrap();

    // The id that the machine has is kept.
    machine.connect(&[]).expect(0);
    assert_eq!(machine.text("minion.yaml"), theirs);
    assert!(machine.text("minion.d/50-brine-connect.yaml").contains("id: 'db1'"));
    place_key("m1", &machine.file("pki/minion"), "minion");
    let _minion = machine.start();
    machine.until("db1", "m1", "pending");
}

#[test]
fn a_program_is_installed_only_with_its_checksum() {
    use std::io::Read;
    let machine = Machine::new();
    let binary = program("brine-minion").display().to_string();
    let before = machine.tree();
    let wrong = "ab".repeat(32);
    let done = machine.connect(&["--binary", &binary, "--sha256", &wrong]);
    done.refused(5, &["checksum", "not installed"]);
    machine.connect(&["--binary", "/nowhere", "--sha256", &wrong]).refused(5, &["cannot be read"]);
    machine.is_as_it_was(&before);
    let mut command = machine.command(&[]);
    command.args(machine.here()).env("PATH", "/usr/bin:/bin");
    Done::run(command).refused(5, &["brine-minion is not on this machine", "--binary"]);

    let mut bytes = Vec::new();
    fs::File::open(&binary).unwrap().read_to_end(&mut bytes).unwrap();
    let sum: String = sha2_of(&bytes);
    let flags = ["--id", "web1", "--binary", &binary, "--sha256", &sum];
    machine.connect(&flags).expect(0);
    let installed = machine.root.join("usr/local/bin/brine-minion");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(&installed).unwrap(), bytes);
    let before = machine.tree();
    machine.connect(&flags).expect(0);
    machine.is_as_it_was(&before);

    // What was installed is used from then on, and removed in the end.
    let mut command = machine.command(&[]);
    command.args(machine.here()).env("PATH", "/usr/bin:/bin");
    let done = Done::run(command).expect(0);
    assert!(done.stdout.contains("nothing to change"), "{}", done.stdout);
    machine.run(&["--uninstall", "--yes"]).expect(0);
    assert!(!installed.exists());
}

fn sha2_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn uninstalling_leaves_only_the_backup() {
    let machine = Machine::new();
    let done = machine.run(&["--uninstall"]).expect(0);
    assert!(done.stdout.contains("nothing to remove"), "{}", done.stdout);
    let bundle = machine.place_bundle(&machine.bundle());
    machine.run(&["--bundle", &bundle]).expect(0);
    let mut minion = machine.start();
    machine.until("web1", "m1", "pending");
    let before = machine.tree();
    machine.run(&["--uninstall"]).refused(2, &["no terminal", "--yes", "remove the key"]);
    machine.run(&["--uninstall", "--yes"]).refused(9, &["runs here still", "stop it first"]);
    machine.run(&["--uninstall", "--dry-run"]).expect(0);
    machine.is_as_it_was(&before);
    assert!(minion.stop().success());

    let done = machine.run(&["--uninstall", "--yes"]).expect(0);
    assert!(done.stdout.contains("brine-key -d web1 or brine server unpair"), "{}", done.stdout);
    let [backup] = &machine.backups()[..] else { panic!("one backup") };
    for name in ["minion.yaml", "pki/minion/minion.pem", "pki/minion/minion_master.pub"] {
        assert!(backup.join(name).is_file(), "{name}");
    }
    let is_kept = |path: &PathBuf| machine.root.join(path).starts_with(backup);
    let left: Vec<_> = machine.tree().into_keys().filter(|path| !is_kept(path)).collect();
    assert_eq!(left, ["etc", "etc/brine", "var", "var/lib"].map(PathBuf::from));
    let done = machine.run(&["--uninstall"]).expect(0);
    assert!(done.stdout.contains("nothing to remove"), "{}", done.stdout);
}
