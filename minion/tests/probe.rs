//! `brine-minion probe-master` against masters of all kinds.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod fake;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::key::PrivateKey;
use brine_protocol::Fingerprint;
use brine_protocol::zmtp::SocketType;
use fake::{Conn, Master};

fn probe(root: &Path, ports: (u16, u16), arguments: &[&str]) -> Output {
    let (publish, ret) = (ports.0.to_string(), ports.1.to_string());
    Command::new(env!("CARGO_BIN_EXE_brine-minion"))
        .arg("--root-dir")
        .arg(root)
        .args(["probe-master", "127.0.0.1", "--publish-port", &publish, "--ret-port", &ret])
        .args(arguments)
        .env("TMPDIR", root)
        .output()
        .unwrap()
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

fn ports(master: &Master) -> (u16, u16) {
    (port(&master.publish), port(&master.ret))
}

/// Probes a master, and makes sure that it was told nothing and that nothing was written.
#[track_caller]
fn probed(
    master: Master,
    root: &Path,
    expect: Option<Fingerprint>,
    subscribes: bool,
) -> (i32, String, String) {
    let at = ports(&master);
    let Master { config, ret, publish, .. } = master;
    let serving = thread::spawn(move || {
        let mut conn = Conn::accept(&ret, SocketType::Router);
        conn.send(&[config.offer([1; 32]).message()]);
        conn.next()
    });
    let subscribing = thread::spawn(move || {
        if subscribes {
            return Conn::accept(&publish, SocketType::Pub).next().is_none();
        }
        publish.set_nonblocking(true).unwrap();
        publish.accept().is_err()
    });
    let before = tree(root);
    let expect = expect.map(|expected| expected.to_string());
    let arguments: Vec<&str> = expect.iter().flat_map(|expected| ["--expect", expected]).collect();
    let done = probe(root, at, &arguments);
    assert_eq!(serving.join().unwrap(), None, "no Hello");
    assert!(subscribing.join().unwrap(), "the publish port is asked when the key is right, and told nothing");
    assert_eq!(tree(root), before, "nothing is written");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn tree(root: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            found.push((entry.path(), fs::read(entry.path()).ok()));
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_right_master() {
    let root = tempfile::tempdir().unwrap();
    // Options that make no sense yet are no obstacle: they are about to be written.
    fs::create_dir_all(root.path().join("etc/brine")).unwrap();
    fs::write(root.path().join("etc/brine/minion.yaml"), "nonsense: 1\n").unwrap();
    let master = Master::new("m2", 1);
    let key = master.key.public().fingerprint();
    let (code, out, err) = probed(master, root.path(), Some(key), true);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains(&key.to_string()) && out.contains("as expected") && out.lines().count() == 1,
        "{out}"
    );
}

#[test]
fn without_an_expectation_nothing_is_verified() {
    let root = tempfile::tempdir().unwrap();
    let master = Master::new("m2", 1);
    let key = master.key.public().fingerprint();
    let (code, out, err) = probed(master, root.path(), None, true);
    assert_eq!((code, out), (0, format!("{key}\n")));
    assert!(err.contains("nothing was verified") && err.contains("brine-key -F master"), "{err}");
}

#[test]
fn another_master() {
    let root = tempfile::tempdir().unwrap();
    let master = Master::new("m2", 1);
    let (got, expected) = (master.key.public().fingerprint(), Fingerprint([0xab; 32]));
    let (code, out, err) = probed(master, root.path(), Some(expected), false);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&got.to_string()) && err.contains(&expected.to_string()), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_key_that_is_only_announced_is_not_there_yet() {
    let root = tempfile::tempdir().unwrap();
    let next = Fingerprint([0xab; 32]);
    let mut master = Master::new("m2", 1);
    let succession = Succession { successor: Some(next), ..Succession::default() };
    master.config = Agreement::new(&master.key, 2, [4; 32], &succession);
    let (code, _, err) = probed(master, root.path(), Some(next), false);
    assert_eq!(code, 1);
    assert!(err.contains("announces as its next key"), "{err}");
}

#[test]
fn a_key_that_the_expected_one_announced_here_is_the_one() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/brine/pki/minion");
    fs::create_dir_all(&folder).unwrap();
    let key = |name: &str| PrivateKey::from_pem(&fs::read_to_string(fake::key_file(name)).unwrap()).unwrap();
    let (old, new) = (key("m3"), key("m2"));
    let [old, new] = [&old, &new].map(|key| key.public().clone());
    let trust = brine_minion::trust::Trust::new(&folder, None);
    trust.remember(&old, 4, Some(new.fingerprint())).unwrap();
    let (code, out, err) = probed(Master::new("m2", 5), root.path(), Some(old.fingerprint()), true);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("announced") && out.contains(&new.fingerprint().to_string()), "{out}");

    // And as the minion itself would, it refuses a config of before.
    trust.remember(&new, 7, None).unwrap();
    let (code, _, err) = probed(Master::new("m2", 6), root.path(), Some(new.fingerprint()), false);
    assert_eq!(code, 1);
    assert!(err.contains("serial 6"), "{err}");
}

#[test]
fn a_config_that_its_key_did_not_sign() {
    let root = tempfile::tempdir().unwrap();
    let master = Master::new("m2", 1);
    let key = master.key.public().fingerprint();
    let mut offer = master.config.offer([1; 32]).message().to_vec();
    *offer.last_mut().unwrap() ^= 1;
    let at = ports(&master);
    let serving = thread::spawn(move || {
        let mut conn = Conn::accept(&master.ret, SocketType::Router);
        conn.send(&[&offer]);
        conn.next()
    });
    let done = probe(root.path(), at, &["--expect", &key.to_string()]);
    assert_eq!((done.status.code(), serving.join().unwrap()), (Some(1), None));
    let err = String::from_utf8(done.stderr).unwrap();
    assert!(err.contains("signature") && err.lines().count() == 1, "{err}");
}

#[test]
fn what_is_no_master() {
    let root = tempfile::tempdir().unwrap();
    let free = || port(&TcpListener::bind("127.0.0.1:0").unwrap());
    let check = |done: Output, part: &str| {
        let err = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), done.stdout.is_empty()), (Some(1), true), "{err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{part}: {err}");
    };
    check(probe(root.path(), (free(), free()), &[]), "cannot connect");

    // Nobody is behind the publish port.
    let master = Master::new("m2", 1);
    let at = (free(), port(&master.ret));
    let serving = thread::spawn(move || {
        let mut conn = Conn::accept(&master.ret, SocketType::Router);
        conn.send(&[master.config.offer([1; 32]).message()]);
        conn.next()
    });
    check(probe(root.path(), at, &[]), "not on its publish port");
    serving.join().unwrap();

    // A listener that says nothing, and bytes that would abort a process that trusts them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = (port(&silent), port(&silent));
    check(probe(root.path(), at, &["--timeout", "0.3"]), "did not answer");
    let attack = [&brine_protocol::zmtp::greeting()[..], &[6], &(1_u64 << 60).to_be_bytes()].concat();
    for (bytes, part) in [(attack, "READY"), (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "no ZMTP")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = (port(&listener), port(&listener));
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&bytes).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        check(probe(root.path(), at, &[]), part);
        serving.join().unwrap();
    }
    assert!(tree(root.path()).is_empty());
}
