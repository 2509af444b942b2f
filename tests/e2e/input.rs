//! Bad input: one clear sentence that names the place, a non-zero exit, and nothing changed.

use std::fs;
use std::path::Path;

use brine_tests::fixtures::place_key;
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;

/// Every file under a folder with its contents.
fn tree(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Checks a refusal: not 0, not a crash, every text said, and the folder as before.
fn refused(done: &Done, texts: &[&str], folder: &Path, before: &[(std::path::PathBuf, Vec<u8>)]) {
    assert!((1..126).contains(&done.code), "a refusal, not a crash: {done:?}");
    done.refused(done.code, texts);
    let lines = done.stderr.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 4, "one clear sentence, not a report:\n{}", done.stderr);
    assert_eq!(tree(folder), before, "something was changed");
}

#[test]
fn malformed_master_options() {
    for (options, texts) in [
        ("publish_prot: 4505\n", &["master.yaml", "publish_prot", "publish_port", "5"][..]),
        ("timeout: soon\n", &["master.yaml", "timeout"]),
        ("timeout: -1\n", &["master.yaml", "timeout"]),
        ("heartbeat: 0\n", &["master.yaml", "heartbeat"]),
        ("keep_jobs_seconds: [1]\n", &["master.yaml", "keep_jobs_seconds"]),
        ("roles: {alice: {role: king}}\n", &["master.yaml", "king"]),
        ("roles: {alice: {rank: admin}}\n", &["master.yaml", "rank"]),
        ("a: [1\n", &["master.yaml"]),
        ("- just\n- a list\n", &["master.yaml"]),
        ("interface: 127.0.0.1\n", &["master.yaml", "interface"]),
        ("\u{0}", &["master.yaml"]),
        ("x: !!python/object/apply:os.system ['true']\n", &["master.yaml"]),
    ] {
        let fleet = Fleet::prepare(options);
        let before = tree(&fleet.root());
        let done = Done::run(fleet.command("brine-master", &[]));
        eprintln!("{options:?}: {}", done.stderr);
        refused(&done, texts, &fleet.root(), &before);
    }
}

#[test]
fn options_in_the_folder_of_more_options_are_named_by_their_file() {
    let fleet = Fleet::prepare("");
    let more = fleet.root().join("etc/brine/master.d");
    fs::create_dir_all(&more).unwrap();
    fs::write(more.join("extra.yaml"), "timeout: 3\nworker_threads: 5\n").unwrap();
    let before = tree(&fleet.root());
    let done = Done::run(fleet.command("brine-master", &[]));
    refused(&done, &["extra.yaml", "worker_threads", "2"], &fleet.root(), &before);
}

#[test]
fn malformed_minion_options() {
    let long = format!("id: {}\n", "a".repeat(254));
    for (text, texts) in [
        ("master: 127.0.0.1\nidd: m1\n", &["minion.yaml", "idd", "id"][..]),
        ("master: 127.0.0.1\nid: ../../etc/passwd\n", &["minion.yaml", "id"]),
        ("master: 127.0.0.1\nid: 'a b'\n", &["minion.yaml", "id"]),
        ("master: 127.0.0.1\nid: \"a\\e[31m\"\n", &["minion.yaml", "id"]),
        ("master: 127.0.0.1\nid: café\n", &["minion.yaml", "id"]),
        ("master: 127.0.0.1\nid: -a\n", &["minion.yaml", "id"]),
        (&long, &["minion.yaml", "253"]),
        ("master: 127.0.0.1\nid: m1\nret_port: 70000\n", &["minion.yaml", "ret_port"]),
        ("master: 127.0.0.1\nid: m1\nmaster_finger: abc\n", &["minion.yaml", "finger"]),
        ("master: 127.0.0.1\nid: m1\nkeysize: 1024\n", &["minion.yaml", "keysize"]),
        ("master: ''\nid: m1\n", &["minion.yaml", "master"]),
        ("master: [a\n", &["minion.yaml"]),
    ] {
        let fleet = Fleet::prepare("");
        let minion = fleet.prepare_minion("m1");
        fs::write(minion.root().join("etc/brine/minion.yaml"), text).unwrap();
        let before = tree(&minion.root());
        let done = minion.run(&[]);
        eprintln!("{text:?}: {}", done.stderr);
        refused(&done, texts, &minion.root(), &before);
    }
}

#[test]
fn unknown_flags_and_arguments() {
    let fleet = Fleet::prepare("");
    let minion = fleet.prepare_minion("m1");
    for program in ["brine-master", "brine", "brine-key"] {
        let done = Done::run(fleet.command(program, &["--no-such-flag"]));
        done.refused(2, &["--no-such-flag"]);
    }
    minion.run(&["--no-such-flag"]).refused(2, &["--no-such-flag"]);
    minion.run(&["dance"]).refused(2, &["dance"]);
    fleet.brine_key(&["-l", "sideways"]).refused(2, &["sideways"]);
    fleet.brine_key(&["-a", "x", "-r", "y"]).refused(2, &["-"]);
    fleet.brine(&["-t", "soon", "*", "test.ping"]).refused(2, &["soon"]);
    fleet.brine(&["jobs", "show"]).refused(2, &["jid"]);
}

#[test]
fn a_path_too_long_for_a_socket_is_said() {
    let fleet = Fleet::prepare("");
    let deep = fleet.dir().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let mut command = std::process::Command::new(brine_tests::binaries::program("brine-master"));
    command.arg("--root-dir").arg(&deep);
    let done = Done::run(command);
    assert!((1..126).contains(&done.code), "{done:?}");
    done.refused(done.code, &["control.sock", "107"]);
}

#[test]
fn malformed_key_files() {
    let small = "-----BEGIN PRIVATE KEY-----\nMIIBVQ==\n-----END PRIVATE KEY-----\n";
    let public = fs::read_to_string(brine_tests::fixtures::key_file("m1.pub")).unwrap();
    for (text, texts) in [
        ("", &["master.pem"][..]),
        ("garbage\n", &["master.pem"]),
        (small, &["master.pem"]),
        (&public, &["master.pem"]),
    ] {
        let fleet = Fleet::prepare("");
        let path = fleet.root().join("etc/brine/pki/master/master.pem");
        fs::write(&path, text).unwrap();
        let before = tree(&fleet.root().join("etc"));
        let done = Done::run(fleet.command("brine-master", &[]));
        eprintln!("{text:?}: {}", done.stderr);
        refused(&done, texts, &fleet.root().join("etc"), &before);
        let minion = fleet.prepare_minion("m1");
        fs::write(minion.root().join("etc/brine/pki/minion/minion.pem"), text).unwrap();
        let before = tree(&minion.root().join("etc"));
        refused(&minion.run(&[]), &["minion.pem"], &minion.root().join("etc"), &before);
    }
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let fleet = Fleet::prepare("");
    let path = fleet.root().join("etc/brine/pki/master/master.pem");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let done = Done::run(fleet.command("brine-master", &[]));
    done.refused(done.code, &["master.pem"]);
    assert_ne!(done.code, 0);
}

#[test]
fn a_public_key_of_another_pair_is_refused() {
    let fleet = Fleet::prepare("");
    let folder = fleet.root().join("etc/brine/pki/master");
    place_key("m1", &folder, "other");
    fs::rename(folder.join("other.pub"), folder.join("master.pub")).unwrap();
    fs::remove_file(folder.join("other.pem")).unwrap();
    let before = tree(&folder);
    let done = Done::run(fleet.command("brine-master", &[]));
    refused(&done, &["master.pub"], &folder, &before);
}
