//! Salt folders with all that people leave in them.

use std::fs;
use std::os::unix::fs::symlink;

use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
use brine_pki::key::{PrivateKey, PublicKey};

use super::*;
use crate::select::tests::key;

struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for state in folder::SALT_STATES {
            fs::create_dir_all(dir.path().join("master").join(state.salt_name())).unwrap();
        }
        Self { dir }
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join("master").join(file), text).unwrap();
    }

    fn read(&self) -> Found {
        folder::read(&folder::root(self.dir.path()).unwrap()).unwrap()
    }
}

fn made() -> PublicKey {
    PrivateKey::generate(2048).unwrap().public().clone()
}

#[test]
fn only_keys_are_taken_for_keys() {
    let folder = Folder::new();
    let (a, b) = (made().to_pem(), made().to_pem());
    folder.put("minions/web1", &a);
    folder.put("minions_pre/web2", a.trim_end());
    folder.put("minions_denied/web1", &format!("{b}{a}"));
    folder.put("minions/.web3", &a);
    folder.put("minions/-rf", &a);
    folder.put("minions/localhost", &a);
    folder.put("minions/empty", "");
    folder.put("minions/garbage", "garbage");
    folder.put("minions/old", "-----BEGIN RSA PUBLIC KEY-----\nMAo=\n-----END RSA PUBLIC KEY-----\n");
    folder.put("minions/two", &format!("{a}{b}"));
    folder.put("minions/small", include_str!("../../../pki/tests/keys/small.pub"));
    folder.put("minions/huge", &"x".repeat(100_000));
    fs::create_dir(folder.dir.path().join("master/minions/dir")).unwrap();
    symlink("/etc/hostname", folder.dir.path().join("master/minions/link")).unwrap();
    nix::unistd::mkfifo(&folder.dir.path().join("master/minions/pipe"), nix::sys::stat::Mode::S_IRUSR)
        .unwrap();
    let found = folder.read();
    let keys: Vec<(&str, KeyState)> = found.keys.iter().map(|key| (key.id.as_str(), key.state)).collect();
    assert_eq!(keys, [("web2", Pending), ("web1", Accepted), ("web1", Denied)]);
    let mut why: Vec<String> =
        found.left_out.iter().map(|left| format!("{}: {}", left.file, left.why)).collect();
    why.sort();
    let expected = [
        ("minions/-rf", "begins and ends"),
        ("minions/.web3", "hidden"),
        ("minions/dir", "no regular file"),
        ("minions/empty", "no public key"),
        ("minions/garbage", "no public key"),
        ("minions/huge", "larger than"),
        ("minions/link", "symlink"),
        ("minions/localhost", "another meaning"),
        ("minions/old", "openssl rsa -RSAPublicKey_in"),
        ("minions/pipe", "no regular file"),
        ("minions/small", "bits"),
        ("minions/two", "2 keys"),
        ("minions_denied/web1", "another state"),
    ];
    assert_eq!(why.len(), expected.len(), "{why:#?}");
    for (why, (file, part)) in why.iter().zip(expected) {
        assert!(why.starts_with(&format!("{file}: ")) && why.contains(part), "{why}");
    }
    let web1 = found.keys.iter().find(|key| key.state == Accepted).unwrap();
    assert_eq!(web1.salt, brine_pki::salt::salt_fingerprint(&a));
    assert_ne!(web1.salt, web1.key.fingerprint().to_string());
}

#[test]
fn nobody_is_let_in_whom_salt_kept_out() {
    let folder = Folder::new();
    let (a, b) = (made().to_pem(), made().to_pem());
    folder.put("minions/web1", &a);
    folder.put("minions_rejected/web1", &b);
    folder.put("minions/web2", &a);
    folder.put("minions_rejected/web2", &a);
    let found = folder.read();
    let keys: Vec<(&str, KeyState)> = found.keys.iter().map(|key| (key.id.as_str(), key.state)).collect();
    assert_eq!(keys, [("web1", Rejected), ("web2", Rejected)]);
    assert!(found.left_out[0].why.contains("keeps this minion out"), "{:?}", found.left_out);
    assert!(found.left_out[1].why.contains("another state"), "{:?}", found.left_out);
}

#[test]
fn a_denied_key_comes_only_beside_the_one_that_keeps_it_out() {
    let folder = Folder::new();
    let (a, b) = (made().to_pem(), made().to_pem());
    // The machine's own key is left out, so that the impostor's would wait alone.
    folder.put("minions/small", include_str!("../../../pki/tests/keys/small.pub"));
    for (file, key) in [
        ("minions_denied/small", &b),
        ("minions_denied/nobody", &b),
        ("minions_pre/waits", &a),
        ("minions_denied/waits", &b),
        ("minions/web1", &a),
        ("minions_denied/web1", &b),
        ("minions_rejected/bad1", &a),
        ("minions_denied/bad1", &b),
        ("minions_denied/here", &b),
        ("minions_denied/pends", &b),
        ("minions_denied/ruled", &b),
    ] {
        folder.put(file, key);
    }
    let ruled = Key { rule: Some("autoreject_file: *".to_owned()), ..key("ruled", Rejected, 3) };
    let plan = plan(folder.read(), &[key("here", Suspended, 1), key("pends", Pending, 2), ruled]);
    let taken: Vec<(&str, KeyState)> = plan
        .take
        .iter()
        .map(|key| (key.id.as_str(), key.state))
        .filter(|(_, state)| *state == Denied)
        .collect();
    assert_eq!(taken, [("bad1", Denied), ("here", Denied), ("web1", Denied)]);
    let mut left: Vec<&str> = plan
        .left_out
        .iter()
        .filter(|left| left.why.contains("Salt denies it"))
        .map(|left| left.file.as_str())
        .collect();
    left.sort_unstable();
    let expected = ["nobody", "pends", "ruled", "small", "waits"].map(|id| format!("minions_denied/{id}"));
    assert_eq!(left, expected);
}

/// The accepted key finds no room, so the denied one must not wait in its place.
#[tokio::test]
async fn a_denied_key_does_not_come_when_its_holder_is_refused() {
    let folder = Folder::new();
    let (a, b) = (made().to_pem(), made().to_pem());
    for (file, key) in [
        ("minions/db1", &a),
        ("minions_denied/db1", &b),
        ("minions/web1", &a),
        ("minions_denied/web1", &b),
        ("minions_pre/new1", &a),
    ] {
        folder.put(file, key);
    }
    let root = tempfile::tempdir().unwrap();
    let paths = brine_local::Paths::new(Some(root.path()), None);
    fs::create_dir_all(paths.config_dir()).unwrap();
    fs::create_dir_all(paths.master_state_dir()).unwrap();
    fs::write(paths.config_file("master"), "max_minions: 1\n").unwrap();
    fs::write(paths.ledger(), "").unwrap();
    let mut source = Source::open(&paths, None).await.unwrap();
    let plan = plan(folder.read(), &source.keys().await.unwrap());
    let outcomes = take_in(&mut source, &plan, "why").await.unwrap();
    let taken = sort(&plan, outcomes, &source.keys().await.unwrap());
    let done: Vec<(&str, KeyState)> =
        taken.done.iter().map(|(key, state)| (key.id.as_str(), *state)).collect();
    assert_eq!(done, [("new1", Pending), ("db1", Accepted), ("db1", Denied)]);
    let refused: Vec<(&str, bool)> =
        taken.refused.iter().map(|(key, why)| (key.id.as_str(), why.contains("max_minions"))).collect();
    assert_eq!(refused, [("web1", true), ("web1", false)]);
    assert_eq!(
        summary(&plan, &taken),
        "Imported: 1 accepted, 1 denied, 1 pending. Here already: 0. Left out: 0. Refused: 2.\n"
    );
}

#[test]
fn what_is_here_already_is_told_apart() {
    let mine = made();
    let other = made();
    let from_salt = |id: &str, state, public: &PublicKey| SaltKey {
        id: id.parse().unwrap(),
        state,
        key: public.clone(),
        salt: "s".to_owned(),
        salt_key: "k".to_owned(),
        file: format!("x/{id}"),
    };
    let here =
        |id: &str, state, public: &PublicKey| Key { fingerprint: public.fingerprint(), ..key(id, state, 1) };
    type Case = (KeyState, Option<(KeyState, bool)>, &'static str);
    // State there; state here and whether it is the same key; what is done.
    let table: &[Case] = &[
        (Accepted, None, "take"),
        (Accepted, Some((Accepted, true)), "here"),
        (Accepted, Some((Accepted, false)), "held here by the accepted key"),
        (Accepted, Some((Suspended, false)), "held here by the suspended key"),
        (Accepted, Some((Pending, false)), "take"),
        (Accepted, Some((Rejected, true)), "accepted there and rejected here"),
        (Pending, Some((Denied, true)), "here"),
        (Denied, Some((Accepted, false)), "take"),
        (Rejected, Some((Accepted, false)), "take"),
        (Rejected, Some((Accepted, true)), "rejected there and accepted here"),
    ];
    for (there, now, expected) in table {
        let found = Found { keys: vec![from_salt("web1", *there, &mine)], left_out: Vec::new() };
        let here: Vec<Key> = now
            .iter()
            .map(|(state, is_same)| here("web1", *state, if *is_same { &mine } else { &other }))
            .collect();
        let plan = plan(found, &here);
        let done = match (plan.take.len(), plan.here_already.len(), plan.left_out.as_slice()) {
            (1, 0, []) => "take",
            (0, 1, []) => "here",
            (0, 0, [left]) => left.why.as_str(),
            other => panic!("{other:?}"),
        };
        assert!(done.contains(expected), "{there:?} {now:?}: {done}");
        assert!(page(&plan).contains("left out"), "a summary");
    }
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let failure = folder::root(folder.path()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.to_string().contains("minions_pre"), "{failure}");
}
