//! Real files in a temporary folder.

use super::*;
use std::os::unix::fs::{FileExt, PermissionsExt};

fn key() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../../../pki/tests/keys/minion.pem")).expect("a key")
}

fn master() -> PublicKey {
    let pem = include_str!("../../../pki/tests/keys/master.pem");
    PrivateKey::from_pem(pem).expect("a key").public().clone()
}

fn server() -> ServerId {
    "6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e".parse().expect("a uuid")
}

fn bundle() -> Secret {
    let head = Head {
        server: server(),
        minion: "eluard".parse().expect("an id"),
        master: "brine.example.org".to_owned(),
        publish_port: 4505,
        ret_port: 4506,
        until: Timestamp(1_795_327_652_000_000),
    };
    head.bundle(&key(), &master())
}

fn folder() -> (tempfile::TempDir, Bundles) {
    let root = tempfile::tempdir().expect("a folder");
    let bundles = Bundles::open(&root.path().join("pki/bundles")).expect("opens");
    (root, bundles)
}

fn names(bundles: &Bundles) -> Vec<String> {
    let found = fs::read_dir(&bundles.folder).expect("a folder");
    found.map(|found| found.expect("a file").file_name().into_string().expect("a name")).collect()
}

#[test]
fn a_bundle_is_lines_and_two_pem_blocks() {
    let text = bundle();
    let head: Vec<&str> = text.expose().lines().take(9).collect();
    let finger = format!("master-finger: {}", master().fingerprint());
    assert_eq!(
        head,
        [
            "brine-bundle: 1",
            "server: 6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e",
            "minion-id: eluard",
            "master: brine.example.org",
            "publish-port: 4505",
            "ret-port: 4506",
            &finger,
            "expires: 2026-11-22T06:07:32.000000Z",
            "-----BEGIN PRIVATE KEY-----",
        ]
    );
    let (_, public) = text.expose().split_once("-----END PRIVATE KEY-----\n").expect("two blocks");
    assert_eq!(PublicKey::from_pem(public).expect("a key"), master());
    assert_eq!(key_in(text.expose()), Some(key().public().fingerprint()));
    assert_eq!(format!("{text:?}"), "(secret)");
}

fn stored(bundles: &Bundles, server: ServerId, bundle: &Secret) {
    bundles.write(server, bundle).expect("written");
    bundles.keep(server).expect("kept");
}

#[test]
fn it_is_private_and_taken_once() {
    let (_root, bundles) = folder();
    stored(&bundles, server(), &bundle());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode(&bundles.folder), mode(&bundles.path(server()))), (0o700, 0o600));
    // Whoever had the file open reads zeros.
    let open = fs::File::open(bundles.path(server())).expect("opens");
    let len = usize::try_from(open.metadata().expect("metadata").len()).expect("small");
    assert_eq!(bundles.take(server(), key().public().fingerprint()).expect("there"), bundle());
    let mut left = vec![1; len];
    open.read_exact_at(&mut left, 0).expect("still readable");
    assert_eq!(left, vec![0; len]);
    assert!(names(&bundles).is_empty());
    let again = bundles.take(server(), key().public().fingerprint()).expect_err("gone");
    assert!(matches!(&again, BundleError::File(error) if error.is_not_found()), "{again}");
    bundles.wipe(server()).expect("nothing to wipe is fine");
}

#[test]
fn a_bundle_of_another_key_is_not_handed_out() {
    let (_root, bundles) = folder();
    stored(&bundles, server(), &bundle());
    let refused = bundles.take(server(), master().fingerprint()).expect_err("another key");
    assert!(refused.to_string().ends_with("does not have the key that the ledger names"), "{refused}");
    assert!(names(&bundles).is_empty(), "it is good for nobody");
}

#[test]
fn another_bundle_takes_its_place_only_when_it_is_kept() {
    let (_root, bundles) = folder();
    stored(&bundles, server(), &Secret::from("first".to_owned()));
    let open = fs::File::open(bundles.path(server())).expect("opens");
    let mut left = [1; 5];
    bundles.write(server(), &bundle()).expect("written");
    let new = fs::File::open(bundles.new_path(server())).expect("opens");
    bundles.drop_new(server()).expect("dropped");
    open.read_exact_at(&mut left, 0).expect("readable");
    assert_eq!((&left, names(&bundles)), (b"first", vec![server().to_string()]), "the first stays");
    new.read_exact_at(&mut left, 0).expect("still readable");
    assert_eq!(left, [0; 5], "the new one was wiped");

    stored(&bundles, server(), &bundle());
    open.read_exact_at(&mut left, 0).expect("still readable");
    assert_eq!(left, [0; 5], "the first was wiped");
    assert_eq!(names(&bundles), [server().to_string()]);
    assert_eq!(bundles.take(server(), key().public().fingerprint()).expect("there"), bundle());
    // What could not be put in its place goes with the rest.
    bundles.write(server(), &bundle()).expect("written");
    bundles.wipe(server()).expect("wiped");
    assert!(names(&bundles).is_empty());
}

#[test]
fn a_sweep_puts_in_its_place_what_the_ledger_names() {
    let (_root, bundles) = folder();
    let (new, refused) = (server(), ServerId::from_random([1; 16]));
    for server in [new, refused] {
        stored(&bundles, server, &Secret::from("an older key".to_owned()));
        bundles.write(server, &bundle()).expect("written");
    }
    assert_eq!(bundles.sweep(|server, _| server == new).expect("swept"), 3);
    assert_eq!(names(&bundles), [new.to_string()]);
    assert_eq!(bundles.take(new, key().public().fingerprint()).expect("there"), bundle());
}

#[test]
fn a_sweep_leaves_only_what_the_ledger_names() {
    let (root, bundles) = folder();
    let (kept, other) = (server(), ServerId::from_random([1; 16]));
    let stale = ServerId::from_random([2; 16]);
    for server in [kept, other, stale] {
        stored(&bundles, server, &bundle());
    }
    let outside = root.path().join("outside");
    fs::write(&outside, "mine").expect("written");
    std::os::unix::fs::symlink(&outside, bundles.folder.join("link")).expect("a link");
    let torn = ServerId::from_random([3; 16]);
    fs::write(bundles.path(torn), &bundle().expose()[..900]).expect("written");
    let held = fs::File::open(bundles.path(torn)).expect("opens");
    let fingerprint = key().public().fingerprint();
    let is_kept = |server, key| {
        // Of `stale` the ledger names a newer key.
        let named = if server == stale { master().fingerprint() } else { fingerprint };
        server != other && key == named
    };
    assert_eq!(bundles.sweep(is_kept).expect("swept"), 4);
    assert_eq!(names(&bundles), [kept.to_string()]);
    assert_eq!(fs::read_to_string(&outside).expect("still there"), "mine");
    let mut left = [1; 900];
    held.read_exact_at(&mut left, 0).expect("still readable");
    assert_eq!(left, [0; 900]);
}

#[test]
fn a_master_is_reached_by_what_is_known_of_it() {
    let config = |interface: &str, address: Option<&str>| Config {
        interface: interface.parse().expect("an address"),
        master_address: address.map(str::to_owned),
        ..Config::default()
    };
    let named = |interface, address| master_address(&config(interface, address));
    assert_eq!(named("10.0.0.1", Some("brine")), Some("brine".to_owned()));
    assert_eq!(named("10.0.0.1", None), Some("10.0.0.1".to_owned()));
    let host = nix::unistd::gethostname().expect("a name").into_string().expect("text");
    assert_eq!(named("0.0.0.0", None), Some(host));
    for bad in ["", "a b", "a\nserver: x", "é", &"x".repeat(254)] {
        assert!(check_address(bad).is_err(), "{bad:?}");
    }
    for good in ["brine.example.org", "10.0.0.1", "::1", "[2001:db8::1]", "fe80::1%eth0"] {
        assert_eq!(check_address(good), Ok(()));
    }
}
